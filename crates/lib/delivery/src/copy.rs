//! Copying a message from its queue file to a mailbox or a command, with the lines that go before it
//! (delivery.md §2.5).

use std::fs::File;
use std::io::{self, Write};
use std::path::Path;

use bstr::{BStr, BString, ByteSlice};
use postern_ipc::deliver::Recipient;
use postern_queue_file::{Reader, Record, RecordError, RecordType};
use postern_sys::clock::local_now;

use crate::Delivery;

/// What goes around the content.
#[derive(Debug, Clone, Default)]
pub struct CopyOptions {
    /// Sender to show, in internal form, when it is not the one of the request.
    pub sender: Option<BString>,
    /// `From sender  date` first.
    pub from_line: bool,
    /// `Return-Path:`.
    pub return_path: bool,
    /// `X-Original-To:`, when the original recipient is known.
    pub original_to: bool,
    /// `Delivered-To:` with this address, in internal form.
    pub delivered_to: Option<BString>,
    /// `>` before lines that start with `From `.
    pub quote_from: bool,
    /// `.` before lines that start with `.`.
    pub stuff_dots: bool,
    /// An empty line last.
    pub blank_line: bool,
    /// What ends every line, when it is not a line feed.
    pub line_end: Option<BString>,
}

impl CopyOptions {
    /// For an mbox.
    pub fn mbox(delivered_to: Option<BString>, original_to: bool) -> Self {
        Self {
            from_line: true,
            return_path: true,
            original_to,
            delivered_to,
            quote_from: true,
            blank_line: true,
            ..Self::default()
        }
    }

    /// For a maildir.
    pub fn maildir(delivered_to: Option<BString>, original_to: bool) -> Self {
        Self {
            return_path: true,
            original_to,
            delivered_to,
            ..Self::default()
        }
    }

    /// For a command run by local(8).
    pub fn command(delivered_to: Option<BString>, original_to: bool) -> Self {
        Self {
            from_line: true,
            return_path: true,
            original_to,
            delivered_to,
            ..Self::default()
        }
    }

    fn line_end(&self) -> &[u8] {
        self.line_end.as_ref().map_or(b"\n", |end| end.as_slice())
    }
}

/// Why a copy is not complete.
#[derive(Debug, thiserror::Error)]
pub enum CopyError {
    /// The queue file is malformed: the delivery is deferred and the file put aside.
    #[error("bad record type: {0} in message content")]
    Corrupt(u8),
    /// The queue file could not be read.
    #[error("error reading message: {}", postern_sys::error_text(.0))]
    Read(io::Error),
    /// The destination could not be written.
    #[error("error writing message: {}", postern_sys::error_text(.0))]
    Write(io::Error),
}

impl CopyError {
    /// Enhanced status for the recipient. A disk that cannot be read is the system's trouble and passes.
    pub fn status(&self) -> &'static str {
        match self {
            Self::Corrupt(_) | Self::Read(_) => "4.3.0",
            Self::Write(error) => crate::write_status(error),
        }
    }
}

/// Copies the content of `delivery` for `recipient` to `out`.
///
/// # Errors
///
/// [`CopyError`]; what was written so far is the caller's to take back. A malformed queue file is
/// marked, so that the queue manager puts it aside.
pub fn copy(
    delivery: &Delivery,
    recipient: &Recipient,
    options: &CopyOptions,
    out: &mut impl Write,
) -> Result<(), CopyError> {
    prepend(delivery, recipient, options, out).map_err(CopyError::Write)?;
    let copied = copy_content(delivery, options, out);
    if let Err(error @ CopyError::Corrupt(_)) = &copied {
        log::warn!("{error}");
        delivery.mark_corrupt();
    }
    copied?;
    if options.blank_line {
        out.write_all(options.line_end())
            .map_err(CopyError::Write)?;
    }
    out.flush().map_err(CopyError::Write)
}

fn prepend(
    delivery: &Delivery,
    recipient: &Recipient,
    options: &CopyOptions,
    out: &mut impl Write,
) -> io::Result<()> {
    let sender = options.sender.as_ref().unwrap_or_else(|| delivery.sender());
    let sender = quoted(sender.as_bstr());
    if options.from_line {
        let shown: &BStr = if sender.is_empty() {
            b"MAILER-DAEMON".as_bstr()
        } else {
            sender.as_bstr()
        };
        out.write_all(b"From ")?;
        out.write_all(shown)?;
        write!(out, "  {}", envelope_date())?;
        out.write_all(options.line_end())?;
    }
    if options.return_path {
        let path = [b"<", sender.as_slice(), b">"].concat();
        header(out, "Return-Path: ", path.as_bstr(), options)?;
    }
    if options.original_to && !recipient.original_recipient.is_empty() {
        header(
            out,
            "X-Original-To: ",
            quoted(recipient.original_recipient.as_bstr()).as_bstr(),
            options,
        )?;
    }
    if let Some(address) = &options.delivered_to {
        header(
            out,
            "Delivered-To: ",
            quoted(address.as_bstr()).as_bstr(),
            options,
        )?;
    }
    Ok(())
}

