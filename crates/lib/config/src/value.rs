//! From expanded text to typed values, with bounds. Knows nothing about where the text came from.

use std::time::Duration;

use crate::ConfigError;
use crate::params::{Kind, ParamInfo};

/// Checks the length of a string or raw string.
pub(crate) fn text(info: &ParamInfo, text: String) -> Result<String, ConfigError> {
    let length = text.len();
    let bound = i64::try_from(length).unwrap_or(i64::MAX);
    let name = info.name.to_string();
    if info.min > 0 && bound < info.min {
        let min = info.min;
        return Err(match info.kind {
            Kind::Raw => ConfigError::RawTooShort {
                name,
                text,
                length,
                min,
            },
            _ => ConfigError::StringTooShort {
                name,
                text,
                length,
                min,
            },
        });
    }
    if info.max > 0 && bound > info.max {
        let max = info.max;
        return Err(match info.kind {
            Kind::Raw => ConfigError::RawTooLong {
                name,
                text,
                length,
                max,
            },
            _ => ConfigError::StringTooLong {
                name,
                text,
                length,
                max,
            },
        });
    }
    Ok(text)
}

/// `yes` or `no`, in any case.
pub(crate) fn boolean(info: &ParamInfo, text: &str) -> Result<bool, ConfigError> {
    if text.eq_ignore_ascii_case("yes") {
        Ok(true)
    } else if text.eq_ignore_ascii_case("no") {
        Ok(false)
    } else {
        Err(ConfigError::BadBoolean {
            name: info.name.to_string(),
            text: text.to_string(),
        })
    }
}

/// A number that fits 32 bits.
pub(crate) fn int(info: &ParamInfo, text: &str) -> Result<i32, ConfigError> {
    let number =
        i32::try_from(number(info.name, text)?).map_err(|_| bad_number(info.name, text))?;
    check_bounds(info.name, i64::from(number), info.min, info.max)?;
    Ok(number)
}

/// A number that fits 64 bits.
pub(crate) fn long(info: &ParamInfo, text: &str) -> Result<i64, ConfigError> {
    let number = number(info.name, text)?;
    check_bounds(info.name, number, info.min, info.max)?;
    Ok(number)
}

/// A time; a bare number counts in the parameter's own unit.
pub(crate) fn time(info: &ParamInfo, text: &str) -> Result<Duration, ConfigError> {
    named_time(info.name, text, info.unit, info.min, info.max)
}

/// As [`time`], for names made at run time.
pub(crate) fn named_time(
    name: &str,
    text: &str,
    unit: char,
    min: i64,
    max: i64,
) -> Result<Duration, ConfigError> {
    let seconds = seconds(text, unit).ok_or_else(|| ConfigError::BadTime {
        name: name.to_string(),
        text: text.to_string(),
    })?;
    let value = i64::from(seconds);
    if min > 0 && value < min {
        return Err(ConfigError::TimeTooSmall {
            name: name.to_string(),
            value,
            min,
        });
    }
    if max > 0 && value > max {
        return Err(ConfigError::TimeTooLarge {
            name: name.to_string(),
            value,
            max,
        });
    }
    Ok(Duration::from_secs(u64::from(seconds)))
}

