//! The rewrite half: completes incomplete addresses. Knows no table and asks nobody.
//!
//! Source: trivial-rewrite(8), ADDRESS_REWRITING_README; every odd case was observed with
//! Postfix 3.7.11.

use bstr::{BStr, BString, ByteSlice};
use postern_config::Config;
use postern_config::params;
use postern_dict::LookupError;
use postern_mail::token::{Token, scan};

use crate::address;

/// Whose idea of "here" completes an address.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Context {
    /// This system: `myorigin` and `mydomain`.
    Local,
    /// A remote client: `remote_header_rewrite_domain`, or nothing when that is empty.
    Remote,
}

impl Context {
    /// The word in requests: `local` or `remote`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Local => "local",
            Self::Remote => "remote",
        }
    }

    /// The context that `word` names.
    pub fn from_word(word: &BStr) -> Option<Self> {
        match word.as_bytes() {
            b"local" => Some(Self::Local),
            b"remote" => Some(Self::Remote),
            _ => None,
        }
    }
}

/// Rewrites addresses to standard form, `user@domain`.
#[derive(Debug, Clone)]
pub struct Rewriter {
    pub(crate) swap_bangpath: bool,
    pub(crate) percent_hack: bool,
    append_origin: bool,
    append_domain: bool,
    /// `append_dot_mydomain` is on only because of the compatibility level: say so.
    domain_by_compatibility: bool,
    local: Completion,
    remote: Completion,
}

/// What completes addresses in one context; empty lists complete nothing.
#[derive(Debug, Clone, Default)]
struct Completion {
    origin: Vec<Token>,
    domain: Vec<Token>,
    domain_text: BString,
}

impl Completion {
    fn new(origin: &str, domain: &str) -> Self {
        Self {
            origin: scan(BStr::new(origin), 0),
            domain: scan(BStr::new(domain), 0),
            domain_text: BString::from(domain),
        }
    }
}

impl Rewriter {
    /// Reads the parameters.
    pub fn new(config: &Config) -> Self {
        let append_domain = config.get(params::APPEND_DOT_MYDOMAIN);
        let remote = config.get(params::REMOTE_HEADER_REWRITE_DOMAIN);
        Self {
            swap_bangpath: config.get(params::SWAP_BANGPATH),
            percent_hack: config.get(params::ALLOW_PERCENT_HACK),
            append_origin: config.get(params::APPEND_AT_MYORIGIN),
            append_domain,
            domain_by_compatibility: append_domain && !config.is_set("append_dot_mydomain"),
            local: Completion::new(&config.get(params::MYORIGIN), &config.get(params::MYDOMAIN)),
            remote: Completion::new(&remote, &remote),
        }
    }

    /// Rewrites one address, external form in and out.
    ///
    /// # Errors
    ///
    /// None at present; the same signature as when a service is asked.
    pub fn rewrite(&mut self, rule: Context, address: &BStr) -> Result<BString, LookupError> {
        if address.is_empty() || address == "\"\"" || self.is_standard(rule, address) {
            return Ok(address.to_owned());
        }
        let mut tokens = scan(address, 0);
        if tokens.is_empty() {
            return Ok(BString::default());
        }
        self.rewrite_tokens(rule, &mut tokens);
        Ok(address::external(&tokens))
    }

    /// Rewrites a tokenized address in place.
    pub(crate) fn rewrite_tokens(&self, rule: Context, tokens: &mut Vec<Token>) {
        if matches!(tokens.as_slice(), [Token::Op(b'@')]) {
            *tokens = vec![Token::Quoted(BString::default())];
            return;
        }
        let completion = match rule {
            Context::Local => &self.local,
            Context::Remote => &self.remote,
        };
        remove_route(tokens);
        if last_op(tokens, b'@').is_none() {
            self.find_domain(completion, tokens);
        }
        self.complete_domain(completion, tokens);
        remove_trailing_dot(tokens);
    }

    /// Finds or makes the domain of an address without `@`.
    fn find_domain(&self, completion: &Completion, tokens: &mut Vec<Token>) {
        if self.swap_bangpath
            && let Some(bang) = tokens.iter().position(|token| token.is_op(b'!'))
        {
            let user = tokens.split_off(bang + 1);
            tokens.pop();
            let site = std::mem::replace(tokens, user);
            tokens.push(Token::Op(b'@'));
            tokens.extend(site);
        } else if self.percent_hack
            && let Some(percent) = last_op(tokens, b'%')
        {
            tokens[percent] = Token::Op(b'@');
        } else if self.append_origin && !completion.origin.is_empty() {
            tokens.push(Token::Op(b'@'));
            tokens.extend_from_slice(&completion.origin);
        }
    }

    /// Completes a domain of a single name.
    fn complete_domain(&self, completion: &Completion, tokens: &mut Vec<Token>) {
        if !self.append_domain || completion.domain.is_empty() {
            return;
        }
        let [.., Token::Op(b'@'), Token::Atom(name) | Token::Quoted(name)] = tokens.as_slice()
        else {
            return;
        };
        if self.domain_by_compatibility {
            log_compatibility(BStr::new(name), BStr::new(&completion.domain_text));
        }
        tokens.push(Token::Op(b'.'));
        tokens.extend_from_slice(&completion.domain);
    }

    /// Whether an address obviously stays as it is: plain words joined by dots, an `@`, and a
    /// domain that needs no completion. Almost all addresses are like that.
    fn is_standard(&self, rule: Context, address: &BStr) -> bool {
        let Some(at) = address.iter().position(|&byte| byte == b'@') else {
            return false;
        };
        let (local, domain) = (&address[..at], &address[at + 1..]);
        let completes =
            self.append_domain && !(rule == Context::Remote && self.remote.domain.is_empty());
        is_dot_string(local) && is_dot_string(domain) && (!completes || domain.contains(&b'.'))
    }
}

/// Whether `text` is words of harmless characters with single dots between them.
fn is_dot_string(text: &[u8]) -> bool {
    let harmless = |byte: &u8| {
        byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'+' | b'=' | b'/')
    };
    text.split(|&byte| byte == b'.')
        .all(|word| !word.is_empty() && word.iter().all(harmless))
}

/// Removes a leading source route, `@site,@site:`, when an address follows it.
fn remove_route(tokens: &mut Vec<Token>) {
    if !tokens.first().is_some_and(|token| token.is_op(b'@')) {
        return;
    }
    if let Some(colon) = tokens.iter().position(|token| token.is_op(b':'))
        && colon + 1 < tokens.len()
    {
        tokens.drain(..=colon);
    }
}

/// Removes one dot from the end unless it follows a dot or `@`, or stands alone.
pub(crate) fn remove_trailing_dot(tokens: &mut Vec<Token>) {
    if let [.., before, Token::Op(b'.')] = tokens.as_slice()
        && !before.is_op(b'.')
        && !before.is_op(b'@')
    {
        tokens.pop();
    }
}

/// Where the last operator `op` stands.
pub(crate) fn last_op(tokens: &[Token], op: u8) -> Option<usize> {
    tokens.iter().rposition(|token| token.is_op(op))
}

fn log_compatibility(name: &BStr, domain: &BStr) {
    let advice = if name.eq_ignore_ascii_case(b"localhost") {
        "; please add \"localhost\" to mydestination or other address class"
    } else {
        ""
    };
    log::info!(
        "using backwards-compatible default setting append_dot_mydomain=yes to rewrite \"{name}\" to \"{name}.{domain}\"{advice}"
    );
}

#[cfg(test)]
mod tests;
