//! The value of a `*_maps` parameter: several tables searched in order.

use bstr::{BStr, BString};
use postern_config::Config;

use crate::registry::Opener;
use crate::{Flags, Lookup, LookupError, Table, open, open_small, split_list};

/// The value of a `*_maps` parameter: tables searched in order, first hit wins, an error stops.
pub struct Maps {
    title: String,
    tables: Vec<Entry>,
}

struct Entry {
    type_name: String,
    table: Box<dyn Table>,
}

impl Maps {
    /// Opens every table of `value` (comma or blank separated, braces group). `title` is the
    /// parameter name, for messages.
    pub fn open(config: &Config, title: &str, value: &str, flags: Flags) -> Self {
        Self::open_by(config, title, value, flags, open)
    }

    /// As [`Maps::open`], with tables as [`open_small`] opens them.
    pub fn open_small(config: &Config, title: &str, value: &str, flags: Flags) -> Self {
        Self::open_by(config, title, value, flags, open_small)
    }

    fn open_by(config: &Config, title: &str, value: &str, flags: Flags, opener: Opener) -> Self {
        let tables = split_list(value)
            .into_iter()
            .map(|item| Entry {
                type_name: opened_name(item, flags).to_owned(),
                table: opener(config, item, flags),
            })
            .collect();
        Self {
            title: title.to_owned(),
            tables,
        }
    }

    /// Whether no table is listed.
    pub fn is_empty(&self) -> bool {
        self.tables.is_empty()
    }

    /// The parameter name.
    pub fn title(&self) -> &str {
        &self.title
    }

    /// The open tables, in order.
    pub fn tables(&mut self) -> impl Iterator<Item = &mut dyn Table> {
        self.tables
            .iter_mut()
            .map(|entry| entry.table.as_mut() as &mut dyn Table)
    }

    /// Looks `key` up; `partial` lookups skip pattern tables.
    pub fn find(&mut self, key: &BStr, partial: bool) -> Lookup {
        Ok(self.find_with_table(key, partial)?.map(|(value, _)| value))
    }

    /// As [`Maps::find`], with the index of the table that answered.
    pub fn find_with_table(&mut self, key: &BStr, partial: bool) -> Lookup<(BString, usize)> {
        if key.is_empty() {
            return Ok(None);
        }
        for (index, Entry { type_name, table }) in self.tables.iter_mut().enumerate() {
            if partial && !table.flags().contains(Flags::FIXED) {
                continue;
            }
            match table.lookup(key) {
                Ok(None) => {}
                Ok(Some(value)) if value.is_empty() => {
                    let title = &self.title;
                    log::warn!("{title} lookup of {key} returns an empty string result");
                    log::warn!("{title} should return NO RESULT in case of NOT FOUND");
                    return Err(LookupError::config(
                        type_name.clone(),
                        "empty string result",
                    ));
                }
                Ok(Some(value)) => {
                    log::debug!(
                        "maps_find: {}: {}: {key} = {}",
                        self.title,
                        table.registered_name(),
                        shown(&self.title, &value)
                    );
                    return Ok(Some((value, index)));
                }
                Err(error) => {
                    log::warn!("{type_name} lookup error for \"{key}\"");
                    log::debug!("maps_find: {}: {key}: search aborted", self.title);
                    return Err(error);
                }
            }
        }
        log::debug!("maps_find: {}: {key}: not found", self.title);
        Ok(None)
    }
}

/// A value in verbose logs, which do not tell passwords.
fn shown<'a>(title: &str, value: &'a BString) -> &'a BStr {
    if title.ends_with("_sasl_password_maps") {
        BStr::new("(hidden)")
    } else {
        value.as_ref()
    }
}

/// The name of the table that opening `type_name` leads to: without `proxy:` where that is not used.
fn opened_name(type_name: &str, flags: Flags) -> &str {
    if flags.contains(Flags::NO_PROXY) {
        type_name.trim_start_matches("proxy:")
    } else {
        type_name
    }
}
