//! The Received: header of mail that comes in by SMTP.
//!
//! Pure. Source: smtpd.md §8, RFC 5321 §4.4.

use bstr::BString;

/// What the header tells.
#[derive(Debug)]
pub(crate) struct Received<'a> {
    /// HELO name, or the client's name without one.
    pub(crate) helo: &'a [u8],
    /// Verified client name.
    pub(crate) client_name: &'a str,
    /// Client address, `IPv6:` included.
    pub(crate) client_address: &'a str,
    /// Lines about encryption and login, each beginning with a tab.
    pub(crate) extra: &'a [BString],
    /// `myhostname`.
    pub(crate) hostname: &'a str,
    /// `mail_name`.
    pub(crate) mail_name: &'a str,
    /// See [`protocol`].
    pub(crate) with: &'a str,
    /// Queue ID; `None` before a proxy filter.
    pub(crate) queue_id: Option<&'a str>,
    /// The only recipient, in external form.
    pub(crate) recipient: Option<&'a [u8]>,
    /// Arrival time as an RFC 5322 date.
    pub(crate) date: &'a str,
    /// Leave out everything about the client (`smtpd_hide_client_session`).
    pub(crate) hide_client: bool,
}

impl Received<'_> {
    /// The lines of the header, without line ends.
    pub(crate) fn lines(&self) -> Vec<BString> {
        let mut lines = Vec::new();
        let mut by = Vec::with_capacity(8);
        if self.hide_client {
            by.extend(["Received: by ", self.hostname, " (", self.mail_name, ")"]);
        } else {
            let from = [
                b"Received: from ",
                self.helo,
                b" (",
                self.client_name.as_bytes(),
                b" [",
                self.client_address.as_bytes(),
                b"])",
            ];
            lines.push(from.concat().into());
            lines.extend(self.extra.iter().cloned());
            by.extend(["\tby ", self.hostname, " (", self.mail_name]);
            by.extend([") with ", self.with]);
        }
        if let Some(queue_id) = self.queue_id {
            by.extend([" id ", queue_id]);
        }
        let mut by = BString::from(by.concat());
        let date = self.date.as_bytes();
        let last = match self.recipient {
            Some(recipient) => [b"\tfor <", recipient, b">; ", date].concat(),
            None => {
                by.push(b';');
                [b"\t", date].concat()
            }
        };
        lines.extend([by, last.into()]);
        lines
    }
}

/// The protocol word (RFC 3848, RFC 6531 §4.3): encryption and login count for ESMTP only.
pub(crate) fn protocol(esmtp: bool, smtputf8: bool, tls: bool, authenticated: bool) -> String {
    let mut word = if smtputf8 {
        "UTF8SMTP"
    } else if esmtp {
        "ESMTP"
    } else {
        "SMTP"
    }
    .to_owned();
    if esmtp && tls {
        word.push('S');
    }
    if esmtp && authenticated {
        word.push('A');
    }
    word
}

#[cfg(test)]
mod tests {
    use super::*;

    fn received() -> Received<'static> {
        Received {
            helo: b"h.example.org",
            client_name: "unknown",
            client_address: "192.0.2.7",
            extra: &[],
            hostname: "mx.example.test",
            mail_name: "Postfix",
            with: "ESMTP",
            queue_id: Some("ABC"),
            recipient: Some(b"alice@example.test"),
            date: "DATE",
            hide_client: false,
        }
    }

    #[test]
    fn one_recipient_is_named() {
        let lines = received().lines();
        assert_eq!(
            lines[0],
            "Received: from h.example.org (unknown [192.0.2.7])"
        );
        assert_eq!(lines[1], "\tby mx.example.test (Postfix) with ESMTP id ABC");
        assert_eq!(lines[2], "\tfor <alice@example.test>; DATE");
    }

    #[test]
    fn several_recipients_are_not() {
        let lines = Received {
            recipient: None,
            ..received()
        }
        .lines();
        assert_eq!(
            lines[1],
            "\tby mx.example.test (Postfix) with ESMTP id ABC;"
        );
        assert_eq!(lines[2], "\tDATE");
    }

    #[test]
    fn hidden_sessions_show_this_system_only() {
        let lines = Received {
            hide_client: true,
            queue_id: None,
            ..received()
        }
        .lines();
        assert_eq!(
            lines,
            [
                "Received: by mx.example.test (Postfix)",
                "\tfor <alice@example.test>; DATE"
            ]
        );
    }

    #[test]
    fn protocol_words_follow_the_registry() {
        assert_eq!(protocol(false, false, true, true), "SMTP");
        assert_eq!(protocol(true, false, true, true), "ESMTPSA");
        assert_eq!(protocol(false, true, true, false), "UTF8SMTP");
        assert_eq!(protocol(true, true, false, true), "UTF8SMTPA");
    }
}
