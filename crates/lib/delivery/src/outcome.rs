//! What became of a recipient: sent, bounced or deferred, told to the log, to bounce(8), to verify(8)
//! and to flush(8) (delivery.md §2.2).

use std::time::Duration;

use bstr::{BStr, BString, ByteSlice};
use postern_config::{Config, Param, params};
use postern_dict::{Flags, Maps, MatchKind, MatchList};
use postern_ipc::bounce::{self, AppendBody, NoticeBody, OneBody, command};
use postern_ipc::client::{Endpoint, PRIVATE, PUBLIC};
use postern_ipc::deliver::{Dsn, MessageStats, Moment, Recipient, flag};
use postern_ipc::{flush, verify};

use crate::status_line::StatusLine;

/// DSN NOTIFY bits.
const NOTIFY_SUCCESS: i32 = 2;
const NOTIFY_DELAY: i32 = 8;

/// Whether the recipient is finished with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use]
pub enum Outcome {
    /// Delivered or bounced, and everyone who must know has been told: mark it done.
    Done,
    /// To be tried again.
    Deferred,
}

impl Outcome {
    /// The outcome of two parts of one delivery: done when both are.
    pub fn and(self, other: Self) -> Self {
        if self == Self::Done { other } else { self }
    }
}

/// Which recipient of which message, for an outcome.
#[derive(Debug, Clone, Copy)]
pub struct Report<'a> {
    /// Delivery request flags ([`flag`]).
    pub flags: i32,
    /// Queue ID.
    pub queue_id: &'a str,
    /// Time stamps.
    pub stats: &'a MessageStats,
    /// The recipient.
    pub recipient: &'a Recipient,
    /// `relay=` text.
    pub relay: &'a BStr,
}

/// What a process needs to report outcomes.
pub struct Agent {
    bounce: Endpoint,
    defer: Endpoint,
    trace: Endpoint,
    flush: Endpoint,
    verify: Endpoint,
    timeout: Duration,
    soft_bounce: bool,
    log_internal: bool,
    resolution: u32,
    negative_cache: bool,
    filter_name: &'static str,
    filter: Maps,
    fast_flush: MatchList,
}

impl Agent {
    /// Reads the parameters. `filter` is the agent's `*_delivery_status_filter`, if it has one.
    pub fn new(config: &Config, filter: Option<Param<String>>) -> Self {
        let private = |name: Param<String>| Endpoint::new(PRIVATE, &config.get(name));
        let filter_text = filter.map(|param| config.get(param)).unwrap_or_default();
        let filter_name = filter.map_or("default_delivery_status_filter", |param| param.info.name);
        Self {
            bounce: private(params::BOUNCE_SERVICE_NAME),
            defer: private(params::DEFER_SERVICE_NAME),
            trace: private(params::TRACE_SERVICE_NAME),
            flush: Endpoint::new(PUBLIC, &config.get(params::FLUSH_SERVICE_NAME)),
            verify: private(params::ADDRESS_VERIFY_SERVICE_NAME),
            timeout: config.get(params::IPC_TIMEOUT),
            soft_bounce: config.get(params::SOFT_BOUNCE),
            log_internal: config.get(params::INFO_LOG_ADDRESS_FORMAT) == "internal",
            resolution: u32::try_from(config.get(params::DELAY_LOGGING_RESOLUTION_LIMIT))
                .unwrap_or(2),
            negative_cache: config.get(params::ADDRESS_VERIFY_NEGATIVE_CACHE),
            filter_name,
            filter: Maps::open(
                config,
                filter_name,
                &filter_text,
                Flags::LOCK | Flags::UTF8_REQUEST,
            ),
            fast_flush: MatchList::open(
                config,
                params::FAST_FLUSH_DOMAINS.info.name,
                &config.get(params::FAST_FLUSH_DOMAINS),
                MatchKind::Domain,
            ),
        }
    }

