//! The resolve half: which transport, next hop and recipient an address has.
//!
//! Source: trivial-rewrite(8), ADDRESS_CLASS_README; every odd case was observed with
//! Postfix 3.7.11.

use bstr::{BStr, BString, ByteSlice};
use postern_config::Config;
use postern_config::params;
use postern_dict::LookupError;
use postern_ipc::rewrite::resolve_flag;
use postern_mail::token::{Token, scan};

use crate::address;
use crate::domains::{Domains, LocalDomains};
use crate::rewriter::{last_op, remove_trailing_dot};
use crate::routes::{RouteError, Routes};
use crate::syntax::DomainSyntax;
use crate::{Context, Rewriter};
use std::fmt;

/// Removals of a local domain from one address. An SMTP command line holds at most a thousand.
const MAX_ROUNDS: usize = 2000;

/// Answer to a resolve request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Resolved {
    /// Service name of master.cf.
    pub transport: BString,
    /// What the transport delivers to.
    pub nexthop: BString,
    /// The recipient, internal form.
    pub recipient: BString,
    /// Bits of [`postern_ipc::rewrite::resolve_flag`].
    pub flags: i32,
}

impl fmt::Display for Resolved {
    /// As verbose log lines have it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const FLAGS: &[(i32, &str)] = &[
            (resolve_flag::ROUTED, "routed"),
            (resolve_flag::ERROR, "error"),
            (resolve_flag::FAIL, "fail"),
        ];
        const CLASSES: &[(i32, &str)] = &[
            (resolve_flag::CLASS_LOCAL, "local"),
            (resolve_flag::CLASS_ALIAS, "alias"),
            (resolve_flag::CLASS_VIRTUAL, "virtual"),
            (resolve_flag::CLASS_RELAY, "relay"),
            (resolve_flag::CLASS_DEFAULT, "default"),
        ];
        let named = |names: &[(i32, &'static str)]| {
            let set = names.iter().filter(|(bit, _)| self.flags & bit != 0);
            set.map(|(_, name)| *name).collect::<Vec<_>>().join("|")
        };
        write!(
            f,
            "transp=`{}' host=`{}' rcpt=`{}' flags={} class={}",
            self.transport,
            self.nexthop,
            self.recipient,
            named(FLAGS),
            named(CLASSES)
        )
    }
}

impl Resolved {
    /// The answer before anything is known, in the words that Postfix leaves behind.
    fn unknown() -> Self {
        Self {
            transport: BString::from("CHANNEL NOT UPDATED"),
            nexthop: BString::from("NEXTHOP NOT UPDATED"),
            recipient: BString::from("NEXTRCPT NOT UPDATED"),
            flags: 0,
        }
    }

    /// The answer when there is none.
    pub(crate) fn failure() -> Self {
        Self {
            flags: resolve_flag::FAIL,
            ..Self::unknown()
        }
    }

    /// Whether a table could not be read: the answer is no answer, try again later.
    pub fn failed(&self) -> bool {
        self.flags & resolve_flag::FAIL != 0
    }
}

/// Which parameters route the mail.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// Mail.
    Delivery,
    /// Address probes: `address_verify_…`.
    Probe,
}

/// Resolves recipients.
pub struct Resolver {
    rewriter: Rewriter,
    syntax: DomainSyntax,
    null_domain_is_local: bool,
    looks_into_quotes: bool,
    allow_minus: bool,
    empty_recipient: BString,
    my_hostname: Vec<Token>,
    domains: Domains,
    routes: Routes,
}

/// An address from which local domains before the last were removed.
struct Stripped {
    tokens: Vec<Token>,
    /// Whether the domain is local.
    local: bool,
}

impl Resolver {
    /// A resolver for mail; opens the tables.
    pub fn new(config: &Config) -> Self {
        Self::with_purpose(config, Purpose::Delivery)
    }

    /// A resolver for address probes (`address_verify_…` parameters); opens the tables.
    pub fn for_verify(config: &Config) -> Self {
        Self::with_purpose(config, Purpose::Probe)
    }

    fn with_purpose(config: &Config, purpose: Purpose) -> Self {
        Self {
            rewriter: Rewriter::new(config),
            syntax: DomainSyntax::new(config),
            null_domain_is_local: config.get(params::RESOLVE_NULL_DOMAIN),
            looks_into_quotes: config.get(params::RESOLVE_DEQUOTED_ADDRESS),
            allow_minus: config.get(params::ALLOW_MIN_USER),
            empty_recipient: BString::from(config.get(params::EMPTY_ADDRESS_RECIPIENT)),
            my_hostname: scan(BStr::new(&config.get(params::MYHOSTNAME)), 0),
            domains: Domains::new(config),
            routes: Routes::new(config, purpose),
        }
    }

    /// Resolves `address` (internal form) for mail from `sender` (internal form).
    ///
    /// Never fails: a table that cannot be read gives [`resolve_flag::FAIL`], an address that
    /// cannot be used [`resolve_flag::ERROR`].
    pub fn resolve(&mut self, sender: &BStr, address: &BStr) -> Resolved {
        let mut answer = Resolved::unknown();
        if self.resolve_into(sender, address, &mut answer).is_err() {
            answer.flags |= resolve_flag::FAIL;
        }
        answer
    }

