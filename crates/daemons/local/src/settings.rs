//! What main.cf says to local(8), read once.

use std::time::Duration;

use postern_config::words::{environment, words};
use postern_config::{Config, Param, params};
use postern_delivery::mbox::{LockPolicy, LockSet};
use postern_dict::search::Extensions;
use postern_mail::printable::Charset;
use postern_server::StartError;
use postern_sys::user;

use crate::mail::Source;
use crate::rights::Rights;

/// The settings.
pub(crate) struct Settings {
    /// The name in master.cf: what resolves to it is delivered here.
    pub(crate) service: String,
    pub(crate) extensions: Extensions,
    pub(crate) commands: Allowed,
    pub(crate) files: Allowed,
    pub(crate) propagate: Allowed,
    pub(crate) delivered_to: Prepend,
    pub(crate) original_to: bool,
    pub(crate) frozen_delivered_to: bool,
    pub(crate) owner_request_special: bool,
    pub(crate) expand_owner_alias: bool,
    pub(crate) reset_owner_alias: bool,
    pub(crate) require_home: bool,
    pub(crate) strict_ownership: bool,
    pub(crate) biff: bool,
    pub(crate) forward_path: String,
    pub(crate) forward_filter: String,
    pub(crate) command_filter: String,
    pub(crate) directory_filter: String,
    pub(crate) command_directory: String,
    pub(crate) command_shell: String,
    pub(crate) export: Vec<String>,
    pub(crate) mailbox_transport: String,
    pub(crate) fallback_transport: String,
    pub(crate) mailbox_command: String,
    pub(crate) home_mailbox: String,
    pub(crate) spool: String,
    pub(crate) luser_relay: String,
    pub(crate) locks: LockPolicy,
    pub(crate) size_limit: u64,
    pub(crate) command_time: Duration,
    /// What commands may say.
    pub(crate) charset: Charset,
    pub(crate) ipc_timeout: Duration,
    pub(crate) duplicate_limit: usize,
    pub(crate) line_limit: usize,
    pub(crate) header_limit: usize,
    /// Rights for what root's aliases name.
    pub(crate) default_rights: Rights,
    /// Whether this process may become another user.
    pub(crate) privileged: bool,
}

/// A list of the sources alias, forward, include.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Allowed {
    alias: bool,
    forward: bool,
    include: bool,
}

/// `prepend_delivered_header`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Prepend {
    pub(crate) command: bool,
    pub(crate) file: bool,
    pub(crate) forward: bool,
}

impl Allowed {
    /// Parses a list of sources; `others` are names that mean nothing here.
    fn parse(parameter: &str, value: &str, others: &[&str]) -> Result<Self, StartError> {
        let mut allowed = Self::default();
        for word in words(value) {
            match word.to_ascii_lowercase().as_str() {
                "alias" => allowed.alias = true,
                "forward" => allowed.forward = true,
                "include" => allowed.include = true,
                other if others.contains(&other) => {}
                _ => return Err(unknown(parameter, word, value)),
            }
        }
        Ok(allowed)
    }

    /// Whether destinations from `source` are listed.
    pub(crate) fn allows(self, source: Source) -> bool {
        match source {
            Source::Request | Source::LuserRelay => false,
            Source::Alias => self.alias,
            Source::Forward => self.forward,
            Source::Include => self.include,
        }
    }
}

impl Prepend {
    fn parse(value: &str) -> Result<Self, StartError> {
        let mut prepend = Self::default();
        for word in words(value) {
            match word.to_ascii_lowercase().as_str() {
                "command" => prepend.command = true,
                "file" => prepend.file = true,
                "forward" => prepend.forward = true,
                _ => return Err(unknown("prepend_delivered_header", word, value)),
            }
        }
        Ok(prepend)
    }
}

fn unknown(parameter: &str, word: &str, value: &str) -> StartError {
    StartError::new(format!(
        "unknown {parameter} value \"{word}\" in \"{value}\""
    ))
}

