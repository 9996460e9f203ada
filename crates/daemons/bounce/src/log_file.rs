//! The per-message logs below `bounce`, `defer` and `trace` (queue.md §17).

use std::fs::{self, DirBuilder, File};
use std::io::{self, BufRead, BufReader, Seek, SeekFrom, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::Path;

use bstr::{BStr, BString, ByteSlice};
use postern_ipc::deliver::{Dsn, Recipient};
use postern_mail::address;
use postern_mail::printable::{Charset, mask};
use postern_sys::lock::{LockMode, LockStyle, lock};

/// Longest line that a log has: what one attribute of a request may bring, and some.
const LINE_LIMIT: u64 = 1024 * 1024;

/// One recipient with what happened to it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Entry {
    /// The recipient; `recipient` and `original_recipient` are in internal form.
    pub(crate) recipient: Recipient,
    /// What happened.
    pub(crate) dsn: Dsn,
}

impl Entry {
    /// An entry whose text is printable.
    pub(crate) fn new(recipient: &Recipient, dsn: &Dsn) -> Self {
        let text = |value: &BString| mask(value, Charset::Utf8, b'?');
        Self {
            recipient: Recipient {
                original_recipient: text(&recipient.original_recipient),
                recipient: text(&recipient.recipient),
                offset: recipient.offset,
                dsn_orig_rcpt: text(&recipient.dsn_orig_rcpt),
                notify_flags: recipient.notify_flags,
            },
            dsn: Dsn {
                status: text(&dsn.status),
                diag_type: text(&dsn.diag_type),
                diag_text: text(&dsn.diag_text),
                mta_type: text(&dsn.mta_type),
                mta_mname: text(&dsn.mta_mname),
                action: text(&dsn.action),
                reason: text(&dsn.reason),
            },
        }
    }

    /// The text of the entry.
    fn encode(&self, compatible: bool) -> Vec<u8> {
        let Self { recipient, dsn } = self;
        let mut out = b"\n".to_vec();
        let quoted = address::quote(recipient.recipient.as_bstr());
        let mut line = |parts: &[&[u8]]| {
            out.extend(parts.concat());
            out.push(b'\n');
        };
        if compatible {
            line(&[b"<", &quoted, b">: ", &dsn.reason]);
        }
        let shown: &[u8] = if quoted.is_empty() { b"<>" } else { &quoted };
        line(&[b"recipient=", shown]);
        let original = &recipient.original_recipient;
        if !original.is_empty() && !original.eq_ignore_ascii_case(&recipient.recipient) {
            line(&[b"original_recipient=", original]);
        }
        if recipient.offset > 0 {
            line(&[b"offset=", recipient.offset.to_string().as_bytes()]);
        }
        if !recipient.dsn_orig_rcpt.is_empty() {
            line(&[b"dsn_orig_rcpt=", &recipient.dsn_orig_rcpt]);
        }
        if recipient.notify_flags != 0 {
            line(&[
                b"notify_flags=",
                recipient.notify_flags.to_string().as_bytes(),
            ]);
        }
        let mut optional = |name: &[u8], value: &BString, given: bool| {
            if given {
                line(&[name, b"=", value]);
            }
        };
        optional(b"status", &dsn.status, !dsn.status.is_empty());
        optional(b"action", &dsn.action, !dsn.action.is_empty());
        let diagnosed = !dsn.diag_type.is_empty() && !dsn.diag_text.is_empty();
        optional(b"diag_type", &dsn.diag_type, diagnosed);
        optional(b"diag_text", &dsn.diag_text, diagnosed);
        let remote = !dsn.mta_type.is_empty() && !dsn.mta_mname.is_empty();
        optional(b"mta_type", &dsn.mta_type, remote);
        optional(b"mta_mname", &dsn.mta_mname, remote);
        optional(b"reason", &dsn.reason, !dsn.reason.is_empty());
        out.push(b'\n');
        out
    }

