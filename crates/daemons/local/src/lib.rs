//! Delivers mail to the users of this system: aliases, `.forward` files, commands, files, mailboxes.
//! Manual page: local(8); delivery.md §3 of our specification. Knows no queue but the file of the
//! message at hand.
#![forbid(unsafe_code)]

mod alias;
mod biff;
mod command;
mod destination_file;
mod dot_forward;
mod duplicates;
mod expand;
mod forward;
mod include;
mod job;
mod macros;
mod mail;
mod mailbox;
mod recipient;
mod rights;
mod settings;
mod unknown;

use std::process::ExitCode;

use postern_config::{Config, Param, params};
use postern_delivery::{Agent, Delivery};
use postern_dict::{Flags, Maps};
use postern_queue_file::Hashing;
use postern_rewrite::AddressService;
use postern_server::{Client, Context, Needs, SingleServer, StartError, single_server};

use crate::settings::Settings;
use postern_delivery::DeliveredTo;

/// Runs the program.
pub fn main() -> ExitCode {
    single_server::main::<Local>()
}

/// The agent: settings, tables, and what it asks others.
struct Local {
    agent: Agent,
    hashing: Hashing,
    config: Config,
    settings: Settings,
    addresses: AddressService,
    /// Opened after privileges are dropped: nothing that only root may read is trusted here.
    tables: Option<Tables>,
}

/// The lookup tables.
struct Tables {
    aliases: Maps,
    mailbox_transport: Maps,
    mailbox_command: Maps,
    fallback_transport: Maps,
}

impl SingleServer for Local {
    const NAME: &'static str = "local";
    const NEEDS: Needs = Needs {
        privileged: true,
        ..Needs::NONE
    };

    fn before_jail(context: &mut Context) -> Result<Self, StartError> {
        let config = &context.config;
        Ok(Self {
            agent: Agent::new(config, Some(params::LOCAL_DELIVERY_STATUS_FILTER)),
            hashing: postern_delivery::hashing(config),
            settings: Settings::new(config, &context.service_name)?,
            addresses: AddressService::new(config),
            config: config.clone(),
            tables: None,
        })
    }

    fn after_jail(&mut self, context: &Context) -> Result<(), StartError> {
        postern_sys::signal::ignore_write_signals();
        self.tables = Some(Tables::open(&context.config));
        Ok(())
    }

    fn before_accept(&mut self, _context: &Context) -> Option<String> {
        postern_dict::changed_table()
    }

    fn serve(&mut self, _context: &Context, client: Client) {
        let mut channel = client.channel;
        let hashing = self.hashing.clone();
        postern_delivery::serve(&mut channel, &hashing, |delivery| self.deliver(delivery));
    }
}

impl Local {
    /// Delivers to each recipient; returns whether one is deferred.
    fn deliver(&mut self, delivery: &Delivery) -> bool {
        let known = DeliveredTo::of(delivery, self.settings.header_limit);
        let mut deferred = false;
        for recipient in &delivery.recipients {
            let outcome = recipient::deliver_top(self, delivery, recipient, &known);
            deferred |= delivery.settle(recipient, outcome);
        }
        deferred
    }
}

impl Tables {
    fn open(config: &Config) -> Self {
        let open = |param: Param<String>, flags: Flags| {
            let flags = Flags::LOCK | Flags::UTF8_REQUEST | flags;
            Maps::open(config, param.info.name, &config.get(param), flags)
        };
        Self {
            aliases: open(params::ALIAS_MAPS, Flags::PARANOID | Flags::FOLD_FIX),
            mailbox_transport: open(params::MAILBOX_TRANSPORT_MAPS, Flags::NO_REGSUB),
            mailbox_command: open(params::MAILBOX_COMMAND_MAPS, Flags::PARANOID),
            fallback_transport: open(params::FALLBACK_TRANSPORT_MAPS, Flags::NO_REGSUB),
        }
    }
}
