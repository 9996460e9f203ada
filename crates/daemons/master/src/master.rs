//! The event loop: clients that wait, status records, wake-ups, signals.

use crate::children;
use crate::options::Options;
use crate::plan::Plan;
use crate::reload::{self, Baseline};
use crate::service::{STRESS_TIME, Service, ServiceId, StatusChannel};
use crate::spawn::{self, FlowPipe};
use crate::{sockets, status, wakeup};
use nix::libc::{SIGBUS, SIGCHLD, SIGHUP, SIGILL, SIGINT, SIGQUIT, SIGSEGV, SIGTERM};
use postern_config::Config;
use postern_config::master_cf::ServiceType;
use postern_server::{
    Event, Interest, Reactor, SignalFlags, TimerId, Token, owner_groups_variable,
};
use postern_sys::user::User;
use postern_sys::{error_text, signal, watchdog};
use std::collections::{BTreeMap, HashMap};
use std::io;
use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

/// Notices that come while free processes are left can wait so long: one wake-up then takes the
/// notices of many clients. A client that needs a new process meanwhile waits as long, at most.
const NOTICE_PAUSE: Duration = Duration::from_millis(1);
/// The longest sleep of the loop.
const LONGEST_SLEEP: Duration = Duration::from_secs(500);

/// What a watched descriptor is.
#[derive(Debug)]
enum Watch {
    /// A listen socket, and its place among those of its service.
    Listener(ServiceId),
    /// A status channel.
    Status(ServiceId),
    /// The connection of a wake-up, open until the receiver or the timer closes it.
    Wakeup(OwnedFd, TimerId, String),
}

/// What a timer is for.
#[derive(Debug, Clone, Copy)]
enum Alarm {
    Wakeup(ServiceId),
    Throttle(ServiceId),
    WakeupOpen(Token),
    Exit,
}

/// Why the loop ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum End {
    /// This signal asked for it.
    Signal(i32),
    /// The time of `-e` is over.
    Time,
}

/// The running master.
#[derive(Debug)]
pub(crate) struct Master {
    pub(crate) config: Config,
    pub(crate) options: Options,
    pub(crate) owner: User,
    /// What children are told about the owner's groups.
    pub(crate) owner_groups: Option<String>,
    pub(crate) baseline: Baseline,
    pub(crate) services: BTreeMap<ServiceId, Service>,
    /// Children of removed services, until they end.
    pub(crate) orphans: HashMap<i32, String>,
    reactor: Reactor,
    watches: HashMap<Token, Watch>,
    alarms: HashMap<TimerId, Alarm>,
    flow: FlowPipe,
    generation: u32,
    next_service: u64,
    /// The last notices left every service with a free process.
    may_pause: bool,
}

impl Master {
    pub(crate) fn new(
        config: Config,
        options: Options,
        owner: User,
        baseline: Baseline,
    ) -> io::Result<Self> {
        let (read, write) =
            nix::unistd::pipe2(nix::fcntl::OFlag::O_CLOEXEC | nix::fcntl::OFlag::O_NONBLOCK)?;
        Ok(Self {
            config,
            options,
            owner_groups: owner_groups_variable(&owner),
            owner,
            baseline,
            services: BTreeMap::new(),
            orphans: HashMap::new(),
            reactor: Reactor::new()?,
            watches: HashMap::new(),
            alarms: HashMap::new(),
            flow: FlowPipe { read, write },
            generation: 0,
            next_service: 0,
            may_pause: false,
        })
    }

    /// Adds a service with its sockets. The error is the text after `fatal: `.
    pub(crate) fn add_service(
        &mut self,
        plan: Plan,
        listeners: Vec<OwnedFd>,
    ) -> Result<(), String> {
        let service = Service::new(plan, listeners).map_err(|error| error_text(&error))?;
        self.next_service += 1;
        let id = ServiceId(self.next_service);
        self.services.insert(id, service);
        self.start_service(id).map_err(|error| error_text(&error))
    }

    /// Makes the sockets of a new service. The error is the text after `fatal: `.
    pub(crate) fn open_sockets(&self, plan: &Plan) -> Result<Vec<OwnedFd>, String> {
        sockets::create(plan, &self.owner)
    }

