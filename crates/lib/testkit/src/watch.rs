//! What a test can see of an instance: log, mailboxes, queues.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::thread::sleep;
use std::time::{Duration, Instant};

use crate::instance::PATIENCE;
use crate::{Instance, wait_until};

/// Lines of the log that are shown with a failure.
const SHOWN_LINES: usize = 30;

impl Instance {
    /// The whole log.
    #[must_use]
    pub fn log(&self) -> String {
        fs::read(self.file("maillog"))
            .map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
            .unwrap_or_default()
    }

    /// The last lines of the log.
    #[must_use]
    pub fn log_end(&self) -> String {
        let log = self.log();
        let lines: Vec<&str> = log.lines().collect();
        lines[lines.len().saturating_sub(SHOWN_LINES)..].join("\n")
    }

    /// Waits for a log line that contains every one of `texts`.
    ///
    /// # Panics
    ///
    /// When none comes.
    #[track_caller]
    pub fn wait_log_all(&self, texts: &[&str]) -> String {
        wait_until(&format!("a log line with {texts:?}"), PATIENCE, || {
            self.log()
                .lines()
                .find(|line| texts.iter().all(|text| line.contains(text)))
                .map(str::to_owned)
        })
    }

    /// Waits for a log line that contains `text`.
    #[track_caller]
    pub fn wait_log(&self, text: &str) -> String {
        self.wait_log_all(&[text])
    }

    /// Log lines that tell of a defect of a program, whatever it was fed.
    #[must_use]
    pub fn defects(&self) -> Vec<String> {
        self.log()
            .lines()
            .filter(|line| {
                ["panic", "killed by signal", "exit status 101"]
                    .iter()
                    .any(|text| line.contains(text))
            })
            .map(str::to_owned)
            .collect()
    }

    /// Messages in a virtual mailbox.
    #[must_use]
    pub fn maildir(&self, user: &str) -> Vec<PathBuf> {
        let entries = fs::read_dir(self.file("vmail").join(user).join("new"));
        let mut files: Vec<PathBuf> = entries
            .into_iter()
            .flatten()
            .flatten()
            .map(|entry| entry.path())
            .collect();
        files.sort();
        files
    }

    /// The messages in a virtual mailbox, as text.
    #[must_use]
    pub fn mail(&self, user: &str) -> Vec<String> {
        self.maildir(user)
            .iter()
            .map(|path| String::from_utf8_lossy(&fs::read(path).unwrap_or_default()).into_owned())
            .collect()
    }

    /// Waits until a virtual mailbox holds `count` messages.
    #[track_caller]
    pub fn wait_maildir(&self, user: &str, count: usize) -> Vec<String> {
        let what = format!("{count} messages for {user}");
        wait_until(&what, PATIENCE, || {
            (self.maildir(user).len() >= count).then_some(())
        });
        self.mail(user)
    }

    /// Waits for a message in a virtual mailbox that contains `text`.
    ///
    /// # Panics
    ///
    /// When none comes.
    #[track_caller]
    pub fn wait_mail(&self, user: &str, text: &str) -> String {
        let what = format!("a message with {text:?} for {user}");
        wait_until(&what, PATIENCE, || {
            self.mail(user)
                .into_iter()
                .find(|message| message.contains(text))
        })
    }

    /// Queue IDs in a queue, at any hash depth; unfinished messages are not counted.
    #[must_use]
    pub fn queue(&self, name: &str) -> Vec<String> {
        fn walk(directory: &Path, mode: u32, found: &mut Vec<String>) {
            for entry in fs::read_dir(directory).into_iter().flatten().flatten() {
                let name = entry.file_name().to_string_lossy().into_owned();
                let Ok(metadata) = entry.metadata() else {
                    continue;
                };
                if metadata.is_dir() {
                    walk(&entry.path(), mode, found);
                } else if !name.contains('.') && metadata.mode() & mode == mode {
                    found.push(name);
                }
            }
        }
        // Logs are no messages: they are never executable.
        let is_log = ["bounce", "defer", "trace", "flush", "corrupt"].contains(&name);
        let mode = if is_log { 0 } else { 0o700 };
        let mut found = Vec::new();
        walk(&self.file("spool").join(name), mode, &mut found);
        found.sort();
        found
    }

    /// The file of a message, wherever it is.
    #[must_use]
    pub fn queue_file(&self, queue: &str, id: &str) -> PathBuf {
        let directory = self.file("spool").join(queue);
        let hashed = directory.join(id.get(..1).unwrap_or_default()).join(id);
        if hashed.exists() {
            hashed
        } else {
            directory.join(id)
        }
    }

    /// Waits until a queue holds `count` messages, and returns their IDs.
    #[track_caller]
    pub fn wait_queue(&self, name: &str, count: usize) -> Vec<String> {
        wait_until(&format!("{count} messages in {name}"), PATIENCE, || {
            Some(self.queue(name)).filter(|ids| ids.len() == count)
        })
    }

    /// Waits until no queue holds a message.
    ///
    /// # Panics
    ///
    /// When that takes too long, with what is left.
    #[track_caller]
    pub fn wait_queue_empty(&self) {
        self.wait_empty_while(|| {});
    }

    /// As [`Self::wait_queue_empty`], and has the queue manager look at all again and again: after the end
    /// of a queue manager or delivery agent a message may rest for a minute.
    #[track_caller]
    pub fn drain(&self) {
        let mut next = Instant::now();
        self.wait_empty_while(|| {
            if Instant::now() >= next {
                self.run("postqueue", &["-f"]);
                self.run("postkick", &["public", "pickup", "W"]);
                next = Instant::now() + Duration::from_millis(500);
            }
        });
    }

    #[track_caller]
    fn wait_empty_while(&self, mut work: impl FnMut()) {
        let end = Instant::now() + PATIENCE;
        loop {
            let left: Vec<(&str, Vec<String>)> = ["maildrop", "incoming", "active", "deferred"]
                .into_iter()
                .map(|name| (name, self.queue(name)))
                .filter(|(_, ids)| !ids.is_empty())
                .collect();
            if left.is_empty() {
                return;
            }
            assert!(Instant::now() < end, "still in the queue: {left:?}");
            work();
            sleep(Duration::from_millis(10));
        }
    }
}
