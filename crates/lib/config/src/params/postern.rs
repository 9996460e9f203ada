//! Parameters that Postfix does not have.

use super::params;

params! {
    /// Release of Postern itself; mail_version tells the Postfix feature level. Cannot be set.
    POSTERN_VERSION: str "postern_version" = env!("CARGO_PKG_VERSION"), { used_by: "all", flags: flag::READ_ONLY };
}
