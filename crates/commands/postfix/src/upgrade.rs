//! `postfix upgrade-configuration`: adds and mends what an older master.cf or main.cf lacks.

use std::collections::BTreeMap;
use std::fs;

use postern_config::edit::{self, Change};
use postern_config::master_cf::{self, Entry};

use crate::program::{Failure, Program};

/// A service that an installation needs.
struct Service {
    name: &'static str,
    kind: &'static str,
    /// How the message calls it.
    shown: &'static str,
    /// The line. With `#`, an offer that a line with `#` satisfies, too.
    line: &'static str,
}

/// Services in the order in which they are added. The relay, trace, verify, proxymap, anvil, scache and
/// discard lines have tabs: tools compare them.
const SERVICES: &[Service] = &[
    Service {
        name: "relay",
        kind: "unix",
        shown: "relay service",
        line: "relay\t  unix\t-\t-\tn\t-\t-\tsmtp",
    },
    Service {
        name: "flush",
        kind: "unix",
        shown: "flush service",
        line: "flush     unix  n       -       n       1000?   0       flush",
    },
    Service {
        name: "trace",
        kind: "unix",
        shown: "trace service",
        line: "trace\t  unix\t-\t-\tn\t-\t0\tbounce",
    },
    Service {
        name: "verify",
        kind: "unix",
        shown: "verify service",
        line: "verify\t  unix\t-\t-\tn\t-\t1\tverify",
    },
    Service {
        name: "proxymap",
        kind: "unix",
        shown: "proxymap service",
        line: "proxymap  unix\t-\t-\tn\t-\t-\tproxymap",
    },
    Service {
        name: "anvil",
        kind: "unix",
        shown: "anvil service",
        line: "anvil\t  unix\t-\t-\tn\t-\t1\tanvil",
    },
    Service {
        name: "scache",
        kind: "unix",
        shown: "scache service",
        line: "scache\t  unix\t-\t-\tn\t-\t1\tscache",
    },
    Service {
        name: "discard",
        kind: "unix",
        shown: "discard service",
        line: "discard\t  unix\t-\t-\tn\t-\t-\tdiscard",
    },
    Service {
        name: "tlsmgr",
        kind: "unix",
        shown: "tlsmgr service",
        line: "tlsmgr    unix  -       -       n       1000?   1       tlsmgr",
    },
    Service {
        name: "retry",
        kind: "unix",
        shown: "retry service",
        line: "retry     unix  -       -       n       -       -       error",
    },
    Service {
        name: "proxywrite",
        kind: "unix",
        shown: "proxywrite service",
        line: "proxywrite unix -       -       n       -       1       proxymap",
    },
    Service {
        name: "smtp",
        kind: "inet",
        shown: "postscreen TCP service",
        line: "#smtp      inet  n       -       n       -       1       postscreen",
    },
    Service {
        name: "smtpd",
        kind: "pass",
        shown: "smtpd unix-domain service",
        line: "#smtpd     pass  -       -       n       -       -       smtpd",
    },
    Service {
        name: "dnsblog",
        kind: "unix",
        shown: "dnsblog unix-domain service",
        line: "#dnsblog   unix  -       -       n       -       0       dnsblog",
    },
    Service {
        name: "tlsproxy",
        kind: "unix",
        shown: "tlsproxy unix-domain service",
        line: "#tlsproxy  unix  -       -       n       -       0       tlsproxy",
    },
    Service {
        name: "postlog",
        kind: "unix-dgram",
        shown: "postlog unix-domain datagram service",
        line: "postlog   unix-dgram n  -       n       -       1       postlogd",
    },
];

/// Columns of a master.cf entry.
const KIND: usize = 1;
const PRIVATE: usize = 2;
const WAKEUP: usize = 5;
const LIMIT: usize = 6;

/// New words for columns of an entry.
type Columns = Vec<(usize, String)>;

/// A setting of an old release that is wrong by now.
struct Mend {
    /// The service of [`SERVICES`] before which this is looked at; it decides the order of messages.
    before: &'static str,
    name: &'static str,
    kind: &'static str,
    message: &'static str,
    change: fn(&[String]) -> Option<Columns>,
}

