//! Searches of access(5) tables: the keys that are tried for hosts, addresses and mail addresses.
//!
//! The first key that is found decides; parts of names and addresses are not shown to pattern tables.
//! Source: access(5) and tables.md §8.3.

use bstr::{BStr, BString, ByteSlice};
use postern_ipc::rewrite::resolve_flag;
use postern_mail::address;

use super::{Check, Subject, Verdict, class};
use crate::reply::ErrorClass;
use crate::session::Session;

impl Session<'_> {
    /// A host name and its parent domains.
    pub(super) fn check_host_access(&mut self, table: &str, name: &str, subject: &Subject) -> Check {
        self.find_host(table, name, subject).unwrap_or(Ok(Verdict::Dunno))
    }

    /// As [`Session::check_host_access`]; `None` when no key is in the table.
    pub(super) fn find_host(&mut self, table: &str, name: &str, subject: &Subject) -> Option<Check> {
        let keys = host_keys(name, self.server.access_parents);
        self.find_keys(table, &keys, subject)
    }

    /// An address and its networks; `None` when no key is in the table.
    pub(super) fn find_address(&mut self, table: &str, address: &str, subject: &Subject) -> Option<Check> {
        self.find_keys(table, &address_keys(address), subject)
    }

    /// A sender or recipient, in the form that address resolution gives it.
    pub(super) fn check_address_access(&mut self, table: &str, address: &BString, class: &'static str) -> Check {
        let subject = Subject::new(address.clone(), class);
        if address.is_empty() {
            let key = BString::from(self.server.set.null_access_key.as_str());
            return self.find_keys(table, &[(key, Key::Whole)], &subject).unwrap_or(Ok(Verdict::Dunno));
        }
        let resolved = self.resolve(address.as_ref());
        if resolved.failed() {
            return self.table_error(address.as_ref());
        }
        let folded = address::fold_case(resolved.recipient.as_ref());
        let set = &self.server.set;
        let parents = self.server.access_parents;
        let keys = mail_keys(folded.as_ref(), set.recipient_delimiter.as_bytes(), set.owner_request_special, parents);
        let result = self.find_keys(table, &keys, &subject).unwrap_or(Ok(Verdict::Dunno));
        // A recipient that is routed through this system needs more than a match of its last domain.
        let routed = resolved.flags & resolve_flag::ROUTED != 0 && !self.server.set.allow_untrusted_routing;
        if class == class::RECIPIENT && routed && result == Ok(Verdict::Permit) && !self.access.discard {
            return Ok(Verdict::Dunno);
        }
        result
    }

    /// Permission by a name that the client chose itself would be worth nothing.
    pub(super) fn forbid_permit(&mut self, command: &str, subject: &Subject, result: Check) -> Check {
        if result != Ok(Verdict::Permit) || self.access.discard {
            return result;
        }
        log::warn!("restriction {command} returns OK for {}", self.masked(&subject.name));
        log::warn!("this is not allowed for security reasons");
        log::warn!("use DUNNO instead of OK if you want to make an exception");
        self.server_error()
    }

    fn find_keys(&mut self, table: &str, keys: &[(BString, Key)], subject: &Subject) -> Option<Check> {
        for (key, kind) in keys {
            match self.server.find_in_table(table, key.as_ref(), *kind == Key::Part) {
                Ok(None) => {}
                Ok(Some(value)) => return Some(self.apply_action(table, key.as_ref(), value.as_ref(), subject)),
                Err(_) => {
                    let error = ErrorClass::POLICY;
                    return Some(self.reject_subject(error, 451, "4.3.5", subject, "Server configuration error"));
                }
            }
        }
        None
    }
}

/// Whether a key is what was asked for or a part of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Key {
    Whole,
    Part,
}

/// How parent domains are written in access tables.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Parents {
    /// `example.com` stands for its subdomains, too (`smtpd_access_maps` in
    /// `parent_domain_matches_subdomains`).
    Plain,
    /// `.example.com` stands for its subdomains.
    Dotted,
}

fn host_keys(name: &str, parents: Parents) -> Vec<(BString, Key)> {
    let mut keys = vec![(BString::from(name), Key::Whole)];
    if !postern_dns::is_host_address(name) {
        push_parents(&mut keys, BStr::new(name), parents);
    }
    keys
}

fn push_parents(keys: &mut Vec<(BString, Key)>, name: &BStr, parents: Parents) {
    let mut rest = name;
    while let Some(dot) = rest.iter().skip(1).position(|byte| *byte == b'.').map(|at| at + 1) {
        let from = if parents == Parents::Plain { dot + 1 } else { dot };
        rest = BStr::new(rest.get(from..).unwrap_or_default());
        if rest.is_empty() {
            break;
        }
        keys.push((rest.to_owned(), Key::Part));
    }
}

/// An address, then what is left when its last octet or word is cut off, and so on.
fn address_keys(address: &str) -> Vec<(BString, Key)> {
    let separator = if address.contains(':') { b':' } else { b'.' };
    let mut keys = vec![(BString::from(address), Key::Whole)];
    let mut rest = address.as_bytes();
    while let Some(at) = rest.rfind_byte(separator) {
        rest = rest.get(..at).unwrap_or_default();
        if rest.is_empty() {
            break;
        }
        keys.push((rest.into(), Key::Part));
    }
    keys
}

/// `user+ext@domain`, `user@domain`, the domain and its parents, `user+ext@`, `user@`.
fn mail_keys(address: &BStr, delimiters: &[u8], owner_request_special: bool, parents: Parents) -> Vec<(BString, Key)> {
    let (local, domain) = address::split(address);
    let bare = address::split_extension(local, delimiters, owner_request_special).map(|(user, _)| user);
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
        keys.push((domain.to_owned(), Key::Part));
        if !domain.starts_with(b"[") {
            push_parents(&mut keys, domain, parents);
        }
    }
    keys.extend([Some(local), bare].into_iter().flatten().map(|user| (at(user, BStr::new("")), Key::Part)));
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
        assert_eq!(texts(host_keys("a.b.c", Parents::Plain)), ["a.b.c", "b.c", "c"]);
        assert_eq!(texts(host_keys("a.b.c", Parents::Dotted)), ["a.b.c", ".b.c", ".c"]);
        assert_eq!(texts(host_keys("192.0.2.1", Parents::Plain)), ["192.0.2.1"]);
        assert_eq!(texts(host_keys("unknown", Parents::Plain)), ["unknown"]);
    }

    #[test]
    fn addresses_are_searched_with_their_networks() {
        assert_eq!(texts(address_keys("192.0.2.1")), ["192.0.2.1", "192.0.2", "192.0", "192"]);
        assert_eq!(texts(address_keys("2001:db8::1")), ["2001:db8::1", "2001:db8:", "2001:db8", "2001"]);
    }

    #[test]
    fn mail_addresses_are_searched_from_the_whole_to_the_user() {
        let keys = mail_keys(BStr::new("u+x@a.b"), b"+", true, Parents::Plain);
        assert_eq!(texts(keys), ["u+x@a.b", "u@a.b", "a.b", "b", "u+x@", "u@"]);
        let keys = mail_keys(BStr::new("u@[192.0.2.1]"), b"+", true, Parents::Plain);
        assert_eq!(texts(keys), ["u@[192.0.2.1]", "[192.0.2.1]", "u@"]);
    }
}
