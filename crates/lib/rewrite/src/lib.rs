//! Address rewriting and resolving, as trivial-rewrite answers it, callable in process.
#![forbid(unsafe_code)]
