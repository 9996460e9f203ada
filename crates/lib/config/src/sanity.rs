//! Start-up checks that every program makes after reading main.cf, in the reference's order.

use nix::unistd::{Group, User};

use crate::computed::valid_hostname;
use crate::config::Config;
use crate::words::words;
use crate::{ConfigError, net, params};

/// The facilities of syslog(3).
const FACILITIES: &[&str] = &[
    "auth", "authpriv", "cron", "daemon", "ftp", "kern", "lpr", "mail", "news", "security",
    "syslog", "user", "uucp", "local0", "local1", "local2", "local3", "local4", "local5", "local6",
    "local7",
];

/// Refuses a configuration that no program may run with.
pub(crate) fn check(config: &Config) -> Result<(), ConfigError> {
    config.try_level()?;
    check_facility(config)?;
    net::families(config)?;
    check_hostname(config, params::MYHOSTNAME)?;
    check_hostname(config, params::MYDOMAIN)?;
    let origin = config.try_get(params::MYORIGIN)?;
    check_accounts(config)?;
    net::check_own_addresses(config)?;
    if !config.is_set(params::MYNETWORKS.info.name) {
        net::style(&config.try_get(params::MYNETWORKS_STYLE)?)?;
    }
    let host = config.try_get(params::MYHOSTNAME)?;
    if host.eq_ignore_ascii_case(&config.try_get(params::RELAYHOST)?) {
        return Err(ConfigError::RelayhostIsSelf(host));
    }
    if words(&origin).nth(1).is_some() {
        return Err(ConfigError::MyoriginList(origin));
    }
    check_verp(config)
}

fn parameter(config: &Config, name: &str, reason: String) -> ConfigError {
    ConfigError::Parameter {
        path: config.main_cf(),
        name: name.to_string(),
        reason,
        warnings: Vec::new(),
    }
}

fn check_facility(config: &Config) -> Result<(), ConfigError> {
    let facility = config.try_get(params::SYSLOG_FACILITY)?;
    if FACILITIES
        .iter()
        .any(|known| known.eq_ignore_ascii_case(&facility))
    {
        return Ok(());
    }
    Err(parameter(
        config,
        "syslog_facility",
        format!("unrecognized value: {facility}"),
    ))
}

fn check_hostname(config: &Config, param: params::Param<String>) -> Result<(), ConfigError> {
    let name = config.try_get(param)?;
    valid_hostname(&name).map_err(|warning| ConfigError::Parameter {
        path: config.main_cf(),
        name: param.info.name.to_string(),
        reason: format!("bad parameter value: {name}"),
        warnings: vec![warning],
    })
}

/// An account that a parameter names.
struct Account {
    parameter: &'static str,
    user: String,
    uid: u32,
    gid: u32,
}

fn account(
    config: &Config,
    parameter_name: &'static str,
    user: String,
) -> Result<Account, ConfigError> {
    let refuse = |reason: String| parameter(config, parameter_name, reason);
    let found = User::from_name(&user).ok().flatten();
    let Some(entry) = found else {
        return Err(refuse(format!("unknown user name value: {user}")));
    };
    if entry.uid.is_root() {
        return Err(refuse(format!("user {user} has privileged user ID")));
    }
    if entry.gid.as_raw() == 0 {
        return Err(refuse(format!("user {user} has privileged group ID")));
    }
    Ok(Account {
        parameter: parameter_name,
        user,
        uid: entry.uid.as_raw(),
        gid: entry.gid.as_raw(),
    })
}

/// Whether an ordinary user runs a mail system of their own: then no program can change its identity,
/// and the accounts that would separate privileges need not exist.
fn is_own_instance(config: &Config) -> Result<bool, ConfigError> {
    let uid = nix::unistd::geteuid();
    if uid.is_root() {
        return Ok(false);
    }
    let owner = config.try_get(params::MAIL_OWNER)?;
    Ok(User::from_name(&owner)
        .ok()
        .flatten()
        .is_some_and(|user| user.uid == uid))
}

