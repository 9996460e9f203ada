//! Where the listing comes from: showq(8), or for root, when the mail system is down, a showq of our own.

use std::io::{self, BufRead, BufReader};
use std::path::PathBuf;
use std::process::{Child, ChildStdout, Command, Stdio};

use postern_attr::{Encoding, Extra};
use postern_command::{Progress, exit};
use postern_config::{Config, params};
use postern_ipc::Announcement;
use postern_ipc::client::{ClientError, Endpoint, PUBLIC};
use postern_ipc::showq::{Message, PROTOCOL, Recipient};
use postern_maillog::die;
use postern_sys::{error_text, user};
use postern_wire::Channel;

/// Why a listing is not complete.
#[derive(Debug)]
pub(crate) enum ListError {
    /// The server's bytes make no sense, or end early.
    Input,
    /// Standard output.
    Output(io::Error),
}

/// The open listing.
pub(crate) struct Source {
    origin: Origin,
    progress: Progress,
}

enum Origin {
    /// The service.
    Service(Channel),
    /// A program that we started.
    Program(Child, BufReader<ChildStdout>),
}

impl Source {
    fn new(origin: Origin) -> Self {
        Self {
            origin,
            progress: Progress::beside_output("postqueue", "messages"),
        }
    }

    /// Connects; ends the program when there is no way to the queue.
    pub(crate) fn open(config: &Config) -> Self {
        let at = Endpoint::new(PUBLIC, &config.get(params::SHOWQ_SERVICE_NAME));
        let mut source = match at.connect(config.get(params::IPC_TIMEOUT)) {
            Ok(channel) => Self::new(Origin::Service(channel)),
            Err(ClientError::Connect { source, .. })
                if source.kind() == io::ErrorKind::PermissionDenied =>
            {
                die(
                    i32::from(exit::UNAVAILABLE),
                    format_args!("{}", complaint(config, &error_text(&source))),
                )
            }
            Err(ClientError::Connect { source, .. }) => {
                Self::without_service(config, &error_text(&source))
            }
            Err(error) => Self::without_service(config, &error.to_string()),
        };
        let hello: Result<Announcement, _> =
            postern_attr::read(&mut source.input(), Encoding::Null, Extra::Refuse);
        if !hello.is_ok_and(|hello| hello.protocol == PROTOCOL) {
            die(
                i32::from(exit::SOFTWARE),
                format_args!("malformed showq server response"),
            );
        }
        source
    }

    fn without_service(config: &Config, reason: &str) -> Self {
        let why = complaint(config, reason);
        if user::uid() != 0 && !postern_command::is_administrator(config).unwrap_or(false) {
            die(
                i32::from(exit::UNAVAILABLE),
                format_args!("Queue report unavailable - mail system is down ({why})"),
            );
        }
        log::warn!("Mail system is down -- accessing queue directly ({why})");
        let program = PathBuf::from(config.get(params::DAEMON_DIRECTORY)).join("showq");
        let spawned = Command::new(&program)
            .args(["-u", "-S"])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn();
        match spawned {
            Ok(mut child) => match child.stdout.take() {
                Some(output) => Self::new(Origin::Program(child, BufReader::new(output))),
                None => die(
                    i32::from(exit::UNAVAILABLE),
                    format_args!("run {}: no pipe", program.display()),
                ),
            },
            Err(error) => die(
                i32::from(exit::UNAVAILABLE),
                format_args!("run {}: {}", program.display(), error_text(&error)),
            ),
        }
    }

    fn input(&mut self) -> &mut dyn BufRead {
        match &mut self.origin {
            Origin::Service(channel) => channel,
            Origin::Program(_, output) => output,
        }
    }

    /// The next message with its recipients; `None` at the end.
    pub(crate) fn next(&mut self) -> Result<Option<(Message, Vec<Recipient>)>, ListError> {
        self.progress.step();
        let mut input = self.input();
        if ends_here(&mut input)? {
            return Ok(None);
        }
        let message: Message = postern_attr::read(&mut input, Encoding::Null, Extra::Leave)
            .map_err(|_| ListError::Input)?;
        let mut recipients = Vec::new();
        while !ends_here(&mut input)? {
            recipients.push(
                postern_attr::read(&mut input, Encoding::Null, Extra::Leave)
                    .map_err(|_| ListError::Input)?,
            );
        }
        Ok(Some((message, recipients)))
    }
}

fn complaint(config: &Config, reason: &str) -> String {
    let name = config.get(params::MAIL_NAME);
    format!("Connect to the {name} showq service: {reason}")
}

/// Takes the terminator of a list, if that is what comes next.
fn ends_here(input: &mut dyn BufRead) -> Result<bool, ListError> {
    let next = input.fill_buf().map_err(|_| ListError::Input)?;
    match next.first() {
        Some(0) => {
            input.consume(1);
            Ok(true)
        }
        Some(_) => Ok(false),
        None => Err(ListError::Input),
    }
}

impl Drop for Source {
    fn drop(&mut self) {
        if let Origin::Program(child, _) = &mut self.origin {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}
