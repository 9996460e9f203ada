//! Server replies: reading them within bounds, and what their numbers mean.

use std::io::BufRead;
use std::time::{Duration, Instant};

use bstr::{BStr, BString, ByteSlice};
use postern_dict::Table;
use postern_mail::printable::{Charset, mask};
use postern_wire::{Channel, LineEnd};

use crate::role::Role;
use crate::trouble::Trouble;

/// Bytes of one reply, garbage and cut-off line ends included, before the server counts as hostile.
const REPLY_SIZE_LIMIT: usize = 1 << 20;
/// A reply may take this many times the time limit of one read.
const REPLY_TIME_FACTOR: u32 = 10;
/// Bytes of a reply line in verbose logs.
const SHOWN_LENGTH: usize = 100;

/// One complete reply.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reply {
    /// Three digits of the last line, 0 to 999.
    pub code: u16,
    /// All lines with their codes, joined with blanks; printable.
    pub text: BString,
    /// The lines apart, without their codes: what EHLO needs.
    pub lines: Vec<BString>,
    /// Enhanced status of the last line, when its class fits the code.
    pub enhanced: Option<BString>,
    /// Lines that are no reply lines came before it: while more replies are due, nobody knows which
    /// of them this one is.
    pub after_garbage: bool,
}

impl Reply {
    /// First digit of the code.
    pub fn class(&self) -> u16 {
        self.code / 100
    }

    /// Whether the command succeeded.
    pub fn is_success(&self) -> bool {
        self.class() == 2
    }

    /// The enhanced status of a success or failure: the server's, or `C.0.0`; `5.5.0` for a reply
    /// that is neither (3xx where success or failure is due, or no SMTP code at all).
    pub fn status(&self) -> BString {
        match (&self.enhanced, self.class()) {
            (Some(status), 2 | 4 | 5) => status.clone(),
            (None, class @ (2 | 4 | 5)) => format!("{class}.0.0").into(),
            _ => "5.5.0".into(),
        }
    }

    /// A code that tells of a misunderstanding: the session is not kept, and the postmaster may
    /// want to know.
    pub fn is_protocol_error(&self) -> bool {
        self.code < 400 || self.code > 599 || self.code == 555 || (500..510).contains(&self.code)
    }
}

/// What reading a reply needs to know of the session.
pub struct ReplyContext<'a> {
    /// `NAME[ADDR]:PORT`.
    pub peer: &'a BStr,
    /// Bare address, for the advice about pipelining.
    pub address: &'a BStr,
    /// Queue ID, for warnings.
    pub queue_id: &'a str,
    /// `line_length_limit`.
    pub line_limit: usize,
    /// Whether commands are pipelined: then garbage is dangerous.
    pub pipelining: bool,
    /// For names in warnings.
    pub role: Role,
    /// `smtp_reply_filter`.
    pub filter: Option<&'a mut (dyn Table + 'static)>,
}

/// Reads one reply.
///
/// Lines that are no replies are kept in the text and otherwise skipped. `seen` gets every line.
pub fn read(
    channel: &mut Channel,
    context: &mut ReplyContext<'_>,
    seen: &mut dyn FnMut(&[u8]),
) -> Result<Reply, Trouble> {
    let begin = Instant::now();
    let patience = match channel.timeout() {
        Duration::ZERO => Duration::MAX,
        limit => limit.saturating_mul(REPLY_TIME_FACTOR),
    };
    let mut budget = REPLY_SIZE_LIMIT;
    let mut text = BString::default();
    let mut lines = Vec::new();
    let mut overflow = false;
    let mut after_garbage = false;
    let mut raw = Vec::new();
    loop {
        if begin.elapsed() > patience {
            return Err(Trouble::TimedOut);
        }
        read_line(channel, context, &mut raw, &mut budget, begin, patience)?;
        let line = printable(&raw);
        log::debug!("< {}: {}", context.peer, shown(&line));
        let line = filter(context, line)?;
        seen(&line);
        if text.len() < context.line_limit {
            if !text.is_empty() {
                text.push(b' ');
            }
            text.extend_from_slice(&line);
        } else if !overflow {
            overflow = true;
            let start: String = text.to_str_lossy().chars().take(30).collect();
            log::warn!(
                "{}: multi-line response longer than {}: {start}...",
                context.peer,
                context.line_limit
            );
        }
        match split(line.as_bstr()) {
            Some((code, rest, last)) => {
                if text.len() < context.line_limit.saturating_mul(2) {
                    lines.push(rest.into());
                }
                if last {
                    let enhanced = enhanced_status(code, rest);
                    return Ok(Reply {
                        code,
                        text,
                        lines,
                        enhanced,
                        after_garbage,
                    });
                }
            }
            None => {
                after_garbage = true;
                if context.pipelining {
                    warn_garbage(context, line.as_bstr());
                }
            }
        }
    }
}

