//! One SMTP or LMTP session, one command and one reply at a time.

use crate::message::Content;
use postern_traffic::source::{Generator, Step};
use postern_traffic::{Stream, show_counter};
use std::os::fd::{AsFd, AsRawFd};

/// Replies longer than this come from no mail server.
const LONGEST_REPLY: usize = 64 * 1024;
/// The server ends the session with this reply.
const CLOSING: u32 = 421;

/// The generator of mail.
pub(crate) struct Smtp {
    content: Content,
    /// End the program when the server says no.
    abort: bool,
    counter: bool,
    sent: usize,
    /// The last number given to a recipient.
    last_number: usize,
}

/// What the next reply answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Awaits {
    Greeting,
    Hello,
    Mail,
    /// A recipient; so many follow.
    Rcpt(usize),
    Data,
    /// The end of the message; LMTP sends so many replies.
    Dot(usize),
    Rset,
    Quit,
}

/// The state of one session.
pub(crate) struct Dialogue {
    awaits: Awaits,
    /// Recipients of this message that the server took.
    accepted: usize,
    /// Messages that were left when this one was taken.
    left: usize,
    /// The reply so far, lines joined by `\n`.
    reply: Vec<u8>,
}

/// A complete reply.
struct Reply {
    code: u32,
    text: Vec<u8>,
}

impl Smtp {
    pub(crate) fn new(content: Content, abort: bool, counter: bool) -> Self {
        Self {
            content,
            abort,
            counter,
            sent: 0,
            last_number: 0,
        }
    }

    fn command(stream: &mut Stream, verb: &str, rest: &[&[u8]]) {
        let mut line = verb.as_bytes().to_vec();
        rest.iter().for_each(|part| line.extend_from_slice(part));
        if log::log_enabled!(log::Level::Debug) {
            log::debug!("{}", String::from_utf8_lossy(&line));
        }
        line.extend_from_slice(b"\r\n");
        stream.put(&line);
    }

    fn hello(&mut self, dialogue: &mut Dialogue, stream: &mut Stream) {
        if self.content.old {
            return self.mail(dialogue, stream);
        }
        let verb = if self.content.lmtp { "LHLO " } else { "HELO " };
        Self::command(stream, verb, &[&self.content.host]);
        dialogue.awaits = Awaits::Hello;
    }

    fn mail(&mut self, dialogue: &mut Dialogue, stream: &mut Stream) {
        Self::command(stream, "MAIL FROM:<", &[&self.content.sender, b">"]);
        dialogue.awaits = Awaits::Mail;
        dialogue.accepted = 0;
    }

    /// Sends a recipient, after which `left` follow. The last one has no number of its own.
    fn rcpt(&mut self, dialogue: &mut Dialogue, stream: &mut Stream, left: usize) {
        let number = if self.content.number {
            self.last_number += 1;
            self.last_number.to_string()
        } else if left > 0 {
            (left + 1).to_string()
        } else {
            String::new()
        };
        Self::command(
            stream,
            "RCPT TO:<",
            &[number.as_bytes(), &self.content.recipient, b">"],
        );
        dialogue.awaits = Awaits::Rcpt(left);
    }

    fn message(&mut self, dialogue: &mut Dialogue, stream: &mut Stream) {
        let descriptor = stream.as_fd().as_raw_fd();
        stream.put(&self.content.headers(descriptor, dialogue.left));
        stream.put_shared(&self.content.body.wire);
        Self::command(stream, ".", &[]);
        let replies = if self.content.lmtp {
            dialogue.accepted
        } else {
            1
        };
        dialogue.awaits = Awaits::Dot(replies);
    }

    fn quit(dialogue: &mut Dialogue, stream: &mut Stream) {
        Self::command(stream, "QUIT", &[]);
        dialogue.awaits = Awaits::Quit;
    }

    fn rset(dialogue: &mut Dialogue, stream: &mut Stream) {
        Self::command(stream, "RSET", &[]);
        dialogue.awaits = Awaits::Rset;
    }

    /// The message is over, for better or worse.
    fn after_message(&self, dialogue: &mut Dialogue, stream: &mut Stream) -> Step {
        if self.content.keep_connection {
            return Step::Again;
        }
        Self::quit(dialogue, stream);
        Step::Wait
    }

    /// The server said no: a warning or, by default, the end of the program.
    fn refused(&self, what: &str, reply: &Reply) -> Result<(), String> {
        let shown = String::from_utf8_lossy(&reply.text);
        let text = format!("{what}: {} {shown}", reply.code);
        if self.abort {
            return Err(text);
        }
        log::warn!("{text}");
        Ok(())
    }

