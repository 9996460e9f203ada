//! Goes through the records of one file and shows those that are wanted.

use std::io::{self, Write};

use bstr::ByteSlice;
use postern_command::json_string;
use postern_mail::header;
use postern_mail::printable::{Charset, quote_for_log};
use postern_queue_file::{Attribute, ReadOptions, Reader, Record, RecordError, RecordType};
use postern_sys::clock::local_time;
use postern_sys::error_text;
use postern_sys::nix::errno::Errno;

use crate::as_string;
use crate::options::Options;
use crate::source::{Input, Source};

/// Why the showing ended early. `Display` follows `fatal: `.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ShowError {
    /// The reason was told as a warning.
    #[error("record read error")]
    Read,
    /// The same, where pointers are shown.
    #[error("bad pointer record, or input is not seekable")]
    Pointer,
    #[error("seek error: {}", error_text(.0))]
    Seek(io::Error),
    #[error("write error: {}", error_text(.0))]
    Output(#[from] io::Error),
}

/// Part of the file that the next record belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Segment {
    Envelope,
    Header,
    Body,
    Extracted,
}

/// Whether there is more to show.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Next {
    Go,
    Stop,
}

/// One file being shown.
pub(crate) struct Shower<'a> {
    name: String,
    /// The file is empty or starts with a letter of envelope records, whatever follows.
    valid_start: bool,
    reader: Reader<Input>,
    options: &'a Options,
    out: &'a mut dyn Write,
    /// Where the next record to be shown was looked for: before what is skipped on the way to it.
    shown_offset: u64,
    segment: Segment,
    /// The size record came.
    sized: bool,
    /// Where to go on after the `M` record, when the content is not to be shown.
    content_end: Option<u64>,
    /// The line of the last text record goes on.
    in_line: bool,
    /// Something of the current output line is out.
    at_line_start: bool,
}

impl<'a> Shower<'a> {
    pub(crate) fn new(mut source: Source, options: &'a Options, out: &'a mut dyn Write) -> Self {
        Self {
            valid_start: source
                .first_letter()
                .is_none_or(|letter| RecordType(letter).is_in(RecordType::ENVELOPE)),
            name: source.name,
            // Pointers may have to be shown; they are followed here.
            reader: Reader::with_options(source.input, ReadOptions::RAW),
            options,
            out,
            shown_offset: 0,
            segment: Segment::Envelope,
            sized: false,
            content_end: None,
            in_line: false,
            at_line_start: true,
        }
    }

    /// Shows the file. Input that is no queue file is worth only a warning.
    pub(crate) fn run(&mut self) -> Result<(), ShowError> {
        let start = self.options.start;
        if start > 0 {
            self.reader.seek(start).map_err(ShowError::Seek)?;
        }
        let mut is_first = start == 0;
        if is_first && !self.valid_start {
            log::warn!("{}: input is not a valid queue file", self.name);
            return Ok(());
        }
        self.shown_offset = self.reader.offset();
        while let Some(record) = self.read()? {
            if self.record(&record, is_first)? == Next::Stop {
                break;
            }
            is_first = false;
            if self.options.verbose > 0
                || !matches!(record.kind, RecordType::PADDING | RecordType::POINTER)
            {
                self.shown_offset = self.reader.offset();
            }
        }
        Ok(self.out.flush()?)
    }

    fn read(&mut self) -> Result<Option<Record>, ShowError> {
        self.reader
            .next_record()
            .map_err(|error| self.damaged(&error))
    }

    fn damaged(&mut self, error: &RecordError) -> ShowError {
        let reason = match error {
            RecordError::Io(error) => error_text(error),
            RecordError::BadPointer(value) => {
                let value = quote_for_log(as_string(value).trim_ascii_start(), Charset::Utf8);
                format!("malformed pointer record value: {value}")
            }
            other => other.to_string(),
        };
        match self.warn(&format!("{}: {reason}", self.name)) {
            Ok(()) => ShowError::Read,
            Err(error) => ShowError::Output(error),
        }
    }

    fn bad_pointer(&mut self, error: &RecordError) -> ShowError {
        match self.damaged(error) {
            ShowError::Read
                if self.options.verbose > 0 && matches!(error, RecordError::BadPointer(_)) =>
            {
                ShowError::Pointer
            }
            other => other,
        }
    }

    /// Logs a warning after what is already shown.
    fn warn(&mut self, text: &str) -> io::Result<()> {
        self.out.flush()?;
        log::warn!("{text}");
        Ok(())
    }

