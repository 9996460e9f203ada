//! Opens lookup tables for other programs: `proxymap` reads, `proxywrite` also writes.
//! Manual page: proxymap(8).
//!
//! Only tables that main.cf approves are opened. They stay open when a client leaves, so that many
//! processes share one handle.
#![forbid(unsafe_code)]

mod approval;
mod service;

use std::process::ExitCode;

use postern_attr::Encoding;
use postern_config::params;
use postern_ipc::proxymap::PROTOCOL;
use postern_server::{Conn, Context, MultiServer, Next, StartError, multi_server};

use approval::Approved;
use service::{Access, Service};

/// Runs the program.
pub fn main() -> ExitCode {
    multi_server::main::<Proxymap>()
}

struct Proxymap(Service);

impl MultiServer for Proxymap {
    type State = ();
    const NAME: &'static str = "proxymap";
    const ENCODING: Option<Encoding> = Some(Encoding::Null);

    fn before_jail(context: &mut Context) -> Result<Self, StartError> {
        let config = &context.config;
        let writes = context.service_name == config.get(params::PROXYWRITE_SERVICE_NAME);
        let access = if writes {
            Access::ReadWrite
        } else {
            Access::ReadOnly
        };
        let approved = Approved::new(config, &config.get(access.parameter()));
        Ok(Self(Service::new(access, approved)))
    }

    fn before_accept(&mut self, _context: &Context) -> Option<String> {
        match self.0.access() {
            Access::ReadOnly => postern_dict::changed_table(),
            // Its own updates change the files.
            Access::ReadWrite => None,
        }
    }

    fn connected(&mut self, _context: &Context, conn: &mut Conn<()>) -> Next {
        match postern_attr::write_announcement(&mut conn.channel, Encoding::Null, PROTOCOL) {
            Ok(()) => Next::Keep,
            Err(_) => Next::Close,
        }
    }

    fn request(&mut self, context: &Context, conn: &mut Conn<()>) -> Next {
        match self.0.serve(&context.config, &mut conn.channel) {
            Ok(()) => Next::Keep,
            Err(error) => {
                if let Some(warning) = error.warning(&context.socket_name()) {
                    log::warn!("{warning}");
                }
                Next::Close
            }
        }
    }
}