    /// Fills `answer` as far as it gets.
    fn resolve_into(
        &mut self,
        sender: &BStr,
        address: &BStr,
        answer: &mut Resolved,
    ) -> Result<(), RouteError> {
        let Stripped { tokens, mut local } = self.strip_local_domains(address)?;
        answer.recipient = address::internal(&tokens);
        let at = last_op(&tokens, b'@').map_or(tokens.len(), |at| at + 1);
        let mut domain = address::internal(&tokens[at..]);
        match self
            .syntax
            .check(answer.recipient.as_ref(), domain.as_ref())
        {
            Ok(None) => {}
            Ok(Some(literal)) => {
                let keep = answer.recipient.len() - domain.len();
                answer.recipient.truncate(keep);
                answer.recipient.extend_from_slice(&literal);
                local = self.domains.local().matches(literal.as_ref())?;
                domain = literal;
            }
            Err(_) => {
                answer.flags |= resolve_flag::ERROR | resolve_flag::CLASS_DEFAULT;
                return Ok(());
            }
        }
        if is_routed(answer.recipient.as_ref(), domain.as_ref()) {
            answer.flags |= resolve_flag::ROUTED;
        }
        let class = self.domains.class(domain.as_ref(), local)?;
        self.routes
            .apply(class, sender, domain.as_ref(), answer, self.domains.local())?;
        if !self.allow_minus && answer.recipient.first() == Some(&b'-') {
            answer.flags |= resolve_flag::ERROR;
        }
        Ok(())
    }

    /// Removes local domains from the right until another domain, or a plain name, is left.
    fn strip_local_domains(&mut self, address: &BStr) -> Result<Stripped, LookupError> {
        let mut tokens = address::tokenize(address);
        let mut last_domain: Option<Vec<Token>> = None;
        let mut filled_in = false;
        for round in 0.. {
            if round == MAX_ROUNDS {
                // Nobody's honest address; without a domain it is a bad one.
                last_domain = Some(Vec::new());
                tokens.clear();
                break;
            }
            remove_trailing_dot(&mut tokens);
            if self.null_domain_is_local && tokens.last().is_some_and(|token| token.is_op(b'@')) {
                tokens.pop();
            }
            if let Some(at) = last_op(&tokens, b'@') {
                let domain = &tokens[at + 1..];
                if !domain.is_empty() && !self.is_local(domain)? {
                    return Ok(Stripped {
                        tokens,
                        local: false,
                    });
                }
                last_domain = Some(tokens.split_off(at + 1));
                tokens.pop();
            }
            // Quotes may hold quotes; each round leaves less text.
            while self.looks_into_quotes && self.open_quotes(&mut tokens) {}
            if is_empty(&tokens) && !filled_in {
                filled_in = true;
                tokens = address::tokenize(self.empty_recipient.as_ref());
            }
            if !self.has_routing(&tokens) {
                break;
            }
            self.rewriter.rewrite_tokens(Context::Local, &mut tokens);
        }
        tokens.push(Token::Op(b'@'));
        let local = match last_domain {
            Some(domain) => {
                tokens.extend(domain);
                true
            }
            None => {
                tokens.extend_from_slice(&self.my_hostname);
                let name = address::internal(&self.my_hostname);
                self.domains.local().matches(name.as_ref())?
            }
        };
        Ok(Stripped { tokens, local })
    }

    fn is_local(&mut self, domain: &[Token]) -> Result<bool, LookupError> {
        self.domains
            .local()
            .matches(address::internal(domain).as_ref())
    }

    /// A lone quoted local part may hold another address, or routing. Tells whether it did.
    fn open_quotes(&self, tokens: &mut Vec<Token>) -> bool {
        let [Token::Quoted(text)] = tokens.as_slice() else {
            return false;
        };
        let split = text.rfind_byte(b'@').or_else(|| {
            self.rewriter
                .percent_hack
                .then(|| text.rfind_byte(b'%'))
                .flatten()
        });
        if let Some(at) = split {
            let mut address = text.clone();
            address[at] = b'@';
            *tokens = address::tokenize(address.as_ref());
            true
        } else if self.rewriter.swap_bangpath && text.contains(&b'!') {
            *tokens = scan(text.as_ref(), 0);
            true
        } else {
            false
        }
    }

    /// Whether what is left of a local domain names another one.
    fn has_routing(&self, tokens: &[Token]) -> bool {
        tokens.iter().any(|token| match token {
            Token::Op(b'@') => true,
            Token::Op(b'!') => self.rewriter.swap_bangpath,
            Token::Op(b'%') => self.rewriter.percent_hack,
            _ => false,
        })
    }

    /// The domains this system receives mail for, for lookups by bare user name.
    pub fn local_domains(&mut self) -> &mut LocalDomains {
        self.domains.local()
    }
}

/// No local part at all, or `""`.
fn is_empty(tokens: &[Token]) -> bool {
    match tokens {
        [] => true,
        [Token::Quoted(text)] => text.is_empty(),
        _ => false,
    }
}

/// Whether the local part still has routing: the text after the first routing character is not
/// the domain.
fn is_routed(recipient: &BStr, domain: &BStr) -> bool {
    recipient
        .find_byteset(b"@!%")
        .is_some_and(|at| recipient[at + 1..] != domain[..])
}

#[cfg(test)]
mod tests;
