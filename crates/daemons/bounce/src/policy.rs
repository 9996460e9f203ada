//! Who is told what: the sender, the postmaster, nobody (dsn.md §2).

use std::path::PathBuf;

use bstr::{BStr, BString, ByteSlice};
use postern_config::{Config, params};
use postern_ipc::bounce::{FLAG_DELRCPT, NoticeBody, OneBody, VerpBody};
use postern_ipc::deliver::flag;
use postern_queue_file::{Hashing, QueueId};
use postern_server::Context;

use crate::log_file::{self, Entry};
use crate::notice::{Notice, Part};
use crate::original::Original;
use crate::template::{Class, Templates};

/// DSN NOTIFY bits.
const NOTIFY_FAILURE: i32 = 4;
const NOTIFY_DELAY: i32 = 8;
/// DSN RET: headers only.
const RET_HEADERS: i32 = 2;

/// A notice could not be queued: the client keeps the message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Failed;

/// What a request needs of the process.
pub(crate) struct Policy<'a> {
    config: &'a Config,
    service: &'a str,
    templates: &'a Templates,
    hashing: &'a Hashing,
}

/// Whom a notice about `sender`'s mail goes to.
enum Reader {
    /// The sender.
    Sender,
    /// Mail from the null sender: only the postmaster can be told.
    Postmaster,
    /// A notice to the postmaster failed: nobody is left.
    Nobody,
}

impl<'a> Policy<'a> {
    pub(crate) fn new(
        context: &'a Context,
        templates: &'a Templates,
        hashing: &'a Hashing,
    ) -> Self {
        Self {
            config: &context.config,
            service: &context.service_name,
            templates,
            hashing,
        }
    }

    /// Mail that will never be delivered, from the log.
    pub(crate) fn failure(&self, request: &NoticeBody) -> Result<(), Failed> {
        let entries = self.entries(request)?;
        self.report_failure(request, entries.as_deref())?;
        self.finish(request, entries.as_deref());
        Ok(())
    }

    /// One recipient that will never get the mail, without a log.
    pub(crate) fn failure_one(&self, request: &OneBody) -> Result<(), Failed> {
        let entry = Entry::new(&request.recipient, &request.dsn);
        self.report_failure(&request.notice, Some(&[entry]))
    }

    /// One notice per recipient, to the sender's VERP address.
    pub(crate) fn failure_verp(&self, request: &VerpBody) -> Result<(), Failed> {
        let notice = &request.notice;
        let entries = self.entries(notice)?;
        if !matches!(self.reader(&notice.sender), Reader::Sender) {
            self.report_failure(notice, entries.as_deref())?;
        } else if let Some(entries) = &entries {
            let mut original = self.original(notice);
            for entry in entries.iter().filter(|entry| wants(entry, NOTIFY_FAILURE)) {
                let sender = verp(
                    &notice.sender,
                    entry.recipient_as_named(),
                    &request.verp_delimiters,
                );
                self.notify_sender(
                    notice,
                    &mut original,
                    Class::Failure,
                    Some(&[entry]),
                    sender.as_bstr(),
                )?;
            }
            self.copy_failure(notice, &mut original, Some(entries));
        } else {
            self.report_failure(notice, None)?;
        }
        self.finish(notice, entries.as_deref());
        Ok(())
    }

    fn report_failure(
        &self,
        request: &NoticeBody,
        entries: Option<&[Entry]>,
    ) -> Result<(), Failed> {
        let mut original = self.original(request);
        match self.reader(&request.sender) {
            Reader::Nobody => {
                log::warn!(
                    "{}: undeliverable postmaster notification discarded",
                    request.queue_id
                );
                Ok(())
            }
            Reader::Postmaster => self.double_bounce(request, &mut original, entries),
            Reader::Sender => {
                let wanted = filter(entries, NOTIFY_FAILURE);
                if wanted.as_ref().is_none_or(|list| !list.is_empty()) {
                    self.notify_sender(
                        request,
                        &mut original,
                        Class::Failure,
                        wanted.as_deref(),
                        request.sender.as_bstr(),
                    )?;
                }
                self.copy_failure(request, &mut original, entries);
                Ok(())
            }
        }
    }

    /// The postmaster's copy of a failure notice; its loss is only a warning.
    fn copy_failure(
        &self,
        request: &NoticeBody,
        original: &mut Original,
        entries: Option<&[Entry]>,
    ) {
        if !self.notifies(&["bounce"]) {
            return;
        }
        let to = self.config.get(params::BOUNCE_NOTICE_RECIPIENT);
        let list: Option<Vec<&Entry>> = entries.map(|entries| entries.iter().collect());
        let notice = Notice {
            part: Part::Headers,
            ..self.postmaster(request, Class::Failure, list.as_deref(), to.as_str().into())
        };
        match notice.send(original) {
            Ok(id) => log::info!(
                "{}: postmaster non-delivery notification: {id}",
                request.queue_id
            ),
            Err(_) => log::warn!(
                "{}: postmaster notice failed while bouncing to {}",
                request.queue_id,
                request.sender
            ),
        }
    }