    fn record(&mut self, record: &Record, is_first: bool) -> Result<Next, ShowError> {
        let attribute = if record.kind == RecordType::ATTRIBUTE {
            Attribute::parse(&record.data).map(Some)
        } else {
            Ok(None)
        };
        if let Err(error) = attribute
            && self.is_wanted()
        {
            let shown = quote_for_log(&record.data, Charset::Utf8);
            self.warn(&format!(
                "{}: malformed attribute: {error}: {shown}",
                self.name
            ))?;
        }
        if is_first && self.options.envelope {
            self.file_marker("ENVELOPE RECORDS")?;
        }
        match record.kind {
            RecordType::SIZE => return self.size(record),
            RecordType::MESSAGE | RecordType::EXTRACTED | RecordType::END => {
                return self.mark(record);
            }
            RecordType::PADDING => self.pad(record)?,
            RecordType::POINTER => {
                self.pad(record)?;
                if !self.options.is_raw() {
                    self.reader
                        .follow(record.data.as_bstr())
                        .map_err(|error| self.bad_pointer(&error))?;
                }
            }
            RecordType::TEXT => return self.text(record),
            RecordType::TEXT_PART if matches!(self.segment, Segment::Header | Segment::Body) => {
                return self.text(record);
            }
            RecordType::ATTRIBUTE => {
                if let Ok(Some(attribute)) = attribute {
                    self.attribute(record, attribute)?;
                }
            }
            _ => self.envelope(record)?,
        }
        Ok(Next::Go)
    }

    /// Whether records of this segment are to be shown.
    fn is_wanted(&self) -> bool {
        match self.segment {
            Segment::Envelope | Segment::Extracted => self.options.envelope,
            Segment::Header => self.options.header,
            Segment::Body => self.options.body,
        }
    }

    /// The size record tells where the content starts, for those who want nothing else.
    fn size(&mut self, record: &Record) -> Result<Next, ShowError> {
        self.envelope(record)?;
        if self.sized {
            self.warn("file contains multiple size records")?;
            return Ok(Next::Go);
        }
        self.sized = true;
        let numbers = leading_numbers(&record.data);
        let (size, offset) = (numbers[0].unwrap_or(0), numbers[1].unwrap_or(0));
        let valid = size > 0 && offset > 0;
        if !valid {
            let shown = quote_for_log(as_string(&record.data), Charset::Utf8);
            self.warn(&format!("invalid size record: {shown}"))?;
        }
        let only_envelope = !self.options.header && !self.options.body;
        if valid && only_envelope {
            self.content_end = u64::try_from(offset.saturating_add(size)).ok();
        }
        if !self.options.envelope {
            self.seek(numbers[1].and_then(|offset| u64::try_from(offset).ok()))?;
            self.segment = Segment::Header;
        }
        Ok(Next::Go)
    }

    fn seek(&mut self, offset: Option<u64>) -> Result<(), ShowError> {
        let invalid = || io::Error::from(Errno::EINVAL);
        let done = offset
            .ok_or_else(invalid)
            .and_then(|offset| self.reader.seek(offset));
        done.map_err(ShowError::Seek)
    }

    /// A record that ends a segment.
    fn mark(&mut self, record: &Record) -> Result<Next, ShowError> {
        let in_content = matches!(self.segment, Segment::Header | Segment::Body);
        let (what, title, out_of_order) = match record.kind {
            RecordType::MESSAGE => ("message content", "MESSAGE CONTENTS", in_content),
            RecordType::EXTRACTED => ("extracted segment", "HEADER EXTRACTED", !in_content),
            _ => ("message end", "MESSAGE FILE END", in_content),
        };
        if out_of_order {
            self.warn(&format!("{}: out-of-order {what} marker", self.name))?;
        }
        if self.options.envelope {
            if !self.options.json {
                self.prefix(record)?;
            }
            self.file_marker(title)?;
        }
        self.in_line = false;
        match record.kind {
            RecordType::MESSAGE => {
                self.segment = Segment::Header;
                // Never back: a damaged size must not make this go round in circles.
                if let Some(end) = self
                    .content_end
                    .take()
                    .filter(|end| *end > self.reader.offset())
                {
                    self.seek(Some(end))?;
                }
            }
            RecordType::EXTRACTED => {
                self.segment = Segment::Extracted;
                if !self.options.envelope {
                    return Ok(Next::Stop);
                }
            }
            _ if !self.options.is_raw() => return Ok(Next::Stop),
            _ => {}
        }
        Ok(Next::Go)
    }

    fn file_marker(&mut self, title: &str) -> io::Result<()> {
        if self.options.json {
            // Each object tells where it belongs.
            return Ok(());
        }
        self.begin_line()?;
        writeln!(self.out, "*** {title} {} ***", self.name)?;
        self.at_line_start = true;
        Ok(())
    }

