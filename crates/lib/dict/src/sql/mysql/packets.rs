//! Packets on the connection, and the few that a query needs.

use bstr::{BString, ByteSlice};
use mysql_common::constants::{CapabilityFlags, StatusFlags};
use mysql_common::io::ParseBuf;
use mysql_common::packets::AuthPlugin;
use postern_wire::Channel;
use std::io::{self, Read, Write};
use std::time::Duration;

use crate::sql::Cell;
use crate::sql::pool::LARGEST_ANSWER;

/// A packet of this length has a continuation.
const LONGEST_PART: usize = 0xff_ffff;

/// What is wrong on a connection.
#[derive(Debug, thiserror::Error)]
pub(super) enum PacketError {
    /// Reading or writing failed.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// The server's own complaint.
    #[error("{0}")]
    Server(String),
    /// Not what MySQL's protocol says.
    #[error("Malformed packet")]
    Malformed,
    /// More than anybody wants.
    #[error("Got packet bigger than 'max_allowed_packet' bytes")]
    TooLarge,
}

/// A stream of packets.
pub(super) struct Packets {
    channel: Channel,
    sequence: u8,
    /// What the server said of the session at last.
    status: StatusFlags,
}

/// The reply to a query, or what follows a result set.
pub(super) enum Reply {
    /// No rows: the query is done.
    Done,
    /// Rows with this number of columns follow.
    Rows(usize),
}

impl Packets {
    /// Packets on a new connection.
    pub(super) fn new(channel: Channel) -> Self {
        Self {
            channel,
            sequence: 0,
            status: StatusFlags::empty(),
        }
    }

    /// The connection below.
    pub(super) fn channel(&mut self) -> &mut Channel {
        &mut self.channel
    }

    /// Whether the connection can be used no more: the server has closed it, or says something unasked,
    /// which is a farewell.
    pub(super) fn is_closed(&self) -> bool {
        !matches!(self.channel.is_readable(Duration::ZERO), Ok(false))
    }

    /// The session's state.
    pub(super) fn status(&self) -> StatusFlags {
        self.status
    }

    /// Takes the session's state from elsewhere than an OK or EOF packet.
    pub(super) fn set_status(&mut self, status: StatusFlags) {
        self.status = status;
    }

    /// The next packet.
    pub(super) fn read(&mut self, room: usize) -> Result<Vec<u8>, PacketError> {
        let mut packet = Vec::new();
        loop {
            let mut header = [0; 4];
            self.channel.read_exact(&mut header)?;
            let [low, middle, high, sequence] = header;
            let length = usize::try_from(u32::from_le_bytes([low, middle, high, 0])).unwrap_or(0);
            self.sequence = sequence.wrapping_add(1);
            if length > room.saturating_sub(packet.len()) {
                return Err(PacketError::TooLarge);
            }
            let start = packet.len();
            packet.resize(start + length, 0);
            self.channel
                .read_exact(packet.get_mut(start..).unwrap_or_default())?;
            if length < LONGEST_PART {
                return Ok(packet);
            }
        }
    }

    /// Sends a packet of the dialogue that goes on.
    pub(super) fn write(&mut self, packet: &[u8]) -> Result<(), PacketError> {
        let mut rest = packet;
        loop {
            let (part, more) = rest.split_at(rest.len().min(LONGEST_PART));
            let length = u32::try_from(part.len()).unwrap_or(0).to_le_bytes();
            let [low, middle, high, _] = length;
            self.channel
                .write_all(&[low, middle, high, self.sequence])?;
            self.channel.write_all(part)?;
            self.sequence = self.sequence.wrapping_add(1);
            rest = more;
            if part.len() < LONGEST_PART {
                break;
            }
        }
        Ok(self.channel.flush()?)
    }

    /// Sends a packet that begins a dialogue.
    pub(super) fn command(&mut self, code: u8, text: &[u8]) -> Result<(), PacketError> {
        self.sequence = 0;
        self.write(&[&[code], text].concat())
    }

    /// The reply to a query.
    pub(super) fn reply(&mut self) -> Result<Reply, PacketError> {
        let packet = self.read(LARGEST_ANSWER)?;
        match packet.first() {
            Some(0) => {
                self.take_ok(&packet).ok_or(PacketError::Malformed)?;
                Ok(Reply::Done)
            }
            Some(0xff) => Err(complaint(&packet)),
            // The server asks for a file of ours, which nobody allowed.
            Some(0xfb) | None => Err(PacketError::Malformed),
            Some(_) => {
                let columns = ParseBuf(&packet).checked_eat_lenenc_int();
                let columns = columns.and_then(|columns| usize::try_from(columns).ok());
                Ok(Reply::Rows(columns.ok_or(PacketError::Malformed)?))
            }
        }
    }

