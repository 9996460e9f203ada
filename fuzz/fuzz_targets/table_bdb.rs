//! Berkeley DB files, hash and btree.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    for kind in ["hash", "btree"] {
        postern_fuzz::table(kind, ".db", bytes, &[b"a", b"key", b""]);
    }
});
