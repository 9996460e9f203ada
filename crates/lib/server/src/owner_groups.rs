//! What master(8) tells its children about the groups of the mail owner.
//!
//! The group database may have slow sources, and every child would have to ask them all. A child
//! without this knowledge, or with another owner, asks for itself.

use postern_sys::{env, user::User};
use std::fmt::Write;

/// Name of the environment variable.
const VARIABLE: &str = "POSTERN_OWNER_GROUPS";

/// The variable for children: `NAME=owner:uid:gid:group,group`. `None` when the groups cannot be had.
pub fn owner_groups_variable(owner: &User) -> Option<String> {
    let groups = postern_sys::user::groups_of(owner).ok()?;
    let mut text = format!("{VARIABLE}={}:{}:{}:", owner.name, owner.uid, owner.gid);
    for (at, group) in groups.iter().enumerate() {
        let comma = if at == 0 { "" } else { "," };
        // Writing to a string cannot fail.
        let _ = write!(text, "{comma}{group}");
    }
    Some(text)
}

/// What master told of `owner`; programs that are started later do not see it.
pub(crate) fn take(owner: &User) -> Option<Vec<u32>> {
    let text = std::env::var(VARIABLE).ok()?;
    env::remove_env(VARIABLE);
    parse(&text, owner)
}

fn parse(text: &str, owner: &User) -> Option<Vec<u32>> {
    let mut parts = text.splitn(4, ':');
    let is_same = parts.next()? == owner.name
        && parts.next()?.parse() == Ok(owner.uid)
        && parts.next()?.parse() == Ok(owner.gid);
    if !is_same {
        return None;
    }
    let groups = parts.next()?.split(',');
    groups.map(|group| group.parse().ok()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn owner() -> User {
        postern_sys::user::user_by_uid(postern_sys::user::uid())
            .unwrap()
            .unwrap()
    }

    #[test]
    fn groups_arrive_as_they_were_sent() {
        let owner = owner();
        let variable = owner_groups_variable(&owner).unwrap();
        let text = variable.strip_prefix("POSTERN_OWNER_GROUPS=").unwrap();
        assert_eq!(
            parse(text, &owner),
            postern_sys::user::groups_of(&owner).ok()
        );
    }

    #[test]
    fn another_owner_and_nonsense_are_not_believed() {
        let mut owner = owner();
        (owner.name, owner.uid, owner.gid) = ("postfix".to_owned(), 103, 106);
        let cases: &[(&str, Option<Vec<u32>>)] = &[
            ("postfix:103:106:106,12", Some(vec![106, 12])),
            ("postfix:103:106:", None),
            ("postfix:103:106", None),
            ("postfix:103:106:106,,12", None),
            ("postfix:103:106:106,-1", None),
            ("postfix:103:107:107", None),
            ("postfix:104:106:106", None),
            ("vmail:103:106:106", None),
            ("", None),
        ];
        for (text, want) in cases {
            assert_eq!(parse(text, &owner), *want, "{text}");
        }
    }
}
