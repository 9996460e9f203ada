//! The user's mailbox: another transport, a command, a maildir, an mbox (delivery.md §3.5).

use std::fs;
use std::os::unix::fs::{MetadataExt, fchown};
use std::path::{Path, PathBuf};

use bstr::{BString, ByteSlice};
use postern_delivery::Outcome;
use postern_delivery::copy::CopyOptions;
use postern_delivery::maildir;
use postern_delivery::mbox::{Mbox, MboxError};
use postern_delivery::pass::{Envelope, Target};
use postern_dict::Maps;
use postern_ipc::deliver::Dsn;
use postern_sys::error_text;
use postern_sys::user::{self, User};

use crate::expand::{path_bytes, path_of};
use crate::job::{Failure, Job, configuration_error, dsn};
use crate::mail::Mail;
use crate::rights::Rights;
use crate::{Tables, biff, command};

/// Status of mailbox errors that have none of their own.
pub(crate) const DEFAULT_STATUS: &str = "5.2.0";
/// Permission for the group and for everybody to write.
const GROUP_WRITABLE: u32 = 0o020;
const WORLD_WRITABLE: u32 = 0o002;

/// Delivers to the mailbox; `None` when there is no such user.
pub(crate) fn deliver(job: &mut Job<'_>, mail: &Mail) -> Option<Outcome> {
    let transport = job.local.settings.mailbox_transport.clone();
    match pass_on(
        job,
        mail,
        |tables| &mut tables.mailbox_transport,
        &transport,
    ) {
        Ok(None) => {}
        Ok(Some(outcome)) => return Some(outcome),
        Err(failure) => return Some(job.fail(mail, &failure)),
    }
    let user = match find_user(&mail.parts.user) {
        Ok(user) => user?,
        Err(failure) => return Some(job.fail(mail, &failure)),
    };
    if !job.is_first("mailbox", &mail.parts.local) {
        return Some(Outcome::Done);
    }
    let rights = Rights::of(&user);
    if let Err(failure) = job.check_rights(&rights) {
        return Some(job.fail(mail, &failure));
    }
    Some(deliver_to_user(job, mail, &user, &rights))
}

/// Passes the mail to the transport that a table names for the user, or to `transport`; `None` when
/// there is neither.
pub(crate) fn pass_on(
    job: &mut Job<'_>,
    mail: &Mail,
    maps: impl FnOnce(&mut Tables) -> &mut Maps,
    transport: &str,
) -> Result<Option<Outcome>, Failure> {
    let found = lookup(job, mail, maps)?;
    let target = match &found {
        Some(target) => target.as_bstr(),
        None if transport.is_empty() => return Ok(None),
        None => transport.into(),
    };
    if !job.is_first("mailbox", &mail.parts.local) {
        return Ok(Some(Outcome::Done));
    }
    let timeout = job.local.settings.ipc_timeout;
    let envelope = Envelope {
        sender: &mail.sender,
        envelope_id: &mail.envelope_id,
        ret_flags: mail.ret_flags,
    };
    Ok(Some(job.local.agent.pass(
        job.delivery,
        &mail.recipient,
        envelope,
        &Target::parse(target),
        timeout,
    )))
}

/// Looks the user up in a table of mailboxes.
fn lookup(
    job: &mut Job<'_>,
    mail: &Mail,
    maps: impl FnOnce(&mut Tables) -> &mut Maps,
) -> Result<Option<BString>, Failure> {
    let key = mail.parts.user.as_bstr();
    let result = job
        .tables()
        .and_then(|tables| maps(tables).find(key, false));
    result.map_err(|_| dsn("4.3.0", "table lookup failure"))
}

/// The account of a user. A database that does not answer never means "no such user".
pub(crate) fn find_user(name: &BString) -> Result<Option<User>, Failure> {
    // The database knows text only, and a name with a NUL byte must not become another name.
    let Ok(text) = name.to_str() else {
        return Ok(None);
    };
    if text.contains('\0') {
        return Ok(None);
    }
    user::user_by_name(text).map_err(|error| {
        log::warn!(
            "error looking up passwd info for {name}: {}",
            error_text(&error)
        );
        dsn("4.0.0", "user lookup error")
    })
}

