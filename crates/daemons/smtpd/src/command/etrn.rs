//! ETRN: a client wants its mail delivered now (RFC 1985).

use bstr::{BStr, ByteSlice};
use postern_config::params;
use postern_ipc::flush::status;
use postern_mail::smtp_command::Word;
use postern_mail::{address, host};

use super::Outcome;
use crate::session::{Session, Step};
use crate::submit;

impl Session<'_> {
    pub(super) fn etrn_command(&mut self, args: &[Word]) -> Step<Outcome> {
        if self.server.set.helo_required && self.helo.is_none() {
            return self.reply_protocol_error("503 Error: send HELO/EHLO first");
        }
        if self.transaction.is_some() {
            return self.reply_protocol_error("503 Error: MAIL transaction in progress");
        }
        let [_, name] = args else {
            return self.reply_protocol_error("500 Syntax: ETRN domain");
        };
        let domain = name
            .text
            .strip_prefix(b"@")
            .or_else(|| name.text.strip_prefix(b"#"))
            .unwrap_or(&name.text);
        let domain = BStr::new(domain).to_owned();
        let is_literal = address::literal(domain.as_ref()).is_some_and(|inner| {
            host::literal_address(inner, false)
                .is_some_and(|plain| host::valid_hostaddr(plain).is_ok())
        });
        if host::valid_hostname(domain.as_ref()).is_err() && !is_literal {
            return self.reply_protocol_error("501 Error: invalid parameter syntax");
        }
        if self.alone {
            self.reply("458 Unable to queue messages")?;
            return Ok(Outcome::Bad);
        }
        self.etrn_name = Some(domain.clone());
        let checked = self.check_etrn(domain.as_ref());
        self.etrn_name = None;
        if let Err(rejection) = checked {
            return self.reply_rejection(rejection);
        }
        let service = self.config().get(params::FLUSH_SERVICE_NAME);
        let timeout = self.server.set.ipc_timeout;
        let answer = match self.server.networks.flush_domains.matches(domain.as_ref()) {
            Ok(true) => submit::flush_site(&service, timeout, &domain).ok(),
            Ok(false) => Some(status::DENY),
            Err(_) => None,
        };
        match answer {
            Some(status::OK) => self.succeed("250 Queuing started"),
            Some(status::DENY) => {
                let shown = self.masked(&domain);
                log::warn!("reject: ETRN {shown}... from {}", self.client.namaddr);
                self.reply(format!(
                    "459 <{}>: service unavailable",
                    domain.to_str_lossy()
                ))?;
                Ok(Outcome::Bad)
            }
            other => {
                if other.is_some() {
                    log::warn!(
                        "bad ETRN {}... from {}",
                        self.masked(&domain),
                        self.client.namaddr
                    );
                } else {
                    log::warn!("unable to talk to fast flush service");
                }
                self.reply("458 Unable to queue messages")?;
                Ok(Outcome::Bad)
            }
        }
    }
}
