//! Decides for each recipient where it goes: transport, next hop, queue. Source: delivery.md §1.5.

use crate::core::{Core, ERROR_SERVICE, RETRY_SERVICE, Target};
use crate::envelope::Envelope;
use crate::settings::Settings;
use bstr::{BStr, BString, ByteSlice};
use postern_ipc::deliver::{Dsn, Recipient};
use postern_ipc::rewrite::resolve_flag;
use postern_mail::address;
use postern_rewrite::{AddressService, Context, Resolved};

/// Who knows where an address is.
pub(crate) trait Resolve {
    /// Transport and next hop of a recipient; `probe` asks for the transports of address probes.
    fn resolve(&mut self, sender: &BStr, address: &BStr, probe: bool) -> Resolved;
    /// An address (internal form) in standard form; `None` when a table cannot be read.
    fn standard_form(&mut self, address: &BStr) -> Option<BString>;
    /// A table that changed since it was opened.
    fn changed_table(&self) -> Option<String> {
        None
    }
}

impl Resolve for AddressService {
    fn resolve(&mut self, sender: &BStr, address: &BStr, probe: bool) -> Resolved {
        match probe {
            true => self.verify(sender, address),
            false => Self::resolve(self, sender, address),
        }
    }

    fn standard_form(&mut self, address: &BStr) -> Option<BString> {
        let external = address::quote(address);
        let external = self.rewrite(Context::Local, external.as_bstr()).ok()?;
        Some(address::unquote(external.as_bstr()))
    }

    fn changed_table(&self) -> Option<String> {
        self.tables_changed()
    }
}

/// What matters of the message.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Circumstances<'a> {
    pub(crate) envelope: &'a Envelope,
    /// Return the message to the sender at the next chance.
    pub(crate) force_expire: bool,
    /// Forget that its destinations are dead.
    pub(crate) flush_each: bool,
    /// Try transports in `defer_transports`, too.
    pub(crate) ignore_defer_transports: bool,
    /// Address probes in the active queue.
    pub(crate) probes: usize,
}

/// Where a recipient goes.
#[derive(Debug, PartialEq)]
pub(crate) enum Route {
    /// To a delivery agent.
    To(Target, Recipient),
    /// Reported as deferred by the queue manager itself, for want of an agent that could.
    Defer(Recipient, Dsn),
    /// Dropped: a notice about a notice about an undeliverable notice.
    Discard(Recipient),
}

/// Routes a batch of recipients; those of one destination come out together.
pub(crate) fn route_all(
    core: &mut Core,
    settings: &Settings,
    resolver: &mut dyn Resolve,
    about: Circumstances<'_>,
    mut recipients: Vec<Recipient>,
) -> Vec<Route> {
    recipients.sort_by_cached_key(|recipient| address_key(&recipient.recipient));
    if let Some(redirect) = &about.envelope.redirect {
        // All are replaced by one, which has the original recipient of the first in this order.
        recipients.truncate(1);
        for recipient in &mut recipients {
            recipient.recipient = resolver
                .standard_form(redirect.as_bstr())
                .unwrap_or_else(|| redirect.clone());
        }
    }
    let mut routes: Vec<Route> = recipients
        .into_iter()
        .map(|recipient| route(core, settings, resolver, about, recipient))
        .collect();
    routes.sort_by_cached_key(|route| match route {
        Route::To(target, recipient) => {
            let transport = core.transports[target.transport].name.clone();
            Some((
                transport,
                target.queue_name.clone(),
                address_key(&recipient.recipient),
            ))
        }
        _ => None,
    });
    routes
}

/// The domain without regard to case, then the address.
fn address_key(recipient: &BString) -> (Vec<u8>, BString) {
    let domain = address::domain(recipient.as_bstr()).unwrap_or_default();
    (domain.to_ascii_lowercase(), recipient.clone())
}

