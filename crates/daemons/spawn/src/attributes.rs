//! The attributes in master.cf: `user=… argv=…`.

use bstr::{BString, ByteSlice};
use postern_program::{NoRights, Program, rights};
use postern_server::Context;
use postern_sys::user;

/// The program that the attributes name. The error is the text after `fatal: `.
pub(crate) fn program(context: &Context, export: Vec<String>) -> Result<Program, String> {
    let (rights, argv) = parse(&context.options.arguments)?;
    // A process that is not root runs commands as itself.
    if user::uid() == 0 {
        check(rights, (context.owner.uid, context.owner.gid))?;
    } else if rights.0 != user::euid() {
        return Err(format!(
            "only root can run commands for user ID {}",
            rights.0
        ));
    }
    Ok(Program {
        argv: vec![argv],
        rights,
        export,
        ..Program::default()
    })
}

/// Rights and argument vector.
fn parse(arguments: &[BString]) -> Result<((u32, u32), Vec<BString>), String> {
    let mut user = None;
    let mut argv = Vec::new();
    let mut arguments = arguments.iter();
    while let Some(argument) = arguments.next() {
        let unknown = || format!("unknown attribute name: {argument}");
        let (name, value) = argument.split_once_str("=").ok_or_else(unknown)?;
        match name.to_ascii_lowercase().as_slice() {
            b"user" => user = Some(rights(value.as_bstr()).map_err(no_rights)?),
            b"argv" => {
                argv.push(value.into());
                argv.extend(arguments.by_ref().cloned());
            }
            _ => return Err(unknown()),
        }
    }
    let user = user.ok_or("missing user= attribute")?;
    if argv.is_empty() {
        return Err("missing argv= attribute".to_owned());
    }
    Ok((user, argv))
}

fn no_rights(error: NoRights) -> String {
    match error {
        NoRights::User(name) => format!("unknown user name: {name}"),
        NoRights::Group(name) => format!("unknown group name: {name}"),
        NoRights::Database(text) => text,
    }
}

/// Refuses rights that a command must not have; `owner` has those of the mail system.
fn check((uid, gid): (u32, u32), owner: (u32, u32)) -> Result<(), String> {
    if uid == 0 {
        return Err("request to deliver as root".to_owned());
    }
    if uid == owner.0 {
        return Err("request to deliver as mail system owner".to_owned());
    }
    if gid == 0 {
        return Err("request to use privileged group id 0".to_owned());
    }
    if gid == owner.1 {
        return Err(format!("request to use mail system owner group id {gid}"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn attributes_name_a_user_and_a_command() {
        for (words, want) in [
            (
                &["USER=root", "ARGV=/bin/x", "user=y"][..],
                Ok(vec!["/bin/x", "user=y"]),
            ),
            (&["user=root", "argv="], Ok(vec![""])),
            (&["argv=x"], Err("missing user= attribute")),
            (&["user=root"], Err("missing argv= attribute")),
            (
                &["user=no-such-user"],
                Err("unknown user name: no-such-user"),
            ),
            (&["user=root:no-such"], Err("unknown group name: no-such")),
            (&["nonsense"], Err("unknown attribute name: nonsense")),
            (
                &["directory=/x"],
                Err("unknown attribute name: directory=/x"),
            ),
        ] {
            let words: Vec<BString> = words.iter().map(|word| BString::from(*word)).collect();
            let want = want.map_err(str::to_owned).map(|argv| {
                let argv = argv.into_iter().map(BString::from).collect();
                ((0, 0), argv)
            });
            assert_eq!(parse(&words), want);
        }
    }

    #[test]
    fn rights_of_the_system_are_refused() {
        let owner = (101, 102);
        for (rights, want) in [
            ((0, 5), Err("request to deliver as root")),
            ((101, 5), Err("request to deliver as mail system owner")),
            ((5, 0), Err("request to use privileged group id 0")),
            (
                (5, 102),
                Err("request to use mail system owner group id 102"),
            ),
            ((5, 5), Ok(())),
        ] {
            assert_eq!(check(rights, owner), want.map_err(str::to_owned));
        }
    }
}
