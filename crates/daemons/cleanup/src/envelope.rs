//! The envelope segment: sender, recipients and what belongs to them, in client order.

use bstr::{BStr, BString, ByteSlice};
use postern_ipc::cleanup::{flag, status};
use postern_ipc::deliver::Moment;
use postern_queue_file::{Attribute, RecordType};

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

/// A record as it is handled.
#[derive(Clone, Copy)]
pub(crate) struct Input<'r> {
    pub(crate) kind: RecordType,
    pub(crate) data: &'r BStr,
    /// The whole payload, where the type stands for a named attribute.
    payload: Option<&'r BStr>,
    /// Other named attributes, taken apart.
    attribute: Option<Attribute<'r>>,
}

impl<'r> Input<'r> {
    fn plain(kind: RecordType, data: &'r BStr) -> Self {
        Self {
            kind,
            data,
            payload: None,
            attribute: None,
        }
    }
}

impl Message<'_> {
    /// Handles one envelope record.
    pub(crate) fn envelope_record(&mut self, kind: RecordType, data: &BStr) {
        match kind {
            RecordType::FLAGS => return self.extra_flags(data),
            RecordType::MILTER_COUNT => return self.milter_record(data),
            _ if !kind.is_in(RecordType::ENVELOPE) => {
                return self
                    .reject_input(&format!("unexpected record type {} in envelope", kind.0));
            }
            _ => {}
        }
        let Some(input) = self.attribute_type(kind, data) else {
            return;
        };
        let (kind, data) = (input.kind, input.data);
        if kind.is_in(RecordType::ENVELOPE_RECIPIENT) {
            if !self.begin_recipients() {
                return;
            }
        } else if self.in_recipients {
            self.mixed = true;
        }
        match kind {
            RecordType::MESSAGE => {
                if self.recipient_count > 0 {
                    self.edits.recipients = self.reserve_pointer();
                }
                self.put(RecordType::MESSAGE, b"");
                self.data_offset = self.file.offset();
                self.stage = Stage::Content;
            }
            RecordType::SIZE | RecordType::CTIME => {}
            RecordType::TIME => self.arrival_time(data),
            RecordType::FULL_NAME => {
                if self.full_name.is_none() {
                    self.put(kind, data);
                    self.full_name = Some(data.to_owned());
                }
            }
            RecordType::FROM => self.sender_record(data),
            RecordType::VERP => self.verp(data),
            RecordType::WARN => {
                self.warn_seen = true;
                self.put(kind, data);
            }
            RecordType::ATTRIBUTE => self.envelope_attribute(input),
            RecordType::DSN_RET => self.dsn_ret(input),
            RecordType::DSN_ENVELOPE_ID => {
                self.envelope_id = data.to_owned();
                self.put_input(input);
            }
            _ => self.common_record(kind, data),
        }
    }

    /// Records that may stand in the envelope and in the extracted segment.
    pub(crate) fn common_record(&mut self, kind: RecordType, data: &BStr) {
        match kind {
            RecordType::ORIGINAL_RECIPIENT => {
                let earlier = self.pending.original.replace(data.to_owned());
                self.note_out_of_order("original recipient", earlier);
            }
            RecordType::DSN_ORIGINAL_RECIPIENT => {
                let earlier = self.pending.dsn_original.replace(data.to_owned());
                self.note_out_of_order("DSN original recipient", earlier);
            }
            RecordType::DSN_NOTIFY => self.dsn_notify(data),
            RecordType::RECIPIENT => self.recipient_record(data),
            // Finished in an earlier life of the message.
            RecordType::DONE | RecordType::CANCELED => self.pending = Default::default(),
            RecordType::KILLED => {
                self.mixed = true;
                self.put(kind, data);
            }
            _ => self.put(kind, data),
        }
    }

    fn note_out_of_order(&self, what: &str, earlier: Option<BString>) {
        if let Some(earlier) = earlier {
            log::warn!(
                "{}: ignoring out-of-order {what} record <{earlier:.200}>",
                self.queue_id
            );
        }
    }

    /// Looks at an attribute record: those that have a record type of their own are handled as
    /// that type. `None` for attributes that are dropped.
    pub(crate) fn attribute_type<'r>(
        &mut self,
        kind: RecordType,
        data: &'r BStr,
    ) -> Option<Input<'r>> {
        if kind != RecordType::ATTRIBUTE {
            return Some(Input::plain(kind, data));
        }
        let attribute = match Attribute::parse(data) {
            Ok(attribute) => attribute,
            Err(error) => {
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
        if let Some(pseudo) = attribute.pseudo_type() {
            return Some(Input {
                payload: Some(data),
                ..Input::plain(pseudo, attribute.value)
            });
        }
        let limit = self.cleanup.settings.attribute_count_limit;
        self.attribute_count += 1;
        if self.attribute_count >= limit {
            self.reject_input(&format!("attribute count exceeds limit {limit}"));
            return None;
        }
        Some(Input {
            attribute: Some(attribute),
            ..Input::plain(kind, data)
        })
    }

    fn extra_flags(&mut self, data: &BStr) {
        let flags = leading_number(data)
            .and_then(|flags| i32::try_from(flags).ok())
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

    fn arrival_time(&mut self, data: &BStr) {
        if self.arrival.is_none() {
            self.arrival = parse_time(data);
            if self.arrival.is_some() {
                self.put(RecordType::TIME, data);
            }
        }
        let created = postern_sys::clock::seconds(self.file.created);
        self.put_attribute("create_time", created.to_string().as_bytes());
    }

    fn verp(&mut self, data: &BStr) {
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

    fn envelope_attribute(&mut self, input: Input<'_>) {
        let Some(attribute) = input.attribute else {
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
        if let Some(name) = REMEMBERED.into_iter().find(|known| name == *known) {
            self.attributes.retain(|(known, _)| *known != name);
            self.attributes.push((name, value.to_owned()));
        }
        self.put(RecordType::ATTRIBUTE, input.data);
    }

    /// Copies a record as it came.
    fn put_input(&mut self, input: Input<'_>) {
        match input.payload {
            Some(payload) => self.put(RecordType::ATTRIBUTE, payload),
            None => self.put(input.kind, input.data),
        }
    }

    fn dsn_ret(&mut self, input: Input<'_>) {
        match number(input.data).and_then(|value| i32::try_from(value).ok()) {
            Some(ret @ 1..=2) => {
                self.ret_flags = ret;
                self.put_input(input);
            }
            _ => self.reject_input(&format!(
                "bad DSN RET record <ret_flags={:.200}>",
                input.data
            )),
        }
    }

    fn dsn_notify(&mut self, data: &BStr) {
        match number(data).filter(|mask| postern_mail::dsn::is_valid_notify(*mask)) {
            Some(mask) => {
                let earlier = std::mem::replace(&mut self.pending.notify, mask);
                let earlier = (earlier != 0).then(|| BString::from(earlier.to_string()));
                self.note_out_of_order("DSN notify", earlier);
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

    fn sender_record(&mut self, data: &BStr) {
        if self.sender.is_some() {
            return self.reject_input("multiple envelope sender records");
        }
        if self.in_recipients {
            self.status |= status::BAD;
            return self.reject_input("envelope recipient precedes sender");
        }
        self.sender_address(data);
        self.milters_at_connect();
    }
}

fn number(data: &BStr) -> Option<u32> {
    data.to_str().ok()?.parse().ok()
}

/// `<sec> <usec>`, or seconds alone; zero is no time.
fn parse_time(data: &BStr) -> Option<Moment> {
    let seconds = leading_number(data).filter(|seconds| *seconds != 0)?;
    let rest = data
        .trim_ascii()
        .find_byte(b' ')
        .and_then(|at| data.trim_ascii().get(at..));
    let microseconds = rest.and_then(leading_number).unwrap_or(0);
    Some(Moment {
        seconds,
        microseconds,
    })
}

/// The number at the start of the text, as atol(3) finds it.
fn leading_number(text: &[u8]) -> Option<i64> {
    let text = text.trim_ascii_start();
    let sign = usize::from(text.first() == Some(&b'-'));
    let digits = text
        .iter()
        .skip(sign)
        .take_while(|byte| byte.is_ascii_digit())
        .count();
    text.get(..sign + digits)?.to_str().ok()?.parse().ok()
}
