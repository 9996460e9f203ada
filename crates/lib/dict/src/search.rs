//! Searches that ask a table list for an address, a domain or a host in Postfix's order of keys.
//!
//! Source: tables.md §8. Partial keys skip tables of patterns.

use bstr::{BStr, BString, ByteSlice};
use postern_mail::address::{quote, split, strip_extension};

use crate::match_list::domain_keys;
use crate::{Lookup, LookupError, Maps};

/// In which form an address is looked up first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// The quoted form, then, when it differs, the unquoted one: most `*_maps`.
    External,
    /// The quoted form only: canonical, generic and virtual tables.
    ExternalOnly,
    /// The text as given.
    AsIs,
}

/// Says whether a domain is local: equals $myorigin, or matches $mydestination, $inet_interfaces
/// or $proxy_interfaces.
pub type IsLocal<'a> = &'a mut dyn FnMut(&BStr) -> Result<bool, LookupError>;

/// How address extensions are recognised.
#[derive(Debug, Clone, Default)]
pub struct Extensions {
    /// `recipient_delimiter`.
    pub delimiters: BString,
    /// `owner_request_special`.
    pub owner_request_special: bool,
}

impl Extensions {
    /// As main.cf says.
    pub fn from_config(config: &postern_config::Config) -> Self {
        use postern_config::params;
        Self {
            delimiters: BString::from(config.get(params::RECIPIENT_DELIMITER)),
            owner_request_special: config.get(params::OWNER_REQUEST_SPECIAL),
        }
    }

    /// The address without its extension, and the extension with its delimiter.
    fn strip(&self, address: &BStr) -> Option<(BString, BString)> {
        strip_extension(address, &self.delimiters, self.owner_request_special)
    }
}

/// An answer of an address search.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// The table's value.
    pub value: BString,
    /// The extension (with its delimiter) that the matching key did not have.
    pub extension: Option<BString>,
    /// The key was `@domain`.
    pub whole_domain: bool,
}

/// The default search: `user+ext@domain`, `user@domain`, for local domains `user+ext` and `user`,
/// `@domain`. `address` is in internal form.
pub fn find_address(
    maps: &mut Maps,
    address: &BStr,
    form: Form,
    extensions: &Extensions,
    is_local: IsLocal<'_>,
) -> Lookup<Found> {
    let bare = extensions.strip(address);
    let (local, domain) = split(address);
    if let Some(value) = ask(maps, address, form, false)? {
        return Ok(Some(Found {
            value,
            extension: None,
            whole_domain: false,
        }));
    }
    if let Some((bare, extension)) = &bare
        && let Some(value) = ask(maps, BStr::new(bare), form, true)?
    {
        return Ok(Some(Found {
            value,
            extension: Some(extension.clone()),
            whole_domain: false,
        }));
    }
    let Some(domain) = domain else {
        return Ok(None);
    };
    if is_local(domain)? {
        if let Some(value) = ask(maps, local, form, true)? {
            return Ok(Some(Found {
                value,
                extension: None,
                whole_domain: false,
            }));
        }
        if let Some((bare, extension)) = &bare
            && let Some(value) = ask(maps, split(BStr::new(bare)).0, form, true)?
        {
            return Ok(Some(Found {
                value,
                extension: Some(extension.clone()),
                whole_domain: false,
            }));
        }
    }
    let mut key = BString::from("@");
    key.extend_from_slice(domain);
    let extension = bare.map(|(_, extension)| extension);
    let found = maps.find(BStr::new(&key), true)?;
    Ok(found.map(|value| Found {
        value,
        extension,
        whole_domain: true,
    }))
}

/// One key in the forms that `form` asks for.
fn ask(maps: &mut Maps, key: &BStr, form: Form, partial: bool) -> Lookup {
    if form == Form::AsIs {
        return maps.find(key, partial);
    }
    let quoted = quote(key);
    if let Some(value) = maps.find(BStr::new(&quoted), partial)? {
        return Ok(Some(value));
    }
    if form == Form::External && quoted != *key {
        maps.find(key, partial)
    } else {
        Ok(None)
    }
}

