//! The commands by name, and how often each was given.
//!
//! The order is that of the `disconnect from` line. Source: smtpd.md §1.

use std::fmt::Write as _;

/// An SMTP command, or whatever else a client said.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs, reason = "the names are the commands")]
pub(crate) enum Verb {
    Helo,
    Ehlo,
    Xclient,
    Xforward,
    Starttls,
    Auth,
    Mail,
    Rcpt,
    Data,
    Bdat,
    Rset,
    Noop,
    Vrfy,
    Etrn,
    Quit,
    Help,
    Unknown,
}

use Verb::{
    Auth, Bdat, Data, Ehlo, Etrn, Helo, Help, Mail, Noop, Quit, Rcpt, Rset, Starttls, Unknown,
    Vrfy, Xclient, Xforward,
};

impl Verb {
    const ALL: [Self; 17] = [
        Helo, Ehlo, Xclient, Xforward, Starttls, Auth, Mail, Rcpt, Data, Bdat, Rset, Noop, Vrfy,
        Etrn, Quit, Help, Unknown,
    ];

    /// The command named `word`, in any case; `HELP` only when `help` says that it exists.
    pub(crate) fn parse(word: &[u8], help: bool) -> Self {
        let known = Self::ALL
            .into_iter()
            .find(|verb| word.eq_ignore_ascii_case(verb.name().as_bytes()));
        match known {
            Some(Help) if !help => Unknown,
            Some(verb) => verb,
            None => Unknown,
        }
    }

    /// The name in upper case, as log lines show it.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Helo => "HELO",
            Ehlo => "EHLO",
            Xclient => "XCLIENT",
            Xforward => "XFORWARD",
            Starttls => "STARTTLS",
            Auth => "AUTH",
            Mail => "MAIL",
            Rcpt => "RCPT",
            Data => "DATA",
            Bdat => "BDAT",
            Rset => "RSET",
            Noop => "NOOP",
            Vrfy => "VRFY",
            Etrn => "ETRN",
            Quit => "QUIT",
            Help => "HELP",
            Unknown => "UNKNOWN",
        }
    }

    /// Too many of these without mail in between are errors (`smtpd_junk_command_limit`).
    pub(crate) fn is_limited(self) -> bool {
        matches!(self, Helo | Ehlo | Rset | Noop | Vrfy | Etrn)
    }

    /// The client must wait for the reply before it sends more (RFC 2920 §3.1).
    pub(crate) fn ends_batch(self) -> bool {
        matches!(self, Helo | Ehlo | Data | Noop | Vrfy)
    }
}

/// How often each command was given, and how often it succeeded.
#[derive(Debug, Default)]
pub(crate) struct Statistics {
    counts: [(u64, u64); Verb::ALL.len()],
}

impl Statistics {
    /// Counts a command that was begun.
    pub(crate) fn begin(&mut self, verb: Verb) {
        if let Some((_, total)) = self.counts.get_mut(verb as usize) {
            *total += 1;
        }
    }

    /// Counts the success of a command that was begun.
    pub(crate) fn succeed(&mut self, verb: Verb) {
        if let Some((good, _)) = self.counts.get_mut(verb as usize) {
            *good += 1;
        }
    }

    /// The end of the `disconnect from` line: ` helo=1 rcpt=1/2 … commands=2/3`.
    pub(crate) fn summary(&self) -> String {
        let mut text = String::new();
        let (mut all_good, mut all) = (0, 0);
        for verb in Verb::ALL {
            let (good, total) = self.counts.get(verb as usize).copied().unwrap_or_default();
            all_good += good;
            all += total;
            if total > 0 {
                push(&mut text, &verb.name().to_ascii_lowercase(), good, total);
            }
        }
        if all == 0 {
            text.push_str(" commands=0/0");
        } else {
            push(&mut text, "commands", all_good, all);
        }
        text
    }
}

fn push(text: &mut String, name: &str, good: u64, total: u64) {
    // Writing to a string cannot fail.
    let _ = if good == total {
        write!(text, " {name}={good}")
    } else {
        write!(text, " {name}={good}/{total}")
    };
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statistics_show_totals_only_where_something_failed() {
        let mut statistics = Statistics::default();
        assert_eq!(statistics.summary(), " commands=0/0");
        for (verb, good) in [
            (Helo, true),
            (Mail, true),
            (Mail, false),
            (Unknown, false),
            (Quit, true),
        ] {
            statistics.begin(verb);
            if good {
                statistics.succeed(verb);
            }
        }
        assert_eq!(
            statistics.summary(),
            " helo=1 mail=1/2 quit=1 unknown=0/1 commands=3/5"
        );
    }

    #[test]
    fn help_is_a_command_only_when_the_level_has_it() {
        assert_eq!(Verb::parse(b"help", false), Unknown);
        assert_eq!(Verb::parse(b"help", true), Help);
        assert_eq!(Verb::parse(b"mAiL", false), Mail);
        assert_eq!(Verb::parse(b"UNKNOWN", false), Unknown);
    }
}
