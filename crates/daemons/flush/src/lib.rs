//! Remembers which deferred messages wait for which site, and sends them on request. Manual page: flush(8);
//! ipc.md §4.7 and delivery.md §6.4 of our specification. The logs are only hints: a lost one delays mail
//! to the queue manager's own schedule, nothing more.
#![forbid(unsafe_code)]

mod site_log;

use std::io::{BufRead, Write};
use std::process::ExitCode;
use std::time::Duration;

use postern_attr::{AttrError, Encoding, Extra};
use postern_config::params;
use postern_dict::{MatchKind, MatchList};
use postern_ipc::client::{Endpoint, PUBLIC};
use postern_ipc::flush::{AddBody, FileBody, PROTOCOL, RequestName, SiteBody, status};
use postern_ipc::{Announcement, StatusReply, trigger};
use postern_queue::Queues;
use postern_queue_file::QueueId;
use postern_server::{
    Client, Context, Needs, ProcessLimit, SingleServer, StartError, single_server,
};
use postern_wire::Channel;

use crate::site_log::{SiteLogs, Unthrottle};

/// Runs the program.
pub fn main() -> ExitCode {
    single_server::main::<Flush>()
}

/// A wakeup is at most this long; a request is longer.
const TRIGGER_SIZE: usize = 2;

struct Flush {
    sites: MatchList,
    logs: SiteLogs,
    qmgr: Endpoint,
    trigger_timeout: Duration,
    refresh_age: Duration,
    purge_age: Duration,
}

impl SingleServer for Flush {
    const NAME: &'static str = "flush";
    const NEEDS: Needs = Needs {
        process_limit: Some(ProcessLimit::Zero),
        ..Needs::NONE
    };

    fn before_jail(context: &mut Context) -> Result<Self, StartError> {
        let config = &context.config;
        let name = params::FAST_FLUSH_DOMAINS.info.name;
        let hashing = postern_queue::hashing(config);
        Ok(Self {
            sites: MatchList::open(
                config,
                name,
                &config.get(params::FAST_FLUSH_DOMAINS),
                MatchKind::Domain,
            ),
            logs: SiteLogs::new(
                Queues::new(".", hashing),
                &config.get(params::FLUSH_SERVICE_NAME),
            ),
            qmgr: Endpoint::new(PUBLIC, &config.get(params::QUEUE_SERVICE_NAME)),
            trigger_timeout: config.get(params::TRIGGER_TIMEOUT),
            refresh_age: config.get(params::FAST_FLUSH_REFRESH_TIME),
            purge_age: config.get(params::FAST_FLUSH_PURGE_TIME),
        })
    }

    fn before_accept(&mut self, _context: &Context) -> Option<String> {
        postern_dict::changed_table()
    }

    fn serve(&mut self, context: &Context, client: Client) {
        let mut channel = client.channel;
        if send(&mut channel, &Announcement::new(PROTOCOL)).is_err() {
            return;
        }
        match channel.fill_buf() {
            Ok(waiting) if waiting.len() <= TRIGGER_SIZE => self.refresh(self.refresh_age),
            Ok(_) => {
                if let Err(error) = self.request(&mut channel)
                    && let Some(text) = error.warning(&context.socket_name())
                {
                    log::warn!("{text}");
                }
            }
            Err(_) => {}
        }
    }
}

fn send<T: serde::Serialize>(channel: &mut Channel, list: &T) -> Result<(), AttrError> {
    postern_attr::write(channel, Encoding::Null, list)?;
    Ok(channel.flush()?)
}

fn body<T: serde::de::DeserializeOwned>(channel: &mut Channel) -> Result<T, AttrError> {
    postern_attr::read(channel, Encoding::Null, Extra::Refuse)
}

impl Flush {
    fn request(&mut self, channel: &mut Channel) -> Result<(), AttrError> {
        let name: RequestName = postern_attr::read(channel, Encoding::Null, Extra::Leave)?;
        let status = match name.request.as_str() {
            "add" => {
                let request: AddBody = body(channel)?;
                self.add(&request)
            }
            "send_site" => {
                let request: SiteBody = body(channel)?;
                self.send_site(&request)
            }
            "send_file" => {
                let request: FileBody = body(channel)?;
                self.send_file(&request)
            }
            // The work may take long and nobody waits for its result.
            "rfrsh" => {
                send(channel, &StatusReply { status: status::OK })?;
                self.refresh(self.refresh_age);
                return Ok(());
            }
            "purge" => {
                send(channel, &StatusReply { status: status::OK })?;
                self.refresh(Duration::ZERO);
                return Ok(());
            }
            _ => return Ok(()),
        };
        send(channel, &StatusReply { status })
    }

    /// Whether there are logs for `site`; an error of the list is "not now".
    fn eligible(&mut self, site: &[u8]) -> Result<(), i32> {
        match self.sites.matches(site.into()) {
            Ok(true) => Ok(()),
            Ok(false) => Err(status::DENY),
            Err(error) => {
                log::warn!("{error}");
                Err(status::FAIL)
            }
        }
    }

    fn add(&mut self, request: &AddBody) -> i32 {
        let Ok(id) = QueueId::parse(&request.queue_id) else {
            return status::BAD;
        };
        if let Err(status) = self.eligible(&request.site) {
            return status;
        }
        self.logs.add(&request.site, &id)
    }

    fn send_site(&mut self, request: &SiteBody) -> i32 {
        if let Err(status) = self.eligible(&request.site) {
            return status;
        }
        // Destinations that were dead a minute ago get their chance.
        self.wake(trigger::FLUSH_DEAD);
        let status = self.logs.send(&request.site, Unthrottle::Yes);
        self.wake(trigger::SCAN_INCOMING);
        status
    }

    fn send_file(&mut self, request: &FileBody) -> i32 {
        let Ok(id) = QueueId::parse(&request.queue_id) else {
            return status::BAD;
        };
        let status = self.logs.send_file(&id, Unthrottle::Yes);
        self.wake(trigger::SCAN_INCOMING);
        status
    }

    fn refresh(&self, age: Duration) {
        if self.logs.refresh(age, self.purge_age) {
            self.wake(trigger::SCAN_INCOMING);
        }
    }

    fn wake(&self, request: u8) {
        if let Err(error) = trigger::send(&self.qmgr, &[request], self.trigger_timeout) {
            log::warn!("{error}");
        }
    }
}
