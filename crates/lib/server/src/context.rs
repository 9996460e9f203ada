//! What a program knows about its process.

use crate::{Flow, Options};
use postern_config::{Config, ConfigError, params};
use postern_sys::user::User;
use std::fmt::Display;
use std::path::PathBuf;
use std::time::Duration;

/// Why a daemon cannot start. `Display` is the text after `fatal: `.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("{0}")]
pub struct StartError(String);

impl StartError {
    /// An error with this text.
    pub fn new(text: impl Display) -> Self {
        Self(text.to_string())
    }
}

impl From<ConfigError> for StartError {
    fn from(error: ConfigError) -> Self {
        Self::new(error)
    }
}

impl From<std::io::Error> for StartError {
    fn from(error: std::io::Error) -> Self {
        Self(postern_sys::error_text(&error))
    }
}

/// The kind of a service's listen sockets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Transport {
    /// TCP.
    Inet,
    /// UNIX stream.
    Unix,
    /// UNIX stream over which open connections are handed over.
    Pass,
    /// Named pipe.
    Fifo,
    /// UNIX datagram.
    Datagram,
}

impl Transport {
    /// The name in master.cf.
    pub fn name(self) -> &'static str {
        match self {
            Self::Inet => "inet",
            Self::Unix => "unix",
            Self::Pass => "pass",
            Self::Fifo => "fifo",
            Self::Datagram => "unix-dgram",
        }
    }
}

/// A process limit that a program cannot do without.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ProcessLimit {
    /// master.cf must say 1.
    One,
    /// master.cf must say 0, no limit.
    Zero,
}

/// What a program demands of its master.cf entry, and how its skeleton shall treat it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Needs {
    /// The process limit.
    pub process_limit: Option<ProcessLimit>,
    /// Must run as root (no `-u`). The process then acts as `mail_owner` but can become root again.
    pub privileged: bool,
    /// New clients wait `in_flow_delay` when the queue manager cannot keep up.
    pub flow_control: bool,
    /// Time without progress after which the process ends; `None`: the skeleton's default.
    pub watchdog: Option<Duration>,
}

impl Needs {
    /// No demands.
    pub const NONE: Self = Self {
        process_limit: None,
        privileged: false,
        flow_control: false,
        watchdog: None,
    };
}

/// When a process ends by itself; zero means never.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Clients (or requests) to serve.
    pub max_use: u32,
    /// Time without client.
    pub max_idle: Duration,
    /// The process ends when it has nothing to do, this long after its start (`-r`).
    pub retire: Option<Duration>,
    /// Time without progress (see [`Needs::watchdog`]).
    pub watchdog: Duration,
    /// Time limit of one read or write on client connections.
    pub client_timeout: Duration,
}

/// The process as its program sees it.
#[derive(Debug)]
pub struct Context {
    /// main.cf with the overrides of the command line.
    pub config: Config,
    /// The name in master.cf, `-n`.
    pub service_name: String,
    /// Base name of `argv[0]`.
    pub process_name: String,
    /// Kind of the listen sockets.
    pub transport: Transport,
    /// The whole command line.
    pub options: Options,
    /// The `mail_owner` account.
    pub owner: User,
    /// The queue directory, absolute, as seen from here: `/` in a chroot jail. It is the working
    /// directory as well.
    pub queue_directory: PathBuf,
    /// The flow-control pipe of master; absent in stand-alone mode.
    pub flow: Option<Flow>,
}

impl Context {
    /// Whether the process lives in a chroot jail (from [`crate::SingleServer::after_jail`] on).
    pub fn is_chrooted(&self) -> bool {
        self.options.chroot
    }

    /// Whether the process keeps root privileges.
    pub fn is_privileged(&self) -> bool {
        !self.options.unprivileged && postern_sys::user::uid() == 0
    }

    /// Takes a token of the flow-control pipe, or waits `in_flow_delay` when there is none.
    pub(crate) fn take_token(&self) {
        let wait = self.config.get(params::IN_FLOW_DELAY);
        if let Some(flow) = self.flow.as_ref().filter(|_| !wait.is_zero())
            && flow.take(1) == 0
        {
            std::thread::sleep(wait);
        }
    }

    /// Puts a token back for a message that the queue manager will not see.
    pub fn give_token_back(&self) {
        let is_on = !self.config.get(params::IN_FLOW_DELAY).is_zero();
        if let Some(flow) = self.flow.as_ref().filter(|_| is_on) {
            flow.put(1);
        }
    }

    /// How the name of this process's own socket reads in warnings about its clients,
    /// e.g. `bounce socket`.
    pub fn socket_name(&self) -> String {
        format!("{} socket", self.service_name)
    }
}