    /// Takes one `name=value` line; unknown names are for other readers.
    fn accept(&mut self, name: &[u8], value: &BStr) {
        let number = || {
            value
                .to_str()
                .ok()
                .and_then(|text| text.parse::<i64>().ok())
        };
        let value = || value.to_owned();
        match name {
            b"recipient" => {
                let text = value();
                self.recipient.recipient = if text == "<>" {
                    BString::default()
                } else {
                    address::unquote(text.as_bstr())
                };
            }
            b"original_recipient" => self.recipient.original_recipient = value(),
            b"offset" => self.recipient.offset = number().unwrap_or(0),
            b"dsn_orig_rcpt" => self.recipient.dsn_orig_rcpt = value(),
            b"notify_flags" => {
                self.recipient.notify_flags = number()
                    .and_then(|flags| i32::try_from(flags).ok())
                    .unwrap_or(0)
            }
            b"status" => self.dsn.status = value(),
            b"action" => self.dsn.action = value(),
            b"diag_type" => self.dsn.diag_type = value(),
            b"diag_text" => self.dsn.diag_text = value(),
            b"mta_type" => self.dsn.mta_type = value(),
            b"mta_mname" => self.dsn.mta_mname = value(),
            b"reason" => self.dsn.reason = value(),
            _ => {}
        }
    }

    /// The recipient as the sender knew it.
    pub(crate) fn recipient_as_named(&self) -> &BString {
        let original = &self.recipient.original_recipient;
        if original.is_empty() {
            &self.recipient.recipient
        } else {
            original
        }
    }

    /// Fills in what an old or incomplete entry does not say.
    fn complete(&mut self, status: &str, action: &str) {
        if !postern_mail::dsn::is_status(&self.dsn.status) {
            self.dsn.status = status.into();
        }
        if self.dsn.action.is_empty() {
            self.dsn.action = action.into();
        }
        if self.dsn.reason.is_empty() {
            self.dsn.reason = "(description unavailable)".into();
        }
    }
}

/// Appends an entry, synced. On failure the log has its old length again.
pub(crate) fn append(path: &Path, entry: &Entry, compatible: bool) -> io::Result<()> {
    let open = || {
        File::options()
            .append(true)
            .create(true)
            .mode(0o600)
            .open(path)
    };
    let mut file = match open() {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let directory = path.parent().unwrap_or(path);
            DirBuilder::new()
                .recursive(true)
                .mode(0o700)
                .create(directory)?;
            open()?
        }
        other => other?,
    };
    lock(&file, LockStyle::Flock, LockMode::Exclusive)?;
    let start = file.seek(SeekFrom::End(0))?;
    let result = file
        .write_all(&entry.encode(compatible))
        .and_then(|()| file.sync_all());
    if result.is_err() {
        let _ = file.set_len(start);
    }
    result
}

/// Reads a log. `None` when there is none.
///
/// # Errors
///
/// The log exists and cannot be read.
pub(crate) fn read(
    path: &Path,
    default_status: &str,
    default_action: &str,
) -> io::Result<Option<Vec<Entry>>> {
    let file = match File::open(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        other => other?,
    };
    lock(&file, LockStyle::Flock, LockMode::Shared)?;
    parse(&mut BufReader::new(file), default_status, default_action).map(Some)
}

pub(crate) fn parse(
    input: &mut impl BufRead,
    default_status: &str,
    default_action: &str,
) -> io::Result<Vec<Entry>> {
    let mut entries = Vec::new();
    let mut current: Option<Entry> = None;
    loop {
        let mut line = Vec::new();
        let size = io::Read::take(&mut *input, LINE_LIMIT).read_until(b'\n', &mut line)?;
        let text = line.trim_end_with(|c| c == '\n');
        if text.is_empty() {
            if let Some(mut entry) = current.take() {
                entry.complete(default_status, default_action);
                entries.push(entry);
            }
            if size == 0 {
                return Ok(entries);
            }
            continue;
        }
        let entry = current.get_or_insert_with(Entry::default);
        if text.first() == Some(&b'<') {
            accept_compatible(entry, text);
        } else if let Some((name, value)) = text.split_once_str("=") {
            entry.accept(name, value.as_bstr());
        }
    }
}

