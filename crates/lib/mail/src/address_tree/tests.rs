use super::*;

/// Qualifies bare addresses with `@M`, as header rewriting does with the origin.
fn qualified(text: &str) -> BString {
    let mut nodes = parse(BStr::new(text), 0);
    for address in addresses_mut(&mut nodes) {
        let has_at = match address {
            Address::Tokens(tokens) => tokens.iter().any(|t| t.is_op(b'@')),
            Address::Rewritten(_) => true,
        };
        if !has_at && !address.external().is_empty() {
            let mut whole = address.external();
            whole.extend_from_slice(b"@M");
            let internal = crate::address::unquote(BStr::new(&whole));
            let text = crate::address::quote(BStr::new(&internal));
            address.replace(text);
        }
    }
    externalize(&nodes)
}

#[test]
fn lists_are_parsed_as_by_header_rewriting() {
    // Rows from Postfix 3.7.11: `To: TEXT, z` after header rewriting.
    #[rustfmt::skip]
    let cases: &[(&str, &str)] = &[
        ("x@y <a@b>", "x@y <a@b>, z@M"),
        ("Dr. Who <w>", "Dr.Who <w@M>, z@M"),
        ("J.R.R. T <w@x>", "J.R.R.T <w@x>, z@M"),
        ("a .b c. d", "a.b@M, c.d@M, z@M"),
        ("(c1) a (c2) @ (c3) b (c4)", "a@b (c1) (c2) (c3) (c4), z@M"),
        ("p (c1) q <a (c2) @b> (c3)", "p (c1) q <a@b (c2)>(c3), z@M"),
        ("<a b>", "<ab@M>, z@M"),
        ("<a,b>", "<\"a, b\"@M>, z@M"),
        ("<>", "<>, z@M"),
        ("(only)", "(only), z@M"),
        ("", ", z@M"),
        ("x <>", "x <>, z@M"),
        ("a;", "a@M;, z@M"),
        ("a:b", "\"a:b\"@M, z@M"),
        ("g:a;", "g: a@M;, z@M"),
        ("g: a b;", "g: a@M, b@M;, z@M"),
        ("g g2: a;", "g g2: a@M;, z@M"),
        ("g:; h:;", "g:;h: ;, z@M"),
        ("\"g x\": a;", "\"g x\": a@M;, z@M"),
        ("g: h: a;;", "g:h: a@M;;, z@M"),
        ("g: a, h: b; c;", "g: a@M, h: b@M;, c@M;, z@M"),
        ("a: b: c", "\"a:b:c\"@M, z@M"),
        ("<a", "\"<a\"@M, z@M"),
        ("a>", "a@M>, z@M"),
        ("a<b", "\"a <b\"@M, z@M"),
        ("<a<b>>", "<a <\"b>\"@M>, z@M"),
        ("<<a>>", "< <\"a>\"@M>, z@M"),
        ("<a><b>", "<a@M> <b@M>, z@M"),
        ("p <a> q <b> r", "p <a@M>q <b@M>, r@M, z@M"),
        ("a(b)c", "a@M, c@M (b), z@M"),
        ("\"a\"b", "a@M, b@M, z@M"),
        ("a[1.2.3.4]", "a@M, \"[1.2.3.4]\"@M, z@M"),
        ("a\\ b", "\"a b\"@M, z@M"),
        ("a\\,b", "\"a,b\"@M, z@M"),
        ("p \u{e9} <q>", "p \u{e9} <q@M>, z@M"),
        ("\\", "\" \"@M, z@M"),
        ("(", "( , z"),
        ("[", "\"[ , z]\"@M"),
        ("(unterm", "(unterm , z"),
        ("a (unterm", "a@M (unterm , z"),
        ("\"p\\\u{1}q\" <a>", "\"p\u{1}q\" <a@M>, z@M"),
        ("\"a  b\"  <c>", "\"a  b\" <c@M>, z@M"),
        ("a,,b", "a@M, , b@M, z@M"),
        (", a", ", a@M, z@M"),
        ("(c)a", "a@M (c), z@M"),
        ("a (c), (d) b", "a@M (c), b@M (d), z@M"),
        ("<(c) a>", "<a@M (c)>, z@M"),
        ("(c) <a> (d)", "(c) <a@M>(d), z@M"),
        ("g (c): a (d), b; (e)", "g (c): a@M (d), b@M;(e), z@M"),
        ("g:(c)a;", "g: a@M (c);, z@M"),
        ("g: <a> <b>;", "g: <a@M> <b@M>;, z@M"),
        ("a:b@c;", "a: b@c;, z@M"),
        ("a@b:c;", "a@b: c@M;, z@M"),
        ("a;b", "a@M;, b@M, z@M"),
        ("a b;c d", "a@M, b@M;, c@M, d@M, z@M"),
        ("<a@b>.c", "<a@b>, \".c\"@M, z@M"),
        ("a.<b>", "a. <b@M>, z@M"),
        ("p[q] <a>", "p [q] <a@M>, z@M"),
        ("p,q <a>", "p@M, q <a@M>, z@M"),
        ("p;q <a>", "p@M;q <a@M>, z@M"),
        ("p:q <a>", "p@M:q <a@M>, z@M"),
        ("\"\" <a>", "\"\" <a@M>, z@M"),
        ("g: a, h: b;", "g: a@M, h: b@M;, z@M"),
        ("x;y:z;", "x;y: z@M;, z@M"),
        (":;", ": ;, z@M"),
        ("g:h;i <j>", "g: h@M;i <j@M>, z@M"),
        ("f; g; h: a;", "f;g;h: a@M;, z@M"),
        ("g:a,b;h:c,d;", "g: a@M, b;h: c@M, d@M;, z@M"),
        ("a <b>:c;", "a <b>: c@M;, z@M"),
        ("a;:b", "a@M;, \":b\"@M, z@M"),
        ("x(c)y <z>", "x (c) y <z@M>, z@M"),
    ];
    for (text, want) in cases {
        assert_eq!(qualified(&format!("{text} , z")), *want, "{text:?}");
    }
}