    fn text(&mut self, record: &Record) -> Result<Next, ShowError> {
        let in_line = std::mem::replace(&mut self.in_line, record.kind == RecordType::TEXT_PART);
        if self.segment == Segment::Header && !in_line && !is_header_line(&record.data) {
            self.segment = Segment::Body;
            if !self.options.body && !self.options.envelope {
                return Ok(Next::Stop);
            }
        }
        if !self.is_wanted() {
            return Ok(Next::Go);
        }
        let name = if record.kind == RecordType::TEXT {
            "regular_text"
        } else {
            "unterminated_text"
        };
        if self.options.json {
            self.object(record, name, &record.data)?;
            return Ok(Next::Go);
        }
        self.prefix(record)?;
        if self.options.verbose > 0 {
            write!(self.out, "{name}: ")?;
        }
        self.begin_line()?;
        self.out.write_all(&record.data)?;
        if record.kind == RecordType::TEXT || self.options.shows_records() {
            self.end_line()?;
        }
        Ok(Next::Go)
    }

    fn attribute(&mut self, record: &Record, attribute: Attribute<'_>) -> io::Result<()> {
        if !self.is_wanted() {
            return Ok(());
        }
        if attribute.name == "create_time" && !self.options.json {
            return self.line(record, "create_time", asctime(attribute.value).as_bytes());
        }
        let (name, value) = (as_string(attribute.name), as_string(attribute.value));
        self.line(record, "named_attribute", &[name, b"=", value].concat())
    }

    fn envelope(&mut self, record: &Record) -> io::Result<()> {
        if !self.is_wanted() {
            return Ok(());
        }
        let name = record.kind.name().unwrap_or("unknown_record_type");
        match record.kind {
            RecordType::TIME | RecordType::WARN if !self.options.json => {
                self.line(record, name, asctime(&record.data).as_bytes())
            }
            _ => self.line(record, name, as_string(&record.data)),
        }
    }

    /// Records without meaning of their own.
    fn pad(&mut self, record: &Record) -> io::Result<()> {
        if self.options.verbose == 0 {
            return Ok(());
        }
        self.line(
            record,
            record.kind.name().unwrap_or_default(),
            as_string(&record.data),
        )
    }

    /// A record as a line of JSON.
    fn object(&mut self, record: &Record, name: &str, value: &[u8]) -> io::Result<()> {
        let section = match self.segment {
            Segment::Envelope => "envelope",
            Segment::Header => "header",
            Segment::Body => "body",
            Segment::Extracted => "extracted",
        };
        writeln!(
            self.out,
            "{{\"file\": {}, \"offset\": {}, \"section\": \"{section}\", \"type\": {}, \"name\": {}, \"value\": {}}}",
            json_string(self.name.as_bytes()),
            self.shown_offset,
            record.kind.0,
            json_string(name.as_bytes()),
            json_string(value)
        )
    }

    fn line(&mut self, record: &Record, name: &str, value: &[u8]) -> io::Result<()> {
        if self.options.json {
            return self.object(record, name, value);
        }
        self.prefix(record)?;
        self.begin_line()?;
        write!(self.out, "{name}: ")?;
        self.out.write_all(value)?;
        self.end_line()
    }

    fn end_line(&mut self) -> io::Result<()> {
        self.at_line_start = true;
        self.out.write_all(b"\n")
    }

    fn begin_line(&mut self) -> io::Result<()> {
        if std::mem::take(&mut self.at_line_start) && self.options.file_names {
            write!(self.out, "{}: ", self.name)?;
        }
        Ok(())
    }

    fn prefix(&mut self, record: &Record) -> io::Result<()> {
        self.begin_line()?;
        if self.options.offsets {
            write!(self.out, "{:9} ", self.shown_offset)?;
        }
        if self.options.types {
            write!(self.out, "{:3} ", record.kind.0)?;
        }
        Ok(())
    }
}

/// A header's first line, or a continuation of one.
fn is_header_line(line: &[u8]) -> bool {
    line.first().is_some_and(|first| is_space(*first)) || header::name(line.as_bstr()).is_some()
}

/// As isspace(3).
fn is_space(byte: u8) -> bool {
    byte.is_ascii_whitespace() || byte == 0x0b
}

/// The two numbers at the start of a size record, as scanf(3) reads them.
fn leading_numbers(data: &[u8]) -> [Option<i64>; 2] {
    let Some((first, rest)) = split_number(as_string(data)) else {
        return [None, None];
    };
    [Some(first), split_number(rest).map(|(second, _)| second)]
}