/// default_privs, mail_owner and setgid_group must exist, have no privileges, and share no ID.
fn check_accounts(config: &Config) -> Result<(), ConfigError> {
    if config.is_isolated() || is_own_instance(config)? {
        return Ok(());
    }
    let default_privs = account(
        config,
        "default_privs",
        config.try_get(params::DEFAULT_PRIVS)?,
    )?;
    let owner = account(config, "mail_owner", config.try_get(params::MAIL_OWNER)?)?;
    check_sole_user(config, &owner)?;
    let group_name = config.try_get(params::SETGID_GROUP)?;
    let group = Group::from_name(&group_name).ok().flatten();
    let Some(group) = group else {
        return Err(parameter(
            config,
            "setgid_group",
            format!("unknown group name: {group_name}"),
        ));
    };
    let gid = group.gid.as_raw();
    if gid == 0 {
        return Err(parameter(
            config,
            "setgid_group",
            format!("group {group_name} has privileged group ID"),
        ));
    }
    if let Some(other) = Group::from_gid(group.gid)
        .ok()
        .flatten()
        .filter(|other| other.name != group_name)
    {
        let reason = format!(
            "group {group_name} has the same group ID {gid} as group {}",
            other.name
        );
        return Err(parameter(config, "setgid_group", reason));
    }
    check_overlap(config, &default_privs, &owner)?;
    for account in [&owner, &default_privs] {
        if account.gid == gid {
            return Err(ConfigError::Clash {
                path: config.main_cf(),
                names: format!("{} and setgid_group", account.parameter),
                reason: format!(
                    "user {} and group {group_name} have the same group ID: {gid}",
                    account.user
                ),
            });
        }
    }
    Ok(())
}

/// No other account may have mail_owner's user ID.
fn check_sole_user(config: &Config, owner: &Account) -> Result<(), ConfigError> {
    let other = User::from_uid(owner.uid.into()).ok().flatten();
    match other.filter(|other| other.name != owner.user) {
        Some(other) => {
            let reason = format!(
                "user {} has the same user ID {} as user {}",
                owner.user, owner.uid, other.name
            );
            Err(parameter(config, owner.parameter, reason))
        }
        None => Ok(()),
    }
}

fn check_overlap(config: &Config, first: &Account, second: &Account) -> Result<(), ConfigError> {
    let path = config.main_cf();
    if first.user == second.user {
        return Err(ConfigError::SameUser {
            path,
            user: first.user.clone(),
        });
    }
    let clash = |what: &str, id: u32| ConfigError::Clash {
        path: path.clone(),
        names: format!("{} and {}", first.parameter, second.parameter),
        reason: format!(
            "users {} and {} have the same {what} ID: {id}",
            first.user, second.user
        ),
    };
    if first.uid == second.uid {
        return Err(clash("user", first.uid));
    }
    if first.gid == second.gid {
        return Err(clash("group", first.gid));
    }
    Ok(())
}

fn check_verp(config: &Config) -> Result<(), ConfigError> {
    let delimiters = config.try_get(params::DEFAULT_VERP_DELIMITERS)?;
    let filter = config.try_get(params::VERP_DELIMITER_FILTER)?;
    let clash = |which: &str| ConfigError::Clash {
        path: config.main_cf(),
        names: "default_verp_delimiters and verp_delimiter_filter".to_string(),
        reason: format!("bad {which} VERP delimiter character"),
    };
    for (index, which) in ["first", "second"].iter().enumerate() {
        match delimiters.chars().nth(index) {
            Some(character) if filter.contains(character) => {}
            _ => return Err(clash(which)),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn complaint(text: &str) -> Option<String> {
        Config::from_text(text)
            .and_then(|config| check(&config))
            .err()
            .map(|error| error.to_string())
    }

    #[test]
    fn bad_settings_stop_every_program() {
        let rows = [
            ("", None),
            (
                "compatibility_level = x",
                Some("malformed compatibility level syntax: \"x\""),
            ),
            (
                "compatibility_level =",
                Some("malformed compatibility level syntax: \"\""),
            ),
            (
                "syslog_facility = nosuch",
                Some(
                    "file /etc/postfix/main.cf: parameter syslog_facility: unrecognized value: nosuch",
                ),
            ),
            (
                "inet_protocols = ipv4, ipv9",
                Some("unknown inet_protocols value \"ipv9\" in \"ipv4, ipv9\""),
            ),
            (
                "myhostname = -bad.example",
                Some(
                    "file /etc/postfix/main.cf: parameter myhostname: bad parameter value: -bad.example",
                ),
            ),
            (
                "mynetworks_style = world",
                Some("unknown mynetworks mask style value \"world\" in \"world\""),
            ),
            (
                "relayhost = MAIL.example.test",
                Some(
                    "myhostname and relayhost parameter settings must not be identical: mail.example.test",
                ),
            ),
            (
                "myorigin = a.example b.example",
                Some(
                    "myorigin parameter setting must not contain multiple values: a.example b.example",
                ),
            ),
            (
                "myorigin = /nonexistent/file",
                Some("/nonexistent/file: cannot open file: No such file or directory"),
            ),
            (
                "default_verp_delimiters = a=",
                Some(
                    "file /etc/postfix/main.cf: parameters default_verp_delimiters and verp_delimiter_filter: bad first VERP delimiter character",
                ),
            ),
        ];
        for (text, want) in rows {
            assert_eq!(complaint(text).as_deref(), want, "{text}");
        }
    }
}
