//! master.cf: fields, services, and the groups of arguments.
#![no_main]

use libfuzzer_sys::fuzz_target;
use postern_config::{Level, master_cf, words};

fuzz_target!(|bytes: &[u8]| {
    for entry in master_cf::entries("master.cf", bytes, drop) {
        let _ = master_cf::check_fields(&entry.fields, &entry.text);
        for argument in &entry.arguments {
            let _ = words::unbrace(argument);
        }
        if let Some(name) = entry.fields.first() {
            let _ = master_cf::split_inet_name(name);
        }
    }
    let _ = master_cf::check_text("master.cf", bytes);
    for level in ["0", "3.6", "3.11"] {
        let level = Level::parse(level).expect("a level");
        let _ = master_cf::services("master.cf", bytes, level);
    }
});
