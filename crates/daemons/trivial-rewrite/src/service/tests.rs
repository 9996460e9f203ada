//! Exchanges as captured from trivial-rewrite of Postfix 3.7.11.

use std::io::{self, BufRead, Read, Write};
use std::time::Instant;

use postern_config::Config;
use postern_rewrite::Rewriter;

use super::*;

/// A client that has sent everything; collects the answers.
struct Peer<'a> {
    input: &'a [u8],
    output: Vec<u8>,
}

impl Read for Peer<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.input.read(buffer)
    }
}

impl BufRead for Peer<'_> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        Ok(self.input)
    }
    fn consume(&mut self, count: usize) {
        self.input = self.input.get(count..).unwrap_or_default();
    }
}

impl Write for Peer<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.output.extend_from_slice(bytes);
        Ok(bytes.len())
    }
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn server() -> TrivialRewrite {
    let config = Config::from_text(
        "myhostname = mx.example.test\nmydomain = example.test\nmyorigin = example.test\n\
         mydestination = example.test\ninet_interfaces = 127.0.0.1\nmynetworks = 127.0.0.0/8\n\
         address_verify_local_transport = probe\ncompatibility_level = 3.6\n",
    )
    .unwrap();
    TrivialRewrite {
        rewriter: Rewriter::new(&config),
        resolver: Resolver::new(&config),
        prober: Resolver::for_verify(&config),
        next_check: Instant::now(),
    }
}

/// `|` stands for NUL.
fn exchange(request: &str) -> (String, Result<(), RequestError>) {
    let input = request.replace('|', "\0").into_bytes();
    let mut peer = Peer {
        input: &input,
        output: Vec::new(),
    };
    let result = server().serve(&mut peer);
    let output = String::from_utf8(peer.output).unwrap().replace('\0', "|");
    (output, result)
}

#[test]
fn requests_are_answered_in_the_order_of_the_protocol() {
    let cases = [
        (
            "request|rewrite|rule|local|address|user||",
            "flags|0|address|user@example.test||",
        ),
        (
            "request|rewrite|rule|remote|address|user||",
            "flags|0|address|user||",
        ),
        (
            "request|resolve|sender||address|a@b@c||",
            "flags|0|transport|smtp|nexthop|c|recipient|a@b@c|flags|4098||",
        ),
        (
            "request|resolve|sender||address|user||",
            "flags|0|transport|smtp|nexthop|mx.example.test|recipient|user@mx.example.test|flags|4096||",
        ),
        (
            "request|verify|sender||address|user@example.test||",
            "flags|0|transport|probe|nexthop|example.test|recipient|user@example.test|flags|256||",
        ),
    ];
    for (request, want) in cases {
        let (answer, result) = exchange(request);
        assert_eq!(answer, want, "{request}");
        assert!(result.is_ok(), "{request}");
    }
}

#[test]
fn bad_requests_are_logged_in_the_words_of_postfix_and_end_the_connection() {
    let cases = [
        (
            "request|rewrite|rule|xx|address|a||",
            Some("unknown context: xx"),
        ),
        ("request|foo||", Some("bad command foo")),
        (
            "request|rewrite||",
            Some("missing attribute rule in input from rewrite socket"),
        ),
        (
            "request|rewrite|rule|local||",
            Some("missing attribute address in input from rewrite socket"),
        ),
        (
            "request|resolve|address|a|sender|b||",
            Some("unexpected attribute address from rewrite socket (expecting: sender)"),
        ),
        (
            "|",
            Some("missing attribute request in input from rewrite socket"),
        ),
        (
            "requ",
            Some("unexpected end-of-input from rewrite socket while reading input attribute name"),
        ),
        (
            "request|resolve|sender|",
            Some("premature end-of-input on rewrite socket while reading input attribute value"),
        ),
        ("", None),
    ];
    for (request, want) in cases {
        let (answer, result) = exchange(request);
        let error = result.expect_err(request);
        assert_eq!(
            error.warning("rewrite socket").as_deref(),
            want,
            "{request}"
        );
        assert_eq!(answer, "", "{request}");
    }
}

#[test]
fn an_extra_attribute_is_answered_before_the_connection_is_closed() {
    let (answer, result) = exchange("request|rewrite|rule|local|address|a|extra|b||");
    assert_eq!(answer, "flags|0|address|a@example.test||");
    let warning = result.unwrap_err().warning("rewrite socket");
    assert_eq!(
        warning.as_deref(),
        Some("unexpected attribute extra from rewrite socket (expecting: (list terminator))")
    );
}
