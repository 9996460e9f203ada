//! Mail for users that do not exist (delivery.md §3.7).

use bstr::ByteSlice;
use postern_delivery::Outcome;

use crate::alias::qualify;
use crate::expand::deliver_resolved;
use crate::job::{Job, configuration_error, dsn};
use crate::macros::Macros;
use crate::mail::{LEVEL_STEP, Mail, Source};
use crate::mailbox;

/// Users that every mail system has; mail for them never bounces.
const REQUIRED: [&str; 2] = ["postmaster", "mailer-daemon"];

/// Another transport, the relay for unknown users, or a bounce.
pub(crate) fn deliver(job: &mut Job<'_>, mail: &Mail) -> Outcome {
    let transport = job.local.settings.fallback_transport.clone();
    match mailbox::pass_on(
        job,
        mail,
        |tables| &mut tables.fallback_transport,
        &transport,
    ) {
        Ok(None) => {}
        Ok(Some(outcome)) => return outcome,
        Err(failure) => return job.fail(mail, &failure),
    }
    if let Some(outcome) = relay(job, mail) {
        return outcome;
    }
    let user = &mail.parts.user;
    if is_required(mail) {
        // The relay has led back to an alias that should exist: nobody is left to be told.
        if mail.source == Source::LuserRelay {
            return Outcome::Done;
        }
        log::warn!("required alias not found: {user}");
        return job.sent(mail, &dsn("2.0.0", "discarded"));
    }
    let reason = format!("unknown user: \"{user}\"");
    job.fail(mail, &dsn("5.1.1", reason))
}

fn is_required(mail: &Mail) -> bool {
    REQUIRED.iter().any(|name| mail.parts.user == *name)
}

/// `luser_relay`: one address; `None` when it is not set or leads back here.
fn relay(job: &mut Job<'_>, mail: &Mail) -> Option<Outcome> {
    let settings = &job.local.settings;
    if settings.luser_relay.is_empty() {
        return None;
    }
    let macros = Macros {
        mail,
        rights: None,
        delimiters: &settings.extensions.delimiters,
        filter: None,
    };
    let Some(expanded) = macros.expand(&settings.luser_relay) else {
        return Some(job.fail(mail, &configuration_error("4.3.5")));
    };
    let address = match qualify(job, expanded.text.as_bstr()) {
        Ok(address) => address,
        Err(failure) => return Some(job.fail(mail, &failure)),
    };
    if address.eq_ignore_ascii_case(&mail.recipient.recipient) {
        return None;
    }
    let mut next = mail.clone();
    next.unmatched = None;
    next.source = Source::LuserRelay;
    next.level += LEVEL_STEP;
    Some(deliver_resolved(job, &next, address))
}
