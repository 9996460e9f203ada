//! The command line, with all that Sendmail once understood.

use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;
use std::path::PathBuf;

use bstr::{BString, ByteSlice};
use postern_command::{Getopt, Opt};
use postern_mail::dsn;

use crate::fatal;

/// Options of sendmail; a colon follows those with a value.
const LETTERS: &str = "A:B:C:F:GIL:N:O:R:UV:X:b:ce:f:h:imno:p:r:q:txv";

/// `-q` alone, which getopt(3) cannot express.
const FLUSH: &str = "-q\x01";

/// What is to be done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Mode {
    /// Mail from standard input.
    Submit,
    /// `-bp`, `mailq`.
    Queue,
    /// `-q`.
    Flush,
    /// `-qRsite`.
    FlushSite(String),
    /// `-qIid`.
    FlushMessage(String),
    /// `-bi`, `-I`, `newaliases`.
    Aliases,
    /// `-bs`.
    Serve,
    /// `-bd`.
    Daemon,
}

/// The command line, understood.
#[derive(Debug, Clone)]
pub(crate) struct Options {
    /// As what the program was called: `sendmail`, `mailq` or `newaliases`.
    pub(crate) name: String,
    pub(crate) mode: Mode,
    /// `--json`, for the listing of the queue.
    pub(crate) json: bool,
    /// Recipients.
    pub(crate) operands: Vec<OsString>,
    /// `-f`, as given.
    pub(crate) sender: Option<BString>,
    /// `-F`.
    pub(crate) full_name: Option<BString>,
    /// `-B`: `7bit` or `8bit`.
    pub(crate) encoding: Option<&'static str>,
    /// `-N`, 0 when not given.
    pub(crate) notify: u32,
    /// `-R`, 0 when not given.
    pub(crate) ret: u32,
    /// `-V`.
    pub(crate) envelope_id: Option<BString>,
    /// `-XV`: the delimiters, empty for the default ones.
    pub(crate) verp: Option<String>,
    /// `-t`.
    pub(crate) extract_recipients: bool,
    /// `-bv`.
    pub(crate) verify: bool,
    /// `-G`: mail from elsewhere is not qualified here.
    pub(crate) gateway: bool,
    /// A line with a dot alone ends the message.
    pub(crate) dot_ends: bool,
    /// `-v` count.
    pub(crate) verbose: u32,
    /// `-oA`: the alias table to rebuild.
    pub(crate) alias_table: Option<String>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            name: String::new(),
            json: false,
            mode: Mode::Submit,
            operands: Vec::new(),
            sender: None,
            full_name: None,
            encoding: None,
            notify: 0,
            ret: 0,
            envelope_id: None,
            verp: None,
            extract_recipients: false,
            verify: false,
            gateway: false,
            dot_ends: true,
            verbose: 0,
            alias_table: None,
        }
    }
}

/// The configuration directory that -C names.
pub(crate) fn directory(args: impl Iterator<Item = OsString>) -> Option<PathBuf> {
    let found = Getopt::new(LETTERS, args).filter_map(|option| match option {
        Opt::Value('C', value) => Some(config_directory(&BString::from(value.into_vec()))),
        _ => None,
    });
    found.last()
}

impl Options {
    /// Reads the arguments of a program that was started as `name`.
    pub(crate) fn read(name: &str, args: impl Iterator<Item = OsString>) -> Self {
        let mut options = Self {
            name: name.to_owned(),
            ..Self::default()
        };
        match name {
            "mailq" => options.mode = Mode::Queue,
            "newaliases" => options.mode = Mode::Aliases,
            _ => {}
        }
        let mut args: Vec<OsString> = args.map(|arg| options.preprocess(arg)).collect();
        replace_old_verp(&mut args);
        let mut reader = Getopt::new(LETTERS, args);
        options.json = reader.take_long("--json");
        for option in &mut reader {
            options.accept(option);
        }
        options.operands = reader.operands();
        if options.json && options.mode != Mode::Queue {
            fatal(format_args!("--json can be used only to display the queue"));
        }
        if options.extract_recipients && options.verify {
            fatal(format_args!("-t option cannot be used with -bv"));
        }
        // One -v asks for a report, as -bv does; more of them are about the log.
        let verbose = options.verbose + u32::from(std::env::var_os("MAIL_VERBOSE").is_some());
        if options.verify && verbose == 1 {
            fatal(format_args!("-v option cannot be used with -bv"));
        }
        if options.notify != 0 && options.verify {
            fatal(format_args!("-N option cannot be used with -bv"));
        }
        if options.extract_recipients && options.mode != Mode::Submit {
            fatal(format_args!("-t can be used only in delivery mode"));
        }
        if options.verify && options.mode != Mode::Submit {
            fatal(format_args!("-bv can be used only in delivery mode"));
        }
        options
    }

