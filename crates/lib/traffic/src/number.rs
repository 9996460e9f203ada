//! Numbers of the command line.

use std::ffi::OsStr;

/// A decimal number, if the whole text is one that fits.
fn number(text: &OsStr) -> Option<i64> {
    text.to_str()?
        .trim_start()
        .parse::<i32>()
        .ok()
        .map(i64::from)
}

/// A number of at least 1.
pub fn positive(text: &OsStr) -> Option<u32> {
    nonnegative(text).filter(|number| *number > 0)
}

/// A number of at least 0.
pub fn nonnegative(text: &OsStr) -> Option<u32> {
    number(text).and_then(|number| u32::try_from(number).ok())
}

/// A number of at least 1, for things that are counted.
pub fn count(text: &OsStr) -> Option<usize> {
    positive(text).and_then(|number| usize::try_from(number).ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_whole_numbers_in_range_are_taken() {
        #[rustfmt::skip]
        let cases: &[(&str, Option<u32>, Option<u32>)] = &[
            // text         positive  nonnegative
            ("1",           Some(1),  Some(1)),
            ("0",           None,     Some(0)),
            ("-1",          None,     None),
            ("",            None,     None),
            ("x",           None,     None),
            ("5x",          None,     None),
            ("2147483648",  None,     None),
        ];
        for (text, over, from) in cases {
            assert_eq!(positive(OsStr::new(text)), *over, "{text:?}");
            assert_eq!(nonnegative(OsStr::new(text)), *from, "{text:?}");
        }
    }
}
