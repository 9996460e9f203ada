//! Which envelope senders a local user may use: `local_login_sender_maps`.

use bstr::{BStr, BString, ByteSlice};
use postern_config::words::is_separator;
use postern_config::{Config, params};
use postern_dict::{Flags, Maps};
use postern_ipc::cleanup::status;
use postern_mail::address::{split, strip_extension, unquote};

use crate::login_name;

/// The value that allows everything, without any table.
const ANYTHING: &str = "static:*";

/// What a user may do.
pub(crate) struct Policy {
    maps: Maps,
    login: BString,
    /// What stands for the empty sender.
    empty: BString,
    delimiters: BString,
}

/// A sender is refused, or nobody can tell.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Refusal {
    /// Bits of [`status`].
    pub(crate) status: i32,
    /// For the caller.
    pub(crate) reason: BString,
}

impl Policy {
    /// The policy for the user `uid`; `None` when everybody may use every sender.
    pub(crate) fn new(config: &Config, uid: u32) -> Option<Self> {
        let param = params::LOCAL_LOGIN_SENDER_MAPS;
        let value = config.get(param);
        if value == ANYTHING {
            return None;
        }
        let login = login_name(uid).unwrap_or_else(|| format!("uid:{uid}"));
        let empty = config.get(params::EMPTY_ADDRESS_LOCAL_LOGIN_SENDER_MAPS_LOOKUP_KEY);
        Some(Self {
            maps: Maps::open_small(config, param.info.name, &value, Flags::ADDRESS),
            login: login.into(),
            empty: empty.into(),
            delimiters: config.get(params::RECIPIENT_DELIMITER).into(),
        })
    }

    /// Whether the user may use `sender`.
    pub(crate) fn check(&mut self, sender: &BStr) -> Result<(), Refusal> {
        let patterns = self
            .maps
            .find(self.login.as_bstr(), false)
            .map_err(|error| {
                let table = error.table;
                Refusal {
                    status: status::WRITE,
                    reason: format!("local_login_sender_maps table lookup error for '{table}'")
                        .into(),
                }
            })?;
        let patterns = patterns.unwrap_or_default().to_str_lossy().into_owned();
        if self.allows(&patterns, sender) {
            return Ok(());
        }
        let reason = [&b"not authorized to use sender='"[..], sender, b"'"].concat();
        Err(Refusal {
            status: status::NOPERM,
            reason: reason.into(),
        })
    }

    fn allows(&self, patterns: &str, sender: &BStr) -> bool {
        let is_empty = sender.is_empty();
        let stripped = strip_extension(sender, &self.delimiters, true);
        let bare = stripped.map_or_else(|| sender.to_owned(), |(bare, _)| bare);
        let (_, domain) = split(bare.as_bstr());
        words(patterns).any(|pattern| {
            let pattern = &unquote(BStr::new(pattern));
            match pattern.strip_prefix(b"@") {
                _ if pattern == "*" => true,
                _ if is_empty => pattern.eq_ignore_ascii_case(&self.empty),
                Some(wanted) => domain.is_some_and(|domain| domain.eq_ignore_ascii_case(wanted)),
                None => pattern.eq_ignore_ascii_case(&bare),
            }
        })
    }
}

/// Splits at comma and white space outside of double quotes.
fn words(text: &str) -> impl Iterator<Item = &str> {
    let (mut quoted, mut escaped) = (false, false);
    let ends = move |character: char| {
        match character {
            _ if escaped => {
                escaped = false;
                return false;
            }
            '\\' => escaped = true,
            '"' => quoted = !quoted,
            _ => {}
        }
        !quoted && is_separator(character)
    };
    text.split(ends).filter(|word| !word.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;
    use postern_sys::user;

    fn policy(patterns: &str) -> Policy {
        let uid = user::uid();
        let login = login_name(uid).unwrap_or_else(|| format!("uid:{uid}"));
        let text = format!(
            "local_login_sender_maps = inline:{{{{{login} = {patterns}}}}}\n\
             recipient_delimiter = +\n"
        );
        Policy::new(&Config::from_text(&text).unwrap(), user::uid()).unwrap()
    }

    #[test]
    fn a_sender_is_compared_without_extension_and_case() {
        #[rustfmt::skip]
        let cases = [
            // patterns,             sender,           allowed
            ("a@b.test,@d.test <>", "a@b.test",       true),
            ("a@b.test,@d.test <>", "A@B.TEST",       true),
            ("a@b.test,@d.test <>", "a+ext@b.test",   true),
            ("a@b.test,@d.test <>", "c@b.test",       false),
            ("a@b.test,@d.test <>", "z@D.test",       true),
            ("a@b.test,@d.test <>", "z@sub.d.test",   false),
            ("a@b.test,@d.test <>", "",               true),
            ("a@b.test,@d.test <>", "a",              false),
            ("a@b.test",            "",               false),
            ("*",                   "any@where.test", true),
            ("*",                   "",               true),
            ("*x",                  "yx",             false),
            ("*x",                  "*x",             true),
            ("me",                  "me",             true),
            ("me",                  "me@b.test",      false),
            ("me@b.test",           "me",             false),
            ("\"a b\"@c.test *x",   "a b@c.test",     true),
            ("\"a b\"@c.test *x",   "*x",             true),
            ("\"a b\"@c.test",      "b\"@c.test",     false),
        ];
        for (patterns, sender, allowed) in cases {
            let got = policy(patterns).check(BStr::new(sender));
            assert_eq!(got.is_ok(), allowed, "{patterns}: {sender}");
            if let Err(refusal) = got {
                assert_eq!(refusal.status, status::NOPERM);
                assert_eq!(
                    refusal.reason,
                    format!("not authorized to use sender='{sender}'")
                );
            }
        }
    }

    #[test]
    fn without_answer_nobody_is_allowed() {
        let open = |value: &str| {
            let text = format!("local_login_sender_maps = {value}\n");
            Policy::new(&Config::from_text(&text).unwrap(), user::uid())
        };
        assert!(open("static:*").is_none());
        let sender = BStr::new("a@b.test");
        let refusal = open("fail:x").unwrap().check(sender).unwrap_err();
        assert_eq!(refusal.status, status::WRITE);
        assert_eq!(
            refusal.reason,
            "local_login_sender_maps table lookup error for 'fail:x'"
        );
        let refusal = open("").unwrap().check(sender).unwrap_err();
        assert_eq!(refusal.status, status::NOPERM);
    }
}