    fn reply(
        &mut self,
        dialogue: &mut Dialogue,
        stream: &mut Stream,
        reply: &Reply,
    ) -> Result<Step, String> {
        let good = reply.code / 100 == 2;
        let closing = reply.code == CLOSING && !self.abort;
        match dialogue.awaits {
            Awaits::Greeting => {
                if !good {
                    self.refused("rejected at server banner", reply)?;
                }
                self.hello(dialogue, stream);
            }
            Awaits::Hello => {
                if !good {
                    let verb = if self.content.lmtp { "LHLO" } else { "HELO" };
                    self.refused(&format!("{verb} rejected"), reply)?;
                }
                self.mail(dialogue, stream);
            }
            Awaits::Mail if good => {
                let left = self.content.recipients.saturating_sub(1);
                self.rcpt(dialogue, stream, left);
            }
            Awaits::Mail => {
                self.refused("sender rejected", reply)?;
                if closing {
                    return Ok(Step::Done);
                }
                Self::rset(dialogue, stream);
            }
            Awaits::Rcpt(left) => {
                if good {
                    dialogue.accepted += 1;
                } else {
                    self.refused("recipient rejected", reply)?;
                    if closing {
                        return Ok(Step::Done);
                    }
                }
                self.after_recipient(dialogue, stream, left);
            }
            Awaits::Data if reply.code == 354 => self.message(dialogue, stream),
            Awaits::Data => {
                self.refused("data rejected", reply)?;
                if closing {
                    return Ok(Step::Done);
                }
                Self::rset(dialogue, stream);
            }
            Awaits::Dot(replies) => {
                if !good {
                    self.refused("end of data rejected", reply)?;
                }
                if replies > 1 {
                    dialogue.awaits = Awaits::Dot(replies - 1);
                    return Ok(Step::Wait);
                }
                self.count();
                return Ok(self.after_message(dialogue, stream));
            }
            Awaits::Rset => return Ok(self.after_message(dialogue, stream)),
            Awaits::Quit => return Ok(Step::Done),
        }
        Ok(Step::Wait)
    }

    fn after_recipient(&mut self, dialogue: &mut Dialogue, stream: &mut Stream, left: usize) {
        if left > 0 {
            self.rcpt(dialogue, stream, left - 1);
        } else if dialogue.accepted > 0 {
            Self::command(stream, "DATA", &[]);
            dialogue.awaits = Awaits::Data;
        } else {
            Self::rset(dialogue, stream);
        }
    }

    fn count(&mut self) {
        self.sent += 1;
        if self.counter {
            show_counter(&format!("{}\r", self.sent));
        }
    }
}

impl Dialogue {
    /// Takes the next complete reply from the input. A line that is no reply is one with code 0.
    fn next_reply(&mut self, stream: &mut Stream) -> Option<Reply> {
        while let Some(line) = stream.line() {
            if log::log_enabled!(log::Level::Debug) {
                log::debug!("<<< {}", String::from_utf8_lossy(&line));
            }
            let (code, more, text) = parse_line(&line);
            if !self.reply.is_empty() {
                self.reply.push(b'\n');
            }
            if self.reply.len() < LONGEST_REPLY {
                self.reply.extend_from_slice(text);
            }
            if !more {
                let text = std::mem::take(&mut self.reply);
                return Some(Reply { code, text });
            }
        }
        None
    }
}

/// Code, whether more lines follow, text.
fn parse_line(line: &[u8]) -> (u32, bool, &[u8]) {
    match line {
        [a, b, c, rest @ ..]
            if [a, b, c].iter().all(|digit| digit.is_ascii_digit())
                && rest.first().is_none_or(|mark| matches!(mark, b' ' | b'-')) =>
        {
            let code = [a, b, c]
                .iter()
                .fold(0, |sum, digit| sum * 10 + u32::from(**digit - b'0'));
            (
                code,
                rest.first() == Some(&b'-'),
                rest.get(1..).unwrap_or_default(),
            )
        }
        _ => (0, false, line),
    }
}

impl Generator for Smtp {
    type Dialogue = Dialogue;

    fn begin(&mut self, _stream: &mut Stream, left: usize) -> Dialogue {
        Dialogue {
            awaits: Awaits::Greeting,
            accepted: 0,
            left,
            reply: Vec::new(),
        }
    }

    fn again(&mut self, dialogue: &mut Dialogue, stream: &mut Stream, left: usize) {
        dialogue.left = left;
        self.mail(dialogue, stream);
    }

    fn finish(&mut self, dialogue: &mut Dialogue, stream: &mut Stream) {
        Self::quit(dialogue, stream);
    }

    fn input(&mut self, dialogue: &mut Dialogue, stream: &mut Stream) -> Result<Step, String> {
        while let Some(reply) = dialogue.next_reply(stream) {
            match self.reply(dialogue, stream, &reply)? {
                Step::Wait => {}
                step => return Ok(step),
            }
        }
        if stream.input().len() > LONGEST_REPLY {
            return Err(format!("{}: reply line too long", self.lost(dialogue)));
        }
        Ok(Step::Wait)
    }

    fn lost(&self, dialogue: &Dialogue) -> String {
        let doing = match dialogue.awaits {
            Awaits::Greeting => "reading server greeting",
            Awaits::Hello if self.content.lmtp => "sending LHLO",
            Awaits::Hello => "sending HELO",
            Awaits::Mail => "sending sender",
            Awaits::Rcpt(_) => "sending recipient",
            Awaits::Data => "sending DATA command",
            Awaits::Dot(_) | Awaits::Quit => "sending message",
            Awaits::Rset => "sending RSET",
        };
        format!("lost connection while {doing}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reply_lines_are_told_from_other_text() {
        #[rustfmt::skip]
        let cases: &[(&str, (u32, bool, &str))] = &[
            ("250 ok",  (250, false, "ok")),
            ("250-ok",  (250, true, "ok")),
            ("250",     (250, false, "")),
            ("25 ok",   (0, false, "25 ok")),
            ("hello",   (0, false, "hello")),
            ("2500 ok", (0, false, "2500 ok")),
        ];
        for (line, (code, more, text)) in cases {
            assert_eq!(
                parse_line(line.as_bytes()),
                (*code, *more, text.as_bytes()),
                "{line}"
            );
        }
    }
}
