//! Under whose rights a destination is served.

use std::io;
use std::path::PathBuf;

use postern_sys::user::{self, User};

/// A user as far as deliveries need to know. User 0 is what main.cf and root's tables stand for: it
/// reads files as root, but runs commands and writes files with `default_privs`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Rights {
    pub(crate) uid: u32,
    pub(crate) gid: u32,
    /// What `~/` and `$home` mean.
    pub(crate) home: Option<PathBuf>,
    /// `$shell`.
    pub(crate) shell: Option<PathBuf>,
}

impl Rights {
    /// The system's own.
    pub(crate) fn system() -> Self {
        Self {
            uid: 0,
            gid: 0,
            home: None,
            shell: None,
        }
    }

    /// Those of an account.
    pub(crate) fn of(user: &User) -> Self {
        Self {
            uid: user.uid,
            gid: user.gid,
            home: Some(user.home.clone()),
            shell: Some(user.shell.clone()),
        }
    }

    /// Runs `work` with these rights; root's rights stay those of root.
    ///
    /// # Errors
    ///
    /// The identity cannot be taken.
    pub(crate) fn exercise<T>(&self, privileged: bool, work: impl FnOnce() -> T) -> io::Result<T> {
        // A process that cannot be anybody else does what root would do as itself.
        if !privileged && self.uid == 0 {
            return Ok(work());
        }
        user::as_user(self.uid, self.gid, work)
    }
}
