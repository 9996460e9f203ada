//! What the options say about sessions.

use crate::capture::Dump;
use crate::commands::Table;
use std::time::Duration;

/// Which extensions are announced or known.
#[derive(Debug)]
pub(crate) struct Features {
    pub(crate) eight_bit: bool,
    pub(crate) auth: bool,
    pub(crate) xclient: bool,
    pub(crate) esmtp: bool,
    pub(crate) enhanced: bool,
    pub(crate) xforward: bool,
    pub(crate) dsn: bool,
    pub(crate) pipelining: bool,
}

impl Default for Features {
    fn default() -> Self {
        Self {
            eight_bit: true,
            auth: true,
            xclient: true,
            esmtp: true,
            enhanced: true,
            xforward: true,
            dsn: true,
            pipelining: true,
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Protocol {
    Smtp,
    Lmtp,
}

/// What the options say about sessions.
#[derive(Debug)]
pub(crate) struct Behaviour {
    pub(crate) features: Features,
    pub(crate) protocol: Protocol,
    pub(crate) host: Vec<u8>,
    /// Greet as a PIX firewall does.
    pub(crate) pix: bool,
    pub(crate) soft: Vec<u8>,
    pub(crate) hard: Vec<u8>,
    pub(crate) table: Table,
    /// Abort so long after the reply to DATA.
    pub(crate) abort_after: Option<Duration>,
    /// Wait so long before the content is read.
    pub(crate) read_delay: Option<Duration>,
    pub(crate) counters: bool,
    /// End after so many messages.
    pub(crate) messages: Option<usize>,
    /// End after so many sessions.
    pub(crate) sessions: Option<usize>,
    pub(crate) dump: Dump,
    /// Stands before each kept message.
    pub(crate) start: Vec<u8>,
}

impl Default for Behaviour {
    fn default() -> Self {
        Self {
            features: Features::default(),
            protocol: Protocol::Smtp,
            host: b"smtp-sink".to_vec(),
            pix: false,
            soft: b"450 4.3.0 Error: command failed".to_vec(),
            hard: b"500 5.3.0 Error: command failed".to_vec(),
            table: Table::default(),
            abort_after: None,
            read_delay: None,
            counters: false,
            messages: None,
            sessions: None,
            dump: Dump::None,
            start: Vec::new(),
        }
    }
}
