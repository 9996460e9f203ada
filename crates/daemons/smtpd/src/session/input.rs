//! What a session reads: command lines, their ends, and input that comes too early.

use bstr::{BStr, BString, ByteSlice};
use postern_wire::LineEnd;
use std::io::{BufRead, Write};
use std::time::Duration;

use super::{Abort, Session, Step};
use crate::reply::ErrorClass;
use crate::settings::BareNewline;

/// A command line may be this many times longer than `line_length_limit` before the input is shut.
const LINE_BOUND: usize = 100;
/// Bytes of early input that the log shows.
const SHOWN_INPUT: usize = 100;

/// Lines.
impl Session<'_> {
    /// The line discipline for this client; those in the exclusions are trusted.
    pub(super) fn choose_bare_newline_mode(&mut self) {
        self.bare_newline = self.server.set.bare_newline;
        if self.bare_newline == BareNewline::Allow {
            return;
        }
        if self.alone
            || self
                .server
                .lists_client(|lists| &mut lists.bare_newline_exclusions, &self.client)
                == Ok(true)
        {
            self.bare_newline = BareNewline::Allow;
        }
    }

    /// Reads a command line; unprintable ends and what follows a NUL byte are cut off.
    pub(super) fn read_command(&mut self) -> Step<BString> {
        let limit = self.server.set.line_length_limit;
        self.io.restart_deadline();
        let mut line = Vec::new();
        let end = self.io.read_line(limit, &mut line)?;
        match end {
            LineEnd::Eof => return Err(Abort::Lost),
            LineEnd::Partial => {
                let start = self.masked(line.get(..30).unwrap_or(&line));
                log::warn!(
                    "{}: request longer than {limit}: {start}...",
                    self.client.namaddr
                );
                self.skip_line(limit)?;
            }
            LineEnd::Lf | LineEnd::CrLf => {}
        }
        if self.bare_newline == BareNewline::Allow {
            while line.last() == Some(&b'\r') {
                line.pop();
            }
        }
        if let Some(nul) = line.find_byte(0) {
            line.truncate(nul);
        }
        log::debug!("< {}: {}", self.client.namaddr, self.masked(&line));
        if end == LineEnd::Lf {
            self.note_bare_lf()?;
        }
        Ok(line.into())
    }

    /// A line that ends in LF alone.
    fn note_bare_lf(&mut self) -> Step {
        self.bare_lf_seen = true;
        if self.bare_newline != BareNewline::Reject {
            return Ok(());
        }
        self.log_event("reject", BStr::new("bare <LF> received"));
        self.error_mask.add(ErrorClass::PROTOCOL);
        let reply = self.bare_lf_reply();
        self.reply(reply)?;
        self.io.flush()?;
        Err(Abort::Close)
    }

    /// Whether a content line's end counts as an attack.
    pub(crate) fn content_lf_is_refused(&mut self) -> bool {
        self.bare_lf_seen = true;
        self.bare_newline == BareNewline::Reject
    }

    /// The refusal of bare line feeds.
    pub(crate) fn bare_lf_reply(&self) -> String {
        format!(
            "{} 5.5.2 {} Error: bare <LF> received",
            self.server.set.bare_newline_code, self.server.set.myhostname
        )
    }

    /// Drops the rest of a line that is too long. There is an end to that, too.
    fn skip_line(&mut self, limit: usize) -> Step {
        let mut left = limit.saturating_mul(LINE_BOUND);
        loop {
            let available = self.io.fill_buf()?;
            if available.is_empty() {
                return Err(Abort::Lost);
            }
            let (count, found) = match available.find_byte(b'\n') {
                Some(at) => (at + 1, true),
                None => (available.len(), false),
            };
            self.io.consume(count);
            if found {
                return Ok(());
            }
            left = left.saturating_sub(count);
            if left == 0 {
                log::warn!("disabling input from {}", self.client.namaddr);
                return Err(Abort::Lost);
            }
        }
    }
}

/// Input that comes too early.
impl Session<'_> {
    pub(super) fn check_early_input(&mut self) -> Step {
        if self.io.is_readable(Duration::ZERO).unwrap_or(false) && !self.io.fill_buf()?.is_empty() {
            self.note_pipelining()?;
        }
        Ok(())
    }

    /// Whether the client sent commands before it was allowed to.
    pub(crate) fn has_pipelined(&mut self) -> bool {
        if self.stage == "CONNECT" && !self.pipelined && !self.alone {
            let _ = self.check_early_input();
        }
        self.pipelined
    }

    pub(super) fn note_pipelining(&mut self) -> Step {
        if self.pipelined {
            return Ok(());
        }
        self.pipelined = true;
        let input = self.io.buffered();
        let shown = postern_mail::printable::escape(input.get(..SHOWN_INPUT).unwrap_or(input));
        log::info!(
            "improper command pipelining after {} from {}: {shown}",
            self.stage,
            self.client.namaddr
        );
        if !self.server.set.forbid_unauth_pipelining {
            return Ok(());
        }
        self.error_mask.add(ErrorClass::PROTOCOL);
        self.reply("554 5.5.0 Error: SMTP protocol synchronization")?;
        self.io.flush()?;
        Err(Abort::Close)
    }
}
