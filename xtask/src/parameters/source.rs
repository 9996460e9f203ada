//! Finds in the packages' code which parameters it names. Test code does not count, and neither does
//! postconf, which shows every parameter and obeys none.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use postern_config::params::{self, ParamInfo};
use serde_json::Value;

use super::suffix;
use crate::build;

/// Where parameters are declared.
const DECLARATIONS: &str = "crates/lib/config/src/params";
/// Files of `config` that read parameters by the text of their name.
const BY_TEXT: &[&str] = &[
    "computed.rs",
    "config.rs",
    "net.rs",
    "reading.rs",
    "sanity.rs",
];
/// Packages whose mention of a parameter says nothing.
const SHOWS_ALL: &[&str] = &["postconf", "testkit", "tests", "xtask"];

/// A package of the workspace.
#[derive(Debug)]
pub(super) struct Package {
    /// Without `postern-`.
    pub(super) name: String,
    /// Names of its programs; none for a library.
    pub(super) programs: Vec<String>,
    /// The libraries that it uses, also indirectly.
    pub(super) uses: BTreeSet<String>,
    /// Names of parameters in its code.
    names: BTreeSet<&'static str>,
    /// Its code, for names that are put together from parts.
    code: String,
}

impl Package {
    /// Whether the code names the parameter, or the part of it that follows a service's name.
    pub(super) fn reads(&self, info: &ParamInfo) -> bool {
        self.names.contains(info.name)
            || suffix(info).is_some_and(|suffix| {
                self.code.contains(&format!("\"{suffix}\""))
                    || self.code.contains(&format!("\"_{suffix}\""))
            })
    }
}

/// Every package whose code counts.
pub(super) fn packages() -> Result<Vec<Package>, String> {
    let metadata = build::metadata()?;
    let constants = constants()?;
    let all = metadata["packages"].as_array().cloned().unwrap_or_default();
    let direct: BTreeMap<String, Vec<String>> = all
        .iter()
        .map(|package| (short(&package["name"]), dependencies(package)))
        .collect();
    let counted = all
        .iter()
        .filter(|package| !SHOWS_ALL.contains(&short(&package["name"]).as_str()));
    counted
        .map(|package| read_package(package, &direct, &constants))
        .collect()
}

fn short(name: &Value) -> String {
    let name = name.as_str().unwrap_or_default();
    name.strip_prefix("postern-").unwrap_or(name).to_owned()
}

fn dependencies(package: &Value) -> Vec<String> {
    let all = package["dependencies"].as_array();
    all.map(Vec::as_slice)
        .unwrap_or_default()
        .iter()
        .filter(|dependency| dependency["kind"].is_null())
        .filter(|dependency| {
            dependency["name"]
                .as_str()
                .is_some_and(|name| name.starts_with("postern-"))
        })
        .map(|dependency| short(&dependency["name"]))
        .collect()
}

fn read_package(
    package: &Value,
    direct: &BTreeMap<String, Vec<String>>,
    constants: &BTreeMap<String, &'static str>,
) -> Result<Package, String> {
    let name = short(&package["name"]);
    let manifest = PathBuf::from(package["manifest_path"].as_str().unwrap_or_default());
    let folder = manifest.parent().unwrap_or(Path::new("")).join("src");
    let mut uses = BTreeSet::new();
    let mut next = direct.get(&name).cloned().unwrap_or_default();
    while let Some(used) = next.pop() {
        next.extend(direct.get(&used).cloned().unwrap_or_default());
        uses.insert(used);
    }
    let mut made = Package {
        programs: programs(package, &name),
        uses,
        names: BTreeSet::new(),
        code: String::new(),
        name,
    };
    for path in sources(&folder)? {
        let text =
            fs::read_to_string(&path).map_err(|error| format!("{}: {error}", path.display()))?;
        let code = without_tests_and_comments(&text);
        made.names.extend(named(&code, constants));
        let file = path.file_name().unwrap_or_default().to_string_lossy();
        if made.name == "config" && BY_TEXT.contains(&file.as_ref()) {
            let by_text = params::ALL
                .iter()
                .filter(|info| code.contains(&format!("\"{}\"", info.name)));
            made.names.extend(by_text.map(|info| info.name));
        }
        made.code.push_str(&code);
    }
    Ok(made)
}

