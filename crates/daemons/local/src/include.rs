//! `:include:` files (delivery.md §3.3).

use std::fs::{self, File, Metadata};
use std::io::{self, BufReader, Read};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::Path;

use bstr::{BString, ByteSlice};
use postern_delivery::Outcome;
use postern_sys::{error_text, user};

use crate::expand::{self, path_of};
use crate::job::{Failure, Job, configuration_error};
use crate::mail::{LEVEL_STEP, Mail, Source};
use crate::rights::Rights;

/// Permission for everybody to write.
pub(crate) const WORLD_WRITABLE: u32 = 0o002;

/// Delivers to the members that the file names.
pub(crate) fn deliver(job: &mut Job<'_>, mail: &Mail, rights: &Rights, name: &BString) -> Outcome {
    if !name.starts_with(b"/") {
        log::warn!(":include:{name} uses a relative path");
        return job.fail(mail, &configuration_error("5.3.5"));
    }
    if !job.is_first(
        "include",
        [format!("{} ", rights.uid).as_bytes(), name].concat(),
    ) {
        return Outcome::Done;
    }
    let path = path_of(name);
    let (file, inner_rights) = match open(job, rights, &path) {
        Ok(opened) => opened,
        Err(failure) => return job.fail(mail, &failure),
    };
    let mut inner = mail.clone();
    if !job.local.settings.propagate.allows(Source::Include) {
        inner.unmatched = None;
    }
    inner.source = Source::Include;
    inner.level += LEVEL_STEP;
    inner
        .owner
        .get_or_insert_with(|| mail.recipient.recipient.clone());
    match lines(job, &inner, &inner_rights, file) {
        Ok((outcome, _)) => outcome,
        Err(error) => {
            log::warn!("read {}: {}", path.display(), error_text(&error));
            job.fail(mail, &configuration_error("4.3.5"))
        }
    }
}

/// Opens the file with `rights`; returns it with the rights of its members.
fn open(job: &Job<'_>, rights: &Rights, path: &Path) -> Result<(File, Rights), Failure> {
    job_may_read(job, rights)?;
    let opened = rights.exercise(job.local.settings.privileged, || check_and_open(path));
    let (file, status) = opened.map_err(|error| {
        log::warn!(
            "cannot read {} with user ID {}: {}",
            path.display(),
            rights.uid,
            error_text(&error)
        );
        configuration_error("4.3.5")
    })??;
    if rights.uid != 0 || status.uid() == 0 {
        return Ok((file, rights.clone()));
    }
    // root may read anything, but the file's owner decides what it says.
    let owner = user::user_by_uid(status.uid()).map_err(|error| {
        log::warn!(
            "error looking up passwd info for uid {}: {}",
            status.uid(),
            error_text(&error)
        );
        configuration_error("4.3.5")
    })?;
    match owner {
        Some(owner) => Ok((file, Rights::of(&owner))),
        None => {
            log::warn!("cannot find username for uid {}", status.uid());
            log::warn!(
                "{}: cannot find :include: file owner username",
                path.display()
            );
            Err(configuration_error("4.3.5"))
        }
    }
}

fn job_may_read(job: &Job<'_>, rights: &Rights) -> Result<(), Failure> {
    if rights.uid == 0 {
        Ok(())
    } else {
        job.check_rights(rights)
    }
}

fn check_and_open(path: &Path) -> Result<(File, Metadata), Failure> {
    let shown = path.display();
    let refused = |text: String| {
        log::warn!("{text}");
        configuration_error("5.3.5")
    };
    let status = fs::metadata(path).map_err(|error| {
        log::warn!(
            "unable to lookup :include: file {shown}: {}",
            error_text(&error)
        );
        configuration_error(missing_status(&error))
    })?;
    if !status.is_file() {
        return Err(refused(format!(
            ":include: file {shown} is not a regular file"
        )));
    }
    if status.mode() & WORLD_WRITABLE != 0 {
        return Err(refused(format!(":include: file {shown} is world writable")));
    }
    let opened =
        open_for_reading(path).and_then(|file| file.metadata().map(|status| (file, status)));
    let (file, status) = opened.map_err(|error| {
        log::warn!("cannot open include file {shown}: {}", error_text(&error));
        configuration_error(missing_status(&error))
    })?;
    Ok((file, status))
}

/// A file that is not there or closed to the reader is the list's mistake; a disk that fails is not.
fn missing_status(error: &io::Error) -> &'static str {
    match postern_delivery::mail_status(error, "5.3.5") {
        "5.3.5" => "5.3.5",
        _ => "4.3.5",
    }
}

/// Opens a file that may have become something else since it was looked at.
pub(crate) fn open_for_reading(path: &Path) -> io::Result<File> {
    const O_NONBLOCK: i32 = postern_sys::nix::fcntl::OFlag::O_NONBLOCK.bits();
    File::options()
        .read(true)
        .custom_flags(O_NONBLOCK)
        .open(path)
}

/// Delivers to the members on each line, up to a line with a member that is deferred. Returns how
/// many members there were.
///
/// # Errors
///
/// The file cannot be read.
pub(crate) fn lines(
    job: &mut Job<'_>,
    mail: &Mail,
    rights: &Rights,
    file: impl Read,
) -> io::Result<(Outcome, usize)> {
    let mut input = BufReader::new(file);
    let mut total = 0;
    while let Some(line) = read_line(&mut input, job.local.settings.line_limit)? {
        if line.starts_with(b"#") {
            continue;
        }
        let (outcome, count) = expand::list(job, mail, rights, line.as_bstr());
        total += count;
        if outcome == Outcome::Deferred {
            return Ok((outcome, total));
        }
    }
    Ok((Outcome::Done, total))
}

/// The next line, or its first `limit` bytes; the rest is then the next line. Its end is a blank: nothing
/// between addresses, but a part of a quoted string that the line leaves open.
fn read_line(input: &mut impl io::BufRead, limit: usize) -> io::Result<Option<BString>> {
    let mut line = Vec::new();
    let mut limited = input.take(u64::try_from(limit).unwrap_or(u64::MAX));
    if io::BufRead::read_until(&mut limited, b'\n', &mut line)? == 0 {
        return Ok(None);
    }
    if let Some(last) = line.last_mut().filter(|last| **last == b'\n') {
        *last = b' ';
    }
    Ok(Some(line.into()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_cut_at_the_limit() {
        let mut input: &[u8] = b"one\n\nthree four\nlast";
        let mut found = Vec::new();
        while let Some(line) = read_line(&mut input, 6).expect("memory can be read") {
            found.push(line.to_string());
        }
        assert_eq!(found, ["one ", " ", "three ", "four ", "last"]);
    }

    #[test]
    fn files_that_others_can_write_or_that_are_none_are_refused() {
        use std::os::unix::fs::PermissionsExt;
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("list");
        let status = |path: &Path| check_and_open(path).map(|_| ()).map_err(|dsn| dsn.status);
        assert_eq!(status(&path), Err("5.3.5".into()));
        fs::write(&path, "bob\n").expect("a file");
        assert_eq!(status(&path), Ok(()));
        fs::set_permissions(&path, fs::Permissions::from_mode(0o666)).expect("our file");
        assert_eq!(status(&path), Err("5.3.5".into()));
        assert_eq!(status(directory.path()), Err("5.3.5".into()));
    }
}
