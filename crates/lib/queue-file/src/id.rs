//! Queue IDs: the name of a queue file, made from the time and the file's inode number.

use std::fmt;
use std::path::Path;

/// Digits of the long form: no vowels, so that no words come out.
const DIGITS: &[u8; 52] = b"0123456789BCDFGHJKLMNPQRSTVWXYZbcdfghjklmnpqrstvwxyz";
/// Separates time from inode in the long form; base 51 keeps it out of the inode.
const SEPARATOR: u8 = b'z';
/// Seconds (at least 6 digits) and microseconds (4 digits) before the separator.
const TIME_WIDTH: usize = 10;
const MICROSECOND_WIDTH: usize = 4;
/// Longest name that is accepted.
const NAME_LIMIT: usize = 255;
/// Longest name of a queue.
const QUEUE_NAME_LIMIT: usize = 100;

/// A valid queue ID of either form; underscores occur in the names of flush logs.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct QueueId(String);

/// The text is no queue ID.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("malformed queue id: {0}")]
pub struct BadQueueId(pub String);

impl QueueId {
    /// The short form: microseconds and inode in hexadecimal.
    pub fn short(microseconds: u32, inode: u64) -> Self {
        Self(format!("{microseconds:05X}{inode:X}"))
    }

    /// The long form, unique over time.
    pub fn long(seconds: u64, microseconds: u32, inode: u64) -> Self {
        let mut text = encode(seconds, 52, 6);
        text.push_str(&encode(u64::from(microseconds), 52, MICROSECOND_WIDTH));
        text.push(char::from(SEPARATOR));
        text.push_str(&encode(inode, 51, 1));
        Self(text)
    }

    /// Accepts 1..255 letters, digits and underscores.
    ///
    /// # Errors
    ///
    /// [`BadQueueId`] for anything else.
    pub fn parse(text: impl AsRef<[u8]>) -> Result<Self, BadQueueId> {
        let bytes = text.as_ref();
        let ok = |b: &u8| b.is_ascii_alphanumeric() || *b == b'_';
        let valid = !bytes.is_empty() && bytes.len() <= NAME_LIMIT && bytes.iter().all(ok);
        let text = String::from_utf8_lossy(bytes).into_owned();
        if valid {
            Ok(Self(text))
        } else {
            Err(BadQueueId(text))
        }
    }

    /// The ID as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Where the separator of the long form stands: the last `z`, not inside the time.
    fn separator(&self) -> Option<usize> {
        self.0
            .rfind(char::from(SEPARATOR))
            .filter(|at| *at >= TIME_WIDTH)
    }

    /// True for the long form.
    pub fn is_long(&self) -> bool {
        self.separator().is_some()
    }

    /// The inode number in the ID; `None` when that part is no number.
    pub fn inode(&self) -> Option<u64> {
        match self.separator() {
            Some(at) => decode(self.0.get(at + 1..)?, 51),
            None => u64::from_str_radix(self.0.get(5..)?, 16).ok(),
        }
    }

    /// Microseconds in the long form.
    fn long_microseconds(&self) -> Option<u64> {
        let end = self.separator()?;
        decode(self.0.get(end - MICROSECOND_WIDTH..end)?, 52)
    }

    /// Microseconds in the ID.
    pub fn microseconds(&self) -> Option<u64> {
        match self.separator() {
            Some(_) => self.long_microseconds(),
            None => u64::from_str_radix(self.0.get(..5)?, 16).ok(),
        }
    }

    /// Seconds since the epoch; only the long form has them.
    pub fn seconds(&self) -> Option<u64> {
        let end = self.separator()?;
        decode(self.0.get(..end - MICROSECOND_WIDTH)?, 52)
    }

    /// The characters that choose the hash directories: those of the microseconds in hexadecimal.
    pub fn hash_key(&self) -> String {
        match self.long_microseconds() {
            Some(microseconds) => format!("{microseconds:05X}"),
            None => self.0.clone(),
        }
    }
}

