//! The parameter declarations, by area. One line declares name, type, default, unit, bounds and meaning.
//!
//! Sources: postconf(5) of Postfix 3.11.6 for names and meanings; the values of Debian's build where
//! a default is fixed at build time. Nothing here knows how a value is looked up or expanded.

use std::marker::PhantomData;
use std::time::Duration;

mod cleanup;
mod common;
mod deprecated;
mod lmtp;
mod local;
mod order;
mod postern;
mod postscreen;
mod queue;
mod readers;
mod rewrite;
mod smtp;
mod smtpd;
mod system;
mod tls;
mod verify;

pub use self::cleanup::*;
pub use self::common::*;
pub use self::deprecated::{DEPRECATION_HINT, Deprecation, deprecation};
pub use self::lmtp::*;
pub use self::local::*;
pub(crate) use self::order::{Moment, Order};
pub use self::postern::*;
pub use self::postscreen::*;
pub use self::queue::*;
pub use self::rewrite::*;
pub use self::smtp::*;
pub use self::smtpd::*;
pub use self::system::*;
pub use self::tls::*;
pub use self::verify::*;
use crate::ConfigError;
use crate::value;

/// A declared main.cf parameter whose value has type `T`: `String` (str and raw), `bool` (bool and
/// nbool), `i32` (int and nint), `i64` (long), [`std::time::Duration`] (time).
#[derive(Debug)]
pub struct Param<T> {
    /// Everything but the Rust type.
    pub info: &'static ParamInfo,
    /// Marks the value type.
    pub value: PhantomData<fn() -> T>,
}

impl<T> Clone for Param<T> {
    fn clone(&self) -> Self {
        *self
    }
}
impl<T> Copy for Param<T> {}

/// The types of postconf(5), named as in Postfix's own tables.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Text, expanded when used.
    Str,
    /// Text that the program expands itself, with names of its own.
    Raw,
    /// `yes` or `no`, with a fixed default.
    Bool,
    /// `yes` or `no`, whose default is an expression.
    NBool,
    /// A 32-bit number with a fixed default.
    Int,
    /// A 32-bit number whose default is an expression.
    NInt,
    /// A 64-bit number.
    Long,
    /// A number with an optional unit letter.
    Time,
}

/// Where a name comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Class {
    /// An ordinary built-in parameter.
    Global,
    /// Made from a transport name and a suffix, with a default of its own.
    ServiceDerived,
    /// The old name of another parameter, which refers to it in its default.
    ObsoleteAlias,
}

/// Bits of [`ParamInfo::flags`].
pub mod flag {
    /// Announced as going away; a warning tells the replacement.
    pub const DEPRECATED: u8 = 1;
    /// The default is chosen when a distribution builds the programs.
    pub const BUILD_TIME: u8 = 2;
    /// Exists in 3.12 snapshots only; not listed by postconf.
    pub const ONLY_3_12: u8 = 4;
    /// Gone from 3.12 snapshots.
    pub const GONE_IN_3_12: u8 = 8;
    /// Settings are ignored with a warning.
    pub const READ_ONLY: u8 = 16;
    /// Removed before 3.11; not listed by postconf.
    pub const REMOVED: u8 = 32;
}

/// The default of earlier releases, used while `compatibility_level` asks for them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OldDefault {
    /// First level that has the new default.
    pub below: &'static str,
    /// Default text below that level.
    pub text: &'static str,
    /// Setting this parameter asks for the new default at any level.
    pub unless_set: Option<&'static str>,
}

/// Type-erased declaration, for postconf and the documentation.
#[derive(Debug)]
pub struct ParamInfo {
    /// Name in main.cf.
    pub name: &'static str,
    /// Type of the value.
    pub kind: Kind,
    /// Default text before expansion. Empty for values that are computed at run time.
    pub default: &'static str,
    /// Default text below a compatibility level.
    pub old: Option<OldDefault>,
    /// Unit of a bare number, for times.
    pub unit: char,
    /// Smallest number, or string length in bytes; 0 is no bound.
    pub min: i64,
    /// Largest number (times: in seconds), or string length in bytes; 0 is no bound.
    pub max: i64,
    /// Comma-separated programs whose tables hold the name, or `all`.
    pub used_by: &'static str,
    /// First release, where documented.
    pub since: &'static str,
    /// Whether Postfix 3.7.11 has the parameter.
    pub in_3_7: bool,
    /// Where the name comes from.
    pub class: Class,
    /// Bits of [`flag`].
    pub flags: u8,
    /// What it is for, one sentence.
    pub meaning: &'static str,
}

