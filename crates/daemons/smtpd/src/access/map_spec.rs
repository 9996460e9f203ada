//! Tables in braces, `{ type:name, { attribute = value } }`: the form that check_ccert_access takes.
//!
//! As in Postfix, other restrictions do not find such a table, and mail has to wait; but the table is opened
//! when the program starts, and mistakes in it are told then. Source: as observed with Postfix 3.7.11.

use postern_config::words::{grouped_words, unbrace, words};
use postern_queue_file::Attribute;

/// What `search_order` may name.
const SEARCH_TYPES: [&str; 2] = ["cert_fingerprint", "pubkey_fingerprint"];

/// The table in a specification.
///
/// # Errors
///
/// What is wrong with it, in the lines that are logged.
pub(crate) fn table(spec: &str) -> Result<&str, Vec<String>> {
    let inner =
        unbrace(spec).map_err(|error| vec![format!("malformed map specification: '{error}'")])?;
    let mut parts = grouped_words(inner).into_iter();
    let Some(table) = parts.next() else {
        return Err(vec![format!("empty map specification: '{spec}'")]);
    };
    if !table.contains(':') {
        return Err(vec![
            format!("malformed map specification: '{spec}'"),
            format!("expected maptype:mapname instead of '{table}'"),
        ]);
    }
    for attribute in parts {
        check_attribute(spec, attribute).map_err(|error| vec![error])?;
    }
    Ok(table)
}

fn check_attribute(spec: &str, attribute: &str) -> Result<(), String> {
    let text = if attribute.starts_with('{') {
        unbrace(attribute).map_err(|error| format!("malformed map attribute: {error}"))?
    } else {
        attribute
    };
    let parsed = Attribute::parse(text.as_bytes())
        .map_err(|error| format!("malformed map attribute in '{spec}': '{error}'"))?;
    if parsed.name != "search_order" {
        return Err(format!(
            "unknown map attribute in '{spec}': '{}'",
            parsed.name
        ));
    }
    let order = parsed.value.to_string();
    match words(&order).find(|word| !SEARCH_TYPES.contains(word)) {
        Some(word) => Err(format!("unknown search type '{word}' in '{spec}'")),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tables_in_braces_are_found_and_mistakes_are_told() {
        let not_opened = |error: &str| Err(vec![error.to_owned()]);
        #[rustfmt::skip]
        let rows = [
            ("{ inline:{a=b, c=d} }", Ok("inline:{a=b, c=d}")),
            ("{{inline:{a=b}}}", Ok("{inline:{a=b}}")),
            ("{a:b, { search_order = cert_fingerprint pubkey_fingerprint }}", Ok("a:b")),
            ("{a:b, { search_order = }}", Ok("a:b")),
            ("{}", not_opened("empty map specification: '{}'")),
            ("{, x", not_opened("malformed map specification: 'missing '}' in \"{, x\"'")),
            ("{a:b}c", not_opened("malformed map specification: 'syntax error after '}' in \"{a:b}c\"'")),
            ("{x:y z}", not_opened("malformed map attribute in '{x:y z}': 'missing '=' after attribute name'")),
            ("{x:y, {}}", not_opened("malformed map attribute in '{x:y, {}}': 'missing attribute name'")),
            ("{x:y, ,, =}", not_opened("malformed map attribute in '{x:y, ,, =}': 'missing attribute name'")),
            ("{x:y, {a=b}c}", not_opened("malformed map attribute: syntax error after '}' in \"{a=b}c\"")),
            ("{x:y {foo = bar}}", not_opened("unknown map attribute in '{x:y {foo = bar}}': 'foo'")),
            ("{x:y search_order=z}", not_opened("unknown search type 'z' in '{x:y search_order=z}'")),
            ("{reject}", Err(vec![
                "malformed map specification: '{reject}'".to_owned(),
                "expected maptype:mapname instead of 'reject'".to_owned(),
            ])),
        ];
        for (spec, want) in rows {
            assert_eq!(table(spec), want, "{spec}");
        }
    }
}
