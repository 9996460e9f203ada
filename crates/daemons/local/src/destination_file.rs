//! `/file` and `/maildir/` members of aliases and `.forward` files (delivery.md §3.3).

use std::os::unix::fs::MetadataExt;
use std::path::Path;

use bstr::BString;
use postern_delivery::Outcome;
use postern_delivery::copy::CopyOptions;
use postern_delivery::mbox::{Mbox, MboxError};
use postern_ipc::deliver::Dsn;
use postern_sys::{error_text, user};

use crate::expand::path_of;
use crate::job::{Failure, Job, configuration_error, dsn};
use crate::mail::Mail;
use crate::mailbox::{self, DEFAULT_STATUS};
use crate::rights::Rights;

/// Permission for anybody to execute.
const EXECUTABLE: u32 = 0o111;

/// Delivers to a file or maildir, if files may be named where this one is.
pub(crate) fn deliver(job: &mut Job<'_>, mail: &Mail, rights: &Rights, name: &BString) -> Outcome {
    let path = path_of(name);
    if !job.is_first(
        "file",
        [format!("{} ", rights.uid).as_bytes(), name].concat(),
    ) {
        return Outcome::Done;
    }
    if !job.local.settings.files.allows(mail.source) {
        return job.fail(mail, &dsn("5.7.1", "mail to file is restricted"));
    }
    if job.is_trace_only() {
        let reason = [b"delivers to file: ".as_slice(), name].concat();
        return job.sent(mail, &dsn("2.0.0", reason));
    }
    let acting = job.acting_rights(rights);
    if let Err(failure) = job.check_rights(&acting) {
        return job.fail(mail, &failure);
    }
    if name.ends_with(b"/") {
        return mailbox::deliver_maildir(job, mail, &acting, &path);
    }
    let appended = user::as_user(acting.uid, acting.gid, || append(job, mail, &path));
    match appended {
        Ok(Ok(())) => {
            let reason = [b"delivered to file: ".as_slice(), name].concat();
            job.sent(mail, &dsn("2.0.0", reason))
        }
        Ok(Err(failure)) => {
            let reason = [
                b"cannot append message to file ".as_slice(),
                name,
                b": ",
                &failure.reason,
            ]
            .concat();
            job.fail_to_owner(
                mail,
                &Dsn {
                    reason: reason.into(),
                    ..*failure
                },
            )
        }
        Err(error) => {
            log::warn!(
                "cannot become user ID {} for {}: {}",
                acting.uid,
                path.display(),
                error_text(&error)
            );
            job.fail(mail, &configuration_error("4.3.5"))
        }
    }
}

fn append(job: &Job<'_>, mail: &Mail, path: &Path) -> Result<(), Failure> {
    let settings = &job.local.settings;
    let failed = |error: MboxError| dsn(error.status(DEFAULT_STATUS), error.to_string());
    let mbox = Mbox::open(path, &settings.locks, false).map_err(failed)?;
    let status = mbox
        .metadata()
        .map_err(|error| dsn("4.3.0", error_text(&error)))?;
    if status.is_file() && status.mode() & EXECUTABLE != 0 {
        return Err(dsn("5.7.1", "file is executable"));
    }
    let options = CopyOptions {
        sender: Some(mail.sender.clone()),
        ..CopyOptions::mbox(mailbox::delivered_to(job, mail), settings.original_to)
    };
    mbox.append(job.delivery, &mail.recipient, &options, settings.size_limit)
        .map(|_| ())
        .map_err(failed)
}