/// transport_maps: `user+ext@domain`, `user@domain`, then the domain and its parents. The wildcard
/// `*` is the caller's last key. `parents` tells whether transport_maps is listed in
/// `parent_domain_matches_subdomains`.
pub fn find_transport(
    maps: &mut Maps,
    address: &BStr,
    extensions: &Extensions,
    parents: bool,
) -> Lookup {
    if let Some(value) = ask(maps, address, Form::External, false)? {
        return Ok(Some(value));
    }
    if let Some((bare, _)) = extensions.strip(address)
        && let Some(value) = ask(maps, BStr::new(&bare), Form::External, true)?
    {
        return Ok(Some(value));
    }
    match split(address).1 {
        Some(domain) => find_domain(maps, domain, parents, true),
        None => Ok(None),
    }
}

/// A domain, then its parents: `sub.dom`, `dom`, or `.sub.dom`, `.dom` without `parents`.
/// `partial` tells whether already the first key is partial.
pub fn find_domain(maps: &mut Maps, domain: &BStr, parents: bool, partial: bool) -> Lookup {
    for (level, key) in domain_keys(domain, parents).enumerate() {
        if let Some(value) = maps.find(key, partial || level > 0)? {
            return Ok(Some(value));
        }
    }
    Ok(None)
}

/// access(5), mail address: `user+ext@domain`, `user@domain`, domain, parents, `user+ext@`,
/// `user@`. The address is in internal form, the caller answers for the null sender.
pub fn find_access_address(
    maps: &mut Maps,
    address: &BStr,
    extensions: &Extensions,
    parents: bool,
) -> Lookup {
    let bare = extensions.strip(address).map(|(bare, _)| bare);
    let (local, domain) = split(address);
    if let Some(value) = ask(maps, address, Form::External, false)? {
        return Ok(Some(value));
    }
    if let Some(bare) = &bare
        && let Some(value) = ask(maps, BStr::new(bare), Form::External, true)?
    {
        return Ok(Some(value));
    }
    let Some(domain) = domain else {
        return Ok(None);
    };
    if let Some(value) = find_domain(maps, domain, parents, true)? {
        return Ok(Some(value));
    }
    let bare_local = bare.as_ref().map(|bare| split(BStr::new(bare)).0);
    for user in std::iter::once(local).chain(bare_local) {
        let mut key = user.to_owned();
        key.push(b'@');
        if let Some(value) = ask(maps, BStr::new(&key), Form::External, true)? {
            return Ok(Some(value));
        }
    }
    Ok(None)
}

/// access(5), host name: the name, then its parents. A numerical address has no parents.
pub fn find_access_host(maps: &mut Maps, name: &BStr, parents: bool) -> Lookup {
    let numeric = name
        .to_str()
        .is_ok_and(|text| text.parse::<std::net::IpAddr>().is_ok());
    if numeric {
        maps.find(name, false)
    } else {
        find_domain(maps, name, parents, false)
    }
}

/// access(5), numerical address: `a.b.c.d`, `a.b.c`, `a.b`, `a`; IPv6 is cut at each `:`.
pub fn find_access_network(maps: &mut Maps, address: &BStr) -> Lookup {
    for (level, key) in network_keys(address).enumerate() {
        if let Some(value) = maps.find(key, level > 0)? {
            return Ok(Some(value));
        }
    }
    Ok(None)
}

