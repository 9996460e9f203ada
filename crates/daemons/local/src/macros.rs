//! `$name` in forward_path, luser_relay and command_execution_directory.
//!
//! Values are bytes of mail addresses, templates are configuration text; both are widened to one
//! character per byte for the expansion and narrowed afterwards, so that no byte is lost.

use std::cell::Cell;

use bstr::{BStr, BString};
use postern_config::expand::{Found, expand_strictly};

use crate::expand::path_bytes;
use crate::mail::Mail;
use crate::rights::Rights;

/// What the names stand for, and which characters of the values are kept.
pub(crate) struct Macros<'a> {
    pub(crate) mail: &'a Mail,
    /// The user; absent for unknown ones.
    pub(crate) rights: Option<&'a Rights>,
    /// `recipient_delimiter`.
    pub(crate) delimiters: &'a [u8],
    /// Other characters become `_`; `None` keeps all.
    pub(crate) filter: Option<&'a str>,
}

/// An expanded text.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Expanded {
    pub(crate) text: BString,
    /// A name without value was referred to.
    pub(crate) is_undefined: bool,
    /// `$extension` was referred to.
    pub(crate) has_extension: bool,
}

impl Macros<'_> {
    /// Expands `template`; a malformed one is logged.
    pub(crate) fn expand(&self, template: &str) -> Option<Expanded> {
        let has_extension = Cell::new(false);
        let lookup = |name: &str| {
            has_extension.set(has_extension.get() || name == "extension");
            self.value(name)
                .map(|value| Found::Verbatim(self.filtered(&value)))
        };
        match expand_strictly(&widen(template.as_bytes()), &lookup) {
            Ok((text, is_undefined)) => Some(Expanded {
                text: narrow(&text),
                is_undefined,
                has_extension: has_extension.get(),
            }),
            Err(error) => {
                for (_, line) in error.preceding() {
                    log::warn!("{line}");
                }
                None
            }
        }
    }

    fn value(&self, name: &str) -> Option<BString> {
        let parts = &self.mail.parts;
        let path = |path: &Option<std::path::PathBuf>| path.as_deref().map(path_bytes);
        match name {
            "user" => Some(parts.user.clone()),
            "home" => self.rights.and_then(|rights| path(&rights.home)),
            "shell" => self.rights.and_then(|rights| path(&rights.shell)),
            "domain" => parts.domain.clone(),
            "local" | "mailbox" => Some(parts.local.clone()),
            "recipient" => Some(self.mail.recipient.recipient.clone()),
            "extension" => parts.extension.clone(),
            "recipient_delimiter" => {
                let delimiter = parts.delimiter.or_else(|| self.delimiters.first().copied());
                delimiter.map(|byte| BString::from(vec![byte]))
            }
            _ => None,
        }
    }

    fn filtered(&self, value: &[u8]) -> String {
        match self.filter {
            Some(filter) => widen(&mask(value.into(), filter)),
            None => widen(value),
        }
    }
}

/// `value` with `_` for every character that `allowed` does not have.
pub(crate) fn mask(value: &BStr, allowed: &str) -> BString {
    let keep = |byte: u8| {
        if allowed.as_bytes().contains(&byte) {
            byte
        } else {
            b'_'
        }
    };
    value
        .iter()
        .map(|&byte| keep(byte))
        .collect::<Vec<u8>>()
        .into()
}

/// One character per byte.
fn widen(bytes: &[u8]) -> String {
    bytes.iter().map(|&byte| char::from(byte)).collect()
}

/// One byte per character; undoes [`widen`].
fn narrow(text: &str) -> BString {
    text.chars()
        .map(|character| u8::try_from(character).unwrap_or(b'?'))
        .collect::<Vec<u8>>()
        .into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mail::{Parts, Source};
    use postern_dict::search::Extensions;
    use postern_ipc::deliver::Recipient;

    fn mail(recipient: &[u8]) -> Mail {
        let extensions = Extensions {
            delimiters: "+".into(),
            owner_request_special: true,
        };
        Mail {
            recipient: Recipient {
                recipient: recipient.into(),
                ..Recipient::default()
            },
            sender: "".into(),
            envelope_id: "".into(),
            ret_flags: 0,
            delivered_to: "".into(),
            parts: Parts::of(recipient.into(), &extensions),
            owner: None,
            expanded_from: None,
            source: Source::Request,
            level: 0,
            unmatched: None,
        }
    }

    #[test]
    fn names_of_an_address_are_expanded_and_filtered() {
        let rights = Rights {
            uid: 1,
            gid: 1,
            home: Some("/home/bob".into()),
            shell: None,
        };
        let mail = mail(b"bob+a b@x.example");
        let macros = Macros {
            mail: &mail,
            rights: Some(&rights),
            delimiters: b"+",
            filter: Some("ab/ho+me"),
        };
        let cases: &[(&str, &str, bool, bool)] = &[
            (
                "$home/.f${recipient_delimiter}${extension}",
                "/home/bob/.f+a_b",
                false,
                true,
            ),
            ("$user.$domain", "bob.__e_am__e", false, false),
            ("$shell/x", "/x", true, false),
            ("${shell?x}${shell:y}", "y", false, false),
            ("${extension?x}", "x", false, true),
        ];
        for (template, text, is_undefined, has_extension) in cases {
            let want = Expanded {
                text: (*text).into(),
                is_undefined: *is_undefined,
                has_extension: *has_extension,
            };
            assert_eq!(macros.expand(template), Some(want), "{template}");
        }
        assert_eq!(macros.expand("${home"), None);
    }

    #[test]
    fn bytes_that_are_no_utf8_survive() {
        let mail = mail(b"b\xffb@x");
        let macros = Macros {
            mail: &mail,
            rights: None,
            delimiters: b"",
            filter: None,
        };
        assert_eq!(
            macros
                .expand("\u{e4}$recipient")
                .map(|expanded| expanded.text),
            Some(BString::from(&b"\xc3\xa4b\xffb@x"[..]))
        );
    }
}
