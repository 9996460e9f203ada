//! Manual pages: `man/manN/*` with the parts that come from declarations filled in.
//!
//! A page may hold the lines `.\" @DAEMON` (the options of every daemon), `.\" @PARAMETERS NAME` (the
//! parameters that the program obeys) and `.\" @ALL PARAMETERS`.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::fs;
use std::path::{Path, PathBuf};

use postern_config::params::{self, ParamInfo, flag};

use crate::build;

/// Sections of the manual that there are.
const SECTIONS: [&str; 3] = ["1", "5", "8"];

/// What the options of a daemon mean; master(8) gives them.
const DAEMON_OPTIONS: &[(&str, &str)] = &[
    ("-c", "Confines the process to the queue directory."),
    ("-D", "Runs the program under \\fBdebugger_command\\fR."),
    ("-d", "May be started from a terminal, for tests."),
    (
        "-i \\fItime\\fR",
        "Ends after this time without a client (\\fBmax_idle\\fR).",
    ),
    ("-l", "The service has only one process."),
    (
        "-m \\fIcount\\fR",
        "Ends after so many clients (\\fBmax_use\\fR).",
    ),
    ("-n \\fIname\\fR", "The name of the service."),
    ("-o \\fIname=value\\fR", "Sets a parameter."),
    ("-r \\fIseconds\\fR", "Retires after this time."),
    ("-S", "Serves one client on standard input and output."),
    ("-s \\fIcount\\fR", "How many sockets are inherited."),
    ("-t \\fItype\\fR", "The kind of the sockets."),
    ("-u", "Runs with the rights of \\fBmail_owner\\fR."),
    ("-V", "Also logs to standard error."),
    ("-v", "Logs more; more often given, still more."),
    ("-z", "There is no limit of processes."),
];

/// One page, ready to be shown.
#[derive(Debug)]
pub(crate) struct Page {
    /// `manN/NAME.N`.
    pub(crate) path: PathBuf,
    pub(crate) text: String,
}

/// Writes all pages below a folder, by default `target/man`.
pub(crate) fn man(args: &[String]) -> Result<(), String> {
    let target = match args {
        [] => build::top().join("target/man"),
        [directory] => PathBuf::from(directory),
        _ => return Err("man: one directory at most".to_owned()),
    };
    write(&target).map_err(|error| format!("{}: {error}", target.display()))?;
    println!("manual pages are in {}", target.display());
    Ok(())
}

/// Writes all pages below `target`, as `manN/NAME.N`.
pub(crate) fn write(target: &Path) -> std::io::Result<()> {
    for page in pages()? {
        let path = target.join(&page.path);
        fs::create_dir_all(path.parent().unwrap_or(target))?;
        fs::write(path, page.text)?;
    }
    Ok(())
}

/// All pages, filled in.
pub(crate) fn pages() -> std::io::Result<Vec<Page>> {
    let meanings = meanings()?;
    let mut found = Vec::new();
    for section in SECTIONS {
        let folder = format!("man{section}");
        for entry in fs::read_dir(build::top().join("man").join(&folder))? {
            let entry = entry?;
            let text = fs::read_to_string(entry.path())?;
            found.push(Page {
                path: Path::new(&folder).join(entry.file_name()),
                text: fill(&text, &meanings),
            });
        }
    }
    found.sort_by(|left, right| left.path.cmp(&right.path));
    Ok(found)
}

fn fill(text: &str, meanings: &BTreeMap<String, String>) -> String {
    let mut out = String::new();
    for line in text.lines() {
        match line.strip_prefix(".\\\" @") {
            Some("DAEMON") => daemon_options(&mut out),
            Some("ALL PARAMETERS") => all_parameters(&mut out, meanings),
            Some(rest) => {
                let program = rest.strip_prefix("PARAMETERS ").unwrap_or_default();
                parameters_of(program, &mut out, meanings);
            }
            None => {
                out.push_str(line);
                out.push('\n');
            }
        }
    }
    out
}

fn daemon_options(out: &mut String) {
    out.push_str(".SH OPTIONS\nGiven by \\fBmaster\\fR(8).\n");
    for (option, meaning) in DAEMON_OPTIONS {
        let (letter, value) = option.split_at(2);
        let _ = write!(
            out,
            ".TP\n\\fB{}\\fR{value}\n{meaning}\n",
            letter.replace('-', "\\-")
        );
    }
}

