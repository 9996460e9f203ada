//! The main.cf values of the skeletons themselves.

use postern_config::Config;
use std::time::Duration;

/// A time in whole seconds with an optional unit.
pub(crate) fn time(config: &Config, name: &str, default: u64) -> Duration {
    let text = config.lookup(name).unwrap_or_default();
    let end = text
        .find(|c: char| !c.is_ascii_digit())
        .unwrap_or(text.len());
    let Ok(count) = text.get(..end).unwrap_or_default().parse::<u64>() else {
        return Duration::from_secs(default);
    };
    let unit = match text.get(end..).and_then(|rest| rest.chars().next()) {
        Some('m') => 60,
        Some('h') => 3600,
        Some('d') => 86400,
        Some('w') => 604_800,
        _ => 1,
    };
    Duration::from_secs(count * unit)
}

/// A number.
pub(crate) fn number(config: &Config, name: &str, default: u32) -> u32 {
    config
        .lookup(name)
        .and_then(|text| text.parse().ok())
        .unwrap_or(default)
}

/// A text.
pub(crate) fn text(config: &Config, name: &str) -> String {
    config.lookup(name).unwrap_or_default()
}
