//! The envelope segment: sender, recipients and what belongs to them, in client order.

use bstr::{BStr, BString, ByteSlice};
use postern_ipc::cleanup::{flag, status};
use postern_ipc::deliver::Moment;
use postern_queue_file::{Attribute, AttributeError, RecordType};

use crate::message::{HeaderRewriting, Message, Stage};

/// Flags that an `f` record may set.
const EXTRA_FLAGS: i32 = flag::HOLD | flag::DISCARD;
/// Attributes that are looked at later.
const REMEMBERED: [&str; 5] = [
    "log_message_origin",
    "log_protocol_name",
    "log_helo_name",
    "trace_flags",
    "encoding",
];

impl Message<'_> {
    /// Handles one envelope record.
    pub(crate) fn envelope_record(&mut self, kind: RecordType, data: &BString) {
        match kind {
            RecordType::FLAGS => return self.extra_flags(data),
            // Milter state would follow a count above zero; no milters are spoken to here.
            RecordType::MILTER_COUNT => return,
            _ if !kind.is_in(RecordType::ENVELOPE) => {
                return self
                    .reject_input(&format!("unexpected record type {} in envelope", kind.0));
            }
            _ => {}
        }
        let Some((kind, data)) = self.attribute_type(kind, data) else {
            return;
        };
        if kind.is_in(RecordType::ENVELOPE_RECIPIENT) {
            if !self.begin_recipients() {
                return;
            }
        } else if self.in_recipients {
            self.mixed = true;
        }
        match kind {
            RecordType::MESSAGE => {
                self.put(RecordType::MESSAGE, b"");
                self.data_offset = self.file.offset();
                self.stage = Stage::Content;
            }
            RecordType::SIZE | RecordType::CTIME => {}
            RecordType::TIME => self.arrival_time(&data),
            RecordType::FULL_NAME => {
                if self.full_name.is_none() {
                    self.put(kind, &data);
                    self.full_name = Some(data);
                }
            }
            RecordType::FROM => self.sender_record(&data),
            RecordType::VERP => self.verp(&data),
            RecordType::WARN => {
                self.warn_seen = true;
                self.put(kind, &data);
            }
            RecordType::ATTRIBUTE => self.envelope_attribute(&data),
            RecordType::DSN_RET => self.dsn_ret(kind, &data),
            RecordType::DSN_ENVELOPE_ID => {
                self.envelope_id = data.clone();
                self.put(kind, &data);
            }
            _ => self.common_record(kind, data),
        }
    }

    /// Records that may stand in the envelope and in the extracted segment.
    pub(crate) fn common_record(&mut self, kind: RecordType, data: BString) {
        match kind {
            RecordType::ORIGINAL_RECIPIENT => self.pending.original = Some(data),
            RecordType::DSN_ORIGINAL_RECIPIENT => self.pending.dsn_original = Some(data),
            RecordType::DSN_NOTIFY => self.dsn_notify(&data),
            RecordType::RECIPIENT => self.recipient_record(BStr::new(&data)),
            // Finished in an earlier life of the message.
            RecordType::DONE | RecordType::CANCELED => self.pending = Default::default(),
            _ => self.put(kind, &data),
        }
    }

    /// Turns the attributes that have a record type of their own into that type; `None` for
    /// attributes that are dropped.
    pub(crate) fn attribute_type(
        &mut self,
        kind: RecordType,
        data: &BString,
    ) -> Option<(RecordType, BString)> {
        if kind != RecordType::ATTRIBUTE {
            return Some((kind, data.clone()));
        }
        self.attribute_count += 1;
        let limit = self.cleanup.settings.attribute_count_limit;
        if self.attribute_count > limit {
            self.reject_input(&format!("attribute count exceeds limit {limit}"));
            return None;
        }
        let attribute = match Attribute::parse(data) {
            Ok(attribute) => attribute,
            Err(error @ (AttributeError::MissingName | AttributeError::MissingEquals)) => {
                self.reject_input(&format!("malformed attribute: {error}: {data:.100}"));
                return None;
            }
        };
        if attribute.value.is_empty() {
            log::warn!(
                "{}: spurious null attribute value for \"{}\" -- ignored",
                self.queue_id,
                attribute.name
            );
            return None;
        }
        Some(match attribute.pseudo_type() {
            Some(pseudo) => (pseudo, attribute.value.to_owned()),
            None => (kind, data.clone()),
        })
    }

    fn extra_flags(&mut self, data: &BString) {
        let flags = data
            .to_str()
            .ok()
            .and_then(|text| text.parse::<i32>().ok())
            .unwrap_or(0);
        if flags & !EXTRA_FLAGS != 0 {
            log::warn!("{}: ignoring bad extra flags: {flags:#x}", self.queue_id);
        } else {
            self.flags |= flags;
        }
    }

    /// Runs before the first record of a recipient, and before the end of the envelope: what must
    /// be there by now, and the time of the delay warning.
    fn begin_recipients(&mut self) -> bool {
        if self.in_recipients {
            return true;
        }
        let Some(arrival) = self.arrival else {
            self.reject_input("missing time envelope record");
            return false;
        };
        let Some(sender) = &self.sender else {
            self.reject_input("missing sender envelope record");
            return false;
        };
        let delay = self.cleanup.settings.delay_warning_time;
        if delay > 0 && !self.warn_seen && !sender.is_empty() {
            self.warn_seen = true;
            let due = arrival.seconds.saturating_add(delay);
            self.put(RecordType::WARN, format!("{due:15}").as_bytes());
        }
        self.in_recipients = true;
        true
    }

    fn arrival_time(&mut self, data: &BString) {
        if self.arrival.is_none() {
            self.arrival = parse_time(data);
            if self.arrival.is_some() {
                self.put(RecordType::TIME, data);
            }
        }
        let created = postern_sys::clock::seconds(self.file.created);
        self.put_attribute("create_time", created.to_string().as_bytes());
    }

    fn verp(&mut self, data: &BString) {
        let filter = &self.cleanup.settings.verp_delimiter_filter;
        let usable = data.len() == 2 && data.iter().all(|byte| filter.contains(byte));
        if self.sender.as_ref().is_none_or(|sender| sender.is_empty()) {
            log::warn!("{}: ignoring VERP request for null sender", self.queue_id);
        } else if usable {
            self.put(RecordType::VERP, data);
        } else {
            log::warn!(
                "{}: ignoring bad VERP request: \"{data:.100}\"",
                self.queue_id
            );
        }
    }

    fn envelope_attribute(&mut self, data: &BString) {
        let Ok(attribute) = Attribute::parse(data) else {
            return;
        };
        let (name, value) = (attribute.name, attribute.value);
        if name == "rewrite_context" {
            self.header_rewriting = match value.as_bytes() {
                b"local" => HeaderRewriting::Local,
                b"remote" if self.cleanup.settings.remote_rewriting => HeaderRewriting::Remote,
                b"remote" => HeaderRewriting::Off,
                _ => return self.reject_input(&format!("bad rewriting context: {value:.100}")),
            };
        } else if name == "encoding" {
            self.encoding = Some(value.to_owned());
        }
        if REMEMBERED.iter().any(|known| name == *known) {
            self.attributes.insert(name.to_owned(), value.to_owned());
        }
        let name = name.to_str_lossy().into_owned();
        self.put_attribute(&name, value);
    }

    fn dsn_ret(&mut self, kind: RecordType, data: &BString) {
        match number(data).and_then(|value| i32::try_from(value).ok()) {
            Some(ret @ 1..=2) => {
                self.ret_flags = ret;
                self.put(kind, data);
            }
            _ => self.reject_input(&format!("bad DSN RET record <ret_flags={data:.200}>")),
        }
    }

    fn dsn_notify(&mut self, data: &BString) {
        match number(data).filter(|mask| postern_mail::dsn::is_valid_notify(*mask)) {
            Some(mask) => {
                self.pending.notify = mask;
                self.notify_union |= mask;
            }
            None => {
                log::warn!(
                    "{}: ignoring malformed DSN notify record <notify_flags={data:.200}>",
                    self.queue_id
                );
            }
        }
    }

    fn sender_record(&mut self, data: &BString) {
        if self.sender.is_some() {
            return self.reject_input("multiple envelope sender records");
        }
        if self.in_recipients {
            self.status |= status::BAD;
            return self.reject_input("envelope recipient precedes sender");
        }
        self.sender_address(BStr::new(data));
    }
}

fn number(data: &BString) -> Option<u32> {
    data.to_str().ok()?.parse().ok()
}

/// `<sec> <usec>`, or seconds alone.
fn parse_time(data: &BString) -> Option<Moment> {
    let mut words = data.to_str().ok()?.split_ascii_whitespace();
    let seconds = words.next()?.parse().ok()?;
    let microseconds = words.next().and_then(|text| text.parse().ok()).unwrap_or(0);
    Some(Moment {
        seconds,
        microseconds,
    })
}
