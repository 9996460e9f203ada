//! Tables at servers that behave, and at servers that do not.

mod fake;
mod servers;

use super::*;
use crate::ErrorKind;
use fake::{Fake, Say, alone, batch, error, finds, message};

/// A table of settings in a file.
struct Opened {
    table: Box<dyn Table>,
    path: String,
    _file: tempfile::TempPath,
}

fn settings(text: &str) -> (tempfile::TempPath, String) {
    let file = tempfile::NamedTempFile::new().unwrap().into_temp_path();
    std::fs::write(&file, text).unwrap();
    let path = file.to_str().unwrap().to_owned();
    (file, path)
}

/// Opens a table at `hosts` with options of the connection string and other settings.
fn table(hosts: &str, options: &str, more: &str) -> Opened {
    let (file, path) = settings(&format!(
        "uri = mongodb://{hosts}/?{options}\ndbname = mail\ncollection = aliases\n\
         query_filter = {{\"k\": \"%s\"}}\n{more}"
    ));
    let config = Config::from_text("").unwrap();
    Opened {
        table: open(&config, &path, OpenMode::Read, Flags::NONE).unwrap(),
        path,
        _file: file,
    }
}

impl Opened {
    /// The value, `-` for none, or the reason of a temporary error.
    fn ask(&mut self, key: &str) -> String {
        match self.table.lookup(BStr::new(key)) {
            Ok(Some(value)) => value.to_string(),
            Ok(None) => "-".to_owned(),
            Err(error) => {
                assert_eq!(error.kind, ErrorKind::Retry);
                assert_eq!(error.table, format!("mongodb:{}", self.path));
                format!("error: {}", error.reason)
            }
        }
    }
}

const ATTRIBUTE: &str = "result_attribute = v\n";

#[test]
fn settings_are_checked_in_postfix_words() {
    let config = Config::from_text("").unwrap();
    let base = "uri = mongodb://a\ndbname = d\ncollection = c\nquery_filter = {\"k\": \"%s\"}\n";
    #[rustfmt::skip]
    let cases: &[(&str, &str, &str)] = &[
        ("uri = mongodb://a\n", "", "F: bad string length 0 < 1: uri = "),
        ("dbname = d\n", "", "F: bad string length 0 < 1: dbname = "),
        ("collection = c\n", "", "F: bad string length 0 < 1: collection = "),
        ("query_filter = {\"k\": \"%s\"}\n", "", "F: bad string length 0 < 1: query_filter = "),
        ("", "", "mongodb:F: specify exactly one of 'projection' or 'result_attribute'"),
        ("", "result_attribute = a\nprojection = {}\n",
         "mongodb:F: specify exactly one of 'projection' or 'result_attribute'"),
        ("", "result_attribute = a\nexpansion_limit = 101\n", "F: invalid expansion_limit parameter value 101 > 100"),
        ("", "result_attribute = a\nexpansion_limit = -1\n", "F: invalid expansion_limit parameter value -1 < 0"),
        ("", "result_attribute = a\nresult_format = %x\n", "db_common_parse: F: Invalid result template: %x"),
        ("%s\"}\n", "%x\"}\nresult_attribute = a\n", "db_common_parse: F: Invalid query template: {\"k\": \"%x\"}"),
        ("mongodb://a\n", "http://u:secret@a\nresult_attribute = a\n",
         "mongodb:F: invalid uri: it begins with neither mongodb:// nor mongodb+srv://"),
    ];
    for (without, with, want) in cases {
        let text = if without.is_empty() || with.is_empty() {
            format!("{}{with}", base.replace(without, ""))
        } else {
            base.replace(without, with)
        };
        let (_file, path) = settings(&text);
        let opened = open(&config, &path, OpenMode::Read, Flags::NONE);
        let text = opened.err().unwrap().to_string();
        assert_eq!(text.replace(&path, "F"), *want);
    }
    let opened = open(&config, "/t.cf", OpenMode::ReadWrite, Flags::NONE);
    assert_eq!(
        opened.err().unwrap().to_string(),
        "mongodb:/t.cf: map requires O_RDONLY access mode"
    );
}

