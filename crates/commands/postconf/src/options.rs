//! The command line: options, their conflicts, and the usage message.

use std::io::Write;
use std::path::PathBuf;

use postern_config::words::name_set;
use postern_config::{Config, DEFAULT_DIRECTORY};

use crate::Fatal;

/// Options without an argument, in the order that messages list them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Flag {
    SaslServer,
    SaslClient,
    ExpandedTemplates,
    Defaults,
    Edit,
    Fold,
    MasterField,
    HideName,
    HideValue,
    Json,
    Locks,
    Tables,
    MasterEntry,
    NonDefault,
    Override,
    MainParam,
    MasterParam,
    AllMasterParams,
    RawTemplates,
    Tls,
    Expand,
    Remove,
    CommentOut,
}

use Flag::*;

const FLAGS: &[(Flag, char)] = &[
    (SaslServer, 'a'),
    (SaslClient, 'A'),
    (ExpandedTemplates, 'b'),
    (Defaults, 'd'),
    (Edit, 'e'),
    (Fold, 'f'),
    (MasterField, 'F'),
    (HideName, 'h'),
    (HideValue, 'H'),
    (Json, 'j'),
    (Locks, 'l'),
    (Tables, 'm'),
    (MasterEntry, 'M'),
    (NonDefault, 'n'),
    (Override, 'o'),
    (MainParam, 'p'),
    (MasterParam, 'P'),
    (AllMasterParams, 'P'),
    (RawTemplates, 't'),
    (Tls, 'T'),
    (Expand, 'x'),
    (Remove, 'X'),
    (CommentOut, '#'),
];

/// Modes, of which one may be chosen.
const MODES: &[Flag] = &[
    SaslServer,
    SaslClient,
    ExpandedTemplates,
    MasterField,
    Locks,
    Tables,
    MasterEntry,
    MainParam,
    MasterParam,
    RawTemplates,
    Tls,
];

/// Sets of options of which one may be given.
const EXCLUSIVE: &[&[Flag]] = &[
    MODES,
    &[AllMasterParams, Edit, Remove, CommentOut],
    &[Defaults, Edit, NonDefault, Remove, CommentOut],
    &[Fold, Edit, Remove, CommentOut],
    &[Expand, Edit, Remove, CommentOut],
    &[Override, Defaults, Edit, Remove, CommentOut],
    &[HideName, HideValue, Edit, Remove, CommentOut],
];

/// What a mode takes besides itself.
const ALLOWED: &[(Flag, &[Flag])] = &[
    (
        MasterEntry,
        &[Edit, Remove, CommentOut, Fold, Override, Expand, Json],
    ),
    (
        MasterField,
        &[Edit, Fold, HideName, HideValue, Override, Expand, Json],
    ),
    (
        MasterParam,
        &[
            AllMasterParams,
            Edit,
            Remove,
            Fold,
            HideName,
            HideValue,
            Override,
            Expand,
            Json,
        ],
    ),
    (SaslServer, &[]),
    (SaslClient, &[]),
    (ExpandedTemplates, &[]),
    (Locks, &[]),
    (Tables, &[]),
    (RawTemplates, &[]),
    (Tls, &[]),
];

/// Bits of [`Options::classes`].
pub(crate) const BUILTIN: u32 = 1;
pub(crate) const SERVICE: u32 = 2;
pub(crate) const USER: u32 = 4;

/// What the command line says.
#[derive(Debug, Default)]
pub(crate) struct Options {
    flags: Vec<Flag>,
    /// The configuration directory, and whether it was chosen.
    pub(crate) directory: PathBuf,
    pub(crate) is_directory_chosen: bool,
    pub(crate) overrides: Vec<(String, String)>,
    pub(crate) classes: u32,
    pub(crate) tls_mode: Option<String>,
    pub(crate) is_quiet: bool,
    /// How often `-v` was given.
    pub(crate) verbosity: u32,
    /// The other arguments.
    pub(crate) words: Vec<String>,
}

