//! Options the way getopt(3) reads them under POSIX rules.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::{OsStrExt, OsStringExt};

/// One option from the command line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Opt {
    /// A letter without value.
    Flag(char),
    /// A letter with its value.
    Value(char, OsString),
    /// A letter that is not known.
    Unknown(char),
    /// A letter whose value is missing.
    Missing(char),
}

/// Iterates over options; what is left is [`Getopt::operands`].
#[derive(Debug)]
pub struct Getopt<'a> {
    letters: &'a str,
    args: Vec<OsString>,
    at: usize,
    /// Position inside a group such as `-vv`.
    inside: usize,
    done: bool,
}

impl<'a> Getopt<'a> {
    /// Reads the process's arguments. `letters` lists the options; a colon follows those with a value.
    pub fn from_process(letters: &'a str) -> Self {
        Self::new(letters, std::env::args_os().skip(1))
    }

    /// Reads `args`, without program name.
    pub fn new(letters: &'a str, args: impl IntoIterator<Item = OsString>) -> Self {
        Self {
            letters,
            args: args.into_iter().collect(),
            at: 0,
            inside: 1,
            done: false,
        }
    }

    /// Takes the long option `word` out of the options, wherever it is; whether it was there.
    pub fn take_long(&mut self, word: &str) -> bool {
        let end = self.args.iter().position(|arg| arg == "--");
        let found = self.args.iter().position(|arg| arg == word);
        match found {
            Some(at) if end.is_none_or(|end| at < end) => {
                self.args.remove(at);
                true
            }
            _ => false,
        }
    }

    /// The arguments after the options.
    pub fn operands(self) -> Vec<OsString> {
        let mut args = self.args;
        args.split_off(self.at.min(args.len()))
    }

    fn takes_value(&self, letter: char) -> Option<bool> {
        let mut letters = self.letters.chars();
        letters.find(|known| *known == letter && letter != ':')?;
        Some(letters.next() == Some(':'))
    }

    fn rest(&self) -> Option<&[u8]> {
        self.args.get(self.at)?.as_bytes().get(self.inside..)
    }

    fn next_argument(&mut self) {
        self.at += 1;
        self.inside = 1;
    }
}

impl Iterator for Getopt<'_> {
    type Item = Opt;

    fn next(&mut self) -> Option<Opt> {
        if self.done {
            return None;
        }
        let arg = self.args.get(self.at)?.as_bytes();
        if self.inside == 1 && (arg.first() != Some(&b'-') || arg.len() < 2 || arg == b"--") {
            self.done = true;
            self.at += usize::from(arg == b"--");
            return None;
        }
        let letter = self
            .rest()
            .and_then(|rest| rest.first())
            .map(|byte| char::from(*byte))?;
        self.inside += 1;
        let rest = self.rest().unwrap_or_default().to_vec();
        match self.takes_value(letter) {
            Some(true) => {
                self.next_argument();
                if !rest.is_empty() {
                    return Some(Opt::Value(letter, OsString::from_vec(rest)));
                }
                let value = self.args.get(self.at).map(|arg| OsStr::to_owned(arg));
                self.at += usize::from(value.is_some());
                Some(value.map_or(Opt::Missing(letter), |value| Opt::Value(letter, value)))
            }
            known => {
                if rest.is_empty() {
                    self.next_argument();
                }
                Some(if known.is_some() {
                    Opt::Flag(letter)
                } else {
                    Opt::Unknown(letter)
                })
            }
        }
    }
}

impl Opt {
    /// What getopt(3) prints to stderr for a bad option; `None` for good ones.
    pub fn complaint(&self, program: &str) -> Option<String> {
        match self {
            Self::Unknown(letter) => Some(format!("{program}: invalid option -- '{letter}'")),
            Self::Missing(letter) => Some(format!(
                "{program}: option requires an argument -- '{letter}'"
            )),
            Self::Flag(_) | Self::Value(..) => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_come_in_order_and_operands_stay() {
        let value = |letter, text: &str| Opt::Value(letter, text.into());
        #[rustfmt::skip]
        let cases: Vec<(&[&str], Vec<Opt>, &[&str])> = vec![
            (&["-vv", "-c", "dir", "x", "-v"], vec![Opt::Flag('v'), Opt::Flag('v'), value('c', "dir")], &["x", "-v"]),
            (&["-vcdir", "--", "-v"], vec![Opt::Flag('v'), value('c', "dir")], &["-v"]),
            (&["-", "-v"], vec![], &["-", "-v"]),
            (&["-x", "-c"], vec![Opt::Unknown('x'), Opt::Missing('c')], &[]),
            (&["-c", ""], vec![value('c', "")], &[]),
        ];
        for (args, options, operands) in cases {
            let mut getopt = Getopt::new("c:v", args.iter().map(OsString::from));
            assert_eq!(getopt.by_ref().collect::<Vec<_>>(), options, "{args:?}");
            assert_eq!(getopt.operands(), operands, "{args:?}");
        }
    }

    #[test]
    fn a_long_option_is_taken_from_before_the_end_of_options() {
        let args = |text: &str| text.split(' ').map(OsString::from).collect::<Vec<_>>();
        for (text, found, left) in [
            ("-a --json x", true, "-a x"),
            ("-a -- --json", false, "-a -- --json"),
            ("-a x", false, "-a x"),
        ] {
            let mut getopt = Getopt::new("a", args(text));
            assert_eq!(getopt.take_long("--json"), found, "{text}");
            assert_eq!(getopt.args, args(left), "{text}");
        }
    }
}