/// The keys of [`find_access_network`].
pub fn network_keys(address: &BStr) -> impl Iterator<Item = &BStr> {
    let separator = if address.contains(&b':') { b':' } else { b'.' };
    let mut next = Some(address);
    std::iter::from_fn(move || {
        let key = next?;
        next = key
            .rfind_byte(separator)
            .and_then(|at| key.get(..at))
            .filter(|rest| !rest.is_empty())
            .map(BStr::new);
        Some(key)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Flags;
    use postern_config::Config;

    fn maps(value: &str) -> Maps {
        let config = Config::from_text("").unwrap();
        Maps::open(&config, "test_maps", value, Flags::FOLD_FIX)
    }

    fn keys<'a>(list: impl Iterator<Item = &'a BStr>) -> Vec<String> {
        list.map(ToString::to_string).collect()
    }

    #[test]
    fn key_lists_follow_the_manual_pages() {
        assert_eq!(
            keys(network_keys(BStr::new("192.0.2.7"))),
            ["192.0.2.7", "192.0.2", "192.0", "192"]
        );
        assert_eq!(
            keys(network_keys(BStr::new("2001:db8::1"))),
            ["2001:db8::1", "2001:db8:", "2001:db8", "2001"]
        );
        assert_eq!(
            keys(domain_keys(BStr::new("host.sub.dom"), true)),
            ["host.sub.dom", "sub.dom", "dom"]
        );
        assert_eq!(
            keys(domain_keys(BStr::new("host.sub.dom"), false)),
            ["host.sub.dom", ".sub.dom", ".dom"]
        );
        assert_eq!(keys(domain_keys(BStr::new(""), false)), [""]);
        assert_eq!(keys(domain_keys(BStr::new("."), true)), ["."]);
    }

    #[test]
    fn addresses_are_searched_from_the_most_to_the_least_specific_key() {
        let extensions = Extensions {
            delimiters: BString::from("+"),
            owner_request_special: true,
        };
        let find = |list: &str, address: &str, local: bool| {
            let mut answer = |_: &BStr| Ok(local);
            find_address(
                &mut maps(list),
                BStr::new(address),
                Form::External,
                &extensions,
                &mut answer,
            )
            .unwrap()
            .map(|found| {
                (
                    found.value.to_string(),
                    found.extension.map(|e| e.to_string()),
                    found.whole_domain,
                )
            })
        };
        let all = "inline:{ {u+x@d=1}, {u@d=2}, {u+x=3}, {u=4}, {@d=5} }";
        let value =
            |v: &str, e: Option<&str>, w: bool| Some((v.to_owned(), e.map(str::to_owned), w));
        assert_eq!(find(all, "U+x@D", true), value("1", None, false));
        let list = "inline:{ {u@d=2}, {u+x=3}, {u=4}, {@d=5} }";
        assert_eq!(find(list, "u+x@d", true), value("2", Some("+x"), false));
        let list = "inline:{ {u+x=3}, {u=4}, {@d=5} }";
        assert_eq!(find(list, "u+x@d", true), value("3", None, false));
        assert_eq!(find(list, "u+y@d", true), value("4", Some("+y"), false));
        assert_eq!(find(list, "u+x@d", false), value("5", Some("+x"), true));
        assert_eq!(find("regexp:{{/^u@d$/ 1}}", "u+x@d", true), None);
        assert_eq!(
            find("inline:{{\"a b\"@d=q}}", "a b@d", false),
            value("q", None, false)
        );
        assert_eq!(
            find("pcre:{{/^a b@d$/ p}}", "a b@d", false),
            value("p", None, false)
        );
    }

    #[test]
    fn an_error_stops_a_search() {
        let extensions = Extensions::default();
        let mut local = |_: &BStr| Ok(true);
        let result = find_address(
            &mut maps("fail:x"),
            BStr::new("a@b"),
            Form::External,
            &extensions,
            &mut local,
        );
        assert!(result.is_err());
        assert!(
            find_transport(
                &mut maps("fail:x inline:{{a@b=c}}"),
                BStr::new("a@b"),
                &extensions,
                false
            )
            .is_err()
        );
    }

    #[test]
    fn access_and_transport_searches_end_with_their_own_partial_keys() {
        let extensions = Extensions {
            delimiters: BString::from("+"),
            owner_request_special: true,
        };
        let access = |list: &str, parents| {
            find_access_address(
                &mut maps(list),
                BStr::new("u+x@h.dom"),
                &extensions,
                parents,
            )
            .unwrap()
            .map(|v| v.to_string())
        };
        assert_eq!(access("inline:{{u@=1}}", true).as_deref(), Some("1"));
        assert_eq!(access("inline:{{u+x@=1}}", true).as_deref(), Some("1"));
        assert_eq!(
            access("inline:{{dom=1}, {u@=2}}", true).as_deref(),
            Some("1")
        );
        assert_eq!(access("inline:{{.dom=1}}", false).as_deref(), Some("1"));
        assert_eq!(access("inline:{{.dom=1}}", true), None);
        let transport = find_transport(
            &mut maps("inline:{{.dom=t}}"),
            BStr::new("u@h.dom"),
            &extensions,
            false,
        );
        assert_eq!(transport, Ok(Some(BString::from("t"))));
        assert_eq!(
            find_access_host(&mut maps("inline:{{2.7=t}}"), BStr::new("192.0.2.7"), true),
            Ok(None)
        );
        assert_eq!(
            find_access_network(&mut maps("inline:{{192.0=t}}"), BStr::new("192.0.2.7")),
            Ok(Some(BString::from("t")))
        );
    }
}
