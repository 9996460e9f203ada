//! The command attributes in master.cf: `flags=… user=… argv=…`.

use std::path::PathBuf;

use bstr::{BStr, BString, ByteSlice};
use postern_mail::printable::unescape;
use postern_program::{NoRights, rights};

/// What the attributes of a service say.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Attributes {
    /// User and group of the command.
    pub(crate) rights: (u32, u32),
    /// The command, with its macros.
    pub(crate) argv: Vec<BString>,
    pub(crate) root: Option<PathBuf>,
    pub(crate) directory: Option<PathBuf>,
    pub(crate) flags: Flags,
    /// What ends a line, when it is not a line feed.
    pub(crate) line_end: Option<BString>,
    /// What stands for the null sender.
    pub(crate) null_sender: BString,
    /// Content size in bytes beyond which a message bounces; 0 is no limit.
    pub(crate) size_limit: u64,
}

/// `flags=`, in the order of pipe(8).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[allow(clippy::struct_excessive_bools, reason = "one switch per letter")]
pub(crate) struct Flags {
    /// `B`.
    pub(crate) blank_line: bool,
    /// `D`.
    pub(crate) delivered_to: bool,
    /// `F`.
    pub(crate) from_line: bool,
    /// `O`.
    pub(crate) original_to: bool,
    /// `R`.
    pub(crate) return_path: bool,
    /// `X`.
    pub(crate) final_delivery: bool,
    /// `h`.
    pub(crate) fold_domain: bool,
    /// `q`.
    pub(crate) quote: bool,
    /// `u`.
    pub(crate) fold_local: bool,
    /// `.`.
    pub(crate) stuff_dots: bool,
    /// `>`.
    pub(crate) quote_from: bool,
}

/// Accounts whose rights no command gets.
#[derive(Debug, Clone)]
pub(crate) struct Protected {
    /// `mail_owner` by name.
    pub(crate) owner: String,
    pub(crate) owner_uid: u32,
    pub(crate) owner_gid: u32,
    /// `setgid_group` by name and number.
    pub(crate) setgid: Option<(String, u32)>,
}

impl Attributes {
    /// Reads the attributes. The error is the text after `fatal: `.
    pub(crate) fn parse(arguments: &[BString]) -> Result<Self, String> {
        let mut found = Self {
            null_sender: "MAILER-DAEMON".into(),
            ..Self::default()
        };
        let mut user = None;
        let mut arguments = arguments.iter();
        while let Some(argument) = arguments.next() {
            let unknown = || format!("unknown attribute name: {argument}");
            let (name, value) = argument.split_once_str("=").ok_or_else(unknown)?;
            match name.to_ascii_lowercase().as_slice() {
                b"flags" => found.flags.add(value)?,
                b"user" => user = Some(rights(value.as_bstr()).map_err(no_rights)?),
                b"chroot" => found.root = Some(path(value)),
                b"directory" => found.directory = Some(path(value)),
                b"eol" => found.line_end = Some(line_end(BStr::new(value))),
                b"null_sender" => found.null_sender = value.into(),
                b"size" => found.size_limit = size(value.as_bstr())?,
                b"argv" => {
                    found.argv.push(value.into());
                    found.argv.extend(arguments.by_ref().cloned());
                }
                _ => return Err(unknown()),
            }
        }
        found.rights = user.ok_or("missing user= command-line attribute")?;
        if found.argv.is_empty() {
            return Err("missing argv= command-line attribute".to_owned());
        }
        Ok(found)
    }

    /// Refuses rights that a command must not have. The error is the text after `fatal: `.
    pub(crate) fn check(&self, protected: &Protected) -> Result<(), String> {
        let (uid, gid) = self.rights;
        let owner = &protected.owner;
        let refuse = |what: String| Err(format!("user= command-line attribute specifies {what}"));
        if uid == 0 {
            return refuse("root privileges".to_owned());
        }
        if uid == protected.owner_uid {
            return refuse(format!("mail system owner {owner}"));
        }
        if gid == 0 {
            return refuse("privileged group id 0".to_owned());
        }
        if gid == protected.owner_gid {
            return refuse(format!("mail system owner {owner} group id {gid}"));
        }
        match &protected.setgid {
            Some((group, setgid)) if *setgid == gid => {
                refuse(format!("mail system {group} group id {gid}"))
            }
            _ => Ok(()),
        }
    }
}

impl Flags {
    fn add(&mut self, letters: &[u8]) -> Result<(), String> {
        for letter in letters {
            let flag = match letter {
                b'B' => &mut self.blank_line,
                b'D' => &mut self.delivered_to,
                b'F' => &mut self.from_line,
                b'O' => &mut self.original_to,
                b'R' => &mut self.return_path,
                b'X' => &mut self.final_delivery,
                b'h' => &mut self.fold_domain,
                b'q' => &mut self.quote,
                b'u' => &mut self.fold_local,
                b'.' => &mut self.stuff_dots,
                b'>' => &mut self.quote_from,
                _ => return Err(format!("unknown flag: {} (ignored)", [*letter].as_bstr())),
            };
            *flag = true;
        }
        Ok(())
    }
}

