//! `query_filter` and `projection`: JSON texts that become documents.
//!
//! A filter is taken apart once, before any key is known. A key is then put into its strings and nowhere
//! else, so that no key can change the structure of a query. Strings that come from the key cannot become
//! operators, field references or program code either.
//!
//! Source: RFC 8259; mongodb_table(5); MongoDB's specification of Extended JSON.

use bstr::{BStr, BString, ByteSlice};
use std::borrow::Cow;

use super::bson::Document;
use super::extended;
use crate::expansion::Template;

/// As deep as a server takes documents.
const DEEPEST: usize = 100;

/// What is wrong with a text.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum JsonError {
    /// No JSON; the place is counted in bytes from 1.
    #[error("invalid JSON at byte {at}: {what}")]
    Syntax { what: &'static str, at: usize },
    /// JSON that means no document.
    #[error("{0}")]
    Meaning(String),
}

impl JsonError {
    fn meaning(text: impl Into<String>) -> Self {
        Self::Meaning(text.into())
    }
}

/// A string.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Text {
    Fixed(String),
    /// The string as it stands in the text, with its escapes, and expansions in it.
    Filled(Template),
}

/// A value.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Json {
    Null,
    Boolean(bool),
    Integer(i64),
    Double(f64),
    Text(Text),
    Array(Vec<Self>),
    Object(Vec<(Text, Self)>),
}

/// A document to be made, with a key or without.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Query {
    fields: Vec<(Text, Json)>,
}

impl Query {
    /// Parses the filter of the table configuration `source`, whose strings may have expansions.
    pub(super) fn filter(source: &str, text: &str) -> Result<Self, JsonError> {
        Self::new(Parser::run(text, Some(source))?)
    }

    /// Parses a text without expansions.
    pub(super) fn plain(text: &str) -> Result<Self, JsonError> {
        Self::new(Parser::run(text, None)?)
    }

    fn new(json: Json) -> Result<Self, JsonError> {
        check(&json)?;
        match json {
            Json::Object(fields) => Ok(Self { fields }),
            _ => Err(JsonError::meaning("the JSON text is not an object")),
        }
    }

    /// Whether there is a field with this name.
    pub(super) fn has(&self, name: &str) -> bool {
        let is_it = |text: &Text| matches!(text, Text::Fixed(found) if found == name);
        self.fields.iter().any(|(found, _)| is_it(found))
    }

    /// The document for `key`, which is UTF-8 without NUL and has all that the expansions need.
    pub(super) fn fill(&self, key: &BStr) -> Result<Document, JsonError> {
        object(&self.fields, key, false)
    }
}

/// Refuses expansions where their quoting would be of another language, or their place an operator.
fn check(json: &Json) -> Result<(), JsonError> {
    match json {
        Json::Array(values) => values.iter().try_for_each(check),
        Json::Object(fields) => fields.iter().try_for_each(|(name, value)| {
            match name {
                Text::Fixed(name)
                    if matches!(name.as_str(), "$where" | "$function") && is_variable(value) =>
                {
                    let text = format!("no expansion can be quoted in the code of {name}");
                    return Err(JsonError::Meaning(text));
                }
                Text::Filled(template) if template.starts_with(b"$") => {
                    return Err(JsonError::meaning("an operator's name has expansions"));
                }
                _ => {}
            }
            check(value)
        }),
        _ => Ok(()),
    }
}

/// Whether something of the key goes into `json`.
fn is_variable(json: &Json) -> bool {
    let in_text = |text: &Text| matches!(text, Text::Filled(_));
    match json {
        Json::Text(text) => in_text(text),
        Json::Array(values) => values.iter().any(is_variable),
        Json::Object(fields) => fields
            .iter()
            .any(|(name, value)| in_text(name) || is_variable(value)),
        _ => false,
    }
}

/// An object's fields as a document. In an expression (`$expr`), a string with `$` is a field.
fn object(fields: &[(Text, Json)], key: &BStr, is_expression: bool) -> Result<Document, JsonError> {
    let mut document = Document::new();
    for (name, value) in fields {
        let found = filled(name, key)?;
        if matches!(name, Text::Filled(_)) && found.starts_with('$') {
            return Err(JsonError::meaning("the key would become an operator"));
        }
        let is_expression = is_expression || found == "$expr";
        document = write(document, &found, value, key, is_expression)?;
    }
    Ok(document)
}

