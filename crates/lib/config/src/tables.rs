//! `type:name` in parameter values: which tables a value names, and which settings of table clients
//! may stand in main.cf itself.
//!
//! Knows nothing about how a table is opened.

use crate::words;

/// The settings of a table client, without the table's name before them.
pub type Suffixes = &'static [&'static str];

/// One `type:name` of a value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TableName<'t> {
    /// Table type.
    pub kind: &'t str,
    /// What follows the colon.
    pub source: &'t str,
}

/// What a value holds besides words without a colon.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Found<'t> {
    /// The tables, in order, those inside `{…}` included and without `proxy:` before them.
    pub tables: Vec<TableName<'t>>,
    /// The first word that begins with `#`, and what follows it.
    pub comment: Option<&'t str>,
    /// What is wrong with braces.
    pub problems: Vec<String>,
}

/// Finds the tables in an expanded value, also inside `{…}` and inside `type:{…}`.
#[must_use]
pub fn find(text: &str) -> Found<'_> {
    let mut found = Found::default();
    collect(text, &mut found);
    if let Some(at) = found.comment.and_then(|word| offset(text, word)) {
        found.comment = Some(&text[at..]);
    }
    found
}

/// Where `part`, a slice of `text`, begins.
fn offset(text: &str, part: &str) -> Option<usize> {
    let at = (part.as_ptr() as usize).checked_sub(text.as_ptr() as usize)?;
    (at <= text.len()).then_some(at)
}

fn collect<'t>(text: &'t str, found: &mut Found<'t>) {
    for word in words::grouped_words(text) {
        if word.starts_with('#') && found.comment.is_none() {
            found.comment = Some(word);
        }
        if let Some(inner) = group(word, found) {
            collect(inner, found);
            continue;
        }
        let mut table = word;
        while let Some(rest) = table.strip_prefix("proxy:") {
            table = rest;
        }
        let Some((kind, source)) = table.split_once(':') else {
            continue;
        };
        found.tables.push(TableName { kind, source });
        if let Some(inner) = group(source, found) {
            collect(inner, found);
        }
    }
}

/// What is inside braces, also where these do not match.
fn group<'t>(word: &'t str, found: &mut Found<'t>) -> Option<&'t str> {
    if !word.starts_with('{') {
        return None;
    }
    Some(words::unbrace(word).unwrap_or_else(|problem| {
        found.problems.push(problem);
        &word[1..]
    }))
}

/// The settings of a client of this table type, if its settings may stand in main.cf.
#[must_use]
pub fn client_settings(kind: &str) -> Option<Suffixes> {
    CLIENTS
        .iter()
        .find(|(known, _)| *known == kind)
        .map(|(_, suffixes)| *suffixes)
}