    /// The recipient has the message (or, for a probe, would get it).
    pub fn sent(&mut self, report: &Report<'_>, dsn: &Dsn) -> Outcome {
        let mut dsn = self.classify("sent", b'2', dsn);
        self.apply_filter(&mut dsn);
        if report.flags & flag::MTA_VERIFY != 0 {
            return self.probe(report, &dsn, verify::recipient_status::OK);
        }
        if report.flags & flag::USER_VERIFY != 0 {
            dsn.action = "deliverable".into();
            return self.traced(report, &dsn, "deliverable");
        }
        if dsn.action.is_empty() {
            dsn.action = "delivered".into();
        }
        let notify = report.recipient.notify_flags;
        let recorded = report.flags & flag::RECORD != 0
            || (report.flags & flag::REPORT_CLEARED != 0
                && (notify == 0 || notify & NOTIFY_DELAY != 0));
        let wanted = recorded || notify & NOTIFY_SUCCESS != 0;
        if wanted && !self.append(&self.trace, report, &dsn) {
            return self.trace_failed(report);
        }
        self.log(report, &dsn, "sent");
        Outcome::Done
    }

    /// The recipient will never get the message: the sender is told.
    pub fn bounce(&mut self, report: &Report<'_>, dsn: &Dsn) -> Outcome {
        self.bounce_with(report, dsn, "bounce_append", None)
    }

    /// As [`Agent::bounce`], but a notice about this one recipient goes at once to the sender that
    /// `notice` names: the owner of a list hears of its dead members.
    pub fn bounce_one(&mut self, report: &Report<'_>, dsn: &Dsn, notice: &NoticeBody) -> Outcome {
        self.bounce_with(report, dsn, "bounce_one", Some(notice))
    }

    fn bounce_with(
        &mut self,
        report: &Report<'_>,
        dsn: &Dsn,
        caller: &str,
        notice: Option<&NoticeBody>,
    ) -> Outcome {
        let mut dsn = self.classify(caller, b'5', dsn);
        self.apply_filter(&mut dsn);
        if dsn.status.first() == Some(&b'4') {
            return self.defer_filtered(report, dsn);
        }
        self.bounce_filtered(report, dsn, notice)
    }

    /// The recipient may get the message later.
    pub fn defer(&mut self, report: &Report<'_>, dsn: &Dsn) -> Outcome {
        let mut dsn = self.classify("defer_append", b'4', dsn);
        self.apply_filter(&mut dsn);
        if dsn.status.first() == Some(&b'5') {
            return self.bounce_filtered(report, dsn, None);
        }
        self.defer_filtered(report, dsn)
    }

    /// Adds a record to the trace log without a line in the mail log: for aliases, whose members have
    /// lines of their own. Returns whether it was written.
    pub fn trace(&self, report: &Report<'_>, dsn: &Dsn) -> bool {
        self.append(&self.trace, report, dsn)
    }

    /// Logs one status line without telling any service.
    pub fn log(&self, report: &Report<'_>, dsn: &Dsn, status: &'static str) {
        let recipient = self.logged(&report.recipient.recipient);
        let original = self.logged(&report.recipient.original_recipient);
        let differs = !original.is_empty() && !original.eq_ignore_ascii_case(&recipient);
        let reason: BString = dsn
            .reason
            .iter()
            .map(|&byte| if byte == b'\n' { b' ' } else { byte })
            .collect::<Vec<u8>>()
            .into();
        let line = StatusLine {
            recipient: recipient.as_bstr(),
            original: differs.then_some(original.as_bstr()),
            relay: report.relay,
            stats: report.stats,
            now: Moment::now(),
            resolution: self.resolution,
            dsn: dsn.status.as_bstr(),
            status,
            reason: reason.as_bstr(),
        };
        log::info!("{}: {line}", report.queue_id);
    }

    fn bounce_filtered(
        &mut self,
        report: &Report<'_>,
        mut dsn: Dsn,
        notice: Option<&NoticeBody>,
    ) -> Outcome {
        if report.flags & flag::MTA_VERIFY != 0 {
            return self.probe(report, &dsn, verify::recipient_status::BOUNCE);
        }
        if report.flags & flag::USER_VERIFY != 0 {
            dsn.action = "undeliverable".into();
            return self.traced(report, &dsn, "undeliverable");
        }
        if self.soft_bounce {
            if let Some(class) = dsn.status.first_mut() {
                *class = b'4';
            }
            dsn.action = "delayed".into();
            if !self.append(&self.defer, report, &dsn) {
                log::warn!("{}: defer service failure", report.queue_id);
            }
            self.log(report, &dsn, "SOFTBOUNCE");
            return Outcome::Deferred;
        }
        dsn.action = "failed".into();
        let recorded = report.flags & flag::RECORD == 0 || self.append(&self.trace, report, &dsn);
        let told = || match notice {
            Some(notice) => self.tell_one(notice, report, &dsn),
            None => self.append(&self.bounce, report, &dsn),
        };
        if recorded && told() {
            self.log(report, &dsn, "bounced");
            return Outcome::Done;
        }
        let failure = Dsn {
            status: "4.3.0".into(),
            reason: "bounce or trace service failure".into(),
            ..Dsn::default()
        };
        self.defer_filtered(report, failure)
    }