/// Adds a value to the document.
fn write(
    document: Document,
    name: &str,
    json: &Json,
    key: &BStr,
    is_expression: bool,
) -> Result<Document, JsonError> {
    Ok(match json {
        Json::Null => document.null(name),
        Json::Boolean(value) => document.boolean(name, *value),
        Json::Integer(value) => match i32::try_from(*value) {
            Ok(value) => document.int32(name, value),
            Err(_) => document.int64(name, *value),
        },
        Json::Double(value) => document.double(name, *value),
        Json::Text(text) => {
            let value = filled(text, key)?;
            let is_from_key = matches!(text, Text::Filled(_));
            if is_expression && is_from_key && value.starts_with('$') {
                document.document(name, &Document::new().text("$literal", &value))
            } else {
                document.text(name, &value)
            }
        }
        Json::Array(values) => {
            let mut list = Document::new();
            for (index, value) in values.iter().enumerate() {
                list = write(list, &index.to_string(), value, key, is_expression)?;
            }
            document.array(name, &list)
        }
        Json::Object(fields) => {
            let text = |text: &Text| filled(text, key).map(Cow::into_owned);
            match extended::wrapper(fields) {
                Some(wrapped) => {
                    extended::write(document, name, &wrapped, &text).map_err(JsonError::Meaning)?
                }
                None => document.document(name, &object(fields, key, is_expression)?),
            }
        }
    })
}

/// The string for `key`.
fn filled<'t>(text: &'t Text, key: &BStr) -> Result<Cow<'t, str>, JsonError> {
    match text {
        Text::Fixed(text) => Ok(Cow::Borrowed(text)),
        Text::Filled(template) => template
            .fill_query(key, &quote)
            .and_then(|raw| unescape(raw.to_str().ok()?).ok())
            .map(Cow::Owned)
            .ok_or_else(|| JsonError::meaning("the key does not fit into the query")),
    }
}

/// A part of the key for the inside of a JSON string.
fn quote(text: &[u8], out: &mut Vec<u8>) {
    for &byte in text {
        match byte {
            b'"' | b'\\' => out.extend_from_slice(&[b'\\', byte]),
            0..=0x1f => out.extend_from_slice(format!("\\u{byte:04x}").as_bytes()),
            _ => out.push(byte),
        }
    }
}

/// The inside of a JSON string without its escapes.
fn unescape(raw: &str) -> Result<String, &'static str> {
    let mut text = String::with_capacity(raw.len());
    let mut chars = raw.chars();
    while let Some(next) = chars.next() {
        match next {
            '\\' => text.push(escape(&mut chars)?),
            '\0'..='\x1f' => return Err("control character in a string"),
            other => text.push(other),
        }
    }
    Ok(text)
}

/// The character that an escape stands for; the backslash is read.
fn escape(chars: &mut std::str::Chars<'_>) -> Result<char, &'static str> {
    const BAD: &str = "invalid escape in a string";
    Ok(match chars.next().ok_or(BAD)? {
        same @ ('"' | '\\' | '/') => same,
        'b' => '\x08',
        'f' => '\x0c',
        'n' => '\n',
        'r' => '\r',
        't' => '\t',
        'u' => {
            let first = hex4(chars).ok_or(BAD)?;
            if !(0xd800..0xdc00).contains(&first) {
                return char::from_u32(first).ok_or(BAD);
            }
            if chars.next() != Some('\\') || chars.next() != Some('u') {
                return Err(BAD);
            }
            let second = hex4(chars).filter(|second| (0xdc00..0xe000).contains(second));
            let second = second.ok_or(BAD)?;
            char::from_u32(0x1_0000 + ((first - 0xd800) << 10) + (second - 0xdc00)).ok_or(BAD)?
        }
        _ => return Err(BAD),
    })
}

fn hex4(chars: &mut std::str::Chars<'_>) -> Option<u32> {
    let digits = chars.as_str().get(..4)?;
    if !digits.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return None;
    }
    *chars = chars.as_str().get(4..)?.chars();
    u32::from_str_radix(digits, 16).ok()
}

/// A text that is being read.
struct Parser<'t> {
    text: &'t str,
    at: usize,
    /// The table configuration, when strings may have expansions.
    source: Option<&'t str>,
}

impl<'t> Parser<'t> {
    fn run(text: &'t str, source: Option<&'t str>) -> Result<Json, JsonError> {
        let mut parser = Self {
            text,
            at: 0,
            source,
        };
        let json = parser.value(0)?;
        parser.skip_space();
        if parser.at < text.len() {
            return Err(parser.error("text after the end"));
        }
        Ok(json)
    }

    fn error(&self, what: &'static str) -> JsonError {
        let at = self.at + 1;
        JsonError::Syntax { what, at }
    }

    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    fn skip_space(&mut self) {
        while matches!(self.peek(), Some(b' ' | b'\t' | b'\r' | b'\n')) {
            self.at += 1;
        }
    }

    /// Steps over `byte`, and space before it.
    fn eat(&mut self, byte: u8) -> bool {
        self.skip_space();
        let is_there = self.peek() == Some(byte);
        self.at += usize::from(is_there);
        is_there
    }

    fn value(&mut self, depth: usize) -> Result<Json, JsonError> {
        if depth > DEEPEST {
            return Err(self.error("nested too deeply"));
        }
        self.skip_space();
        match self.peek() {
            Some(b'{') => self.object(depth),
            Some(b'[') => self.array(depth),
            Some(b'"') => Ok(Json::Text(self.string()?)),
            Some(b'-' | b'0'..=b'9') => self.number(),
            Some(b'%') if self.source.is_some() => {
                Err(self.error("an expansion outside of double quotes"))
            }
            _ => self.word(),
        }
    }

