//! Names and places of files: a message's name holds its inode number, and the name decides the
//! hash directory.
//!
//! After a restore from backup inode numbers are other ones. The wanted name may still be in use
//! by a message that gets another one as well; therefore a first pass gives names with a suffix,
//! which a second pass removes. Logs follow the message, and are renamed before it: when this is
//! interrupted, the message has its old name and comes up again.

use std::ffi::OsStr;
use std::fs::Metadata;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use postern_queue_file::QueueId;

use crate::Work;
use crate::by_id::LOGS;
use crate::files::{self, Failure};
use crate::scan::Queue;

/// Marks names of the first pass.
const SUFFIX: &str = "#FIX";
/// Digits of the time in a short name.
const TIME_WIDTH: usize = 5;

/// Says that a file has a name that no queue file can have.
pub(crate) fn warn_of_name(path: &Path) {
    log::warn!("bogus file name: {}", path.display());
}

/// Says that a name of the first pass is not that of this file.
fn warn_of_mismatch(path: &Path) {
    log::warn!("name/inode mismatch: {}", path.display());
}

/// A file name taken apart.
#[derive(Debug, PartialEq, Eq)]
struct Name {
    id: QueueId,
    /// It has the suffix of the first pass.
    is_interim: bool,
}

impl Name {
    fn parse(name: &[u8]) -> Option<Self> {
        let stripped = name.strip_suffix(SUFFIX.as_bytes());
        let id = QueueId::parse(stripped.unwrap_or(name)).ok()?;
        Some(Self {
            id,
            is_interim: stripped.is_some(),
        })
    }
}

impl Work {
    /// Gives a file its right name and place.
    pub(crate) fn put_right(
        &mut self,
        queue: Queue,
        path: &Path,
        name: &OsStr,
        meta: &Metadata,
        redundant: bool,
    ) -> Result<(), Failure> {
        let Some(name) = Name::parse(name.as_bytes()) else {
            warn_of_name(path);
            return Ok(());
        };
        if queue.messages {
            let Some(wanted) = wanted_id(&name.id, meta.ino(), self.long_ids, redundant) else {
                if name.is_interim {
                    warn_of_mismatch(path);
                } else {
                    warn_of_name(path);
                }
                return Ok(());
            };
            if wanted != name.id {
                return self.give_interim_name(queue, path, &name, &wanted);
            }
            if name.is_interim {
                for log in LOGS {
                    self.finish_name(&self.interim(log, &name.id), log, &name.id)?;
                }
                self.counts.fixed += u64::from(self.finish_name(path, queue.name, &name.id)?);
                return Ok(());
            }
        }
        self.finish_name(path, queue.name, &name.id)?;
        Ok(())
    }

    fn give_interim_name(
        &mut self,
        queue: Queue,
        path: &Path,
        name: &Name,
        wanted: &QueueId,
    ) -> Result<(), Failure> {
        if name.is_interim {
            warn_of_mismatch(path);
            return Ok(());
        }
        self.counts.mismatches += 1;
        for log in LOGS {
            files::rename(&self.queues.path(log, &name.id), &self.interim(log, wanted))?;
        }
        files::rename(path, &self.interim(queue.name, wanted))?;
        Ok(())
    }

    /// Moves a file to the place that its name wants; `false` when there was nothing to do. Two files
    /// that want one place stay where they are.
    fn finish_name(&self, path: &Path, queue: &str, id: &QueueId) -> Result<bool, Failure> {
        let place = self.queues.path(queue, id);
        if place == path {
            return Ok(false);
        }
        match files::rename(path, &place) {
            Err(Failure::Rename(_, _, error))
                if error.kind() == std::io::ErrorKind::AlreadyExists =>
            {
                log::warn!("{}: {} exists, too", path.display(), place.display());
                Ok(false)
            }
            done => done,
        }
    }

    fn interim(&self, queue: &str, id: &QueueId) -> PathBuf {
        self.queues
            .hashing()
            .directory(queue, id)
            .join(format!("{id}{SUFFIX}"))
    }
}

/// The name that a message with this inode number must have; `None` when the name at hand cannot be
/// a message's.
fn wanted_id(id: &QueueId, inode: u64, long_ids: bool, redundant: bool) -> Option<QueueId> {
    if id.is_long() {
        let (named, microseconds) = (id.inode()?, id.microseconds()?);
        if !long_ids {
            return Some(QueueId::short(u32::try_from(microseconds).ok()?, inode));
        }
        if redundant && named != inode {
            return Some(QueueId::long(
                id.seconds()?,
                u32::try_from(microseconds).ok()?,
                inode,
            ));
        }
        return Some(id.clone());
    }
    let (time, named) = id.as_str().split_at_checked(TIME_WIDTH)?;
    let differs = named.is_empty() || u64::from_str_radix(named, 16).ok()? != inode;
    if differs {
        QueueId::parse(format!("{time}{inode:X}")).ok()
    } else {
        Some(id.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_follow_the_inode_number() {
        // Inode of 46BD999E172: 10084722; of 4jXTv44Dnvz1T1F8: 10084748.
        #[rustfmt::skip]
        let cases = [
            ("46BD999E172", 10_084_722, false, false, Some("46BD999E172")),
            ("46BD999E172", 255, false, false, Some("46BD9FF")),
            ("46BD999E172", 255, true, false, Some("46BD9FF")),
            ("ABCDE", 255, false, false, Some("ABCDEFF")),
            ("abc_def", 255, false, false, Some("abc_dFF")),
            ("AB", 255, false, false, None),
            ("GHIJKLM", 255, false, false, None),
            ("0000010000000000000000000000000", 255, false, false, None),
            ("4jXTv44Dnvz1T1F8", 10_084_748, true, true, Some("4jXTv44Dnvz1T1F8")),
            ("4jXTv44Dnvz1T1F8", 255, true, false, Some("4jXTv44Dnvz1T1F8")),
            ("4jXTv44Dnvz1T1F8", 1, true, true, Some("4jXTv44Dnvz1")),
            ("4jXTv44Dnvz1T1F8", 255, false, false, Some("91C43FF")),
            ("4jXTv44Dnvz1a", 255, true, false, None),
        ];
        for (name, inode, long, redundant, want) in cases {
            let id = QueueId::parse(name).unwrap();
            let got = wanted_id(&id, inode, long, redundant);
            assert_eq!(got.as_ref().map(QueueId::as_str), want, "{name} {inode}");
        }
    }

    #[test]
    fn the_suffix_is_no_part_of_the_name() {
        let name = Name::parse(b"46BD999E172#FIX").unwrap();
        assert_eq!((name.id.as_str(), name.is_interim), ("46BD999E172", true));
        assert!(!Name::parse(b"46BD999E172").unwrap().is_interim);
        for bad in ["#FIX", "a.b", "x#FIX#FIX"] {
            assert_eq!(Name::parse(bad.as_bytes()), None, "{bad}");
        }
    }
}
