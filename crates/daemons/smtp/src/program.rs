//! The process: start-up, requests, outcomes.

use std::process::ExitCode;

use bstr::ByteSlice;
use postern_config::{Config, params};
use postern_delivery::{Agent, Delivery, Outcome, ReceiveError};
use postern_dns::Resolver;
use postern_ipc::client::{self, Endpoint, PRIVATE};
use postern_ipc::deliver::{self as request, Dsn, MessageStats, Recipient};
use postern_maillog::fatal;
use postern_queue_file::Hashing;
use postern_server::{Context, SingleServer, StartError, single_server};

use crate::cache::Cache;
use crate::content::{Options, Source};
use crate::deliver::Client;
use crate::job::{Job, Report, Reporter};
use crate::role::Role;
use crate::settings::{Settings, Tables};

/// Runs the program; its name decides the protocol.
pub fn main() -> ExitCode {
    let name = std::env::args().next().unwrap_or_default();
    match Role::from_program(&name) {
        Some(Role::Smtp) => single_server::main::<Program<false>>(),
        Some(Role::Lmtp) => single_server::main::<Program<true>>(),
        None => {
            postern_maillog::init("smtp", postern_maillog::Echo::Nothing);
            fatal!("unexpected command-line name: {name}");
        }
    }
}

/// The agent for one of the two protocols.
struct Program<const LMTP: bool> {
    agent: Agent,
    hashing: Hashing,
    settings: Settings,
    tables: Tables,
    options: Options,
    resolver: Resolver,
    cache: Cache,
    services: Vec<(String, u16)>,
}

impl<const LMTP: bool> SingleServer for Program<LMTP> {
    const NAME: &'static str = if LMTP { "lmtp" } else { "smtp" };

    fn before_jail(context: &mut Context) -> Result<Self, StartError> {
        let role = if LMTP { Role::Lmtp } else { Role::Smtp };
        let config = &context.config;
        let filter = match role {
            Role::Smtp => params::SMTP_DELIVERY_STATUS_FILTER,
            Role::Lmtp => params::LMTP_DELIVERY_STATUS_FILTER,
        };
        let settings = Settings::new(config, role, &context.service_name)?;
        if settings.sasl_enable {
            log::warn!(
                "{}_sasl_auth_enable is true, but SASL support is not compiled in",
                role.name()
            );
        }
        Ok(Self {
            agent: Agent::new(config, Some(filter)),
            hashing: postern_delivery::hashing(config),
            tables: Tables::open(config, role),
            options: options(config, role, &flags()?),
            resolver: Resolver::system(),
            cache: Cache::new(
                &config.get(params::CONNECTION_CACHE_SERVICE_NAME),
                config.get(params::CONNECTION_CACHE_PROTOCOL_TIMEOUT),
            ),
            services: read_services(),
            settings,
        })
    }

    fn before_accept(&mut self, _context: &Context) -> Option<String> {
        postern_dict::changed_table()
    }

    fn serve(&mut self, context: &Context, client: postern_server::Client) {
        let mut channel = client.channel;
        let delivery = match Delivery::receive(&mut channel, &self.hashing) {
            Ok(delivery) => delivery,
            Err(ReceiveError::Eof) => return,
            Err(error) => {
                log::warn!("{error}");
                return;
            }
        };
        let (site, deferred) = self.deliver(context, &delivery);
        delivery.finish(&mut channel, site, deferred);
    }
}

impl<const LMTP: bool> Program<LMTP> {
    fn deliver(&mut self, context: &Context, delivery: &Delivery) -> (Dsn, bool) {
        let mut reporter = AgentReporter {
            agent: &mut self.agent,
            delivery,
            config: &context.config,
        };
        let mut job = Job::new(
            &delivery.request,
            &delivery.recipients,
            delivery.stats,
            self.settings.soft_bounce,
            &mut reporter,
        );
        let source = Source {
            file: &delivery.file,
            offset: u64::try_from(delivery.request.offset).unwrap_or(0),
            path: delivery.path.display().to_string(),
        };
        let services = &self.services;
        let port = |name: &str| {
            services
                .iter()
                .find(|(known, _)| known == name)
                .map(|(_, port)| *port)
        };
        let mut client = Client {
            config: &context.config,
            settings: &self.settings,
            tables: &mut self.tables,
            options: &self.options,
            resolver: &self.resolver,
            cache: &mut self.cache,
            services: &port,
        };
        if let Err(error) = client.run(&mut job, &source) {
            fatal!("{error}");
        }
        let site = job
            .site
            .take()
            .filter(|_| job.deferred && !job.completed)
            .unwrap_or_default();
        (site, job.deferred)
    }
}

/// The TCP services of /etc/services, read before the jail.
fn read_services() -> Vec<(String, u16)> {
    let text = std::fs::read("/etc/services").unwrap_or_default();
    let text = String::from_utf8_lossy(&text).into_owned();
    let mut services = Vec::new();
    for line in text.lines() {
        let mut words = line
            .split('#')
            .next()
            .unwrap_or_default()
            .split_ascii_whitespace();
        let (Some(name), Some(port)) = (words.next(), words.next()) else {
            continue;
        };
        let Some(port) = port.strip_suffix("/tcp").and_then(|port| port.parse().ok()) else {
            continue;
        };
        services.push((name.to_owned(), port));
        services.extend(words.map(|alias| (alias.to_owned(), port)));
    }
    services
}

