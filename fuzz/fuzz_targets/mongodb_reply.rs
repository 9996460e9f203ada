//! What MongoDB servers say, with a login and without; and the texts that make a query: a key in the first
//! line, then a filter or a connection string.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let Some((first, rest)) = bytes.split_first() else {
        return;
    };
    match first % 3 {
        2 => {
            if let Ok(text) = std::str::from_utf8(rest)
                && let Some((key, text)) = text.split_once('\n')
            {
                postern_dict::fuzzing::mongodb_texts(text, key);
            }
        }
        kind => postern_dict::fuzzing::mongodb_session(rest, kind == 1),
    }
});
