//! The commands of postfix(1): which there are, and what they need first.

use std::ffi::OsString;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use postern_config::{Config, ConfigError, master_cf, params};
use postern_maillog::{Echo, set_echo, set_tag};
use postern_sys::error_text;

/// What the command works on.
pub(crate) struct Program {
    pub(crate) config: Config,
    pub(crate) command_directory: PathBuf,
    pub(crate) daemon_directory: PathBuf,
    pub(crate) queue_directory: PathBuf,
    /// Whether the command runs as root, so that owners can be set and must be right.
    pub(crate) is_root: bool,
    /// Whether a script asks for what this program does itself.
    pub(crate) is_built_in: bool,
}

/// The commands that people type.
const COMMANDS: [&str; 14] = [
    "start",
    "start-fg",
    "stop",
    "quick-stop",
    "abort",
    "drain",
    "reload",
    "flush",
    "status",
    "check",
    "logrotate",
    "set-permissions",
    "upgrade-configuration",
    "tls",
];

/// Why a command fails. The text is logged with `fatal: `.
pub(crate) struct Failure(pub(crate) Option<String>);

impl Failure {
    pub(crate) fn new(text: impl Into<String>) -> Self {
        Self(Some(text.into()))
    }

    /// A failure that is told already.
    pub(crate) const TOLD: Self = Self(None);
}

impl Program {
    /// Takes the directories from `config`. From here on lines are tagged `NAME/postfix-script`.
    pub(crate) fn new(config: Config, name: &str, is_built_in: bool) -> Self {
        set_tag(&format!("{name}/postfix-script"));
        set_echo(Echo::Nothing);
        Self {
            command_directory: PathBuf::from(config.get(params::COMMAND_DIRECTORY)),
            daemon_directory: PathBuf::from(config.get(params::DAEMON_DIRECTORY)),
            queue_directory: PathBuf::from(config.get(params::QUEUE_DIRECTORY)),
            is_root: postern_sys::user::euid() == 0,
            is_built_in,
            config,
        }
    }

    /// The same for another configuration, after main.cf was changed.
    pub(crate) fn with_config(&self, config: Config) -> Self {
        Self {
            command_directory: PathBuf::from(config.get(params::COMMAND_DIRECTORY)),
            daemon_directory: PathBuf::from(config.get(params::DAEMON_DIRECTORY)),
            queue_directory: PathBuf::from(config.get(params::QUEUE_DIRECTORY)),
            is_root: self.is_root,
            is_built_in: self.is_built_in,
            config,
        }
    }

    /// Runs the command in `operands` and gives the exit status.
    pub(crate) fn run(&self, operands: &[OsString]) -> u8 {
        let verb = operands
            .first()
            .map(|word| word.to_string_lossy().into_owned())
            .unwrap_or_default();
        if verb.starts_with('/') {
            return self.run_given(operands);
        }
        match self.prepare().and_then(|()| self.dispatch(&verb, operands)) {
            Ok(status) => status,
            Err(Failure(text)) => {
                if let Some(text) = text {
                    self.say("fatal: ", &text);
                }
                1
            }
        }
    }

    fn dispatch(&self, verb: &str, operands: &[OsString]) -> Result<u8, Failure> {
        match verb {
            "start" => self.start(),
            "start-fg" => self.start_in_foreground(),
            "stop" => self.stop(),
            "quick-stop" => self.quick_stop(),
            "abort" => self.abort(),
            "drain" => self.drain(),
            "reload" => self.reload(),
            "flush" => Err(self.replace_by("postqueue", &["-f".into()])),
            "status" if operands.get(1).is_some_and(|word| word == "--json") => {
                Ok(self.status_as_json())
            }
            "status" => self.status(),
            "check" => self.check(),
            "logrotate" => self.rotate_log(operands.len() > 1),
            "set-permissions" | "upgrade-configuration" => {
                let mut words: Vec<OsString> = vec!["create-missing".into()];
                words.extend_from_slice(operands);
                self.post_install(&words)
            }
            "post-install" => self.post_install(operands.get(1..).unwrap_or_default()),
            "tls" => self.tls(operands.get(1..).unwrap_or_default()),
            _ => {
                self.say(
                    "fatal: ",
                    &format!(
                        "unknown command: '{verb}'. Usage: postfix start (or stop, reload, abort, flush, check, status, \
                         set-permissions, upgrade-configuration, logrotate)"
                    ),
                );
                postern_command::hint("postfix", verb, COMMANDS);
                Err(Failure::TOLD)
            }
        }
    }

