//! Why main.cf could not be read or a value was refused.

/// How loud a line before a fatal error is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Severity {
    /// Logged with `warning: `.
    Warning,
    /// Logged with `error: `.
    Error,
}

/// Why main.cf could not be read or a value was refused. `Display` is the text that follows
/// `fatal: ` in the log; [`ConfigError::preceding`] gives the lines that come before it.
#[derive(Debug, Clone, thiserror::Error, PartialEq, Eq)]
#[allow(missing_docs, reason = "the texts say what the fields are")]
pub enum ConfigError {
    /// main.cf or master.cf cannot be opened.
    #[error("open {path}: {reason}")]
    Open { path: String, reason: String },
    /// A logical line without a name before `=`.
    #[error("{path}, line {line}: missing attribute name: \"{text}\"")]
    MissingName {
        path: String,
        line: usize,
        text: String,
    },
    /// A logical line without `=`.
    #[error("{path}, line {line}: missing '=' after attribute name: \"{text}\"")]
    MissingEquals {
        path: String,
        line: usize,
        text: String,
    },
    /// A set-id program was pointed to a directory that the administrator has not listed.
    #[error(
        "specify \"alternate_config_directories = {directory}\" or \"multi_instance_directories = {directory}\" in {default_main_cf}"
    )]
    UnauthorizedDirectory {
        directory: String,
        default_main_cf: String,
    },
    /// `$name` expansion failed; the warning says where.
    #[error("dictionary mail_dict: macro processing error")]
    Macro { warning: String },
    /// A number in a comparison does not fit.
    #[error("mac_exp_eval: bad conversion: {0}")]
    BadConversion(String),
    /// A string is too short.
    #[error("bad string length {length} < {min}: {name} = {text}")]
    StringTooShort {
        name: String,
        text: String,
        length: usize,
        min: i64,
    },
    /// A string is too long.
    #[error("bad string length {length} > {max}: {name} = {text}")]
    StringTooLong {
        name: String,
        text: String,
        length: usize,
        max: i64,
    },
    /// A raw string is too short.
    #[error("bad string length ({length} < {min}): {name} = {text}")]
    RawTooShort {
        name: String,
        text: String,
        length: usize,
        min: i64,
    },
    /// A raw string is too long.
    #[error("bad string length ({length} > {max}): {name} = {text}")]
    RawTooLong {
        name: String,
        text: String,
        length: usize,
        max: i64,
    },
    /// Neither `yes` nor `no`.
    #[error("bad boolean configuration: {name} = {text}")]
    BadBoolean { name: String, text: String },
    /// Not a decimal number, or too large for its type.
    #[error("bad numerical configuration: {name} = {text}")]
    BadNumber { name: String, text: String },
    /// A number below the minimum.
    #[error("invalid {name} parameter value {value} < {min}")]
    NumberTooSmall { name: String, value: i64, min: i64 },
    /// A number above the maximum.
    #[error("invalid {name} parameter value {value} > {max}")]
    NumberTooLarge { name: String, value: i64, max: i64 },
    /// Empty, negative, unknown unit letter, or too many seconds for 31 bits.
    #[error("parameter {name}: bad time value or unit: {text}")]
    BadTime { name: String, text: String },
    /// A time below the minimum.
    #[error("invalid {name}: {value} (min {min})")]
    TimeTooSmall { name: String, value: i64, min: i64 },
    /// A time above the maximum.
    #[error("invalid {name}: {value} (max {max})")]
    TimeTooLarge { name: String, value: i64, max: i64 },
    /// compatibility_level is not `N[.N[.N]]`.
    #[error("malformed compatibility level syntax: \"{0}\"")]
    BadLevel(String),
    /// A name set holds an unknown name.
    #[error("unknown {name} value \"{word}\" in \"{text}\"")]
    UnknownName {
        name: String,
        word: String,
        text: String,
    },
    /// A value refused by a start-up check, in the form that names the file.
    #[error("file {path}: parameter {name}: {reason}")]
    Parameter {
        path: String,
        name: String,
        reason: String,
        warnings: Vec<String>,
    },
    /// Two parameters contradict each other.
    #[error("file {path}: parameters {names}: {reason}")]
    Clash {
        path: String,
        names: String,
        reason: String,
    },
    /// default_privs and mail_owner name one account.
    #[error("file {path}: parameters default_privs and mail_owner specify the same user {user}")]
    SameUser { path: String, user: String },
    /// The file that myorigin names cannot be opened.
    #[error("{path}: cannot open file: {reason}")]
    MyoriginOpen { path: String, reason: String },
    /// The file that myorigin names has no text in its first line.
    #[error("myorigin file {0} is empty")]
    MyoriginEmpty(String),
    /// mynetworks_style holds more than one word.
    #[error("bad mynetworks_style value: {0}; specify exactly one value")]
    MynetworksStyle(String),
    /// Mail for the own host would loop.
    #[error("myhostname and relayhost parameter settings must not be identical: {0}")]
    RelayhostIsSelf(String),
    /// myorigin takes one domain.
    #[error("myorigin parameter setting must not contain multiple values: {0}")]
    MyoriginList(String),
    /// The kernel's host name is no host name.
    #[error("unable to use my own hostname")]
    OwnHostname,
    /// inet_interfaces cannot be turned into addresses.
    #[error("config variable inet_interfaces: host not found: {0}")]
    InterfaceNotFound(String),
    /// The system cannot list its own addresses.
    #[error("getifaddrs: {0}")]
    Interfaces(String),
    /// master.cf: an entry was refused.
    #[error("{path}: line {line}: {reason}")]
    MasterEntry {
        path: String,
        line: usize,
        reason: String,
    },
    /// Anything else, complete text.
    #[error("{0}")]
    Text(String),
}

impl ConfigError {
    /// The lines to log before the fatal one, with their severity.
    #[must_use]
    pub fn preceding(&self) -> Vec<(Severity, String)> {
        match self {
            Self::Macro { warning } => warning
                .lines()
                .map(|text| (Severity::Warning, text.to_string()))
                .collect(),
            Self::Parameter { warnings, .. } => warnings
                .iter()
                .map(|text| (Severity::Warning, text.clone()))
                .collect(),
            Self::UnauthorizedDirectory { directory, .. } => {
                vec![(
                    Severity::Error,
                    format!("unauthorized configuration directory name: {directory}"),
                )]
            }
            _ => Vec::new(),
        }
    }
}
