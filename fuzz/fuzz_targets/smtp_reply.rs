//! Replies of SMTP servers: the pure parser, and the client's reader with its limits.
#![no_main]

use std::io::Write;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::time::Duration;

use bstr::BStr;
use libfuzzer_sys::fuzz_target;
use postern_mail::reply::{ReplyParser, reply_code, split_reply};
use postern_smtp::reply::{ReplyContext, read};
use postern_smtp::role::Role;
use postern_wire::Channel;

fuzz_target!(|input: &[u8]| {
    let mut parser = ReplyParser::new(200);
    for line in input.split(|&byte| byte == b'\n') {
        let line = BStr::new(line);
        let _ = (parser.line(line), reply_code(line), split_reply(line));
    }
    // More would not fit the socket's buffer, and nobody reads while this writes.
    let Some(input) = input.get(..input.len().min(60_000)) else {
        return;
    };
    let (mut server, client) = UnixStream::pair().expect("a socket pair");
    server.write_all(input).expect("write to the socket");
    drop(server);
    let mut channel = Channel::new(OwnedFd::from(client));
    channel.set_timeout(Duration::from_secs(5));
    let mut context = ReplyContext {
        peer: BStr::new("mx[192.0.2.1]:25"),
        address: BStr::new("192.0.2.1"),
        queue_id: "4BC0xc1Qxrz1",
        line_limit: 2048,
        pipelining: input.first().is_some_and(|byte| byte & 1 == 0),
        role: Role::Smtp,
        filter: None,
    };
    for _ in 0..100 {
        match read(&mut channel, &mut context, &mut |_| ()) {
            Ok(reply) => {
                assert!(reply.code < 1000);
                let _ = (reply.status(), reply.is_protocol_error());
            }
            Err(_) => break,
        }
    }
});
