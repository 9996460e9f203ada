//! The command line that master(8) gives its children.

use crate::{StartError, Transport};
use bstr::BString;
use postern_config::lines::to_text;
use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;
use std::time::Duration;

/// The options of master.md §3.1.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Options {
    /// `-c`: enter a chroot jail in the queue directory.
    pub chroot: bool,
    /// `-D`: run the debugger command.
    pub debug: bool,
    /// `-d`: may run from a terminal.
    pub foreground: bool,
    /// `-l`: this is the only process of the service.
    pub limit_one: bool,
    /// `-z`: the service has no process limit.
    pub limit_zero: bool,
    /// What follows the options, as master.cf has it.
    pub arguments: Vec<BString>,
    /// `-n`: the service's name in master.cf.
    pub service: Option<String>,
    /// `-o`, `-m` and `-i` in their order, as main.cf settings.
    pub overrides: Vec<(String, String)>,
    /// `-r`: retire after so many seconds.
    pub retire: Option<String>,
    /// `-s`: number of listen sockets.
    pub sockets: Option<String>,
    /// `-S`: serve one client on standard input and output.
    pub stand_alone: bool,
    /// `-t`: kind of the listen sockets.
    pub transport: Option<String>,
    /// `-u`: drop privileges.
    pub unprivileged: bool,
    /// `-V`: log to standard error, too.
    pub log_to_stderr: bool,
    /// `-v`: how often.
    pub verbose: u32,
}

/// Letters that take a value.
const WITH_VALUE: &[char] = &['i', 'm', 'n', 'o', 'r', 's', 't'];

impl Options {
    /// Reads the arguments after the program name. The first that is no option ends the options.
    pub fn parse(args: impl IntoIterator<Item = OsString>) -> Result<Self, StartError> {
        let mut options = Self::default();
        let mut raw = args.into_iter().map(OsString::into_vec);
        while let Some(word) = raw.next() {
            let arg = to_text(&word);
            let Some(letters) = arg.strip_prefix('-').filter(|letters| !letters.is_empty()) else {
                options.arguments.push(word.into());
                break;
            };
            if letters == "-" {
                break;
            }
            let mut rest = letters.chars();
            while let Some(letter) = rest.next() {
                if WITH_VALUE.contains(&letter) {
                    let inline: String = rest.collect();
                    let value = if inline.is_empty() {
                        raw.next().map(|word| to_text(&word))
                    } else {
                        Some(inline)
                    };
                    options.set_value(letter, value.ok_or_else(|| invalid(letter))?)?;
                    break;
                }
                options.set_flag(letter)?;
            }
        }
        options.arguments.extend(raw.map(BString::from));
        Ok(options)
    }

    fn set_flag(&mut self, letter: char) -> Result<(), StartError> {
        match letter {
            'c' => self.chroot = true,
            'D' => self.debug = true,
            'd' => self.foreground = true,
            'l' => self.limit_one = true,
            'S' => self.stand_alone = true,
            'u' => self.unprivileged = true,
            'V' => self.log_to_stderr = true,
            'v' => self.verbose += 1,
            'z' => self.limit_zero = true,
            other => return Err(invalid(other)),
        }
        Ok(())
    }

    fn set_value(&mut self, letter: char, value: String) -> Result<(), StartError> {
        match letter {
            'i' => self.overrides.push(("max_idle".to_owned(), value)),
            'm' => self.overrides.push(("max_use".to_owned(), value)),
            'n' => self.service = Some(value),
            'o' => self.overrides.push(split_override(&value)?),
            'r' => self.retire = Some(value),
            's' => self.sockets = Some(value),
            't' => self.transport = Some(value),
            _ => {}
        }
        Ok(())
    }

    /// The `-t` value.
    pub(crate) fn transport(&self) -> Result<Transport, StartError> {
        match self.transport.as_deref() {
            None => Err(StartError::new("no transport type specified")),
            Some("inet") => Ok(Transport::Inet),
            Some("unix") => Ok(Transport::Unix),
            Some("unix-dgram") => Ok(Transport::Datagram),
            Some("fifo") => Ok(Transport::Fifo),
            Some("pass") => Ok(Transport::Pass),
            Some(other) => Err(StartError::new(format!(
                "unsupported transport type: {other}"
            ))),
        }
    }