/// The `flags=` argument of master.cf.
fn flags() -> Result<String, StartError> {
    let mut letters = String::new();
    let mut args = std::env::args().skip(1);
    while let Some(arg) = args.next() {
        if let Some(options) = arg.strip_prefix('-') {
            // The skeleton has read the options; a letter at the end may take the next word.
            if options.ends_with(['i', 'm', 'n', 'o', 'r', 's', 't']) && !options.contains(['=']) {
                args.next();
            }
            continue;
        }
        match arg.split_once('=') {
            Some((name, value)) if name.eq_ignore_ascii_case("flags") => letters.push_str(value),
            _ => return Err(StartError::new(format!("unknown attribute name: {arg}"))),
        }
    }
    if let Some(bad) = letters.chars().find(|letter| !"DORX".contains(*letter)) {
        return Err(StartError::new(format!("unknown flag: {bad} in {letters}")));
    }
    Ok(letters)
}

fn options(config: &Config, role: Role, flags: &str) -> Options {
    let assume_final = role == Role::Lmtp && config.get(params::LMTP_ASSUME_FINAL);
    if assume_final && !flags.contains('X') {
        log::warn!("lmtp_assume_final is obsolete; instead, specify \"flags=X\" in master.cf");
    }
    let size = |number: i32| usize::try_from(number).unwrap_or(usize::MAX);
    Options {
        delivered_to: flags.contains('D'),
        original_to: flags.contains('O'),
        return_path: flags.contains('R'),
        is_final: flags.contains('X') || assume_final,
        limits: (
            size(config.get(params::MIME_NESTING_LIMIT)),
            size(config.get(params::MIME_BOUNDARY_LENGTH_LIMIT)),
            size(config.get(params::HEADER_SIZE_LIMIT)),
        ),
        body_checks_limit: u64::try_from(config.get(params::BODY_CHECKS_SIZE_LIMIT)).unwrap_or(0),
    }
}

/// Outcomes go to the delivery library.
struct AgentReporter<'a> {
    agent: &'a mut Agent,
    delivery: &'a Delivery,
    config: &'a Config,
}

impl Reporter for AgentReporter<'_> {
    fn sent(&mut self, report: &Report<'_>, dsn: &Dsn) -> Outcome {
        self.agent.sent(&outcome_of(report), dsn)
    }

    fn bounce(&mut self, report: &Report<'_>, dsn: &Dsn) -> Outcome {
        self.agent.bounce(&outcome_of(report), dsn)
    }

    fn defer(&mut self, report: &Report<'_>, dsn: &Dsn) -> Outcome {
        self.agent.defer(&outcome_of(report), dsn)
    }

    fn mark_done(&mut self, recipient: &Recipient) {
        self.delivery.mark_done(recipient);
    }

    fn pass_on(&mut self, report: &Report<'_>, transport: &str) -> Outcome {
        let (service, nexthop) = transport.split_once(':').unwrap_or((transport, ""));
        let recipient = report.recipient;
        log::info!(
            "{}: passing <{}> to transport={service}",
            report.request.queue_id,
            recipient.recipient
        );
        let reason = match pass(self.config, report, service, nexthop) {
            Ok(0) => return Outcome::Done,
            Ok(_) => return Outcome::Deferred,
            Err(client::ClientError::Connect { .. } | client::ClientError::Protocol { .. }) => {
                "mail transport unavailable"
            }
            Err(client::ClientError::Exchange { .. }) => "unknown mail transport error",
        };
        let dsn = Dsn {
            status: "4.3.0".into(),
            reason: reason.into(),
            ..Dsn::default()
        };
        self.agent.defer(&outcome_of(report), &dsn)
    }
}

fn outcome_of<'a>(report: &Report<'a>) -> postern_delivery::Report<'a> {
    postern_delivery::Report {
        flags: report.request.flags,
        queue_id: &report.request.queue_id,
        stats: report.stats,
        recipient: report.recipient,
        relay: report.relay.as_bstr(),
    }
}

/// Asks another delivery agent to deliver one recipient; the status of its answer.
fn pass(
    config: &Config,
    report: &Report<'_>,
    service: &str,
    nexthop: &str,
) -> Result<i32, client::ClientError> {
    use postern_attr::{Encoding, Extra};
    let at = Endpoint::new(PRIVATE, service);
    let mut channel = at.connect(config.get(params::IPC_TIMEOUT))?;
    client::expect_protocol(&mut channel, &at, Encoding::Null, request::PROTOCOL)?;
    // The other agent may need longer than one exchange does.
    channel.set_timeout(config.get(params::DAEMON_TIMEOUT));
    let stats: &MessageStats = report.stats;
    let mut message = report.request.clone();
    message.time = stats.to_data();
    message.recipient_count = 1;
    if !nexthop.is_empty() {
        message.nexthop = nexthop.into();
    }
    client::send(&mut channel, &at, Encoding::Null, &message)?;
    let recipient = Recipient {
        offset: -1,
        ..report.recipient.clone()
    };
    client::send(&mut channel, &at, Encoding::Null, &recipient)?;
    let reply: request::Reply = client::receive(&mut channel, &at, Encoding::Null, Extra::Refuse)?;
    Ok(reply.final_status)
}
