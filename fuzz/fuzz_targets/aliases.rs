//! Source text of tables and alias databases.
#![no_main]

use bstr::BStr;
use libfuzzer_sys::fuzz_target;
use postern_dict::{alias, lines::LogicalLines, source};

fuzz_target!(|bytes: &[u8]| {
    let mut lines = LogicalLines::new(bytes, "aliases");
    while let Ok(Some(line)) = lines.next_line() {
        for utf8 in [false, true] {
            let _ = alias::parse(BStr::new(&line.text), utf8);
            let _ = source::split_entry(BStr::new(&line.text), utf8);
        }
    }
    if let Ok(text) = std::str::from_utf8(bytes) {
        let _ = source::unbrace(text);
        let _ = postern_dict::split_list(text);
    }
});
