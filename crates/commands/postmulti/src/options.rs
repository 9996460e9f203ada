//! The command line.

use std::collections::BTreeMap;
use std::ffi::OsString;

use postern_command::{Getopt, Opt};

const USAGE: &str = "Usage:postmulti -l [-v] [-a] [-g group] [-i instance] | \
    postmulti -p [-v] [-a] [-g group] [-i instance] command... | \
    postmulti -x [-v] [-a] [-i name] [-g group] command... | \
    postmulti -e action [-v] [-a] [-i name] [-g group] [-I name] [-G group] [param=value ...]";

/// Which instances, or where a new one goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Selection {
    /// Nothing given.
    Default,
    /// `-a`: all; a new one goes to the front.
    All,
    /// `-g`.
    Group(String),
    /// `-i`: a name, `-`, or a configuration directory.
    Name(String),
}

/// What `-e` asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verb {
    Init,
    Create,
    Import,
    Destroy,
    Deport,
    Enable,
    Disable,
    Assign,
}

const VERBS: &[(&str, Verb)] = &[
    ("create", Verb::Create),
    ("destroy", Verb::Destroy),
    ("import", Verb::Import),
    ("deport", Verb::Deport),
    ("enable", Verb::Enable),
    ("disable", Verb::Disable),
    ("assign", Verb::Assign),
    ("init", Verb::Init),
];

impl Verb {
    fn name(self) -> &'static str {
        VERBS
            .iter()
            .find(|(_, verb)| *verb == self)
            .map_or("", |(name, _)| name)
    }
}

/// What is to be done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Action {
    List,
    Postfix(Vec<OsString>),
    Command(Vec<OsString>),
    Edit(Verb),
}

/// The command line, understood.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Options {
    pub(crate) action: Action,
    pub(crate) selection: Selection,
    /// `-R`.
    pub(crate) reverse: bool,
    /// `--json`, with `-l`.
    pub(crate) json: bool,
    /// `-I`; an empty name for `-`.
    pub(crate) name: Option<String>,
    /// `-G`; an empty group for `-`.
    pub(crate) group: Option<String>,
    /// `name=value` words.
    pub(crate) settings: BTreeMap<String, String>,
    pub(crate) verbose: u32,
}

/// Letters as they come, before they are judged together.
#[derive(Default)]
struct Letters {
    modes: Vec<char>,
    verb: Option<Verb>,
    selections: Vec<Selection>,
    reverse: bool,
    json: bool,
    name: Option<String>,
    group: Option<String>,
    verbose: u32,
}

impl Options {
    /// Reads the process's arguments. The error is a line to log.
    pub(crate) fn from_process() -> Result<Self, String> {
        Self::read(std::env::args_os().skip(1))
    }

    fn read(args: impl IntoIterator<Item = OsString>) -> Result<Self, String> {
        let mut reader = Getopt::new("ae:g:i:G:I:lpRvx", args);
        let mut letters = Letters {
            json: reader.take_long("--json"),
            ..Letters::default()
        };
        for option in reader.by_ref() {
            letters.accept(option)?;
        }
        letters.judge(reader.operands())
    }
}

impl Letters {
    fn accept(&mut self, option: Opt) -> Result<(), String> {
        if let Some(complaint) = option.complaint("postmulti") {
            postern_command::complain!("{complaint}");
            return Err(USAGE.to_owned());
        }
        match option {
            Opt::Flag('a') => self.selections.push(Selection::All),
            Opt::Flag('R') => self.reverse = true,
            Opt::Flag('v') => self.verbose += 1,
            Opt::Flag(mode) => self.modes.push(mode),
            Opt::Value(letter, value) => {
                let value = value.to_string_lossy().into_owned();
                match letter {
                    'e' => {
                        self.modes.push('e');
                        self.verb = Some(verb(&value)?);
                    }
                    'g' => self.selections.push(Selection::Group(value)),
                    'i' => self.selections.push(Selection::Name(value)),
                    'G' => self.group = Some(value),
                    _ => self.name = Some(value),
                }
            }
            Opt::Unknown(_) | Opt::Missing(_) => {}
        }
        Ok(())
    }

