//! One request and its answer. Protocol: `postern_ipc::rewrite`.

use std::io::{BufRead, Write};

use bstr::BString;
use postern_attr::{AttrError, Encoding, Extra};
use postern_ipc::rewrite::{RequestName, ResolveBody, ResolveReply, RewriteBody, RewriteReply};
use postern_rewrite::{Context, Resolver};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::TrivialRewrite;

/// Why a request got no answer; the connection is closed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum RequestError {
    /// Not a list of the protocol, or the client went away.
    #[error("{0}")]
    List(AttrError),
    /// Neither `rewrite` nor `resolve` nor `verify`.
    #[error("bad command {0}")]
    Command(String),
    /// Neither `local` nor `remote`.
    #[error("unknown context: {0}")]
    Context(BString),
}

impl RequestError {
    /// The warning, if it is worth one; `peer` is how the client is named in it.
    pub(crate) fn warning(&self, peer: &str) -> Option<String> {
        match self {
            Self::List(error) => error.warning(peer),
            other => Some(other.to_string()),
        }
    }
}

impl From<AttrError> for RequestError {
    fn from(error: AttrError) -> Self {
        Self::List(error)
    }
}

impl TrivialRewrite {
    /// Reads one request and writes its answer.
    pub(crate) fn serve(&mut self, peer: &mut (impl BufRead + Write)) -> Result<(), RequestError> {
        let name: RequestName = postern_attr::read(peer, Encoding::Null, Extra::Leave)?;
        match name.request.as_bytes() {
            b"rewrite" => self.rewrite(peer),
            b"resolve" => resolve(&mut self.resolver, peer),
            b"verify" => resolve(&mut self.prober, peer),
            _ => Err(RequestError::Command(name.request)),
        }
    }

    fn rewrite(&mut self, peer: &mut (impl BufRead + Write)) -> Result<(), RequestError> {
        let (body, note): (RewriteBody, _) = read_body(peer)?;
        let Some(rule) = Context::from_word(body.rule.as_ref()) else {
            return Err(RequestError::Context(body.rule));
        };
        // Rewriting looks nothing up, so there is no failure to report.
        let address = self
            .rewriter
            .rewrite(rule, body.address.as_ref())
            .unwrap_or(body.address);
        reply(peer, &RewriteReply { flags: 0, address }, note)
    }
}

fn resolve(resolver: &mut Resolver, peer: &mut (impl BufRead + Write)) -> Result<(), RequestError> {
    let (body, note): (ResolveBody, _) = read_body(peer)?;
    let answer = resolver.resolve(body.sender.as_ref(), body.address.as_ref());
    let answer = ResolveReply {
        server_flags: 0,
        transport: answer.transport,
        nexthop: answer.nexthop,
        recipient: answer.recipient,
        result_flags: answer.flags,
    };
    reply(peer, &answer, note)
}

/// The rest of the request. The second value is what was wrong behind the last attribute: such a
/// request is answered before its connection is closed.
fn read_body<T: DeserializeOwned>(
    peer: &mut impl BufRead,
) -> Result<(T, Option<AttrError>), AttrError> {
    postern_attr::read_noting(peer, Encoding::Null, Extra::Refuse)
}

fn reply<T: Serialize>(
    peer: &mut impl Write,
    answer: &T,
    note: Option<AttrError>,
) -> Result<(), RequestError> {
    postern_attr::write(peer, Encoding::Null, answer)?;
    match note {
        Some(error) => Err(error.into()),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests;