    fn word(&mut self) -> Result<Json, JsonError> {
        let rest = self.text.get(self.at..).unwrap_or_default();
        for (word, json) in [
            ("null", Json::Null),
            ("true", Json::Boolean(true)),
            ("false", Json::Boolean(false)),
        ] {
            if rest.starts_with(word) {
                self.at += word.len();
                return Ok(json);
            }
        }
        Err(self.error("a value is missing"))
    }

    fn array(&mut self, depth: usize) -> Result<Json, JsonError> {
        let mut values = Vec::new();
        self.at += 1;
        if self.eat(b']') {
            return Ok(Json::Array(values));
        }
        loop {
            values.push(self.value(depth + 1)?);
            if self.eat(b']') {
                return Ok(Json::Array(values));
            }
            if !self.eat(b',') {
                return Err(self.error("',' or ']' is missing"));
            }
        }
    }

    fn object(&mut self, depth: usize) -> Result<Json, JsonError> {
        let mut fields = Vec::new();
        self.at += 1;
        if self.eat(b'}') {
            return Ok(Json::Object(fields));
        }
        loop {
            self.skip_space();
            if self.peek() != Some(b'"') {
                return Err(self.error("a name in double quotes is missing"));
            }
            let name = self.string()?;
            if matches!(&name, Text::Fixed(name) if name.contains('\0')) {
                return Err(self.error("a name with a NUL"));
            }
            if !self.eat(b':') {
                return Err(self.error("':' is missing"));
            }
            fields.push((name, self.value(depth + 1)?));
            if self.eat(b'}') {
                return Ok(Json::Object(fields));
            }
            if !self.eat(b',') {
                return Err(self.error("',' or '}' is missing"));
            }
        }
    }

    /// A string; the parser is at its first quote.
    fn string(&mut self) -> Result<Text, JsonError> {
        let inside = self.text.get(self.at + 1..).unwrap_or_default();
        let mut is_escaped = false;
        let end = inside.bytes().position(|byte| {
            let is_end = byte == b'"' && !is_escaped;
            is_escaped = byte == b'\\' && !is_escaped;
            is_end
        });
        let end = end.ok_or_else(|| self.error("a string without end"))?;
        let raw = inside.get(..end).unwrap_or_default();
        let text = unescape(raw).map_err(|what| self.error(what))?;
        let text = match self.source {
            Some(source) if raw.contains('%') => {
                let template = Template::query(source, BStr::new(raw));
                // The text as a whole was read as a template before; a string can still end in a `%`.
                let template = template.map_err(|_| self.error("an invalid expansion"))?;
                if template.is_variable() {
                    Text::Filled(template)
                } else {
                    // Only `%%`.
                    Text::Fixed(filled(&Text::Filled(template), BStr::new(""))?.into_owned())
                }
            }
            _ => Text::Fixed(text),
        };
        self.at += end + 2;
        Ok(text)
    }

    fn number(&mut self) -> Result<Json, JsonError> {
        let rest = self.text.as_bytes().get(self.at..).unwrap_or_default();
        let is_part = |byte: &u8| byte.is_ascii_digit() || b"+-.eE".contains(byte);
        let end = rest.iter().position(|byte| !is_part(byte));
        let digits = rest.get(..end.unwrap_or(rest.len())).unwrap_or_default();
        let is_integer = is_number(digits).ok_or_else(|| self.error("an invalid number"))?;
        let digits = BString::from(digits).to_string();
        let json = if is_integer {
            digits.parse().ok().map(Json::Integer)
        } else {
            let value: Option<f64> = digits.parse().ok();
            value.filter(|value| value.is_finite()).map(Json::Double)
        };
        let json = json.ok_or_else(|| self.error("a number out of range"))?;
        self.at += digits.len();
        Ok(json)
    }
}

/// Whether `text` is a number of JSON, and if so, whether it is an integer.
fn is_number(text: &[u8]) -> Option<bool> {
    let digits = |text: &[u8]| text.iter().take_while(|byte| byte.is_ascii_digit()).count();
    let text = text.strip_prefix(b"-").unwrap_or(text);
    let whole = digits(text);
    if whole == 0 || (whole > 1 && text.starts_with(b"0")) {
        return None;
    }
    let mut rest = text.get(whole..)?;
    let is_integer = rest.is_empty();
    if let Some(fraction) = rest.strip_prefix(b".") {
        let count = digits(fraction);
        rest = fraction.get(count..).filter(|_| count > 0)?;
    }
    if let [b'e' | b'E', exponent @ ..] = rest {
        let exponent = match exponent {
            [b'+' | b'-', exponent @ ..] => exponent,
            _ => exponent,
        };
        let count = digits(exponent);
        rest = exponent.get(count..).filter(|_| count > 0)?;
    }
    rest.is_empty().then_some(is_integer)
}

#[cfg(test)]
mod tests;
