//! Filters and what keys do to them.

use super::*;
use crate::mongodb::bson::{Element, Elements};
use proptest::prelude::*;

/// The document for a key, as text.
fn shown(filter: &str, key: &str) -> Result<String, String> {
    let query = Query::filter("/t.cf", filter).map_err(|error| error.to_string())?;
    let document = query
        .fill(BStr::new(key))
        .map_err(|error| error.to_string())?;
    Ok(show(Elements::whole(&document.to_bytes()).unwrap()))
}

fn show(document: Elements<'_>) -> String {
    let fields: Vec<_> = document
        .map(|field| {
            let (name, value) = field.unwrap();
            format!("{name}={}", show_value(value))
        })
        .collect();
    format!("{{{}}}", fields.join(" "))
}

fn show_value(value: Element<'_>) -> String {
    match value {
        Element::Text(text) => format!("{text:?}"),
        Element::Document(inner) => show(inner),
        Element::Array(inner) => format!("[{}]", show(inner)),
        Element::Boolean(value) => value.to_string(),
        Element::Int32(number) => number.to_string(),
        Element::Int64(number) => format!("{number}L"),
        Element::Double(number) => format!("{number:?}"),
        other => other.kind().to_owned(),
    }
}

#[test]
fn filters_become_documents() {
    #[rustfmt::skip]
    let cases: &[(&str, &str)] = &[
        ("{}", "{}"),
        (" { \"a\" : 1 , \"b\":[true,false,null] } ", "{a=1 b=[{0=true 1=false 2=null}]}"),
        (r#"{"$or": [{"u": "%s"}, {"a.b": "%u@x"}], "active": 1}"#,
         r#"{$or=[{0={u="joe@a.test"} 1={a.b="joe@x"}}] active=1}"#),
        (r#"{"a": 2147483647, "b": 2147483648, "c": -0, "d": 1.5, "e": -1E+2, "f": 0.0}"#,
         r#"{a=2147483647 b=2147483648L c=0 d=1.5 e=-100.0 f=0.0}"#),
        (r#"{"a": "\"\\\/\b\f\n\r\t\u00e4\ud83d\ude00 100%%"}"#, "{a=\"\\\"\\\\/\\u{8}\\u{c}\\n\\r\\tä😀 100%\"}"),
        (r#"{"%d": {"x": "%1.%2"}}"#, r#"{a.test={x="test.a"}}"#),
        // The template is read before the escapes, as text.
        (r#"{"a": "\u0025s"}"#, r#"{a="%s"}"#), (r#"{"a": "\\%u"}"#, r#"{a="\\joe"}"#),
        (r#"{"a": 1, "a": 2}"#, "{a=1 a=2}"),
    ];
    for (filter, want) in cases {
        assert_eq!(
            shown(filter, "joe@a.test").as_deref(),
            Ok(*want),
            "{filter}"
        );
    }
}

#[test]
fn what_is_no_json_says_where() {
    #[rustfmt::skip]
    let cases: &[(&str, &str)] = &[
        ("", "invalid JSON at byte 1: a value is missing"),
        ("{\"a\": %s}", "invalid JSON at byte 7: an expansion outside of double quotes"),
        ("{a: 1}", "invalid JSON at byte 2: a name in double quotes is missing"),
        ("{\"a\" 1}", "invalid JSON at byte 6: ':' is missing"),
        ("{\"a\": 1,}", "invalid JSON at byte 9: a name in double quotes is missing"),
        ("{\"a\": 1 \"b\": 2}", "invalid JSON at byte 9: ',' or '}' is missing"),
        ("{\"a\": [1 2]}", "invalid JSON at byte 10: ',' or ']' is missing"),
        ("{\"a\": 1} {}", "invalid JSON at byte 10: text after the end"),
        ("{\"a\": 'x'}", "invalid JSON at byte 7: a value is missing"),
        ("{\"a\": \"x}", "invalid JSON at byte 7: a string without end"),
        ("{\"a\": \"x\ny\"}", "invalid JSON at byte 7: control character in a string"),
        ("{\"a\": \"\\x\"}", "invalid JSON at byte 7: invalid escape in a string"),
        ("{\"a\": \"\\ud800\"}", "invalid JSON at byte 7: invalid escape in a string"),
        ("{\"a\": \"\\u00+1\"}", "invalid JSON at byte 7: invalid escape in a string"),
        ("{\"a\": \"\\%s\"}", "invalid JSON at byte 7: invalid escape in a string"),
        ("{\"a\\u0000\": 1}", "invalid JSON at byte 11: a name with a NUL"),
        ("{\"a\": 01}", "invalid JSON at byte 7: an invalid number"),
        ("{\"a\": 1.}", "invalid JSON at byte 7: an invalid number"),
        ("{\"a\": -}", "invalid JSON at byte 7: an invalid number"),
        ("{\"a\": 1e}", "invalid JSON at byte 7: an invalid number"),
        ("{\"a\": 9223372036854775808}", "invalid JSON at byte 7: a number out of range"),
        ("{\"a\": 1e999}", "invalid JSON at byte 7: a number out of range"),
        ("{\"a\": NaN}", "invalid JSON at byte 7: a value is missing"),
        ("[]", "the JSON text is not an object"), ("\"%s\"", "the JSON text is not an object"),
    ];
    for (filter, want) in cases {
        assert_eq!(shown(filter, "k"), Err((*want).to_owned()), "{filter}");
    }
    let deep = |depth: usize| format!("{}1{}", "{\"a\":".repeat(depth), "}".repeat(depth));
    assert!(shown(&deep(100), "k").is_ok());
    assert!(
        shown(&deep(101), "k")
            .unwrap_err()
            .ends_with("nested too deeply")
    );
}

#[test]
fn values_of_other_types_are_written_as_extended_json() {
    let long = r#"{"a": {"$binary": {"base64": "YWJj", "subType": "00"}}}"#;
    #[rustfmt::skip]
    let cases: &[(&str, &str)] = &[
        (r#"{"a": {"$oid": "507f1f77bcf86cd799439011"}}"#, "{a=ObjectId}"),
        (r#"{"a": {"$numberInt": "5"}, "b": {"$numberLong": "5"}}"#, "{a=5 b=5L}"),
        (r#"{"a": {"$numberDouble": "-Infinity"}}"#, "{a=-inf}"),
        (r#"{"a": {"$date": "2026-01-31T12:00:00Z"}}"#, "{a=date}"),
        (r#"{"a": {"$date": {"$numberLong": "-5"}}, "b": {"$date": 7}}"#, "{a=date b=date}"),
        (long, "{a=binary}"), (r#"{"a": {"$binary": "YWJj", "$type": "0"}}"#, "{a=binary}"),
        (r#"{"a": {"$uuid": "c8edabc3-f738-4ca3-b68d-ab92a91478a3"}}"#, "{a=binary}"),
        (r#"{"a": {"$regularExpression": {"pattern": "^%u$", "options": "i"}}}"#, "{a=regex}"),
        // An operator, not a type.
        (r#"{"a": {"$regex": "^%u$", "$options": "i"}}"#, r#"{a={$regex="^joe$" $options="i"}}"#),
        (r#"{"a": {"$type": "string"}, "b": {"$gte": 5}}"#, r#"{a={$type="string"} b={$gte=5}}"#),
    ];
    for (filter, want) in cases {
        assert_eq!(shown(filter, "joe@a").as_deref(), Ok(*want), "{filter}");
    }
    #[rustfmt::skip]
    let bad: &[(&str, &str)] = &[
        (r#"{"a": {"$oid": "%u"}}"#, "invalid value of $oid"), (r#"{"a": {"$oid": 5}}"#, "invalid value of $oid"),
        (r#"{"a": {"$numberLong": "%u"}}"#, "invalid value of $numberLong"),
        (r#"{"a": {"$numberInt": "2147483648"}}"#, "invalid value of $numberInt"),
        (r#"{"a": {"$date": "today"}}"#, "invalid value of $date"),
        (r#"{"a": {"$oid": "507f1f77bcf86cd799439011", "x": 1}}"#, "invalid value of $oid"),
        (r#"{"a": {"$uuid": "c8ed"}}"#, "invalid value of $uuid"),
        (r#"{"a": {"$binary": {"base64": "%", "subType": "00"}}}"#, "invalid JSON at byte 30: an invalid expansion"),
        (r#"{"a": {"$numberDecimal": "1"}}"#, "values of type $numberDecimal are not supported"),
    ];
    for (filter, want) in bad {
        assert_eq!(shown(filter, "joe@a"), Err((*want).to_owned()), "{filter}");
    }
}

#[test]
fn a_key_becomes_no_operator_field_or_code() {
    #[rustfmt::skip]
    let cases: &[(&str, &str, Result<&str, &str>)] = &[
        (r#"{"%s": 1}"#, "$where", Err("the key would become an operator")),
        (r#"{"%s": 1}"#, "where", Ok("{where=1}")),
        (r#"{"x%s": 1}"#, "$where", Ok("{x$where=1}")),
        (r#"{"$%s": 1}"#, "where", Err("an operator's name has expansions")),
        (r#"{"$where": "this.a == '%s'"}"#, "x", Err("no expansion can be quoted in the code of $where")),
        (r#"{"$where": "this.a == 1"}"#, "x", Ok(r#"{$where="this.a == 1"}"#)),
        (r#"{"$expr": {"$function": {"body": "f", "args": ["%s"], "lang": "js"}}}"#, "x",
         Err("no expansion can be quoted in the code of $function")),
        // As a value of an ordinary field, a dollar is a dollar.
        (r#"{"a": "%s"}"#, "$b", Ok(r#"{a="$b"}"#)),
        (r#"{"$expr": {"$eq": ["$a", "%s"]}}"#, "b", Ok(r#"{$expr={$eq=[{0="$a" 1="b"}]}}"#)),
        (r#"{"$and": [{"$expr": {"$eq": ["$a", "%s"]}}]}"#, "$a",
         Ok(r#"{$and=[{0={$expr={$eq=[{0="$a" 1={$literal="$a"}}]}}}]}"#)),
    ];
    for (filter, key, want) in cases {
        let found = shown(filter, key);
        assert_eq!(
            found.as_deref().map_err(String::as_str),
            *want,
            "{filter} {key}"
        );
    }
}

proptest! {
    #[test]
    fn no_key_changes_the_structure_of_a_query(
        user in "[^\0]{1,12}", domain in prop_oneof!["[a-z.]{1,9}", "[^\0@]{1,9}"],
        odd in proptest::sample::select(vec!["", "\"", "\\", "\"}", "\\u0022", "%s", "$ne", "{", "\n", "\u{7f}"]),
    ) {
        let key = format!("{odd}{user}{odd}@{domain}");
        let filter = r#"{"$or": [{"a": "%s"}, {"b": ["x%sy", {"c": "%d"}]}, {"d": {"$regex": "%u"}}], "n": 1}"#;
        let (user, domain) = key.rsplit_once('@').unwrap();
        let want = format!(
            r#"{{$or=[{{0={{a={key:?}}} 1={{b=[{{0={:?} 1={{c={domain:?}}}}}]}} 2={{d={{$regex={user:?}}}}}}}] n=1}}"#,
            format!("x{key}y"),
        );
        prop_assert_eq!(shown(filter, &key), Ok(want));
    }

    #[test]
    fn any_string_is_read_as_it_was_quoted(text in "\\PC{0,20}", control in "[\0-\x1f\"\\\\]{0,5}") {
        let text = format!("{text}{control}");
        let mut quoted = Vec::new();
        quote(text.as_bytes(), &mut quoted);
        let quoted = String::from_utf8(quoted).unwrap();
        prop_assert_eq!(unescape(&quoted), Ok(text.clone()));
        let json = Parser::run(&format!("\"{quoted}\""), None);
        prop_assert_eq!(json, Ok(Json::Text(Text::Fixed(text))));
    }

    #[test]
    fn any_text_is_a_query_or_an_error(text in "\\PC{0,40}", json in "[\\[\\]{}:,\"%su1-9.eE \\\\$a]{0,40}", key in "[^\0]{1,9}") {
        for text in [text, json] {
            let _ = Query::plain(&text);
            if let Ok(query) = Query::filter("/t.cf", &text)
                && let Ok(document) = query.fill(BStr::new(&key))
            {
                show(Elements::whole(&document.to_bytes()).unwrap());
            }
        }
    }
}
