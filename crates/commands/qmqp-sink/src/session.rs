//! One QMQP connection: a netstring comes, and one answer goes.

use postern_traffic::sink::{Loss, Swallower, Wish};
use postern_traffic::{Stream, show_counter};

/// Digits that the length of a request may have.
const DIGITS: usize = 9;

/// The sink of mail.
pub(crate) struct Qmqp {
    counter: bool,
    received: usize,
}

/// How far the request has come.
pub(crate) enum Request {
    Length,
    /// Bytes that are missing, the final comma included.
    Content(usize),
    Answered,
}

#[derive(Debug, PartialEq, Eq)]
enum Length {
    Incomplete,
    /// Bytes of the prefix and of what follows it.
    Known(usize, usize),
    Format,
    Size,
}

impl Qmqp {
    pub(crate) fn new(counter: bool) -> Self {
        Self {
            counter,
            received: 0,
        }
    }

    fn answer(&mut self, request: &mut Request, stream: &mut Stream) -> Wish {
        stream.put(b"3:KOk,");
        *request = Request::Answered;
        if self.counter {
            self.received += 1;
            show_counter(&format!("{}\r", self.received));
        }
        Wish::Close
    }
}

impl Swallower for Qmqp {
    type Session = Request;

    fn connected(&mut self, _stream: &mut Stream) -> (Request, Wish) {
        log::debug!("connect");
        (Request::Length, Wish::Input)
    }

    fn input(&mut self, request: &mut Request, stream: &mut Stream) -> Wish {
        if let Request::Length = request {
            match length(stream.input()) {
                Length::Incomplete => return Wish::Input,
                Length::Known(prefix, rest) => {
                    log::debug!("read netstring length {}", rest - 1);
                    stream.consume(prefix);
                    *request = Request::Content(rest);
                }
                Length::Format => {
                    log::warn!("netstring format error");
                    return Wish::Close;
                }
                Length::Size => {
                    log::warn!("netstring size error");
                    return Wish::Close;
                }
            }
        }
        if let Request::Content(missing) = request {
            let taken = stream.input().len().min(*missing);
            stream.consume(taken);
            *missing -= taken;
            if *missing == 0 {
                return self.answer(request, stream);
            }
        }
        Wish::Input
    }

    fn woken(&mut self, _request: &mut Request, _stream: &mut Stream) -> Wish {
        Wish::Input
    }

    fn ended(&mut self, request: Request, loss: Option<Loss>) -> Wish {
        match (loss, request) {
            (Some(Loss::Timeout), _) => log::warn!("netstring timeout error"),
            (Some(Loss::Closed), Request::Length | Request::Content(_)) => {
                log::warn!("lost connection");
            }
            _ => {}
        }
        Wish::Input
    }
}

fn length(input: &[u8]) -> Length {
    let digits = input
        .iter()
        .take_while(|byte| byte.is_ascii_digit())
        .count();
    if digits > DIGITS {
        return Length::Size;
    }
    match input.get(digits) {
        None => Length::Incomplete,
        Some(b':') if digits > 0 => {
            let text = input
                .get(..digits)
                .and_then(|text| std::str::from_utf8(text).ok());
            match text.and_then(|text| text.parse::<usize>().ok()) {
                Some(length) => Length::Known(digits + 1, length + 1),
                None => Length::Size,
            }
        }
        Some(_) => Length::Format,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_are_checked_before_anything_is_kept() {
        #[rustfmt::skip]
        let cases: &[(&str, Length)] = &[
            ("5:abc",               Length::Known(2, 6)),
            ("0005:",               Length::Known(5, 6)),
            ("",                    Length::Incomplete),
            ("12",                  Length::Incomplete),
            ("x",                   Length::Format),
            (":",                   Length::Format),
            ("12345678901234567890:", Length::Size),
        ];
        for (input, want) in cases {
            assert_eq!(length(input.as_bytes()), *want, "{input}");
        }
    }
}