    /// Reads the rows of a result set with `columns` columns, appending the fields of each row. `room` is
    /// what the answer may still have, in bytes.
    pub(super) fn rows(
        &mut self,
        columns: usize,
        room: &mut usize,
        cells: &mut Vec<Cell>,
    ) -> Result<(), PacketError> {
        for _ in 0..columns {
            self.read_counted(room)?;
        }
        let end = self.read_counted(room)?;
        if !self.take_end(&end) {
            return Err(PacketError::Malformed);
        }
        loop {
            let packet = self.read_counted(room)?;
            if self.take_end(&packet) {
                return Ok(());
            }
            if packet.first() == Some(&0xff) {
                return Err(complaint(&packet));
            }
            let mut rest = ParseBuf(&packet);
            for _ in 0..columns {
                if rest.0.first() == Some(&0xfb) {
                    rest.checked_eat(1);
                    cells.push(None);
                    continue;
                }
                let value = rest
                    .checked_eat_lenenc_str()
                    .ok_or(PacketError::Malformed)?;
                cells.push(Some(BString::from(value)));
            }
        }
    }

    fn read_counted(&mut self, room: &mut usize) -> Result<Vec<u8>, PacketError> {
        let packet = self.read(*room)?;
        // Small packets cost memory, too.
        *room = room.saturating_sub(packet.len() + 32);
        Ok(packet)
    }

    /// Reads an OK packet; `None` if it is none.
    pub(super) fn take_ok(&mut self, packet: &[u8]) -> Option<()> {
        let mut rest = ParseBuf(packet);
        rest.checked_eat(1)?;
        rest.checked_eat_lenenc_int()?;
        rest.checked_eat_lenenc_int()?;
        self.status = StatusFlags::from_bits_truncate(rest.checked_eat_u16_le()?);
        Some(())
    }

    /// Whether `packet` is an EOF packet, whose state is taken.
    fn take_end(&mut self, packet: &[u8]) -> bool {
        match packet {
            [0xfe, _, _, low, high] => {
                let bits = u16::from_le_bytes([*low, *high]);
                self.status = StatusFlags::from_bits_truncate(bits);
                true
            }
            _ => false,
        }
    }
}

/// The first packet of a server.
pub(super) struct Greeting<'a> {
    /// Version of the protocol.
    pub(super) protocol: u8,
    pub(super) capabilities: CapabilityFlags,
    pub(super) status: StatusFlags,
    /// What proofs of the password are mixed with.
    pub(super) nonce: Vec<u8>,
    pub(super) plugin: Option<AuthPlugin<'a>>,
}

impl<'a> Greeting<'a> {
    /// Parses `packet`. The type of the protocol crate counts on lengths that make sense.
    pub(super) fn parse(packet: &'a [u8]) -> Option<Self> {
        let mut rest = ParseBuf(packet);
        let protocol = rest.checked_eat_u8()?;
        let version = rest.0.find_byte(0)?;
        // The version and the number of the connection.
        rest.checked_eat(version + 1 + 4)?;
        let mut nonce = rest.checked_eat(8)?.to_vec();
        rest.checked_eat(1)?;
        let low = rest.checked_eat_u16_le()?;
        rest.checked_eat(1)?;
        let status = StatusFlags::from_bits_truncate(rest.checked_eat_u16_le()?);
        let high = rest.checked_eat_u16_le()?;
        let bits = u32::from(low) | u32::from(high) << 16;
        let capabilities = CapabilityFlags::from_bits_truncate(bits);
        let length = usize::from(rest.checked_eat_u8()?);
        rest.checked_eat(10)?;
        if capabilities.contains(CapabilityFlags::CLIENT_SECURE_CONNECTION) {
            nonce.extend_from_slice(rest.checked_eat(length.saturating_sub(8).max(13))?);
        }
        let has_plugin = capabilities.contains(CapabilityFlags::CLIENT_PLUGIN_AUTH);
        Some(Self {
            protocol,
            capabilities,
            status,
            nonce,
            plugin: has_plugin.then(|| AuthPlugin::from_bytes(rest.eat_all())),
        })
    }
}

/// The server's complaint in an ERR packet: code, a state of six bytes after the login, and the text.
pub(super) fn complaint(packet: &[u8]) -> PacketError {
    let text = packet.get(3..).unwrap_or_default();
    let text = match text.first() {
        Some(b'#') => text.get(6..).unwrap_or_default(),
        _ => text,
    };
    PacketError::Server(text.to_str_lossy().into_owned())
}
