//! What happens to one address, step by step (delivery.md §3.2).

use std::collections::HashMap;

use bstr::{BStr, ByteSlice};
use postern_delivery::{Delivery, Outcome};
use postern_ipc::deliver::Recipient;
use postern_mail::address;

use crate::duplicates::Duplicates;
use crate::forward::Forwards;
use crate::job::{Job, dsn};
use crate::mail::{Mail, Parts, Source};
use crate::rights::Rights;
use crate::{Local, alias, dot_forward, forward, mailbox, unknown};
use postern_delivery::DeliveredTo;

/// Delivers to a recipient of the request, and submits what is to be forwarded once all the rest is
/// delivered.
pub(crate) fn deliver_top(
    local: &mut Local,
    delivery: &Delivery,
    recipient: &Recipient,
    known: &DeliveredTo,
) -> Outcome {
    let request = &delivery.request;
    let mail = Mail {
        recipient: recipient.clone(),
        sender: request.sender.clone(),
        envelope_id: request.envelope_id.clone(),
        ret_flags: request.ret_flags,
        delivered_to: recipient.recipient.clone(),
        parts: Parts::default(),
        owner: None,
        expanded_from: None,
        source: Source::Request,
        level: 0,
        unmatched: None,
    };
    let mut job = Job {
        delivery,
        relay: local.settings.service.clone(),
        seen: Duplicates::new(local.settings.duplicate_limit),
        forwards: Forwards::default(),
        visits: HashMap::new(),
        delivered_to: known,
        local,
    };
    let outcome = deliver(&mut job, mail.clone());
    if outcome == Outcome::Deferred {
        return outcome;
    }
    forward::submit(&mut job, &mail)
}

/// Delivers to one address, at any depth.
pub(crate) fn deliver(job: &mut Job<'_>, mut mail: Mail) -> Outcome {
    let key = [
        format!("{} ", mail.level).as_bytes(),
        &mail.recipient.recipient,
    ]
    .concat();
    if !job.is_first("recipient", key) {
        return Outcome::Done;
    }
    let list = mail.delivered_to.clone();
    if !job.local.settings.frozen_delivered_to {
        mail.delivered_to = mail.recipient.recipient.clone();
    }
    if job
        .delivered_to
        .contains(mail.recipient.recipient.as_bstr())
    {
        let reason = format!("mail forwarding loop for {}", shown(&mail));
        return job.fail(&mail, &dsn("5.4.6", reason));
    }
    if let Some(plain) = mail.recipient.recipient.strip_prefix(b"\\") {
        mail.recipient.recipient = plain.into();
        take_apart(job, &mut mail);
        return deliver_to_mailbox(job, &mail);
    }
    take_apart(job, &mut mail);
    if mail.parts.user.is_empty() {
        let reason = format!("null username in \"{}\"", mail.recipient.recipient);
        return job.fail(&mail, &dsn("5.1.3", reason));
    }
    if let Some(outcome) = alias::deliver(job, &mail) {
        return outcome;
    }
    if belongs_elsewhere(&mail) {
        mail.delivered_to = list;
        return forward::add(job, &mail);
    }
    deliver_to_user(job, mail)
}

/// The address as log lines and reasons show it.
fn shown(mail: &Mail) -> &BStr {
    mail.recipient.recipient.as_bstr()
}

/// Splits the address into the parts that lookups need.
fn take_apart(job: &Job<'_>, mail: &mut Mail) {
    let recipient = mail.recipient.recipient.as_bstr();
    if address::domain(recipient).is_none() {
        log::warn!("no @ in recipient address: {recipient}");
    }
    mail.parts = Parts::of(recipient, &job.local.settings.extensions);
    // The extension may become part of a file name.
    if mail
        .parts
        .extension
        .as_ref()
        .is_some_and(|extension| extension.contains(&b'/'))
    {
        log::warn!(
            "{}: address with illegal extension: {}",
            job.delivery.request.queue_id,
            mail.parts.local
        );
        mail.parts.extension = None;
        mail.parts.delimiter = None;
        mail.parts.local = mail.parts.user.clone();
    }
    mail.unmatched = mail.parts.suffix();
}

/// Whether the address stands in somebody else's list: a message of its own then goes there, so that
/// one member's trouble is not every member's.
fn belongs_elsewhere(mail: &Mail) -> bool {
    let foreign = mail
        .owner
        .as_ref()
        .is_some_and(|owner| *owner != mail.parts.user);
    foreign || mail.source == Source::Include
}

/// `.forward` file, mailbox, or nobody at all.
fn deliver_to_user(job: &mut Job<'_>, mail: Mail) -> Outcome {
    let user = match mailbox::find_user(&mail.parts.user) {
        Ok(user) => user,
        Err(failure) => return job.fail(&mail, &failure),
    };
    if let Some(user) = &user {
        let rights = Rights::of(user);
        if let Err(failure) = mailbox::check_home(job, &rights) {
            return job.fail(&mail, &failure);
        }
        if let Some(outcome) = dot_forward::deliver(job, &mail, &rights) {
            return outcome;
        }
    }
    deliver_to_mailbox(job, &mail)
}

fn deliver_to_mailbox(job: &mut Job<'_>, mail: &Mail) -> Outcome {
    match mailbox::deliver(job, mail) {
        Some(outcome) => outcome,
        None => unknown::deliver(job, mail),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn members_of_somebody_elses_list_get_a_message_of_their_own() {
        let mail = |owner: Option<&str>, source| Mail {
            recipient: Recipient::default(),
            sender: "".into(),
            envelope_id: "".into(),
            ret_flags: 0,
            delivered_to: "".into(),
            parts: Parts {
                user: "bob".into(),
                ..Parts::default()
            },
            owner: owner.map(Into::into),
            expanded_from: None,
            source,
            level: 0,
            unmatched: None,
        };
        assert!(!belongs_elsewhere(&mail(None, Source::Alias)));
        assert!(!belongs_elsewhere(&mail(Some("bob"), Source::Forward)));
        assert!(belongs_elsewhere(&mail(Some("alice"), Source::Forward)));
        assert!(belongs_elsewhere(&mail(
            Some("owner-list@x"),
            Source::Alias
        )));
        assert!(belongs_elsewhere(&mail(Some("bob"), Source::Include)));
    }
}