const MENDS: &[Mend] = &[
    Mend {
        before: "proxymap",
        name: "cleanup",
        kind: "unix",
        message: "making the cleanup service public",
        change: make_public,
    },
    Mend {
        before: "proxymap",
        name: "flush",
        kind: "unix",
        message: "making the flush service public",
        change: make_public,
    },
    Mend {
        before: "tlsmgr",
        name: "tlsmgr",
        kind: "fifo",
        message: "updating the tlsmgr from fifo to unix service",
        change: |fields| {
            let wakeup = fields.get(WAKEUP)?.trim_end_matches('?');
            Some(vec![
                (KIND, "unix".to_owned()),
                (WAKEUP, format!("{wakeup}?")),
            ])
        },
    },
    Mend {
        before: "proxywrite",
        name: "proxywrite",
        kind: "unix",
        message: "setting proxywrite process limit to 1",
        change: |fields| {
            let is_default = fields.get(LIMIT)? == "-";
            is_default.then(|| vec![(LIMIT, "1".to_owned())])
        },
    },
];

fn make_public(fields: &[String]) -> Option<Columns> {
    let is_default = fields.get(PRIVATE)? == "-";
    is_default.then(|| vec![(PRIVATE, "n".to_owned())])
}

impl Program {
    /// Adds the services that master.cf lacks, and mends old settings in both files.
    pub(crate) fn upgrade_configuration(&self) -> Result<(), Failure> {
        let path = self.config.directory().join("master.cf");
        let shown = path.display().to_string();
        let old = match fs::read(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                fs::write(&path, "").map_err(|error| {
                    Failure::new(format!("{shown}: {}", postern_sys::error_text(&error)))
                })?;
                Vec::new()
            }
            Err(error) => {
                return Err(Failure::new(format!(
                    "{shown}: {}",
                    postern_sys::error_text(&error)
                )));
            }
        };
        let (_, messages) = upgrade(&shown, &old);
        if !messages.is_empty() {
            // The file is looked at again under the lock: another editor may have been faster.
            edit::replace(&path, |old| Ok(upgrade(&shown, old).0))
                .map_err(|error| self.complain(&error))?;
            for message in &messages {
                postern_command::tell(format_args!("Editing {shown}, {message}"));
            }
        }
        self.keep_ipv4_only()
    }

    /// Old installations had no IPv6; their administrator is to turn it on knowingly.
    fn keep_ipv4_only(&self) -> Result<(), Failure> {
        if self.config.is_set("inet_protocols") {
            return Ok(());
        }
        let path = self.config.directory().join("main.cf");
        let shown = path.display().to_string();
        postern_command::tell(format_args!(
            "    COMPATIBILITY: editing {shown}, setting\n    \
             inet_protocols=ipv4.  Specify inet_protocols explicitly if you want\n    \
             to enable IPv6.  In a future release IPv6 will be enabled by default."
        ));
        let change =
            BTreeMap::from([("inet_protocols".to_owned(), Change::Set("ipv4".to_owned()))]);
        edit::replace(&path, |old| Ok(edit::main_cf(&shown, old, &change).0))
            .map_err(|error| self.complain(&error))
    }
}

/// The new text of master.cf, and what was changed.
fn upgrade(shown: &str, old: &[u8]) -> (Vec<u8>, Vec<String>) {
    let mut text = old.to_vec();
    let mut messages = Vec::new();
    for service in SERVICES {
        for mend in MENDS.iter().filter(|mend| mend.before == service.name) {
            let found = master_cf::entries(shown, &text, drop)
                .into_iter()
                .find(|entry| is(entry, mend.name, mend.kind));
            let Some(columns) = found
                .as_ref()
                .and_then(|entry| (mend.change)(&entry.fields))
            else {
                continue;
            };
            text = replace_columns(&text, found.map_or(0, |entry| entry.line), &columns);
            messages.push(mend.message.to_owned());
        }
        if is_present(shown, &text, service) {
            continue;
        }
        if text.last().is_some_and(|byte| *byte != b'\n') {
            text.push(b'\n');
        }
        text.extend_from_slice(service.line.as_bytes());
        text.push(b'\n');
        messages.push(format!("adding missing entry for {}", service.shown));
    }
    (text, messages)
}

