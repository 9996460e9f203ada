//! One client: announcement, flags, the record stream, the verdict. Source: ipc.md §4.1 of our
//! specification.

use std::io::{BufRead, Write};

use bstr::{BStr, BString, ByteSlice};
use postern_attr::{AttrError, Encoding, Extra};
use postern_ipc::cleanup::{Hello, Options, PROTOCOL, status};
use postern_queue_file::RecordType;
use postern_queue_file::record::read_record_into;
use postern_wire::Channel;
use serde::Serialize;

use crate::Cleanup;
use crate::message::{Message, Stage};

/// Serves one client on a socket. `name` is how warnings call the connection.
pub(crate) fn serve(cleanup: &mut Cleanup, mut channel: Channel, name: &str) {
    let file = match cleanup.queue.create() {
        Ok(file) => file,
        Err(error) => {
            // The client sees the connection end, and says at once that it cannot take the mail. An
            // exit here would make master(8) keep the service away from all clients for a while.
            log::warn!(
                "create queue file in incoming: {}",
                postern_sys::error_text(&error)
            );
            return;
        }
    };
    let mut message = Message::new(cleanup, file);
    let hello = Hello {
        protocol: PROTOCOL.to_owned(),
        queue_id: message.queue_id.clone(),
    };
    if send(&mut channel, &hello).is_err() {
        message.abandon();
        return;
    }
    receive(&mut message, &mut channel, name);
    let reply = message.finish();
    // The client may be gone; the message is safe or refused all the same.
    let _ = send(&mut channel, &reply);
}

fn send(channel: &mut Channel, list: &impl Serialize) -> Result<(), AttrError> {
    postern_attr::write(channel, Encoding::Null, list)?;
    Ok(channel.flush()?)
}

/// Reads the client's flags and records, to the end whatever is wrong with them.
pub(crate) fn receive(message: &mut Message<'_>, input: &mut impl BufRead, name: &str) {
    let options: Result<Options, _> = postern_attr::read(input, Encoding::Null, Extra::Refuse);
    match options {
        Ok(options) => message.flags = options.flags,
        Err(error) => {
            if let Some(warning) = error.warning(name) {
                log::warn!("{warning}");
            }
            message.status |= status::BAD;
            return;
        }
    }
    let mut at_end = false;
    let mut data = BString::default();
    while !at_end {
        match read_record_into(input, &mut data) {
            Ok(Some(kind)) => {
                at_end = kind == RecordType::END;
                if message.is_going_on() {
                    message.record(kind, data.as_bstr());
                }
                if message.edits.out_of_step {
                    return;
                }
            }
            Ok(None) => break,
            Err(error) => {
                log::warn!("{name}: {error}");
                message.status |= status::BAD;
                break;
            }
        }
    }
    if !at_end {
        message.status |= status::BAD;
    }
}

impl Message<'_> {
    /// Handles one record of the stream.
    pub(crate) fn record(&mut self, kind: RecordType, data: &BStr) {
        if kind == RecordType::POINTER || kind == RecordType::PADDING {
            log::warn!(
                "{}: record type {} not allowed - discarding this message",
                self.queue_id,
                kind.0
            );
            self.status |= status::BAD;
            return;
        }
        match self.stage {
            Stage::Envelope => self.envelope_record(kind, data),
            Stage::Content => self.content_record(kind, data),
            Stage::Extracted => self.extracted_record(kind, data),
            Stage::Done => {}
        }
    }
}
