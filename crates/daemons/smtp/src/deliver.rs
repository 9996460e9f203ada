//! The story of a delivery: next hops, addresses, kept sessions, new sessions (smtp-client.md §2-§7).

mod kept;

use std::net::IpAddr;

use bstr::{BStr, ByteSlice};
use postern_config::Config;
use postern_dns::Resolver;
use postern_ipc::deliver::Moment;
use postern_sys::clock::unix_time;
use postern_wire::Channel;

use crate::addresses::{Finder, Found, NoTarget};
use crate::cache::Cache;
use crate::connect;
use crate::content::{self, Source};
use crate::failure::Failure;
use crate::handshake::{self, Context};
use crate::job::Job;
use crate::nexthop::{self, Inet, NexthopError, Place, Services};
use crate::notice;
use crate::order::Target;
use crate::role::Role;
use crate::security::Demand;
use crate::session::{Peer, Session};
use crate::settings::{Settings, Tables};
use crate::transaction::Transaction;

/// The submission port of old, which speaks TLS at once.
const SMTPS_PORT: u16 = 465;
/// Port on which our own name in a dialogue means a loop.
const SMTP_PORT: u16 = 25;

/// Everything that outlives one request.
pub struct Client<'a> {
    /// main.cf, for notices.
    pub config: &'a Config,
    /// Parameters.
    pub settings: &'a Settings,
    /// Tables.
    pub tables: &'a mut Tables,
    /// Flag headers, limits.
    pub options: &'a content::Options,
    /// DNS.
    pub resolver: &'a Resolver,
    /// Kept sessions.
    pub cache: &'a mut Cache,
    /// Port of a service in the services file.
    pub services: &'a dyn Fn(&str) -> Option<u16>,
}

/// One next hop in turn.
struct Hop<'a> {
    /// As written, with brackets and port.
    name: &'a str,
    /// Nothing comes after it.
    is_final: bool,
    /// Whether sessions may come from the cache, and go there.
    load: bool,
    store: bool,
    /// Whether the next session that ends well is kept under the name of this next hop. Only the first
    /// one is: with a later one, the hosts before it would be passed over while it is kept.
    labels: bool,
    best: u16,
}

