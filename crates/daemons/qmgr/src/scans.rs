//! The two walks over the queues: which file comes next.

use postern_queue::{Queues, Walk};
use postern_queue_file::QueueId;

/// How the files of a scan are treated.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct ScanFlags {
    /// Files are taken before their time.
    pub(crate) all: bool,
    /// Transports in `defer_transports` are tried.
    pub(crate) flush: bool,
}

impl ScanFlags {
    fn or(self, other: Self) -> Self {
        Self {
            all: self.all || other.all,
            flush: self.flush || other.flush,
        }
    }
}

/// One queue being scanned.
#[derive(Debug)]
pub(crate) struct Scan {
    pub(crate) queue: &'static str,
    walk: Option<Walk>,
    flags: ScanFlags,
    /// Start again at the end, with these flags.
    again: Option<ScanFlags>,
}

impl Scan {
    pub(crate) fn new(queue: &'static str) -> Self {
        Self {
            queue,
            walk: None,
            flags: ScanFlags::default(),
            again: None,
        }
    }

    /// Asks for a scan. A running one takes the flags over at once and is followed by another,
    /// because it may be past the files that were meant.
    pub(crate) fn request(&mut self, queues: &Queues, flags: ScanFlags) {
        if self.walk.is_some() {
            self.flags = self.flags.or(flags);
            self.again = Some(self.again.unwrap_or_default().or(flags));
        } else {
            self.flags = flags;
            self.walk = Some(queues.walk(self.queue));
        }
    }

    /// Whether nothing is being scanned.
    pub(crate) fn is_idle(&self) -> bool {
        self.walk.is_none()
    }

    /// What is still to be done, of the running scan and the one after it.
    pub(crate) fn unfinished(&self) -> Option<ScanFlags> {
        self.walk.as_ref()?;
        Some(self.flags.or(self.again.unwrap_or_default()))
    }

    /// The next file; `None` at the end of the scan. A directory that cannot be read gives an
    /// error, and the scan goes on behind it.
    pub(crate) fn next(
        &mut self,
        queues: &Queues,
    ) -> Option<std::io::Result<(QueueId, ScanFlags)>> {
        let walk = self.walk.as_mut()?;
        if let Some(entry) = walk.next() {
            return Some(entry.map(|entry| (entry.id, self.flags)));
        }
        self.walk = None;
        if let Some(flags) = self.again.take() {
            self.request(queues, flags);
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use postern_queue_file::Hashing;

    #[test]
    fn a_request_during_a_scan_starts_another_one() {
        let root = tempfile::tempdir().unwrap();
        std::fs::create_dir(root.path().join("incoming")).unwrap();
        for name in ["AAAAA1", "AAAAA2"] {
            std::fs::write(root.path().join("incoming").join(name), "").unwrap();
        }
        let queues = Queues::new(root.path(), Hashing::default());
        let mut scan = Scan::new("incoming");
        assert!(scan.next(&queues).is_none());
        scan.request(&queues, ScanFlags::default());
        let (_, flags) = scan.next(&queues).unwrap().unwrap();
        assert!(!flags.all);
        scan.request(
            &queues,
            ScanFlags {
                all: true,
                flush: false,
            },
        );
        assert!(scan.unfinished().unwrap().all);
        let (_, flags) = scan.next(&queues).unwrap().unwrap();
        assert!(flags.all, "the running scan takes the flag over");
        assert!(scan.next(&queues).is_none());
        assert!(!scan.is_idle());
        assert!(scan.next(&queues).unwrap().unwrap().1.all);
        assert!(scan.next(&queues).unwrap().is_ok());
        assert!(scan.next(&queues).is_none());
        assert!(scan.is_idle());
        assert_eq!(scan.unfinished(), None);
    }
}
