//! Delivers mail to virtual mailboxes, one request per connection. Manual page: virtual(8); delivery.md §4
//! of our specification. Knows no aliases, commands or forwarding.
#![forbid(unsafe_code)]

mod mailbox;

use std::process::ExitCode;

use bstr::ByteSlice;
use postern_config::params;
use postern_delivery::mbox::{LockPolicy, LockSet};
use postern_delivery::{Agent, Delivery, Outcome};
use postern_dict::search::Extensions;
use postern_dict::{Flags, Maps};
use postern_ipc::deliver::{Dsn, Recipient};
use postern_queue_file::Hashing;
use postern_rewrite::LocalDomains;
use postern_server::{Client, Context, Needs, SingleServer, StartError, single_server};

/// Runs the program.
pub fn main() -> ExitCode {
    single_server::main::<Virtual>()
}

/// The agent: tables, limits, locks.
struct Virtual {
    agent: Agent,
    hashing: Hashing,
    /// Opened after privileges are dropped: nothing that only root may read is trusted here.
    tables: Option<Tables>,
    base: String,
    minimum_uid: u32,
    size_limit: u64,
    locks: LockPolicy,
    original_to: bool,
    strict_ownership: bool,
}

struct Tables {
    mailbox: Maps,
    uid: Maps,
    gid: Maps,
    search: Search,
}

/// How an address is looked up.
struct Search {
    extensions: Extensions,
    domains: LocalDomains,
}

/// Where a recipient's mail goes, and with whose rights.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Mailbox {
    path: std::path::PathBuf,
    is_maildir: bool,
    uid: u32,
    gid: u32,
}

impl SingleServer for Virtual {
    const NAME: &'static str = "virtual";
    const NEEDS: Needs = Needs {
        privileged: true,
        ..Needs::NONE
    };

    fn before_jail(context: &mut Context) -> Result<Self, StartError> {
        let config = &context.config;
        let base = config.get(params::VIRTUAL_MAILBOX_BASE);
        if !base.is_empty() && !base.starts_with('/') {
            return Err(StartError::new(format!(
                "do not specify relative pathname: virtual_mailbox_base = {base}"
            )));
        }
        let size_limit = config.get(params::VIRTUAL_MAILBOX_LIMIT);
        let message_limit = config.get(params::MESSAGE_SIZE_LIMIT);
        if size_limit > 0 && message_limit == 0 {
            return Err(StartError::new(
                "configuration error: virtual_mailbox_limit is limited but message_size_limit is unlimited",
            ));
        }
        if size_limit > 0 && size_limit < message_limit {
            return Err(StartError::new(
                "configuration error: virtual_mailbox_limit is smaller than message_size_limit",
            ));
        }
        let lock = config.get(params::VIRTUAL_MAILBOX_LOCK);
        let set = LockSet::parse("virtual_mailbox_lock", &lock).map_err(StartError::new)?;
        Ok(Self {
            agent: Agent::new(config, Some(params::VIRTUAL_DELIVERY_STATUS_FILTER)),
            hashing: postern_delivery::hashing(config),
            tables: None,
            base,
            minimum_uid: u32::try_from(config.get(params::VIRTUAL_MINIMUM_UID)).unwrap_or(1),
            size_limit: u64::try_from(size_limit).unwrap_or(0),
            locks: LockPolicy::new(config, set),
            original_to: config.get(params::ENABLE_ORIGINAL_RECIPIENT),
            strict_ownership: config.get(params::STRICT_MAILBOX_OWNERSHIP),
        })
    }

    fn after_jail(&mut self, context: &Context) -> Result<(), StartError> {
        let open = |param: postern_config::Param<String>| {
            Maps::open(
                &context.config,
                param.info.name,
                &context.config.get(param),
                Flags::LOCK | Flags::PARANOID | Flags::UTF8_REQUEST,
            )
        };
        self.tables = Some(Tables {
            mailbox: open(params::VIRTUAL_MAILBOX_MAPS),
            uid: open(params::VIRTUAL_UID_MAPS),
            gid: open(params::VIRTUAL_GID_MAPS),
            search: Search {
                extensions: Extensions::from_config(&context.config),
                domains: LocalDomains::new(&context.config),
            },
        });
        Ok(())
    }

    fn before_accept(&mut self, _context: &Context) -> Option<String> {
        postern_dict::changed_table()
    }

    fn serve(&mut self, context: &Context, client: Client) {
        let mut channel = client.channel;
        let hashing = self.hashing.clone();
        let relay = context.service_name.clone();
        postern_delivery::serve(&mut channel, &hashing, |delivery| {
            let mut deferred = false;
            for recipient in &delivery.recipients {
                let outcome = self.deliver(delivery, recipient, &relay);
                deferred |= delivery.settle(recipient, outcome);
            }
            deferred
        });
    }
}

impl Virtual {
    /// One recipient: look up, check, deliver.
    fn deliver(&mut self, delivery: &Delivery, recipient: &Recipient, relay: &str) -> Outcome {
        let report = delivery.report(recipient, relay.into());
        let result = self
            .locate(recipient)
            .and_then(|mailbox| self.store(delivery, recipient, &mailbox));
        match result {
            Ok(text) => self.agent.sent(&report, &dsn("2.0.0", text)),
            Err(Failure { status, reason }) if status.starts_with('5') => {
                self.agent.bounce(&report, &dsn(status, reason))
            }
            Err(Failure { status, reason }) => self.agent.defer(&report, &dsn(status, reason)),
        }
    }

    /// Finds mailbox path, owner and group in the tables.
    fn locate(&mut self, recipient: &Recipient) -> Result<Mailbox, Failure> {
        let tables = self.tables.as_mut().ok_or_else(Failure::configuration)?;
        mailbox::locate(
            tables,
            &self.base,
            self.minimum_uid,
            recipient.recipient.as_bstr(),
        )
    }

    /// Writes the message and returns the success text.
    fn store(
        &self,
        delivery: &Delivery,
        recipient: &Recipient,
        mailbox: &Mailbox,
    ) -> Result<&'static str, Failure> {
        if delivery.is_trace_only() {
            return Ok(if mailbox.is_maildir {
                "delivers to maildir"
            } else {
                "delivers to mailbox"
            });
        }
        if mailbox.is_maildir {
            mailbox::store_maildir(self, delivery, recipient, mailbox)
        } else {
            mailbox::store_mbox(self, delivery, recipient, mailbox)
        }
    }
}

/// Why a recipient has no mail yet; class 5 will never have.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Failure {
    status: &'static str,
    reason: String,
}

impl Failure {
    fn new(status: &'static str, reason: impl Into<String>) -> Self {
        Self {
            status,
            reason: reason.into(),
        }
    }

    /// The tables are at fault: an operator can mend that, so the mail waits.
    fn configuration() -> Self {
        Self::new("4.3.5", "mail system configuration error")
    }
}

fn dsn(status: &str, reason: impl Into<Vec<u8>>) -> Dsn {
    let reason: Vec<u8> = reason.into();
    Dsn {
        status: status.into(),
        reason: reason.into(),
        ..Dsn::default()
    }
}
