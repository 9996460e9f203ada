//! What was said in a session, for postmaster (`notify_classes`).
//!
//! Source: smtpd.md §1 "Postmaster notices", dsn.md §8.

use bstr::{BStr, BString, ByteSlice};
use postern_config::params;
use postern_ipc::cleanup::{Submission, flag};
use postern_ipc::client::{Endpoint, PUBLIC};
use postern_queue_file::RecordType;
use postern_queue_file::record::write_record;
use std::io;

use crate::reply::ErrorClass;
use crate::session::Session;

/// Lines of a notice are folded at this width.
const WIDTH: usize = 79;
/// What continuation lines begin with.
const INDENT: &[u8] = b"    ";
/// Room for a session with one message.
const USUAL_SIZE: usize = 512;
/// A transcript keeps this many lines, whatever `smtpd_history_flush_threshold` says.
const MAX_LINES: usize = 10_000;

/// Lines of a session.
#[derive(Debug)]
pub(crate) struct Transcript {
    enabled: bool,
    /// Each line with an LF after it.
    text: Vec<u8>,
    lines: usize,
}

impl Transcript {
    /// An empty transcript; nothing is kept unless somebody may want it.
    pub(crate) fn new(enabled: bool) -> Self {
        Self {
            enabled,
            text: Vec::with_capacity(if enabled { USUAL_SIZE } else { 0 }),
            lines: 0,
        }
    }

    /// A line of the client.
    pub(crate) fn client(&mut self, line: &[u8]) {
        self.push(b"In:  ", line);
    }

    /// A reply.
    pub(crate) fn server(&mut self, reply: &[u8]) {
        if self.enabled {
            for line in reply.split(|byte| *byte == b'\n') {
                self.push(b"Out: ", line);
            }
        }
    }

    fn push(&mut self, prefix: &[u8], text: &[u8]) {
        if self.enabled && self.lines < MAX_LINES {
            self.text.extend_from_slice(prefix);
            self.text.extend_from_slice(text);
            self.text.push(b'\n');
            self.lines += 1;
        }
    }

    /// Lines so far.
    pub(crate) fn len(&self) -> usize {
        self.lines
    }

    /// Forgets everything.
    pub(crate) fn clear(&mut self) {
        self.text.clear();
        self.lines = 0;
    }
}

impl Session<'_> {
    /// Between transactions: a long transcript is sent, if postmaster wants it, and begun anew.
    pub(crate) fn trim_transcript(&mut self) {
        if self.transcript.len() > self.server.set.history_flush_threshold {
            self.send_notice();
            self.transcript.clear();
        }
    }

    /// Mails the transcript to postmaster when something in `notify_classes` happened.
    pub(crate) fn send_notice(&mut self) {
        if self.alone
            || !self.error_mask.meets(self.server.set.notify_classes)
            || self.transcript.len() == 0
        {
            return;
        }
        if let Err(error) = self.try_send_notice() {
            log::warn!("postmaster notify: {error}");
        }
    }

    fn try_send_notice(&mut self) -> io::Result<()> {
        let config = self.config();
        let recipient = if self.error_mask.meets(ErrorClass::BOUNCE)
            && self.server.set.notify_classes.meets(ErrorClass::BOUNCE)
        {
            config.get(params::BOUNCE_NOTICE_RECIPIENT)
        } else {
            config.get(params::ERROR_NOTICE_RECIPIENT)
        };
        let set = &self.server.set;
        let mut flags = flag::MASK_INTERNAL;
        let classes = config.get(params::INTERNAL_MAIL_FILTER_CLASSES);
        if crate::settings::words(&classes).any(|word| word == "notify") {
            flags |= flag::FILTER | flag::MILTER;
        }
        let at = Endpoint::new(PUBLIC, &set.cleanup_service);
        let mut mail = Submission::open(&at, set.ipc_timeout, flags).map_err(io::Error::other)?;
        let now = postern_sys::clock::unix_time();
        let sender = format!("{}@{}", set.double_bounce_sender, set.myhostname);
        let queue_id = mail.queue_id.clone();
        let date = crate::command::mail_date(now, self.server.look.date_two_digit_day());
        let out = &mut mail.channel;
        write_record(
            out,
            RecordType::TIME,
            postern_ipc::post::arrival_time().as_bytes(),
        )?;
        write_record(out, RecordType::ATTRIBUTE, b"log_message_origin=local")?;
        write_record(out, RecordType::FROM, sender.as_bytes())?;
        write_record(out, RecordType::RECIPIENT, recipient.as_bytes())?;
        write_record(out, RecordType::MESSAGE, b"")?;
        let received = [
            format!("Received: by {} ({})", set.myhostname, set.mail_name),
            format!("\tid {queue_id}; {date}"),
            format!("Date: {date}"),
        ];
        for line in &received {
            write_record(out, RecordType::TEXT, line.as_bytes())?;
        }
        let obsolete = config
            .get(params::HEADER_FROM_FORMAT)
            .eq_ignore_ascii_case("obsolete");
        for line in notice(
            &self.transcript.text,
            &self.client.namaddr,
            &set.mail_name,
            &set.myhostname,
            &recipient,
            self.reason(),
            obsolete,
        ) {
            write_record(out, RecordType::TEXT, &line)?;
        }
        write_record(out, RecordType::EXTRACTED, b"")?;
        write_record(out, RecordType::END, b"")?;
        let reply = mail.finish().map_err(io::Error::other)?;
        if reply.status != 0 {
            return Err(io::Error::other(reply.reason.to_string()));
        }
        Ok(())
    }
}