/// Table types whose settings may be in main.cf, with the settings' names (source: the manual page
/// of each table type).
const CLIENTS: &[(&str, Suffixes)] = &[
    (
        "ldap",
        &[
            "bind",
            "bind_dn",
            "bind_pw",
            "cache",
            "cache_expiry",
            "cache_size",
            "chase_referrals",
            "debuglevel",
            "dereference",
            "domain",
            "expansion_limit",
            "leaf_result_attribute",
            "query_filter",
            "recursion_limit",
            "result_attribute",
            "result_filter",
            "result_format",
            "sasl_authz_id",
            "sasl_mechs",
            "sasl_minssf",
            "sasl_realm",
            "scope",
            "search_base",
            "server_host",
            "server_port",
            "size_limit",
            "special_result_attribute",
            "start_tls",
            "terminal_result_attribute",
            "timeout",
            "tls_ca_cert_dir",
            "tls_ca_cert_file",
            "tls_cert",
            "tls_cipher_suite",
            "tls_key",
            "tls_random_file",
            "tls_require_cert",
            "version",
        ],
    ),
    (
        "mysql",
        &[
            "additional_conditions",
            "charset",
            "dbname",
            "domain",
            "expansion_limit",
            "hosts",
            "idle_interval",
            "option_file",
            "option_group",
            "password",
            "query",
            "require_result_set",
            "result_format",
            "retry_interval",
            "select_field",
            "table",
            "tls_CAfile",
            "tls_CApath",
            "tls_cert_file",
            "tls_ciphers",
            "tls_key_file",
            "tls_verify_cert",
            "user",
            "where_field",
        ],
    ),
    (
        "pgsql",
        &[
            "additional_conditions",
            "dbname",
            "domain",
            "encoding",
            "expansion_limit",
            "hosts",
            "idle_interval",
            "password",
            "query",
            "result_format",
            "retry_interval",
            "select_field",
            "select_function",
            "table",
            "user",
            "where_field",
        ],
    ),
    (
        "sqlite",
        &[
            "additional_conditions",
            "dbpath",
            "domain",
            "expansion_limit",
            "query",
            "result_format",
            "select_field",
            "table",
            "where_field",
        ],
    ),
    (
        "memcache",
        &[
            "backup",
            "data_size_limit",
            "domain",
            "flags",
            "key_digest",
            "key_format",
            "line_size_limit",
            "max_try",
            "memcache",
            "retry_pause",
            "timeout",
            "ttl",
        ],
    ),
    (
        "mongodb",
        &[
            "collection",
            "dbname",
            "domain",
            "expansion_limit",
            "projection",
            "query_filter",
            "result_attribute",
            "result_format",
            "uri",
        ],
    ),
    (
        "redis",
        &[
            "data_size_limit",
            "db",
            "domain",
            "key_format",
            "key_prefix",
            "max_try",
            "password",
            "redis",
            "retry_pause",
            "timeout",
            "tls",
            "tls_CAfile",
            "tls_CApath",
            "tls_cert_file",
            "tls_key_file",
            "tls_verify_cert",
            "ttl",
            "username",
        ],
    ),
];

#[cfg(test)]
mod tests {
    use super::*;

    fn names(text: &str) -> Vec<String> {
        find(text)
            .tables
            .iter()
            .map(|table| format!("{}:{}", table.kind, table.source))
            .collect()
    }

    #[test]
    fn tables_are_found_through_proxies_and_groups() {
        let rows: &[(&str, &[&str])] = &[
            (
                "hash:/a, proxy:mysql:foo regexp:/c",
                &["hash:/a", "mysql:foo", "regexp:/c"],
            ),
            ("{check_x ldap:/b, y=z}", &["ldap:/b"]),
            ("proxy:proxy:mysql:a", &["mysql:a"]),
            ("pipemap:{mysql:a}", &["pipemap:{mysql:a}", "mysql:a"]),
            (
                "proxy:unionmap:{mysql:a}",
                &["unionmap:{mysql:a}", "mysql:a"],
            ),
            (
                "{ {mysql:a} } {x {mysql:b},mysql:c }",
                &["mysql:a", "mysql:b", "mysql:c"],
            ),
            (
                "inline:{{k=mysql:a}}",
                &["inline:{{k=mysql:a}}", "k=mysql:a"],
            ),
            ("foo:mysql:a !{mysql:b}", &["foo:mysql:a", "!{mysql:b}"]),
            ("permit, reject", &[]),
        ];
        for (text, want) in rows {
            let want: Vec<String> = want.iter().map(|name| (*name).to_string()).collect();
            assert_eq!(names(text), want, "{text}");
        }
    }

    #[test]
    fn comments_are_noticed_and_hide_nothing() {
        let found = find("a hash:/x # c d");
        assert_eq!(found.comment, Some("# c d"));
        assert_eq!(found.tables.len(), 1);
        assert_eq!(names("a # hash:/x"), ["hash:/x"]);
        assert_eq!(find("a#b").comment, None);
    }

    #[test]
    fn clients_have_settings_and_files_have_none() {
        assert!(client_settings("mysql").is_some_and(|all| all.contains(&"hosts")));
        assert!(client_settings("hash").is_none());
    }
}