/// The parameters that a program obeys, but for those that all programs have in common.
fn parameters_of(program: &str, out: &mut String, meanings: &BTreeMap<String, String>) {
    let obeyed: Vec<&ParamInfo> = params::ALL
        .iter()
        .copied()
        .filter(|info| {
            params::readers(info.name)
                .is_some_and(|readers| readers.programs.split(',').any(|name| name == program))
        })
        .collect();
    out.push_str(".SH CONFIGURATION PARAMETERS\n");
    if obeyed.is_empty() {
        out.push_str("Only those of all programs, see \\fBpostconf\\fR(5).\n");
        return;
    }
    out.push_str("Besides those of all programs, see \\fBpostconf\\fR(5):\n.ad l\n");
    for info in obeyed {
        entry(info, out, meanings);
    }
}

fn all_parameters(out: &mut String, meanings: &BTreeMap<String, String>) {
    out.push_str(".SH PARAMETERS\n.ad l\n");
    let hidden = flag::ONLY_3_12 | flag::REMOVED;
    for info in params::ALL.iter().filter(|info| info.flags & hidden == 0) {
        entry(info, out, meanings);
        let reason = params::readers(info.name).map_or("", |readers| readers.reason);
        if !reason.is_empty() {
            let _ = writeln!(out, ".br\nNote: {}.", escape(reason));
        }
    }
}

/// One parameter: name, default, meaning.
fn entry(info: &ParamInfo, out: &mut String, meanings: &BTreeMap<String, String>) {
    let default = match info.default {
        "" => "empty, or found out".to_owned(),
        text => breakable(&escape(text.trim())),
    };
    let _ = write!(
        out,
        ".TP\n\\fB{}\\fR ({default})\n{}\n",
        info.name,
        meanings.get(info.name).map_or("", String::as_str)
    );
}

/// Lets long words without blanks be broken after punctuation.
fn breakable(text: &str) -> String {
    text.split_inclusive([',', '/', ':', '=', '{', '}', '_', '^', '%'])
        .collect::<Vec<_>>()
        .join("\\:")
}

/// What roff(7) would take for its own.
fn escape(text: &str) -> String {
    let mut text = text.replace('\\', "\\e").replace('-', "\\-");
    text = text.replace('\n', " ");
    if text.starts_with(['.', '\'']) {
        text.insert_str(0, "\\&");
    }
    text
}

/// The doc comments of the declarations, by parameter.
fn meanings() -> std::io::Result<BTreeMap<String, String>> {
    let mut found = BTreeMap::new();
    for entry in fs::read_dir(build::top().join("crates/lib/config/src/params"))? {
        let text = fs::read_to_string(entry?.path())?;
        let mut comment = Vec::new();
        for line in text.lines().map(str::trim) {
            if let Some(part) = line.strip_prefix("/// ") {
                comment.push(part.to_owned());
                continue;
            }
            let mut quoted = line.split('"');
            if let (Some(before), Some(name)) = (quoted.next(), quoted.next())
                && before.contains(": ")
                && !comment.is_empty()
            {
                found.insert(name.to_owned(), escape(&plain(&comment.join(" "))));
            }
            comment.clear();
        }
    }
    Ok(found)
}

/// Without the marks of rustdoc.
fn plain(text: &str) -> String {
    text.replace(['`', '['], "").replace(']', "")
}

#[cfg(test)]
mod tests {
    use std::process::{Command, Stdio};

    use super::*;
    use crate::install::{COMMANDS, DAEMONS};

    fn page(name: &str, section: &str) -> String {
        let path = Path::new(&format!("man{section}")).join(format!("{name}.{section}"));
        let found = pages().unwrap().into_iter().find(|page| page.path == path);
        found
            .unwrap_or_else(|| panic!("there is no {}", path.display()))
            .text
    }

    /// The option letters in a program's code: what it gives to getopt(3).
    fn letters(folder: &str) -> Vec<char> {
        let mut found = Vec::new();
        for entry in fs::read_dir(build::top().join(folder).join("src")).unwrap() {
            let Ok(text) = fs::read_to_string(entry.unwrap().path()) else {
                continue;
            };
            let code = text.split("#[cfg(test)]").next().unwrap_or_default();
            for line in code.lines() {
                let marks = [
                    "Getopt::new(\"",
                    "Getopt::from_process(\"",
                    "LETTERS: &str = \"",
                    "LETTERS: &'static str = \"",
                ];
                let start = marks.iter().find_map(|mark| line.split_once(mark));
                if let Some((_, rest)) = start {
                    let list = rest.split('"').next().unwrap_or_default();
                    found.extend(list.chars().filter(|letter| *letter != ':'));
                }
            }
        }
        found
    }

