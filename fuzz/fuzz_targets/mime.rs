//! The MIME state machine, with whole and broken lines, with and without conversion.
#![no_main]

use bstr::BStr;
use libfuzzer_sys::fuzz_target;
use postern_mail::mime::{Handler, LineEnd, MimeError, MimeState, Options, Part};

/// Counts what comes out.
#[derive(Default)]
struct Sink {
    bytes: usize,
    header_ends: usize,
}

impl Handler for Sink {
    fn header(&mut self, _: Part, text: &BStr) {
        self.bytes += text.len();
    }
    fn header_end(&mut self, _: bool) {
        self.header_ends += 1;
    }
    fn body(&mut self, text: &BStr, _: LineEnd, _: u64) {
        self.bytes += text.len();
    }
    fn error(&mut self, _: MimeError, _: &BStr) {}
}

fuzz_target!(|input: &[u8]| {
    let Some((switches, message)) = input.split_first() else {
        return;
    };
    let bit = |n: u8| switches & (1 << n) != 0;
    let mut mime = MimeState::new(Options {
        parse_structure: !bit(0),
        downgrade: bit(1),
        report_nesting: bit(2),
        report_8bit_header: bit(3),
        report_8bit_body: bit(4),
        report_encoding_domain: bit(5),
        nesting_limit: 10,
        ..Options::default()
    });
    let mut sink = Sink::default();
    for line in message.split(|&byte| byte == b'\n') {
        let piece = if bit(6) { 5 } else { 2048 };
        let mut pieces = line.chunks(piece).peekable();
        if pieces.peek().is_none() {
            mime.line(BStr::new(""), LineEnd::End, &mut sink);
        }
        while let Some(text) = pieces.next() {
            let end = if pieces.peek().is_some() {
                LineEnd::More
            } else {
                LineEnd::End
            };
            mime.line(BStr::new(text), end, &mut sink);
        }
    }
    mime.finish(&mut sink);
    assert_eq!(sink.header_ends, 1);
    // Quoted-printable makes three bytes of one and adds soft line ends; boundaries are not invented.
    assert!(sink.bytes <= 4 * message.len() + 200);
});
