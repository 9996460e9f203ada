//! The command line.

use std::ffi::OsString;
use std::os::unix::ffi::OsStrExt;

use postern_command::Opt;
use postern_maillog::fatal;

/// Options; a colon follows those with a value.
pub(crate) const LETTERS: &str = "bc:defhoqrs:v";

/// What to show and how.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(crate) struct Options {
    /// `-b`.
    pub(crate) body: bool,
    /// `-h`.
    pub(crate) header: bool,
    /// `-e`.
    pub(crate) envelope: bool,
    /// `-d`: each record's type before it.
    pub(crate) types: bool,
    /// `-o`: each record's offset before it.
    pub(crate) offsets: bool,
    /// `-f`: the file's name before each line.
    pub(crate) file_names: bool,
    /// `-r`: file order; pointers are not followed.
    pub(crate) raw: bool,
    /// `-q`: operands are queue IDs.
    pub(crate) by_id: bool,
    /// `-s`: where to begin.
    pub(crate) start: u64,
    /// `--json`: an object for each record.
    pub(crate) json: bool,
    /// `-v`.
    pub(crate) verbose: u32,
    /// `-c`.
    pub(crate) directory: Option<OsString>,
}

impl Options {
    /// Takes an option; returns it, for its complaint.
    pub(crate) fn add(&mut self, option: Opt) -> Opt {
        match &option {
            Opt::Flag('b') => self.body = true,
            Opt::Flag('h') => self.header = true,
            Opt::Flag('e') => self.envelope = true,
            Opt::Flag('d') => self.types = true,
            Opt::Flag('o') => self.offsets = true,
            Opt::Flag('f') => self.file_names = true,
            Opt::Flag('r') => self.raw = true,
            Opt::Flag('q') => self.by_id = true,
            Opt::Flag('v') => self.verbose += 1,
            Opt::Value('s', value) => match offset(value.as_bytes()) {
                Some(start) => self.start = start,
                None => fatal!("bad offset: {}", value.to_string_lossy()),
            },
            Opt::Value(_, value) => self.directory = Some(value.clone()),
            _ => {}
        }
        option
    }

    /// Without a choice everything is shown.
    pub(crate) fn complete(&mut self) {
        if !(self.body || self.header || self.envelope) {
            (self.body, self.header, self.envelope) = (true, true, true);
        }
    }

    /// Whether pointers are shown only: there is nothing to see of `-r` without `-v`, which shows
    /// them in the first place.
    pub(crate) fn is_raw(&self) -> bool {
        self.raw && self.verbose > 0
    }

    /// Lines that go on in the next record are shown as two when records are to be seen.
    pub(crate) fn shows_records(&self) -> bool {
        self.verbose > 0 || self.offsets
    }
}

fn offset(text: &[u8]) -> Option<u64> {
    let number: u64 = std::str::from_utf8(text).ok()?.parse().ok()?;
    i64::try_from(number).is_ok().then_some(number)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn offsets_are_plain_numbers() {
        let cases = [
            ("0", Some(0)),
            ("97", Some(97)),
            ("", None),
            ("x", None),
            ("-1", None),
            ("1x", None),
            ("99999999999999999999", None),
        ];
        for (text, want) in cases {
            assert_eq!(offset(text.as_bytes()), want, "{text}");
        }
    }

    #[test]
    fn everything_is_the_default() {
        let mut options = Options::default();
        options.complete();
        assert!(options.body && options.header && options.envelope);
        let mut options = Options::default();
        options.add(Opt::Flag('h'));
        options.complete();
        assert!(!options.body && options.header && !options.envelope);
    }
}