    /// Begins (or, after a reload, begins anew) to run a service: status channel, clients, wake-up.
    pub(crate) fn start_service(&mut self, id: ServiceId) -> io::Result<()> {
        self.watch_status(id)?;
        self.adjust_listening(id);
        let Some(service) = self.services.get(&id) else {
            return Ok(());
        };
        let waits_for_use = service.plan.wakeup_after_use && service.children.is_empty();
        if !service.plan.wakeup.is_zero() && service.wakeup_timer.is_none() && !waits_for_use {
            self.wake_up(id);
        }
        Ok(())
    }

    /// Gives a service a new status channel: children that know the old one end when idle.
    pub(crate) fn replace_status(&mut self, id: ServiceId) -> io::Result<()> {
        let Some(service) = self.services.get_mut(&id) else {
            return Ok(());
        };
        if let Some(token) = service.status.token.take() {
            self.watches.remove(&token);
            self.reactor.deregister(&service.status.ours)?;
        }
        service.status = StatusChannel::new()?;
        // The old children will not tell any more: nobody counts on them.
        for child in service.children.values_mut() {
            child.available = false;
        }
        service.available = 0;
        self.watch_status(id)
    }

    fn watch_status(&mut self, id: ServiceId) -> io::Result<()> {
        if let Some(service) = self.services.get_mut(&id)
            && service.status.token.is_none()
        {
            let token = self
                .reactor
                .register(&service.status.ours, Interest::Read)?;
            service.status.token = Some(token);
            self.watches.insert(token, Watch::Status(id));
        }
        Ok(())
    }

    /// Watches the listen sockets exactly while a waiting client needs a new process.
    pub(crate) fn adjust_listening(&mut self, id: ServiceId) {
        let Some(service) = self.services.get_mut(&id) else {
            return;
        };
        let wanted = service.wants_clients();
        if wanted != service.listening.is_empty() {
            return;
        }
        if wanted {
            for listener in &service.listeners {
                match self.reactor.register(listener, Interest::Read) {
                    Ok(token) => {
                        service.listening.push(token);
                        self.watches.insert(token, Watch::Listener(id));
                    }
                    Err(error) => log::warn!(
                        "service {}: watch socket: {}",
                        service.title(),
                        error_text(&error)
                    ),
                }
            }
        } else {
            Self::stop_listening(service, &mut self.reactor, &mut self.watches);
        }
    }

    fn stop_listening(
        service: &mut Service,
        reactor: &mut Reactor,
        watches: &mut HashMap<Token, Watch>,
    ) {
        for token in service.listening.drain(..) {
            watches.remove(&token);
        }
        for listener in &service.listeners {
            let _ = reactor.deregister(listener);
        }
    }

    /// Removes a service: its children are told to end, its sockets are closed.
    pub(crate) fn remove_service(&mut self, id: ServiceId) {
        let Some(mut service) = self.services.remove(&id) else {
            return;
        };
        Self::stop_listening(&mut service, &mut self.reactor, &mut self.watches);
        if let Some(token) = service.status.token {
            self.watches.remove(&token);
            let _ = self.reactor.deregister(&service.status.ours);
        }
        for timer in [service.throttle, service.wakeup_timer]
            .into_iter()
            .flatten()
        {
            self.reactor.cancel_timer(timer);
            self.alarms.remove(&timer);
        }
        for pid in service.children.keys() {
            let _ = signal::kill(*pid, nix::sys::signal::Signal::SIGTERM);
            self.orphans
                .insert(*pid, service.plan.path.display().to_string());
        }
    }

    /// Runs until a signal or the time limit ends it.
    pub(crate) fn run(&mut self, signals: &mut SignalFlags) -> io::Result<End> {
        if let Some(limit) = self.options.exit_after {
            self.set_alarm(limit, Alarm::Exit);
        }
        let mut events = Vec::new();
        loop {
            watchdog::progress();
            self.reactor.wait(Some(LONGEST_SLEEP), &mut events)?;
            self.may_pause = true;
            let only_notices = events.iter().all(|event| self.is_status(*event));
            for event in events.drain(..) {
                match event {
                    Event::Ready { token, .. } if token == signals.token() => {}
                    Event::Ready { token, .. } => self.descriptor_ready(token),
                    Event::Timer(timer) => {
                        if let Some(end) = self.alarm(timer) {
                            return Ok(end);
                        }
                    }
                }
            }
            if let Some(end) = self.handle_signals(signals) {
                return Ok(end);
            }
            if only_notices && self.may_pause {
                std::thread::sleep(NOTICE_PAUSE);
            }
        }
    }