#[test]
fn parameters_may_stand_in_main_cf() {
    let fake = Fake::start(finds(vec![Document::new().text("v", "x")]));
    let config = Config::from_text(&format!(
        "m_uri = mongodb://{}\nm_dbname = d\nm_collection = c\nm_query_filter = {{\"$$or\": [{{\"k\": \"%s\"}}]}}\n\
         m_result_attribute = v\n",
        fake.place()
    ))
    .unwrap();
    let mut table = open(&config, "m", OpenMode::Read, Flags::NONE).unwrap();
    assert_eq!(table.name(), "mongodb:m");
    assert_eq!(table.lookup(BStr::new("k")).unwrap().unwrap(), "x");
}

#[test]
fn the_values_of_a_document_are_joined() {
    let list = Document::new()
        .text("0", "a@x")
        .int32("1", 5)
        .null("2")
        .text("3", "")
        .array(
            "4",
            &Document::new().text("0", "b@y").int64("1", 5_000_000_000),
        )
        .document("5", &Document::new().text("v", "no"));
    let fields = || Document::new().text("_id", "never");
    let both = fields().text("v", "one@x").text("w", "two");
    #[rustfmt::skip]
    let cases: &[(&str, Vec<Document>, &str)] = &[
        ("", vec![], "-"), ("", vec![fields()], "-"), ("", vec![Document::new().text("v", "one")], "one"),
        ("", vec![both.clone()], "one@x,two"), ("", vec![fields().array("v", &list)], "a@x,5,b@y,5000000000"),
        ("", vec![fields().int32("v", -5)], "-5"), ("", vec![fields().text("v", "\u{fc}")], "\u{fc}"),
        // Other types are left out, and nothing left is nothing found.
        ("", vec![fields().double("v", 1.5).boolean("w", true).null("x").date("y", 0)], "-"),
        // A document after another takes its place, even with nothing in it.
        ("", vec![Document::new().text("v", "one"), Document::new().text("v", "two")], "two"),
        ("", vec![Document::new().text("v", "one"), Document::new().null("v")], "-"),
        ("result_format = <%s> %U\n", vec![both.clone()], "<one@x> joe,<two> joe"),
        // A value without domain has no %d.
        ("result_format = %d\n", vec![both.clone()], "x"),
        ("expansion_limit = 2\n", vec![both.clone()], "one@x,two"),
        ("expansion_limit = 1\n", vec![both.clone()], "error: Application error"),
        ("expansion_limit = 0\n", vec![numbered(200)], &numbers(200)),
        ("", vec![numbered(10)], &numbers(10)), ("", vec![numbered(11)], "error: Application error"),
        // What is left out does not count.
        ("expansion_limit = 1\n", vec![both.clone().text("x", "")], "error: Application error"),
        ("expansion_limit = 1\nresult_format = %d\n", vec![both.clone()], "x"),
        ("", vec![fields().text("v", "a\0b")], "error: a value with a null byte"),
        ("", vec![nested(32)], "deep"), ("", vec![nested(33)], "error: arrays nested too deeply"),
    ];
    for (more, documents, want) in cases {
        let fake = Fake::start(finds(documents.clone()));
        let mut table = table(&fake.place(), "", &format!("{ATTRIBUTE}{more}"));
        assert_eq!(table.ask("joe@a"), *want, "{more}{documents:?}");
    }
}

fn numbered(count: i32) -> Document {
    let list = (0..count).fold(Document::new(), |list, number| {
        list.int32(&number.to_string(), number)
    });
    Document::new().array("v", &list)
}

fn numbers(count: i32) -> String {
    let all: Vec<_> = (0..count).map(|number| number.to_string()).collect();
    all.join(",")
}

/// A text in arrays in arrays.
fn nested(depth: usize) -> Document {
    let inner = (1..depth).fold(Document::new().text("0", "deep"), |inner, _| {
        Document::new().array("0", &inner)
    });
    Document::new().array("v", &inner)
}

/// What the server was asked, as text.
fn asked(more: &str, key: &str) -> String {
    let (sender, receiver) = std::sync::mpsc::channel();
    let fake = Fake::start(move || {
        let sender = sender.clone();
        Box::new(move |command, request| {
            if command == "hello" {
                return Say::Reply(alone());
            }
            sender.send(format!("{request:?}")).unwrap();
            Say::Reply(batch("firstBatch", &[], 0))
        })
    });
    let mut table = table(&fake.place(), "", more);
    assert_eq!(table.ask(key), "-");
    receiver.try_recv().unwrap_or_else(|_| "nothing".to_owned())
}

