//! Proves from `cargo metadata` that a crate uses only the layers below its own (ARCHITECTURE.md).

use std::collections::HashMap;

use serde_json::Value;

use crate::build;

/// The libraries from bottom to top; inside a row, a crate may use those to its left.
const ROWS: &[&[&str]] = &[
    &["sys"],
    &["mail"],
    &["attr", "queue-file", "config", "maillog"],
    &["wire", "ipc", "dns", "dict", "rewrite"],
    &["server", "command", "program"],
    &["queue", "delivery", "table-command", "traffic"],
];

/// Crates that have the right to C libraries or foreign clients, and the only ones.
const FENCED: &[(&str, &[&str])] = &[
    ("libc", &["sys"]),
    ("mio", &["server"]),
    ("mysql_common", &["dict"]),
    ("postgres-protocol", &["dict"]),
    ("rusqlite", &["dict"]),
    ("signal-hook", &["server", "command", "xtask"]),
];

/// Checks every package of the workspace.
pub(crate) fn layers() -> Result<(), String> {
    let metadata = build::metadata()?;
    let rank: HashMap<&str, usize> = ROWS.concat().into_iter().zip(0..).collect();
    let mut faults = Vec::new();
    let packages = metadata["packages"]
        .as_array()
        .map(Vec::as_slice)
        .unwrap_or_default();
    for package in packages {
        check(package, &rank, &mut faults);
    }
    if faults.is_empty() {
        println!("layers: {} packages keep the order", packages.len());
        Ok(())
    } else {
        Err(faults.join("\n"))
    }
}

fn check(package: &Value, rank: &HashMap<&str, usize>, faults: &mut Vec<String>) {
    let name = short(package["name"].as_str().unwrap_or_default());
    let own = rank.get(name).copied();
    let is_library = package["manifest_path"]
        .as_str()
        .is_some_and(|path| path.contains("/crates/lib/"));
    if is_library && own.is_none() && name != "testkit" {
        faults.push(format!(
            "{name}: not in the layer table of xtask/src/layers.rs"
        ));
    }
    for dependency in package["dependencies"]
        .as_array()
        .map(Vec::as_slice)
        .unwrap_or_default()
    {
        let target = dependency["name"].as_str().unwrap_or_default();
        let only_tests = dependency["kind"].as_str() == Some("dev");
        if let Some((_, owners)) = FENCED.iter().find(|(fenced, _)| *fenced == target)
            && !owners.contains(&name)
            && !only_tests
        {
            faults.push(format!("{name}: {target} belongs to {}", owners.join(", ")));
        }
        let Some(target) = target.strip_prefix("postern-") else {
            continue;
        };
        if only_tests
            || (name == "xtask" && matches!(target, "config" | "testkit"))
            || (name == "tests" && target == "testkit")
        {
            continue;
        }
        match (own, rank.get(target)) {
            (_, None) => faults.push(format!(
                "{name}: may not use {target}, which is no library of the layers"
            )),
            (Some(own), Some(&below)) if below >= own => faults.push(format!(
                "{name}: may not use {target}, which is not below it"
            )),
            _ => {}
        }
    }
}

fn short(name: &str) -> &str {
    name.strip_prefix("postern-").unwrap_or(name)
}
