#![allow(
    unreachable_patterns,
    reason = "lists may have two attributes of one name"
)]
use super::*;
use proptest::prelude::*;
use std::collections::BTreeMap;

/// `~` stands for NUL in the rows below.
fn wire(text: &str) -> Vec<u8> {
    text.replace('~', "\0").into_bytes()
}

fn read0<T: DeserializeOwned>(text: &str, extra: Extra) -> Result<T, AttrError> {
    read(&mut wire(text).as_slice(), Encoding::Null, extra)
}

#[track_caller]
fn round_trip<T>(text: &str, want: &T)
where
    T: Serialize + DeserializeOwned + PartialEq + std::fmt::Debug,
{
    let bytes = wire(text);
    assert_eq!(to_bytes(Encoding::Null, want).unwrap(), bytes);
    let mut input = bytes.as_slice();
    let got: T = read(&mut input, Encoding::Null, Extra::Refuse).unwrap();
    assert_eq!(got, *want);
    assert!(input.is_empty());
    assert_eq!(complete_list(&bytes, Encoding::Null), Some(bytes.len()));
    for cut in 0..bytes.len() {
        assert_eq!(complete_list(&bytes[..cut], Encoding::Null), None);
    }
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Verb {
    Rewrite,
    Resolve,
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct RewriteRequest {
    request: Verb,
    rule: String,
    address: ByteString,
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct ResolveReply {
    #[serde(rename = "flags")]
    server_flags: i32,
    transport: String,
    nexthop: ByteString,
    recipient: ByteString,
    #[serde(rename = "flags")]
    result_flags: u32,
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Recipient {
    original_recipient: ByteString,
    recipient: ByteString,
    offset: i64,
    dsn_orig_rcpt: ByteString,
    notify_flags: i32,
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Dsn {
    status: String,
    diag_type: String,
    diag_text: String,
    mta_type: String,
    mta_mname: String,
    action: String,
    reason: ByteString,
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Append {
    nrequest: i32,
    flags: i32,
    queue_id: String,
    recipient: Recipient,
    dsn: Dsn,
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct DeliveryReply {
    dsn: Dsn,
    status: i32,
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Status {
    status: i32,
}

#[test]
fn captured_exchanges_of_the_reference_round_trip() {
    round_trip(
        "request~rewrite~rule~local~address~user~~",
        &RewriteRequest {
            request: Verb::Rewrite,
            rule: "local".into(),
            address: "user".into(),
        },
    );
    round_trip(
        "flags~0~transport~smtp~nexthop~c~recipient~a@b@c~flags~4098~~",
        &ResolveReply {
            server_flags: 0,
            transport: "smtp".into(),
            nexthop: "c".into(),
            recipient: "a@b@c".into(),
            result_flags: 4098,
        },
    );
    round_trip(
        "nrequest~0~flags~0~queue_id~84FA89AE2E4~original_recipient~sender@example.test~\
         recipient~sender@example.test~offset~246~dsn_orig_rcpt~rfc822;sender@example.test~\
         notify_flags~0~status~5.1.1~diag_type~~diag_text~~mta_type~~mta_mname~~action~failed~\
         reason~unknown user: \"sender\"~~",
        &Append {
            nrequest: 0,
            flags: 0,
            queue_id: "84FA89AE2E4".into(),
            recipient: Recipient {
                original_recipient: "sender@example.test".into(),
                recipient: "sender@example.test".into(),
                offset: 246,
                dsn_orig_rcpt: "rfc822;sender@example.test".into(),
                notify_flags: 0,
            },
            dsn: dsn("5.1.1", "failed", "unknown user: \"sender\""),
        },
    );
    round_trip(
        "status~4.4.1~diag_type~~diag_text~~mta_type~~mta_mname~~action~~\
         reason~connect to 127.0.0.1[127.0.0.1]:2599: Connection refused~status~4294967295~~",
        &DeliveryReply {
            dsn: dsn(
                "4.4.1",
                "",
                "connect to 127.0.0.1[127.0.0.1]:2599: Connection refused",
            ),
            status: -1,
        },
    );
}

fn dsn(status: &str, action: &str, reason: &str) -> Dsn {
    Dsn {
        status: status.into(),
        diag_type: String::new(),
        diag_text: String::new(),
        mta_type: String::new(),
        mta_mname: String::new(),
        action: action.into(),
        reason: reason.into(),
    }
}

#[test]
fn the_plain_encoding_of_anvil_round_trips() {
    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    struct Connect {
        request: String,
        ident: ByteString,
    }
    let bytes = b"request=connect\nident=smtpd:a=b\n\n";
    let got: Connect = read(&mut &bytes[..], Encoding::Plain, Extra::Refuse).unwrap();
    assert_eq!(got.ident, "smtpd:a=b");
    assert_eq!(to_bytes(Encoding::Plain, &got).unwrap(), bytes);
    let bad = Connect {
        request: "x\ny=1".into(),
        ident: "".into(),
    };
    assert!(to_bytes(Encoding::Plain, &bad).is_err());
    let unsplit = read::<Connect>(&mut &b"request\n\n"[..], Encoding::Plain, Extra::Skip);
    assert!(matches!(unsplit, Err(AttrError::Malformed(_))));
}

#[test]
fn numbers_are_unsigned_twos_complement_text() {
    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    struct Numbers {
        a: i32,
        b: i64,
        c: bool,
    }
    round_trip(
        "a~4294967294~b~18446744073709551615~c~1~~",
        &Numbers {
            a: -2,
            b: -1,
            c: true,
        },
    );
    let cases: &[(&str, Option<i32>)] = &[
        (" 5", Some(5)),
        ("+5", Some(5)),
        ("-1", Some(-1)),
        ("4294967295", Some(-1)),
        ("4294967296", None),
        ("-2147483649", None),
        ("", None),
        ("5 ", None),
        ("0x5", None),
        ("-", None),
    ];
    for (text, want) in cases {
        let got = read0::<Status>(&format!("status~{text}~~"), Extra::Refuse);
        match (got, want) {
            (Ok(got), Some(want)) => assert_eq!(got.status, *want, "{text:?}"),
            (Err(error), None) => assert_eq!(
                error.warning("x socket").unwrap(),
                format!(
                    "malformed numerical data from x socket while reading input attribute value: {text}"
                )
            ),
            (got, _) => panic!("{text:?} gave {got:?}"),
        }
    }
}

#[test]
fn warnings_have_the_texts_of_the_reference() {
    use Extra::{Leave, Refuse, Skip};
    let cases: &[(&str, Extra, Option<&str>)] = &[
        ("", Refuse, None),
        (
            "~",
            Refuse,
            Some("missing attribute status in input from P"),
        ),
        ("~", Skip, Some("missing attribute status in input from P")),
        (
            "x~1~status~1~~",
            Refuse,
            Some("unexpected attribute x from P (expecting: status)"),
        ),
        (
            "x~1~",
            Skip,
            Some("premature end-of-input on P while reading input attribute name"),
        ),
        (
            "x~1~sta",
            Leave,
            Some("unexpected end-of-input from P while reading input attribute name"),
        ),
        (
            "status~",
            Leave,
            Some("premature end-of-input on P while reading input attribute value"),
        ),
        (
            "status~1",
            Leave,
            Some("unexpected end-of-input from P while reading input attribute value"),
        ),
        (
            "status~1~",
            Refuse,
            Some("premature end-of-input on P while reading input attribute name"),
        ),
    ];
    for (text, extra, want) in cases {
        let error = read0::<Status>(text, *extra).expect_err(text);
        assert_eq!(error.warning("P").as_deref(), *want, "{text:?}");
    }
}

#[test]
fn an_extra_attribute_at_the_end_is_noted_but_the_request_succeeds() {
    let bytes = wire("status~1~x~2~~");
    let mut input = bytes.as_slice();
    let (got, note) = read_noting::<Status>(&mut input, Encoding::Null, Extra::Refuse).unwrap();
    assert_eq!(got.status, 1);
    assert_eq!(
        note.unwrap().warning("P").unwrap(),
        "unexpected attribute x from P (expecting: (list terminator))"
    );
    assert_eq!(input, wire("2~~"));
    assert_eq!(
        read0::<Status>("y~~status~1~{~a~b~}~x~2~~", Extra::Skip).unwrap(),
        Status { status: 1 }
    );
}

#[test]
fn an_open_list_is_read_in_pieces() {
    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    struct Request {
        request: String,
    }
    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    struct Site {
        site: String,
    }
    let mut bytes = Vec::new();
    let request = Request {
        request: "send_site".into(),
    };
    write_open(&mut bytes, Encoding::Null, &request).unwrap();
    write(&mut bytes, Encoding::Null, &Site { site: "s".into() }).unwrap();
    assert_eq!(bytes, wire("request~send_site~site~s~~"));
    let mut input = bytes.as_slice();
    let got: Request = read(&mut input, Encoding::Null, Extra::Leave).unwrap();
    assert_eq!(got, request);
    assert!(more(&mut input, Encoding::Null).unwrap());
    let got: Site = read(&mut input, Encoding::Null, Extra::Refuse).unwrap();
    assert_eq!(got.site, "s");
    assert!(matches!(
        more(&mut input, Encoding::Null),
        Err(AttrError::PrematureEnd(Part::Name))
    ));
    assert!(!more(&mut &b"\0"[..], Encoding::Null).unwrap());
}

#[test]
fn repeated_pairs_run_to_the_terminator() {
    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    struct Pair {
        recipient: ByteString,
        reason: ByteString,
    }
    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    struct Message {
        queue_id: String,
        recipients: Vec<Pair>,
    }
    let pair = |n: &str| Pair {
        recipient: n.into(),
        reason: "".into(),
    };
    round_trip(
        "queue_id~1~recipient~a~reason~~recipient~b~reason~~~",
        &Message {
            queue_id: "1".into(),
            recipients: vec![pair("a"), pair("b")],
        },
    );
    round_trip(
        "queue_id~1~~",
        &Message {
            queue_id: "1".into(),
            recipients: vec![],
        },
    );
}

#[test]
fn groups_are_braced_and_the_first_key_wins() {
    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    struct Macros {
        size: i32,
        macros: BTreeMap<String, ByteString>,
    }
    let macros = BTreeMap::from([("a".to_owned(), "1".into()), ("b".to_owned(), "".into())]);
    round_trip("size~2~{~a~1~b~~}~~", &Macros { size: 2, macros });
    let got: Macros = read0("size~2~{~a~1~a~2~}~~", Extra::Refuse).unwrap();
    assert_eq!(got.macros["a"], "1");
    let got: Macros = read0("size~2~a~1~c~2~~", Extra::Refuse).unwrap();
    assert_eq!(got.macros.len(), 2);
    assert!(read0::<Macros>("size~2~{~a~1~~", Extra::Refuse).is_err());
    let got: BTreeMap<ByteString, ByteString> = read0("client_port~9~x~y~~", Extra::Skip).unwrap();
    assert_eq!(got.len(), 2);
}

#[test]
fn binary_data_is_base64_and_strings_are_raw() {
    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    struct Both {
        data: Data,
        text: ByteString,
    }
    round_trip(
        "data~PesCawAA~text~\n~~",
        &Both {
            data: Data(vec![0x3d, 0xeb, 0x02, 0x6b, 0, 0]),
            text: "\n".into(),
        },
    );
    round_trip(
        "data~~text~~~",
        &Both {
            data: Data(vec![]),
            text: "".into(),
        },
    );
    assert_eq!(
        read0::<Both>("data~%~text~~~", Extra::Refuse)
            .unwrap_err()
            .warning("P")
            .unwrap(),
        "malformed base64 data from P while reading input attribute value: %"
    );
    #[derive(Debug, Serialize, Deserialize)]
    struct Raw<T> {
        v: T,
    }
    let bytes = b"v\0\xff\xfe\0\0";
    let raw: Raw<ByteString> = read(&mut &bytes[..], Encoding::Null, Extra::Refuse).unwrap();
    assert_eq!(raw.v, b"\xff\xfe");
    assert!(read::<Raw<String>>(&mut &bytes[..], Encoding::Null, Extra::Refuse).is_err());
    assert!(to_bytes(Encoding::Null, &Raw { v: "a\0b" }).is_err());
    assert!(to_bytes(Encoding::Null, &Raw { v: vec![1u8] }).is_err());
}

#[test]
fn the_announcement_is_checked() {
    let mut bytes = Vec::new();
    write_announcement(&mut bytes, Encoding::Null, "cleanup_protocol").unwrap();
    assert_eq!(bytes, wire("protocol~cleanup_protocol~~"));
    read_announcement(&mut bytes.as_slice(), Encoding::Null, "cleanup_protocol").unwrap();
    let error = read_announcement(&mut bytes.as_slice(), Encoding::Null, "x").unwrap_err();
    assert_eq!(
        error.warning("P").unwrap(),
        "unexpected protocol cleanup_protocol from P (expected: x)"
    );
    let closed = read_announcement(&mut &b""[..], Encoding::Null, "x");
    assert!(matches!(closed, Err(AttrError::Eof)));
}

#[test]
fn hostile_lists_are_bounded() {
    let many = "a~b~".repeat(ATTRIBUTE_LIMIT + 1);
    assert!(matches!(
        read0::<Status>(&many, Extra::Skip),
        Err(AttrError::Malformed(_))
    ));
    let mut endless = std::io::BufReader::new(std::io::repeat(b'a'));
    assert!(matches!(
        read::<Status>(&mut endless, Encoding::Null, Extra::Skip),
        Err(AttrError::Malformed(_))
    ));
}

proptest! {
    #[test]
    fn any_bytes_give_a_value_or_an_error(bytes: Vec<u8>) {
        for encoding in [Encoding::Null, Encoding::Plain] {
            let _ = read::<Append>(&mut bytes.as_slice(), encoding, Extra::Skip);
            let _ = read::<BTreeMap<ByteString, ByteString>>(&mut bytes.as_slice(), encoding, Extra::Refuse);
            let _ = complete_list(&bytes, encoding);
        }
    }

    #[test]
    fn what_is_written_is_read_back(
        a: i32, b: i64, text in "[^\0]*", data: Vec<u8>, split in 1usize..9,
    ) {
        #[derive(Debug, PartialEq, Serialize, Deserialize)]
        struct All { a: i32, b: i64, text: ByteString, data: Data }
        let all = All { a, b, text: text.into(), data: Data(data) };
        let bytes = to_bytes(Encoding::Null, &all).unwrap();
        let mut input = std::io::BufReader::with_capacity(split, bytes.as_slice());
        let got: All = read(&mut input, Encoding::Null, Extra::Refuse).unwrap();
        prop_assert_eq!(got, all);
    }
}

#[test]
fn a_list_that_never_ends_does_not_fill_the_memory() {
    let mut bytes = Vec::new();
    for _ in 0..3 {
        bytes.extend_from_slice(b"x\0");
        bytes.resize(bytes.len() + VALUE_LIMIT * 3 / 4, b'v');
        bytes.push(0);
    }
    #[derive(Debug, Deserialize)]
    struct Wanted {
        #[allow(dead_code, reason = "never read")]
        y: u32,
    }
    let error = read::<Wanted>(&mut bytes.as_slice(), Encoding::Null, Extra::Skip).unwrap_err();
    assert_eq!(
        error.to_string(),
        AttrError::Malformed(format!("more than {LIST_LIMIT} bytes in a list")).to_string()
    );
}
