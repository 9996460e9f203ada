//! Asking for delivery: of everything, of a site's mail, of one message.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::process::ExitCode;

use postern_command::exit;
use postern_config::{Config, params};
use postern_dict::{MatchKind, MatchList};
use postern_ipc::client::{ClientError, Endpoint, PUBLIC};
use postern_ipc::{flush, trigger};
use postern_mail::host;
use postern_maillog::die;
use postern_queue_file::QueueId;
use postern_sys::error_text;

/// `-f`: everything that waits.
pub(crate) fn queue(config: &Config) -> ExitCode {
    let request = [
        trigger::FLUSH_DEAD,
        trigger::SCAN_ALL,
        trigger::SCAN_DEFERRED,
        trigger::SCAN_INCOMING,
    ];
    let sent = wake(config, &config.get(params::QUEUE_SERVICE_NAME), &request)
        && wake(
            config,
            &config.get(params::PICKUP_SERVICE_NAME),
            &[trigger::WAKEUP],
        );
    if !sent {
        die(
            i32::from(exit::UNAVAILABLE),
            format_args!("Cannot flush mail queue - mail system is down"),
        );
    }
    ExitCode::SUCCESS
}

fn wake(config: &Config, service: &str, request: &[u8]) -> bool {
    let at = Endpoint::new(PUBLIC, service);
    match trigger::send(&at, request, config.get(params::TRIGGER_TIMEOUT)) {
        Ok(()) => true,
        Err(ClientError::Connect { path, source }) if std::fs::metadata(at.path()).is_err() => {
            log::warn!("unable to look up {path}: {}", error_text(&source));
            false
        }
        // Nobody listens at a socket that the last run has left: what is said in the end is enough.
        Err(ClientError::Connect { source, .. })
            if source.kind() == std::io::ErrorKind::ConnectionRefused =>
        {
            false
        }
        Err(error) => {
            log::warn!("{error}");
            false
        }
    }
}

/// `-s`: mail for one site.
pub(crate) fn site(config: &Config, site: &OsStr) -> ExitCode {
    let name = site.as_bytes();
    // `[address]` and host names are sites; anything else is a mistake.
    let valid = match name
        .strip_prefix(b"[")
        .and_then(|rest| rest.strip_suffix(b"]"))
    {
        Some(address) => host::literal_address(address.into(), true).is_some(),
        None => host::valid_hostname(name.into()).is_ok(),
    };
    if !valid {
        let shown = site.to_string_lossy();
        die(
            i32::from(exit::UNAVAILABLE),
            format_args!("Cannot flush mail queue - invalid destination: \"{shown}\""),
        );
    }
    let answer = if is_eligible(config, name) {
        flush::send_site(&service(config), config.get(params::IPC_TIMEOUT), name)
    } else {
        Ok(flush::status::DENY)
    };
    report(answer, || {
        format!(
            "Flush service is not configured for destination \"{}\"",
            site.to_string_lossy()
        )
    })
}

/// Whether `fast_flush_domains` lists the site; if that is not known now, flush(8) will say.
fn is_eligible(config: &Config, site: &[u8]) -> bool {
    let param = params::FAST_FLUSH_DOMAINS;
    let text = config.get(param);
    let mut sites = MatchList::open_small(config, param.info.name, &text, MatchKind::Domain);
    sites.matches(site.into()).unwrap_or(true)
}

/// `-i`: one message.
pub(crate) fn message(config: &Config, id: &OsStr) -> ExitCode {
    let Ok(id) = QueueId::parse(id.as_bytes()) else {
        let shown = id.to_string_lossy();
        die(
            i32::from(exit::UNAVAILABLE),
            format_args!("Cannot flush queue ID - invalid name: \"{shown}\""),
        );
    };
    let answer = flush::send_file(
        &service(config),
        config.get(params::IPC_TIMEOUT),
        id.as_str(),
    );
    report(answer, || {
        format!("Flush service is not configured for message \"{id}\"")
    })
}

fn service(config: &Config) -> Endpoint {
    Endpoint::new(PUBLIC, &config.get(params::FLUSH_SERVICE_NAME))
}

fn report(answer: Result<i32, ClientError>, denied: impl Fn() -> String) -> ExitCode {
    match answer {
        Ok(flush::status::OK) => ExitCode::SUCCESS,
        Ok(flush::status::BAD) => die(
            i32::from(exit::UNAVAILABLE),
            format_args!("Invalid request"),
        ),
        Ok(flush::status::DENY) => die(i32::from(exit::UNAVAILABLE), format_args!("{}", denied())),
        Ok(_) => die(
            i32::from(exit::UNAVAILABLE),
            format_args!("Cannot flush mail queue - mail system is down"),
        ),
        Err(error) => {
            log::warn!("{error}");
            die(
                i32::from(exit::UNAVAILABLE),
                format_args!("Cannot flush mail queue - mail system is down"),
            )
        }
    }
}
