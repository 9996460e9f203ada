use super::feedback::Feedback;
use super::*;
use proptest::prelude::*;

fn params() -> TransportParams {
    TransportParams {
        window: WindowParams {
            limit: 20,
            initial: 2,
            positive: Feedback::ONE,
            negative: Feedback::ONE,
            cohort_limit: 1.0,
        },
        recipient_limit: 2,
        recipient_slots: 1000,
        extra_slots: 100,
        refill_limit: 10,
        refill_delay: Duration::from_secs(5),
        slot_cost: 5,
        slot_loan: 3,
        slot_discount: 50,
        minimum_slots: 3,
        transport_rate_delay: Duration::ZERO,
        destination_rate_delay: Duration::ZERO,
    }
}

fn core_with(params: TransportParams) -> Core {
    let limits = Limits {
        recipients: 1000,
        recipient_minimum: 10,
        minimal_backoff: Duration::from_secs(300),
        transport_retry: Duration::from_secs(60),
    };
    Core::new(limits, Box::new(move |_| params.clone()), Instant::now())
}

fn recipient(text: &str) -> Recipient {
    Recipient {
        recipient: text.into(),
        ..Recipient::default()
    }
}

/// A message with recipients `user1@site`, `user2@site`, … for each site.
fn message(core: &mut Core, transport: &str, sites: &[(&str, usize)]) -> MessageId {
    let id = core.add_message(false);
    for (site, count) in sites {
        for number in 0..*count {
            add(core, id, transport, site, number);
        }
    }
    core.finish_batch(id, 0);
    id
}

fn add(core: &mut Core, id: MessageId, transport: &str, site: &str, number: usize) {
    let target = Target {
        transport: core.transport(transport),
        queue_name: site.into(),
        nexthop: site.into(),
    };
    core.assign(id, target, recipient(&format!("user{number}@{site}")));
}

fn pick(core: &mut Core, name: &str) -> Option<EntryId> {
    let id = core.transport(name);
    core.connected(id, &mut |_, _| {})
}

fn trouble() -> Dsn {
    Dsn {
        status: "4.4.1".into(),
        reason: "connection refused".into(),
        ..Dsn::default()
    }
}

#[test]
fn recipients_of_one_site_share_requests_up_to_the_limit() {
    let mut core = core_with(params());
    let id = message(&mut core, "smtp", &[("a", 3), ("b", 1)]);
    assert_eq!(core.select_transport(), Some(core.transport("smtp")));
    let first = pick(&mut core, "smtp").unwrap();
    assert_eq!(core.entries[first].recipients.len(), 2);
    let second = pick(&mut core, "smtp").unwrap();
    let third = pick(&mut core, "smtp").unwrap();
    assert!(pick(&mut core, "smtp").is_none());
    let sizes = [second, third].map(|entry| core.entries[entry].recipients.len());
    assert_eq!(sizes, [1, 1]);
    for entry in [first, second, third] {
        assert_eq!(core.next_effect(), None);
        core.done(entry, Outcome::Good);
    }
    assert_eq!(core.next_effect(), Some(Effect::Idle(id)));
    core.remove_message(id);
    assert_eq!(
        (core.queues.len(), core.jobs.len(), core.peers.len()),
        (0, 0, 0)
    );
    assert_eq!(core.recipients, 0);
}

#[test]
fn verp_gives_each_recipient_its_own_request() {
    let mut core = core_with(params());
    let id = core.add_message(true);
    for number in 0..3 {
        add(&mut core, id, "smtp", "a", number);
    }
    core.finish_batch(id, 0);
    let entry = pick(&mut core, "smtp").unwrap();
    assert_eq!(core.entries[entry].recipients.len(), 1);
}

