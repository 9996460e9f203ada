//! The MIME structure of a message as it streams by: which lines are headers of what, and which
//! are body (RFC 2045, RFC 2046).
//!
//! Lines go in with [`MimeState::line`], events come out through [`Handler`]; nothing but the
//! current header and the open boundaries is kept. Also converts 8-bit parts to quoted-printable
//! (RFC 6152 §3) when asked. What to do with the events is the caller's business.

use bstr::{BStr, BString, ByteSlice};

use crate::header::{self, Word};

/// Where a header stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    /// The message's own header.
    Primary,
    /// The header of a part of a multipart.
    Mime,
    /// The header of an attached message.
    Nested,
}

/// Something wrong with the structure; `Display` is the text for client and log. In the order in which
/// the sender is told one of several.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, thiserror::Error)]
pub enum MimeError {
    /// More multiparts inside each other than allowed.
    #[error("MIME nesting exceeds safety limit")]
    Nesting,
    /// 8-bit data in a header.
    #[error("improper use of 8-bit data in message header")]
    EightBitHeader,
    /// 8-bit data in a part that is not declared so.
    #[error("improper use of 8-bit data in message body")]
    EightBitBody,
    /// An encoded message/* or multipart/*.
    #[error("invalid message/* or multipart/* encoding domain")]
    EncodingDomain,
}

impl MimeError {
    /// Enhanced status code of every MIME error.
    pub const DSN: &'static str = "5.6.0";

    fn bit(self) -> u8 {
        match self {
            Self::Nesting => 1,
            Self::EightBitHeader => 2,
            Self::EightBitBody => 4,
            Self::EncodingDomain => 8,
        }
    }
}

/// Limits and switches.
#[derive(Debug, Clone)]
pub struct Options {
    /// `disable_mime_input_processing = no`: look beyond the primary header.
    pub parse_structure: bool,
    /// Convert 8-bit parts to quoted-printable.
    pub downgrade: bool,
    /// Report each of these once.
    pub report_nesting: bool,
    /// See [`MimeError::EightBitHeader`].
    pub report_8bit_header: bool,
    /// See [`MimeError::EightBitBody`].
    pub report_8bit_body: bool,
    /// See [`MimeError::EncodingDomain`].
    pub report_encoding_domain: bool,
    /// `mime_nesting_limit`.
    pub nesting_limit: usize,
    /// `mime_boundary_length_limit`, bytes.
    pub boundary_length_limit: usize,
    /// `header_size_limit`, bytes; a header that reached it takes no further lines.
    pub header_size_limit: usize,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            parse_structure: true,
            downgrade: false,
            report_nesting: false,
            report_8bit_header: false,
            report_8bit_body: false,
            report_encoding_domain: false,
            nesting_limit: 100,
            boundary_length_limit: 2048,
            header_size_limit: 102_400,
        }
    }
}

/// Whether a piece of text ends its line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LineEnd {
    /// Yes.
    End,
    /// The line goes on with the next piece.
    More,
}