fn header(out: &mut impl Write, name: &str, value: &BStr, options: &CopyOptions) -> io::Result<()> {
    out.write_all(name.as_bytes())?;
    out.write_all(value)?;
    out.write_all(options.line_end())
}

fn quoted(address: &BStr) -> BString {
    postern_mail::address::quote(address)
}

/// `Sun Nov 22 13:16:53 2026`, local time.
fn envelope_date() -> String {
    let now = local_now();
    format!(
        "{} {} {:2} {:02}:{:02}:{:02} {}",
        now.weekday_name(),
        now.month_name(),
        now.day,
        now.hour,
        now.minute,
        now.second,
        now.year
    )
}

/// The content alone.
fn copy_content(
    delivery: &Delivery,
    options: &CopyOptions,
    out: &mut impl Write,
) -> Result<(), CopyError> {
    let mut content = Content::open(delivery)?;
    let mut line_start = true;
    while let Some((kind, data)) = content.next()? {
        let is_last = kind == RecordType::TEXT;
        copy_record(data, line_start, is_last, options, out).map_err(CopyError::Write)?;
        line_start = is_last;
    }
    if !line_start {
        out.write_all(options.line_end())
            .map_err(CopyError::Write)?;
    }
    Ok(())
}

/// A line, or a part of a long one.
fn copy_record(
    data: &[u8],
    is_first: bool,
    is_last: bool,
    options: &CopyOptions,
    out: &mut impl Write,
) -> io::Result<()> {
    if is_first && options.quote_from && data.starts_with(b"From ") {
        out.write_all(b">")?;
    }
    if is_first && options.stuff_dots && data.starts_with(b".") {
        out.write_all(b".")?;
    }
    out.write_all(data)?;
    if is_last {
        out.write_all(options.line_end())?;
    }
    Ok(())
}

/// The content records of a message, one by one.
pub struct Content<'a> {
    reader: Reader<&'a File>,
    /// The last one.
    record: Record,
    path: &'a Path,
}

impl<'a> Content<'a> {
    /// Starts at the first content record.
    ///
    /// # Errors
    ///
    /// [`CopyError::Read`].
    pub fn open(delivery: &'a Delivery) -> Result<Self, CopyError> {
        let file: &File = &delivery.file;
        let offset = u64::try_from(delivery.request.offset).unwrap_or(0);
        let reader = Reader::at(file, offset).map_err(CopyError::Read)?;
        Ok(Self {
            reader,
            record: Record::default(),
            path: &delivery.path,
        })
    }

    /// The next text record, `N` (line ends) or `L` (line goes on); `None` at the end of the content.
    ///
    /// # Errors
    ///
    /// [`CopyError::Corrupt`] for any other record or a file that ends early, [`CopyError::Read`].
    #[allow(clippy::should_implement_trait, reason = "fallible, hence no Iterator")]
    pub fn next(&mut self) -> Result<Option<(RecordType, &BStr)>, CopyError> {
        match self.reader.next_record_into(&mut self.record) {
            Ok(true) => match self.record.kind {
                kind @ (RecordType::TEXT | RecordType::TEXT_PART) => {
                    Ok(Some((kind, self.record.data.as_bstr())))
                }
                RecordType::EXTRACTED => Ok(None),
                RecordType(letter) => Err(CopyError::Corrupt(letter)),
            },
            Ok(false) => Err(CopyError::Corrupt(0)),
            Err(RecordError::Io(error)) => Err(CopyError::Read(error)),
            Err(error) => {
                log::warn!("{}: {error}", self.path.display());
                Err(CopyError::Corrupt(0))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_start_of_a_line_is_protected() {
        let all = CopyOptions {
            quote_from: true,
            stuff_dots: true,
            line_end: Some("\r\n".into()),
            ..CopyOptions::default()
        };
        let none = CopyOptions::default();
        for (data, is_first, is_last, options, want) in [
            ("From me", true, true, &all, ">From me\r\n"),
            ("From", true, true, &all, "From\r\n"),
            (">From me", true, true, &all, ">From me\r\n"),
            (".From me", true, true, &all, "..From me\r\n"),
            (".", true, false, &all, ".."),
            (".", false, true, &all, ".\r\n"),
            ("From me", false, false, &all, "From me"),
            ("From me", true, true, &none, "From me\n"),
            (".", true, true, &none, ".\n"),
        ] {
            let mut out = Vec::new();
            copy_record(data.as_bytes(), is_first, is_last, options, &mut out).expect("a Vec");
            assert_eq!(out.as_bstr(), want);
        }
    }
}