impl ParamInfo {
    /// What a declaration leaves out.
    const BASE: Self = Self {
        name: "",
        kind: Kind::Str,
        default: "",
        old: None,
        unit: 's',
        min: 0,
        max: 0,
        used_by: "all",
        since: "",
        in_3_7: false,
        class: Class::Global,
        flags: 0,
        meaning: "",
    };

    /// Whether `program` reads this parameter at start-up.
    #[must_use]
    pub fn is_used_by(&self, program: &str) -> bool {
        self.used_by == "all" || self.used_by.split(',').any(|name| name == program)
    }

    /// Whether programs look at the value when they need it, if ever, and not at start-up.
    #[must_use]
    pub(crate) fn is_checked_late(&self) -> bool {
        matches!(
            self.name,
            "config_directory" | "debugger_command" | "service_name"
        )
    }

    /// Whether `flag` (of [`flag`]) is set.
    #[must_use]
    pub const fn has(&self, flag: u8) -> bool {
        self.flags & flag != 0
    }

    /// Whether postconf lists the parameter without being asked for it.
    #[must_use]
    pub fn is_listed(&self) -> bool {
        self.class != Class::ObsoleteAlias && !self.has(flag::ONLY_3_12 | flag::REMOVED)
    }
}

/// Types a parameter may have.
pub trait Value: Sized {
    /// Parses the expanded text of `info`'s value and checks its bounds.
    fn parse(info: &ParamInfo, text: String) -> Result<Self, ConfigError>;
}
impl Value for String {
    fn parse(info: &ParamInfo, text: String) -> Result<Self, ConfigError> {
        value::text(info, text)
    }
}
impl Value for bool {
    fn parse(info: &ParamInfo, text: String) -> Result<Self, ConfigError> {
        value::boolean(info, &text)
    }
}
impl Value for i32 {
    fn parse(info: &ParamInfo, text: String) -> Result<Self, ConfigError> {
        value::int(info, &text)
    }
}
impl Value for i64 {
    fn parse(info: &ParamInfo, text: String) -> Result<Self, ConfigError> {
        value::long(info, &text)
    }
}
impl Value for Duration {
    fn parse(info: &ParamInfo, text: String) -> Result<Self, ConfigError> {
        value::time(info, &text)
    }
}