fn warn_garbage(context: &ReplyContext<'_>, line: &BStr) {
    let shown: String = line.to_str_lossy().chars().take(100).collect();
    let (protocol, parameter) = match context.role {
        Role::Smtp => ("ESMTP", "smtp_discard_ehlo_keyword_address_maps"),
        Role::Lmtp => ("LMTP", "lmtp_discard_lhlo_keyword_address_maps"),
    };
    log::warn!(
        "{}: non-{protocol} response from {}: {shown}",
        context.queue_id,
        context.peer
    );
    log::warn!(
        "to prevent loss of mail, turn off command pipelining for {} with the \
         {parameter} parameter",
        context.address
    );
}

/// Reads one line of at most `line_limit` bytes; the rest of a longer one is dropped.
fn read_line(
    channel: &mut Channel,
    context: &ReplyContext<'_>,
    line: &mut Vec<u8>,
    budget: &mut usize,
    begin: Instant,
    patience: Duration,
) -> Result<(), Trouble> {
    let end = channel
        .read_line(context.line_limit, line)
        .map_err(|error| Trouble::from_io(&error))?;
    *budget = budget.checked_sub(line.len() + 1).ok_or(Trouble::Lost)?;
    match end {
        LineEnd::CrLf | LineEnd::Lf => Ok(()),
        LineEnd::Eof => Err(Trouble::Lost),
        LineEnd::Partial => {
            let start = printable(line.get(..30).unwrap_or(line));
            log::warn!(
                "{}: response longer than {}: {start}...",
                context.peer,
                context.line_limit
            );
            loop {
                let available = channel
                    .fill_buf()
                    .map_err(|error| Trouble::from_io(&error))?;
                if available.is_empty() {
                    return Err(Trouble::Lost);
                }
                let newline = available.iter().position(|b| *b == b'\n');
                let count = newline.map_or(available.len(), |at| at + 1);
                channel.consume(count);
                if newline.is_some() {
                    return Ok(());
                }
                *budget = budget.checked_sub(count).ok_or(Trouble::Lost)?;
                if begin.elapsed() > patience {
                    return Err(Trouble::TimedOut);
                }
            }
        }
    }
}

fn filter(context: &mut ReplyContext<'_>, line: BString) -> Result<BString, Trouble> {
    let Some(table) = &mut context.filter else {
        return Ok(line);
    };
    match table.lookup(line.as_bstr()) {
        Ok(None) => Ok(line),
        Ok(Some(other)) => {
            log::info!(
                "{}: replacing server reply \"{line}\" with \"{other}\"",
                context.peer
            );
            Ok(other)
        }
        Err(_) => {
            log::warn!(
                "{}: table {} lookup error for {line}",
                context.queue_id,
                table.name()
            );
            Err(Trouble::Data)
        }
    }
}

/// The start of a line, as much as the log shows of it.
fn shown(line: &BString) -> BString {
    let start = line.get(..SHOWN_LENGTH).unwrap_or(line);
    mask(start, Charset::Utf8, b'?')
}

/// Code, text after it, and whether this is the last line; `None` for what is no reply line.
fn split(line: &BStr) -> Option<(u16, &BStr, bool)> {
    let digits = line
        .get(..3)
        .filter(|digits| digits.iter().all(u8::is_ascii_digit))?;
    let code = digits
        .iter()
        .fold(0, |code, digit| code * 10 + u16::from(digit - b'0'));
    match line.get(3) {
        None => Some((code, BStr::new(b""), true)),
        Some(b' ') => Some((code, line.get(4..).unwrap_or_default().as_bstr(), true)),
        Some(b'-') => Some((code, line.get(4..).unwrap_or_default().as_bstr(), false)),
        Some(_) => None,
    }
}

/// `x.y.z` at the start of the text, when its class is that of the code (RFC 2034 §4, RFC 3463 §2).
fn enhanced_status(code: u16, text: &BStr) -> Option<BString> {
    let text = text.trim_start_with(|c| c == ' ' || c == '\t');
    let end = text.find_byteset(b" \t").unwrap_or(text.len());
    let word = text.get(..end)?;
    let mut parts = word.split(|b| *b == b'.');
    let class = parts.next()?;
    let number = |part: Option<&[u8]>| {
        part.is_some_and(|p| (1..=3).contains(&p.len()) && p.iter().all(u8::is_ascii_digit))
    };
    let fits = class == (code / 100).to_string().as_bytes() && matches!(class, b"2" | b"4" | b"5");
    (fits && number(parts.next()) && number(parts.next()) && parts.next().is_none())
        .then(|| word.into())
}