#[test]
fn angle_brackets_the_wrong_way_round_swallow_what_is_left_of_them() {
    assert_eq!(qualified("z, >a"), "\"z, \"@M>, a@M");
    assert_eq!(qualified("z, <a>b>"), "z@M, <\"a>b\"@M>");
}

#[test]
fn headers_are_folded_before_column_70() {
    let line = |n: usize| {
        let text = format!("{}@y, a@b, b@c, z@mail.example.test", "x".repeat(n));
        header(BStr::new("To"), &parse(BStr::new(&text), 0)).to_string()
    };
    assert!(line(52).contains("@y, a@b, b@c,\n\tz@mail"));
    assert!(line(53).contains("@y, a@b,\n\tb@c, z@mail"));
    assert!(line(57).contains("@y, a@b,\n\tb@c, z@mail"));
    assert!(line(58).contains("@y,\n\ta@b, b@c, z@mail"));
}

#[test]
fn more_than_250_bytes_beside_an_address_are_stripped() {
    // Rows from Postfix 3.7.11: longest comment that is kept.
    let cases: &[(&str, &str, usize, &str)] = &[
        ("(", ") a", 247, "<a>"),
        ("\"", "\" <a>", 245, "<a>"),
        ("<a>(", ")", 246, "<a>"),
        ("p <a>(", ")", 244, "<a>"),
        ("p <a>, q (", ") <b>", 243, "p <a>, <b>"),
        ("p <a>, ", ". <b>", 246, "p <a>, <b>"),
    ];
    for (before, after, longest, stripped) in cases {
        let strip = |n: usize| {
            let mut nodes = parse(BStr::new(&format!("{before}{}{after}", "x".repeat(n))), 0);
            strip_long_comments(&mut nodes);
            externalize(&nodes)
        };
        assert!(strip(*longest).len() > 250, "{before}…{after}");
        assert_eq!(strip(longest + 1), *stripped, "{before}…{after}");
    }
}

proptest::proptest! {
    #[test]
    fn any_text_parses_and_keeps_its_addresses_when_written_back(text in "[ a-c@.,:;<>()\\[\\]\"\\\\!%\t\n\u{e9}]{0,40}") {
        let nodes = parse(BStr::new(&text), 0);
        let again = parse(BStr::new(&externalize(&nodes)), 0);
        let commas = |nodes: &[Node]| nodes.iter().filter(|node| matches!(node, Node::Token(Token::Op(b',')))).count();
        proptest::prop_assert!(commas(&again) <= commas(&nodes) + text.len());
        proptest::prop_assert!(header(BStr::new("To"), &nodes).starts_with(b"To: "));
    }
}