#[test]
fn the_window_bounds_the_deliveries_to_one_site() {
    let mut core = core_with(params());
    message(&mut core, "smtp", &[("a", 20)]);
    let one = pick(&mut core, "smtp").unwrap();
    assert!(pick(&mut core, "smtp").is_some());
    assert!(pick(&mut core, "smtp").is_none());
    assert_eq!(core.select_transport(), None);
    // The window grows to three, and one delivery is over: two more may start.
    core.done(one, Outcome::Good);
    assert!(pick(&mut core, "smtp").is_some());
    assert!(pick(&mut core, "smtp").is_some());
    assert!(pick(&mut core, "smtp").is_none());
}

#[test]
fn at_most_two_agents_are_being_connected() {
    let mut core = core_with(params());
    message(&mut core, "smtp", &[("a", 20), ("b", 20)]);
    assert!(core.select_transport().is_some());
    assert!(core.select_transport().is_some());
    assert!(core.select_transport().is_none());
    core.agent_left(core.by_name["smtp"]);
    assert!(core.select_transport().is_some());
}

#[test]
fn a_dead_site_sends_waiting_recipients_to_the_retry_service() {
    let mut core = core_with(params());
    let id = message(&mut core, "smtp", &[("a", 8)]);
    let one = pick(&mut core, "smtp").unwrap();
    let two = pick(&mut core, "smtp").unwrap();
    core.done(one, Outcome::Site(trouble()));
    core.done(two, Outcome::Site(trouble()));
    // 1/2 + 1/1 is a cohort: four recipients were not sent.
    let smtp = core.transport("smtp");
    assert_eq!(core.queue_trouble(smtp, b"a"), Some(&trouble()));
    assert!(pick(&mut core, "smtp").is_none());
    let entry = pick(&mut core, "retry").unwrap();
    let queue = core.entries[entry].queue;
    assert_eq!(core.queues[queue].nexthop, "4.4.1 connection refused");
    core.done(entry, Outcome::Good);
    let entry = pick(&mut core, "retry").unwrap();
    core.done(entry, Outcome::Good);
    assert_eq!(core.next_effect(), Some(Effect::Idle(id)));
    assert_eq!(core.recipients, 0);
    core.remove_message(id);
    assert!(core.find_queue(smtp, b"a").is_some(), "the state is kept");
    core.now += Duration::from_secs(300);
    core.expire();
    assert!(core.find_queue(smtp, b"a").is_none());
    assert_eq!(core.deadline(), None);
}

#[test]
fn without_a_retry_service_recipients_are_deferred_directly() {
    let mut core = core_with(params());
    let id = message(&mut core, "smtp", &[("a", 2)]);
    let retry = core.transport("retry");
    core.throttle_transport(retry, trouble());
    let smtp = core.transport("smtp");
    core.throttle_transport(smtp, trouble());
    let Some(Effect::Defer {
        message,
        recipients,
        dsn,
    }) = core.next_effect()
    else {
        panic!("nothing was deferred");
    };
    assert_eq!((message, recipients.len(), dsn), (id, 2, trouble()));
    assert_eq!(core.next_effect(), None);
    core.deferred(id, 2);
    assert_eq!(core.next_effect(), Some(Effect::Idle(id)));
    assert_eq!(core.recipients, 0);
    core.now += Duration::from_secs(60);
    core.expire();
    assert!(core.transports[smtp].dead.is_none());
}

#[test]
fn an_agent_that_broke_off_gives_its_entry_back() {
    let mut core = core_with(params());
    let id = message(&mut core, "smtp", &[("a", 1)]);
    let entry = pick(&mut core, "smtp").unwrap();
    core.unpick(entry);
    let smtp = core.transport("smtp");
    core.throttle_transport(smtp, trouble());
    let entry = pick(&mut core, "retry").unwrap();
    core.done(entry, Outcome::Good);
    assert_eq!(core.next_effect(), Some(Effect::Idle(id)));
}

#[test]
fn a_rate_delay_makes_pauses_between_deliveries() {
    let mut slow = params();
    slow.destination_rate_delay = Duration::from_secs(10);
    slow.window.limit = 1;
    slow.window.initial = 1;
    slow.recipient_limit = 1;
    let mut core = core_with(slow);
    message(&mut core, "smtp", &[("a", 2)]);
    let entry = pick(&mut core, "smtp").unwrap();
    core.done(entry, Outcome::Good);
    assert!(pick(&mut core, "smtp").is_none());
    core.now += Duration::from_secs(10);
    core.expire();
    assert!(pick(&mut core, "smtp").is_some());
}

