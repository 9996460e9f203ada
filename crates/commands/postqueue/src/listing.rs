//! The listing for people, as `mailq` has shown it since Sendmail.

use std::io::Write;

use bstr::{BString, ByteSlice};
use postern_config::{Config, params};
use postern_ipc::showq::{Message, Recipient};
use postern_mail::printable::{Charset, mask};
use postern_sys::clock::local_time;

use crate::Format;
use crate::source::{ListError, Source};

/// Column widths.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Columns {
    id: usize,
    size: usize,
    date: usize,
    heading: &'static str,
}

const SHORT: Columns = Columns {
    id: 11,
    size: 7,
    date: 20,
    heading: "-Queue ID-  --Size-- ----Arrival Time---- -Sender/Recipient-------",
};
const LONG: Columns = Columns {
    id: 17,
    size: 8,
    date: 19,
    heading: "----Queue ID----- --Size-- ---Arrival Time---- --Sender/Recipient------",
};
/// Reasons without their parentheses are aligned to end at this width.
const REASON_END: usize = 76;

/// The classic format.
#[derive(Debug)]
pub(crate) struct Listing {
    columns: Columns,
}

impl Listing {
    /// Columns as wide as this system's queue IDs need.
    pub(crate) fn new(config: &Config) -> Self {
        Self {
            columns: if config.get(params::ENABLE_LONG_QUEUE_IDS) {
                LONG
            } else {
                SHORT
            },
        }
    }

    fn message(
        &self,
        message: &Message,
        recipients: &[Recipient],
        out: &mut dyn Write,
    ) -> std::io::Result<()> {
        let Columns { id, size, date, .. } = self.columns;
        let mut name = message.queue_id.clone();
        match message.queue_name.as_str() {
            "active" => name.push('*'),
            "hold" => name.push('!'),
            _ => {}
        }
        if message.forced_expire != 0 {
            name.push('#');
        }
        let arrival = asctime(message.time);
        let shown = arrival.get(..date).unwrap_or(&arrival);
        writeln!(
            out,
            "{name:<id$} {:size$} {shown:date$} {}",
            message.size,
            printable(&message.sender)
        )?;
        let mut reason: Option<&BString> = None;
        for recipient in recipients {
            if reason != Some(&recipient.reason) {
                self.reason(
                    &recipient.reason,
                    reason.is_some_and(|old| !old.is_empty()),
                    out,
                )?;
            }
            reason = Some(&recipient.reason);
            writeln!(
                out,
                "{:id$} {:size$} {:date$} {}",
                "",
                "",
                "",
                printable(&recipient.recipient)
            )?;
        }
        Ok(())
    }

    /// The reason of the recipients that follow.
    fn reason(&self, reason: &BString, had_one: bool, out: &mut dyn Write) -> std::io::Result<()> {
        if reason.is_empty() {
            return match had_one {
                true => writeln!(out, "{:>REASON_END$}", "(reason unavailable)"),
                false => Ok(()),
            };
        }
        let reason = printable(reason);
        let blanks = REASON_END.saturating_sub(reason.len());
        writeln!(out, "{:blanks$}({reason})", "")
    }
}

impl Format for Listing {
    fn show(&self, source: &mut Source, out: &mut dyn Write) -> Result<(), ListError> {
        let (mut count, mut total) = (0_u64, 0_i64);
        while let Some((message, recipients)) = source.next()? {
            let lead = if count == 0 { self.columns.heading } else { "" };
            writeln!(out, "{lead}")
                .and_then(|()| self.message(&message, &recipients, out))
                .map_err(ListError::Output)?;
            count += 1;
            total = total.saturating_add(message.size);
        }
        let end = match count {
            0 => writeln!(out, "Mail queue is empty"),
            1 => writeln!(out, "\n-- {} Kbytes in 1 Request.", total / 1024),
            _ => writeln!(out, "\n-- {} Kbytes in {count} Requests.", total / 1024),
        };
        end.map_err(ListError::Output)
    }
}

fn printable(text: &BString) -> BString {
    mask(text.as_bytes(), Charset::Utf8, b'?')
}

/// `Sun Nov 22 13:06:46 2026`.
fn asctime(seconds: i64) -> String {
    let time = local_time(seconds);
    format!(
        "{} {} {:2} {:02}:{:02}:{:02} {}",
        time.weekday_name(),
        time.month_name(),
        time.day,
        time.hour,
        time.minute,
        time.second,
        time.year
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn message_has_suffixes_and_reasons_as_the_reference_prints_them() {
        let message = Message {
            queue_name: "hold".to_owned(),
            queue_id: "AF87C99E16A".to_owned(),
            time: 0,
            size: 323,
            forced_expire: 1,
            sender: "alice@smtp.example".into(),
        };
        let recipient = |address: &str, reason: &str| Recipient {
            recipient: address.into(),
            reason: reason.into(),
        };
        let recipients = [
            recipient(
                "bob@defer.example",
                "connect to 127.0.0.1[127.0.0.1]:2599: Connection refused",
            ),
            recipient(
                "c@defer.example",
                "connect to 127.0.0.1[127.0.0.1]:2599: Connection refused",
            ),
            recipient("d@x.example", ""),
        ];
        let mut out = Vec::new();
        Listing { columns: SHORT }
            .message(&message, &recipients, &mut out)
            .expect("memory");
        let text = String::from_utf8(out).expect("text");
        let lines: Vec<&str> = text.lines().collect();
        assert!(
            lines[0].starts_with("AF87C99E16A!#     323 "),
            "{}",
            lines[0]
        );
        assert!(lines[0].ends_with("  alice@smtp.example"), "{}", lines[0]);
        assert_eq!(
            &lines[1..],
            [
                "                    (connect to 127.0.0.1[127.0.0.1]:2599: Connection refused)",
                "                                         bob@defer.example",
                "                                         c@defer.example",
                "                                                        (reason unavailable)",
                "                                         d@x.example",
            ]
        );
    }
}
