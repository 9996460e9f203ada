//! Which programs an instance is made of.

use std::path::{Path, PathBuf};

/// Where the programs of a mail system are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Suite {
    /// Directory with `postfix`, `sendmail`, …
    pub commands: PathBuf,
    /// Directory with `master`, `smtpd`, …
    pub daemons: PathBuf,
}

impl Suite {
    /// The programs under test: in `$POSTERN_BIN_DIR`, which `cargo xtask test` sets, or in the directory
    /// above the running test program.
    ///
    /// The tests are themselves tested on the reference: `POSTERN_TEST_REFERENCE=1` has them use Debian's
    /// Postfix.
    #[must_use]
    pub fn under_test() -> Self {
        if std::env::var_os("POSTERN_TEST_REFERENCE").is_some() {
            return Self::debian();
        }
        let bin = std::env::var_os("POSTERN_BIN_DIR").map_or_else(beside_test, PathBuf::from);
        Self {
            commands: bin.clone(),
            daemons: bin,
        }
    }

    /// Debian's Postfix; none when it is not installed.
    #[must_use]
    pub fn reference() -> Option<Self> {
        let suite = Self::debian();
        suite.is_reference().then_some(suite)
    }

    fn debian() -> Self {
        Self {
            commands: "/usr/sbin".into(),
            daemons: "/usr/lib/postfix/sbin".into(),
        }
    }

    /// Whether these are Postfix's programs; only that has this script.
    pub(crate) fn is_reference(&self) -> bool {
        self.daemons.join("postfix-script").exists()
    }

    /// `meta_directory` for an instance below `root`: the reference does not start without its own files.
    pub(crate) fn meta_directory(&self, root: &Path) -> PathBuf {
        if self.is_reference() {
            "/etc/postfix".into()
        } else {
            root.join("etc")
        }
    }
}

/// Cargo puts test programs into `deps` below the directory of the binaries.
fn beside_test() -> PathBuf {
    let exe = std::env::current_exe().unwrap_or_default();
    exe.parent()
        .and_then(Path::parent)
        .map(Path::to_owned)
        .unwrap_or_default()
}