impl Options {
    /// Reads options up to the first other argument.
    pub(crate) fn parse(arguments: Vec<String>) -> Result<Self, Fatal> {
        let mut options = Self {
            classes: BUILTIN | SERVICE | USER,
            ..Self::default()
        };
        let mut directory = None;
        let mut rest = arguments.into_iter();
        while let Some(word) = rest.next() {
            if word == "--" {
                break;
            }
            if word == "--json" {
                options.add(Json);
                continue;
            }
            let Some(letters) = word.strip_prefix('-').filter(|letters| !letters.is_empty()) else {
                options.words.push(word);
                break;
            };
            for (index, letter) in letters.char_indices() {
                if !matches!(letter, 'c' | 'C' | 'o' | 'T') {
                    options.letter(letter)?;
                    continue;
                }
                let inline = &letters[index + letter.len_utf8()..];
                let value = if inline.is_empty() {
                    rest.next()
                } else {
                    Some(inline.to_string())
                };
                let value = value
                    .ok_or_else(|| usage(&format!("option requires an argument -- '{letter}'")))?;
                match letter {
                    'c' => directory = Some(PathBuf::from(value)),
                    _ => options.argument(letter, value)?,
                }
                break;
            }
        }
        options.words.extend(rest);
        let from_environment =
            || std::env::var_os("MAIL_CONFIG").filter(|_| !postern_sys::user::is_set_id());
        let chosen = directory.or_else(|| from_environment().map(PathBuf::from));
        options.is_directory_chosen = chosen.is_some();
        options.directory = chosen.unwrap_or_else(|| PathBuf::from(DEFAULT_DIRECTORY));
        Ok(options)
    }

    fn letter(&mut self, letter: char) -> Result<(), Fatal> {
        match letter {
            'v' => self.verbosity += 1,
            'q' => self.is_quiet = true,
            'E' => return Err(Fatal::text(usage_text())),
            'P' if self.has(MasterParam) => self.add(AllMasterParams),
            _ => {
                let known = FLAGS.iter().find(|(_, known)| *known == letter);
                let (flag, _) =
                    known.ok_or_else(|| usage(&format!("invalid option -- '{letter}'")))?;
                self.add(*flag);
            }
        }
        Ok(())
    }

    fn argument(&mut self, letter: char, value: String) -> Result<(), Fatal> {
        match letter {
            'C' => {
                let known = [
                    ("builtin", BUILTIN),
                    ("service", SERVICE),
                    ("user", USER),
                    ("all", BUILTIN | SERVICE | USER),
                ];
                self.classes = name_set("-C option", &value, &known, true)?;
            }
            'o' => {
                self.add(Override);
                let setting = postern_config::lines::split_name_value(&value).map_err(|error| {
                    let problem = match error {
                        postern_config::lines::SplitError::MissingName => "missing attribute name",
                        postern_config::lines::SplitError::MissingEquals => {
                            "missing '=' after attribute name"
                        }
                    };
                    Fatal::Text(format!("invalid parameter override: {value}: {problem}"))
                })?;
                self.overrides
                    .push((setting.0.to_string(), setting.1.to_string()));
            }
            _ => {
                if self.tls_mode.is_some() {
                    return Err(Fatal::text("At most one -T <mode> option may be specified"));
                }
                self.add(Tls);
                self.tls_mode = Some(value);
            }
        }
        Ok(())
    }

    fn add(&mut self, flag: Flag) {
        if !self.has(flag) {
            self.flags.push(flag);
        }
    }

    pub(crate) fn has(&self, flag: Flag) -> bool {
        self.flags.contains(&flag)
    }

    pub(crate) fn has_any(&self, flags: &[Flag]) -> bool {
        flags.iter().any(|flag| self.has(*flag))
    }

    /// Whether the files are to be changed: asked for, or implied by the first word.
    pub(crate) fn is_edit(&self) -> bool {
        self.has_any(&[Edit, Remove, CommentOut])
    }

    /// Refuses options that contradict each other.
    fn check(&self) -> Result<(), Fatal> {
        for set in EXCLUSIVE {
            let given = self.given(set);
            if given.len() > 1 {
                if given == [ExpandedTemplates, RawTemplates] {
                    return Err(Fatal::text("specify one of -b and -t"));
                }
                let given = self.letters(&given);
                return Err(Fatal::Text(format!("specify one of {given}")));
            }
        }
        for (mode, allowed) in ALLOWED.iter().filter(|(mode, _)| self.has(*mode)) {
            let others: Vec<Flag> = self
                .flags_in_order()
                .filter(|flag| !MODES.contains(flag) && !allowed.contains(flag))
                .collect();
            if !others.is_empty() {
                let (mode, others) = (self.letters(&[*mode]), self.letters(&others));
                return Err(Fatal::Text(format!(
                    "with option {mode}, do not specify {others}"
                )));
            }
        }
        Ok(())
    }

