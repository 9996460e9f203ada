//! Which program reads which parameter: found in the code, written to docs/PARAMETERS.md for people and
//! to `config`'s `params/readers.rs` for the programs that compare a configuration with what works.
//!
//! A program reads a parameter when its package names `params::NAME`, or when a library that it uses
//! does and the declaration lists the program; or through another parameter whose default refers to the
//! first.

mod reasons;
mod source;
mod table;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;

use postern_config::params::{self, Class, ParamInfo};

use self::reasons::{PARTIAL, UNREAD};
use self::source::{Package, packages};
use crate::build;

/// What is written, below the top of the checkout.
const DOCUMENT: &str = "docs/PARAMETERS.md";
const LIST: &str = "crates/lib/config/src/params/readers.rs";

/// What is known of one parameter.
#[derive(Debug)]
struct Row {
    info: &'static ParamInfo,
    /// Programs that read it, sorted; empty when none does.
    programs: Vec<String>,
    /// Why it has no effect, or not its whole effect.
    reason: Option<&'static str>,
}

/// Writes both files.
pub(crate) fn write() -> Result<(), String> {
    for (path, text) in generate()? {
        let path = build::top().join(path);
        fs::write(&path, text).map_err(|error| format!("{}: {error}", path.display()))?;
    }
    Ok(())
}

/// Fails when a file is out of date, or a parameter is read nowhere without a reason.
pub(crate) fn check() -> Result<(), String> {
    for (path, text) in generate()? {
        if fs::read_to_string(build::top().join(path)).unwrap_or_default() != text {
            return Err(format!(
                "{path} is out of date: run `cargo xtask parameters`"
            ));
        }
    }
    Ok(())
}

fn generate() -> Result<[(&'static str, String); 2], String> {
    let rows = rows(&packages()?)?;
    Ok([
        (DOCUMENT, table::document(&rows)),
        (LIST, table::list(&rows)),
    ])
}

/// One row for every declared parameter.
fn rows(packages: &[Package]) -> Result<Vec<Row>, String> {
    let mut readers: BTreeMap<&str, BTreeSet<String>> = params::ALL
        .iter()
        .map(|info| (info.name, direct_readers(info, packages)))
        .collect();
    follow_defaults(&mut readers);
    let mut faults = Vec::new();
    let mut used = BTreeSet::new();
    let mut rows = Vec::new();
    for info in params::ALL {
        let programs: Vec<String> = readers
            .remove(info.name)
            .unwrap_or_default()
            .into_iter()
            .collect();
        let table = if programs.is_empty() { UNREAD } else { PARTIAL };
        let reason = reasons::find(table, info.name);
        match reason {
            Some((pattern, _)) => {
                used.insert(pattern);
            }
            None if programs.is_empty() => faults.push(format!(
                "{}: no program reads it, and xtask/src/parameters/reasons.rs does not say why",
                info.name
            )),
            None => {}
        }
        rows.push(Row {
            info,
            programs,
            reason: reason.map(|(_, reason)| reason),
        });
    }
    for (pattern, _) in UNREAD.iter().chain(PARTIAL) {
        if !used.contains(pattern) {
            faults.push(format!(
                "xtask/src/parameters/reasons.rs: {pattern} fits no parameter any more"
            ));
        }
    }
    if faults.is_empty() {
        Ok(rows)
    } else {
        Err(faults.join("\n"))
    }
}

/// The programs that read `info` by name.
fn direct_readers(info: &ParamInfo, packages: &[Package]) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for package in packages.iter().filter(|package| package.reads(info)) {
        if package.programs.is_empty() {
            let users = packages
                .iter()
                .filter(|user| !user.programs.is_empty() && user.uses.contains(&package.name));
            let users = users.flat_map(|user| programs(user, info));
            found.extend(users.filter(|program| info.is_used_by(program)));
            if found.is_empty() {
                found.insert(format!("{} library", package.name));
            }
        } else {
            found.extend(programs(package, info));
        }
    }
    found
}

/// The programs of a package that can be meant by a parameter: one package holds smtp and lmtp.
fn programs<'p>(package: &'p Package, info: &ParamInfo) -> impl Iterator<Item = String> + 'p {
    let prefix = ["smtp", "lmtp"]
        .into_iter()
        .find(|prefix| info.name.starts_with(&format!("{prefix}_")));
    let is_pair = package.name == "smtp";
    package
        .programs
        .iter()
        .filter(move |program| !is_pair || prefix.is_none_or(|prefix| *program == prefix))
        .cloned()
}

/// Who reads a parameter reads those that its default refers to.
fn follow_defaults(readers: &mut BTreeMap<&str, BTreeSet<String>>) {
    loop {
        let mut is_changed = false;
        // proxymap opens these tables for others; what they are for is not its business.
        let counted = params::ALL
            .iter()
            .filter(|info| !matches!(info.name, "proxy_read_maps" | "proxy_write_maps"));
        for info in counted {
            let from = readers.get(info.name).cloned().unwrap_or_default();
            let old = info.old.map_or("", |old| old.text);
            for text in [info.default, old] {
                let mut names = BTreeSet::new();
                // A default that does not parse refers to nothing that could be found here.
                let _ = postern_config::expand::references(text, &mut |name| {
                    names.insert(name.to_owned());
                });
                for name in names {
                    if let Some(known) = readers.get_mut(name.as_str()) {
                        let before = known.len();
                        known.extend(from.iter().cloned());
                        is_changed |= known.len() > before;
                    }
                }
            }
        }
        if !is_changed {
            return;
        }
    }
}

/// What a service-derived name is made of, behind the service's name.
fn suffix(info: &ParamInfo) -> Option<&'static str> {
    (info.class == Class::ServiceDerived)
        .then(|| info.name.split_once('_').map(|(_, suffix)| suffix))?
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_parameter_that_nobody_reads_needs_a_reason() {
        let faults = rows(&[]).unwrap_err();
        assert!(faults.contains("myhostname: no program reads it"));
        assert!(!faults.contains("mail_release_date: no program reads it"));
    }

    #[test]
    fn who_reads_a_parameter_reads_what_its_default_refers_to() {
        let reader = BTreeSet::from(["x".to_owned()]);
        let mut readers: BTreeMap<&str, BTreeSet<String>> = params::ALL
            .iter()
            .map(|info| (info.name, BTreeSet::new()))
            .collect();
        readers.insert("virtual_alias_domains", reader.clone());
        follow_defaults(&mut readers);
        assert_eq!(readers["virtual_alias_maps"], reader);
        assert_eq!(readers["virtual_maps"], reader, "over two steps");
        assert!(readers["myhostname"].is_empty());
    }
}