impl Client<'_> {
    /// Delivers to every recipient of the job that remains.
    ///
    /// # Errors
    ///
    /// A next hop that makes no sense ends the process.
    pub fn run(&mut self, job: &mut Job<'_>, source: &Source<'_>) -> Result<(), NexthopError> {
        if let Some(failure) = self.refuse(job, source) {
            job.final_server = true;
            job.relay = self.settings.service.as_str().into();
            job.site_fail(&failure);
            return Ok(());
        }
        let requested = job.request.nexthop.to_str_lossy().into_owned();
        let _verbose = self
            .tables
            .debug_peers
            .watch(job.request.nexthop.as_bstr(), BStr::new(""));
        if self.settings.role == Role::Lmtp && requested.starts_with("unix:") {
            self.run_unix(job, source, &requested);
            return Ok(());
        }
        let mut hops: Vec<&str> = nexthop::split(&requested).collect();
        let own_hops = hops.len();
        let fallback = self.settings.routing.fallback_relay.clone();
        hops.extend(nexthop::split(&fallback));
        let mut why = None;
        for (index, name) in hops.iter().enumerate() {
            if !job.has_open() {
                break;
            }
            let place = self.parse(name)?;
            let Place::Inet(inet) = &place else { continue };
            self.warn_wrapper(inet);
            let (load, store) = if index == 0 {
                self.cache_policy(job, &place)
            } else {
                (false, false)
            };
            let mut hop = Hop {
                name,
                is_final: index + 1 == hops.len(),
                load,
                store,
                labels: store,
                best: 0,
            };
            why = self.try_hop(job, source, &mut hop, inet);
            if hop.is_final {
                self.blame_relay(&mut why, &requested, index >= own_hops);
                break;
            }
        }
        self.give_up(job, why);
        Ok(())
    }

    /// What remains when every server was tried.
    fn give_up(&self, job: &mut Job<'_>, why: Option<Failure>) {
        if !job.has_open() {
            return;
        }
        job.final_server = true;
        job.end_session();
        let failure = why.unwrap_or_else(|| {
            Failure::local("4.3.0", "server unavailable or unable to receive mail")
        });
        job.site_fail(&failure);
    }

    /// A relay of our own that does not exist is our own mistake, not the sender's.
    fn blame_relay(&self, why: &mut Option<Failure>, requested: &str, is_fallback: bool) {
        let Some(failure) = why.as_mut().filter(|failure| !failure.is_soft()) else {
            return;
        };
        if is_fallback {
            log::warn!(
                "{}_fallback_relay configuration problem",
                self.settings.role.name()
            );
        } else if !self.settings.routing.relayhost.is_empty()
            && requested.eq_ignore_ascii_case(&self.settings.routing.relayhost)
        {
            log::warn!("relayhost configuration problem");
        } else {
            return;
        }
        failure.dsn.status = "4.3.5".into();
    }

    /// Flags in master.cf that the request does not fit.
    fn refuse(&self, job: &Job<'_>, source: &Source<'_>) -> Option<Failure> {
        let options = self.options;
        for (wanted, letter) in [(options.delivered_to, 'D'), (options.original_to, 'O')] {
            if wanted && job.recipients.len() > 1 {
                let service = &self.settings.service;
                log::warn!("flag `{letter}' requires {service}_destination_recipient_limit = 1");
                return Some(Failure::local("4.3.5", "mail system configuration error"));
            }
        }
        let recipient = &job.recipients.first()?.recipient.recipient;
        if options.delivered_to && content::has_delivered_to(source, recipient.as_bstr()) {
            return Some(Failure::local(
                "5.4.6",
                format!("mail forwarding loop for {recipient}"),
            ));
        }
        None
    }

    fn parse(&self, name: &str) -> Result<Place, NexthopError> {
        let routing = &self.settings.routing;
        let services = Services {
            default: &routing.default_port,
            known: &routing.known_ports,
            file: self.services,
        };
        nexthop::parse(name, self.settings.role, &services)
    }

    fn warn_wrapper(&self, inet: &Inet) {
        if inet.port == SMTPS_PORT && !self.settings.tls_wrapper {
            let prefix = self.settings.role.name();
            log::info!(
                "SMTPS wrappermode (TCP port 465) requires setting \"{prefix}_tls_wrappermode = yes\", \
                 and \"{prefix}_tls_security_level = encrypt\" (or stronger)"
            );
        }
    }

    /// One next hop: its addresses, kept sessions, new sessions. Returns the reason when no server
    /// could be talked to; the recipients that remain go to the next hop.
    fn try_hop(
        &mut self,
        job: &mut Job<'_>,
        source: &Source<'_>,
        hop: &mut Hop<'_>,
        inet: &Inet,
    ) -> Option<Failure> {
        job.end_session();
        log::debug!("connecting to {} port {}", inet.host, inet.port);
        let is_smtp = self.settings.role == Role::Smtp;
        let mut finder = Finder {
            routing: &self.settings.routing,
            resolver: self.resolver,
            filter: &mut self.tables.dns_filter,
            detect_loop: is_smtp,
        };
        let Found {
            mut targets,
            best,
            found_self,
        } = match finder.find(inet) {
            Ok(found) => found,
            Err(NoTarget {
                failure,
                is_loop,
                is_best,
            }) => {
                hop.is_final |= is_loop;
                let transport = &self.settings.routing.best_mx_transport;
                if is_best && !transport.is_empty() {
                    job.pass_on(transport);
                }
                return Some(failure);
            }
        };
        show_targets(inet, &targets);
        hop.is_final |= found_self;
        hop.best = best;
        let mut sessions = 0;
        if hop.load {
            self.reuse(job, source, hop, inet, &mut targets, &mut sessions);
        }
        self.connect_all(job, source, hop, inet, targets, sessions)
    }

    /// Connects to one address after the other.
    fn connect_all(
        &mut self,
        job: &mut Job<'_>,
        source: &Source<'_>,
        hop: &mut Hop<'_>,
        inet: &Inet,
        targets: Vec<Target>,
        mut sessions: usize,
    ) -> Option<Failure> {
        let (address_limit, session_limit) = (
            self.settings.routing.address_limit,
            self.settings.routing.session_limit,
        );
        let count = if address_limit > 0 {
            targets.len().min(address_limit)
        } else {
            targets.len()
        };
        let mut why = None;
        for (index, target) in targets.iter().take(count).enumerate() {
            if !job.has_open() || (session_limit > 0 && sessions >= session_limit) {
                break;
            }
            let is_last = index + 1 == count;
            job.final_server = hop.is_final && is_last;
            job.end_session();
            let peer = self.peer(target, inet);
            if hop.load
                && target.preference != hop.best
                && let Some(session) = self.revive_endpoint(job, &peer)
            {
                why = None;
                sessions += 1;
                job.final_server = hop.is_final && (is_last || sessions == session_limit);
                self.converse(job, source, hop, session);
                continue;
            }
            let opened = self.open(&peer, target.address, hop.name);
            let (mut session, demand) = match opened {
                Ok(opened) => opened,
                Err(failure) => {
                    if failure.dsn.status != "4.7.5" {
                        log::info!("{}", failure.dsn.reason);
                    }
                    why = Some(failure);
                    continue;
                }
            };
            why = None;
            job.begin_session(session.long.as_bstr(), 0);
            let requested = job.request.nexthop.to_str_lossy();
            let context = Context {
                queue_id: &job.request.queue_id,
                nexthop: &requested,
                detect_loop: self.settings.role == Role::Smtp
                    && session.peer.port == Some(SMTP_PORT),
                best_host: target.preference == hop.best,
                age: job.stats.active_arrival.seconds - job.stats.incoming_arrival.seconds,
                demand: &demand,
            };
            if let Err(refusal) =
                handshake::shake_hands(&mut session, self.settings, self.tables, &context)
            {
                if refusal.is_loop {
                    hop.is_final = true;
                    job.final_server = true;
                }
                job.site_fail(&refusal.failure);
                self.part(job, session);
                continue;
            }
            sessions += 1;
            job.final_server = hop.is_final && (is_last || sessions == session_limit);
            job.stats.conn_setup_done = Moment::now();
            self.converse(job, source, hop, session);
        }
        why
    }

    fn open(
        &mut self,
        peer: &Peer,
        address: IpAddr,
        nexthop: &str,
    ) -> Result<(Session, Demand), Failure> {
        let host = peer.host.to_str_lossy().into_owned();
        let demand = Demand::of(nexthop, &host, self.settings, self.tables)?;
        let (routing, timeout) = (&self.settings.routing, self.settings.timeouts.connect);
        let channel = connect::tcp(
            peer,
            address,
            peer.port.unwrap_or(SMTP_PORT),
            routing,
            timeout,
        )?;
        Ok((self.session(channel, peer.clone()), demand))
    }

    fn session(&mut self, channel: Channel, peer: Peer) -> Session {
        let (host, address) = (peer.host.as_bstr(), peer.address.as_bstr());
        let verbose = self.tables.debug_peers.watch(host, address);
        let mut session = Session::new(
            channel,
            peer,
            self.settings.notify_protocol || self.settings.notify_data,
            verbose,
        );
        session.expires = unix_time() + self.settings.reuse_time_limit;
        session
    }

    /// A transaction in an open session, and what becomes of the session.
    fn converse(
        &mut self,
        job: &mut Job<'_>,
        source: &Source<'_>,
        hop: &mut Hop<'_>,
        mut session: Session,
    ) {
        let limit = self.settings.reuse_count_limit;
        session.keep = hop.store
            && (limit <= 0 || session.reuse_count < limit)
            && unix_time() < session.expires
            && !session.dead;
        let mut transaction = Transaction {
            session: &mut session,
            job,
            settings: self.settings,
            tables: self.tables,
            source,
            options: self.options,
        };
        transaction.run();
        session.labelled = hop.labels;
        hop.labels &= !session.in_step;
        self.part(job, session);
    }

    /// Keeps the session or says goodbye.
    fn part(&mut self, job: &Job<'_>, mut session: Session) {
        let wanted = (session.protocol_error && self.settings.notify_protocol)
            || (session.data_error && self.settings.notify_data);
        let is_kept = session.keep
            && session.in_step
            && !session.dead
            && !session.quit_sent
            && !session.channel.has_failed();
        if !is_kept {
            session.quit(self.settings, self.tables, &job.request.queue_id);
        }
        if wanted {
            notice::send(
                self.config,
                self.settings.role,
                &session,
                &job.request.sender,
            );
        }
        if is_kept {
            self.keep(job, session);
        }
    }

    fn peer(&self, target: &Target, inet: &Inet) -> Peer {
        Peer {
            host: target.host.as_str().into(),
            address: target.address.to_string().into(),
            port: Some(target.port.unwrap_or(inet.port)),
        }
    }

    /// Delivers over a UNIX socket: one place, no alternatives.
    fn run_unix(&mut self, job: &mut Job<'_>, source: &Source<'_>, requested: &str) {
        let path = requested
            .strip_prefix("unix:")
            .unwrap_or(requested)
            .to_owned();
        if !self.settings.routing.fallback_relay.is_empty() {
            log::warn!(
                "ignoring \"lmtp_fallback_relay = {}\" setting for non-TCP connections",
                self.settings.routing.fallback_relay
            );
        }
        let place = Place::Unix(path.clone());
        let (load, store) = self.cache_policy(job, &place);
        let mut hop = Hop {
            name: requested,
            is_final: true,
            load,
            store,
            labels: store,
            best: 0,
        };
        let peer = Peer {
            host: self.settings.myhostname.as_str().into(),
            address: path.as_str().into(),
            port: None,
        };
        job.final_server = true;
        if load {
            let label = self.destination_label(&job.request.nexthop);
            let kept = self.cache.find_destination(label.as_bstr());
            if let Some(session) = kept.and_then(|kept| self.revive(job, kept, Some(peer.clone())))
            {
                self.converse(job, source, &mut hop, session);
                return;
            }
        }
        let demand = match Demand::of(
            requested,
            &self.settings.myhostname,
            self.settings,
            self.tables,
        ) {
            Ok(demand) => demand,
            Err(failure) => return job.site_fail(&failure),
        };
        let channel = match connect::unix(&peer, &path, self.settings.timeouts.connect) {
            Ok(channel) => channel,
            Err(failure) => return job.site_fail(&failure),
        };
        let mut session = self.session(channel, peer);
        job.begin_session(session.long.as_bstr(), 0);
        let context = Context {
            queue_id: &job.request.queue_id,
            nexthop: requested,
            detect_loop: false,
            best_host: true,
            age: job.stats.active_arrival.seconds - job.stats.incoming_arrival.seconds,
            demand: &demand,
        };
        if let Err(refusal) =
            handshake::shake_hands(&mut session, self.settings, self.tables, &context)
        {
            job.site_fail(&refusal.failure);
            self.part(job, session);
            return;
        }
        job.stats.conn_setup_done = Moment::now();
        self.converse(job, source, &mut hop, session);
        self.give_up(job, None);
    }
}

/// Tells where the next hop leads, in the order in which the servers are tried.
fn show_targets(inet: &Inet, targets: &[Target]) {
    if !log::log_enabled!(log::Level::Debug) {
        return;
    }
    log::debug!("begin {} address list", inet.host);
    for target in targets {
        let (preference, host, address) = (target.preference, &target.host, target.address);
        log::debug!("pref {preference:4} host {host}/{address}");
    }
    log::debug!("end {} address list", inet.host);
}
