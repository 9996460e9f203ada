//! Brings locally submitted mail from the maildrop queue to cleanup(8). Manual page: pickup(8); queue.md §11
//! and §12 of our specification. Trusts nothing in a maildrop file: any user may have written it.
#![forbid(unsafe_code)]

mod message;

use std::process::ExitCode;
use std::time::{Duration, SystemTime};

use postern_config::{Config, params};
use postern_ipc::cleanup::{flag, status};
use postern_ipc::client::{Endpoint, PUBLIC};
use postern_queue::{Entry, Queues};
use postern_server::{
    Context, Limits, Needs, ProcessLimit, Reactor, StartError, TriggerServer, trigger_server,
};

/// Runs the program.
pub fn main() -> ExitCode {
    trigger_server::main::<Pickup>()
}

/// A message this far in the future is worth a warning.
const FUTURE: Duration = Duration::from_secs(2 * 3600);
/// A message that has waited this long is worth a warning.
const OLD: Duration = Duration::from_secs(24 * 3600);

/// Settings of the process.
struct Pickup {
    queues: Queues,
    cleanup: Endpoint,
    flags: i32,
    options: message::Options,
}

impl TriggerServer for Pickup {
    const NAME: &'static str = "pickup";
    const NEEDS: Needs = Needs {
        process_limit: Some(ProcessLimit::One),
        ..Needs::NONE
    };

    fn before_jail(context: &mut Context) -> Result<Self, StartError> {
        let config = &context.config;
        let hashing = postern_queue::hashing(config);
        Ok(Self {
            queues: Queues::new(".", hashing),
            cleanup: Endpoint::new(PUBLIC, &config.get(params::CLEANUP_SERVICE_NAME)),
            flags: cleanup_flags(config)?,
            options: message::Options {
                timeout: config.get(params::IPC_TIMEOUT),
                content_filter: config.get(params::CONTENT_FILTER),
                host: config.get(params::MYHOSTNAME),
                mail_name: config.get(params::MAIL_NAME),
                line_limit: usize::try_from(config.get(params::LINE_LENGTH_LIMIT)).unwrap_or(2048),
                log_internal: config.get(params::INFO_LOG_ADDRESS_FORMAT) == "internal",
                owner: context.owner.uid,
            },
        })
    }

    fn adjust(&self, context: &Context, limits: &mut Limits) {
        limits.watchdog = context.config.get(params::DAEMON_TIMEOUT);
    }

    fn trigger(&mut self, _context: &Context, _reactor: &mut Reactor, _request: &[u8]) {
        // Mail that arrives during a scan may be missed by it, and its trigger is already behind us.
        while self.scan() > 0 {}
    }
}

/// What cleanup(8) shall do with mail from here.
fn cleanup_flags(config: &Config) -> Result<i32, StartError> {
    let mut flags = flag::MASK_EXTERNAL | flag::BOUNCE;
    let words = |value: &str| -> Vec<String> {
        value
            .split([' ', ',', '\t', '\r', '\n'])
            .filter(|word| !word.is_empty())
            .map(str::to_ascii_lowercase)
            .collect()
    };
    let autodetect = words(&config.get(params::SMTPUTF8_AUTODETECT_CLASSES));
    if config.get(params::SMTPUTF8_ENABLE)
        && autodetect
            .iter()
            .any(|class| class == "sendmail" || class == "all")
    {
        flags |= flag::AUTOUTF8;
    }
    let overrides = config.get(params::RECEIVE_OVERRIDE_OPTIONS);
    for word in words(&overrides) {
        match word.as_str() {
            "no_unknown_recipient_checks" => {}
            "no_address_mappings" => flags &= !(flag::BCC_OK | flag::MAP_OK),
            "no_header_body_checks" => flags &= !flag::FILTER,
            "no_milters" => flags &= !flag::MILTER,
            _ => {
                return Err(StartError::new(format!(
                    "unknown receive_override_options value \"{word}\" in \"{overrides}\""
                )));
            }
        }
    }
    Ok(flags)
}

/// Mail that was in the queue before has met Milters, and whether it needs SMTPUTF8 was decided then.
fn flags_for(flags: i32, requeued: bool) -> i32 {
    if requeued {
        flags & !(flag::MILTER | flag::AUTOUTF8)
    } else {
        flags
    }
}

impl Pickup {
    /// Takes every complete file of maildrop; returns how many were taken away.
    fn scan(&self) -> usize {
        let mut taken = 0;
        for entry in self.queues.walk("maildrop") {
            match entry {
                Ok(entry) => taken += usize::from(self.take(&entry)),
                Err(error) => log::warn!("scan_dir: maildrop: {}", postern_sys::error_text(&error)),
            }
        }
        taken
    }

    /// One file. Returns whether it is gone from maildrop.
    fn take(&self, entry: &Entry) -> bool {
        let now = SystemTime::now();
        let info = match self.queues.ready("maildrop", &entry.id, now) {
            Ok(Some(info)) => info,
            Ok(None) => return false,
            Err(error) => {
                log::warn!(
                    "{}: {}",
                    entry.path.display(),
                    postern_sys::error_text(&error)
                );
                return false;
            }
        };
        warn_about_age(entry.id.as_ref(), info.modified, now);
        // Mail that postsuper put back: readable by the mail system alone.
        let requeued = info.uid == self.options.owner && info.mode & 0o004 == 0;
        let flags = flags_for(self.flags, requeued);
        let file = message::File {
            id: &entry.id,
            path: &entry.path,
            uid: info.uid,
            requeued,
        };
        let verdict = message::copy(&file, &self.cleanup, flags, &self.options);
        let finished = match verdict {
            Ok(code) => matches!(code, status::OK | status::BAD | status::RCPT),
            Err(message::CopyError::Malformed) => true,
            Err(error) => {
                log::warn!("{}: {error}", entry.path.display());
                false
            }
        };
        if !finished {
            return false;
        }
        match self.queues.remove("maildrop", &entry.id) {
            Ok(_) => true,
            Err(error) => {
                log::warn!(
                    "remove {}: {}",
                    entry.path.display(),
                    postern_sys::error_text(&error)
                );
                false
            }
        }
    }
}

fn warn_about_age(id: &str, modified: SystemTime, now: SystemTime) {
    match (modified.duration_since(now), now.duration_since(modified)) {
        (Ok(ahead), _) if ahead > FUTURE => log::warn!(
            "{id}: message dated {} seconds into the future",
            ahead.as_secs()
        ),
        (_, Ok(age)) if age > OLD => log::warn!(
            "{id}: message has been queued for {} days",
            age.as_secs() / 86_400
        ),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requeued_mail_meets_no_milter_and_is_not_looked_at_for_utf8_again() {
        let all = flag::MASK_EXTERNAL | flag::AUTOUTF8 | flag::MILTER;
        assert_eq!(flags_for(all, false), all);
        let again = flags_for(all, true);
        assert_eq!(again & (flag::MILTER | flag::AUTOUTF8), 0);
        assert_eq!(again & flag::FILTER, flag::FILTER);
    }
}