#[test]
fn a_question_has_the_filter_and_the_fields_that_are_wanted() {
    let ask = |more: &str| {
        let text = asked(more, "jo\"e@a");
        let (start, rest) = text.split_once("\"maxTimeMS\"").unwrap();
        assert!(rest.ends_with("Ok((\"$db\", \"mail\"))]"), "{rest}");
        start.replace("Ok(", "").replace("))", ")")
    };
    let filter = r#"[("find", "aliases"), ("filter", [("k", "jo\"e@a")]), ("projection", ["#;
    #[rustfmt::skip]
    let cases: &[(&str, &str)] = &[
        ("result_attribute = a, b.c\td\n", r#"("a", 1), ("b.c", 1), ("d", 1), ("_id", 0)]), ("#),
        ("result_attribute = _id\n", r#"("_id", 1)]), ("#),
        ("projection = {\"p\": {\"$concat\": [\"$a\", \"%s\"]}}\n",
         r#"("p", [("$concat", [("0", "$a"), ("1", "%s")])]), ("_id", 0)]), ("#),
        ("projection = {\"a\": 1, \"_id\": 0}\n", r#"("a", 1), ("_id", 0)]), ("#),
        ("projection = {\"_id\": 1}\n", r#"("_id", 1)]), ("#),
    ];
    for (more, want) in cases {
        assert_eq!(ask(more), format!("{filter}{want}"), "{more}");
    }
}

#[test]
fn keys_that_lack_something_are_not_asked_for() {
    let domain = "domain = ex.test\n";
    let filter = "query_filter = {\"u\": \"%u\", \"d\": \"%d\"}\n";
    #[rustfmt::skip]
    let cases: &[(&str, &str, bool)] = &[
        ("", "joe", true), ("", "", false), (domain, "joe@ex.test", true), (domain, "joe@other", false),
        (domain, "joe", false), (domain, "@ex.test", false), (domain, "ex.test", false), (filter, "joe@a", true),
        (filter, "joe", false), (filter, "@a", false), ("result_format = %s@%D\n", "joe", false), ("", "a\0b", false),
    ];
    for (more, key, want) in cases {
        let text = asked(&format!("{ATTRIBUTE}{more}"), key);
        assert_eq!(text != "nothing", *want, "{more} {key}: {text}");
    }
    let fake = Fake::start(finds(vec![Document::new().text("v", "x")]));
    let mut table = table(&fake.place(), "", ATTRIBUTE);
    assert_eq!(table.table.lookup(BStr::new(b"\xff")), Ok(None));
    assert_eq!(fake.count("hello"), 0);
}

#[test]
fn queries_that_mean_nothing_are_temporary_errors() {
    let fake = Fake::start(finds(vec![]));
    #[rustfmt::skip]
    let cases: &[(&str, &str)] = &[
        ("query_filter = {\"k\": %s}\nresult_attribute = v\n",
         "error: query_filter: invalid JSON at byte 7: an expansion outside of double quotes"),
        ("query_filter = {\"%s\": 1}\nresult_attribute = v\n", "error: query_filter: the key would become an operator"),
        ("query_filter = {\"k\": {\"$oid\": \"%s\"}}\nresult_attribute = v\n", "error: query_filter: invalid value of $oid"),
        ("projection = {\"a\": 1\n", "error: projection: invalid JSON at byte 8: ',' or '}' is missing"),
        ("projection = [1]\n", "error: projection: the JSON text is not an object"),
    ];
    for (more, want) in cases {
        let mut table = table(&fake.place(), "", more);
        assert_eq!(table.ask("$k"), *want, "{more}");
    }
    assert_eq!(fake.count("hello"), 0);
}

#[test]
fn an_error_of_the_server_is_no_miss_and_ends_no_connection() {
    let fake = Fake::start(|| {
        Box::new(|command, request| match command {
            "hello" => Say::Reply(alone()),
            _ if format!("{request:?}").contains("\"bad\"") => {
                Say::Reply(error(2, "BadValue", &"x".repeat(500)))
            }
            _ => Say::Reply(batch("firstBatch", &[Document::new().text("v", "x")], 0)),
        })
    });
    let mut table = table(&fake.place(), "", ATTRIBUTE);
    for _ in 0..2 {
        assert_eq!(table.ask("good"), "x");
        assert_eq!(
            table.ask("bad"),
            format!("error: BadValue: {}", "x".repeat(190))
        );
    }
    assert_eq!(fake.count("hello"), 1);
}

#[test]
fn further_batches_are_fetched() {
    let fake = Fake::start(|| {
        let mut number = 0;
        Box::new(move |command, request| {
            let one = |number: i32| [Document::new().int32("v", number)];
            match command {
                "hello" => Say::Reply(alone()),
                "find" => Say::Reply(batch("firstBatch", &one(0), 77)),
                "getMore" => {
                    assert_eq!(request.get("getMore"), Ok(Some(Element::Int64(77))));
                    assert_eq!(request.get_text("collection"), Ok(Some("aliases")));
                    number += 1;
                    // An empty batch in the middle, and one at the end.
                    match number {
                        1 => Say::Reply(batch("nextBatch", &[], 77)),
                        2 => Say::Reply(batch("nextBatch", &one(2), 77)),
                        _ => Say::Reply(batch("nextBatch", &[], 0)),
                    }
                }
                other => panic!("{other}"),
            }
        })
    });
    assert_eq!(table(&fake.place(), "", ATTRIBUTE).ask("k"), "2");
}

#[test]
fn malformed_answers_are_temporary_errors() {
    let reply = |bytes: &[u8]| message(&[0; 4], bytes);
    let good = batch("firstBatch", &[], 0).to_bytes();
    let number = Document::new().array("firstBatch", &Document::new().int32("0", 1));
    let no_id = Document::new().array("firstBatch", &Document::new());
    let with = |cursor: Document| {
        let reply = Document::new()
            .document("cursor", &cursor)
            .double("ok", 1.0);
        message(&[0; 4], &reply.to_bytes())
    };
    let broken = b"\x13\0\0\0\x02v\0\xff\0\0\0x\0\0\0\0\0\0\0";
    let mut two = reply(&good);
    two.extend_from_slice(&reply(&good));
    let mut long = reply(&good);
    long[..4].copy_from_slice(&i32::MAX.to_le_bytes());
    let mut negative = reply(&good);
    negative[..4].copy_from_slice(&(-1i32).to_le_bytes());
    let mut short = reply(&good);
    short[..4].copy_from_slice(&25u32.to_le_bytes());
    let cases = [
        vec![0; 40],
        b"HTTP/1.1 400 Bad Request\r\n\r\n".to_vec(),
        reply(&Document::new().to_bytes()),
        reply(&Document::new().double("ok", 1.0).to_bytes()),
        reply(&Document::new().text("ok", "1").to_bytes()),
        reply(broken),
        with(number.int64("id", 0)),
        with(no_id.clone()),
        with(no_id.clone().int32("id", 0)),
        with(Document::new().int64("id", 0)),
        long,
        negative,
        short,
    ];
    for bytes in cases {
        let shown = format!("{bytes:?}");
        let fake = Fake::start(move || {
            let bytes = bytes.clone();
            Box::new(move |command, _| match command {
                "hello" => Say::Reply(alone()),
                _ => Say::Raw(bytes.clone()),
            })
        });
        let mut table = table(&fake.place(), "", ATTRIBUTE);
        let answer = table.ask("k");
        assert!(answer.starts_with("error: "), "{answer} for {shown}");
    }
    // A reply too many must not be the answer to the next question.
    let fake = Fake::start(move || {
        let two = two.clone();
        Box::new(move |command, _| match command {
            "hello" => Say::Reply(alone()),
            _ => Say::Raw(two.clone()),
        })
    });
    let mut table = table(&fake.place(), "", ATTRIBUTE);
    assert_eq!(table.ask("k"), "-");
    assert_eq!(table.ask("k"), "-");
    assert!(fake.count("hello") >= 2);
}
