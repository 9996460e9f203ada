//! EHLO keywords that may be withheld from a client (`smtpd_discard_ehlo_keywords`).

/// A set of keywords.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Keywords(u32);

/// How the log calls SMTPUTF8.
const SMTPUTF8_IN_LOG: &str = "EHLO_MASK_SMTPUTF8";

/// Words in the order in which the log lists them.
const WORDS: [(Keywords, &str); 15] = [
    (Keywords::EIGHTBITMIME, "8BITMIME"),
    (Keywords::AUTH, "AUTH"),
    (Keywords::ETRN, "ETRN"),
    (Keywords::PIPELINING, "PIPELINING"),
    (Keywords::SIZE, "SIZE"),
    (Keywords::VERP, "VERP"),
    (Keywords::VRFY, "VRFY"),
    (Keywords::XCLIENT, "XCLIENT"),
    (Keywords::XFORWARD, "XFORWARD"),
    (Keywords::STARTTLS, "STARTTLS"),
    (Keywords::ENHANCEDSTATUSCODES, "ENHANCEDSTATUSCODES"),
    (Keywords::DSN, "DSN"),
    (Keywords::SMTPUTF8, SMTPUTF8_IN_LOG),
    (Keywords::CHUNKING, "CHUNKING"),
    (Keywords::REQUIRETLS, "REQUIRETLS"),
];

#[allow(missing_docs, reason = "the names are the keywords")]
impl Keywords {
    pub(crate) const EIGHTBITMIME: Self = Self(1);
    pub(crate) const AUTH: Self = Self(2);
    pub(crate) const ETRN: Self = Self(4);
    pub(crate) const PIPELINING: Self = Self(8);
    pub(crate) const SIZE: Self = Self(16);
    pub(crate) const VERP: Self = Self(32);
    pub(crate) const VRFY: Self = Self(64);
    pub(crate) const XCLIENT: Self = Self(128);
    pub(crate) const XFORWARD: Self = Self(256);
    pub(crate) const STARTTLS: Self = Self(512);
    pub(crate) const ENHANCEDSTATUSCODES: Self = Self(1024);
    pub(crate) const DSN: Self = Self(2048);
    pub(crate) const SMTPUTF8: Self = Self(4096);
    pub(crate) const CHUNKING: Self = Self(8192);
    pub(crate) const REQUIRETLS: Self = Self(1 << 14);
    const SILENT: Self = Self(1 << 31);

    /// Reads a list of keywords; unknown words are skipped without a word (observed with Postfix 3.7.11).
    pub(crate) fn parse(text: &str) -> Self {
        let mut set = Self::default();
        for word in text
            .split([',', ' ', '\t', '\r', '\n'])
            .filter(|word| !word.is_empty())
        {
            if word.eq_ignore_ascii_case("SILENT-DISCARD") {
                set.0 |= Self::SILENT.0;
                continue;
            }
            let same =
                |name: &str| word.eq_ignore_ascii_case(name.trim_start_matches("EHLO_MASK_"));
            if let Some((keyword, _)) = WORDS.iter().find(|(_, name)| same(name)) {
                set.0 |= keyword.0;
            }
        }
        set
    }

    /// Whether `keyword` is in the set.
    pub(crate) fn has(self, keyword: Self) -> bool {
        self.0 & keyword.0 != 0
    }

    /// The words to log when EHLO is answered; `None` when there are none, nobody wants to know, or
    /// ENHANCEDSTATUSCODES is among them (observed with Postfix 3.7.11).
    pub(crate) fn to_log(self, separator: &str) -> Option<String> {
        if self.has(Self::SILENT) || self.has(Self::ENHANCEDSTATUSCODES) || self.0 == 0 {
            return None;
        }
        let words: Vec<&str> = WORDS
            .iter()
            .filter(|(keyword, _)| self.has(*keyword))
            .map(|(_, word)| *word)
            .collect();
        Some(words.join(separator))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn discarded_keywords_are_logged_in_a_fixed_order() {
        let set = Keywords::parse("pipelining,size,vrfy,etrn,dsn,8bitmime");
        assert_eq!(
            set.to_log(" ").as_deref(),
            Some("8BITMIME ETRN PIPELINING SIZE VRFY DSN")
        );
        assert!(set.has(Keywords::DSN) && !set.has(Keywords::CHUNKING));
        assert_eq!(Keywords::parse("silent-discard, dsn").to_log(" "), None);
        assert_eq!(Keywords::parse("").to_log(" "), None);
        assert_eq!(
            Keywords::parse("dsn, enhancedstatuscodes").to_log(" "),
            None
        );
        assert_eq!(
            Keywords::parse("chunking, smtputf8").to_log(" ").as_deref(),
            Some("EHLO_MASK_SMTPUTF8 CHUNKING")
        );
    }
}