    fn defer_filtered(&mut self, report: &Report<'_>, mut dsn: Dsn) -> Outcome {
        if report.flags & flag::MTA_VERIFY != 0 {
            return self.probe(report, &dsn, verify::recipient_status::DEFER);
        }
        if report.flags & flag::USER_VERIFY != 0 {
            dsn.action = "undeliverable".into();
            return self.traced(report, &dsn, "undeliverable");
        }
        dsn.action = "delayed".into();
        if !self.append(&self.defer, report, &dsn) {
            log::warn!("{}: defer service failure", report.queue_id);
        }
        if report.flags & flag::RECORD != 0 && !self.append(&self.trace, report, &dsn) {
            log::warn!("{}: {} service failure", report.queue_id, self.trace.name);
        }
        self.log(report, &dsn, "deferred");
        self.remember_for_flush(report);
        Outcome::Deferred
    }

    fn trace_failed(&mut self, report: &Report<'_>) -> Outcome {
        log::warn!("{}: trace service failure", report.queue_id);
        let reason = format!("{}: trace service failed", report.queue_id);
        let failure = Dsn {
            status: "4.3.0".into(),
            reason: reason.into(),
            ..Dsn::default()
        };
        self.defer_filtered(report, failure)
    }

    /// Forces the status class that a call stands for.
    fn classify(&self, caller: &str, class: u8, dsn: &Dsn) -> Dsn {
        let mut dsn = dsn.clone();
        // A caller that bounces or defers may hold the other class: the status decides nothing by itself.
        if dsn.status.first() != Some(&class) {
            if !dsn.status.is_empty() {
                log::warn!("{caller}: ignoring dsn code \"{}\"", dsn.status);
            }
            dsn.status = format!("{}.0.0", char::from(class)).into();
        }
        dsn
    }

    /// `*_delivery_status_filter`: may replace code and text, but never turn success into failure or back.
    fn apply_filter(&mut self, dsn: &mut Dsn) {
        if self.filter.is_empty() {
            return;
        }
        let key: BString = [dsn.status.as_slice(), b" ", dsn.reason.as_slice()]
            .concat()
            .into();
        // A failure is logged where it was found, and leaves the result as it is.
        let Ok(Some(result)) = self.filter.find(key.as_bstr(), false) else {
            return;
        };
        if !replace_status(dsn, result.as_bstr()) {
            log::warn!("{}: bad status code: {result}", self.filter_name);
        }
    }

    /// An address probe of this system: verify(8) learns the result under both names.
    fn probe(&self, report: &Report<'_>, dsn: &Dsn, result: i32) -> Outcome {
        let negative = result != verify::recipient_status::OK;
        let cached = !negative || self.negative_cache;
        if cached {
            self.update_verify(&report.recipient.original_recipient, result, &dsn.reason);
            if report.recipient.recipient != report.recipient.original_recipient {
                self.update_verify(&report.recipient.recipient, result, &dsn.reason);
            }
        }
        let status = match (negative, cached) {
            (false, _) => "deliverable",
            (true, true) => "undeliverable",
            (true, false) => "undeliverable-but-not-cached",
        };
        self.log(report, dsn, status);
        Outcome::Done
    }

    fn update_verify(&self, address: &BString, recipient_status: i32, reason: &BString) {
        if address.is_empty() {
            return;
        }
        let request = verify::UpdateRequest {
            request: "update".into(),
            address: address.clone(),
            recipient_status,
            reason: reason.clone(),
        };
        let asked: Result<postern_ipc::StatusReply, _> =
            postern_ipc::client::one_shot(&self.verify, self.timeout, verify::PROTOCOL, &request);
        if let Err(error) = asked {
            log::warn!("{error}");
        }
    }