/// `<address>: reason`: all that the oldest logs have.
fn accept_compatible(entry: &mut Entry, text: &[u8]) {
    if let Some((address, reason)) = text[1..].split_once_str(">: ") {
        entry.recipient.recipient = address::unquote(address.as_bstr());
        entry.dsn.reason = reason.into();
    }
}

/// Removes a log whose content has been reported.
pub(crate) fn remove(path: &Path) {
    if let Err(error) = fs::remove_file(path)
        && error.kind() != io::ErrorKind::NotFound
    {
        log::warn!(
            "remove {}: {}",
            path.display(),
            postern_sys::error_text(&error)
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample() -> Entry {
        Entry {
            recipient: Recipient {
                original_recipient: "tmp-dave@smtp.example".into(),
                recipient: "tmp-dave@smtp.example".into(),
                offset: 903,
                dsn_orig_rcpt: "rfc822;tmp-dave@smtp.example".into(),
                notify_flags: 0,
            },
            dsn: Dsn {
                status: "4.2.0".into(),
                diag_type: "smtp".into(),
                diag_text: "450 4.2.0 <x>: Greylisted".into(),
                mta_type: "dns".into(),
                mta_mname: "127.0.0.1".into(),
                action: "delayed".into(),
                reason: "host 127.0.0.1[127.0.0.1] said: 450".into(),
            },
        }
    }

    #[test]
    fn entry_has_the_reference_layout() {
        let text = String::from_utf8(sample().encode(true)).expect("printable");
        assert_eq!(
            text,
            "\n<tmp-dave@smtp.example>: host 127.0.0.1[127.0.0.1] said: 450\n\
             recipient=tmp-dave@smtp.example\noffset=903\ndsn_orig_rcpt=rfc822;tmp-dave@smtp.example\n\
             status=4.2.0\naction=delayed\ndiag_type=smtp\ndiag_text=450 4.2.0 <x>: Greylisted\n\
             mta_type=dns\nmta_mname=127.0.0.1\nreason=host 127.0.0.1[127.0.0.1] said: 450\n\n"
        );
    }

    #[test]
    fn entries_come_back_as_they_were_written() {
        let mut null = sample();
        null.recipient.recipient = BString::default();
        null.recipient.original_recipient = "other@example.test".into();
        let mut text = sample().encode(true);
        text.extend(null.encode(false));
        let entries = parse(&mut &text[..], "4.0.0", "delayed").expect("readable");
        // An original recipient that is the recipient is not written.
        let mut plain = sample();
        plain.recipient.original_recipient.clear();
        assert_eq!(entries, [plain, null]);
    }

    #[test]
    fn old_and_damaged_entries_get_defaults() {
        let entries = parse(
            &mut &b"\n<a@b>: no luck\n\n\nstatus=x\nnonsense\noffset=abc"[..],
            "5.0.0",
            "failed",
        )
        .expect("readable");
        assert_eq!(entries.len(), 2);
        assert_eq!(
            (
                entries[0].recipient.recipient.as_bstr(),
                entries[0].dsn.reason.as_bstr()
            ),
            ("a@b".into(), "no luck".into())
        );
        assert_eq!(
            (
                entries[0].dsn.status.as_bstr(),
                entries[0].dsn.action.as_bstr()
            ),
            ("5.0.0".into(), "failed".into())
        );
        assert_eq!(
            (entries[1].dsn.status.as_bstr(), entries[1].recipient.offset),
            ("5.0.0".into(), 0)
        );
    }

    #[test]
    fn log_is_made_with_its_hash_directory_and_grows() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("defer/A/A1");
        assert!(
            read(&path, "4.0.0", "delayed")
                .expect("no log is no error")
                .is_none()
        );
        append(&path, &sample(), true).expect("append");
        append(&path, &sample(), true).expect("append");
        assert_eq!(
            read(&path, "4.0.0", "delayed")
                .expect("readable")
                .map(|entries| entries.len()),
            Some(2)
        );
    }
}
