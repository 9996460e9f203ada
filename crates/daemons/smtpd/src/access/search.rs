//! Searches of access(5) tables: the keys that are tried for hosts, addresses and mail addresses.
//!
//! The first key that is found decides; parts of names and addresses are not shown to pattern tables.
//! Source: access(5) and tables.md §8.3.

use bstr::{BStr, BString};
use postern_dict::domain_keys;
use postern_dict::search::{Extensions, network_keys};
use postern_ipc::rewrite::resolve_flag;
use postern_mail::address;

use super::{Check, Subject, Verdict, class};
use crate::reply::ErrorClass;
use crate::session::Session;

impl Session<'_> {
    /// A host name and its parent domains.
    pub(super) fn check_host_access(
        &mut self,
        table: &str,
        name: &str,
        subject: &Subject,
    ) -> Check {
        self.find_host(table, name, subject)
            .unwrap_or(Ok(Verdict::Dunno))
    }

    /// As [`Session::check_host_access`]; `None` when no key is in the table.
    pub(super) fn find_host(
        &mut self,
        table: &str,
        name: &str,
        subject: &Subject,
    ) -> Option<Check> {
        log::debug!("check_domain_access: {}", self.masked(name.as_bytes()));
        let keys = host_keys(name, self.server.networks.access_parents);
        self.find_keys("check_domain_access", table, &keys, subject)
    }

    /// An address and its networks; `None` when no key is in the table.
    pub(super) fn find_address(
        &mut self,
        table: &str,
        address: &str,
        subject: &Subject,
    ) -> Option<Check> {
        log::debug!("check_addr_access: {address}");
        self.find_keys("check_addr_access", table, &address_keys(address), subject)
    }

    /// A sender or recipient, in the form that address resolution gives it.
    pub(super) fn check_address_access(
        &mut self,
        table: &str,
        address: &BString,
        class: &'static str,
    ) -> Check {
        let subject = Subject::new(address.clone(), class);
        if address.is_empty() {
            let key = BString::from(self.server.set.null_access_key.as_str());
            log::debug!("check_access: {key}");
            return self
                .find_keys("check_mail_access", table, &[(key, Key::Whole)], &subject)
                .unwrap_or(Ok(Verdict::Dunno));
        }
        self.trace_address("check_mail_access", address);
        let resolved = self.resolve(address.as_ref());
        if resolved.failed() {
            return self.table_error(address.as_ref());
        }
        let keys = mail_keys(
            resolved.recipient.as_ref(),
            &self.server.extensions,
            self.server.networks.access_parents,
        );
        let result = self
            .find_keys("check_mail_access", table, &keys, &subject)
            .unwrap_or(Ok(Verdict::Dunno));
        // A recipient that is routed through this system needs more than a match of its last domain.
        let routed =
            resolved.flags & resolve_flag::ROUTED != 0 && !self.server.set.allow_untrusted_routing;
        if class == class::RECIPIENT
            && routed
            && result == Ok(Verdict::Permit)
            && !self.access.discard
        {
            return Ok(Verdict::Dunno);
        }
        result
    }

    /// Permission by a name that the client chose itself would be worth nothing.
    pub(super) fn forbid_permit(
        &mut self,
        command: &str,
        subject: &Subject,
        result: Check,
    ) -> Check {
        if result != Ok(Verdict::Permit) || self.access.discard {
            return result;
        }
        log::warn!(
            "restriction {command} returns OK for {}",
            self.masked(&subject.name)
        );
        log::warn!("this is not allowed for security reasons");
        log::warn!("use DUNNO instead of OK if you want to make an exception");
        self.server_error()
    }

    /// `search` is for the complaint about a table in braces, see [`super::map_spec`].
    fn find_keys(
        &mut self,
        search: &str,
        table: &str,
        keys: &[(BString, Key)],
        subject: &Subject,
    ) -> Option<Check> {
        if table.starts_with('{') {
            log::warn!("{search}: unexpected dictionary: {table}");
            return Some(self.reject_unusable(subject));
        }
        for (key, kind) in keys {
            match self
                .server
                .find_in_table(table, key.as_ref(), *kind == Key::Part)
            {
                Ok(None) => {}
                Ok(Some(value)) => {
                    return Some(self.apply_action(table, key.as_ref(), value.as_ref(), subject));
                }
                Err(_) => {
                    log::debug!(
                        "check_table_result: {table} 451 4.3.5 Server configuration error {key}"
                    );
                    return Some(self.reject_unusable(subject));
                }
            }
        }
        None
    }

    /// What a table that cannot be used leads to.
    fn reject_unusable(&mut self, subject: &Subject) -> Check {
        let text = "Server configuration error";
        self.reject_subject(ErrorClass::POLICY, 451, "4.3.5", subject, text)
    }
}