    /// The `-r` value.
    pub(crate) fn retirement(&self) -> Result<Option<Duration>, StartError> {
        let Some(text) = &self.retire else {
            return Ok(None);
        };
        match text.parse() {
            Ok(seconds) if seconds > 0 => Ok(Some(Duration::from_secs(seconds))),
            _ => Err(StartError::new(format!("invalid retirement time: {text}"))),
        }
    }

    /// The `-s` value.
    pub(crate) fn socket_count(&self) -> Result<usize, StartError> {
        match &self.sockets {
            None => Ok(1),
            Some(text) => match text.parse() {
                Ok(count) if count > 0 => Ok(count),
                _ => Err(StartError::new(format!("invalid socket_count: {text}"))),
            },
        }
    }
}

fn invalid(letter: char) -> StartError {
    StartError::new(format!("invalid option: {letter}"))
}

/// Splits `name = value` as a main.cf line is split.
fn split_override(text: &str) -> Result<(String, String), StartError> {
    let Some((name, value)) = text.split_once('=') else {
        return Err(StartError::new(format!(
            "invalid \"-o {text}\" option value: missing '=' after attribute name"
        )));
    };
    Ok((name.trim().to_owned(), value.trim().to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_time_of_retirement_is_positive() {
        let retirement = |args: &[&str]| {
            let args = args.iter().map(OsString::from);
            Options::parse(args).unwrap().retirement()
        };
        assert_eq!(retirement(&[]).unwrap(), None);
        assert_eq!(
            retirement(&["-r", "2"]).unwrap(),
            Some(Duration::from_secs(2))
        );
        for text in ["0", "-1", "x", "2m"] {
            assert_eq!(
                retirement(&["-r", text]).unwrap_err().to_string(),
                format!("invalid retirement time: {text}")
            );
        }
    }

    fn parse(line: &str) -> Result<Options, StartError> {
        Options::parse(
            line.split(' ')
                .filter(|word| !word.is_empty())
                .map(OsString::from),
        )
    }

    #[test]
    fn command_lines_of_master_are_understood() {
        let options =
            parse("-n smtp -t inet -u -c -o stress= -s 2 -omax_use=3 -i 5s -zvv").unwrap();
        assert_eq!(options.service.as_deref(), Some("smtp"));
        assert_eq!(options.transport().unwrap(), Transport::Inet);
        assert_eq!(options.socket_count().unwrap(), 2);
        assert!(options.unprivileged && options.chroot && options.limit_zero && !options.limit_one);
        assert_eq!(options.verbose, 2);
        let overrides: Vec<_> = options
            .overrides
            .iter()
            .map(|(n, v)| (n.as_str(), v.as_str()))
            .collect();
        assert_eq!(
            overrides,
            [("stress", ""), ("max_use", "3"), ("max_idle", "5s")]
        );
    }

    #[test]
    fn arguments_begin_with_the_first_that_is_no_option() {
        for (line, want) in [
            (
                "-o a=b user=x argv=/bin/sh -c -v",
                &["user=x", "argv=/bin/sh", "-c", "-v"][..],
            ),
            ("-v -- -v", &["-v"]),
            ("-v", &[]),
            ("- -v", &["-", "-v"]),
        ] {
            assert_eq!(parse(line).unwrap().arguments, want, "{line}");
        }
        let odd = OsString::from_vec(b"user=\xff".to_vec());
        assert_eq!(
            Options::parse([odd]).unwrap().arguments,
            [&b"user=\xff"[..]]
        );
    }

    #[test]
    fn bad_command_lines_get_the_known_texts() {
        let cases = [
            ("-x", "invalid option: x"),
            (
                "-o badopt",
                "invalid \"-o badopt\" option value: missing '=' after attribute name",
            ),
        ];
        for (line, want) in cases {
            assert_eq!(parse(line).unwrap_err().to_string(), want);
        }
        let error = parse("-t tcp").unwrap().transport().unwrap_err();
        assert_eq!(error.to_string(), "unsupported transport type: tcp");
        let error = parse("").unwrap().transport().unwrap_err();
        assert_eq!(error.to_string(), "no transport type specified");
        let error = parse("-s 0").unwrap().socket_count().unwrap_err();
        assert_eq!(error.to_string(), "invalid socket_count: 0");
    }
}