    fn handle_signals(&mut self, signals: &mut SignalFlags) -> Option<End> {
        for signal in signals.take() {
            match signal {
                SIGHUP => reload::reload(self),
                SIGCHLD => children::reap_all(self),
                other => return Some(End::Signal(other)),
            }
        }
        None
    }

    /// Catches the signals of master.
    pub(crate) fn catch_signals(&mut self) -> io::Result<SignalFlags> {
        SignalFlags::new(
            &mut self.reactor,
            &[
                SIGINT, SIGQUIT, SIGTERM, SIGILL, SIGBUS, SIGSEGV, SIGCHLD, SIGHUP,
            ],
        )
    }

    fn is_status(&self, event: Event) -> bool {
        match event {
            Event::Ready { token, .. } => {
                matches!(self.watches.get(&token), Some(Watch::Status(_)))
            }
            Event::Timer(_) => false,
        }
    }

    fn descriptor_ready(&mut self, token: Token) {
        match self.watches.get(&token) {
            Some(Watch::Listener(id)) => {
                let id = *id;
                self.client_waits(id);
            }
            Some(Watch::Status(id)) => {
                let id = *id;
                self.read_status(id);
            }
            Some(Watch::Wakeup(connection, ..)) => {
                let mut buffer = [0; 1024];
                // What the receiver says is not for master; the end of it closes the connection.
                if !matches!(nix::unistd::read(connection, &mut buffer), Ok(count) if count > 0) {
                    self.close_wakeup(token);
                }
            }
            // The event was for something that an earlier event of this turn has removed.
            None => {}
        }
    }

    fn read_status(&mut self, id: ServiceId) {
        let Some(service) = self.services.get_mut(&id) else {
            return;
        };
        let received = status::receive(&service.status.ours);
        let mut last_pid = 0;
        for record in &received.records {
            last_pid = record.pid;
            if let Err(text) = service.update_child(record.pid, record.generation, record.state) {
                log::info!("{text}");
            }
        }
        if received.partial > 0 {
            let (title, count) = (service.title(), received.partial);
            log::warn!(
                "service {title}: child (pid {last_pid}) sent partial status update ({count} bytes)"
            );
        }
        self.may_pause &= !service.wants_clients();
        self.adjust_listening(id);
    }

    /// A client waits and no process is free.
    fn client_waits(&mut self, id: ServiceId) {
        let Some(service) = self.services.get(&id) else {
            return;
        };
        if !service.wants_clients() {
            self.adjust_listening(id);
            return;
        }
        let now = Instant::now();
        let plan = &service.plan;
        let reaches_limit =
            plan.process_limit > 0 && service.children.len() + 1 >= plan.process_limit;
        if reaches_limit && plan.has_stress {
            self.enter_stress(id, now);
        }
        self.spawn_child(id, now);
        self.adjust_listening(id);
    }

    /// All processes are busy: complain, and let new children know. Existing ones finish and end.
    fn enter_stress(&mut self, id: ServiceId, now: Instant) {
        let Some(service) = self.services.get_mut(&id) else {
            return;
        };
        let was_stressed = service.is_stressed(now);
        service.stress_until = Some(now + STRESS_TIME);
        if service
            .complained
            .is_none_or(|last| now.duration_since(last) >= STRESS_TIME)
        {
            service.complained = Some(now);
            let (plan, limit) = (&service.plan, service.plan.process_limit);
            log::warn!(
                "service \"{}\" ({}) has reached its process limit \"{limit}\": \
                 new clients may experience noticeable delays",
                plan.external_name,
                plan.name
            );
            log::warn!(
                "to avoid this condition, increase the process count in master.cf or reduce the service time per client"
            );
            log::warn!(
                "see http://www.postfix.org/STRESS_README.html for examples of stress-adapting configuration settings"
            );
        }
        if !was_stressed && let Err(error) = self.replace_status(id) {
            log::warn!("status channel: {}", error_text(&error));
        }
    }

    fn spawn_child(&mut self, id: ServiceId, now: Instant) {
        self.generation = self.generation.wrapping_add(1);
        let generation = self.generation;
        let Some(service) = self.services.get_mut(&id) else {
            return;
        };
        let stressed = service.is_stressed(now);
        let groups = self.owner_groups.as_deref();
        match spawn::spawn(service, &self.flow, generation, groups, stressed) {
            Ok(pid) => {
                service.add_child(pid, generation);
                let first_use = service.plan.wakeup_after_use && service.wakeup_timer.is_none();
                if first_use && !service.plan.wakeup.is_zero() {
                    let after = service.plan.wakeup;
                    let timer = self.set_alarm(after, Alarm::Wakeup(id));
                    self.with_service(id, |service| service.wakeup_timer = Some(timer));
                }
            }
            Err(error) => {
                log::warn!("master_spawn: fork: {} -- throttling", error_text(&error));
                self.throttle(id);
            }
        }
    }

