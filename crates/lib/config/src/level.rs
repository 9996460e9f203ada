//! compatibility_level: `N`, `N.N` or `N.N.N`.

use std::fmt;

use crate::ConfigError;

/// A compatibility level, ordered as releases are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, Hash)]
pub struct Level {
    major: u32,
    minor: u16,
    patch: u16,
}

impl Level {
    /// The last level at which Postfix changed a default.
    pub const LAST: Self = Self::new(3, 11);

    /// Level `major.minor`.
    #[must_use]
    pub const fn new(major: u32, minor: u16) -> Self {
        Self {
            major,
            minor,
            patch: 0,
        }
    }

    /// Reads a level; minor and patch are 0 to 1023.
    pub fn parse(text: &str) -> Result<Self, ConfigError> {
        Self::from_text(text).ok_or_else(|| ConfigError::BadLevel(text.to_string()))
    }

    pub(crate) fn from_text(text: &str) -> Option<Self> {
        let mut parts = text.split('.');
        let major = digits(parts.next()?)?;
        let minor = parts.next().map_or(Some(0), small)?;
        let patch = parts.next().map_or(Some(0), small)?;
        (parts.next().is_none() && major <= i32::MAX.unsigned_abs()).then_some(Self {
            major,
            minor,
            patch,
        })
    }
}

fn digits(text: &str) -> Option<u32> {
    text.bytes()
        .all(|byte| byte.is_ascii_digit())
        .then(|| text.parse().ok())?
}

fn small(text: &str) -> Option<u16> {
    u16::try_from(digits(text)?)
        .ok()
        .filter(|number| *number < 1024)
}

impl fmt::Display for Level {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.major)?;
        if self.minor != 0 || self.patch != 0 {
            write!(f, ".{}", self.minor)?;
        }
        if self.patch != 0 {
            write!(f, ".{}", self.patch)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn levels_compare_as_releases() {
        let level = |text| Level::parse(text).unwrap();
        assert!(level("3.10") > level("3.9"));
        assert_eq!(level("3"), level("3.0.0"));
        assert_eq!(level("3.6").to_string(), "3.6");
        for bad in ["", "x", "1.2.3.4", "3.1024", "3.", "-1", "3.6 "] {
            let error = Level::parse(bad).unwrap_err();
            assert_eq!(
                error.to_string(),
                format!("malformed compatibility level syntax: \"{bad}\"")
            );
        }
    }
}
