//! BDAT: content in counted chunks (RFC 3030). Source: smtpd.md §7.

use bstr::{BStr, ByteSlice};
use postern_mail::smtp_command::Word;
use std::io::BufRead;

use super::{Outcome, is};
use crate::content::ChunkLine;
use crate::ehlo_keywords::Keywords;
use crate::reply::ErrorClass;
use crate::session::{Abort, Session, Step};
use crate::transaction::Chunking;

impl Session<'_> {
    pub(super) fn bdat_command(&mut self, args: &[Word], line: &BStr) -> Step<Outcome> {
        if self.discarded.has(Keywords::CHUNKING) {
            return self.reply_protocol_error("521 5.5.1 Error: command not implemented");
        }
        let Some((size, last)) = parse(args) else {
            let shown = self.masked(line.get(..100).unwrap_or(line));
            log::warn!(
                "{}: malformed BDAT command syntax from {}: {shown}",
                self.queue_id(),
                self.client.namaddr
            );
            return self.reply_protocol_error("521 5.5.4 Syntax: BDAT count [LAST]");
        };
        if size == 0 && !last {
            log::warn!(
                "{}: null BDAT request from {}",
                self.queue_id(),
                self.client.namaddr
            );
            self.chunking = Chunking::Failed;
            return self.reply_protocol_error("551 5.7.1 Null BDAT request");
        }
        if self.chunking == Chunking::Failed {
            return self.refuse_chunk(
                size,
                last,
                format!("551 5.0.0 Discarded {size} bytes after earlier error"),
            );
        }
        if self.recipient_count() == 0 {
            return self.refuse_chunk(size, last, self.no_recipients_reply());
        }
        if self.chunking == Chunking::None
            && !self.alone
            && let Err(rejection) = self.check_data()
        {
            if rejection.hangup {
                return self.reply_rejection(rejection);
            }
            return self.refuse_chunk(size, last, rejection.text);
        }
        let limit = u64::try_from(self.server.set.message_size_limit).unwrap_or(0);
        let received = self
            .transaction
            .as_ref()
            .map_or(0, |transaction| transaction.size);
        if limit > 0 && size > limit.saturating_sub(received) {
            log::warn!(
                "{}: BDAT request from {} exceeds message size limit",
                self.queue_id(),
                self.client.namaddr
            );
            self.error_mask.add(ErrorClass::BOUNCE);
            return self.refuse_chunk(size, last, "552 5.3.4 Chunk exceeds message size limit");
        }
        if self.chunking == Chunking::None {
            self.begin_content();
            self.chunking = Chunking::Receiving;
        }
        self.stage = "BDAT content";
        self.receive_chunk(size)?;
        if !last {
            self.stage = "BDAT";
            return self.succeed(format!("250 2.0.0 Ok: {size} bytes"));
        }
        self.finish_chunks();
        let bytes = self
            .transaction
            .as_ref()
            .map_or(0, |transaction| transaction.size);
        self.finish_message(&format!("{bytes} bytes "))
    }

    /// Reads a chunk that nobody wants, and says why.
    fn refuse_chunk(&mut self, size: u64, last: bool, reply: impl AsRef<[u8]>) -> Step<Outcome> {
        self.chunking = Chunking::Failed;
        // Nothing is announced about the size of what is thrown away, but it has an end.
        let limit = u64::try_from(self.server.set.message_size_limit).unwrap_or(0);
        self.skipped = self.skipped.saturating_add(size);
        if limit > 0 && self.skipped > limit.saturating_add(limit / 2) {
            log::warn!(
                "{}: too much BDAT content -- disabling further input from {}",
                self.queue_id(),
                self.client.namaddr
            );
            return Err(Abort::Lost);
        }
        self.take_bytes(size, &mut |_, _| {})?;
        let outcome = self.reply_protocol_error(reply);
        if last {
            self.end_transaction();
            self.skipped = 0;
        }
        outcome
    }

    fn receive_chunk(&mut self, size: u64) -> Step {
        let limit = self.server.set.line_length_limit;
        self.take_bytes(size, &mut |session, bytes| {
            let Some(transaction) = &mut session.transaction else {
                return;
            };
            let mut splitter = std::mem::take(&mut transaction.splitter);
            let result = splitter.feed(bytes, limit, &mut |line: ChunkLine| {
                session.put_chunk_line(line);
                Ok::<(), std::convert::Infallible>(())
            });
            let Ok(()) = result;
            if let Some(transaction) = &mut session.transaction {
                transaction.splitter = splitter;
            }
        })
    }

    fn put_chunk_line(&mut self, line: ChunkLine) {
        let ChunkLine {
            mut text,
            piece,
            crlf,
        } = line;
        let complete = piece == crate::content::Piece::End;
        self.look_at_line_end(&mut text, complete, complete && !crlf);
        self.put_content(&text, piece);
    }

    /// The end of the last line, when the client left it out.
    fn finish_chunks(&mut self) {
        let rest = self
            .transaction
            .as_mut()
            .and_then(|transaction| transaction.splitter.finish());
        if let Some(line) = rest {
            self.put_chunk_line(line);
        }
    }

    /// Reads exactly `size` bytes.
    fn take_bytes(&mut self, size: u64, use_bytes: &mut dyn FnMut(&mut Self, &[u8])) -> Step {
        let mut left = size;
        self.io.restart_deadline();
        while left > 0 {
            let available = self.io.fill_buf()?;
            if available.is_empty() {
                return Err(Abort::Lost);
            }
            let count = available
                .len()
                .min(usize::try_from(left).unwrap_or(usize::MAX));
            let bytes = available.get(..count).unwrap_or_default().to_vec();
            self.io.consume(count);
            left -= count as u64;
            use_bytes(self, &bytes);
        }
        Ok(())
    }
}

fn parse(args: &[Word]) -> Option<(u64, bool)> {
    let (size, last) = match args {
        [_, size] => (size, false),
        [_, size, last] if is(last, "LAST") => (size, true),
        _ => return None,
    };
    if size.text.is_empty() || !size.text.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let size: i64 = size.text.to_str().ok()?.parse().ok()?;
    Some((u64::try_from(size).ok()?, last))
}