/// The names of a package's programs; sendmail has several names and is one program.
fn programs(package: &Value, name: &str) -> Vec<String> {
    let targets = package["targets"].as_array();
    let is_program = |target: &&Value| {
        target["kind"]
            .as_array()
            .is_some_and(|kinds| kinds.iter().any(|kind| kind == "bin"))
    };
    let mut programs: Vec<String> = targets
        .map(Vec::as_slice)
        .unwrap_or_default()
        .iter()
        .filter(is_program)
        .filter_map(|target| target["name"].as_str().map(str::to_owned))
        .collect();
    if programs.iter().any(|program| program == name) && name != "smtp" {
        programs = vec![name.to_owned()];
    }
    programs
}

/// Source files below `folder`, without those of tests and without the declarations.
fn sources(folder: &Path) -> Result<Vec<PathBuf>, String> {
    let mut found = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        if folder.ends_with("tests") || folder.ends_with(DECLARATIONS) {
            continue;
        }
        let entries =
            fs::read_dir(&folder).map_err(|error| format!("{}: {error}", folder.display()))?;
        for entry in entries.flatten() {
            let path = entry.path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|kind| kind == "rs")
                && !path.ends_with("tests.rs")
            {
                found.push(path);
            }
        }
    }
    found.sort();
    Ok(found)
}

/// The code up to its tests, without comments.
fn without_tests_and_comments(text: &str) -> String {
    let end = text.find("#[cfg(test)]\nmod tests {").unwrap_or(text.len());
    text[..end]
        .lines()
        .map(|line| line.split("//").next().unwrap_or_default())
        .collect::<Vec<_>>()
        .join("\n")
}

/// The parameters that code names: `params::NAME`, or `NAME` inside `pick!(…)`, which chooses between
/// the parameters of the two clients.
fn named(code: &str, constants: &BTreeMap<String, &'static str>) -> BTreeSet<&'static str> {
    let mut found = BTreeSet::new();
    let is_word = |character: char| character.is_ascii_alphanumeric() || character == '_';
    for (at, _) in code.match_indices("params::") {
        let rest = &code[at + "params::".len()..];
        let end = rest
            .find(|character| !is_word(character))
            .unwrap_or(rest.len());
        found.extend(constants.get(&rest[..end]));
    }
    for (at, _) in code.match_indices("pick!(") {
        let rest = &code[at..];
        let end = rest.find(')').unwrap_or(rest.len());
        let words = rest[..end].split(|character| !is_word(character));
        found.extend(words.filter_map(|word| constants.get(word)));
    }
    found
}

/// Constant to parameter, from the declarations.
fn constants() -> Result<BTreeMap<String, &'static str>, String> {
    let mut found = BTreeMap::new();
    let folder = build::top().join(DECLARATIONS);
    let entries =
        fs::read_dir(&folder).map_err(|error| format!("{}: {error}", folder.display()))?;
    for entry in entries.flatten() {
        let text = fs::read_to_string(entry.path())
            .map_err(|error| format!("{}: {error}", entry.path().display()))?;
        for line in text.lines() {
            let Some((constant, rest)) = line.trim().split_once(": ") else {
                continue;
            };
            let declared = rest.split('"').nth(1).and_then(params::find);
            if let Some(info) = declared.filter(|_| line.contains("\" = ")) {
                found.insert(constant.to_owned(), info.name);
            }
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_are_found_by_their_constants() {
        let constants = BTreeMap::from([
            ("MYHOSTNAME".to_owned(), "myhostname"),
            ("SMTP_BIND_ADDRESS".to_owned(), "smtp_bind_address"),
            ("LMTP_BIND_ADDRESS".to_owned(), "lmtp_bind_address"),
            ("MAX_USE".to_owned(), "max_use"),
        ]);
        let code = "let a = config.get(params::MYHOSTNAME);\n\
                    pick!(config, role, SMTP_BIND_ADDRESS, LMTP_BIND_ADDRESS);\n\
                    const MAX_USE: usize = 3;\n";
        let want = ["lmtp_bind_address", "myhostname", "smtp_bind_address"];
        assert_eq!(named(code, &constants), BTreeSet::from(want));
    }

    #[test]
    fn tests_and_comments_are_no_code() {
        let text = "a // params::B\n#[cfg(test)]\nmod tests;\nc\n#[cfg(test)]\nmod tests {\n d\n";
        let code = without_tests_and_comments(text);
        assert!(code.contains("a ") && code.contains('c'));
        assert!(!code.contains("params::B") && !code.contains(" d"));
    }
}
