//! Status records of children: pid, generation, state, 12 bytes in host order.

use std::os::fd::AsFd;

/// Size of a record.
pub(crate) const RECORD: usize = 12;
/// Records that one read takes.
const BATCH: usize = 64;

/// One record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Record {
    pub(crate) pid: i32,
    pub(crate) generation: u32,
    /// 0 taken, 1 available.
    pub(crate) state: i32,
}

/// What was in the channel.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Received {
    pub(crate) records: Vec<Record>,
    /// Bytes of an incomplete record at the end.
    pub(crate) partial: usize,
}

/// Reads everything that waits in a non-blocking status channel.
pub(crate) fn receive(channel: impl AsFd) -> Received {
    let mut received = Received::default();
    let mut buffer = [0; RECORD * BATCH];
    loop {
        let count = match nix::unistd::read(&channel, &mut buffer) {
            Ok(0) => return received,
            Ok(count) => count,
            Err(nix::Error::EINTR) => continue,
            Err(_) => return received,
        };
        let data = buffer.get(..count).unwrap_or_default();
        let records = data.chunks_exact(RECORD);
        received.partial = records.remainder().len();
        received.records.extend(records.filter_map(parse));
        // A child writes whole records, so a short read means that nothing more waits.
        if count < buffer.len() {
            return received;
        }
    }
}

fn parse(bytes: &[u8]) -> Option<Record> {
    let part = |at: usize| {
        bytes
            .get(at..at + 4)
            .and_then(|part| <[u8; 4]>::try_from(part).ok())
    };
    Some(Record {
        pid: i32::from_ne_bytes(part(0)?),
        generation: u32::from_ne_bytes(part(4)?),
        state: i32::from_ne_bytes(part(8)?),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;
    use std::os::unix::net::UnixStream;

    #[test]
    fn all_waiting_records_are_read_at_once() {
        let (near, mut far) = UnixStream::pair().unwrap();
        near.set_nonblocking(true).unwrap();
        assert_eq!(receive(&near), Received::default());
        let mut bytes = Vec::new();
        for pid in 1..=100_i32 {
            for part in [pid, 0x3b, pid % 2] {
                bytes.extend_from_slice(&part.to_ne_bytes());
            }
        }
        bytes.extend_from_slice(b"12345");
        far.write_all(&bytes).unwrap();
        let got = receive(&near);
        assert_eq!(got.records.len(), 100);
        assert_eq!(
            got.records[99],
            Record {
                pid: 100,
                generation: 0x3b,
                state: 0
            }
        );
        assert_eq!(got.partial, 5);
    }
}
