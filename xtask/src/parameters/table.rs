//! The two files that are made from the rows.

use std::fmt::Write;

use postern_config::params::{Class, flag};

use super::Row;

/// So many programs are all of them.
const MANY: usize = 20;

/// docs/PARAMETERS.md.
pub(super) fn document(rows: &[Row]) -> String {
    let read = rows.iter().filter(|row| !row.programs.is_empty()).count();
    let partial = rows
        .iter()
        .filter(|row| !row.programs.is_empty() && row.reason.is_some())
        .count();
    let mut out = format!(
        "# Parameters

Every main.cf parameter, and the programs that obey it. Made by `cargo xtask parameters` from the code;
`cargo xtask test` fails when it is out of date. What the differences mean is in
[COMPATIBILITY.md](COMPATIBILITY.md).

{} parameters: {} obeyed, {partial} in part, {} not yet. All can be set, shown and used as `$name`.

| Parameter | Obeyed by | Remark |
|---|---|---|
",
        rows.len(),
        read - partial,
        rows.len() - read,
    );
    for row in rows {
        let programs = match row.programs.len() {
            0 => "–".to_owned(),
            MANY.. => "all programs".to_owned(),
            _ => row.programs.join(", "),
        };
        let remark = [remark(row), row.reason.map(str::to_owned)]
            .into_iter()
            .flatten()
            .collect::<Vec<_>>()
            .join("; ");
        let _ = writeln!(out, "| `{}` | {programs} | {remark} |", row.info.name);
    }
    out
}

fn remark(row: &Row) -> Option<String> {
    let info = row.info;
    let text = if info.class == Class::ObsoleteAlias {
        "old name"
    } else if info.has(flag::ONLY_3_12) {
        "from 3.12"
    } else if info.has(flag::REMOVED) {
        "removed before 3.11"
    } else if info.has(flag::DEPRECATED) {
        "deprecated"
    } else if info.has(flag::READ_ONLY) {
        "cannot be set"
    } else {
        return None;
    };
    Some(text.to_owned())
}

/// crates/lib/config/src/params/readers.rs.
pub(super) fn list(rows: &[Row]) -> String {
    let mut out = String::from(
        "//! Which programs obey which parameter. Made by `cargo xtask parameters`; do not edit.

/// Name, programs (empty: none), and why it has no or not its whole effect, sorted by name.
#[rustfmt::skip]
pub(super) const READERS: &[(&str, &str, &str)] = &[
",
    );
    for row in rows {
        let programs = match row.programs.len() {
            MANY.. => "all".to_owned(),
            _ => row.programs.join(","),
        };
        let reason = row.reason.unwrap_or_default();
        let _ = writeln!(out, "    ({:?}, {programs:?}, {reason:?}),", row.info.name);
    }
    out.push_str("];\n");
    out
}