    fn double_bounce(
        &self,
        request: &NoticeBody,
        original: &mut Original,
        entries: Option<&[Entry]>,
    ) -> Result<(), Failed> {
        if !self.notifies(&["2bounce", "bounce"]) {
            return Ok(());
        }
        let to = self.config.get(params::P_2BOUNCE_NOTICE_RECIPIENT);
        let list: Option<Vec<&Entry>> = entries.map(|entries| entries.iter().collect());
        let notice = self.postmaster(request, Class::Failure, list.as_deref(), to.as_str().into());
        let id = notice.send(original).map_err(|_| Failed)?;
        log::info!(
            "{}: postmaster non-delivery notification: {id}",
            request.queue_id
        );
        Ok(())
    }

    /// Mail that is late. The log stays.
    pub(crate) fn delay(&self, request: &NoticeBody) -> Result<(), Failed> {
        let entries = self.entries(request)?;
        let mut original = self.original(request);
        let to_postmaster = self.notifies(&["delay"]);
        let to = self.config.get(params::DELAY_NOTICE_RECIPIENT);
        let list: Option<Vec<&Entry>> = entries.as_ref().map(|entries| entries.iter().collect());
        let copy = Notice {
            part: Part::Headers,
            ..self.postmaster(request, Class::Delay, list.as_deref(), to.as_str().into())
        };
        let log_copy =
            |id: &str| log::info!("{}: postmaster delay notification: {id}", request.queue_id);
        match self.reader(&request.sender) {
            Reader::Nobody => log::warn!(
                "{}: undeliverable postmaster notification discarded",
                request.queue_id
            ),
            Reader::Postmaster => {
                if to_postmaster {
                    log_copy(&copy.send(&mut original).map_err(|_| Failed)?);
                }
            }
            Reader::Sender => {
                let wanted = filter(entries.as_deref(), NOTIFY_DELAY);
                if wanted.as_ref().is_none_or(|list| !list.is_empty()) {
                    self.notify_sender(
                        request,
                        &mut original,
                        Class::Delay,
                        wanted.as_deref(),
                        request.sender.as_bstr(),
                    )?;
                }
                if to_postmaster {
                    match copy.send(&mut original) {
                        Ok(id) => log_copy(&id),
                        Err(_) => log::warn!(
                            "{}: postmaster notice failed while warning {}",
                            request.queue_id,
                            request.sender
                        ),
                    }
                }
            }
        }
        Ok(())
    }

    /// A delivery report.
    pub(crate) fn trace(&self, request: &NoticeBody) -> Result<(), Failed> {
        let entries = self.entries(request)?;
        // Nothing was recorded for this message: there is nothing to report.
        if entries.is_none() {
            return Ok(());
        }
        let mut original = self.original(request);
        let class = if request.flags & (flag::USER_VERIFY | flag::RECORD) != 0 {
            Class::Verify
        } else {
            Class::Success
        };
        let not_sending = |what: &str| {
            log::info!(
                "{}: not sending trace/success notification for {what} message",
                request.queue_id
            );
        };
        let list: Option<Vec<&Entry>> = entries.as_ref().map(|entries| entries.iter().collect());
        match self.reader(&request.sender) {
            Reader::Nobody => not_sending("double-bounce"),
            Reader::Postmaster if !self.notifies(&["2bounce"]) => not_sending("single-bounce"),
            Reader::Postmaster => {
                let to = self.config.get(params::P_2BOUNCE_NOTICE_RECIPIENT);
                let notice = Notice {
                    part: Part::Headers,
                    ..self.postmaster(request, class, list.as_deref(), to.as_str().into())
                };
                let id = notice.send(&mut original).map_err(|_| Failed)?;
                log::info!(
                    "{}: postmaster delivery status notification: {id}",
                    request.queue_id
                );
            }
            Reader::Sender => {
                self.notify_sender(
                    request,
                    &mut original,
                    class,
                    list.as_deref(),
                    request.sender.as_bstr(),
                )?;
            }
        }
        self.finish(request, entries.as_deref());
        Ok(())
    }