/// `require_home_directory`.
pub(crate) fn check_home(job: &Job<'_>, rights: &Rights) -> Result<(), Failure> {
    let Some(home) = rights
        .home
        .as_ref()
        .filter(|_| job.local.settings.require_home)
    else {
        return Ok(());
    };
    job.check_rights(rights)?;
    let result = rights.exercise(job.local.settings.privileged, || {
        fs::metadata(home).map(|_| ())
    });
    result.and_then(|status| status).map_err(|error| {
        dsn(
            "4.3.0",
            format!(
                "cannot access home directory {}: {}",
                home.display(),
                error_text(&error)
            ),
        )
    })
}

/// Where a mailbox is.
#[derive(Debug, PartialEq, Eq)]
enum Place {
    Maildir(PathBuf),
    /// An mbox below the home directory.
    HomeMbox(PathBuf),
    /// An mbox in the spool directory.
    SpoolMbox(PathBuf),
}

impl Place {
    fn of(home_mailbox: &str, spool: &str, user: &User) -> Self {
        let text = |parts: &[&[u8]]| path_of(&parts.concat());
        let home = path_bytes(&user.home);
        if !home_mailbox.is_empty() {
            let path = text(&[&home, b"/", home_mailbox.as_bytes()]);
            return if home_mailbox.ends_with('/') {
                Self::Maildir(path)
            } else {
                Self::HomeMbox(path)
            };
        }
        if spool.ends_with('/') {
            return Self::Maildir(text(&[spool.as_bytes(), user.name.as_bytes(), b"/"]));
        }
        Self::SpoolMbox(text(&[spool.as_bytes(), b"/", user.name.as_bytes()]))
    }
}

fn deliver_to_user(job: &mut Job<'_>, mail: &Mail, user: &User, rights: &Rights) -> Outcome {
    let command = match lookup(job, mail, |tables| &mut tables.mailbox_command) {
        Ok(Some(command)) => command,
        Ok(None) => job.local.settings.mailbox_command.as_str().into(),
        Err(failure) => return job.fail(mail, &failure),
    };
    if !command.is_empty() {
        return command::deliver_mailbox(job, mail, rights, &command);
    }
    let settings = &job.local.settings;
    match Place::of(&settings.home_mailbox, &settings.spool, user) {
        Place::Maildir(path) => deliver_maildir(job, mail, rights, &path),
        Place::HomeMbox(path) => deliver_mbox(job, mail, rights, &path, rights.uid, rights.gid),
        Place::SpoolMbox(path) => {
            let (uid, gid) =
                spool_identity(settings.privileged, Path::new(&settings.spool), rights);
            deliver_mbox(job, mail, rights, &path, uid, gid)
        }
    }
}

/// Delivers into a maildir with the rights of a user.
pub(crate) fn deliver_maildir(
    job: &mut Job<'_>,
    mail: &Mail,
    rights: &Rights,
    path: &Path,
) -> Outcome {
    if job.is_trace_only() {
        return job.sent(mail, &dsn("2.0.0", "delivers to maildir"));
    }
    let options = CopyOptions {
        sender: Some(mail.sender.clone()),
        ..CopyOptions::maildir(delivered_to(job, mail), job.local.settings.original_to)
    };
    match maildir::deliver(
        job.delivery,
        &mail.recipient,
        path,
        rights.uid,
        rights.gid,
        &options,
    ) {
        Ok(()) => job.sent(mail, &dsn("2.0.0", "delivered to maildir")),
        Err(error) => job.fail(mail, &dsn(error.status(DEFAULT_STATUS), error.to_string())),
    }
}

/// `Delivered-To:` of files, where it is wanted.
pub(crate) fn delivered_to(job: &Job<'_>, mail: &Mail) -> Option<BString> {
    job.local
        .settings
        .delivered_to
        .file
        .then(|| mail.delivered_to.clone())
}

/// Who may make files in the spool directory: anybody, a group, or root only.
fn spool_identity(privileged: bool, spool: &Path, rights: &Rights) -> (u32, u32) {
    let Ok(status) = fs::metadata(spool) else {
        return if privileged {
            (0, 0)
        } else {
            (rights.uid, rights.gid)
        };
    };
    if !privileged || status.mode() & WORLD_WRITABLE != 0 {
        (rights.uid, rights.gid)
    } else if status.mode() & GROUP_WRITABLE != 0 {
        (rights.uid, status.gid())
    } else {
        (0, 0)
    }
}