fn route(
    core: &mut Core,
    settings: &Settings,
    resolver: &mut dyn Resolve,
    about: Circumstances<'_>,
    mut recipient: Recipient,
) -> Route {
    let envelope = about.envelope;
    let probe = envelope.is_probe();
    let mut class = 0;
    let filter = envelope
        .filter
        .as_ref()
        .filter(|_| !probe && envelope.redirect.is_none());
    let (mut transport, mut nexthop): (BString, BString) = match filter {
        Some(filter) => by_filter(settings, filter, &recipient),
        None => {
            let sender = envelope.sender.as_bstr();
            let resolved = resolver.resolve(sender, recipient.recipient.as_bstr(), probe);
            class = resolved.flags;
            if resolved.flags & (resolve_flag::FAIL | resolve_flag::ERROR) == 0 {
                recipient.recipient = resolved.recipient;
            }
            (resolved.transport, resolved.nexthop)
        }
    };
    let local = class & resolve_flag::CLASS_LOCAL != 0
        && address::eq_ignore_case(
            address::local_part(recipient.recipient.as_bstr()),
            &settings.double_bounce_sender,
        );
    let special = if class & resolve_flag::FAIL != 0 {
        Some((RETRY_SERVICE, "4.3.0 address resolver failure"))
    } else if class & resolve_flag::ERROR != 0 {
        Some((ERROR_SERVICE, "5.1.3 bad address syntax"))
    } else if recipient.recipient.is_empty() {
        Some((ERROR_SERVICE, "5.1.3 null recipient address"))
    } else if about.force_expire {
        Some((RETRY_SERVICE, "4.7.0 message is administratively expired"))
    } else if local {
        return Route::Discard(recipient);
    } else if !about.ignore_defer_transports
        && settings
            .defer_transports
            .iter()
            .any(|name| transport == name.as_bytes())
    {
        Some((RETRY_SERVICE, "4.3.2 deferred transport"))
    } else if probe && about.probes > settings.probe_limit {
        Some((
            RETRY_SERVICE,
            "4.3.2 Too many address verification requests",
        ))
    } else {
        None
    };
    if let Some((name, text)) = special {
        (transport, nexthop) = (name.into(), text.into());
    }
    settle(
        core,
        settings,
        about.flush_each,
        &transport,
        nexthop,
        recipient,
    )
}

/// `transport:nexthop` of a content filter.
fn by_filter(settings: &Settings, filter: &BString, recipient: &Recipient) -> (BString, BString) {
    let (transport, nexthop) = filter.split_once_str(":").unwrap_or((filter, b""));
    let nexthop = match () {
        () if !nexthop.is_empty() => nexthop.as_bstr(),
        () if !settings.default_filter_nexthop.is_empty() => {
            settings.default_filter_nexthop.as_bstr()
        }
        () => address::domain(recipient.recipient.as_bstr())
            .filter(|domain| !domain.is_empty())
            .unwrap_or(settings.my_hostname.as_bstr()),
    };
    (transport.into(), nexthop.to_owned())
}

/// Finds the queue; a destination in trouble is replaced by the retry service.
fn settle(
    core: &mut Core,
    settings: &Settings,
    flush_each: bool,
    transport: &BString,
    nexthop: BString,
    recipient: Recipient,
) -> Route {
    let transport = core.transport(&transport.to_str_lossy());
    if flush_each {
        core.revive_transport(transport);
    }
    if let Some(dsn) = core.transports[transport].dead.clone() {
        return retry_or_defer(core, recipient, dsn);
    }
    let name = &core.transports[transport].name;
    let single = core.transports[transport].params.recipient_limit == 1
        && name != ERROR_SERVICE
        && name != RETRY_SERVICE;
    let queue_name: BString = if single {
        per_recipient_name(settings, &nexthop, &recipient)
    } else {
        nexthop.to_ascii_lowercase().into()
    };
    if flush_each && let Some(queue) = core.find_queue(transport, &queue_name) {
        core.revive_queue(queue);
    }
    if let Some(dsn) = core.queue_trouble(transport, &queue_name).cloned() {
        return retry_or_defer(core, recipient, dsn);
    }
    Route::To(
        Target {
            transport,
            queue_name,
            nexthop,
        },
        recipient,
    )
}

/// With one recipient per request, concurrency is per recipient: `localpart@nexthop`.
fn per_recipient_name(settings: &Settings, nexthop: &BString, recipient: &Recipient) -> BString {
    let local = address::local_part(recipient.recipient.as_bstr());
    let user = address::split_extension(
        local,
        &settings.recipient_delimiter,
        settings.owner_request_special,
    );
    let user = user.map_or(local, |(user, _)| user);
    [user.as_bytes(), b"@", nexthop.as_bytes()]
        .concat()
        .to_ascii_lowercase()
        .into()
}