/// Whether a key is what was asked for or a part of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Key {
    Whole,
    Part,
}

fn host_keys(name: &str, parents: bool) -> Vec<(BString, Key)> {
    if postern_dns::is_host_address(name) {
        return vec![(BString::from(name), Key::Whole)];
    }
    ranked(domain_keys(BStr::new(name), parents))
}

/// An address, then what is left when its last octet or word is cut off, and so on.
fn address_keys(address: &str) -> Vec<(BString, Key)> {
    ranked(network_keys(BStr::new(address)))
}

/// The first key is whole, the others are parts.
fn ranked<'a>(keys: impl Iterator<Item = &'a BStr>) -> Vec<(BString, Key)> {
    keys.enumerate()
        .map(|(index, key)| {
            (
                key.to_owned(),
                if index == 0 { Key::Whole } else { Key::Part },
            )
        })
        .collect()
}

/// `user+ext@domain`, `user@domain`, the domain and its parents, `user+ext@`, `user@`.
fn mail_keys(address: &BStr, extensions: &Extensions, parents: bool) -> Vec<(BString, Key)> {
    let (local, domain) = address::split(address);
    let bare = address::split_extension(
        local,
        &extensions.delimiters,
        extensions.owner_request_special,
    )
    .map(|(user, _)| user);
    let quoted = address::quote(address);
    let mut keys = vec![(quoted, Key::Whole)];
    let at = |user: &BStr, domain: &BStr| {
        let mut key = user.to_owned();
        key.push(b'@');
        key.extend_from_slice(domain);
        address::quote(key.as_ref())
    };
    if let (Some(user), Some(domain)) = (bare, domain) {
        keys.push((at(user, domain), Key::Part));
    }
    if let Some(domain) = domain {
        if domain.starts_with(b"[") {
            keys.push((domain.to_owned(), Key::Part));
        } else {
            keys.extend(domain_keys(domain, parents).map(|key| (key.to_owned(), Key::Part)));
        }
    }
    keys.extend(
        [Some(local), bare]
            .into_iter()
            .flatten()
            .map(|user| (at(user, BStr::new("")), Key::Part)),
    );
    keys
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(keys: Vec<(BString, Key)>) -> Vec<String> {
        keys.into_iter().map(|(key, _)| key.to_string()).collect()
    }

    #[test]
    fn hosts_are_searched_with_their_parents() {
        assert_eq!(texts(host_keys("a.b.c", true)), ["a.b.c", "b.c", "c"]);
        assert_eq!(texts(host_keys("a.b.c", false)), ["a.b.c", ".b.c", ".c"]);
        assert_eq!(texts(host_keys("192.0.2.1", true)), ["192.0.2.1"]);
        assert_eq!(texts(host_keys("unknown", true)), ["unknown"]);
    }

    #[test]
    fn addresses_are_searched_with_their_networks() {
        assert_eq!(
            texts(address_keys("192.0.2.1")),
            ["192.0.2.1", "192.0.2", "192.0", "192"]
        );
        assert_eq!(
            texts(address_keys("2001:db8::1")),
            ["2001:db8::1", "2001:db8:", "2001:db8", "2001"]
        );
    }

    #[test]
    fn mail_addresses_are_searched_from_the_whole_to_the_user() {
        let plus = Extensions {
            delimiters: "+".into(),
            owner_request_special: true,
        };
        let keys = mail_keys(BStr::new("u+x@a.b"), &plus, true);
        assert_eq!(texts(keys), ["u+x@a.b", "u@a.b", "a.b", "b", "u+x@", "u@"]);
        let keys = mail_keys(BStr::new("u@[192.0.2.1]"), &plus, true);
        assert_eq!(texts(keys), ["u@[192.0.2.1]", "[192.0.2.1]", "u@"]);
    }
}
