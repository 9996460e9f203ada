//! main.cf: reading, every parameter's value, and editing.
#![no_main]

use std::collections::BTreeMap;

use libfuzzer_sys::fuzz_target;
use postern_config::{Config, edit, lines, params};

fuzz_target!(|bytes: &[u8]| {
    for line in lines::logical_lines(bytes, |_, _| ()) {
        let text = String::from_utf8_lossy(&line.text);
        let _ = lines::split_name_value(&text);
    }
    let changes = BTreeMap::from([
        (
            "myhostname".to_owned(),
            edit::Change::Set("a.example".to_owned()),
        ),
        ("relayhost".to_owned(), edit::Change::CommentOut),
        ("mynetworks".to_owned(), edit::Change::Remove),
    ]);
    let (edited, _) = edit::main_cf("main.cf", bytes, &changes);
    // Editing twice is as editing once.
    let (again, _) = edit::main_cf("main.cf", &edited, &changes);
    assert_eq!(edited, again);
    let Ok(text) = std::str::from_utf8(bytes) else {
        return;
    };
    if let Ok(config) = Config::from_text(text) {
        for (name, _) in config.explicit() {
            if let Some(info) = params::find(name) {
                let _ = config.check_value(info);
            }
        }
        let _ = (config.check("postfix"), config.check_expansion());
    }
});