    /// Starts no process of this service for a while.
    pub(crate) fn throttle(&mut self, id: ServiceId) {
        let Some(service) = self.services.get(&id) else {
            return;
        };
        if service.throttle.is_none() {
            let time = service.plan.throttle_time;
            let timer = self.set_alarm(time, Alarm::Throttle(id));
            self.with_service(id, |service| service.throttle = Some(timer));
        }
        self.adjust_listening(id);
    }

    fn with_service(&mut self, id: ServiceId, change: impl FnOnce(&mut Service)) {
        if let Some(service) = self.services.get_mut(&id) {
            change(service);
        }
    }

    fn set_alarm(&mut self, after: Duration, alarm: Alarm) -> TimerId {
        let timer = self.reactor.set_timer(after);
        self.alarms.insert(timer, alarm);
        timer
    }

    /// Forgets the wake-up timer, for a reload that changes its period.
    pub(crate) fn stop_wakeup(&mut self, id: ServiceId) {
        if let Some(timer) = self
            .services
            .get_mut(&id)
            .and_then(|service| service.wakeup_timer.take())
        {
            self.reactor.cancel_timer(timer);
            self.alarms.remove(&timer);
        }
    }

    /// Ends a throttling early, for a reload.
    pub(crate) fn unthrottle(&mut self, id: ServiceId) {
        if let Some(timer) = self
            .services
            .get_mut(&id)
            .and_then(|service| service.throttle.take())
        {
            self.reactor.cancel_timer(timer);
            self.alarms.remove(&timer);
        }
        self.adjust_listening(id);
    }

    fn alarm(&mut self, timer: TimerId) -> Option<End> {
        match self.alarms.remove(&timer)? {
            Alarm::Wakeup(id) => {
                self.with_service(id, |service| service.wakeup_timer = None);
                self.wake_up(id);
            }
            Alarm::Throttle(id) => {
                self.with_service(id, |service| service.throttle = None);
                self.adjust_listening(id);
            }
            Alarm::WakeupOpen(token) => {
                if let Some(Watch::Wakeup(_, _, title)) = self.watches.get(&token) {
                    log::warn!("unix_trigger_event: read timeout for service {title}");
                }
                self.close_wakeup(token);
            }
            Alarm::Exit => return Some(End::Time),
        }
        None
    }

    /// Sends a wake-up and sets the timer for the next one.
    fn wake_up(&mut self, id: ServiceId) {
        let Some(service) = self.services.get(&id) else {
            return;
        };
        let period = service.plan.wakeup;
        let mut opened = None;
        if service.throttle.is_none() {
            match wakeup::send(&service.plan) {
                Ok(connection) => {
                    opened = connection.map(|connection| (connection, service.plan.name.clone()))
                }
                Err(error) => {
                    log::warn!(
                        "master_wakeup_timer_event: service {}: {}",
                        service.title(),
                        wakeup_error(service.plan.kind, &error)
                    );
                }
            }
        }
        if let Some((connection, title)) = opened {
            self.keep_wakeup(connection, title);
        }
        let timer = self.set_alarm(period, Alarm::Wakeup(id));
        self.with_service(id, |service| service.wakeup_timer = Some(timer));
    }

    fn keep_wakeup(&mut self, connection: OwnedFd, title: String) {
        let Ok(token) = self.reactor.register(&connection, Interest::Read) else {
            return;
        };
        let timer = self.set_alarm(wakeup::OPEN_LIMIT, Alarm::WakeupOpen(token));
        self.watches
            .insert(token, Watch::Wakeup(connection, timer, title));
    }

    fn close_wakeup(&mut self, token: Token) {
        if let Some(Watch::Wakeup(connection, timer, _)) = self.watches.remove(&token) {
            let _ = self.reactor.deregister(&connection);
            self.reactor.cancel_timer(timer);
            self.alarms.remove(&timer);
        }
    }
}

fn wakeup_error(kind: ServiceType, error: &io::Error) -> String {
    match kind {
        ServiceType::UnixDgram => "Operation not supported".to_owned(),
        _ => error_text(error),
    }
}