fn no_rights(error: NoRights) -> String {
    let text = match error {
        NoRights::User(name) => format!("unknown username: {name}"),
        NoRights::Group(name) => format!("unknown group: {name}"),
        NoRights::Database(text) => text,
    };
    format!("get_service_attr: {text}")
}

fn path(value: &[u8]) -> PathBuf {
    use std::os::unix::ffi::OsStrExt;
    PathBuf::from(std::ffi::OsStr::from_bytes(value))
}

/// Digits only; nothing is 0.
fn size(value: &BStr) -> Result<u64, String> {
    let bad = || format!("get_service_attr: bad size= value: {value}");
    if value.is_empty() {
        return Ok(0);
    }
    if !value.iter().all(u8::is_ascii_digit) {
        return Err(bad());
    }
    let number: i64 = value.to_str_lossy().parse().map_err(|_| bad())?;
    u64::try_from(number).map_err(|_| bad())
}

/// The backslash escapes of C strings, up to the first NUL.
fn line_end(value: &BStr) -> BString {
    let mut out = unescape(value);
    let end = out.find_byte(0).unwrap_or(out.len());
    out.truncate(end);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(words: &[&str]) -> Result<Attributes, String> {
        let words: Vec<BString> = words.iter().map(|word| BString::from(*word)).collect();
        Attributes::parse(&words)
    }

    #[test]
    fn attributes_are_read_in_any_order_and_case() {
        let found = parse(&[
            "FLAGS=DR",
            "flags=h",
            "size=12",
            "User=root",
            "null_sender=",
            "eol=\\r\\n",
            "chroot=/jail",
            "directory=/x",
            "argv=/bin/x",
            "user=y",
            "${sender}",
        ])
        .expect("good attributes");
        assert_eq!(found.argv, ["/bin/x", "user=y", "${sender}"]);
        assert_eq!(found.rights, (0, 0));
        assert_eq!(
            (found.size_limit, found.null_sender.as_bstr()),
            (12, "".into())
        );
        assert_eq!(found.line_end, Some("\r\n".into()));
        assert_eq!(found.root, Some("/jail".into()));
        assert_eq!(found.directory, Some("/x".into()));
        let flags = Flags {
            delivered_to: true,
            return_path: true,
            fold_domain: true,
            ..Flags::default()
        };
        assert_eq!(found.flags, flags);
    }

    #[test]
    fn mistakes_have_the_known_texts() {
        for (words, want) in [
            (&["argv=x"][..], "missing user= command-line attribute"),
            (&["user=root"], "missing argv= command-line attribute"),
            (
                &["user=root", "nonsense"],
                "unknown attribute name: nonsense",
            ),
            (&["flags = R"], "unknown attribute name: flags = R"),
            (
                &["user=no-such-user"],
                "get_service_attr: unknown username: no-such-user",
            ),
            (
                &["user=root:no-such"],
                "get_service_attr: unknown group: no-such",
            ),
            (&["flags=RZ"], "unknown flag: Z (ignored)"),
            (&["size=1k"], "get_service_attr: bad size= value: 1k"),
            (&["size=-1"], "get_service_attr: bad size= value: -1"),
            (&["size=+5"], "get_service_attr: bad size= value: +5"),
            (
                &["size=99999999999999999999"],
                "get_service_attr: bad size= value: 99999999999999999999",
            ),
        ] {
            assert_eq!(parse(words), Err(want.to_owned()));
        }
        assert_eq!(
            parse(&["size=", "user=root", "argv="]).map(|found| found.size_limit),
            Ok(0)
        );
    }

    #[test]
    fn rights_of_the_system_are_refused() {
        let protected = Protected {
            owner: "postfix".to_owned(),
            owner_uid: 101,
            owner_gid: 102,
            setgid: Some(("postdrop".to_owned(), 103)),
        };
        for (rights, want) in [
            ((0, 0), "root privileges"),
            ((101, 5), "mail system owner postfix"),
            ((5, 0), "privileged group id 0"),
            ((5, 102), "mail system owner postfix group id 102"),
            ((5, 103), "mail system postdrop group id 103"),
        ] {
            let attributes = Attributes {
                rights,
                ..Attributes::default()
            };
            let want = format!("user= command-line attribute specifies {want}");
            assert_eq!(attributes.check(&protected), Err(want));
        }
        let harmless = Attributes {
            rights: (5, 5),
            ..Attributes::default()
        };
        assert_eq!(harmless.check(&protected), Ok(()));
    }

    #[test]
    fn line_ends_are_written_as_in_c() {
        for (text, want) in [
            ("\\r\\n", &b"\r\n"[..]),
            ("\\015\\012", b"\r\n"),
            ("\\a\\b\\f\\t\\v\\0x", b"\x07\x08\x0c\t\x0b"),
            ("\\q\\\\\\1234\\x41", b"q\\S4x41"),
            ("\\", b""),
            ("\\777", b"\xff"),
            ("x", b"x"),
        ] {
            assert_eq!(line_end(BStr::new(text)), want, "{text}");
        }
    }
}
