//! Lists the mail queue to whoever connects. Manual page: showq(8); ipc.md §4.8 and delivery.md §6.8 of our
//! specification. Reads every kind of odd file without harm: damage in one file hides only that file.
#![forbid(unsafe_code)]

mod file;

use std::io::Write;
use std::process::ExitCode;
use std::time::SystemTime;

use postern_attr::{AttrError, Encoding};
use postern_config::params;
use postern_ipc::Announcement;
use postern_ipc::showq::PROTOCOL;
use postern_queue::Queues;
use postern_server::{Client, Context, Needs, SingleServer, StartError, single_server};
use postern_wire::Channel;

use crate::file::Lister;

/// Runs the program.
pub fn main() -> ExitCode {
    single_server::main::<Showq>()
}

/// The queues in the order of the listing.
const QUEUES: [&str; 5] = ["maildrop", "active", "incoming", "deferred", "hold"];

struct Showq {
    queues: Queues,
    lister: Lister,
}

impl SingleServer for Showq {
    const NAME: &'static str = "showq";
    const NEEDS: Needs = Needs::NONE;

    fn before_jail(context: &mut Context) -> Result<Self, StartError> {
        let config = &context.config;
        let hashing = postern_queue::hashing(config);
        Ok(Self {
            queues: Queues::new(".", hashing),
            lister: Lister {
                null_sender: config.get(params::EMPTY_ADDRESS_RECIPIENT),
                defer_log: config.get(params::DEFER_SERVICE_NAME),
                filter_limit: usize::try_from(config.get(params::DUPLICATE_FILTER_LIMIT))
                    .unwrap_or(usize::MAX),
            },
        })
    }

    fn serve(&mut self, _context: &Context, client: Client) {
        let mut channel = client.channel;
        // A reader that goes away ends the listing, which is all there is to do.
        let _ = self.list(&mut channel);
    }
}

impl Showq {
    fn list(&self, channel: &mut Channel) -> Result<(), AttrError> {
        postern_attr::write(channel, Encoding::Null, &Announcement::new(PROTOCOL))?;
        for queue in QUEUES {
            self.list_queue(queue, channel)?;
        }
        channel.write_all(&[0])?;
        channel.flush()?;
        Ok(())
    }

    fn list_queue(&self, queue: &'static str, channel: &mut Channel) -> Result<(), AttrError> {
        let now = SystemTime::now();
        for entry in self.queues.walk(queue) {
            let entry = match entry {
                Ok(entry) => entry,
                Err(error) => {
                    log::warn!("scan_dir: {queue}: {}", postern_sys::error_text(&error));
                    continue;
                }
            };
            let info = match self.queues.ready(queue, &entry.id, now) {
                Ok(Some(info)) => info,
                Ok(None) => continue,
                Err(error) => {
                    log::warn!(
                        "{}: {}",
                        entry.path.display(),
                        postern_sys::error_text(&error)
                    );
                    continue;
                }
            };
            if let Some(message) = self.lister.read(&self.queues, queue, &entry, &info) {
                message.write(channel)?;
            }
        }
        Ok(())
    }
}