    /// Option letters for a complaint; from 3.11 on there are commas between them.
    fn letters(&self, flags: &[Flag]) -> String {
        let letter = |flag: &Flag| {
            FLAGS
                .iter()
                .find(|(known, _)| known == flag)
                .map(|(_, letter)| format!("-{letter}"))
        };
        let letters: Vec<String> = flags.iter().filter_map(letter).collect();
        let is_new =
            Config::load_now(&self.directory).is_ok_and(|config| config.look().message_texts());
        letters.join(if is_new { ", " } else { " " })
    }

    fn flags_in_order(&self) -> impl Iterator<Item = Flag> {
        FLAGS
            .iter()
            .map(|(flag, _)| *flag)
            .filter(|flag| self.has(*flag))
    }

    fn given(&self, set: &[Flag]) -> Vec<Flag> {
        self.flags_in_order()
            .filter(|flag| set.contains(flag))
            .collect()
    }
}

impl Options {
    /// Adds what the words imply and refuses contradictions.
    pub(crate) fn complete(mut self) -> Result<Self, Fatal> {
        self.imply_edit();
        self.check()?;
        Ok(self)
    }

    /// A first word with `=` means editing.
    fn imply_edit(&mut self) {
        let shows_only = MODES
            .iter()
            .filter(|mode| !matches!(mode, MainParam | MasterEntry | MasterField | MasterParam));
        let is_other_mode = shows_only.into_iter().any(|mode| self.has(*mode));
        if !is_other_mode && self.words.first().is_some_and(|word| word.contains('=')) {
            self.add(Edit);
        }
    }
}

/// getopt's complaint, then the usage message.
fn usage(problem: &str) -> Fatal {
    let _ = writeln!(std::io::stderr(), "{}: {problem}", crate::tag());
    Fatal::text(usage_text())
}

fn usage_text() -> String {
    format!(
        "usage: {} [-a (server SASL types)] [-A (client SASL types)] [-b (bounce templates)] [-c config_dir] \
         [-c param_class] [-d (parameter defaults)] [-e (edit configuration)] [-f (fold lines)] \
         [-F (master.cf fields)] [-h (no names)] [-H (no values)] [-l (lock types)] [-m (map types)] \
         [-M (master.cf)] [-n (non-default parameters)] [-o name=value (override parameter value)] \
         [-p (main.cf, default)] [-P (master.cf parameters)] [-t (bounce templates)] \
         [-T compile-version|run-version|public-key-algorithms] [-v (verbose)] [-x (expand parameter values)] \
         [-X (exclude)] [-# (comment-out)] [name...]",
        crate::tag()
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn outcome(line: &str) -> Result<Vec<Flag>, String> {
        // A folder without main.cf, so that the machine's own level does not matter.
        let words = ["-c", "/nonexistent"]
            .into_iter()
            .chain(line.split_whitespace());
        Options::parse(words.map(str::to_string).collect())
            .and_then(Options::complete)
            .map(|options| options.flags)
            .map_err(|error| error.to_string())
    }

    #[test]
    fn options_that_contradict_are_named_in_order() {
        let rows = [
            ("-n -d", "specify one of -d -n"),
            ("-e -X a", "specify one of -e -X"),
            ("-X a=b", "specify one of -e -X"),
            ("-# -X a", "specify one of -X -#"),
            ("-M -F -P -p", "specify one of -F -M -p -P"),
            ("-t -b", "specify one of -b and -t"),
            ("-x -e a=b", "specify one of -e -x"),
            ("-M -n", "with option -M, do not specify -n"),
            (
                "-l -x -o a=b -f -n",
                "with option -l, do not specify -f -n -o -x",
            ),
            ("-F -X a", "with option -F, do not specify -X"),
            (
                "-o x biff",
                "invalid parameter override: x: missing '=' after attribute name",
            ),
            ("-PP -e a=b", "specify one of -e -P"),
            ("-C bad", "unknown -C option value \"bad\" in \"bad\""),
        ];
        for (line, want) in rows {
            assert_eq!(outcome(line), Err(want.to_string()), "{line}");
        }
    }

    #[test]
    fn letters_combine_and_the_first_word_ends_options() {
        assert_eq!(
            outcome("-hxn biff -d"),
            Ok(vec![HideName, Expand, NonDefault])
        );
        assert_eq!(outcome("-PP"), Ok(vec![MasterParam, AllMasterParams]));
        assert_eq!(outcome("--json -n"), Ok(vec![Json, NonDefault]));
        assert_eq!(outcome("-- -n"), Ok(vec![]));
        assert_eq!(outcome("a=b"), Ok(vec![Edit]));
        assert_eq!(outcome("a b=c"), Ok(vec![]));
    }
}