fn is(entry: &Entry, name: &str, kind: &str) -> bool {
    entry.fields.first().is_some_and(|field| field == name)
        && entry.fields.get(KIND).is_some_and(|field| field == kind)
}

fn is_present(shown: &str, text: &[u8], service: &Service) -> bool {
    let is_offer = service.line.starts_with('#');
    let program = service
        .line
        .split_ascii_whitespace()
        .last()
        .unwrap_or_default();
    let matches = |fields: &[&str]| {
        fields.first() == Some(&service.name)
            && fields.get(KIND) == Some(&service.kind)
            && (!is_offer || service.name != "smtp" || fields.contains(&program))
    };
    if is_offer {
        return String::from_utf8_lossy(text).lines().any(|line| {
            let line = line.strip_prefix('#').unwrap_or(line);
            matches(&line.split_ascii_whitespace().collect::<Vec<_>>())
        });
    }
    master_cf::entries(shown, text, drop)
        .iter()
        .any(|entry| matches(&entry.fields.iter().map(String::as_str).collect::<Vec<_>>()))
}

/// Replaces whole words of a line, counted from 1, and keeps the blanks between them as they are.
fn replace_columns(text: &[u8], line: usize, columns: &Columns) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len() + 8);
    for (index, content) in text.split_inclusive(|byte| *byte == b'\n').enumerate() {
        if index + 1 != line {
            out.extend_from_slice(content);
            continue;
        }
        let mut column = 0;
        for word in content
            .chunk_by(|left, right| left.is_ascii_whitespace() == right.is_ascii_whitespace())
        {
            if word.first().is_some_and(u8::is_ascii_whitespace) {
                out.extend_from_slice(word);
                continue;
            }
            match columns.iter().find(|(wanted, _)| *wanted == column) {
                Some((_, new)) => out.extend_from_slice(new.as_bytes()),
                None => out.extend_from_slice(word),
            }
            column += 1;
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_complete_file_stays_as_it_is() {
        let (full, messages) = upgrade("F", b"");
        assert_eq!(messages.len(), SERVICES.len());
        let (again, messages) = upgrade("F", &full);
        assert_eq!((again, messages), (full, Vec::<String>::new()));
    }

    #[test]
    fn old_entries_are_mended_in_place() {
        let old = "cleanup unix - - n - - cleanup\n  -o a=b\n# x\ntlsmgr fifo -\t- n 300 1 tlsmgr\n\
                   flush unix n - y 1000 0 flush\nproxywrite unix - - n - - proxymap";
        let (new, messages) = upgrade("F", old.as_bytes());
        let new = String::from_utf8(new).unwrap();
        let want = "cleanup unix n - n - - cleanup\n  -o a=b\n# x\ntlsmgr unix -\t- n 300? 1 tlsmgr\n\
                    flush unix n - y 1000 0 flush\nproxywrite unix - - n - 1 proxymap\n";
        assert!(new.starts_with(want), "{new}");
        assert_eq!(
            messages
                .iter()
                .filter(|text| !text.starts_with("adding"))
                .collect::<Vec<_>>(),
            [
                "making the cleanup service public",
                "updating the tlsmgr from fifo to unix service",
                "setting proxywrite process limit to 1",
            ]
        );
        assert!(
            !messages
                .iter()
                .any(|text| text.contains("entry for tlsmgr"))
        );
    }

    #[test]
    fn offers_are_made_once() {
        let old = "smtp inet n - n - 1 postscreen\n#smtpd pass - - n - - smtpd\n";
        let (_, messages) = upgrade("F", old.as_bytes());
        let has = |what: &str| messages.iter().any(|text| text.contains(what));
        assert!(!has("postscreen") && !has("smtpd"));
        assert!(has("dnsblog") && has("tlsproxy"));
    }
}
