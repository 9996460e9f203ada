//! Extended JSON: objects that stand for one value of a type that JSON lacks, as `{"$oid": "…"}`.
//!
//! Source: MongoDB's specification of Extended JSON, version 2, and the forms of version 1 that are still
//! in use.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::bson::Document;
use super::json::{Json, Text};

/// The objects that are read.
#[rustfmt::skip]
const KNOWN: [&str; 8] = [
    "$binary", "$date", "$numberDouble", "$numberInt", "$numberLong", "$oid", "$regularExpression", "$uuid",
];
/// Those of types that no lookup needs.
#[rustfmt::skip]
const UNKNOWN: [&str; 8] = [
    "$code", "$dbPointer", "$maxKey", "$minKey", "$numberDecimal", "$symbol", "$timestamp", "$undefined",
];

/// An object that is a value: its first name, its content, and what stands beside that.
pub(super) struct Wrapper<'j> {
    name: &'j str,
    value: &'j Json,
    others: &'j [(Text, Json)],
}

/// `fields` as such an object, if they are one.
pub(super) fn wrapper(fields: &[(Text, Json)]) -> Option<Wrapper<'_>> {
    let ((Text::Fixed(name), value), others) = fields.split_first()? else {
        return None;
    };
    let is_one = KNOWN.contains(&name.as_str()) || UNKNOWN.contains(&name.as_str());
    is_one.then_some(Wrapper {
        name,
        value,
        others,
    })
}

/// A string, with what the key adds to it.
type Fill<'f, E> = &'f dyn Fn(&Text) -> Result<String, E>;

/// Adds the value that an object stands for. The error says what is wrong with it.
pub(super) fn write<E: std::fmt::Display>(
    document: Document,
    name: &str,
    wrapper: &Wrapper<'_>,
    fill: Fill<'_, E>,
) -> Result<Document, String> {
    let kind = wrapper.name;
    let invalid = || format!("invalid value of {kind}");
    if UNKNOWN.contains(&kind) {
        return Err(format!("values of type {kind} are not supported"));
    }
    let text = |json: &Json| match json {
        Json::Text(text) => fill(text).map_err(|error| error.to_string()),
        _ => Err(invalid()),
    };
    let field = |json: &Json, wanted: &str| match json {
        Json::Object(fields) => fields
            .iter()
            .find(|(name, _)| matches!(name, Text::Fixed(name) if name == wanted))
            .ok_or_else(invalid)
            .and_then(|(_, value)| text(value)),
        _ => Err(invalid()),
    };
    let is_old_binary = kind == "$binary" && wrapper.others.len() == 1;
    if !wrapper.others.is_empty() && !is_old_binary {
        return Err(invalid());
    }
    let written = match (kind, wrapper.value) {
        ("$oid", value) => {
            let id = bytes(&text(value)?).and_then(|id| <[u8; 12]>::try_from(id).ok());
            id.map(|id| document.object_id(name, id))
        }
        ("$uuid", value) => {
            let digits = text(value)?.replace('-', "");
            let id = bytes(&digits).filter(|id| id.len() == 16);
            id.map(|id| document.binary(name, 4, &id))
        }
        ("$numberInt", value) => {
            let number = text(value)?.parse().ok();
            number.map(|number| document.int32(name, number))
        }
        ("$numberLong", value) => {
            let number = text(value)?.parse().ok();
            number.map(|number| document.int64(name, number))
        }
        ("$numberDouble", value) => {
            let number = text(value)?.parse().ok();
            number.map(|number| document.double(name, number))
        }
        ("$date", Json::Integer(number)) => Some(document.date(name, *number)),
        ("$date", value @ Json::Object(_)) => {
            let number = field(value, "$numberLong")?.parse().ok();
            number.map(|number| document.date(name, number))
        }
        ("$date", value) => {
            let time = milliseconds(&text(value)?);
            time.map(|time| document.date(name, time))
        }
        ("$binary", value) => {
            let (content, subtype) = match wrapper.others {
                [(Text::Fixed(other), subtype)] if other == "$type" => {
                    (text(value)?, text(subtype)?)
                }
                _ => (field(value, "base64")?, field(value, "subType")?),
            };
            let subtype = u8::from_str_radix(&subtype, 16).ok();
            let content = STANDARD.decode(content).ok();
            content
                .zip(subtype)
                .map(|(content, subtype)| document.binary(name, subtype, &content))
        }
        ("$regularExpression", value) => {
            let pattern = field(value, "pattern")?;
            let mut options: Vec<char> = field(value, "options")?.chars().collect();
            options.sort_unstable();
            let options: String = options.into_iter().collect();
            let is_text = !pattern.contains('\0') && !options.contains('\0');
            is_text.then(|| document.regex(name, &pattern, &options))
        }
        _ => None,
    };
    written.ok_or_else(invalid)
}

