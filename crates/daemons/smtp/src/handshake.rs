//! Greeting and EHLO, HELO or LHLO (smtp-client.md §5).

use bstr::{BString, ByteSlice};
use postern_dict::Maps;

use crate::failure::Failure;
use crate::features::{self, Features, Keywords};
use crate::reply::Reply;
use crate::role::Role;
use crate::security::Demand;
use crate::session::Session;
use crate::settings::{Settings, Tables};
use crate::trouble::{Stage, Trouble};

/// What the handshake must know of the message and its place.
#[derive(Debug, Clone)]
pub struct Context<'a> {
    /// Queue ID.
    pub queue_id: &'a str,
    /// Next-hop domain, for the loop text.
    pub nexthop: &'a str,
    /// Whether our own name in a reply means a loop (SMTP on port 25).
    pub detect_loop: bool,
    /// Whether this host has the best preference of the destination.
    pub best_host: bool,
    /// Age of the message in seconds, for the PIX workarounds.
    pub age: i64,
    /// What the destination demands of the connection.
    pub demand: &'a Demand,
}

/// Why the session is of no use.
#[derive(Debug)]
pub struct Refusal {
    /// The failure.
    pub failure: Failure,
    /// Mail would come back to us: no other server is tried.
    pub is_loop: bool,
}

impl From<Failure> for Refusal {
    fn from(failure: Failure) -> Self {
        Self {
            failure,
            is_loop: false,
        }
    }
}

/// Reads the greeting and introduces us; afterwards the features are known.
pub fn shake_hands(
    session: &mut Session,
    settings: &Settings,
    tables: &mut Tables,
    context: &Context<'_>,
) -> Result<(), Refusal> {
    session.set_timeout(settings, settings.timeouts.helo);
    if let Some(failure) = context.demand.before_greeting() {
        return Err(failure.into());
    }
    let greeting = session
        .reply(settings, tables, context.queue_id)
        .map_err(|trouble| session.broken(&trouble, Stage::Greeting))?;
    if !greeting.is_success() {
        let failure = session.refused(&greeting);
        let retry = greeting.class() == 5 && settings.skip_5xx_greeting;
        return Err(if retry {
            failure.with_class(b'4')
        } else {
            failure
        }
        .into());
    }
    let workarounds = pix_workarounds(session, settings, tables, context, &greeting)?;
    let extended = wants_ehlo(settings, context, session, &greeting) && !workarounds.disable_esmtp;
    session.delay_dot = workarounds.delay_dot;
    let reply = introduce(session, settings, tables, context, extended)?;
    learn_features(session, settings, tables, context, reply.as_ref())?;
    if let Some(failure) = context.demand.after_ehlo(session) {
        return Err(failure.into());
    }
    if context.demand.login_expected(session, tables)? {
        let reason = format!(
            "SASL authentication failed; cannot authenticate to server {}: no mechanism available",
            session.short
        );
        return Err(Failure::local("4.7.0", reason).into());
    }
    Ok(())
}

/// Looks at the words of the greeting: our own name, and the word ESMTP.
fn wants_ehlo(
    settings: &Settings,
    context: &Context<'_>,
    session: &Session,
    greeting: &Reply,
) -> bool {
    let line = greeting
        .lines
        .first()
        .map(|line| line.to_str_lossy().into_owned())
        .unwrap_or_default();
    let mut words = line.split_ascii_whitespace();
    if context.detect_loop
        && let Some(first) = words.clone().next()
        && first.eq_ignore_ascii_case(&settings.myhostname)
    {
        log::warn!(
            "host {} greeted me with my own hostname {}",
            session.long,
            settings.myhostname
        );
    }
    if settings.role == Role::Lmtp {
        return true;
    }
    let esmtp = words.any(|word| word.eq_ignore_ascii_case("ESMTP"));
    (esmtp || settings.always_ehlo) && !settings.never_ehlo
}

/// Sends EHLO, then HELO if need be; `None` when only HELO worked.
fn introduce(
    session: &mut Session,
    settings: &Settings,
    tables: &mut Tables,
    context: &Context<'_>,
    extended: bool,
) -> Result<Option<Reply>, Refusal> {
    if extended {
        let (verb, stage) = match settings.role {
            Role::Smtp => ("EHLO", Stage::Ehlo),
            Role::Lmtp => ("LHLO", Stage::Lhlo),
        };
        let command = format!("{verb} {}", settings.helo_name);
        let reply = session
            .exchange(command.as_bytes(), settings, tables, context.queue_id)
            .map_err(|trouble| session.broken(&trouble, stage))?;
        if reply.is_success() {
            return Ok(Some(reply));
        }
        if settings.role == Role::Lmtp || reply.code == 421 {
            return Err(session.refused(&reply).into());
        }
    }
    let command = format!("HELO {}", settings.helo_name);
    let reply = session
        .exchange(command.as_bytes(), settings, tables, context.queue_id)
        .map_err(|trouble| session.broken(&trouble, Stage::Helo))?;
    if !reply.is_success() {
        return Err(session.refused(&reply).into());
    }
    check_name(session, settings, context, &reply)?;
    Ok(None)
}

