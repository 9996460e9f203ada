//! What several targets need: a table file on disk, a configuration, lookups.
#![forbid(unsafe_code)]

use std::fs;
use std::sync::OnceLock;
use std::time::{Duration, SystemTime};

use bstr::BStr;
use postern_config::Config;
use postern_dict::{Flags, OpenMode, Table};

/// Defaults, read once.
pub fn config() -> &'static Config {
    static CONFIG: OnceLock<Config> = OnceLock::new();
    CONFIG.get_or_init(|| Config::from_text("").expect("the defaults are sound"))
}

/// Opens `content` as the file of a table of type `kind` (file name suffix `suffix`), looks `keys`
/// up and lists the table. Whatever the bytes are, there must be an answer, and soon.
pub fn table(kind: &str, suffix: &str, content: &[u8], keys: &[&[u8]]) {
    static DIRECTORY: OnceLock<tempfile::TempDir> = OnceLock::new();
    let directory = DIRECTORY.get_or_init(|| tempfile::tempdir().expect("make a directory"));
    let name = directory.path().join("table");
    // Written anew: an open table may have the old file mapped.
    let file = directory.path().join(format!("table{suffix}"));
    let _ = fs::remove_file(&file);
    fs::write(&file, content).expect("write the table file");
    // Readers wait until a text file has settled, and remember only parts of database files that have.
    let long_ago = SystemTime::now() - Duration::from_secs(3600);
    fs::File::open(&file)
        .and_then(|file| file.set_modified(long_ago))
        .expect("make the table file old");
    let type_name = format!("{kind}:{}", name.display());
    let flags = Flags::LOCK.with(Flags::FOLD_FIX);
    let Ok(mut table) = postern_dict::try_open(config(), &type_name, OpenMode::Read, flags) else {
        return;
    };
    for key in keys {
        let _ = table.lookup(BStr::new(key));
    }
    let keys: Vec<&BStr> = keys.iter().copied().map(BStr::new).collect();
    let mut asked = 0;
    let result = table.lookup_all(&keys, &mut |_, _| {
        asked += 1;
        Ok(())
    });
    assert!(result.is_err() || asked == keys.len());
    list(table.as_mut());
}

/// Reads every entry; a damaged file may repeat some, so there is a limit.
fn list(table: &mut dyn Table) {
    let mut restart = true;
    for _ in 0..10_000 {
        match table.sequence(restart) {
            Ok(Some(_)) => restart = false,
            Ok(None) | Err(_) => return,
        }
    }
}