/// Appends to an mbox: made and locked as `uid`/`gid`, written as the user.
fn deliver_mbox(
    job: &mut Job<'_>,
    mail: &Mail,
    rights: &Rights,
    path: &Path,
    uid: u32,
    gid: u32,
) -> Outcome {
    if job.is_trace_only() {
        return job.sent(mail, &dsn("2.0.0", "delivers to mailbox"));
    }
    let result = user::as_user(uid, gid, || append(job, mail, rights, path));
    let prefix = format!(
        "cannot update mailbox {} for user {}. ",
        path.display(),
        mail.parts.user
    );
    match result {
        Ok(Ok(start)) => {
            if job.local.settings.biff {
                biff::notify(&mail.parts.user, start);
            }
            job.sent(mail, &dsn("2.0.0", "delivered to mailbox"))
        }
        Ok(Err(failure)) => {
            let reason = [prefix.as_bytes(), &failure.reason].concat();
            job.fail(
                mail,
                &Dsn {
                    reason: reason.into(),
                    ..*failure
                },
            )
        }
        Err(error) => {
            log::warn!("{prefix}{}", error_text(&error));
            job.fail(mail, &configuration_error("4.3.5"))
        }
    }
}

/// Returns the offset at which the message begins.
fn append(job: &Job<'_>, mail: &Mail, rights: &Rights, path: &Path) -> Result<u64, Failure> {
    let settings = &job.local.settings;
    let failed = |error: MboxError| dsn(error.status(DEFAULT_STATUS), error.to_string());
    let system = |error: std::io::Error| dsn("4.3.0", error_text(&error));
    let mbox = Mbox::open(path, &settings.locks, true).map_err(failed)?;
    let status = mbox.metadata().map_err(system)?;
    if !status.is_file() {
        return Err(dsn(
            "5.2.0",
            format!("destination {} is not a regular file", path.display()),
        ));
    }
    if mbox.is_new() && status.uid() != rights.uid {
        fchown(mbox.file(), Some(rights.uid), Some(rights.gid)).map_err(system)?;
    } else if settings.strict_ownership && status.uid() != rights.uid {
        log::warn!(
            "specify \"strict_mailbox_ownership = no\" to ignore mailbox ownership mismatch"
        );
        return Err(dsn(
            "4.2.0",
            format!("destination {} is not owned by recipient", path.display()),
        ));
    }
    let options = CopyOptions {
        sender: Some(mail.sender.clone()),
        ..CopyOptions::mbox(delivered_to(job, mail), settings.original_to)
    };
    let written = user::as_user(rights.uid, rights.gid, || {
        mbox.append(job.delivery, &mail.recipient, &options, settings.size_limit)
    });
    written.map_err(system)?.map_err(failed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mailbox_is_at_home_or_in_the_spool_and_a_final_slash_makes_a_maildir() {
        let user = User {
            name: "bob".into(),
            uid: 7,
            gid: 8,
            home: "/home/bob".into(),
            shell: "/bin/sh".into(),
            gecos: Vec::new(),
        };
        let cases = [
            (
                "Maildir/",
                "/var/mail",
                Place::Maildir("/home/bob/Maildir/".into()),
            ),
            (
                "Mailbox",
                "/var/mail/",
                Place::HomeMbox("/home/bob/Mailbox".into()),
            ),
            ("", "/var/mail/", Place::Maildir("/var/mail/bob/".into())),
            ("", "/var/mail", Place::SpoolMbox("/var/mail/bob".into())),
        ];
        for (home_mailbox, spool, want) in cases {
            assert_eq!(
                Place::of(home_mailbox, spool, &user),
                want,
                "{home_mailbox} {spool}"
            );
        }
    }

    #[test]
    fn spool_directory_decides_who_makes_the_mailbox() {
        use std::os::unix::fs::PermissionsExt;
        let spool = tempfile::tempdir().expect("a directory");
        let rights = Rights {
            uid: 7,
            gid: 8,
            home: None,
            shell: None,
        };
        let group = fs::metadata(spool.path()).expect("it is there").gid();
        for (mode, want) in [(0o1777, (7, 8)), (0o775, (7, group)), (0o755, (0, 0))] {
            fs::set_permissions(spool.path(), fs::Permissions::from_mode(mode))
                .expect("our directory");
            assert_eq!(
                spool_identity(true, spool.path(), &rights),
                want,
                "{mode:o}"
            );
            assert_eq!(
                spool_identity(false, spool.path(), &rights),
                (7, 8),
                "{mode:o}"
            );
        }
    }

    #[test]
    fn names_that_no_database_can_hold_are_unknown() {
        assert_eq!(find_user(&"no\0body".into()), Ok(None));
        assert_eq!(find_user(&BString::from(&b"\xff"[..])), Ok(None));
    }
}
