//! The parts of a log record: `Mon DD HH:MM:SS HOST SENDER[PID]: TEXT`.

use postern_maillog::Severity;

/// A record without date and host.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Record<'a> {
    /// Tag and process id of the sender, `tag[pid]`.
    pub(crate) sender: &'a str,
    /// From the text's prefix.
    pub(crate) severity: Severity,
    /// The text with its severity prefix.
    pub(crate) text: &'a str,
}

impl<'a> Record<'a> {
    /// Takes a record apart; `None` when it is none.
    pub(crate) fn parse(record: &'a str) -> Option<Self> {
        let mut rest = record;
        for _ in ["month", "day", "time", "host"] {
            rest = rest.trim_start_matches(' ').split_once(' ')?.1;
        }
        let (sender, text) = rest.split_once(": ").or_else(|| rest.split_once(':'))?;
        if sender.is_empty() || sender.contains(' ') {
            return None;
        }
        let known = [
            Severity::Warning,
            Severity::Error,
            Severity::Fatal,
            Severity::Panic,
        ];
        let severity = known
            .into_iter()
            .find(|severity| text.starts_with(severity.prefix()));
        Some(Self {
            sender,
            severity: severity.unwrap_or(Severity::Info),
            text,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_are_taken_apart() {
        #[rustfmt::skip]
        let cases = [
            ("Nov 22 13:16:53 mx mytag[32607]: hello: world", Some(("mytag[32607]", Severity::Info, "hello: world"))),
            ("Nov 02 13:16:53 mx postfix/smtpd[1]: warning: x", Some(("postfix/smtpd[1]", Severity::Warning, "warning: x"))),
            ("Nov 02 13:16:53 mx postfix/x[1]: ", Some(("postfix/x[1]", Severity::Info, ""))),
            ("Nov 02 13:16:53 mx", None),
            ("Nov 02 13:16:53 mx no sender: text", None),
            ("", None),
        ];
        for (line, want) in cases {
            let want = want.map(|(sender, severity, text)| Record {
                sender,
                severity,
                text,
            });
            assert_eq!(Record::parse(line), want, "{line:?}");
        }
    }
}
