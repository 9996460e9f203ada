//! The only crate with `unsafe` and direct `libc`: a small safe API over what nix does not cover.