/// What strtol(3) makes of a text, and what it leaves; `None` where it finds no digit.
fn split_number(text: &[u8]) -> Option<(i64, &[u8])> {
    let text = text.trim_start_with(|c| u8::try_from(c).is_ok_and(is_space));
    let (negative, digits) = match text {
        [b'-', rest @ ..] => (true, rest),
        [b'+', rest @ ..] => (false, rest),
        _ => (false, text),
    };
    let length = digits.iter().take_while(|b| b.is_ascii_digit()).count();
    let (digits, rest) = digits.split_at_checked(length).filter(|_| length > 0)?;
    let add = |number: i64, digit: &u8| {
        number
            .saturating_mul(10)
            .saturating_add(i64::from(digit - b'0'))
    };
    let number = digits.iter().fold(0, add);
    Some((if negative { -number } else { number }, rest))
}

/// The local time of a number of seconds, as asctime(3) shows it.
fn asctime(seconds: &[u8]) -> String {
    let time = local_time(split_number(seconds).map_or(0, |(number, _)| number));
    let (weekday, month) = (time.weekday_name(), time.month_name());
    let (day, hour, minute, second, year) =
        (time.day, time.hour, time.minute, time.second, time.year);
    format!("{weekday} {month} {day:2} {hour:02}:{minute:02}:{second:02} {year}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use postern_queue_file::record::encode;
    use std::io::Cursor;

    fn shown(records: &[(u8, &str)], letters: &str) -> String {
        let mut bytes = Vec::new();
        for (kind, data) in records {
            encode(&mut bytes, RecordType(*kind), data.as_bytes());
        }
        let mut options = Options::default();
        for letter in letters.chars() {
            options.add(postern_command::Opt::Flag(letter));
        }
        options.complete();
        let source = Source {
            name: "f".to_owned(),
            input: Input::Memory(Cursor::new(bytes)),
        };
        let mut out = Vec::new();
        Shower::new(source, &options, &mut out).run().unwrap();
        String::from_utf8(out).unwrap()
    }

    const MESSAGE: &[(u8, &str)] = &[
        (b'T', "0"),
        (b'A', "create_time=0"),
        (b'A', "x=y"),
        (b'R', "a@b"),
        (b'w', "pad"),
        (b'M', ""),
        (b'L', "Subject: "),
        (b'N', "hi"),
        (b'N', ""),
        (b'N', "Body: x"),
        (b'X', ""),
        (b'L', "filter"),
        (b'E', ""),
        (b'?', "behind"),
    ];

    #[test]
    fn segments_are_shown_as_wanted() {
        let cases = [
            ("h", "Subject: hi\n"),
            ("b", "\nBody: x\n"),
            ("bo", "       50 \n       52 Body: x\n"),
            (
                "hv",
                "padding: pad\nunterminated_text: Subject: \nregular_text: hi\n",
            ),
            ("bhd", " 76 Subject:  78 hi\n 78 \n 78 Body: x\n"),
            ("bf", "f: \nf: Body: x\n"),
        ];
        for (letters, want) in cases {
            assert_eq!(shown(MESSAGE, letters), want, "{letters}");
        }
        let all = shown(MESSAGE, "");
        assert!(
            all.starts_with("*** ENVELOPE RECORDS f ***\nmessage_arrival_time: "),
            "{all}"
        );
        assert!(
            all.ends_with(
                "*** HEADER EXTRACTED f ***\ncontent_filter: filter\n*** MESSAGE FILE END f ***\n"
            ),
            "{all}"
        );
        assert!(shown(MESSAGE, "rv").ends_with("unknown_record_type: behind\n"));
    }

    #[test]
    fn what_is_no_queue_file_is_not_shown() {
        assert_eq!(shown(&[(b'N', "x")], ""), "");
        assert_eq!(shown(&[], ""), "");
    }

    #[test]
    fn numbers_are_read_as_far_as_they_go() {
        let cases = [
            ("12 5", Some(12)),
            (" -5", Some(-5)),
            ("7x", Some(7)),
            ("x7", None),
            ("", None),
            ("99999999999999999999", Some(i64::MAX)),
        ];
        for (text, want) in cases {
            let got = split_number(text.as_bytes()).map(|(number, _)| number);
            assert_eq!(got, want, "{text}");
        }
        assert_eq!(leading_numbers(b"  10   x"), [Some(10), None]);
        assert_eq!(leading_numbers(b"  10x 20"), [Some(10), None]);
        assert_eq!(leading_numbers(b"  10 -20 5"), [Some(10), Some(-20)]);
    }
}
