//! The command line of master(8).

use postern_command::{Getopt, Opt};
use std::ffi::OsString;
use std::time::Duration;

/// What the command line says.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Options {
    /// `-c`: configuration directory.
    pub(crate) config_directory: Option<OsString>,
    /// `-D`: run the debugger command.
    pub(crate) debug: bool,
    /// `-d`: stay attached; children may run from a terminal.
    pub(crate) foreground: bool,
    /// `-e`: end after this time.
    pub(crate) exit_after: Option<Duration>,
    /// `-i`: act as PID 1.
    pub(crate) init: bool,
    /// `-s`: keep standard output open.
    pub(crate) keep_stdout: bool,
    /// `-t`: test whether master runs.
    pub(crate) test: bool,
    /// `-v`: how often.
    pub(crate) verbose: u32,
    /// `-w`: the parent waits until start-up is complete.
    pub(crate) wait: bool,
}

/// The usage text.
const USAGE: &str = "usage: master [-c config_dir] [-D (debug)] [-d (don't detach from terminal)] \
    [-e exit_time] [-i (init mode)] [-s (keep stdout)] [-t (test)] [-v (verbose)] [-w (wait)]";

impl Options {
    /// Reads the arguments. The error is the text after `fatal: `.
    pub(crate) fn parse(
        args: impl IntoIterator<Item = OsString>,
        pid: u32,
    ) -> Result<Self, String> {
        let mut options = Self::default();
        let mut getopt = Getopt::new("c:Dde:istvw", args);
        for option in getopt.by_ref() {
            match option {
                Opt::Value('c', directory) => options.config_directory = Some(directory),
                Opt::Value('e', text) => {
                    let seconds = text.to_str().and_then(|text| text.parse().ok());
                    options.exit_after = Some(Duration::from_secs(seconds.unwrap_or(0)));
                }
                Opt::Flag('D') => options.debug = true,
                Opt::Flag('d') => options.foreground = true,
                Opt::Flag('i') if pid != 1 => {
                    return Err("-i is allowed only for PID 1 process".to_owned());
                }
                Opt::Flag('i') => (options.init, options.keep_stdout) = (true, true),
                Opt::Flag('s') => options.keep_stdout = true,
                Opt::Flag('t') => options.test = true,
                Opt::Flag('v') => options.verbose += 1,
                Opt::Flag('w') => options.wait = true,
                _ => return Err(USAGE.to_owned()),
            }
        }
        if !getopt.operands().is_empty() {
            return Err(USAGE.to_owned());
        }
        if options.test && options.wait {
            return Err("the -t and -w options cannot be used together".to_owned());
        }
        if options.init && (options.debug || options.foreground || options.wait) {
            return Err("the -i option cannot be used with -D, -d, or -w".to_owned());
        }
        Ok(options)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn contradictory_options_are_refused() {
        let parse =
            |line: &str, pid| Options::parse(line.split_whitespace().map(OsString::from), pid);
        assert!(
            parse("-c /etc/x -dvv -e 5 -s", 7)
                .is_ok_and(|options| options.verbose == 2 && options.keep_stdout)
        );
        assert_eq!(
            parse("-tw", 7).unwrap_err(),
            "the -t and -w options cannot be used together"
        );
        assert_eq!(
            parse("-i", 7).unwrap_err(),
            "-i is allowed only for PID 1 process"
        );
        assert!(parse("-i", 1).is_ok_and(|options| options.init && options.keep_stdout));
        assert!(parse("-id", 1).is_err());
        assert!(parse("-x", 7).is_err());
        assert!(parse("operand", 7).is_err());
    }
}
