//! Which system accounts a private instance runs under.

use nix::unistd::{Group, User, geteuid};

/// The owner of an instance.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Account {
    /// `mail_owner`.
    pub user: String,
    /// `setgid_group`.
    pub group: String,
    /// User ID of `user`.
    pub uid: u32,
    /// Group ID of `user`.
    pub gid: u32,
    /// Group ID of `group`.
    pub setgid: u32,
    /// Whether the instance runs with root's privileges.
    pub privileged: bool,
}

/// The current user, or, for root, `postfix` and `postdrop`; where these do not exist, two of Debian's
/// base accounts stand in, so that nothing on the machine must be changed for a trial.
///
/// # Errors
///
/// A text for the operator when no account fits.
pub fn mail_account() -> Result<Account, String> {
    let uid = geteuid();
    if !uid.is_root() {
        let user = User::from_uid(uid)
            .ok()
            .flatten()
            .ok_or_else(|| format!("user ID {uid} has no passwd entry"))?;
        let group = Group::from_gid(user.gid)
            .ok()
            .flatten()
            .map_or_else(|| user.gid.to_string(), |group| group.name);
        return Ok(Account {
            user: user.name,
            group,
            uid: user.uid.as_raw(),
            gid: user.gid.as_raw(),
            setgid: user.gid.as_raw(),
            privileged: false,
        });
    }
    for (user_name, group_name) in [("postfix", "postdrop"), ("mail", "news")] {
        let user = User::from_name(user_name).ok().flatten();
        let group = Group::from_name(group_name).ok().flatten();
        if let (Some(user), Some(group)) = (user, group) {
            return Ok(Account {
                user: user.name,
                group: group.name,
                uid: user.uid.as_raw(),
                gid: user.gid.as_raw(),
                setgid: group.gid.as_raw(),
                privileged: true,
            });
        }
    }
    Err("running as root needs a user postfix and a group postdrop: useradd --system postfix; groupadd --system postdrop".to_owned())
}
