//! What the tables of `smtp_dns_reply_filter` and its like say. Nothing here knows what a record is but its
//! text.

use bstr::BStr;

use crate::{LookupError, Maps};

/// Whether a record, in the form `NAME TTL IN TYPE DATA`, is to be ignored.
///
/// # Errors
///
/// That of the table, or the action is not one; that was logged.
pub fn ignores_dns_record(filter: &mut Maps, record: &str) -> Result<bool, LookupError> {
    let Some(action) = filter.find(BStr::new(record), false)? else {
        return Ok(false);
    };
    let mut words = action.split(u8::is_ascii_whitespace);
    let word = words.find(|word| !word.is_empty()).unwrap_or_default();
    if word.eq_ignore_ascii_case(b"IGNORE") {
        return Ok(true);
    }
    let title = filter.title();
    let text = format!("unknown DNS filter action: \"{action}\"");
    log::warn!("{title}: {text}");
    Err(LookupError::config(title, text))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Flags;
    use postern_config::Config;

    #[test]
    fn records_are_ignored_when_the_table_says_so() {
        let config = Config::from_text("").unwrap();
        let table = r"regexp:{{/^a\. .* A / ignore it}, {/^b\./ drop}}";
        let mut filter = Maps::open(&config, "smtp_dns_reply_filter", table, Flags::FOLD_FIX);
        for (record, want) in [
            ("a. 1 IN A 192.0.2.1", Some(true)),
            ("b. 1 IN A 192.0.2.1", None),
            ("c. 1 IN A 192.0.2.1", Some(false)),
        ] {
            assert_eq!(
                ignores_dns_record(&mut filter, record).ok(),
                want,
                "{record}"
            );
        }
    }
}
