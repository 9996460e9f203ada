//! lmdb files, as they are read without the library.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| postern_dict::fuzzing::lmdb_file(bytes, &[b"a\0", b"key\0", b""]));
