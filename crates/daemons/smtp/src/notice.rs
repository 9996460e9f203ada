//! Postmaster notices with the transcript of a session that went wrong (dsn.md §8).

use bstr::{BString, ByteSlice};
use postern_config::{Config, params};
use postern_ipc::post::{Envelope, InternalMail, MailClass};
use postern_mail::wrap::wrap;

use crate::role::Role;
use crate::session::Session;

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
        // Indented, and continued with four more blanks.
        lines.extend(wrap(line, " ", "     "));
    }
    lines.extend(["", "For other details, see the local mail logfile"].map(BString::from));
    lines
}
