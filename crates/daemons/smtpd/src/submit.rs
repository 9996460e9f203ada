//! Where a message goes while it comes in: to cleanup(8), or to postdrop(1) in stand-alone mode.
//!
//! Source: smtpd.md §16, ipc.md §4.1 and §4.2.

use postern_attr::{Encoding, Extra};
use postern_ipc::cleanup::{self, Submission};
use postern_ipc::client::{ClientError, Endpoint, PUBLIC};
use postern_ipc::postdrop;
use postern_queue_file::RecordType;
use postern_queue_file::record::{write_attribute, write_record};
use postern_wire::Channel;
use std::io::{self, Write};
use std::os::fd::OwnedFd;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

/// An open stream of records. Dropped before [`Queue::finish`], the message is dropped, too.
#[derive(Debug)]
pub(crate) enum Queue {
    /// To cleanup.
    Cleanup(Box<Submission>),
    /// To postdrop.
    Postdrop(Box<Postdrop>),
}

/// A running postdrop.
#[derive(Debug)]
pub(crate) struct Postdrop {
    channel: Channel,
    child: Child,
    queue_id: String,
}

/// The verdict about a message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Outcome {
    /// Bits of [`postern_ipc::cleanup::status`].
    pub(crate) status: i32,
    /// Reason or whole reply; may be empty.
    pub(crate) reason: bstr::BString,
}

impl Queue {
    /// Opens a stream to cleanup, and waits for that service when it is not there.
    ///
    /// # Errors
    ///
    /// When cleanup does not answer as it should. Nothing was accepted yet.
    pub(crate) fn cleanup(
        service: &str,
        timeout: Duration,
        flags: i32,
    ) -> Result<Self, ClientError> {
        let at = Endpoint::new(PUBLIC, service);
        Submission::open(&at, timeout, flags).map(|submission| Self::Cleanup(Box::new(submission)))
    }

    /// Starts postdrop.
    ///
    /// # Errors
    ///
    /// When it cannot be started or does not answer.
    pub(crate) fn postdrop(program: &Path, timeout: Duration) -> io::Result<Self> {
        let (near, far) = postern_sys::socket::pair()?;
        let output: OwnedFd = far.try_clone()?;
        let child = Command::new(program)
            .arg("-r")
            .stdin(Stdio::from(far))
            .stdout(Stdio::from(output))
            .spawn()?;
        let mut channel = Channel::new(near);
        channel.set_timeout(timeout);
        let hello: postdrop::Hello =
            postern_attr::read(&mut channel, Encoding::Null, Extra::Refuse)
                .map_err(io::Error::other)?;
        if hello.protocol != postdrop::PROTOCOL {
            return Err(io::Error::other(format!(
                "unexpected protocol {}",
                hello.protocol
            )));
        }
        Ok(Self::Postdrop(Box::new(Postdrop {
            channel,
            child,
            queue_id: hello.queue_id,
        })))
    }

    /// Queue ID.
    pub(crate) fn id(&self) -> &str {
        match self {
            Self::Cleanup(submission) => &submission.queue_id,
            Self::Postdrop(postdrop) => &postdrop.queue_id,
        }
    }

    /// Whether this is cleanup, which wants to know everything about the client.
    pub(crate) fn is_cleanup(&self) -> bool {
        matches!(self, Self::Cleanup(_))
    }

    /// Writes a record; it is sent when enough have come together.
    pub(crate) fn record(&mut self, kind: RecordType, data: &[u8]) -> io::Result<()> {
        write_record(self.channel(), kind, data)
    }

    /// Writes an attribute record.
    pub(crate) fn attribute(&mut self, name: &str, value: &[u8]) -> io::Result<()> {
        write_attribute(self.channel(), name, value)
    }

    fn channel(&mut self) -> &mut Channel {
        match self {
            Self::Cleanup(submission) => &mut submission.channel,
            Self::Postdrop(postdrop) => &mut postdrop.channel,
        }
    }

    /// Gives the message up. What was written so far is sent, so that cleanup can log what it was.
    pub(crate) fn abandon(mut self) {
        // There is nothing more to lose.
        let _ = self.channel().flush();
    }

    /// Ends the message and waits for the verdict; only a status of 0 means that it is safe.
    pub(crate) fn finish(self) -> Outcome {
        let write_error = |error: &dyn std::fmt::Display| {
            log::warn!("{error}");
            Outcome {
                status: cleanup::status::WRITE,
                reason: bstr::BString::default(),
            }
        };
        match self {
            Self::Cleanup(submission) => match submission.finish() {
                Ok(reply) => Outcome {
                    status: reply.status,
                    reason: reply.reason,
                },
                Err(error) => write_error(&error),
            },
            Self::Postdrop(postdrop) => match postdrop.finish() {
                Ok(outcome) => outcome,
                Err(error) => write_error(&error),
            },
        }
    }
}

impl Postdrop {
    fn finish(mut self) -> io::Result<Outcome> {
        self.channel.flush()?;
        let reply: postdrop::Reply =
            postern_attr::read(&mut self.channel, Encoding::Null, Extra::Refuse)
                .map_err(io::Error::other)?;
        drop(self.channel);
        let status = self.child.wait()?;
        // An unhappy end after a happy reply is none.
        let status = if status.success() {
            reply.status
        } else {
            reply.status | cleanup::status::WRITE
        };
        Ok(Outcome {
            status,
            reason: reply.reason,
        })
    }
}

/// Asks the service `flush` to send what waits for a domain.
pub(crate) fn flush_site(
    service: &str,
    timeout: Duration,
    site: &[u8],
) -> Result<i32, ClientError> {
    postern_ipc::flush::send_site(&Endpoint::new(PUBLIC, service), timeout, site)
}
