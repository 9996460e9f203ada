//! Receives every new message, completes and checks it, and writes the queue file.
//! Manual page: cleanup(8).
//!
//! Reading order: [`session`] (one client), [`message`] (what is known about the message),
//! [`envelope`], [`content`] and [`extracted`] (the three segments of the record stream),
//! [`finish`] (commit, bounce or give up). Below them: [`recipient`] and [`sender`] handling,
//! [`map`] (address mappings), [`checks`] (header and body checks), [`queue`] (the file).
#![forbid(unsafe_code)]

mod checks;
mod content;
mod edits;
mod envelope;
mod extracted;
mod finish;
mod generated;
mod headers;
mod map;
mod message;
mod milters;
mod notify;
mod queue;
mod recipient;
mod sender;
mod session;
mod settings;
mod tables;
#[cfg(test)]
mod tests;

use std::process::ExitCode;

use postern_server::{
    Client, Context, Needs, ProcessLimit, SingleServer, StartError, single_server,
};

use crate::queue::QueueDirectory;
use crate::settings::Settings;
use crate::tables::Tables;

/// Runs the program.
pub fn main() -> ExitCode {
    single_server::main::<Cleanup>()
}

/// What lasts from message to message.
pub(crate) struct Cleanup {
    pub(crate) settings: Settings,
    pub(crate) tables: Tables,
    pub(crate) queue: QueueDirectory,
    /// The last message went to the queue manager.
    pub(crate) handed_on: bool,
}

impl Cleanup {
    pub(crate) fn new(config: &postern_config::Config) -> Result<Self, StartError> {
        Ok(Self {
            settings: Settings::new(config)?,
            tables: Tables::open(config),
            queue: QueueDirectory::new(config),
            handed_on: false,
        })
    }
}

impl SingleServer for Cleanup {
    const NAME: &'static str = "cleanup";
    const NEEDS: Needs = Needs {
        process_limit: Some(ProcessLimit::Zero),
        flow_control: true,
        ..Needs::NONE
    };

    fn before_jail(context: &mut Context) -> Result<Self, StartError> {
        Self::new(&context.config)
    }

    fn before_accept(&mut self, _context: &Context) -> Option<String> {
        postern_dict::changed_table()
    }

    fn serve(&mut self, context: &Context, client: Client) {
        self.handed_on = false;
        session::serve(self, client.channel, &context.socket_name());
        // The queue manager gives a token back for each message that it sees.
        if !self.handed_on {
            context.give_token_back();
        }
    }
}
