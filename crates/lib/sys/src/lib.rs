//! The only crate with `unsafe` and direct `libc`: a small safe API over what nix does not cover.
//!
//! Users, locks, descriptors, process life, clocks and files. It knows no configuration, no
//! protocol and no log.

pub mod child;
pub mod clock;
pub mod daemon;
pub mod env;
pub mod faults;
pub mod fdpass;
pub mod file;
pub mod lmdb;
pub mod lock;
pub mod memory;
pub mod pcre;
pub mod process;
pub mod regex;
pub mod signal;
pub mod socket;
pub mod user;
pub mod watchdog;

pub use nix;

/// The system's text for an error, without Rust's ` (os error N)`; what `%m` gives in the C locale.
///
/// Errors made by the standard library itself keep their own text, but a timeout reads
/// `Connection timed out`.
pub fn error_text(error: &std::io::Error) -> String {
    match error.raw_os_error() {
        Some(number) => errno_text(number),
        None if error.kind() == std::io::ErrorKind::TimedOut => errno_text(libc::ETIMEDOUT),
        None => error.to_string(),
    }
}

/// The system's text for an error number, e.g. `No such file or directory`.
pub fn errno_text(number: i32) -> String {
    // The standard library never calls setlocale, so this is the C locale's text.
    let text = std::io::Error::from_raw_os_error(number).to_string();
    match text.rfind(" (os error ") {
        Some(end) => text[..end].to_owned(),
        None => text,
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn error_text_is_the_bare_system_text() {
        let cases = [
            (libc::ENOENT, "No such file or directory"),
            (libc::EAGAIN, "Resource temporarily unavailable"),
        ];
        for (number, want) in cases {
            assert_eq!(super::errno_text(number), want);
            assert_eq!(
                super::error_text(&std::io::Error::from_raw_os_error(number)),
                want
            );
        }
    }
}
