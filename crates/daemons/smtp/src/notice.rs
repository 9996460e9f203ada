//! Postmaster notices with the transcript of a session that went wrong (dsn.md §8).

use bstr::{BString, ByteSlice};
use postern_config::{Config, params};
use postern_ipc::post::{Envelope, InternalMail, MailClass};

use crate::role::Role;
use crate::session::Session;

/// Width of transcript lines.
const WIDTH: usize = 79;

/// Sends the transcript of `session` to the postmaster. Notices are never sent about mail that is a
/// notice itself: null and double-bounce senders.
pub fn send(config: &Config, role: Role, session: &Session, sender: &BString) {
    let double_bounce = format!(
        "{}@{}",
        config.get(params::DOUBLE_BOUNCE_SENDER),
        config.get(params::MYHOSTNAME)
    );
    if sender.is_empty() || sender.eq_ignore_ascii_case(double_bounce.as_bytes()) {
        return;
    }
    let recipient = config.get(params::ERROR_NOTICE_RECIPIENT);
    let envelope = Envelope {
        sender: double_bounce.as_bytes().as_bstr(),
        recipient: recipient.as_bytes().as_bstr(),
        class: MailClass::Notify,
        trace_flags: 0,
        smtputf8: false,
    };
    let mut mail = match InternalMail::open(config, &envelope) {
        Ok(mail) => mail,
        Err(error) => {
            log::warn!("postmaster notify: {error}");
            return;
        }
    };
    let written = text(config, role, session, &recipient)
        .iter()
        .try_for_each(|line| mail.line(line));
    if written.is_err() || mail.finish().is_err() {
        log::warn!("postmaster notify: cannot queue the notice");
    }
}

/// Header and body of a notice.
fn text(config: &Config, role: Role, session: &Session, recipient: &str) -> Vec<BString> {
    let protocol = role.name().to_ascii_uppercase();
    let (product, host) = (
        config.get(params::MAIL_NAME),
        config.get(params::MYHOSTNAME),
    );
    let mut lines: Vec<BString> = [
        format!("From: Mail Delivery System <MAILER-DAEMON@{host}>"),
        format!("To: Postmaster <{recipient}>"),
        format!(
            "Subject: {product} {protocol} client: errors from {}",
            session.long
        ),
        String::new(),
        format!("Unexpected response from {}.", session.long),
        String::new(),
        "Transcript of session follows.".to_owned(),
        String::new(),
    ]
    .into_iter()
    .map(BString::from)
    .collect();
    for line in &session.history {
        wrap(line, &mut lines);
    }
    lines.extend(["", "For other details, see the local mail logfile"].map(BString::from));
    lines
}

/// One line of the transcript, indented, continued with four more blanks. Only blanks end a line: a long
/// word stays whole.
fn wrap(text: &[u8], out: &mut Vec<BString>) {
    let mut line = BString::from(" ");
    let mut words_on_line = 0;
    for word in text.trim_ascii_end().split(|byte| *byte == b' ') {
        if words_on_line > 0 && line.len() + 1 + word.len() > WIDTH {
            out.push(std::mem::replace(&mut line, "     ".into()));
            words_on_line = 0;
        }
        if words_on_line > 0 {
            line.push(b' ');
        }
        line.extend_from_slice(word);
        words_on_line += 1;
    }
    out.push(line);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn transcript_lines_break_at_blanks_only() {
        let mut lines = Vec::new();
        let (long, short) = ("x".repeat(300), "y".repeat(40));
        wrap(
            format!("In:  550 {long} {short} {short}").as_bytes(),
            &mut lines,
        );
        assert_eq!(
            lines,
            [
                " In:  550".to_owned(),
                format!("     {long}"),
                format!("     {short}"),
                format!("     {short}")
            ]
        );
    }
}