/// Reads `[blanks][digits][unit]`. Only the byte after the number counts as unit, so that `1h30m` is
/// one hour, and a unit without number is zero (source: postconf(5), and the reference's behaviour).
#[must_use]
pub fn seconds(text: &str, default_unit: char) -> Option<u32> {
    let bytes = text.trim_start_matches(is_space).as_bytes();
    let (negative, digits) = match bytes {
        [b'-', rest @ ..] => (true, rest),
        [b'+', rest @ ..] => (false, rest),
        all => (false, all),
    };
    let length = digits
        .iter()
        .take_while(|byte| byte.is_ascii_digit())
        .count();
    if bytes.is_empty() {
        return None;
    }
    let mut number: u32 = 0;
    for digit in &digits[..length] {
        number = number
            .checked_mul(10)?
            .checked_add(u32::from(digit - b'0'))?;
    }
    if negative && number > 0 {
        return None;
    }
    let rest = if length == 0 {
        text.as_bytes()
    } else {
        &digits[length..]
    };
    let factor = match rest.first().copied().map_or(default_unit, char::from) {
        'w' => 7 * 86400,
        'd' => 86400,
        'h' => 3600,
        'm' => 60,
        's' => 1,
        _ => return None,
    };
    const LIMIT: u32 = i32::MAX as u32;
    if number > LIMIT || (factor > 1 && number >= LIMIT / factor) {
        return None;
    }
    number.checked_mul(factor)
}

/// `[blanks][+-]digits`, nothing after it.
fn number(name: &str, text: &str) -> Result<i64, ConfigError> {
    let trimmed = text.trim_start_matches(is_space);
    let digits = trimmed.strip_prefix(['+', '-']).unwrap_or(trimmed);
    if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(bad_number(name, text));
    }
    trimmed.parse().map_err(|_| bad_number(name, text))
}

/// As [`int`], for names made at run time.
pub(crate) fn named_int(name: &str, text: &str, min: i64, max: i64) -> Result<i32, ConfigError> {
    let number = i32::try_from(number(name, text)?).map_err(|_| bad_number(name, text))?;
    check_bounds(name, i64::from(number), min, max)?;
    Ok(number)
}

fn bad_number(name: &str, text: &str) -> ConfigError {
    ConfigError::BadNumber {
        name: name.to_string(),
        text: text.to_string(),
    }
}

fn check_bounds(name: &str, value: i64, min: i64, max: i64) -> Result<(), ConfigError> {
    if min != 0 && value < min {
        return Err(ConfigError::NumberTooSmall {
            name: name.to_string(),
            value,
            min,
        });
    }
    if max != 0 && value > max {
        return Err(ConfigError::NumberTooLarge {
            name: name.to_string(),
            value,
            max,
        });
    }
    Ok(())
}

/// White space as isspace(3) has it.
pub(crate) const fn is_space(character: char) -> bool {
    matches!(character, ' ' | '\t' | '\r' | '\n' | '\x0b' | '\x0c')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_take_the_unit_after_the_number() {
        let rows = [
            ("10", 's', Some(10)),
            ("10", 'd', Some(864_000)),
            ("2m", 's', Some(120)),
            ("1h30m", 's', Some(3600)),
            ("s", 'd', Some(0)),
            ("", 's', None),
            ("10x", 's', None),
            ("-1", 's', None),
            ("10 s", 's', None),
            ("2147483647", 's', Some(2_147_483_647)),
            ("2147483648", 's', None),
            ("3549", 'w', Some(2_146_435_200)),
            ("3550", 'w', None),
            ("5D", 's', None),
        ];
        for (text, unit, want) in rows {
            assert_eq!(seconds(text, unit), want, "{text:?} {unit}");
        }
    }

    #[test]
    fn numbers_are_decimal_and_complete() {
        for (text, want) in [
            ("7", Some(7)),
            (" +7", Some(7)),
            ("-7", Some(-7)),
            ("0x7", None),
            ("7 ", None),
            ("", None),
            ("99999999999", None),
        ] {
            assert_eq!(named_int("max_use", text, 0, 0).ok(), want, "{text:?}");
        }
        assert_eq!(
            named_int("max_use", "abc", 1, 0).unwrap_err().to_string(),
            "bad numerical configuration: max_use = abc"
        );
        assert_eq!(
            named_int("max_use", "0", 1, 0).unwrap_err().to_string(),
            "invalid max_use parameter value 0 < 1"
        );
        assert_eq!(
            named_int("x", "9", 1, 6).unwrap_err().to_string(),
            "invalid x parameter value 9 > 6"
        );
    }
}