/// Receives the events.
pub trait Handler {
    /// One logical header, folded lines joined by `\n`, no blanks before the colon.
    fn header(&mut self, part: Part, text: &BStr);
    /// The primary header is complete. `empty_line` tells whether an empty line ends it.
    fn header_end(&mut self, empty_line: bool);
    /// A piece of body: separator lines and boundaries included. `offset` counts the bytes (with
    /// one per line end) of the current part so far.
    fn body(&mut self, text: &BStr, end: LineEnd, offset: u64);
    /// A reportable error, with the text it was found in. Each kind comes once.
    fn error(&mut self, error: MimeError, text: &BStr);
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum ContentType {
    Other,
    Text,
    /// message/rfc822: a message, never encoded.
    Rfc822,
    /// message/global: a message that may be encoded (RFC 6532 §3.7).
    Global,
    /// message/partial and message/external-body: 7-bit text (RFC 2046 §5.2.2, §5.2.3).
    SevenBitMessage,
    /// Other message types.
    Message,
    Multipart,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Encoding {
    SevenBit,
    EightBit,
    Binary,
    Base64,
    QuotedPrintable,
    Unknown,
}

impl Encoding {
    fn parse(word: &[u8]) -> Self {
        match word.to_ascii_lowercase().as_slice() {
            b"7bit" => Self::SevenBit,
            b"8bit" => Self::EightBit,
            b"binary" => Self::Binary,
            b"base64" => Self::Base64,
            b"quoted-printable" => Self::QuotedPrintable,
            _ => Self::Unknown,
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::SevenBit => "7bit",
            Self::EightBit => "8bit",
            Self::Binary => "binary",
            Self::Base64 => "base64",
            Self::QuotedPrintable => "quoted-printable",
            Self::Unknown => "unknown",
        }
    }

    fn is_8bit(self) -> bool {
        matches!(self, Self::EightBit | Self::Binary)
    }

    fn is_encoded(self) -> bool {
        matches!(self, Self::Base64 | Self::QuotedPrintable)
    }
}

/// An open multipart.
#[derive(Debug)]
struct Level {
    boundary: BString,
    /// Parts of a multipart/digest are messages unless they say otherwise.
    default_type: ContentType,
    encoding: Encoding,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Header(Part),
    Body,
}

/// The parser. One per message.
#[derive(Debug)]
pub struct MimeState {
    options: Options,
    state: State,
    /// The logical header that may still be continued.
    pending: BString,
    levels: Vec<Level>,
    content_type: ContentType,
    encoding: Encoding,
    previous: LineEnd,
    /// Bytes of the current body part.
    offset: u64,
    reported: u8,
    quoted: Quoted,
}

/// Quoted-printable output that waits for its line to end.
#[derive(Debug, Default)]
struct Quoted {
    line: BString,
    /// A blank that must be encoded if the line ends here.
    held_blank: Option<u8>,
}

impl MimeState {
    /// A parser at the start of a message.
    pub fn new(options: Options) -> Self {
        Self {
            options,
            state: State::Header(Part::Primary),
            pending: BString::default(),
            levels: Vec::new(),
            content_type: ContentType::Text,
            encoding: Encoding::SevenBit,
            previous: LineEnd::End,
            offset: 0,
            reported: 0,
            quoted: Quoted::default(),
        }
    }

    /// Whether the primary header is not yet complete.
    pub fn in_primary_header(&self) -> bool {
        self.state == State::Header(Part::Primary)
    }

    /// Takes one piece of message text, without line end.
    pub fn line(&mut self, text: &BStr, end: LineEnd, handler: &mut impl Handler) {
        let starts_line = std::mem::replace(&mut self.previous, end) == LineEnd::End;
        match self.state {
            State::Header(_) if !starts_line => self.continue_header(text, b""),
            State::Header(part) => self.header_line(part, text, end, handler),
            State::Body => {
                if starts_line && text.starts_with(b"--") && self.boundary_line(text) {
                    return self.body(text, end, handler);
                }
                self.body_text(text, end, handler);
            }
        }
    }

    /// The message is complete.
    pub fn finish(&mut self, handler: &mut impl Handler) {
        if let State::Header(part) = self.state {
            self.end_header_block(part, handler);
            if part == Part::Primary {
                handler.header_end(false);
            }
            self.state = State::Body;
        } else if self.downgrading() && self.previous == LineEnd::More {
            self.flush_quoted(handler);
        }
    }

    fn continue_header(&mut self, text: &BStr, glue: &[u8]) {
        if self.pending.len() < self.options.header_size_limit {
            self.pending.extend_from_slice(glue);
            self.pending.extend_from_slice(text);
        }
    }

    fn header_line(&mut self, part: Part, text: &BStr, end: LineEnd, handler: &mut impl Handler) {
        if !self.pending.is_empty() && matches!(text.first(), Some(b' ' | b'\t')) {
            return self.continue_header(text, b"\n");
        }
        self.flush_header(part, handler);
        if let Some((name, colon)) = header::name(text) {
            self.pending.extend_from_slice(name);
            self.pending
                .extend_from_slice(text.get(colon..).unwrap_or_default());
            return;
        }
        self.end_header_block(part, handler);
        if part == Part::Primary {
            handler.header_end(text.is_empty());
        }
        self.state = State::Body;
        self.offset = 0;
        if text.is_empty() {
            let nested = match self.content_type {
                ContentType::Rfc822 => true,
                ContentType::Global => !self.downgrading(),
                _ => false,
            };
            if nested && self.options.parse_structure {
                self.body(text, end, handler);
                self.enter_headers(Part::Nested, ContentType::Text);
            } else {
                self.body(text, end, handler);
            }
            return;
        }
        if part == Part::Primary {
            // The line is not the sender's, so it does not count.
            handler.body(BStr::new(""), LineEnd::End, self.offset);
        }
        if text.starts_with(b"--") && self.boundary_line(text) {
            return self.body(text, end, handler);
        }
        self.body_text(text, end, handler);
    }

    fn enter_headers(&mut self, part: Part, default_type: ContentType) {
        self.state = State::Header(part);
        self.content_type = default_type;
        self.encoding = Encoding::SevenBit;
    }

    /// Hands out the pending header.
    fn flush_header(&mut self, part: Part, handler: &mut impl Handler) {
        if self.pending.is_empty() {
            return;
        }
        let text = std::mem::take(&mut self.pending);
        if self.options.report_8bit_header && !text.is_ascii() {
            self.report(MimeError::EightBitHeader, BStr::new(&text), handler);
        }
        let structural = part == Part::Primary || self.options.parse_structure;
        if structural && let Some((name, value)) = header::split(BStr::new(&text)) {
            if name.eq_ignore_ascii_case(b"Content-Type") && self.options.parse_structure {
                self.content_type(value, BStr::new(&text), handler);
            } else if name.eq_ignore_ascii_case(b"Content-Transfer-Encoding") {
                if let Some(Word::Text(word)) = header::words(value).first() {
                    self.encoding = Encoding::parse(word);
                }
                if self.options.downgrade && self.encoding.is_8bit() {
                    return;
                }
            }
        }
        handler.header(part, BStr::new(&text));
        self.pending = text;
        self.pending.clear();
    }

    /// Content-Type: remembers the type and opens a multipart.
    fn content_type(&mut self, value: &BStr, text: &BStr, handler: &mut impl Handler) {
        let words = header::words(value);
        let Some(Word::Text(main)) = words.first() else {
            return;
        };
        let subtype = match words.get(1..3) {
            Some([Word::Special(b'/'), Word::Text(subtype)]) => subtype.as_bstr(),
            _ => BStr::new(""),
        };
        self.content_type = match main.to_ascii_lowercase().as_slice() {
            b"text" => ContentType::Text,
            b"message" if is_any(subtype, &["rfc822"]) => ContentType::Rfc822,
            b"message" if is_any(subtype, &["global"]) => ContentType::Global,
            b"message" if is_any(subtype, &["partial", "external-body"]) => {
                ContentType::SevenBitMessage
            }
            b"message" => ContentType::Message,
            b"multipart" => ContentType::Multipart,
            _ => ContentType::Other,
        };
        if self.content_type != ContentType::Multipart {
            return;
        }
        let default_type = if is_any(subtype, &["digest"]) {
            ContentType::Rfc822
        } else {
            ContentType::Text
        };
        if let Some(mut boundary) = boundary_parameter(&words) {
            // RFC 2046 has no limit besides 70; ours bounds memory and comparisons.
            if self.levels.len() > self.options.nesting_limit.saturating_add(1) {
                return self.report_if(
                    self.options.report_nesting,
                    MimeError::Nesting,
                    text,
                    handler,
                );
            }
            boundary.truncate(self.options.boundary_length_limit);
            self.levels.push(Level {
                boundary,
                default_type,
                encoding: Encoding::SevenBit,
            });
        }
    }

    /// After the last header of a block: encoding rules, and the replaced encoding header.
    fn end_header_block(&mut self, part: Part, handler: &mut impl Handler) {
        self.flush_header(part, handler);
        let bad_encoding = match self.content_type {
            ContentType::Multipart | ContentType::Rfc822 => self.encoding.is_encoded(),
            ContentType::SevenBitMessage => self.encoding.is_8bit(),
            _ => false,
        };
        if bad_encoding {
            let name = self.encoding.name();
            let report = self.options.report_encoding_domain && self.options.parse_structure;
            self.report_if(report, MimeError::EncodingDomain, BStr::new(name), handler);
        }
        if self.content_type == ContentType::Multipart
            && let Some(level) = self.levels.last_mut()
        {
            level.encoding = self.encoding;
        }
        if self.options.downgrade && self.encoding.is_8bit() {
            let replacement = match self.content_type {
                ContentType::Text | ContentType::Other | ContentType::Global => {
                    "Content-Transfer-Encoding: quoted-printable"
                }
                _ => "Content-Transfer-Encoding: 7bit",
            };
            handler.header(part, BStr::new(replacement));
        }
    }

    /// Whether `text` is a boundary of an open multipart; enters the part's header, or leaves the
    /// multipart.
    fn boundary_line(&mut self, text: &BStr) -> bool {
        let Some(rest) = text.strip_prefix(b"--").filter(|rest| !rest.is_empty()) else {
            return false;
        };
        let Some(index) = self
            .levels
            .iter()
            .rposition(|level| rest.starts_with(&level.boundary))
        else {
            return false;
        };
        self.levels.truncate(index + 1);
        let Some(level) = self.levels.last() else {
            return false;
        };
        if rest
            .get(level.boundary.len()..)
            .unwrap_or_default()
            .starts_with(b"--")
        {
            self.content_type = ContentType::Multipart;
            self.encoding = level.encoding;
            self.levels.pop();
            self.state = State::Body;
            self.offset = 0;
        } else {
            let default_type = level.default_type;
            self.enter_headers(Part::Mime, default_type);
        }
        true
    }

    fn downgrading(&self) -> bool {
        let leaf = self.content_type != ContentType::Multipart;
        self.options.downgrade && leaf && self.encoding.is_8bit()
    }

    /// Body text that is no boundary.
    fn body_text(&mut self, text: &BStr, end: LineEnd, handler: &mut impl Handler) {
        if self.options.report_8bit_body && !self.encoding.is_8bit() && !text.is_ascii() {
            self.report(MimeError::EightBitBody, text, handler);
        }
        if self.downgrading() {
            self.quoted_printable(text, end, handler);
        } else {
            self.body(text, end, handler);
        }
    }

    fn body(&mut self, text: &BStr, end: LineEnd, handler: &mut impl Handler) {
        handler.body(text, end, self.offset);
        let line_end = u64::from(end == LineEnd::End);
        self.offset += u64::try_from(text.len()).unwrap_or(u64::MAX) + line_end;
    }

    /// RFC 2045 §6.7; lines get a soft break once they hold 73 bytes.
    fn quoted_printable(&mut self, text: &BStr, end: LineEnd, handler: &mut impl Handler) {
        for &byte in text.iter() {
            if let Some(blank) = self.quoted.held_blank.take() {
                self.put_quoted(blank, false, handler);
            }
            match byte {
                b' ' | b'\t' => self.quoted.held_blank = Some(byte),
                _ => self.put_quoted(byte, byte < b' ' || byte == b'=' || byte > b'~', handler),
            }
        }
        if end == LineEnd::End {
            self.flush_quoted(handler);
        }
    }

    fn put_quoted(&mut self, byte: u8, encode: bool, handler: &mut impl Handler) {
        if self.quoted.line.len() > 72 {
            self.quoted.line.push(b'=');
            let line = std::mem::take(&mut self.quoted.line);
            self.body(BStr::new(&line), LineEnd::End, handler);
        }
        if encode {
            self.quoted
                .line
                .extend_from_slice(format!("={byte:02X}").as_bytes());
        } else {
            self.quoted.line.push(byte);
        }
    }

    fn flush_quoted(&mut self, handler: &mut impl Handler) {
        if let Some(blank) = self.quoted.held_blank.take() {
            self.put_quoted(blank, true, handler);
        }
        let line = std::mem::take(&mut self.quoted.line);
        self.body(BStr::new(&line), LineEnd::End, handler);
    }

    fn report_if(
        &mut self,
        enabled: bool,
        error: MimeError,
        text: &BStr,
        handler: &mut impl Handler,
    ) {
        if enabled {
            self.report(error, text, handler);
        }
    }

    fn report(&mut self, error: MimeError, text: &BStr, handler: &mut impl Handler) {
        if self.reported & error.bit() == 0 {
            self.reported |= error.bit();
            handler.error(error, text);
        }
    }
}

fn is_any(word: &[u8], names: &[&str]) -> bool {
    names
        .iter()
        .any(|name| word.eq_ignore_ascii_case(name.as_bytes()))
}

/// The value of `; boundary = value`.
fn boundary_parameter(words: &[Word]) -> Option<BString> {
    words.windows(4).find_map(|window| match window {
        [
            Word::Special(b';'),
            Word::Text(name),
            Word::Special(b'='),
            Word::Text(value),
        ] if name.eq_ignore_ascii_case(b"boundary") => Some(value.clone()),
        _ => None,
    })
}

#[cfg(test)]
mod tests;
