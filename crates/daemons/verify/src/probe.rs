//! Probe messages: ordinary mail without content that no agent delivers.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use bstr::{BString, ByteSlice};
use postern_config::{Config, params};
use postern_ipc::deliver::flag;
use postern_ipc::post::{Envelope, InternalMail, MailClass};
use postern_sys::clock::unix_time;

/// Digits of the time in a time-dependent sender.
const DIGITS: &[u8; 31] = b"0123456789BCDFGHJKLMNPQRSTVWXYZ";

/// Probes that may wait for cleanup(8) at the same time; further ones are left to later queries.
const IN_FLIGHT_LIMIT: usize = 100;

static IN_FLIGHT: AtomicUsize = AtomicUsize::new(0);

/// Sends a probe to `address` in the background, since nobody may wait for cleanup(8) here. A probe that
/// cannot be sent is sent again by a later query.
pub(crate) fn send(config: &Config, address: &BString) {
    if IN_FLIGHT.fetch_add(1, Ordering::Relaxed) >= IN_FLIGHT_LIMIT {
        IN_FLIGHT.fetch_sub(1, Ordering::Relaxed);
        return;
    }
    let (config, address) = (config.clone(), address.clone());
    let started = thread::Builder::new()
        .name("probe".to_owned())
        .spawn(move || {
            submit(&config, &address);
            IN_FLIGHT.fetch_sub(1, Ordering::Relaxed);
        });
    if let Err(error) = started {
        IN_FLIGHT.fetch_sub(1, Ordering::Relaxed);
        log::warn!("start a thread: {}", postern_sys::error_text(&error));
    }
}

fn submit(config: &Config, address: &BString) {
    let sender = sender(config);
    let envelope = Envelope {
        sender: sender.as_bstr(),
        recipient: address.as_bstr(),
        class: MailClass::Verify,
        trace_flags: flag::MTA_VERIFY,
        smtputf8: false,
    };
    let sent = InternalMail::open(config, &envelope).and_then(InternalMail::finish);
    if let Err(error) = sent {
        log::warn!("{error}");
    }
}

/// `address_verify_sender`, with the time in it when it shall change.
fn sender(config: &Config) -> BString {
    let sender = config.get(params::ADDRESS_VERIFY_SENDER);
    if sender.is_empty() || sender == "<>" {
        return BString::default();
    }
    let ttl = i64::try_from(config.get(params::ADDRESS_VERIFY_SENDER_TTL).as_secs()).unwrap_or(0);
    let epoch = if ttl > 0 {
        base31(unix_time() / ttl)
    } else {
        String::new()
    };
    match sender.rsplit_once('@') {
        Some((local, domain)) => format!("{local}{epoch}@{domain}").into(),
        None => format!("{sender}{epoch}@{}", config.get(params::MYORIGIN)).into(),
    }
}

fn base31(number: i64) -> String {
    let mut number = u64::try_from(number).unwrap_or(0);
    let mut digits = Vec::new();
    loop {
        let digit = usize::try_from(number % 31).unwrap_or(0);
        digits.push(char::from(DIGITS[digit]));
        number /= 31;
        if number == 0 {
            return digits.iter().rev().collect();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_written_with_31_digits() {
        for (number, want) in [(0, "0"), (30, "Z"), (31, "10"), (31 * 31 + 10, "10B")] {
            assert_eq!(base31(number), want);
        }
    }

    #[test]
    fn sender_is_qualified_and_may_be_null() {
        let sender = |text: &str| {
            let config = Config::from_text(text).expect("valid");
            sender(&config).to_string()
        };
        let base = "myhostname = mail.example.test\n";
        assert_eq!(sender(base), "double-bounce@mail.example.test");
        assert_eq!(sender(&format!("{base}address_verify_sender = <>\n")), "");
        assert_eq!(
            sender(&format!("{base}address_verify_sender = a@b.example\n")),
            "a@b.example"
        );
    }
}
