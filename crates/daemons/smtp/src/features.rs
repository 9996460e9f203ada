//! What a server offers in reply to EHLO, and what of it we choose not to see.

use bstr::{BStr, ByteSlice};

/// ESMTP keywords that this client acts on, as a set.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Keywords(u32);

macro_rules! keywords {
    ($($name:ident = $bit:literal, $text:literal;)*) => {
        impl Keywords {
            $(#[doc = $text] pub const $name: Self = Self(1 << $bit);)*
            /// Names in the order in which they are listed in the log.
            const NAMES: &[(Self, &'static str)] = &[$((Self::$name, $text)),*];
        }
    };
}

keywords! {
    EIGHT_BIT_MIME = 0, "8BITMIME";
    AUTH = 1, "AUTH";
    CHUNKING = 2, "CHUNKING";
    DSN = 3, "DSN";
    ENHANCED_STATUS_CODES = 4, "ENHANCEDSTATUSCODES";
    ETRN = 5, "ETRN";
    PIPELINING = 6, "PIPELINING";
    REQUIRETLS = 7, "REQUIRETLS";
    SILENT_DISCARD = 8, "SILENT-DISCARD";
    SIZE = 9, "SIZE";
    SMTPUTF8 = 10, "SMTPUTF8";
    STARTTLS = 11, "STARTTLS";
    VERP = 12, "XVERP";
    VRFY = 13, "VRFY";
    XCLIENT = 14, "XCLIENT";
    XFORWARD = 15, "XFORWARD";
}

impl Keywords {
    /// Whether all of `other` is in here.
    pub fn has(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    /// Adds `other`.
    pub fn insert(&mut self, other: Self) {
        self.0 |= other.0;
    }

    /// Takes `other` out.
    pub fn remove(&mut self, other: Self) {
        self.0 &= !other.0;
    }

    /// Bits, for the properties of a kept session.
    pub fn bits(self) -> u32 {
        self.0
    }

    /// See [`Keywords::bits`].
    pub fn from_bits(bits: u32) -> Self {
        Self(bits)
    }

    /// A keyword by name, in any case.
    pub fn named(name: &[u8]) -> Option<Self> {
        Self::NAMES
            .iter()
            .find(|(_, text)| name.eq_ignore_ascii_case(text.as_bytes()))
            .map(|row| row.0)
    }

    /// Reads words between blanks and commas; those that name nothing are skipped without a word
    /// (observed with Postfix 3.7.11).
    pub fn parse_list(text: &BStr) -> Self {
        let mut set = Self::default();
        let words = text.split(|b| b" \t\r\n,".contains(b));
        words
            .filter_map(Self::named)
            .for_each(|keyword| set.insert(keyword));
        set
    }

    /// The names in the set, but for `silent-discard`.
    pub fn names(self) -> Vec<&'static str> {
        let listed =
            |(keyword, _): &&(Self, &str)| self.has(*keyword) && *keyword != Self::SILENT_DISCARD;
        Self::NAMES
            .iter()
            .filter(listed)
            .map(|(_, name)| *name)
            .collect()
    }
}

/// XFORWARD attributes that a server lists.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Forwardable(u8);

impl Forwardable {
    /// Names by bit, as they appear in EHLO and in the command.
    pub const NAMES: [&'static str; 7] =
        ["NAME", "ADDR", "PORT", "PROTO", "HELO", "IDENT", "SOURCE"];

    /// Whether the attribute with this name is listed.
    pub fn has(self, name: &str) -> bool {
        Self::NAMES
            .iter()
            .position(|known| *known == name)
            .is_some_and(|bit| self.0 & 1 << bit != 0)
    }

    fn insert(&mut self, name: &[u8]) {
        if let Some(bit) = Self::NAMES
            .iter()
            .position(|known| name.eq_ignore_ascii_case(known.as_bytes()))
        {
            self.0 |= 1 << bit;
        }
    }

    /// Bits, for the properties of a kept session.
    pub fn bits(self) -> u8 {
        self.0
    }

    /// See [`Forwardable::bits`].
    pub fn from_bits(bits: u8) -> Self {
        Self(bits)
    }
}

/// The reply to EHLO.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Features {
    /// Keywords offered and not discarded.
    pub offered: Keywords,
    /// Keywords offered and discarded.
    pub discarded: Keywords,
    /// Largest message; 0 is no limit, or none told.
    pub size_limit: i64,
    /// XFORWARD attributes.
    pub forwardable: Forwardable,
    /// A SIZE argument that is no size.
    pub bad_size: Option<String>,
    /// First word of the reply: the name the server goes by.
    pub server_name: String,
}

/// Reads the lines of a reply to EHLO or LHLO (without their codes).
pub fn parse<L: AsRef<[u8]>>(lines: &[L], discard: Keywords) -> Features {
    let mut features = Features::default();
    let mut named = false;
    for line in lines {
        let mut words = line
            .as_ref()
            .split(|b| b" \t=".contains(b))
            .filter(|word| !word.is_empty());
        let Some(word) = words.next() else { continue };
        // The first word of all, also when the first line has none.
        if !std::mem::replace(&mut named, true) {
            features.server_name = word.to_str_lossy().into_owned();
            continue;
        }
        let Some(keyword) = Keywords::named(word) else {
            continue;
        };
        if discard.has(keyword) {
            features.discarded.insert(keyword);
            continue;
        }
        features.offered.insert(keyword);
        if keyword == Keywords::SIZE
            && let Some(limit) = words.next()
        {
            match limit
                .to_str()
                .ok()
                .filter(|text| text.bytes().all(|b| b.is_ascii_digit()))
                // A limit that no number holds limits nothing.
                .map(|text| text.parse().unwrap_or(0))
            {
                Some(limit) => features.size_limit = limit,
                None => features.bad_size = Some(limit.to_str_lossy().into_owned()),
            }
        } else if keyword == Keywords::XFORWARD {
            words.for_each(|name| features.forwardable.insert(name));
        }
    }
    features
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keywords_are_read_in_any_case() {
        let lines = [
            "mx.example.com hello",
            "pipelining",
            "SIZE 1000",
            "8BitMime",
            "AUTH=PLAIN LOGIN",
            "X-OTHER",
            "XFORWARD NAME addr",
        ];
        let features = parse(&lines, Keywords::default());
        assert_eq!(features.server_name, "mx.example.com");
        assert_eq!(
            features.offered.names(),
            ["8BITMIME", "AUTH", "PIPELINING", "SIZE", "XFORWARD"]
        );
        assert_eq!(features.size_limit, 1000);
        assert!(features.forwardable.has("ADDR") && !features.forwardable.has("PORT"));
    }

    #[test]
    fn the_first_word_of_all_is_a_name_and_no_keyword() {
        let features = parse(&["", "DSN", "PIPELINING"], Keywords::default());
        assert_eq!(features.server_name, "DSN");
        assert_eq!(features.offered.names(), ["PIPELINING"]);
    }

    #[test]
    fn discarded_keywords_are_not_offered() {
        let discard = Keywords::parse_list("size, smtputf8 silent-discard, bogus".into());
        let features = parse(&["x", "SIZE 5", "DSN"], discard);
        assert_eq!(features.offered.names(), ["DSN"]);
        assert_eq!(
            (features.discarded.names(), features.size_limit),
            (vec!["SIZE"], 0)
        );
    }

    #[test]
    fn size_limits_may_be_anything() {
        #[rustfmt::skip]
        let cases = [
            ("SIZE", 0, None), ("SIZE 0", 0, None), ("SIZE 99999999999999", 99_999_999_999_999, None),
            ("SIZE 99999999999999999999", 0, None), ("SIZE junk", 0, Some("junk")), ("SIZE -5", 0, Some("-5")), ("SIZE=1000", 1000, None),
        ];
        for (line, limit, bad) in cases {
            let features = parse(&["x", line], Keywords::default());
            assert!(features.offered.has(Keywords::SIZE));
            assert_eq!(
                (features.size_limit, features.bad_size.as_deref()),
                (limit, bad),
                "{line}"
            );
        }
    }
}
