//! `postfix-files`: which files and directories an installation has, who owns them, and their modes.
//!
//! A line is `$PARAMETER/rest:TYPE:OWNER:GROUP:MODE:FLAGS`. Sites add files of their own to
//! `postfix-files.d`. Types: `d` directory, `f` file, `l` and `h` links, which are for package tools.
//! Flags: `c` make the directory when it is missing, `u` touch it also when upgrading, `r` everything
//! below it, `o` obsolete.

use std::fs;
use std::path::{Path, PathBuf};

use postern_config::{Config, params};

use crate::program::Failure;

/// One file or directory of an installation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Entry {
    pub(crate) path: PathBuf,
    pub(crate) is_directory: bool,
    pub(crate) owner: String,
    /// None leaves the group alone.
    pub(crate) group: Option<String>,
    /// As written, octal.
    pub(crate) mode: String,
    /// Made when it is missing.
    pub(crate) is_created: bool,
    /// Set also by `upgrade-permissions`.
    pub(crate) is_upgraded: bool,
    /// What is below has the same owner and group; its directories have the same mode.
    pub(crate) is_recursive: bool,
}

/// The directories of an installation without `postfix-files`, in that file's form.
const BUILT_IN: &str = "\
$queue_directory:d:root:-:755:uc
$data_directory:d:$mail_owner:-:700:uc
$queue_directory/active:d:$mail_owner:-:700:ucr
$queue_directory/bounce:d:$mail_owner:-:700:ucr
$queue_directory/corrupt:d:$mail_owner:-:700:ucr
$queue_directory/defer:d:$mail_owner:-:700:ucr
$queue_directory/deferred:d:$mail_owner:-:700:ucr
$queue_directory/flush:d:$mail_owner:-:700:ucr
$queue_directory/hold:d:$mail_owner:-:700:ucr
$queue_directory/incoming:d:$mail_owner:-:700:ucr
$queue_directory/private:d:$mail_owner:-:700:uc
$queue_directory/maildrop:d:$mail_owner:$setgid_group:1730:uc
$queue_directory/public:d:$mail_owner:$setgid_group:2710:uc
$queue_directory/pid:d:root:-:755:uc
$queue_directory/saved:d:$mail_owner:-:700:ucr
$queue_directory/trace:d:$mail_owner:-:700:ucr
$command_directory/postdrop:f:root:$setgid_group:2755:u
$command_directory/postqueue:f:root:$setgid_group:2755:u
";

/// What the installation consists of: `postfix-files` of the meta directory, or the built-in list where
/// there is none, and `postfix-files.d/*`.
pub(crate) fn read(config: &Config) -> Result<Vec<Entry>, Failure> {
    let meta = PathBuf::from(config.get(params::META_DIRECTORY));
    let main = meta.join("postfix-files");
    let text = fs::read_to_string(&main).unwrap_or_else(|_| BUILT_IN.to_owned());
    let mut entries = parse(&text, &main.display().to_string(), config)?;
    for path in additions(&meta.join("postfix-files.d")) {
        if let Ok(text) = fs::read_to_string(&path) {
            entries.extend(parse(&text, &path.display().to_string(), config)?);
        }
    }
    Ok(entries)
}

/// The files of `postfix-files.d`, sorted.
fn additions(directory: &Path) -> Vec<PathBuf> {
    let Ok(found) = fs::read_dir(directory) else {
        return Vec::new();
    };
    let mut found: Vec<PathBuf> = found
        .filter_map(Result::ok)
        .map(|entry| entry.path())
        .filter(|path| path.is_file())
        .collect();
    found.sort();
    found
}

fn parse(text: &str, shown: &str, config: &Config) -> Result<Vec<Entry>, Failure> {
    let expand = |text: &str| {
        config
            .expand(text, &|_| None)
            .unwrap_or_else(|_| text.to_owned())
    };
    let mut found = Vec::new();
    // Only lines that name a parameter count: comments and blanks do not.
    for line in text.lines().filter(|line| line.starts_with('$')) {
        if let Some(entry) = parse_line(line, shown, &expand)? {
            found.push(entry);
        }
    }
    Ok(found)
}

fn parse_line(
    line: &str,
    shown: &str,
    expand: &dyn Fn(&str) -> String,
) -> Result<Option<Entry>, Failure> {
    let mut fields = line.split(':').map(str::trim);
    let mut field = || fields.next().unwrap_or_default();
    let (path, kind, owner, group, mode, flags) =
        (field(), field(), field(), field(), field(), field());
    let is_directory = match kind {
        "d" => true,
        "f" => false,
        "l" | "h" => return Ok(None),
        _ => {
            postern_command::complain!("unknown type {kind} for {path} in {shown}");
            return Err(Failure::TOLD);
        }
    };
    let path = expand(path);
    // A directory parameter set to "no" stands for what is not installed.
    if !path.starts_with('/') || flags.contains('o') {
        return Ok(None);
    }
    Ok(Some(Entry {
        path: PathBuf::from(path),
        is_directory,
        owner: expand(owner),
        group: (group != "-" && !group.is_empty()).then(|| expand(group)),
        mode: mode.to_owned(),
        is_created: is_directory && flags.contains('c'),
        is_upgraded: flags.contains('u'),
        is_recursive: flags.contains('r'),
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config() -> Config {
        Config::from_text(
            "queue_directory = /q\nmail_owner = m\nsetgid_group = g\nhtml_directory = no\n\
             command_directory = /c\ndata_directory = /d\n",
        )
        .unwrap()
    }

    #[test]
    fn lines_that_name_a_parameter_count() {
        let text = "#$queue_directory:d:x\n/literal:d:root:-:755:uc\n\
                    $queue_directory/maildrop:d:$mail_owner:$setgid_group:1730:ucr\n\
                    $html_directory/x:d:root:-:755:uc\n$queue_directory/l:l:x\n$queue_directory/h:h:x\n\
                    $queue_directory/old:f:root:-:644:o\n$queue_directory/f:f:root:-:644\n";
        let found = parse(text, "F", &config()).ok().unwrap();
        let want = [
            Entry {
                path: "/q/maildrop".into(),
                is_directory: true,
                owner: "m".into(),
                group: Some("g".into()),
                mode: "1730".into(),
                is_created: true,
                is_upgraded: true,
                is_recursive: true,
            },
            Entry {
                path: "/q/f".into(),
                is_directory: false,
                owner: "root".into(),
                group: None,
                mode: "644".into(),
                is_created: false,
                is_upgraded: false,
                is_recursive: false,
            },
        ];
        assert_eq!(found, want);
    }

    #[test]
    fn the_built_in_list_is_valid() {
        let found = parse(BUILT_IN, "F", &config()).ok().unwrap();
        assert_eq!(found.len(), BUILT_IN.lines().count());
    }

    #[test]
    fn unknown_types_are_refused() {
        assert!(parse("$queue_directory/bad:z:root:-:755:uc\n", "F", &config()).is_err());
    }
}