    fn judge(self, operands: Vec<OsString>) -> Result<Options, String> {
        let mut selections = self.selections.into_iter();
        let selection = selections.next().unwrap_or(Selection::Default);
        if selections.next().is_some() {
            return Err("Specity no more than one of '-a', '-g', '-i'".to_owned());
        }
        let [mode] = self.modes.as_slice() else {
            return Err("Specify exactly one of '-e', '-l', '-p', '-x'".to_owned());
        };
        let mut options = Options {
            action: Action::List,
            selection,
            reverse: self.reverse,
            json: self.json,
            name: self.name,
            group: self.group,
            settings: BTreeMap::new(),
            verbose: self.verbose,
        };
        if options.json && *mode != 'l' {
            return Err("Specify '--json' with '-l' only".to_owned());
        }
        if options.reverse && matches!(mode, 'p' | 'e') {
            return Err("The '-p' and '-e' options preclude the use of '-R'".to_owned());
        }
        if let Some(verb) = self.verb {
            options.action = Action::Edit(verb);
            options.judge_edit(verb, &operands)?;
            return Ok(options);
        }
        if options.name.is_some() || options.group.is_some() {
            return Err("Cannot assign instance name or group without '-e assign'".to_owned());
        }
        if *mode != 'l' && operands.is_empty() {
            return Err("Command required with '-p' or '-x' option".to_owned());
        }
        options.action = match mode {
            'l' if !operands.is_empty() => return Err("Command not allowed with '-l'".to_owned()),
            'l' => Action::List,
            'p' => Action::Postfix(operands),
            _ => Action::Command(operands),
        };
        Ok(options)
    }
}

impl Options {
    fn judge_edit(&mut self, verb: Verb, operands: &[OsString]) -> Result<(), String> {
        let shown = verb.name();
        let is_new = matches!(verb, Verb::Create | Verb::Import);
        let names_it = self.name.is_some() || self.group.is_some();
        if !is_new && !operands.is_empty() {
            return Err(format!("Parameter overrides not valid with '-e {shown}'"));
        }
        if !is_new && verb != Verb::Assign && names_it {
            return Err(format!(
                "Cannot assign instance name or group with '-e {shown}'"
            ));
        }
        if verb == Verb::Assign && !names_it {
            return Err("Specify new instance name or group with '-e assign'".to_owned());
        }
        if !is_new && verb != Verb::Init && !matches!(self.selection, Selection::Name(_)) {
            return Err("Select an instance via '-i name'".to_owned());
        }
        if let Some(name) = &self.name {
            check_name(name)?;
        }
        if let Some(group) = &self.group
            && group != "-"
            && !is_safe(group)
        {
            return Err(format!("Unsafe characters in '-G {group}'"));
        }
        for value in [&mut self.name, &mut self.group].into_iter().flatten() {
            if value == "-" {
                value.clear();
            }
        }
        for word in operands {
            self.accept_setting(verb, &word.to_string_lossy())?;
        }
        Ok(())
    }

    fn accept_setting(&mut self, verb: Verb, word: &str) -> Result<(), String> {
        let Some((name, value)) = word.split_once('=') else {
            return Err(format!("Malformed parameter setting '{word}'"));
        };
        let (name, value) = (name.trim(), value.trim());
        let is_known = match verb {
            Verb::Import => name == "config_directory",
            _ => matches!(
                name,
                "config_directory" | "queue_directory" | "data_directory"
            ),
        };
        if !is_known {
            return Err(format!(
                "Parameter '{name}' not valid with action {}",
                verb.name()
            ));
        }
        if !value.starts_with('/') {
            return Err(format!(
                "Parameter setting '{name}' is not an absolute path"
            ));
        }
        let trimmed = value.trim_end_matches('/');
        let value = if trimmed.is_empty() { "/" } else { trimmed };
        self.settings.insert(name.to_owned(), value.to_owned());
        Ok(())
    }
}

fn verb(text: &str) -> Result<Verb, String> {
    VERBS
        .iter()
        .find(|(name, _)| *name == text)
        .map(|(_, verb)| *verb)
        .ok_or_else(|| {
            format!(
                "Invalid '-e' edit action '{text}'. Specify 'create', 'destroy', 'import', 'deport', \
                 'enable', 'disable', 'assign' or 'init'"
            )
        })
}

