//! The listing for programs: one JSON object per line and message.

use std::io::{self, Write};

use bstr::BString;

use crate::Format;
use crate::source::{ListError, Source};
use postern_ipc::showq::{Message, Recipient};

/// JSON lines.
#[derive(Debug)]
pub(crate) struct Json;

impl Format for Json {
    fn show(&self, source: &mut Source, out: &mut dyn Write) -> Result<(), ListError> {
        while let Some((message, recipients)) = source.next()? {
            object(&message, &recipients, out).map_err(ListError::Output)?;
        }
        Ok(())
    }
}

fn object(message: &Message, recipients: &[Recipient], out: &mut dyn Write) -> io::Result<()> {
    write!(
        out,
        "{{\"queue_name\": {}, ",
        quoted(message.queue_name.as_bytes())
    )?;
    write!(
        out,
        "\"queue_id\": {}, ",
        quoted(message.queue_id.as_bytes())
    )?;
    write!(
        out,
        "\"arrival_time\": {}, \"message_size\": {}, ",
        message.time, message.size
    )?;
    write!(out, "\"forced_expire\": {}, ", message.forced_expire != 0)?;
    write!(
        out,
        "\"sender\": {}, \"recipients\": [",
        quoted(&message.sender)
    )?;
    for (number, Recipient { recipient, reason }) in recipients.iter().enumerate() {
        let separator = if number > 0 { ", " } else { "" };
        write!(out, "{separator}{{\"address\": {}", quoted(recipient))?;
        if !reason.is_empty() {
            write!(out, ", \"delay_reason\": {}", quoted(reason))?;
        }
        write!(out, "}}")?;
    }
    writeln!(out, "]}}")
}

/// A JSON string (RFC 8259 §7); bytes that are no UTF-8 become `?`.
fn quoted(text: &[u8]) -> BString {
    let mut out = BString::from("\"");
    for chunk in text.utf8_chunks() {
        for character in chunk.valid().chars() {
            match character {
                '\u{8}' => out.extend_from_slice(b"\\b"),
                '\u{c}' => out.extend_from_slice(b"\\f"),
                '\n' => out.extend_from_slice(b"\\n"),
                '\r' => out.extend_from_slice(b"\\r"),
                '\t' => out.extend_from_slice(b"\\t"),
                '"' | '\\' => out.extend_from_slice(format!("\\{character}").as_bytes()),
                '\0'..='\u{1f}' => {
                    out.extend_from_slice(format!("\\u{:04X}", u32::from(character)).as_bytes())
                }
                _ => out.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes()),
            }
        }
        out.extend(chunk.invalid().iter().map(|_| b'?'));
    }
    out.push(b'"');
    out
}

#[cfg(test)]
mod tests {
    use bstr::ByteSlice;

    use super::*;

    #[test]
    fn strings_are_escaped() {
        for (text, want) in [
            (&b"a\"b\\c"[..], "\"a\\\"b\\\\c\""),
            (b"\n\t\x01", "\"\\n\\t\\u0001\""),
            (b"\xff\xc3\xbc", "\"?\u{fc}\""),
        ] {
            assert_eq!(quoted(text), want, "{:?}", text.as_bstr());
        }
    }

    #[test]
    fn object_has_the_reference_layout() {
        let message = Message {
            queue_name: "deferred".to_owned(),
            queue_id: "AF87C99E16A".to_owned(),
            time: 1_795_352_806,
            size: 323,
            forced_expire: 0,
            sender: "alice@smtp.example".into(),
        };
        let recipients = [Recipient {
            recipient: "bob@defer.example".into(),
            reason: "refused".into(),
        }];
        let mut out = Vec::new();
        object(&message, &recipients, &mut out).expect("memory");
        assert_eq!(
            out.as_bstr(),
            "{\"queue_name\": \"deferred\", \"queue_id\": \"AF87C99E16A\", \"arrival_time\": 1795352806, \"message_size\": 323, \
             \"forced_expire\": false, \"sender\": \"alice@smtp.example\", \"recipients\": [{\"address\": \"bob@defer.example\", \
             \"delay_reason\": \"refused\"}]}\n"
        );
    }
}
