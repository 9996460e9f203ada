//! Filters and protection that main.cf asks for and that this server does not have.
//!
//! No mail passes as if they had done their work: a Milter counts as one that cannot be reached, a
//! proxy filter likewise, TLS that is demanded is never reached by the client, and a connection that
//! should begin with a proxy's header is closed. Each part goes when the real thing comes.
//! Source: smtpd.md §1, §16; milter.md §4.

use bstr::BStr;
use postern_config::milters::{MilterService, Unasked};
use postern_config::{Config, params};

use crate::command::Outcome;
use crate::reply::ErrorClass;
use crate::session::{Abort, Session, Step};
use crate::verb::Verb;
use std::io::Write;

/// What main.cf asks for.
#[derive(Debug, Default)]
pub(crate) struct Missing {
    milters: String,
    milter_maps: String,
    milter_action: String,
    proxy_filter: String,
    upstream_proxy: String,
    /// The words of the parameter that demands TLS.
    demands_tls: Option<String>,
    wrapper: bool,
}

/// What the Milters' absence means for the mail of a session.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) enum MilterVerdict {
    /// There are none to ask, or mail may pass without them.
    #[default]
    Pass,
    /// Mail is put on hold.
    Hold,
    /// Mail is refused with this reply.
    Refuse(&'static str),
}

impl Missing {
    /// Reads the parameters.
    pub(crate) fn load(config: &Config, no_milters: bool) -> Self {
        let milters = |param| {
            if no_milters {
                String::new()
            } else {
                config.get(param)
            }
        };
        Self {
            milters: milters(params::SMTPD_MILTERS),
            milter_maps: milters(params::SMTPD_MILTER_MAPS),
            milter_action: config.get(params::MILTER_DEFAULT_ACTION),
            proxy_filter: config.get(params::SMTPD_PROXY_FILTER),
            upstream_proxy: config.get(params::SMTPD_UPSTREAM_PROXY_PROTOCOL),
            demands_tls: demands_tls(config),
            wrapper: config.get(params::SMTPD_TLS_WRAPPERMODE),
        }
    }
}

/// The setting that says that nothing but STARTTLS is served in the clear.
fn demands_tls(config: &Config) -> Option<String> {
    let level = config.get(params::SMTPD_TLS_SECURITY_LEVEL);
    match level.to_ascii_lowercase().as_str() {
        "" => config
            .get(params::SMTPD_ENFORCE_TLS)
            .then(|| "smtpd_enforce_tls = yes".to_owned()),
        "none" | "may" => None,
        _ => Some(format!("smtpd_tls_security_level = {level}")),
    }
}

impl MilterVerdict {
    fn of(services: &[MilterService]) -> Self {
        let mut verdict = Self::Pass;
        for service in services {
            log::warn!(
                "connect to Milter service {}: smtpd_milters is not supported",
                service.place
            );
            match service.unasked() {
                Unasked::Pass => {}
                Unasked::Hold => verdict = Self::Hold,
                Unasked::Refuse(reply) => return Self::Refuse(reply),
                Unasked::Unknown(reply) => {
                    log::warn!(
                        "milter {}: unrecognized default action: {}",
                        service.place,
                        service.default_action
                    );
                    return Self::Refuse(reply);
                }
            }
        }
        verdict
    }
}

impl Session<'_> {
    /// Ends a session that this server cannot have as it is meant to be.
    pub(crate) fn check_connection_protocol(&mut self) -> Step {
        let missing = &self.server.set.missing;
        if !missing.upstream_proxy.is_empty() && !self.passed_on {
            log::warn!(
                "smtpd_upstream_proxy_protocol = {} is not supported: closing connection from {}",
                missing.upstream_proxy,
                self.client.namaddr
            );
            let host = self.server.set.myhostname.clone();
            self.reply(format!("421 4.3.0 {host} Server local error"))?;
            self.io.flush()?;
            return Err(Abort::Close);
        }
        if missing.wrapper {
            log::warn!(
                "smtpd_tls_wrappermode is not supported: Wrapper-mode request dropped from {}",
                self.client.namaddr
            );
            return Err(Abort::Close);
        }
        if let Some(setting) = missing.demands_tls.clone()
            && !std::mem::replace(&mut self.server.missing_tls_said, true)
        {
            log::warn!("{setting}: TLS is not supported, no mail is accepted");
        }
        Ok(())
    }

    /// The first thing that Milters see. A reply takes the place of the greeting.
    pub(crate) fn milters_at_connect(&mut self) -> Step<Option<String>> {
        let missing = &self.server.set.missing;
        let mut list = missing.milters.clone();
        let action = missing.milter_action.clone();
        let maps = missing.milter_maps.clone();
        if !maps.is_empty() {
            let key = self.client.address.clone();
            match self.server.find_in_table(&maps, BStr::new(&key), false) {
                Ok(Some(value)) => list = value.to_string(),
                Ok(None) => {}
                Err(_) => return Err(Abort::LocalData),
            }
            if list.eq_ignore_ascii_case("DISABLE") {
                list.clear();
            }
        }
        self.milters = MilterVerdict::of(&MilterService::list(&list, &action));
        let host = self.server.set.myhostname.clone();
        Ok(match self.milter_reply() {
            Some(reply) if reply.starts_with("421") => {
                Some(format!("421 {host} Service unavailable - try again later"))
            }
            Some(reply) if reply.starts_with('5') => {
                let greeting = format!("554 {host} ESMTP not accepting connections");
                self.error_count += 1;
                Some(greeting)
            }
            _ => None,
        })
    }

    /// What the Milters would answer now, logged.
    pub(crate) fn milter_reply(&mut self) -> Option<&'static str> {
        match self.milters {
            MilterVerdict::Pass => None,
            MilterVerdict::Hold => {
                self.log_event("milter-hold", BStr::new("milter triggers HOLD action"));
                None
            }
            MilterVerdict::Refuse(reply) => {
                self.error_mask.add(ErrorClass::POLICY);
                self.log_event("milter-reject", BStr::new(reply));
                Some(reply)
            }
        }
    }

    /// Answers a command for which TLS had to be started first.
    pub(crate) fn demand_tls(&mut self, verb: Verb) -> Step<Option<Outcome>> {
        let allowed = matches!(
            verb,
            Verb::Helo
                | Verb::Ehlo
                | Verb::Xclient
                | Verb::Starttls
                | Verb::Noop
                | Verb::Quit
                | Verb::Help
                | Verb::Unknown
        );
        if allowed || self.alone || self.server.set.missing.demands_tls.is_none() {
            return Ok(None);
        }
        self.reply_protocol_error("530 5.7.0 Must issue a STARTTLS command first")
            .map(Some)
    }

    /// Whether clients may only use STARTTLS.
    pub(crate) fn demands_tls(&self) -> bool {
        self.server.set.missing.demands_tls.is_some()
    }

    /// Whether mail had to go through a filter that cannot be reached.
    pub(crate) fn lacks_proxy_filter(&self) -> bool {
        let filter = &self.server.set.missing.proxy_filter;
        if self.alone || filter.is_empty() {
            return false;
        }
        log::warn!("connect to proxy filter {filter}: smtpd_proxy_filter is not supported");
        true
    }
}