#[test]
fn jobs_are_served_in_the_order_of_arrival() {
    let mut core = core_with(params());
    let first = message(&mut core, "smtp", &[("a", 1)]);
    let second = message(&mut core, "smtp", &[("b", 1)]);
    let picked = [pick(&mut core, "smtp"), pick(&mut core, "smtp")];
    let messages = picked.map(|entry| core.entries[entry.unwrap()].message);
    assert_eq!(messages, [first, second]);
}

#[test]
fn a_small_message_overtakes_a_large_one_that_has_paid() {
    let mut wide = params();
    wide.window.initial = 1000;
    wide.window.limit = 0;
    let mut core = core_with(wide);
    let large = message(&mut core, "smtp", &[("a", 200)]);
    let small = message(&mut core, "smtp", &[("b", 2)]);
    let mut before = 0;
    loop {
        let entry = pick(&mut core, "smtp").unwrap();
        if core.entries[entry].message == small {
            break;
        }
        assert_eq!(core.entries[entry].message, large);
        before += 1;
        core.now += Duration::from_secs(1);
    }
    // One delivery of the large message earns a slot; the loan of three covers the small one.
    assert_eq!(before, 1);
    // Without preemption it would have waited for all hundred requests.
    let mut fifo = params();
    fifo.slot_cost = 0;
    fifo.window.initial = 1000;
    let mut core = core_with(fifo);
    let large = message(&mut core, "smtp", &[("a", 200)]);
    message(&mut core, "smtp", &[("b", 2)]);
    for _ in 0..20 {
        let entry = pick(&mut core, "smtp").unwrap();
        assert_eq!(core.entries[entry].message, large);
    }
}

#[test]
fn more_recipients_are_read_when_slots_are_free() {
    let mut core = core_with(params());
    let id = core.add_message(false);
    for number in 0..10 {
        add(&mut core, id, "smtp", &format!("site{number}"), 0);
    }
    core.finish_batch(id, 5);
    assert!(core.next_batch(id) >= 10);
    let smtp = core.transport("smtp");
    let mut calls = 0;
    let entry = core.connected(smtp, &mut |core, message| {
        calls += 1;
        for number in 10..15 {
            add(core, message, "smtp", &format!("site{number}"), 0);
        }
        core.finish_batch(message, 0);
    });
    assert!(entry.is_some());
    assert_eq!(calls, 1);
    assert_eq!(core.recipients, 15);
    // All read: what the job does not use went back to the pool, and the message kept its own.
    assert_eq!(core.messages[id].recipient_limit, 25);
}

#[test]
fn cached_connections_are_offered_right_after_a_delivery() {
    let mut core = core_with(params());
    message(&mut core, "smtp", &[("a", 8)]);
    let one = pick(&mut core, "smtp").unwrap();
    assert!(!core.entries[one].cache_store);
    core.done(one, Outcome::Good);
    let two = pick(&mut core, "smtp").unwrap();
    assert!(core.entries[two].cache_load && core.entries[two].cache_store);
    core.now += Duration::from_secs(2);
    core.done(two, Outcome::Good);
    core.now += Duration::from_secs(2);
    let three = pick(&mut core, "smtp").unwrap();
    assert!(core.entries[three].cache_load && !core.entries[three].cache_store);
}

#[derive(Debug, Clone)]
enum Step {
    Add { transport: u8, sites: Vec<(u8, u8)> },
    Pick(u8),
    Done { which: usize, how: u8 },
    Unpick(usize),
    Kill(u8),
    Wait(u16),
    Flush,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        (0..3u8, proptest::collection::vec((0..5u8, 1..30u8), 1..4))
            .prop_map(|(transport, sites)| Step::Add { transport, sites }),
        (0..4u8).prop_map(Step::Pick),
        (0..4u8).prop_map(Step::Pick),
        (any::<usize>(), 0..4u8).prop_map(|(which, how)| Step::Done { which, how }),
        any::<usize>().prop_map(Step::Unpick),
        (0..4u8).prop_map(Step::Kill),
        (0..400u16).prop_map(Step::Wait),
        Just(Step::Flush),
    ]
}

