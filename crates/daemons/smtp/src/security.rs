//! What a destination demands of a connection: TLS level and login.
//!
//! This build has neither TLS nor SASL. What a configuration demands is therefore refused, never
//! quietly left out: mail stays in the queue rather than go in clear or without a login.

use bstr::ByteSlice;
use postern_dict::Maps;

use crate::failure::Failure;
use crate::features::Keywords;
use crate::session::Session;
use crate::settings::{Settings, Tables};
use crate::trouble::{Stage, Trouble};

/// TLS levels, weakest first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// Never.
    None,
    /// When offered.
    May,
    /// Always, without looking at the certificate.
    Encrypt,
    /// A known certificate.
    Fingerprint,
    /// What DNSSEC says.
    Dane,
    /// What DNSSEC says, always.
    DaneOnly,
    /// A certificate for the server's name.
    Verify,
    /// A certificate for the next-hop.
    Secure,
}

impl Level {
    /// The level with this name.
    pub fn named(name: &str) -> Option<Self> {
        Some(match name.to_ascii_lowercase().as_str() {
            "none" => Self::None,
            "may" => Self::May,
            "encrypt" => Self::Encrypt,
            "fingerprint" => Self::Fingerprint,
            "dane" => Self::Dane,
            "dane-only" => Self::DaneOnly,
            "verify" => Self::Verify,
            "secure" => Self::Secure,
            _ => return None,
        })
    }

    /// Number in session labels.
    pub fn number(self) -> u8 {
        match self {
            Self::None => 0,
            Self::May => 1,
            Self::Encrypt => 2,
            Self::Fingerprint => 3,
            Self::Dane => 5,
            Self::DaneOnly => 6,
            Self::Verify => 7,
            Self::Secure => 8,
        }
    }
}

/// The demand of one destination.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Demand {
    /// TLS level.
    pub level: Level,
    /// TLS from the first byte on.
    pub wrapper: bool,
    /// Log in when credentials are known.
    pub sasl: bool,
    /// Next hop as written, a key of the password table.
    pub nexthop: String,
}

impl Demand {
    /// The demand of next hop `nexthop` (with brackets and port, as written).
    ///
    /// # Errors
    ///
    /// A policy that cannot be looked up or understood: 4.7.5.
    pub fn of(
        nexthop: &str,
        host: &str,
        settings: &Settings,
        tables: &mut Tables,
    ) -> Result<Self, Failure> {
        let problem = || {
            let reason = "client TLS configuration problem";
            log::warn!("TLS policy lookup for {nexthop}/{host}: {reason}");
            Failure::local("4.7.5", reason)
        };
        let found = policy(nexthop, &mut tables.tls_policy).map_err(|Unusable| problem())?;
        let level = found.unwrap_or(settings.tls_level);
        if settings.tls_wrapper && level < Level::Encrypt {
            log::warn!(
                "smtp_tls_wrappermode requires \"smtp_tls_security_level = encrypt\" (or stronger)"
            );
            return Err(problem());
        }
        Ok(Self {
            level,
            wrapper: settings.tls_wrapper,
            sasl: settings.sasl_enable,
            nexthop: nexthop.to_owned(),
        })
    }

    /// A wrapper-mode connection cannot even begin.
    pub fn before_greeting(&self) -> Option<Failure> {
        self.wrapper.then(no_engine)
    }

    /// Mandatory TLS cannot be had.
    pub fn after_ehlo(&self, session: &Session) -> Option<Failure> {
        // Level `dane` may turn out to be `may`, but that takes the lookups of the TLS part.
        if self.level <= Level::May {
            return None;
        }
        if session.offers(Keywords::STARTTLS) {
            return Some(no_engine());
        }
        let reason = format!(
            "TLS is required, but was not offered by host {}",
            session.short
        );
        Some(Failure::local("4.7.4", reason))
    }

    /// Whether the server wants a login and we have one for it.
    pub fn login_expected(
        &self,
        session: &mut Session,
        tables: &mut Tables,
    ) -> Result<bool, Failure> {
        if !self.sasl || !session.offers(Keywords::AUTH) {
            return Ok(false);
        }
        for key in [session.peer.host.clone(), self.nexthop.as_str().into()] {
            match tables.passwords.find(key.as_bstr(), false) {
                Ok(None) => {}
                Ok(Some(_)) => return Ok(true),
                Err(_) => return Err(session.broken(&Trouble::Data, Stage::Ehlo)),
            }
        }
        Ok(false)
    }
}

fn no_engine() -> Failure {
    Failure::local(
        "4.7.5",
        "TLS is required, but our TLS engine is unavailable",
    )
}

/// A policy that could not be looked up or understood; why is logged.
struct Unusable;

/// The level that `smtp_tls_policy_maps` gives a next hop or one of its parent domains.
fn policy(nexthop: &str, maps: &mut Maps) -> Result<Option<Level>, Unusable> {
    if maps.is_empty() {
        return Ok(None);
    }
    let mut key = nexthop;
    loop {
        match maps.find(key.as_bytes().as_bstr(), false) {
            Err(_) => {
                log::warn!(
                    "{}, next-hop destination \"{nexthop}\": policy table lookup error",
                    maps.title()
                );
                return Err(Unusable);
            }
            Ok(Some(value)) => {
                let text = value.to_str_lossy();
                let word = text
                    .split([' ', '\t', ','])
                    .find(|word| !word.is_empty())
                    .unwrap_or_default();
                let Some(level) = Level::named(word) else {
                    log::warn!(
                        "{}, next-hop destination \"{nexthop}\": invalid security level \"{word}\"",
                        maps.title()
                    );
                    return Err(Unusable);
                };
                return Ok(Some(level));
            }
            Ok(None) => {}
        }
        if !postern_dns::is_valid_name(nexthop) {
            return Ok(None);
        }
        match key.get(1..).and_then(|rest| rest.find('.')) {
            Some(dot) => key = key.get(dot + 1..).unwrap_or_default(),
            None => return Ok(None),
        }
    }
}