    /// Options whose value is optional, which getopt(3) does not know: `-q`, `-qtime`, `-Vxx`.
    fn preprocess(&mut self, arg: OsString) -> OsString {
        let text = arg.to_string_lossy().into_owned();
        if text == "-q" {
            return FLUSH.into();
        }
        if let Some(delimiters) = text.strip_prefix("-V")
            && delimiters.len() == 2
        {
            log::warn!(
                "option -V{delimiters} is deprecated with Postfix 2.3; specify -XV{delimiters} instead"
            );
            return format!("-XV{delimiters}").into();
        }
        arg
    }

    fn accept(&mut self, option: Opt) {
        if let Some(text) = option.complaint(&self.name) {
            postern_command::complain!("{text}");
            fatal(format_args!("usage: {} [options]", self.name));
        }
        match option {
            Opt::Flag('n') => fatal(format_args!("-n option not supported")),
            Opt::Flag('i') => self.dot_ends = false,
            Opt::Flag('t') => self.extract_recipients = true,
            Opt::Flag('v') => self.verbose += 1,
            Opt::Flag('G') => self.gateway = true,
            Opt::Flag('I') => self.mode = Mode::Aliases,
            Opt::Value(letter, value) => self.accept_value(letter, BString::from(value.into_vec())),
            _ => {}
        }
    }

    fn accept_value(&mut self, letter: char, value: BString) {
        match letter {
            'B' => self.encoding = Some(body_type(&value)),
            'F' => self.full_name = Some(value),
            'N' => self.notify = notify(&value).unwrap_or(self.notify),
            'R' => match dsn::parse_ret(value.as_bstr()) {
                Some(ret) => self.ret = ret,
                None => log::warn!("bad -R option value -- ignored"),
            },
            'V' if is_printable(&value) => self.envelope_id = Some(value),
            'V' => log::warn!("bad syntax in -V option value -- ignored"),
            'X' => self.accept_extension(&value),
            'b' => self.accept_mode(&value),
            'f' | 'r' => self.sender = Some(value),
            'o' => self.accept_set_option(&value),
            'q' => self.mode = flush_mode(&value),
            _ => {}
        }
    }

    fn accept_extension(&mut self, value: &BString) {
        match value.strip_prefix(b"V") {
            Some(delimiters) => {
                let text = delimiters.to_str_lossy().into_owned();
                if !text.is_empty()
                    && (text.len() != 2 || !text.bytes().all(|byte| b"-=+".contains(&byte)))
                {
                    fatal(format_args!("-V requires two characters from -=+"));
                }
                self.verp = Some(text);
            }
            None => fatal(format_args!("unsupported: -X{}", first(value))),
        }
    }

    fn accept_mode(&mut self, value: &BString) {
        match value.first() {
            Some(b'd' | b'l') => self.mode = Mode::Daemon,
            Some(b'h' | b'H') => {
                // The host status cache does not exist here.
                std::process::exit(0);
            }
            Some(b'i') => self.mode = Mode::Aliases,
            Some(b'm') => self.mode = Mode::Submit,
            Some(b'p') => self.mode = Mode::Queue,
            Some(b's') => self.mode = Mode::Serve,
            Some(b'v') => self.verify = true,
            _ => fatal(format_args!("unsupported: -b{}", first(value))),
        }
    }

    fn accept_set_option(&mut self, value: &BString) {
        match value.as_slice() {
            [b'A', table @ ..] if !table.is_empty() => {
                self.alias_table = Some(table.to_str_lossy().into_owned())
            }
            [b'A'] => fatal(format_args!("-oA requires pathname")),
            [b'7' | b'8', ..] => {}
            [b'i', ..] => self.dot_ends = false,
            _ => {}
        }
    }
}

/// `-V` was once what `-XV` is now. It still is when two characters follow: these are not an envelope
/// ID then but the next argument.
fn replace_old_verp(args: &mut [OsString]) {
    for at in 0..args.len() {
        let is_old = args.get(at + 1).is_some_and(|next| next.len() == 2);
        if let Some(arg) = args.get_mut(at)
            && is_old
            && arg == "-V"
        {
            log::warn!("option -V is deprecated with Postfix 2.3; specify -XV instead");
            *arg = "-XV".into();
        }
    }
}