impl fmt::Display for QueueId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl AsRef<str> for QueueId {
    fn as_ref(&self) -> &str {
        &self.0
    }
}

impl AsRef<Path> for QueueId {
    fn as_ref(&self) -> &Path {
        Path::new(&self.0)
    }
}

impl std::str::FromStr for QueueId {
    type Err = BadQueueId;
    fn from_str(text: &str) -> Result<Self, BadQueueId> {
        Self::parse(text)
    }
}

/// Whether `name` can be the name of a queue.
pub fn is_queue_name(name: &str) -> bool {
    !name.is_empty()
        && name.len() <= QUEUE_NAME_LIMIT
        && name.bytes().all(|b| b.is_ascii_alphanumeric())
}

fn encode(mut number: u64, base: u64, width: usize) -> String {
    let mut digits = Vec::new();
    while number > 0 || digits.len() < width {
        let digit = usize::try_from(number % base).unwrap_or_default();
        digits.push(DIGITS.get(digit).copied().unwrap_or(b'0'));
        number /= base;
    }
    digits.iter().rev().map(|b| char::from(*b)).collect()
}

fn decode(text: &str, base: u64) -> Option<u64> {
    if text.is_empty() {
        return None;
    }
    text.bytes().try_fold(0u64, |number, byte| {
        let digit = DIGITS.iter().position(|d| *d == byte)?;
        let digit = u64::try_from(digit).ok().filter(|digit| *digit < base)?;
        number.checked_mul(base)?.checked_add(digit)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn ids_of_real_files_are_made_and_taken_apart() {
        assert_eq!(QueueId::short(0x46BD9, 0x0099_E172).as_str(), "46BD999E172");
        assert_eq!(
            QueueId::long(1_795_352_897, 453_504, 10_084_774).as_str(),
            "4jXTsF3CjDz1T1Ff"
        );
        let id = QueueId::parse("4jXTv44Dnvz1T1F8").unwrap();
        assert_eq!(
            (id.seconds(), id.microseconds()),
            (Some(1_795_352_992), Some(597_059))
        );
        assert_eq!(
            (id.inode(), id.hash_key()),
            (Some(10_084_748), "91C43".into())
        );
        let id = QueueId::parse("46BD999E172").unwrap();
        assert_eq!(
            (id.inode(), id.hash_key()),
            (Some(10_084_722), "46BD999E172".into())
        );
        assert_eq!(id.seconds(), None);
    }

    #[test]
    fn only_letters_digits_and_underscores_are_valid() {
        for good in ["A", "a_b", &"x".repeat(255), "zzzzzzzzzzz"] {
            assert!(QueueId::parse(good).is_ok(), "{good}");
        }
        for bad in ["", "a.b", "../x", "a b", "é", &"x".repeat(256)] {
            assert!(QueueId::parse(bad).is_err(), "{bad}");
        }
        assert_eq!(
            QueueId::parse("a/b").unwrap_err().to_string(),
            "malformed queue id: a/b"
        );
        assert!(is_queue_name("deferred") && !is_queue_name("a/b") && !is_queue_name(""));
    }

    proptest! {
        #[test]
        fn no_text_makes_the_decoder_fail(text in "[0-9A-Za-z_]{1,30}") {
            let id = QueueId::parse(&text).unwrap();
            let _ = (id.inode(), id.hash_key(), id.seconds(), id.microseconds());
        }

        #[test]
        fn both_forms_keep_the_inode(seconds in 0u64..1 << 40, micro in 0u32..1_000_000, inode: u64) {
            let long = QueueId::long(seconds, micro, inode);
            prop_assert_eq!(long.inode(), Some(inode));
            prop_assert_eq!(long.seconds(), Some(seconds));
            prop_assert_eq!(long.microseconds(), Some(u64::from(micro)));
            prop_assert_eq!(QueueId::short(micro, inode).inode(), Some(inode));
        }
    }
}