/// Names become parts of paths, log tags and shell commands.
fn check_name(name: &str) -> Result<(), String> {
    if name == "-" {
        return Ok(());
    }
    if !name.starts_with("postfix-") {
        return Err("New instance name must start with 'postfix-'".to_owned());
    }
    if name.contains('/') {
        return Err(format!(
            "Illegal '/' character in new instance name: '{name}'"
        ));
    }
    if !is_safe(name) {
        return Err(format!("Unsafe characters in new instance name: '{name}'"));
    }
    Ok(())
}

fn is_safe(text: &str) -> bool {
    text.bytes()
        .all(|byte| byte.is_ascii_alphanumeric() || b"!@%-_=+:./".contains(&byte))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(line: &str) -> Result<Options, String> {
        Options::read(line.split_whitespace().map(OsString::from))
    }

    #[test]
    fn mistakes_have_the_texts_of_the_reference() {
        let mode = "Specify exactly one of '-e', '-l', '-p', '-x'";
        #[rustfmt::skip]
        let cases = [
            ("", mode),
            ("-l -p", mode),
            ("-l -e init", mode),
            ("-l x", "Command not allowed with '-l'"),
            ("-e", USAGE),
            ("-z", USAGE),
            ("-e foo", "Invalid '-e' edit action 'foo'. Specify 'create', 'destroy', 'import', 'deport', 'enable', 'disable', 'assign' or 'init'"),
            ("-p", "Command required with '-p' or '-x' option"),
            ("-x", "Command required with '-p' or '-x' option"),
            ("-p -R status", "The '-p' and '-e' options preclude the use of '-R'"),
            ("-e create -R", "The '-p' and '-e' options preclude the use of '-R'"),
            ("-e init x", "Parameter overrides not valid with '-e init'"),
            ("-e init -I postfix-x", "Cannot assign instance name or group with '-e init'"),
            ("-l -I bad", "Cannot assign instance name or group without '-e assign'"),
            ("-e create -I a", "New instance name must start with 'postfix-'"),
            ("-e create -I postfix-a~", "Unsafe characters in new instance name: 'postfix-a~'"),
            ("-e create -I postfix-a/b", "Illegal '/' character in new instance name: 'postfix-a/b'"),
            ("-e create -I postfix-a -G a,b", "Unsafe characters in '-G a,b'"),
            ("-e destroy", "Select an instance via '-i name'"),
            ("-e enable -a", "Select an instance via '-i name'"),
            ("-e deport -I postfix-x -i -", "Cannot assign instance name or group with '-e deport'"),
            ("-e assign -i -", "Specify new instance name or group with '-e assign'"),
            ("-e assign -a -i -", "Specity no more than one of '-a', '-g', '-i'"),
            ("-e enable -i - x", "Parameter overrides not valid with '-e enable'"),
            ("-e create a", "Malformed parameter setting 'a'"),
            ("-e create foo=bar", "Parameter 'foo' not valid with action create"),
            ("-e import queue_directory=/x", "Parameter 'queue_directory' not valid with action import"),
            ("-e create queue_directory=", "Parameter setting 'queue_directory' is not an absolute path"),
        ];
        for (line, want) in cases {
            assert_eq!(read(line), Err(want.to_owned()), "{line}");
        }
    }

    #[test]
    fn a_dash_takes_name_and_group_away() {
        let options = read("-e assign -i /etc/x -I - -G -").unwrap();
        assert_eq!(
            (options.name, options.group),
            (Some(String::new()), Some(String::new()))
        );
        assert_eq!(options.selection, Selection::Name("/etc/x".to_owned()));
    }

    #[test]
    fn slashes_at_the_end_of_a_directory_are_dropped() {
        let options = read("-e create data_directory=/run/d//").unwrap();
        assert_eq!(options.settings.get("data_directory").unwrap(), "/run/d");
    }

    #[test]
    fn the_command_starts_after_the_options() {
        let want = Action::Postfix(vec!["start".into(), "-l".into()]);
        assert_eq!(read("-p -- start -l").unwrap().action, want);
    }
}