/// Control characters, and bytes that are no UTF-8, become question marks.
pub fn printable(bytes: &[u8]) -> BString {
    let utf8 = std::str::from_utf8(bytes).is_ok();
    let show = |b: &u8| match b {
        b' '..=b'~' => *b,
        128.. if utf8 => *b,
        _ => b'?',
    };
    bytes.iter().map(show).collect::<Vec<u8>>().into()
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::io::Write;

    fn context<'a>(filter: Option<&'a mut (dyn Table + 'static)>) -> ReplyContext<'a> {
        ReplyContext {
            peer: "h[a]:25".into(),
            address: "a".into(),
            queue_id: "Q",
            line_limit: 64,
            pipelining: false,
            role: Role::Smtp,
            filter,
        }
    }

    fn read_from(bytes: &[u8]) -> Result<Reply, Trouble> {
        let (near, far) = postern_sys::socket::pair().unwrap();
        let mut far = Channel::new(far);
        let bytes = bytes.to_vec();
        let writer = std::thread::spawn(move || {
            let _ = far.write_all(&bytes);
            let _ = far.flush();
        });
        let mut context = context(None);
        let result = read(&mut Channel::new(near), &mut context, &mut |_| ());
        writer.join().unwrap();
        result
    }

    #[test]
    fn a_filter_that_fails_is_a_local_error() {
        let config = postern_config::Config::default();
        for (table, want) in [
            ("fail:x", Err(Trouble::Data)),
            ("regexp:{{/^220/ 554 5.7.1 no}}", Ok("554 5.7.1 no")),
            ("inline:{other=554}", Ok("220 hello")),
        ] {
            let mut table = postern_dict::open(&config, table, postern_dict::Flags::NONE);
            let mut context = context(Some(table.as_mut()));
            let line = filter(&mut context, "220 hello".into());
            assert_eq!(line, want.map(BString::from));
        }
    }

    #[test]
    fn replies_as_servers_really_send_them() {
        #[rustfmt::skip]
        let cases: &[(&[u8], u16, &str, &str)] = &[
            (b"250 2.1.5 Ok\r\n",              250, "250 2.1.5 Ok",           "2.1.5"),
            (b"250\r\n",                       250, "250",                    "2.0.0"),
            (b"250 5.1.1 odd\r\n",             250, "250 5.1.1 odd",          "2.0.0"),
            (b"garbage\r\n450 4.2.0 x\r\n",    450, "garbage 450 4.2.0 x",    "4.2.0"),
            (b"450-4.2.0 one\n550 5.1.1 two\n", 550, "450-4.2.0 one 550 5.1.1 two", "5.1.1"),
            (b"250-2.0.0 a\r\n250-\r\n250 2.0.0 z\r\n", 250, "250-2.0.0 a 250- 250 2.0.0 z", "2.0.0"),
            (b"550 5.1.1\r\n",                 550, "550 5.1.1",              "5.1.1"),
            (b"550 5.1.1.1 x\r\n",             550, "550 5.1.1.1 x",          "5.0.0"),
            (b"550 5.999.999 x\r\n",           550, "550 5.999.999 x",        "5.999.999"),
            (b"550 5.1000.1 x\r\n",            550, "550 5.1000.1 x",         "5.0.0"),
            (b"450  4.2.0  blanks\r\n",        450, "450  4.2.0  blanks",     "4.2.0"),
            (b"550 4.7.1 odd class\r\n",       550, "550 4.7.1 odd class",    "5.0.0"),
            (b"000 zero\r\n",                  0,   "000 zero",               "5.5.0"),
            (b"354 wrong\r\n",                 354, "354 wrong",              "5.5.0"),
            (b"999 what\r\n",                  999, "999 what",               "5.5.0"),
            (b"550\t5.1.1 tab\r\n25\r\n250 \x07\r\n", 250, "550?5.1.1 tab 25 250 ?", "2.0.0"),
        ];
        for (bytes, code, text, status) in cases {
            let reply = read_from(bytes).unwrap();
            assert_eq!(
                (reply.code, reply.text.to_string().as_str()),
                (*code, *text)
            );
            assert_eq!(reply.status(), *status, "{text}");
        }
    }

    #[test]
    fn verbose_logs_have_the_first_hundred_bytes_of_a_line() {
        for (line, want) in [
            ("x".repeat(100), "x".repeat(100)),
            ("x".repeat(101), "x".repeat(100)),
            (
                format!("x{}", "é".repeat(60)),
                format!("x{}?", "é".repeat(49)),
            ),
        ] {
            assert_eq!(shown(&BString::from(line)), want);
        }
    }

    #[test]
    fn long_lines_are_cut_and_an_end_of_input_is_a_lost_connection() {
        let long = [b"450 4.2.0 ".as_slice(), &[b'y'; 9000], b"\r\n"].concat();
        assert_eq!(read_from(&long).unwrap().text.len(), 64);
        for bytes in [b"".as_slice(), b"250", b"250-x\r\n", b"junk\r\n"] {
            assert_eq!(read_from(bytes), Err(Trouble::Lost), "{bytes:?}");
        }
    }

    #[test]
    fn an_endless_reply_is_given_up() {
        assert_eq!(
            read_from(&b"250-more\r\n".repeat(200_000)),
            Err(Trouble::Lost)
        );
        assert_eq!(read_from(&vec![b'x'; 3 << 20]), Err(Trouble::Lost));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn no_input_panics(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            let _ = read_from(&bytes);
        }
    }
}