fn first(value: &BString) -> String {
    value.chars().next().map(String::from).unwrap_or_default()
}

fn body_type(value: &BString) -> &'static str {
    if value == "8BITMIME" {
        "8bit"
    } else if value == "7BIT" {
        "7bit"
    } else {
        fatal(format_args!("-B option needs 8BITMIME or 7BIT"))
    }
}

/// A directory, or the path of a main.cf in it.
fn config_directory(value: &BString) -> PathBuf {
    let text = value.to_str_lossy().into_owned();
    let path = PathBuf::from(
        text.strip_suffix("/main.cf")
            .map(str::to_owned)
            .unwrap_or(text),
    );
    // The commands that this one becomes start elsewhere.
    std::path::absolute(&path).unwrap_or(path)
}

fn notify(value: &BString) -> Option<u32> {
    match dsn::parse_notify(value.as_bstr()) {
        Ok(mask) => return Some(mask),
        // All words are known, but not together.
        Err(word) if word.is_empty() => {}
        Err(word) => log::warn!("unknown DSN NOTIFY command value \"{word}\" in \"{value}\""),
    }
    log::warn!("bad -N option value -- ignored");
    None
}

fn is_printable(value: &BString) -> bool {
    !value.is_empty() && value.iter().all(|byte| (32..127).contains(byte))
}

fn flush_mode(value: &BString) -> Mode {
    let text = value.to_str_lossy().into_owned();
    match value.first() {
        Some(1) => Mode::Flush,
        // The time between queue runs is a setting of the mail system.
        Some(b'0'..=b'9') => std::process::exit(0),
        Some(b'I') if text.len() > 1 => Mode::FlushMessage(text[1..].to_owned()),
        Some(b'I') => fatal(format_args!("specify: -qIqueueid")),
        Some(b'R') if text.len() > 1 => Mode::FlushSite(text[1..].to_owned()),
        Some(b'R') => fatal(format_args!("specify: -qRsitename")),
        Some(byte) => fatal(format_args!("-q{} is not implemented", char::from(*byte))),
        None => fatal(format_args!("-q is not implemented")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(args: &[&str]) -> Options {
        Options::read("sendmail", args.iter().map(OsString::from))
    }

    #[test]
    fn delivery_options_are_understood() {
        let options = read(&[
            "-f",
            "a@b",
            "-FFull Name",
            "-oi",
            "-oem",
            "-N",
            "success,failure",
            "-R",
            "hdrs",
            "-V",
            "env",
            "bob",
        ]);
        assert_eq!(options.mode, Mode::Submit);
        assert_eq!(options.sender, Some(BString::from("a@b")));
        assert_eq!(options.full_name, Some(BString::from("Full Name")));
        assert!(!options.dot_ends);
        assert_eq!((options.notify, options.ret), (6, 2));
        assert_eq!(options.envelope_id, Some(BString::from("env")));
        assert_eq!(options.operands, ["bob"]);
    }

    #[test]
    fn envelope_id_of_two_characters_makes_the_old_verp_option() {
        let options = read(&["-V", "-f", "list", "u@x"]);
        assert_eq!(
            (options.verp, options.sender),
            (Some(String::new()), Some(BString::from("list")))
        );
        assert_eq!(read(&["-V", "id", "u@x"]).operands, ["id", "u@x"]);
        assert_eq!(read(&["-V-=", "u@x"]).verp, Some("-=".to_owned()));
        for id in ["a", "-fab"] {
            let options = read(&["-V", id, "u@x"]);
            assert_eq!(
                (options.verp, options.envelope_id),
                (None, Some(BString::from(id)))
            );
        }
    }

    #[test]
    fn modes_follow_name_and_options() {
        assert_eq!(Options::read("mailq", std::iter::empty()).mode, Mode::Queue);
        assert_eq!(
            Options::read("newaliases", std::iter::empty()).mode,
            Mode::Aliases
        );
        for (args, mode) in [
            (&["-bp"][..], Mode::Queue),
            (&["-q"], Mode::Flush),
            (
                &["-qRsite.example"],
                Mode::FlushSite("site.example".to_owned()),
            ),
            (&["-qIABC"], Mode::FlushMessage("ABC".to_owned())),
            (&["-bs"], Mode::Serve),
            (&["-bm"], Mode::Submit),
        ] {
            assert_eq!(read(args).mode, mode, "{args:?}");
        }
    }
}