/// Maps the type words of a declaration to the Rust type.
macro_rules! rust_type {
    (str) => {
        String
    };
    (raw) => {
        String
    };
    (bool) => {
        bool
    };
    (nbool) => {
        bool
    };
    (int) => {
        i32
    };
    (nint) => {
        i32
    };
    (long) => {
        i64
    };
    (time) => {
        std::time::Duration
    };
}
/// Maps the type words of a declaration to [`Kind`].
macro_rules! kind {
    (str) => {
        $crate::params::Kind::Str
    };
    (raw) => {
        $crate::params::Kind::Raw
    };
    (bool) => {
        $crate::params::Kind::Bool
    };
    (nbool) => {
        $crate::params::Kind::NBool
    };
    (int) => {
        $crate::params::Kind::Int
    };
    (nint) => {
        $crate::params::Kind::NInt
    };
    (long) => {
        $crate::params::Kind::Long
    };
    (time) => {
        $crate::params::Kind::Time
    };
}
/// Declares parameters, sorted by name: `/// MEANING` and
/// `CONSTANT: TYPE "name" = "default", { FIELD: VALUE, … };` with fields of [`ParamInfo`].
macro_rules! params {
    ($(#[doc = $meaning:literal] $constant:ident: $type:tt $name:literal = $default:expr, { $($field:ident: $value:expr),* };)*) => {
        #[allow(unused_imports, reason = "not every area has old defaults, classes and flags")]
        use $crate::params::{Class, OldDefault, Param, ParamInfo, flag};
        $(
            #[doc = $meaning]
            pub const $constant: Param<$crate::params::rust_type!($type)> = Param {
                info: {
                    static INFO: ParamInfo = ParamInfo {
                        name: $name,
                        kind: $crate::params::kind!($type),
                        default: $default,
                        meaning: $meaning,
                        $($field: $value,)*
                        ..$crate::params::BASE
                    };
                    &INFO
                },
                value: std::marker::PhantomData,
            };
        )*
        /// The area's declarations, sorted by name.
        pub(super) const TABLE: &[&ParamInfo] = &[$($constant.info),*];
    };
}
use {kind, params, rust_type};

/// [`ParamInfo::BASE`] under a path that the macro can name.
const BASE: ParamInfo = ParamInfo::BASE;

/// The areas, each sorted by name.
#[allow(unused_qualifications, reason = "every area has a table of this name")]
const AREAS: &[&[&ParamInfo]] = &[
    cleanup::TABLE,
    common::TABLE,
    lmtp::TABLE,
    local::TABLE,
    postern::TABLE,
    postscreen::TABLE,
    queue::TABLE,
    rewrite::TABLE,
    smtp::TABLE,
    smtpd::TABLE,
    system::TABLE,
    tls::TABLE,
    verify::TABLE,
];

/// Number of declared parameters.
const COUNT: usize = {
    let (mut count, mut area) = (0, 0);
    while area < AREAS.len() {
        count += AREAS[area].len();
        area += 1;
    }
    count
};

/// Every declared parameter, sorted by name (byte order).
pub static ALL: &[&ParamInfo] = &merge();

/// Byte order, at compile time.
const fn is_before(left: &str, right: &str) -> bool {
    let (left, right) = (left.as_bytes(), right.as_bytes());
    let mut at = 0;
    while at < left.len() && at < right.len() {
        if left[at] != right[at] {
            return left[at] < right[at];
        }
        at += 1;
    }
    left.len() < right.len()
}

/// Merges the sorted areas, so that no program sorts at start-up.
const fn merge() -> [&'static ParamInfo; COUNT] {
    let mut all = [AREAS[0][0]; COUNT];
    let mut next = [0; AREAS.len()];
    let mut filled = 0;
    while filled < COUNT {
        let mut best = AREAS.len();
        let mut area = 0;
        while area < AREAS.len() {
            if next[area] < AREAS[area].len()
                && (best == AREAS.len()
                    || is_before(AREAS[area][next[area]].name, AREAS[best][next[best]].name))
            {
                best = area;
            }
            area += 1;
        }
        all[filled] = AREAS[best][next[best]];
        next[best] += 1;
        filled += 1;
    }
    all
}

/// The declaration of `name`.
#[must_use]
pub fn find(name: &str) -> Option<&'static ParamInfo> {
    ALL.binary_search_by(|info| info.name.cmp(name))
        .ok()
        .map(|at| ALL[at])
}

/// Who obeys a parameter, as `cargo xtask parameters` found it in the code.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Readers {
    /// Programs, separated by commas; `all`; empty when none does.
    pub programs: &'static str,
    /// Why it has no effect, or not its whole effect; empty when it has.
    pub reason: &'static str,
}

/// Who obeys `name`; `None` for a name that is not declared.
#[must_use]
pub fn readers(name: &str) -> Option<Readers> {
    let list = readers::READERS;
    let at = list
        .binary_search_by(|(known, _, _)| (*known).cmp(name))
        .ok()?;
    let (_, programs, reason) = list[at];
    Some(Readers { programs, reason })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_registry_is_sorted_without_duplicates() {
        assert!(ALL.len() > 900);
        for pair in ALL.windows(2) {
            assert!(
                pair[0].name < pair[1].name,
                "{} {}",
                pair[0].name,
                pair[1].name
            );
        }
    }

    #[test]
    fn every_parameter_is_in_the_list_of_readers() {
        for info in ALL {
            let found = readers(info.name);
            assert!(
                found.is_some_and(|all| !(all.programs.is_empty() && all.reason.is_empty())),
                "{}: run `cargo xtask parameters`",
                info.name
            );
        }
        assert_eq!(readers("nosuch"), None);
    }

    #[test]
    fn names_are_found_and_strangers_are_not() {
        assert_eq!(
            find("smtpd_tls_CAfile").map(|info| info.name),
            Some("smtpd_tls_CAfile")
        );
        assert_eq!(
            find("2bounce_notice_recipient").map(|info| info.default),
            Some("postmaster")
        );
        assert!(find("nosuch").is_none());
    }

    #[test]
    fn every_default_of_a_plain_type_parses() {
        for info in ALL.iter().filter(|info| !info.has(flag::READ_ONLY)) {
            let text = info.default.to_string();
            let result = match info.kind {
                Kind::Bool => value::boolean(info, &text).map(drop),
                Kind::Int => value::int(info, &text).map(drop),
                Kind::Long => value::long(info, &text).map(drop),
                Kind::Time if !text.contains('$') => value::time(info, &text).map(drop),
                _ => Ok(()),
            };
            assert_eq!(result, Ok(()), "{}", info.name);
        }
    }
}
