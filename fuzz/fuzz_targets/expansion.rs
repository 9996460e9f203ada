//! `$name` expressions, conditions included.
#![no_main]

use libfuzzer_sys::fuzz_target;
use postern_config::expand::{Found, expand, references};

fuzz_target!(|bytes: &[u8]| {
    let Ok(text) = std::str::from_utf8(bytes) else {
        return;
    };
    let lookup = |name: &str| match name {
        "a" => Some(Found::Expand("$b and ${b}".to_owned())),
        "b" => Some(Found::Default(String::new())),
        "c" => Some(Found::Verbatim("$c".to_owned())),
        // Refers to itself: must be found out.
        "d" => Some(Found::Expand("x$d".to_owned())),
        _ => None,
    };
    let _ = expand(text, &lookup);
    let _ = references(text, &mut |_| ());
});