    /// `sendmail -bv`: a report instead of a delivery.
    fn traced(&self, report: &Report<'_>, dsn: &Dsn, status: &'static str) -> Outcome {
        if self.append(&self.trace, report, dsn) {
            self.log(report, dsn, status);
            return Outcome::Done;
        }
        log::warn!("{}: trace service failure", report.queue_id);
        Outcome::Deferred
    }

    /// Adds the recipient to a log of bounce(8). Only the trace bits of the flags go along.
    fn append(&self, service: &Endpoint, report: &Report<'_>, dsn: &Dsn) -> bool {
        let mut dsn = dsn.clone();
        if service.name == self.trace.name && report.relay != "none" {
            dsn.reason = format!("delivery via {}: {}", report.relay, dsn.reason).into();
        }
        let body = AppendBody {
            flags: report.flags & (flag::TRACE_ONLY | flag::RECORD | flag::REPORT_CLEARED),
            queue_id: report.queue_id.to_owned(),
            recipient: report.recipient.clone(),
            dsn,
        };
        match bounce::ask(service, self.timeout, command::APPEND, &body) {
            Ok(status) => status == 0,
            Err(error) => {
                log::warn!("{error}");
                false
            }
        }
    }

    fn tell_one(&self, notice: &NoticeBody, report: &Report<'_>, dsn: &Dsn) -> bool {
        let body = OneBody {
            notice: notice.clone(),
            recipient: report.recipient.clone(),
            dsn: dsn.clone(),
        };
        match bounce::ask(&self.bounce, self.timeout, command::ONE, &body) {
            Ok(status) => status == 0,
            Err(error) => {
                log::warn!("{error}");
                false
            }
        }
    }

    /// ETRN and `postqueue -s` find deferred mail by the recipient's domain.
    fn remember_for_flush(&mut self, report: &Report<'_>) {
        let recipient = &report.recipient.recipient;
        let Some(at) = recipient.rfind_byte(b'@') else {
            return;
        };
        let domain = &recipient[at + 1..];
        match self.fast_flush.matches(domain.as_bstr()) {
            Ok(true) if !domain.is_empty() => {}
            Ok(_) => return,
            Err(_) => return log::warn!("{}: flush service failure", report.queue_id),
        }
        let body = flush::AddBody {
            site: domain.into(),
            queue_id: report.queue_id.into(),
        };
        if let Err(error) = flush::add(&self.flush, self.timeout, &body) {
            log::warn!("{error}");
            log::warn!("{}: flush service failure", report.queue_id);
        }
    }

    fn logged(&self, address: &BString) -> BString {
        if self.log_internal {
            address.clone()
        } else {
            postern_mail::address::quote(address.as_bstr())
        }
    }
}

/// Takes code and text from a status filter's `result`; without a text the old one stays. Nothing is
/// taken from a result without code, or of which a success would become a failure or the reverse.
fn replace_status(dsn: &mut Dsn, result: &BStr) -> bool {
    let end = result.find_byteset(b" \t").unwrap_or(result.len());
    let (code, text) = result.split_at(end);
    let success = |status: &[u8]| status.first() == Some(&b'2');
    if !postern_mail::dsn::is_status(code.as_bstr()) || success(code) != success(&dsn.status) {
        return false;
    }
    dsn.status = code.into();
    let text = text.trim_ascii_start();
    if !text.is_empty() {
        dsn.reason = text.into();
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn status_filters_replace_code_and_text() {
        for (result, want) in [
            ("4.2.2 later", Some("4.2.2 later")),
            ("5.3.6", Some("5.3.6 old text")),
            ("4.2.2\t x", Some("4.2.2 x")),
            ("2.0.0 fine", None),
            ("garbage", None),
        ] {
            let mut dsn = Dsn {
                status: "5.1.1".into(),
                reason: "old text".into(),
                ..Dsn::default()
            };
            let taken = replace_status(&mut dsn, result.into());
            assert_eq!(taken, want.is_some(), "{result}");
            let now = format!("{} {}", dsn.status, dsn.reason);
            assert_eq!(now, want.unwrap_or("5.1.1 old text"), "{result}");
        }
    }
}
