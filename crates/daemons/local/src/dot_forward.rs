//! `.forward` files (delivery.md §3.4).

use std::fs::{self, File};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use bstr::BString;
use postern_config::words::words;
use postern_delivery::Outcome;
use postern_sys::error_text;

use crate::expand::path_of;
use crate::include::{self, WORLD_WRITABLE};
use crate::job::{Job, configuration_error, dsn};
use crate::macros::Macros;
use crate::mail::{LEVEL_STEP, Mail, Source};
use crate::rights::Rights;

/// What became of a `.forward` file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Visit {
    /// Being read: the user's own name in it means the mailbox.
    Open,
    /// Read, with this many members.
    Done(usize),
}

/// A candidate of `forward_path` that exists.
struct Choice {
    path: PathBuf,
    has_extension: bool,
}

/// Delivers as the user's `.forward` file says; `None` when the mailbox is meant.
pub(crate) fn deliver(job: &mut Job<'_>, mail: &Mail, rights: &Rights) -> Option<Outcome> {
    if job.local.settings.forward_path.is_empty() {
        return None;
    }
    if let Err(failure) = job.check_rights(rights) {
        return Some(job.fail(mail, &failure));
    }
    let choice = match find(job, mail, rights) {
        Ok(choice) => choice?,
        Err(error) => {
            log::warn!(
                "cannot act for user {}: {}",
                mail.parts.user,
                error_text(&error)
            );
            return Some(job.fail(mail, &configuration_error("4.3.5")));
        }
    };
    match job.visits.get(&choice.path) {
        Some(Visit::Open | Visit::Done(0)) => return None,
        Some(Visit::Done(_)) => return Some(Outcome::Done),
        None => {}
    }
    let file = open(job, rights, &choice.path)?;
    if job.is_probe() {
        let reason = format!("forward via file: {}", choice.path.display());
        return Some(job.sent(mail, &dsn("2.0.0", reason)));
    }
    expand_file(job, mail, rights, &choice, file)
}

/// The first path that exists as far as the user can see.
fn find(job: &Job<'_>, mail: &Mail, rights: &Rights) -> std::io::Result<Option<Choice>> {
    let settings = &job.local.settings;
    let macros = Macros {
        mail,
        rights: Some(rights),
        delimiters: &settings.extensions.delimiters,
        filter: Some(&settings.forward_filter),
    };
    for template in words(&settings.forward_path) {
        let Some(expanded) = macros.expand(template) else {
            continue;
        };
        if expanded.is_undefined {
            continue;
        }
        let path = path_of(&expanded.text);
        let exists =
            rights.exercise(settings.privileged, || fs::symlink_metadata(&path).is_ok())?;
        if exists {
            return Ok(Some(Choice {
                path,
                has_extension: expanded.has_extension,
            }));
        }
    }
    Ok(None)
}

/// Opens the file, unless somebody else could have written it.
fn open(job: &Job<'_>, rights: &Rights, path: &Path) -> Option<File> {
    let checked = rights.exercise(job.local.settings.privileged, || {
        check_and_open(rights, path)
    });
    let result = checked.unwrap_or_else(|error| {
        Err(format!(
            "cannot open file {}: {}",
            path.display(),
            error_text(&error)
        ))
    });
    result.map_err(|text| log::warn!("{text}")).ok()
}

fn check_and_open(rights: &Rights, path: &Path) -> Result<File, String> {
    let shown = path.display();
    // A link is no regular file: it could lead to a file that somebody else controls.
    let status = fs::symlink_metadata(path)
        .ok()
        .filter(fs::Metadata::is_file);
    let status = status.ok_or_else(|| format!("file {shown} is not a regular file"))?;
    if status.uid() != 0 && status.uid() != rights.uid {
        return Err(format!("file {shown} has bad owner uid {}", status.uid()));
    }
    if status.mode() & WORLD_WRITABLE != 0 {
        return Err(format!("file {shown} is world writable"));
    }
    include::open_for_reading(path)
        .map_err(|error| format!("cannot open file {shown}: {}", error_text(&error)))
}

fn expand_file(
    job: &mut Job<'_>,
    mail: &Mail,
    rights: &Rights,
    choice: &Choice,
    file: File,
) -> Option<Outcome> {
    let mut inner = mail.clone();
    if choice.has_extension || !job.local.settings.propagate.allows(Source::Forward) {
        inner.unmatched = None;
    }
    inner.expanded_from = Some(mail.parts.local.clone());
    inner.owner = Some(BString::from(mail.parts.user.as_slice()));
    inner.source = Source::Forward;
    inner.level += LEVEL_STEP;
    inner.without_success_report();
    job.visits.insert(choice.path.clone(), Visit::Open);
    let result = include::lines(job, &inner, rights, file);
    let (outcome, count) = match result {
        Ok(done) => done,
        Err(error) => {
            log::warn!("read {}: {}", choice.path.display(), error_text(&error));
            return Some(job.fail(mail, &configuration_error("4.3.5")));
        }
    };
    job.visits.insert(choice.path.clone(), Visit::Done(count));
    if count == 0 {
        return None;
    }
    if mail.wants_success_report() {
        job.trace_expansion(mail, "expanded");
    }
    Some(outcome)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn files_that_others_could_have_written_are_ignored() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join(".forward");
        let own = postern_sys::user::euid();
        let rights = |uid| Rights {
            uid,
            gid: 1,
            home: None,
            shell: None,
        };
        let text = |uid: u32| {
            check_and_open(&rights(uid), &path)
                .map(|_| ())
                .map_err(|text| text.replace(&path.display().to_string(), "F"))
        };
        assert_eq!(text(own), Err("file F is not a regular file".to_owned()));
        fs::write(&path, "bob\n").expect("a file");
        assert_eq!(text(own), Ok(()));
        if own != 0 {
            assert_eq!(
                text(own + 1),
                Err(format!("file F has bad owner uid {own}"))
            );
        }
        fs::set_permissions(&path, fs::Permissions::from_mode(0o666)).expect("our file");
        assert_eq!(text(own), Err("file F is world writable".to_owned()));
    }
}