/// Headers (without Received and Date) and body.
fn notice(
    lines: &[u8],
    client: &str,
    mail_name: &str,
    hostname: &str,
    recipient: &str,
    reason: Option<&str>,
    obsolete: bool,
) -> Vec<BString> {
    let named = |name: &str, address: &str| {
        if obsolete {
            format!("{address} ({name})")
        } else {
            format!("{name} <{address}>")
        }
    };
    let mut out: Vec<BString> = vec![
        format!(
            "From: {}",
            named("Mail Delivery System", &format!("MAILER-DAEMON@{hostname}"))
        )
        .into(),
        format!("To: {}", named("Postmaster", recipient)).into(),
        format!("Subject: {mail_name} SMTP server: errors from {client}").into(),
        "".into(),
        "Transcript of session follows.".into(),
        "".into(),
    ];
    let lines = lines.split_inclusive(|byte| *byte == b'\n');
    for line in lines.filter_map(|line| line.strip_suffix(b"\n")) {
        out.extend(fold(line.as_bstr()));
    }
    out.push("".into());
    if let Some(reason) = reason {
        out.extend([
            format!("Session aborted, reason: {reason}").into(),
            "".into(),
        ]);
    } else {
        out.push("".into());
    }
    out.push("For other details, see the local mail logfile".into());
    out
}

/// Folds a line at blanks; what has none stays whole.
fn fold(line: &BStr) -> Vec<BString> {
    let mut out = Vec::new();
    let mut current = BString::from(" ");
    let text = postern_mail::printable::mask(line, postern_mail::printable::Charset::Utf8, b'?');
    let (prefix, rest) = text.split_at_checked(5).unwrap_or((&text, b""));
    current.extend_from_slice(prefix);
    let mut fresh = true;
    for word in rest.split(|byte| *byte == b' ') {
        if !fresh && current.len() + 1 + word.len() > WIDTH {
            let full = std::mem::take(&mut current);
            out.push(full.trim_ascii_end().into());
            current.push(b' ');
            current.extend_from_slice(INDENT);
        } else if !fresh {
            current.push(b' ');
        }
        current.extend_from_slice(word);
        fresh = false;
    }
    out.push(current);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_lines_are_folded_at_blanks() {
        let long = "y".repeat(70);
        let cases: Vec<(String, Vec<String>)> = vec![
            (
                "Out: 220 mx ESMTP Postfix".to_owned(),
                vec![" Out: 220 mx ESMTP Postfix".to_owned()],
            ),
            (
                format!("In:  RCPT TO:<{long}@remote.example>"),
                vec![
                    " In:  RCPT".to_owned(),
                    format!("     TO:<{long}@remote.example>"),
                ],
            ),
            (
                format!("Out: 454 4.7.1 <{long}@remote.example>: Relay access denied"),
                vec![
                    " Out: 454 4.7.1".to_owned(),
                    format!("     <{long}@remote.example>:"),
                    "     Relay access denied".to_owned(),
                ],
            ),
        ];
        for (line, want) in cases {
            assert_eq!(fold(BStr::new(&line)), want);
        }
    }

    #[test]
    fn a_notice_tells_who_and_why() {
        let text = notice(
            b"In:  QUIT\n",
            "x[192.0.2.1]",
            "Postfix",
            "mx.test",
            "bob",
            Some("timeout"),
            false,
        );
        assert_eq!(
            text[0],
            "From: Mail Delivery System <MAILER-DAEMON@mx.test>"
        );
        assert_eq!(text[1], "To: Postmaster <bob>");
        assert_eq!(
            text[2],
            "Subject: Postfix SMTP server: errors from x[192.0.2.1]"
        );
        assert_eq!(
            text[8..],
            [
                "Session aborted, reason: timeout",
                "",
                "For other details, see the local mail logfile"
            ]
        );
    }
}