/// Bytes of hexadecimal digits.
fn bytes(digits: &str) -> Option<Vec<u8>> {
    let digits = digits.as_bytes();
    let (pairs, rest) = digits.as_chunks::<2>();
    if !rest.is_empty() || !digits.iter().all(u8::is_ascii_hexdigit) {
        return None;
    }
    pairs
        .iter()
        .map(|pair| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok())
        .collect()
}

/// A time of RFC 3339, `2026-01-31T12:00:00.123Z`, in milliseconds since 1970.
fn milliseconds(text: &str) -> Option<i64> {
    let (date, time) = text.split_once(['T', 't'])?;
    let number = |text: &str, length: usize| {
        let is_one = text.len() == length && text.bytes().all(|byte| byte.is_ascii_digit());
        text.parse::<i64>().ok().filter(|_| is_one)
    };
    let mut parts = date.split('-');
    let (year, month, day) = (
        number(parts.next()?, 4)?,
        number(parts.next()?, 2)?,
        number(parts.next()?, 2)?,
    );
    let (clock, zone) = time.split_at_checked(time.find(['Z', 'z', '+', '-'])?)?;
    let (clock, fraction) = clock.split_once('.').unwrap_or((clock, "0"));
    let mut units = clock.split(':');
    let (hour, minute, second) = (
        number(units.next()?, 2)?,
        number(units.next()?, 2)?,
        number(units.next()?, 2)?,
    );
    let is_real = (1..=12).contains(&month)
        && (1..=31).contains(&day)
        && hour < 24
        && minute < 60
        && second < 60
        && parts.next().is_none()
        && units.next().is_none();
    let fraction = number(&format!("{fraction:0<3}"), 3)?;
    let offset = match zone.split_at_checked(1)? {
        ("Z" | "z", "") => 0,
        (sign, shift) => {
            let (hours, minutes) = match shift.split_once(':') {
                Some((hours, minutes)) => (number(hours, 2)?, number(minutes, 2)?),
                None => (number(shift.get(..2)?, 2)?, number(shift.get(2..)?, 2)?),
            };
            let minutes = hours * 60 + minutes;
            if sign == "-" { -minutes } else { minutes }
        }
    };
    // Days since 1970 in a calendar that begins in March, so that leap days come last.
    let (from_march, year) = if month > 2 {
        (month - 3, year)
    } else {
        (month + 9, year - 1)
    };
    let days = year * 365 + year.div_euclid(4) - year.div_euclid(100)
        + year.div_euclid(400)
        + (from_march * 153 + 2) / 5
        + day
        - 1
        - 719_468;
    let seconds = (days * 24 + hour) * 3600 + (minute - offset) * 60 + second;
    is_real.then_some(seconds * 1000 + fraction)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_counted_from_1970() {
        #[rustfmt::skip]
        let cases: &[(&str, Option<i64>)] = &[
            ("1970-01-01T00:00:00Z", Some(0)), ("1970-01-01T00:00:00.5Z", Some(500)),
            ("2012-12-24T12:15:30.501Z", Some(1_356_351_330_501)), ("1969-12-31T23:59:59Z", Some(-1000)),
            ("2000-02-29T00:00:00+01:00", Some(951_778_800_000)), ("2024-03-01T00:00:00-0130", Some(1_709_256_600_000)),
            ("2024-13-01T00:00:00Z", None), ("2024-01-01", None), ("2024-01-01T00:00Z", None),
            ("2024-01-01T00:00:00", None), ("2024-01-01T00:00:00.1234Z", None), ("x", None), ("T+", None),
        ];
        for (text, want) in cases {
            assert_eq!(milliseconds(text), *want, "{text}");
        }
    }
}
