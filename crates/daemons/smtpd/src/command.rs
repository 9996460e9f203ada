//! The commands: which handler runs, and those that need no file of their own.

mod bdat;
mod data;
mod etrn;
mod helo;
mod mail;
mod rcpt;
mod vrfy;

use bstr::{BStr, BString};
use postern_ipc::rewrite::resolve_flag;
use postern_mail::smtp_command::{PathRules, Word, path_address};
use postern_mail::{address, host};

use crate::reply::ErrorClass;
use crate::session::{Session, Step};
use crate::transaction::Chunking;
use crate::verb::Verb;

/// What became of a command.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// It counts as a success.
    Good,
    /// It counts as an error.
    Bad,
    /// The session ends.
    Quit,
}

impl Session<'_> {
    /// Runs a command; `args` begins with its name.
    pub(crate) fn run_command(&mut self, verb: Verb, args: &[Word], line: &BStr) -> Step<Outcome> {
        match verb {
            Verb::Helo => self.helo_command(args),
            Verb::Ehlo => self.ehlo_command(args),
            Verb::Mail => self.mail_command(args),
            Verb::Rcpt => self.rcpt_command(args),
            Verb::Data => self.data_command(args),
            Verb::Bdat => self.bdat_command(args, line),
            Verb::Rset => self.rset_command(args),
            Verb::Noop => self.succeed("250 2.0.0 Ok"),
            Verb::Vrfy => self.vrfy_command(args),
            Verb::Etrn => self.etrn_command(args),
            Verb::Quit => {
                self.reply("221 2.0.0 Bye")?;
                Ok(Outcome::Quit)
            }
            Verb::Help => self.succeed(
                "214 2.0.0 Commands: AUTH BDAT DATA EHLO ETRN HELO HELP MAIL NOOP QUIT RCPT RSET STARTTLS VRFY XCLIENT XFORWARD",
            ),
            Verb::Starttls => self.starttls_command(args),
            Verb::Auth => self.auth_command(args),
            Verb::Xclient | Verb::Xforward => self.override_command(verb, args),
            // The session answers what is no command.
            Verb::Unknown => Ok(Outcome::Bad),
        }
    }

    /// Sends a reply that means success.
    pub(crate) fn succeed(&mut self, reply: impl AsRef<[u8]>) -> Step<Outcome> {
        self.reply(reply)?;
        Ok(Outcome::Good)
    }

    /// Drops the transaction: nothing of it was promised.
    pub(crate) fn end_transaction(&mut self) {
        self.transaction = None;
        self.sender = None;
        self.recipient = None;
        self.sasl_sender = None;
        self.chunking = Chunking::None;
        self.actions = crate::transaction::Actions::default();
        self.access.end_transaction();
    }

    fn rset_command(&mut self, args: &[Word]) -> Step<Outcome> {
        if args.len() > 1 {
            return self.reply_protocol_error("501 5.5.4 Syntax: RSET");
        }
        self.end_transaction();
        self.trim_transcript();
        self.succeed("250 2.0.0 Ok")
    }

    /// STARTTLS of a server without TLS.
    fn starttls_command(&mut self, args: &[Word]) -> Step<Outcome> {
        if args.len() > 1 {
            return self.reply_protocol_error("501 5.5.4 Syntax: STARTTLS");
        }
        if self.demands_tls() {
            self.reply("454 4.7.0 TLS not available due to local problem")?;
            return Ok(Outcome::Bad);
        }
        self.reply_protocol_error("502 5.5.1 Error: command not implemented")
    }

    /// AUTH of a server without logins.
    fn auth_command(&mut self, _args: &[Word]) -> Step<Outcome> {
        if self.server.set.helo_required && self.helo.is_none() {
            return self.reply_protocol_error("503 5.5.1 Error: send HELO/EHLO first");
        }
        self.reply_protocol_error("503 5.5.1 Error: authentication not enabled")
    }

    /// XCLIENT and XFORWARD: nobody is authorized.
    fn override_command(&mut self, verb: Verb, args: &[Word]) -> Step<Outcome> {
        if self.transaction.is_some() {
            return self.reply_protocol_error("503 5.5.1 Error: MAIL transaction in progress");
        }
        if args.len() < 2 {
            return self.reply_protocol_error(format!(
                "501 5.5.4 Syntax: {} attribute=value...",
                verb.name()
            ));
        }
        self.error_mask.add(ErrorClass::POLICY);
        self.reply("550 5.7.0 Error: insufficient authorization")?;
        Ok(Outcome::Bad)
    }

    /// Takes the address (internal form) out of an argument; what is wrong with it is logged.
    fn extract_address(
        &mut self,
        argument: &BStr,
        allow_empty: bool,
        smtputf8: bool,
    ) -> Option<BString> {
        let rules = PathRules {
            allow_empty,
            strict: self.server.set.strict_rfc821,
        };
        log::debug!("extract_addr: input: {}", self.masked(argument));
        let found = path_address(argument, rules)
            .ok()
            .filter(|address| self.is_usable(address.as_ref(), smtputf8));
        if let Some(address) = &found {
            log::debug!(
                "extract_addr: in: {}, result: {}",
                self.masked(argument),
                self.masked(address)
            );
        }
        if found.is_none() {
            self.error_mask.add(ErrorClass::PROTOCOL);
            let shown = self.masked(argument);
            log::warn!(
                "Illegal address syntax from {} in {} command: {shown}",
                self.client.namaddr,
                self.stage
            );
        }
        found
    }

    /// Whether mail can be addressed like that at all.
    fn is_usable(&mut self, address: &BStr, smtputf8: bool) -> bool {
        if address.is_empty() || self.alone {
            return true;
        }
        let literal = address::domain(address).and_then(address::literal);
        if literal.is_some_and(|inner| {
            host::literal_address(inner, true)
                .is_none_or(|plain| host::valid_hostaddr(plain).is_err())
        }) {
            return false;
        }
        let resolved = self.resolve(address);
        if resolved.failed() {
            // The checks that follow will say so.
            return true;
        }
        let domain_ok = smtputf8
            || address::domain(resolved.recipient.as_ref()).is_none_or(|domain| domain.is_ascii());
        resolved.flags & resolve_flag::ERROR == 0 && domain_ok
    }
}

/// The texts of arguments, joined with blanks.
fn join(args: &[Word]) -> BString {
    let parts: Vec<&[u8]> = args.iter().map(|word| word.text.as_slice()).collect();
    parts.join(&b' ').into()
}

/// Whether a word is `text`, in any case.
fn is(word: &Word, text: &str) -> bool {
    word.text.eq_ignore_ascii_case(text.as_bytes())
}

/// A time as mail headers have it, in local time.
pub(crate) fn mail_date(seconds: i64, two_digit_day: bool) -> String {
    let mut date = postern_sys::clock::local_time(seconds).mail_date();
    if two_digit_day && let Some(" ") = date.get(DAY..=DAY) {
        date.replace_range(DAY..=DAY, "0");
    }
    date
}

/// Where in a date the day begins.
const DAY: usize = "Sun, ".len();
