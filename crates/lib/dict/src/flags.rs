//! Flag bits of tables, as they travel in the proxymap protocol and show in registered names.

use std::ops::{BitAnd, BitOr, BitOrAssign, Not};

/// Flag bits of an open table; they travel in the proxymap protocol (ipc.md §5.9).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub struct Flags(pub u32);

impl Flags {
    /// No flag at all.
    pub const NONE: Self = Self(0);
    /// Warn about a duplicate key; the first entry stays.
    pub const DUP_WARN: Self = Self(1);
    /// Ignore a duplicate key silently; the first entry stays.
    pub const DUP_IGNORE: Self = Self(1 << 1);
    /// Try keys without a terminating NUL.
    pub const TRY0NULL: Self = Self(1 << 2);
    /// Try keys with a terminating NUL.
    pub const TRY1NULL: Self = Self(1 << 3);
    /// The table answers fixed strings: partial keys make sense.
    pub const FIXED: Self = Self(1 << 4);
    /// The table answers patterns: partial keys are not looked up.
    pub const PATTERN: Self = Self(1 << 5);
    /// Lock the file around each operation.
    pub const LOCK: Self = Self(1 << 6);
    /// A duplicate key replaces the old entry.
    pub const DUP_REPLACE: Self = Self(1 << 7);
    /// Flush each update to the disk.
    pub const SYNC_UPDATE: Self = Self(1 << 8);
    /// Debug (historic; kept because it travels).
    pub const DEBUG: Self = Self(1 << 9);
    /// Refuse `$number` in results of pattern tables: security-sensitive data.
    pub const NO_REGSUB: Self = Self(1 << 11);
    /// Open `proxy:T:N` as `T:N` in this process.
    pub const NO_PROXY: Self = Self(1 << 12);
    /// Refuse sources that anybody could answer for (tcp, socketmap, memcache).
    pub const NO_UNAUTH: Self = Self(1 << 13);
    /// Fold keys of fixed tables.
    pub const FOLD_FIX: Self = Self(1 << 14);
    /// Fold keys of pattern tables; no Postfix program asks for it.
    pub const FOLD_MUL: Self = Self(1 << 15);
    /// Lock exclusively at open and keep the lock.
    pub const OPEN_LOCK: Self = Self(1 << 16);
    /// The table is rebuilt as a whole.
    pub const BULK_UPDATE: Self = Self(1 << 17);
    /// Several writers at once are safe: a changed time is no reason to restart.
    pub const MULTI_WRITER: Self = Self(1 << 18);
    /// UTF-8 checks and folding are wanted.
    pub const UTF8_REQUEST: Self = Self(1 << 19);
    /// UTF-8 checks and folding are on (`smtputf8_enable` agreed).
    pub const UTF8_ACTIVE: Self = Self(1 << 20);
    /// Values in the source are names of files whose contents are stored in base64.
    pub const SRC_RHS_IS_FILE: Self = Self(1 << 21);
    /// The table could not be opened; every operation fails.
    pub const SURROGATE: Self = Self(1 << 22);
    /// What tables with security-sensitive results refuse.
    pub const PARANOID: Self = Self(Self::NO_REGSUB.0 | Self::NO_PROXY.0 | Self::NO_UNAUTH.0);
    /// What most address tables ask for: access, canonical, virtual alias, generic, relocated, ….
    pub const ADDRESS: Self = Self(Self::LOCK.0 | Self::FOLD_FIX.0 | Self::UTF8_REQUEST.0);

    /// Bits that a proxymap client takes from the reply to `open`.
    pub const IMPLEMENTATION: Self = Self(Self::FIXED.0 | Self::PATTERN.0 | Self::MULTI_WRITER.0);
    /// Bits that belong to one proxymap request.
    pub const REQUEST: Self = Self(
        Self::FOLD_FIX.0
            | Self::FOLD_MUL.0
            | Self::LOCK.0
            | Self::DUP_REPLACE.0
            | Self::DUP_WARN.0
            | Self::DUP_IGNORE.0
            | Self::SYNC_UPDATE.0
            | Self::PARANOID.0
            | Self::UTF8_REQUEST.0,
    );
    /// Bits that belong to one open proxied table: all others.
    pub const INSTANCE: Self = Self(!(Self::IMPLEMENTATION.0 | Self::REQUEST.0));

    /// Words of registered names, in Postfix's order.
    const WORDS: [(Self, &'static str); 21] = [
        (Self::DUP_WARN, "warn_dup"),
        (Self::DUP_IGNORE, "ignore_dup"),
        (Self::TRY0NULL, "try0null"),
        (Self::TRY1NULL, "try1null"),
        (Self::FIXED, "fixed"),
        (Self::PATTERN, "pattern"),
        (Self::LOCK, "lock"),
        (Self::DUP_REPLACE, "dup_replace"),
        (Self::SYNC_UPDATE, "sync_update"),
        (Self::DEBUG, "debug"),
        (Self::NO_REGSUB, "no_regsub"),
        (Self::NO_PROXY, "no_proxy"),
        (Self::NO_UNAUTH, "no_unauth"),
        (Self::FOLD_FIX, "fold_fix"),
        (Self::FOLD_MUL, "fold_mul"),
        (Self::OPEN_LOCK, "open_lock"),
        (Self::BULK_UPDATE, "bulk_update"),
        (Self::MULTI_WRITER, "multi_writer"),
        (Self::UTF8_REQUEST, "utf8_request"),
        (Self::UTF8_ACTIVE, "utf8_active"),
        (Self::SRC_RHS_IS_FILE, "src_rhs_is_file"),
    ];

    /// Whether every bit of `other` is set.
    pub const fn contains(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    /// Whether any bit of `other` is set.
    pub const fn intersects(self, other: Self) -> bool {
        self.0 & other.0 != 0
    }

    /// These bits with those of `other`.
    pub const fn with(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// These bits without those of `other`.
    pub const fn without(self, other: Self) -> Self {
        Self(self.0 & !other.0)
    }

    /// The words of the set bits joined with `|`, as registered names show them; `0` for none.
    pub fn words(self) -> String {
        let words: Vec<&str> = Self::WORDS
            .iter()
            .filter(|(bit, _)| self.contains(*bit))
            .map(|(_, word)| *word)
            .collect();
        if words.is_empty() {
            "0".to_owned()
        } else {
            words.join("|")
        }
    }
}

impl BitOr for Flags {
    type Output = Self;
    fn bitor(self, other: Self) -> Self {
        self.with(other)
    }
}

impl BitOrAssign for Flags {
    fn bitor_assign(&mut self, other: Self) {
        self.0 |= other.0;
    }
}

impl BitAnd for Flags {
    type Output = Self;
    fn bitand(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }
}

impl Not for Flags {
    type Output = Self;
    fn not(self) -> Self {
        Self(!self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flag_words_follow_the_order_of_registered_names() {
        assert_eq!(
            (Flags::UTF8_REQUEST | Flags::LOCK | Flags::FOLD_FIX).words(),
            "lock|fold_fix|utf8_request"
        );
    }

    #[test]
    fn the_three_proxymap_groups_cover_every_bit_once() {
        assert_eq!(
            Flags::IMPLEMENTATION.0 | Flags::REQUEST.0 | Flags::INSTANCE.0,
            u32::MAX
        );
        assert_eq!(
            Flags::REQUEST.0,
            0xC000 | 0x40 | 0x80 | 1 | 2 | 0x100 | 0x3800 | 0x80000
        );
    }
}
