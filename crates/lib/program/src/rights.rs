//! The `user=` attribute of services that run commands.

use bstr::{BStr, BString, ByteSlice};
use postern_sys::user;

/// Why a `user=` value names no rights.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NoRights {
    /// There is no such user.
    User(BString),
    /// There is no such group.
    Group(BString),
    /// The user or group database cannot be read.
    Database(String),
}

/// User and group of `USER` or `USER:GROUP`; the group is the user's own when it is not named.
///
/// # Errors
///
/// [`NoRights`].
pub fn rights(value: &BStr) -> Result<(u32, u32), NoRights> {
    let (name, group) = match value.split_once_str(":") {
        Some((name, group)) => (name, Some(group).filter(|group| !group.is_empty())),
        None => (value.as_bytes(), None),
    };
    let database = |error: std::io::Error| NoRights::Database(postern_sys::error_text(&error));
    // Names that are not UTF-8 are in no database.
    let user = name.to_str().map(user::user_by_name).unwrap_or(Ok(None));
    let user = user
        .map_err(database)?
        .ok_or_else(|| NoRights::User(name.into()))?;
    let Some(group) = group else {
        return Ok((user.uid, user.gid));
    };
    let found = group.to_str().map(user::group_by_name).unwrap_or(Ok(None));
    let found = found
        .map_err(database)?
        .ok_or_else(|| NoRights::Group(group.into()))?;
    Ok((user.uid, found.gid))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn group_is_the_users_unless_named() {
        let root = Ok((0, 0));
        for (value, want) in [
            ("root", root.clone()),
            ("root:", root.clone()),
            ("root:root", root),
            ("", Err(NoRights::User("".into()))),
            (":root", Err(NoRights::User("".into()))),
            (
                "no-such-user:root",
                Err(NoRights::User("no-such-user".into())),
            ),
            (
                "root:no-such-group",
                Err(NoRights::Group("no-such-group".into())),
            ),
            ("root:a:b", Err(NoRights::Group("a:b".into()))),
        ] {
            assert_eq!(rights(value.into()), want, "{value}");
        }
        assert_eq!(
            rights(BStr::new(b"\xff")),
            Err(NoRights::User(BString::from(&b"\xff"[..])))
        );
    }
}