    fn notify_sender(
        &self,
        request: &NoticeBody,
        original: &mut Original,
        class: Class,
        entries: Option<&[&Entry]>,
        to: &BStr,
    ) -> Result<(), Failed> {
        let part = match class {
            Class::Failure if request.ret_flags != RET_HEADERS => Part::Whole,
            _ => Part::Headers,
        };
        let notice = Notice {
            config: self.config,
            template: self.templates.of(class),
            class,
            request,
            entries,
            sender: BStr::new(b""),
            to,
            to_postmaster: false,
            part,
        };
        let id = notice.send(original).map_err(|_| Failed)?;
        let what = match class {
            Class::Failure => "non-delivery",
            Class::Delay => "delay",
            Class::Success | Class::Verify => "delivery status",
        };
        log::info!("{}: sender {what} notification: {id}", request.queue_id);
        Ok(())
    }

    fn postmaster<'n>(
        &'n self,
        request: &'n NoticeBody,
        class: Class,
        entries: Option<&'n [&'n Entry]>,
        to: &'n BStr,
    ) -> Notice<'n> {
        Notice {
            config: self.config,
            template: self.templates.of(class),
            class,
            request,
            entries,
            sender: BStr::new(b""),
            to,
            to_postmaster: true,
            part: Part::Whole,
        }
    }

    fn reader(&self, sender: &BString) -> Reader {
        if sender.is_empty() {
            Reader::Postmaster
        } else if sender.eq_ignore_ascii_case(double_bounce_address(self.config).as_bytes()) {
            Reader::Nobody
        } else {
            Reader::Sender
        }
    }

    /// Whether notify_classes has one of `classes`.
    fn notifies(&self, classes: &[&str]) -> bool {
        let value = self.config.get(params::NOTIFY_CLASSES);
        value
            .split([' ', ',', '\t', '\r', '\n'])
            .any(|word| classes.iter().any(|class| word.eq_ignore_ascii_case(class)))
    }

    fn original(&self, request: &NoticeBody) -> Original {
        match QueueId::parse(&request.queue_id) {
            Ok(id) => Original::open(self.hashing, &request.queue_name, &id),
            Err(_) => unreachable!("the caller has checked the name"),
        }
    }

    fn log_path(&self, request: &NoticeBody) -> Option<PathBuf> {
        QueueId::parse(&request.queue_id)
            .ok()
            .map(|id| self.hashing.path(self.service, &id))
    }

    fn entries(&self, request: &NoticeBody) -> Result<Option<Vec<Entry>>, Failed> {
        let Some(path) = self.log_path(request) else {
            return Ok(None);
        };
        let (status, action) = if self.service == self.config.get(params::DEFER_SERVICE_NAME) {
            ("4.0.0", "delayed")
        } else {
            ("5.0.0", "failed")
        };
        log_file::read(&path, status, action).map_err(|error| {
            // Not "lost": it may be readable the next time.
            log::warn!(
                "open {}: {}",
                path.display(),
                postern_sys::error_text(&error)
            );
            Failed
        })
    }

    /// The notices are queued: marks the recipients where the request says so, and drops the log.
    fn finish(&self, request: &NoticeBody, entries: Option<&[Entry]>) {
        if request.flags & FLAG_DELRCPT != 0
            && let Some(entries) = entries
        {
            self.original(request)
                .mark_done(entries.iter().map(|entry| entry.recipient.offset));
        }
        if let Some(path) = self.log_path(request) {
            log_file::remove(&path);
        }
    }
}

/// Address from which postmaster notices come; mail to it is never bounced.
pub(crate) fn double_bounce_address(config: &Config) -> String {
    let name = config.get(params::DOUBLE_BOUNCE_SENDER);
    if name.contains('@') {
        name
    } else {
        format!("{name}@{}", config.get(params::MYHOSTNAME))
    }
}

fn wants(entry: &Entry, bit: i32) -> bool {
    entry.recipient.notify_flags == 0 || entry.recipient.notify_flags & bit != 0
}

fn filter(entries: Option<&[Entry]>, bit: i32) -> Option<Vec<&Entry>> {
    entries.map(|entries| entries.iter().filter(|entry| wants(entry, bit)).collect())
}

/// `prefix+user=domain@origin` (two delimiters: `+=`).
fn verp(sender: &BString, recipient: &BString, delimiters: &BString) -> BString {
    let (first, second) = match delimiters.as_slice() {
        [first, second, ..] => (*first, *second),
        _ => (b'+', b'='),
    };
    let (local, origin) = sender
        .rsplit_once_str("@")
        .unwrap_or((sender.as_slice(), b""));
    let mut out = BString::from(local);
    out.push(first);
    out.extend(
        recipient
            .iter()
            .map(|&byte| if byte == b'@' { second } else { byte }),
    );
    if !origin.is_empty() {
        out.push(b'@');
        out.extend_from_slice(origin);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn verp_address_carries_the_recipient() {
        let address = verp(
            &"owner@list.example".into(),
            &"bob@example.org".into(),
            &"+=".into(),
        );
        assert_eq!(address, "owner+bob=example.org@list.example");
    }
}