    fn has_option(page: &str, letter: char) -> bool {
        let page = page.replace("\\-", "-");
        let single = format!("-{letter}");
        page.lines().any(|line| {
            line.contains(&format!("\\fB{single}\\fR"))
                || line.contains(&format!("\\fB{single} "))
                || (line.starts_with(&format!("\\fB{single}")) && letter != '-')
        })
    }

    #[test]
    fn every_program_has_a_page_with_every_option() {
        for name in COMMANDS {
            let page = page(name, "1");
            for letter in letters(&format!("crates/commands/{name}")) {
                assert!(has_option(&page, letter), "{name}(1) lacks -{letter}");
            }
        }
        for name in DAEMONS {
            let page = page(name, "8");
            if *name == "master" {
                for letter in letters("crates/daemons/master") {
                    assert!(has_option(&page, letter), "master(8) lacks -{letter}");
                }
            } else if *name != "lmtp" {
                assert!(page.contains("Given by"), "{name}(8) lacks options");
            }
        }
        for name in ["mailq", "newaliases"] {
            assert!(page(name, "1").contains("sendmail.1"));
        }
    }

    /// The letters of the options that have an entry in a page.
    fn entries(page: &str) -> Vec<char> {
        let lines = page.lines().zip(page.lines().skip(1));
        let heads = lines
            .filter(|(line, _)| *line == ".TP")
            .map(|(_, head)| head);
        let words = heads.flat_map(|head| head.split("\\fB"));
        let options = words.filter_map(|word| word.strip_prefix("\\-"));
        let letters = options.filter_map(|rest| rest.chars().next());
        letters
            .filter(|letter| letter.is_ascii_alphanumeric())
            .collect()
    }

    #[test]
    fn no_page_has_an_option_that_its_program_does_not_know() {
        for name in COMMANDS {
            let known = letters(&format!("crates/commands/{name}"));
            let page = page(name, "1");
            // The options of postfix(1)'s own commands have entries, too.
            let before = page.split(".SH TLS").next().unwrap_or_default();
            for letter in entries(before) {
                assert!(
                    known.is_empty() || known.contains(&letter),
                    "{name}(1): -{letter} is unknown"
                );
            }
        }
    }

    #[test]
    fn long_options_are_explained() {
        for name in COMMANDS {
            let folder = build::top().join(format!("crates/commands/{name}/src"));
            let files = fs::read_dir(folder)
                .unwrap()
                .map(|entry| entry.unwrap().path());
            let mut texts = files.filter_map(|path| fs::read_to_string(path).ok());
            let is_known = texts.any(|text| text.contains("\"--json\""));
            let is_explained = page(name, "1").contains("\\-\\-json");
            assert_eq!(is_known, is_explained, "{name}");
        }
    }

    #[test]
    fn options_are_found_in_the_code() {
        assert_eq!(letters("crates/commands/postlog").len(), 5);
        assert!(letters("crates/commands/sendmail").len() > 20);
    }

    #[test]
    fn every_parameter_is_explained() {
        let meanings = meanings().unwrap();
        for info in params::ALL {
            assert!(meanings.contains_key(info.name), "{}", info.name);
        }
        assert!(page("postconf", "5").contains("\n\\fBmyhostname\\fR"));
        assert!(page("smtpd", "8").contains("\\fBsmtpd_banner\\fR"));
    }

    #[test]
    fn nothing_is_left_to_fill_in_and_roff_has_no_complaints() {
        let folder = std::env::temp_dir().join(format!("postern-man-{}", std::process::id()));
        write(&folder).unwrap();
        for page in pages().unwrap() {
            assert!(!page.text.contains(".\\\" @"), "{}", page.path.display());
            if page.text.starts_with(".so ") {
                continue;
            }
            let path = folder.join(&page.path);
            let output = Command::new("groff")
                .args(["-ww", "-man", "-Tutf8"])
                .arg(&path)
                .stdin(Stdio::null())
                .output();
            // Without groff(1) there is nobody to ask.
            if let Ok(output) = output {
                let complaints = String::from_utf8_lossy(&output.stderr).into_owned();
                assert_eq!(complaints, "", "{}", page.path.display());
            }
        }
        fs::remove_dir_all(&folder).unwrap();
    }

    #[test]
    fn text_is_not_taken_for_requests() {
        assert_eq!(escape(".a -b \\c"), "\\&.a \\-b \\ec");
    }
}