/// Our own name in the reply to EHLO or HELO: we talk to ourselves.
fn check_name(
    session: &Session,
    settings: &Settings,
    context: &Context<'_>,
    reply: &Reply,
) -> Result<(), Refusal> {
    let line = reply
        .lines
        .first()
        .map(|line| line.to_str_lossy().into_owned())
        .unwrap_or_default();
    let name = line.split_ascii_whitespace().next().unwrap_or_default();
    if !context.detect_loop || !name.eq_ignore_ascii_case(&settings.myhostname) {
        return Ok(());
    }
    log::warn!(
        "host {} replied to HELO/EHLO with my own hostname {}",
        session.long,
        settings.myhostname
    );
    let status = if context.best_host { "5.4.6" } else { "4.4.6" };
    let failure = Failure::local(
        status,
        format!("mail for {} loops back to myself", context.nexthop),
    );
    Err(Refusal {
        failure,
        is_loop: true,
    })
}

fn learn_features(
    session: &mut Session,
    settings: &Settings,
    tables: &mut Tables,
    context: &Context<'_>,
    reply: Option<&Reply>,
) -> Result<(), Refusal> {
    let Some(reply) = reply else {
        session.features = Features::default();
        return Ok(());
    };
    check_name(session, settings, context, reply)?;
    let discard = discarded(session, settings, tables, context)?;
    let mut features = features::parse(&reply.lines, discard);
    if let Some(value) = &features.bad_size {
        log::warn!("bad EHLO SIZE limit \"{value}\" from {}", session.long);
    }
    let names = features.discarded.names();
    if !names.is_empty() && !discard.has(Keywords::SILENT_DISCARD) {
        log::info!(
            "discarding EHLO keywords: {}",
            names.join(settings.list_separator)
        );
    }
    if features.offered.has(Keywords::SMTPUTF8) && !features.offered.has(Keywords::EIGHT_BIT_MIME) {
        log::info!(
            "host {} offers SMTPUTF8 support, but not 8BITMIME",
            session.short
        );
        features.offered.insert(Keywords::EIGHT_BIT_MIME);
    }
    session.features = features;
    Ok(())
}

fn discarded(
    session: &mut Session,
    settings: &Settings,
    tables: &mut Tables,
    context: &Context<'_>,
) -> Result<Keywords, Refusal> {
    let found = for_server(&mut tables.discard_maps, session, context, Stage::Ehlo)?;
    let Some(text) = found else {
        return Ok(settings.discard);
    };
    Ok(Keywords::parse_list(text.as_bstr()))
}

/// What the tables say about the address of the server.
fn for_server(
    maps: &mut Maps,
    session: &mut Session,
    context: &Context<'_>,
    stage: Stage,
) -> Result<Option<BString>, Refusal> {
    let found = maps.find(session.peer.address.as_bstr(), false);
    found.map_err(|_| {
        let (id, title, address) = (context.queue_id, maps.title(), &session.peer.address);
        log::warn!("{id}: {title} map lookup error for {address}");
        session.broken(&Trouble::Data, stage).into()
    })
}

/// Workarounds for a defect of old Cisco PIX firewalls.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Workarounds {
    disable_esmtp: bool,
    delay_dot: bool,
}

impl Workarounds {
    /// Those in use, in the order in which the log has them.
    fn names(self) -> Vec<&'static str> {
        [
            (self.disable_esmtp, "disable_esmtp"),
            (self.delay_dot, "delay_dotcrlf"),
        ]
        .into_iter()
        .filter_map(|(enabled, name)| enabled.then_some(name))
        .collect()
    }
}

/// A PIX hides the greeting behind `*`, but leaves 2, 0 and blanks.
fn is_pix(greeting: &Reply) -> bool {
    greeting.text.iter().all(|byte| b"20* ".contains(byte))
}

fn pix_workarounds(
    session: &mut Session,
    settings: &Settings,
    tables: &mut Tables,
    context: &Context<'_>,
    greeting: &Reply,
) -> Result<Workarounds, Refusal> {
    if !is_pix(greeting) {
        return Ok(Workarounds::default());
    }
    let found = for_server(&mut tables.pix_maps, session, context, Stage::Greeting)?;
    let list = found.map_or_else(
        || settings.pix_workarounds.clone(),
        |text| text.to_str_lossy().into_owned(),
    );
    let mut workarounds = Workarounds::default();
    for word in list.split([',', ' ', '\t']).filter(|word| !word.is_empty()) {
        if word.eq_ignore_ascii_case("disable_esmtp") {
            workarounds.disable_esmtp = true;
        } else if word.eq_ignore_ascii_case("delay_dotcrlf") {
            workarounds.delay_dot = context.age >= settings.pix_threshold;
        } else {
            log::warn!("unknown PIX workaround \"{word}\"");
        }
    }
    let names = workarounds.names();
    if !names.is_empty() {
        log::info!(
            "{}: enabling PIX workarounds: {} for {}",
            context.queue_id,
            names.join(settings.list_separator),
            session.long
        );
    }
    Ok(workarounds)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn workarounds_are_named_in_one_order() {
        let both = Workarounds {
            delay_dot: true,
            disable_esmtp: true,
        };
        assert_eq!(both.names(), ["disable_esmtp", "delay_dotcrlf"]);
        assert!(Workarounds::default().names().is_empty());
    }
}
