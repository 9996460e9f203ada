//! The status channel to master(8): 12-byte records "taken" and "available" (master.md §2.4).
//!
//! master needs the notices to know whether a waiting client will be picked up by an existing
//! process or needs a new one. So they are left out where they cannot change that decision: a
//! process that is the only one its service may have tells once that it works, and a process that
//! takes the next waiting client at once stays "taken" in between.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

/// What master shall believe.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Taken = 0,
    Available = 1,
}

/// The child's end of the channel.
#[derive(Debug)]
pub(crate) struct Status {
    channel: Option<OwnedFd>,
    generation: u32,
    only_process: bool,
    told: State,
    /// Whether a whole taken-available pair was ever sent: master then knows that start-up worked.
    proved: bool,
}

/// master wants this process to end.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct MasterGone;

impl Status {
    pub(crate) fn new(channel: Option<OwnedFd>, generation: u32, only_process: bool) -> Self {
        Self {
            channel,
            generation,
            only_process,
            told: State::Available,
            proved: false,
        }
    }

    /// The descriptor that reads end-of-file when master wants this process to end.
    pub(crate) fn fd(&self) -> Option<BorrowedFd<'_>> {
        self.channel.as_ref().map(AsFd::as_fd)
    }

    /// Whether master knows from a first served client that start-up worked.
    pub(crate) fn is_proved(&self) -> bool {
        self.proved
    }

    /// A client is being served.
    pub(crate) fn taken(&mut self) -> Result<(), MasterGone> {
        self.tell(State::Taken)
    }

    /// No client is being served.
    pub(crate) fn available(&mut self) -> Result<(), MasterGone> {
        let result = self.tell(State::Available);
        self.proved = true;
        result
    }

    fn tell(&mut self, state: State) -> Result<(), MasterGone> {
        if self.told == state || (self.only_process && self.proved) {
            return Ok(());
        }
        self.told = state;
        let Some(channel) = &self.channel else {
            return Ok(());
        };
        let record = record(postern_sys::process::id(), self.generation, state);
        match postern_sys::socket::send(channel, &record) {
            Ok(count) if count == record.len() => Ok(()),
            Ok(_) => Err(MasterGone),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(()),
            Err(_) => Err(MasterGone),
        }
    }
}

fn record(pid: u32, generation: u32, state: State) -> [u8; 12] {
    let mut record = [0; 12];
    let parts = [pid, generation, state as u32];
    for (place, part) in record.chunks_exact_mut(4).zip(parts) {
        place.copy_from_slice(&part.to_ne_bytes());
    }
    record
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sent(only_process: bool) -> Vec<u8> {
        let (near, far) = postern_sys::socket::pair().unwrap();
        let mut status = Status::new(Some(near), 0o73, only_process);
        for _ in 0..2 {
            status.taken().unwrap();
            status.taken().unwrap();
            status.available().unwrap();
        }
        drop(status);
        let mut all = Vec::new();
        io::Read::read_to_end(&mut std::os::unix::net::UnixStream::from(far), &mut all).unwrap();
        all
    }

    #[test]
    fn record_is_pid_generation_state_in_host_order() {
        assert_eq!(
            record(0x278d, 0x3b, State::Taken),
            [0x8d, 0x27, 0, 0, 0x3b, 0, 0, 0, 0, 0, 0, 0]
        );
    }

    #[test]
    fn only_changes_are_told_and_a_lone_process_tells_once() {
        assert_eq!(sent(false).len(), 4 * 12);
        assert_eq!(sent(true).len(), 2 * 12);
    }

    #[test]
    fn closed_channel_is_an_order_to_end() {
        let (near, far) = postern_sys::socket::pair().unwrap();
        drop(far);
        assert_eq!(Status::new(Some(near), 1, false).taken(), Err(MasterGone));
    }
}