impl Settings {
    /// Reads and checks the parameters.
    ///
    /// # Errors
    ///
    /// A value that makes no sense; the text follows `fatal: `.
    pub(crate) fn new(config: &Config, service: &str) -> Result<Self, StartError> {
        let text = |param: Param<String>| config.get(param);
        let size = |value: i32| usize::try_from(value).unwrap_or(0);
        let allowed =
            |param: Param<String>| Allowed::parse(param.info.name, &config.get(param), &[]);
        let propagate = text(params::PROPAGATE_UNMATCHED_EXTENSIONS);
        Ok(Self {
            service: service.to_owned(),
            extensions: Extensions::from_config(config),
            commands: allowed(params::ALLOW_MAIL_TO_COMMANDS)?,
            files: allowed(params::ALLOW_MAIL_TO_FILES)?,
            propagate: Allowed::parse(
                "propagate_unmatched_extensions",
                &propagate,
                &["canonical", "virtual", "generic"],
            )?,
            delivered_to: Prepend::parse(&text(params::PREPEND_DELIVERED_HEADER))?,
            original_to: config.get(params::ENABLE_ORIGINAL_RECIPIENT),
            frozen_delivered_to: config.get(params::FROZEN_DELIVERED_TO),
            owner_request_special: config.get(params::OWNER_REQUEST_SPECIAL),
            expand_owner_alias: config.get(params::EXPAND_OWNER_ALIAS),
            reset_owner_alias: config.get(params::RESET_OWNER_ALIAS),
            require_home: config.get(params::REQUIRE_HOME_DIRECTORY),
            strict_ownership: config.get(params::STRICT_MAILBOX_OWNERSHIP),
            biff: config.get(params::BIFF),
            forward_path: text(params::FORWARD_PATH),
            forward_filter: text(params::FORWARD_EXPANSION_FILTER),
            command_filter: text(params::COMMAND_EXPANSION_FILTER),
            directory_filter: text(params::EXECUTION_DIRECTORY_EXPANSION_FILTER),
            command_directory: text(params::COMMAND_EXECUTION_DIRECTORY),
            command_shell: text(params::LOCAL_COMMAND_SHELL),
            export: environment(
                params::EXPORT_ENVIRONMENT.info.name,
                "clean_env",
                &text(params::EXPORT_ENVIRONMENT),
            )
            .map_err(|error| StartError::new(error.to_string()))?,
            mailbox_transport: text(params::MAILBOX_TRANSPORT),
            fallback_transport: text(params::FALLBACK_TRANSPORT),
            mailbox_command: text(params::MAILBOX_COMMAND),
            home_mailbox: text(params::HOME_MAILBOX),
            spool: text(params::MAIL_SPOOL_DIRECTORY),
            luser_relay: text(params::LUSER_RELAY),
            locks: locks(config)?,
            size_limit: size_limit(config)?,
            command_time: config.service_time(service, "time_limit", params::COMMAND_TIME_LIMIT),
            charset: if config.get(params::SMTPUTF8_ENABLE) {
                Charset::Utf8
            } else {
                Charset::Ascii
            },
            ipc_timeout: config.get(params::IPC_TIMEOUT),
            duplicate_limit: size(config.get(params::DUPLICATE_FILTER_LIMIT)),
            line_limit: size(config.get(params::LINE_LENGTH_LIMIT)),
            header_limit: size(config.get(params::HEADER_SIZE_LIMIT)),
            default_rights: default_rights(&text(params::DEFAULT_PRIVS))?,
            privileged: user::uid() == 0,
        })
    }
}

fn locks(config: &Config) -> Result<LockPolicy, StartError> {
    let value = config.get(params::MAILBOX_DELIVERY_LOCK);
    let mut set = LockSet::parse("mailbox_delivery_lock", &value).map_err(StartError::new)?;
    if set == LockSet::default() {
        return Err(StartError::new(
            "parameter mailbox_delivery_lock specifies no applicable mailbox locking method",
        ));
    }
    if config.get(params::SUN_MAILTOOL_COMPATIBILITY) {
        log::warn!(
            "\"sun_mailtool_compatibility = yes\" is obsolete: using \"mailbox_delivery_lock = dotlock\""
        );
        set = LockSet {
            dotlock: true,
            ..LockSet::default()
        };
    }
    Ok(LockPolicy::new(config, set))
}

fn size_limit(config: &Config) -> Result<u64, StartError> {
    let limit = config.get(params::MAILBOX_SIZE_LIMIT);
    let message = config.get(params::MESSAGE_SIZE_LIMIT);
    if limit > 0 && message == 0 {
        return Err(StartError::new(
            "configuration error: mailbox_size_limit is limited but message_size_limit is unlimited",
        ));
    }
    if limit > 0 && limit < message {
        return Err(StartError::new(
            "configuration error: mailbox_size_limit is smaller than message_size_limit",
        ));
    }
    Ok(u64::try_from(limit).unwrap_or(0))
}

/// The rights of `default_privs`. A process that cannot become another user has only its own, and its
/// configuration is that user's anyway.
fn default_rights(name: &str) -> Result<Rights, StartError> {
    let (uid, gid) = if user::uid() == 0 {
        unprivileged_user(name)?
    } else {
        (user::euid(), user::egid())
    };
    // Neither home nor shell: the account stands for nobody in particular.
    Ok(Rights {
        uid,
        gid,
        home: None,
        shell: None,
    })
}

fn unprivileged_user(name: &str) -> Result<(u32, u32), StartError> {
    let error = |text: &str| StartError::new(format!("parameter default_privs: {text}: {name}"));
    let user = user::user_by_name(name)?.ok_or_else(|| error("unknown user name value"))?;
    if user.uid == 0 {
        return Err(error("privileged user"));
    }
    if user.gid == 0 {
        return Err(error("privileged group of user"));
    }
    Ok((user.uid, user.gid))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sources_are_listed_by_name_and_never_include_the_request() {
        let allowed = Allowed::parse("x", "alias, INCLUDE", &[]).expect("known names");
        assert!(allowed.allows(Source::Alias) && allowed.allows(Source::Include));
        assert!(!allowed.allows(Source::Forward) && !allowed.allows(Source::Request));
        assert!(Allowed::parse("x", "canonical", &["canonical"]).is_ok());
        let error = Allowed::parse("x", "alias nonsense", &[]).expect_err("an unknown name");
        assert_eq!(
            error.to_string(),
            "unknown x value \"nonsense\" in \"alias nonsense\""
        );
    }
}