    /// Logs a line; shows it on a terminal, and from level 3.8 on also elsewhere.
    pub(crate) fn say(&self, severity: &str, text: &str) {
        self.say_as("postfix-script", severity, text);
    }

    /// The same in the name of another script, for which the log's tag is set already.
    pub(crate) fn say_as(&self, script: &str, severity: &str, text: &str) {
        let level = match severity {
            "" => postern_maillog::Severity::Info,
            "fatal: " => postern_maillog::Severity::Fatal,
            "error: " => postern_maillog::Severity::Error,
            _ => postern_maillog::Severity::Warning,
        };
        postern_maillog::log(level, text);
        if self.config.look().command_stderr() || crate::is_terminal() {
            let name = self.config.get(params::SYSLOG_NAME);
            postern_command::complain!("{name}/{script}: {severity}{text}");
        }
    }

    /// What must hold for every command: the directories exist and both files can be read.
    fn prepare(&self) -> Result<(), Failure> {
        self.verify_text()?;
        for (what, param) in [
            ("command", params::COMMAND_DIRECTORY),
            ("daemon", params::DAEMON_DIRECTORY),
            ("configuration", params::CONFIG_DIRECTORY),
            ("queue", params::QUEUE_DIRECTORY),
            ("shared-library", params::SHLIB_DIRECTORY),
            ("meta", params::META_DIRECTORY),
        ] {
            let directory = self.config.get(param);
            if directory != "no" && !Path::new(&directory).is_dir() {
                return Err(Failure::new(format!(
                    "no Postfix {what} directory {directory}!"
                )));
            }
        }
        let master = self.daemon_directory.join("master");
        if !master.is_file() {
            return Err(Failure::new(format!(
                "no Postfix master program {}!",
                master.display()
            )));
        }
        Ok(())
    }

    /// Reads master.cf and expands main.cf as postconf(1) would, and complains in its name.
    fn verify_text(&self) -> Result<(), Failure> {
        let postconf = self
            .command_directory
            .join("postconf")
            .display()
            .to_string();
        let refuse = |text: &str| {
            postern_command::complain!("{postconf}: fatal: {text}");
            Failure::new(format!("cannot execute {postconf}!"))
        };
        for warning in self.config.warnings() {
            postern_command::complain!("{postconf}: warning: {warning}");
        }
        if let Err(error) = self.config.check_expansion() {
            for (_, text) in error.preceding() {
                postern_command::complain!("{postconf}: warning: {text}");
            }
            let text = match error {
                ConfigError::Macro { .. } => "macro processing error".to_string(),
                other => other.to_string(),
            };
            return Err(refuse(&text));
        }
        let path = self.config.directory().join("master.cf");
        let shown = path.display().to_string();
        match std::fs::read(&path) {
            Ok(content) => master_cf::check_text(&shown, &content).map_err(|text| refuse(&text)),
            Err(error) => {
                postern_command::complain!(
                    "{postconf}: warning: open {shown}: {}",
                    error_text(&error)
                );
                Ok(())
            }
        }
    }

    /// Tells of a configuration file that cannot be read or changed, in the name of postconf(1).
    pub(crate) fn complain(&self, error: &ConfigError) -> Failure {
        let postconf = self.command_directory.join("postconf");
        postern_command::complain!("{}: fatal: {error}", postconf.display());
        Failure::TOLD
    }

    /// Runs a program of ours and gives its exit status.
    pub(crate) fn run_program(&self, path: &Path, arguments: &[&str]) -> Result<i32, Failure> {
        let status = Command::new(path)
            .args(arguments)
            .stdin(Stdio::null())
            .status();
        let status = status
            .map_err(|error| Failure::new(format!("{}: {}", path.display(), error_text(&error))))?;
        Ok(status.code().unwrap_or(1))
    }

    /// Becomes the command `name`; comes back only on failure.
    pub(crate) fn replace_by(&self, name: &str, arguments: &[OsString]) -> Failure {
        let path = self.command_directory.join(name);
        let error = Command::new(&path).args(arguments).exec();
        Failure::new(format!("{}: {}", path.display(), error_text(&error)))
    }

    /// `postfix /path/to/program …`: runs it in the prepared environment.
    fn run_given(&self, operands: &[OsString]) -> u8 {
        let Some((path, arguments)) = operands.split_first() else {
            return 1;
        };
        let error = Command::new(path).args(arguments).exec();
        // As a shell would.
        let shown = path.to_string_lossy();
        if error.kind() == std::io::ErrorKind::NotFound {
            postern_command::complain!("{shown}: not found");
            127
        } else {
            postern_command::complain!("{shown}: {}", error_text(&error));
            126
        }
    }
}