fn retry_or_defer(core: &mut Core, recipient: Recipient, dsn: Dsn) -> Route {
    match core.retry_target(&dsn) {
        Some(target) => Route::To(target, recipient),
        None => Route::Defer(recipient, dsn),
    }
}

/// The sender of one recipient's copy of a mailing: `list+user=domain@example.com`.
pub(crate) fn verp_sender(delimiters: &BStr, sender: &BStr, recipient: &BStr) -> BString {
    let (local, domain) = address::split(sender);
    let (user, host) = address::split(recipient);
    let mut verp = BString::from(local);
    verp.extend(delimiters.first());
    verp.extend_from_slice(user);
    if let Some(host) = host {
        verp.extend(delimiters.get(1));
        verp.extend_from_slice(host);
    }
    if let Some(domain) = domain {
        verp.push(b'@');
        verp.extend_from_slice(domain);
    }
    verp
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::settings::transport_params;
    use postern_config::Config;
    use std::time::Instant;

    /// Resolves `user@host` to `smtp:host`; some names are special.
    struct Table;

    impl Resolve for Table {
        fn resolve(&mut self, _: &BStr, address: &BStr, probe: bool) -> Resolved {
            let (local, domain) = address::split(address);
            let (transport, flags) = match local.as_bytes() {
                b"fail" => ("", resolve_flag::FAIL),
                b"bad" => ("", resolve_flag::ERROR),
                b"double-bounce" | b"user+ext" => ("local", resolve_flag::CLASS_LOCAL),
                _ if probe => ("probe", 0),
                _ => ("smtp", resolve_flag::CLASS_DEFAULT),
            };
            Resolved {
                transport: transport.into(),
                nexthop: domain.unwrap_or_default().to_owned(),
                recipient: address.to_owned(),
                flags,
            }
        }
        fn standard_form(&mut self, address: &BStr) -> Option<BString> {
            Some([address.as_bytes(), b".std"].concat().into())
        }
    }

    fn world() -> (Core, Settings) {
        let text = "recipient_delimiter = +\ndefer_transports = slow\nmyhostname = mx.example\n\
                    compatibility_level = 3.6\n";
        let config = Config::from_text(text).unwrap();
        let settings = Settings::new(&config);
        let limits = settings.limits();
        let source = Box::new(move |name: &str| transport_params(&config, name));
        (Core::new(limits, source, Instant::now()), settings)
    }

    fn recipients(names: &[&str]) -> Vec<Recipient> {
        let one = |name: &&str| Recipient {
            recipient: (*name).into(),
            ..Recipient::default()
        };
        names.iter().map(one).collect()
    }

    fn about(envelope: &Envelope) -> Circumstances<'_> {
        Circumstances {
            envelope,
            force_expire: false,
            flush_each: false,
            ignore_defer_transports: false,
            probes: 0,
        }
    }

    fn texts(core: &Core, routes: &[Route]) -> Vec<String> {
        let text = |route: &Route| match route {
            Route::To(target, recipient) => format!(
                "{} {}:{} ({})",
                recipient.recipient,
                core.transports[target.transport].name,
                target.nexthop,
                target.queue_name
            ),
            Route::Defer(recipient, dsn) => format!("{} defer {}", recipient.recipient, dsn.reason),
            Route::Discard(recipient) => format!("{} discard", recipient.recipient),
        };
        routes.iter().map(text).collect()
    }

    #[track_caller]
    fn check(about: Circumstances<'_>, names: &[&str], want: &[&str]) {
        let (mut core, settings) = world();
        let routes = route_all(&mut core, &settings, &mut Table, about, recipients(names));
        assert_eq!(texts(&core, &routes), want);
    }

    #[test]
    fn recipients_are_resolved_and_sorted_by_destination() {
        check(
            about(&Envelope::default()),
            &[
                "z@B.x",
                "a@C.x",
                "b@b.X",
                "user+ext@here",
                "double-bounce@here",
                "bad@x",
                "fail@x",
            ],
            &[
                "double-bounce@here discard",
                "bad@x error:5.1.3 bad address syntax (5.1.3 bad address syntax)",
                "user+ext@here local:here (user@here)",
                "fail@x retry:4.3.0 address resolver failure (4.3.0 address resolver failure)",
                "b@b.X smtp:b.X (b.x)",
                "z@B.x smtp:B.x (b.x)",
                "a@C.x smtp:C.x (c.x)",
            ],
        );
    }

    #[test]
    fn filters_redirection_and_expiry_come_first() {
        let mut envelope = Envelope {
            filter: Some("scan:".into()),
            ..Envelope::default()
        };
        check(about(&envelope), &["a@b.x"], &["a@b.x scan:b.x (b.x)"]);
        envelope.filter = Some("scan:127.0.0.1:10025".into());
        check(
            about(&envelope),
            &["a@b.x"],
            &["a@b.x scan:127.0.0.1:10025 (127.0.0.1:10025)"],
        );
        envelope.trace_flags = 512;
        check(about(&envelope), &["a@b.x"], &["a@b.x probe:b.x (b.x)"]);
        let envelope = Envelope {
            redirect: Some("r@c.x".into()),
            ..Envelope::default()
        };
        check(
            about(&envelope),
            &["a@b.x", "b@b.x"],
            &["r@c.x.std smtp:c.x.std (c.x.std)"],
        );
        let envelope = Envelope::default();
        let expired = Circumstances {
            force_expire: true,
            ..about(&envelope)
        };
        let text = "4.7.0 message is administratively expired";
        check(
            expired,
            &["a@b.x"],
            &[&format!("a@b.x retry:{text} ({text})")],
        );
        check(
            about(&envelope),
            &[""],
            &[" error:5.1.3 null recipient address (5.1.3 null recipient address)"],
        );
    }

    #[test]
    fn the_first_recipient_in_order_stands_for_all_that_are_redirected() {
        let envelope = Envelope {
            redirect: Some("r@c.x".into()),
            ..Envelope::default()
        };
        // Written in this order; the original recipient that is kept.
        #[rustfmt::skip]
        let cases: [(&[&str], &str); 3] = [
            (&["zoe@a.x", "adam@a.x"], "adam@a.x"), (&["adam@b.x", "zoe@a.x"], "zoe@a.x"), (&["x@a.x"], "x@a.x"),
        ];
        for (recipients, want) in cases {
            let (mut core, settings) = world();
            let recipients = self::recipients(recipients)
                .into_iter()
                .map(|one| Recipient {
                    original_recipient: one.recipient.clone(),
                    ..one
                })
                .collect();
            let routes = route_all(
                &mut core,
                &settings,
                &mut Table,
                about(&envelope),
                recipients,
            );
            let kept: Vec<BString> = routes
                .iter()
                .map(|route| match route {
                    Route::To(_, recipient) => recipient.original_recipient.clone(),
                    other => panic!("{other:?}"),
                })
                .collect();
            assert_eq!(kept, [want]);
        }
    }

    #[test]
    fn deferred_transports_wait_unless_they_are_flushed() {
        let envelope = Envelope {
            filter: Some("slow:x".into()),
            ..Envelope::default()
        };
        let text = "4.3.2 deferred transport";
        check(
            about(&envelope),
            &["a@b.x"],
            &[&format!("a@b.x retry:{text} ({text})")],
        );
        let flushed = Circumstances {
            ignore_defer_transports: true,
            ..about(&envelope)
        };
        check(flushed, &["a@b.x"], &["a@b.x slow:x (x)"]);
    }

    #[test]
    fn dead_destinations_go_to_the_retry_service_unless_flushed() {
        let (mut core, settings) = world();
        let dsn = Dsn {
            status: "4.3.0".into(),
            reason: "down".into(),
            ..Dsn::default()
        };
        let smtp = core.transport("smtp");
        core.throttle_transport(smtp, dsn.clone());
        let envelope = Envelope::default();
        let route = |core: &mut Core, about| {
            let routes = route_all(core, &settings, &mut Table, about, recipients(&["a@b.x"]));
            texts(core, &routes)
        };
        assert_eq!(
            route(&mut core, about(&envelope)),
            ["a@b.x retry:4.3.0 down (4.3.0 down)"]
        );
        let retry = core.transport("retry");
        core.throttle_transport(retry, dsn);
        assert_eq!(route(&mut core, about(&envelope)), ["a@b.x defer down"]);
        let flush = Circumstances {
            flush_each: true,
            ..about(&envelope)
        };
        assert_eq!(route(&mut core, flush), ["a@b.x smtp:b.x (b.x)"]);
    }

    #[test]
    fn verp_puts_the_recipient_into_the_sender() {
        let verp = verp_sender("+=".into(), "list@a.x".into(), "user@b.x".into());
        assert_eq!(verp, "list+user=b.x@a.x");
    }
}
