//! What is told at the end.

use std::io::Write;

use postern_command::json_string;

use crate::options::{Action, Request};

/// Said after names of messages were changed: whoever noted down queue IDs must know.
pub(crate) const NAMES_CHANGED: &str = "QUEUE FILE NAMES WERE CHANGED TO MATCH INODE NUMBERS";

/// Messages treated so far.
#[derive(Debug, Default)]
pub(crate) struct Counts {
    pub(crate) requeued: u64,
    pub(crate) deleted: u64,
    pub(crate) expired: u64,
    pub(crate) held: u64,
    pub(crate) released: u64,
    /// Names found not to match the inode number.
    pub(crate) mismatches: u64,
    /// Names that match now.
    pub(crate) fixed: u64,
}

impl Counts {
    /// Whether a message has, or is about to get, another name.
    pub(crate) fn names_changed(&self) -> bool {
        self.mismatches > 0 || self.fixed > 0
    }

    /// The counts for programs; `complete` tells whether everything asked for was done.
    pub(crate) fn as_json(&self, complete: bool) -> String {
        format!(
            "{{\"requeued\": {}, \"deleted\": {}, \"expired\": {}, \"held\": {}, \"released\": {}, \"renamed\": {}, \
             \"complete\": {complete}}}",
            self.requeued, self.deleted, self.expired, self.held, self.released, self.fixed
        )
    }

    /// Logs one line for every operation asked for.
    pub(crate) fn report(&self, request: &Request) {
        for line in self.lines(request) {
            log::info!("{line}");
        }
        if self.names_changed() {
            log::warn!("{NAMES_CHANGED}");
        }
    }

    fn lines(&self, request: &Request) -> Vec<String> {
        use Action::{Delete, Expire, ExpireAndRelease, Hold, Release, Requeue};
        let rows = [
            ("Requeued", self.requeued, request.has(&[Requeue])),
            ("Deleted", self.deleted, request.has(&[Delete])),
            (
                "Force-expired",
                self.expired,
                request.has(&[Expire, ExpireAndRelease]),
            ),
            ("Placed on hold", self.held, request.has(&[Hold])),
            (
                "Released from hold",
                self.released,
                request.has(&[Release, ExpireAndRelease]),
            ),
            ("Renamed to match inode number", self.fixed, self.fixed > 0),
        ];
        let wanted = rows.iter().filter(|(_, _, wanted)| *wanted);
        wanted
            .map(|(what, count, _)| {
                format!(
                    "{what}: {count} message{}",
                    if *count == 1 { "" } else { "s" }
                )
            })
            .collect()
    }
}

/// What was done to a message, for programs.
pub(crate) fn action_as_json(id: &str, what: &str) -> String {
    let (id, what) = (json_string(id.as_bytes()), json_string(what.as_bytes()));
    format!("{{\"queue_id\": {id}, \"action\": {what}}}")
}

/// Prints a line. The work goes on when nobody reads it.
pub(crate) fn print(line: &str) {
    let _ = writeln!(std::io::stdout(), "{line}");
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::options::Target;

    #[test]
    fn lines_come_in_a_fixed_order_and_only_one_is_singular() {
        let actions = [
            Action::ExpireAndRelease,
            Action::Hold,
            Action::Delete,
            Action::Requeue,
        ];
        let actions = actions.map(|action| (action, Target::All)).to_vec();
        let request = Request {
            actions,
            ..Request::default()
        };
        let counts = Counts {
            requeued: 1,
            expired: 2,
            fixed: 3,
            ..Counts::default()
        };
        let want = [
            "Requeued: 1 message",
            "Deleted: 0 messages",
            "Force-expired: 2 messages",
            "Placed on hold: 0 messages",
            "Released from hold: 0 messages",
            "Renamed to match inode number: 3 messages",
        ];
        assert_eq!(counts.lines(&request), want);
        assert!(Counts::default().lines(&Request::default()).is_empty());
    }
}
