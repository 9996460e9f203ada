//! Tables of `hash:` and `btree:` that an administrator has moved to another type without a change of
//! their names: `non_bdb_migration_level`. Source: tables.md §4.3 of the specification.
//!
//! Berkeley DB files are read and written here without its library, so that nothing has to move. A
//! system that did move has its tables in the new files only; and one whose new file is not there yet
//! goes on with the old one, which Postfix would have to index anew first.

use std::borrow::Cow;
use std::path::Path;

use bstr::{BStr, ByteSlice};
use postern_config::{Config, params};

use crate::registry::{open_engine, split_type_name};
use crate::{Flags, OpenError, OpenMode};

/// The `type:name` to use in place of `type_name`. `is_new` is for a table that is made anew.
pub(crate) fn redirected<'a>(
    config: &Config,
    type_name: &'a str,
    is_new: bool,
) -> Result<Cow<'a, str>, OpenError> {
    let same = Ok(Cow::Borrowed(type_name));
    let (kind, name) = split_type_name(type_name)?;
    if !matches!(kind, "hash" | "btree") {
        return same;
    }
    match config.get(params::NON_BDB_MIGRATION_LEVEL).as_str() {
        "disable" => return same,
        "enable-redirect" | "enable-reindex" => {}
        other => {
            return Err(OpenError(format!(
                "invalid non-Berkeley-DB migration level: '{other}'"
            )));
        }
    }
    let new = new_type(config, kind, type_name)?;
    let exists = |kind: &str| Path::new(&format!("{name}{}", suffix(kind))).exists();
    if new == kind || (!is_new && !exists(&new) && exists(kind)) {
        return same;
    }
    let target = format!("{new}:{name}");
    if config.get(params::NON_BDB_MIGRATION_LOG_REDIRECT) {
        log::info!("redirecting {type_name} to {target}");
    }
    Ok(Cow::Owned(target))
}

fn suffix(kind: &str) -> &'static str {
    match kind {
        "hash" | "btree" => ".db",
        "lmdb" => ".lmdb",
        "cdb" => ".cdb",
        _ => "",
    }
}

/// The type that takes the place of `kind`: that of `non_bdb_custom_mapping`, else the default type.
fn new_type(config: &Config, kind: &str, type_name: &str) -> Result<String, OpenError> {
    let mapping = config.get(params::NON_BDB_CUSTOM_MAPPING);
    if !mapping.is_empty() {
        let (of, _) = split_type_name(&mapping)?;
        if matches!(of, "hash" | "btree") {
            return Err(OpenError(format!(
                "non_bdb_custom_mapping: {mapping} would ask itself"
            )));
        }
        let mut table = open_engine(config, &mapping, OpenMode::Read, Flags::LOCK)?;
        for key in [type_name, kind] {
            let found = table.lookup(BStr::new(key));
            if let Some(new) = found.map_err(|error| OpenError(error.to_string()))? {
                return Ok(new.to_str_lossy().into_owned());
            }
        }
    }
    Ok(match kind {
        "hash" => config.get(params::DEFAULT_DATABASE_TYPE),
        _ => config.get(params::DEFAULT_CACHE_DB_TYPE),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tables_that_moved_are_found_under_their_old_names() {
        let dir = tempfile::tempdir().unwrap();
        let path = |name: &str| dir.path().join(name).display().to_string();
        for file in ["moved.lmdb", "moved.db", "old.db", "cached.cdb"] {
            std::fs::write(path(file), "").unwrap();
        }
        let on = "non_bdb_migration_level = enable-redirect\ndefault_database_type = lmdb\n\
            default_cache_db_type = cdb\n";
        let custom = format!(
            "{on}non_bdb_custom_mapping = inline:{{{{hash:{} = cdb}}, {{btree = lmdb}}}}\n",
            path("old")
        );
        #[rustfmt::skip]
        let cases = [
            ("", "hash:moved", false, "hash:moved"),
            ("non_bdb_migration_level = disable\ndefault_database_type = lmdb\n", "hash:moved", false, "hash:moved"),
            (on, "hash:moved", false, "lmdb:moved"), (on, "hash:old", false, "hash:old"), (on, "hash:old", true, "lmdb:old"),
            (on, "hash:none", false, "lmdb:none"), (on, "btree:cached", false, "cdb:cached"), (on, "cidr:moved", false, "cidr:moved"),
            ("non_bdb_migration_level = enable-reindex\ndefault_database_type = hash\n", "hash:moved", false, "hash:moved"),
            (&custom, "hash:old", true, "cdb:old"), (&custom, "hash:moved", false, "lmdb:moved"),
            (&custom, "btree:moved", false, "lmdb:moved"),
        ];
        let full = |name: &str| {
            let (kind, name) = name.split_once(':').unwrap();
            format!("{kind}:{}", path(name))
        };
        for (settings, name, is_new, want) in cases {
            let config = Config::from_text(settings).unwrap();
            let name = full(name);
            let got = redirected(&config, &name, is_new).unwrap();
            assert_eq!(got, full(want), "{settings} {name}");
        }
        let config = Config::from_text("non_bdb_migration_level = perhaps\n").unwrap();
        let error = redirected(&config, "hash:x", false).unwrap_err();
        assert_eq!(
            error.to_string(),
            "invalid non-Berkeley-DB migration level: 'perhaps'"
        );
        assert!(redirected(&config, "lmdb:x", false).is_ok());
    }
}
