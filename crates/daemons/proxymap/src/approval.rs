//! The tables that main.cf approves: what stands as `proxy:type:name` in `proxy_read_maps` or
//! `proxy_write_maps`.

use postern_config::{Config, params};
use postern_dict::lines::LogicalLines;
use postern_dict::split_list;
use std::collections::BTreeSet;

/// Groups nest, files name files; not for ever.
const DEEPEST: usize = 10;

/// The approved `type:name`s.
#[derive(Debug, Default)]
pub(crate) struct Approved(BTreeSet<String>);

impl Approved {
    /// Collects the tables of `value`, an expanded list, and of the restriction classes it may
    /// mention.
    pub(crate) fn new(config: &Config, value: &str) -> Self {
        let mut approved = Self::default();
        approved.scan(value, 0);
        for class in split_list(&config.get(params::SMTPD_RESTRICTION_CLASSES)) {
            if let Some(text) = config.lookup(class) {
                approved.scan(&text, 0);
            }
        }
        approved
    }

    /// Whether `type:name` may be opened.
    pub(crate) fn contains(&self, table: &str) -> bool {
        self.0.contains(table)
    }

    fn scan(&mut self, value: &str, depth: usize) {
        if depth > DEEPEST {
            return;
        }
        for item in split_list(value) {
            self.item(item.trim_start_matches('!'), depth);
        }
    }

    fn item(&mut self, item: &str, depth: usize) {
        if item.starts_with('{') {
            // `{type:name, options}`: the table is the first word.
            let first = postern_config::words::unbrace(item)
                .ok()
                .and_then(|body| split_list(body).into_iter().next());
            if let Some(first) = first {
                self.scan(first, depth + 1);
            }
            return;
        }
        if item.starts_with('/') {
            return self.file(item, depth);
        }
        let mut table = item;
        while let Some(inner) = table.strip_prefix("proxy:") {
            table = inner;
        }
        if table.len() < item.len() {
            self.0.insert(table.to_owned());
        }
        let members = table
            .strip_prefix("pipemap:")
            .or_else(|| table.strip_prefix("unionmap:"));
        if let Some(body) = members.and_then(|members| postern_config::words::unbrace(members).ok())
        {
            self.scan(body, depth + 1);
        }
    }

    fn file(&mut self, path: &str, depth: usize) {
        let Ok(content) = std::fs::read(path) else {
            return;
        };
        let mut lines = LogicalLines::new(content.as_slice(), path);
        while let Ok(Some(line)) = lines.next_line() {
            self.scan(&String::from_utf8_lossy(&line.text), depth + 1);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_proxied_tables_are_approved() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("nets");
        std::fs::write(&path, "10.0.0.0/8\nproxy:cidr:/in/file\n").unwrap();
        let config = Config::from_text(
            "smtpd_restriction_classes = strict\nstrict = check_client_access proxy:hash:/c",
        )
        .unwrap();
        let value = format!(
            "hash:/a, proxy:hash:/b {{proxy:hash:/d, x}} proxy:proxy:hash:/e unionmap:{{proxy:hash:/f, hash:/g}} {} !proxy:hash:/h",
            path.display()
        );
        let approved = Approved::new(&config, &value);
        for (table, want) in [
            ("hash:/a", false),
            ("hash:/b", true),
            ("hash:/c", true),
            ("hash:/d", true),
            ("hash:/e", true),
            ("hash:/f", true),
            ("hash:/g", false),
            ("cidr:/in/file", true),
            ("hash:/h", true),
            ("x", false),
        ] {
            assert_eq!(approved.contains(table), want, "{table}");
        }
    }
}
