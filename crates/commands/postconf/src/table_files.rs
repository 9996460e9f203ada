//! The files of table clients (`mysql:/etc/postfix/users.cf`): settings that the client does not know.

use std::collections::BTreeMap;
use std::fs;
use std::io::ErrorKind;

use postern_config::lines;
use postern_config::tables::Suffixes;

use crate::{Fatal, warn};

/// Warns about settings in a table client's file that the client does not know.
pub(crate) fn check_table_file(kind: &str, settings: Suffixes, path: &str) -> Result<(), Fatal> {
    let complain = |reason: &str| {
        warn(&format!(
            "open \"{kind}\" configuration \"{path}\": {reason}"
        ))
    };
    let content = match fs::metadata(path) {
        Ok(metadata) if !metadata.is_file() => {
            complain("not a regular file");
            return Ok(());
        }
        Ok(_) => fs::read(path),
        Err(error) => Err(error),
    };
    let content = match content {
        Ok(content) => content,
        // Such files hold passwords: who may not read one is no operator of this table.
        Err(error) if error.kind() == ErrorKind::PermissionDenied => return Ok(()),
        Err(error) => {
            complain(&postern_sys::error_text(&error));
            return Ok(());
        }
    };
    let mut set = BTreeMap::new();
    for line in lines::logical_lines(&content, |_, text| warn(&lines::orphan_warning(path, text))) {
        let text = lines::to_text(&line.text);
        let (name, value) = lines::split_name_value(&text).map_err(|error| {
            Fatal::Text(format!(
                "{path}, line {}: {}",
                line.first,
                error.describe(&text)
            ))
        })?;
        set.insert(name.to_string(), value.to_string());
    }
    for (name, value) in set {
        if !settings.contains(&name.as_str()) {
            warn(&format!("{kind}:{path}: unused parameter: {name}={value}"));
        }
    }
    Ok(())
}