const NAMES: [&str; 4] = ["smtp", "local", "relay", "retry"];

/// Does what the engine does after each event; counts messages that ended.
fn settle(core: &mut Core, ended: &mut usize) {
    while let Some(effect) = core.next_effect() {
        match effect {
            Effect::Defer {
                message,
                recipients,
                ..
            } => core.deferred(message, recipients.len()),
            Effect::Idle(message) => {
                assert!(core.is_idle(message));
                core.remove_message(message);
                *ended += 1;
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]
    #[test]
    fn every_message_ends_whatever_happens(steps in proptest::collection::vec(step(), 1..120)) {
        let mut core = core_with(params());
        let mut busy: Vec<EntryId> = Vec::new();
        let (mut added, mut ended) = (0, 0);
        for step in steps {
            match step {
                Step::Add { transport, sites } => {
                    let id = core.add_message(false);
                    for (site, count) in sites {
                        for number in 0..count {
                            let name = format!("s{site}");
                            let transport = NAMES[usize::from(transport)];
                            // As the engine: a dead destination is not assigned to.
                            let of = core.transport(transport);
                            let dead = core.transports[of].dead.is_some()
                                || core.queue_trouble(of, name.as_bytes()).is_some();
                            if dead {
                                match core.retry_target(&trouble()) {
                                    Some(target) => drop(core.assign(id, target, recipient(&name))),
                                    None => core.defer_directly(id, vec![recipient(&name)], trouble()),
                                }
                            } else {
                                add(&mut core, id, transport, &name, usize::from(number));
                            }
                        }
                    }
                    core.finish_batch(id, 0);
                    added += 1;
                }
                Step::Pick(transport) => {
                    busy.extend(pick(&mut core, NAMES[usize::from(transport)]));
                }
                Step::Done { which, how } if !busy.is_empty() => {
                    let entry = busy.remove(which % busy.len());
                    core.done(entry, match how {
                        0 => Outcome::Site(trouble()),
                        1 => Outcome::Crash(trouble()),
                        _ => Outcome::Good,
                    });
                }
                Step::Unpick(which) if !busy.is_empty() => {
                    let entry = busy.remove(which % busy.len());
                    core.unpick(entry);
                    let queue = core.entries[entry].queue;
                    let transport = core.queues[queue].transport;
                    core.throttle_transport(transport, trouble());
                }
                Step::Kill(transport) => {
                    let id = core.transport(NAMES[usize::from(transport)]);
                    core.throttle_transport(id, trouble());
                }
                Step::Wait(seconds) => {
                    core.now += Duration::from_secs(seconds.into());
                    core.expire();
                }
                Step::Flush => core.forget_trouble(),
                Step::Done { .. } | Step::Unpick(_) => {}
            }
            settle(&mut core, &mut ended);
        }
        for _ in 0..10_000 {
            if core.message_count() == 0 {
                break;
            }
            if let Some(entry) = busy.pop() {
                core.done(entry, Outcome::Good);
            } else {
                busy.extend(NAMES.iter().filter_map(|name| pick(&mut core, name)));
                core.now += Duration::from_secs(100);
                core.expire();
            }
            settle(&mut core, &mut ended);
        }
        prop_assert_eq!(added, ended);
        prop_assert_eq!(core.message_count(), 0);
        prop_assert_eq!(core.entries.len() + core.jobs.len() + core.peers.len(), 0);
        prop_assert_eq!(core.recipients, 0);
        for id in core.transports.ids() {
            let transport = &core.transports[id];
            prop_assert_eq!(transport.free_slots, transport.params.recipient_slots);
            prop_assert!(transport.head.is_none() && transport.tail.is_none());
        }
    }
}
