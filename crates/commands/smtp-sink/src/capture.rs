//! Mail transactions in files, one each (`-d`) or all in one (`-D`).

use postern_sys::lock::{self, LockMode, LockStyle};
use postern_sys::{clock, error_text};
use std::fs::{self, File, OpenOptions};
use std::io::{self, BufWriter, Seek, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

/// Where transactions are kept. File names are expanded as strftime(3) does.
#[derive(Debug, Default)]
pub(crate) enum Dump {
    /// Nowhere.
    #[default]
    None,
    /// Each in a file whose name gets a random end.
    Single(String),
    /// All appended to one file.
    Multi(String),
}

/// One transaction that is being kept. Dropping it before [`Capture::commit`] leaves nothing.
#[derive(Debug)]
pub(crate) struct Capture {
    file: BufWriter<File>,
    path: PathBuf,
    /// The file to append to at the end.
    target: Option<PathBuf>,
    committed: bool,
    /// The random part of names and of the Received: header.
    pub(crate) id: String,
}

impl Capture {
    /// Starts to keep a transaction; `None` when nothing is kept. The error is the text after
    /// `fatal: `.
    pub(crate) fn start(dump: &Dump, random: u32) -> Result<Option<Self>, String> {
        let (template, many) = match dump {
            Dump::None => return Ok(None),
            Dump::Single(template) => (template, false),
            Dump::Multi(template) => (template, true),
        };
        let id = format!("{random:08x}");
        let name = clock::local_now().format(template);
        make_directories(Path::new(&name))?;
        let path = PathBuf::from(format!("{name}{id}"));
        let mut options = OpenOptions::new();
        options.read(many).write(true).create_new(true).mode(0o644);
        let file = options
            .open(&path)
            .map_err(|error| format!("open {}: {}", path.display(), error_text(&error)))?;
        Ok(Some(Self {
            file: BufWriter::new(file),
            path,
            target: many.then(|| name.into()),
            committed: false,
            id,
        }))
    }

    /// Adds text. The error is the text after `fatal: `.
    pub(crate) fn write(&mut self, parts: &[&[u8]]) -> Result<(), String> {
        parts
            .iter()
            .try_for_each(|part| self.file.write_all(part))
            .map_err(|error| format!("write {}: {}", self.path.display(), error_text(&error)))
    }

    /// The transaction is complete. The error is the text after `fatal: `.
    pub(crate) fn commit(mut self) -> Result<(), String> {
        let done = self.file.flush().and_then(|()| match &self.target {
            Some(target) => append(self.file.get_mut(), target),
            None => Ok(()),
        });
        done.map_err(|error| format!("write {}: {}", self.path.display(), error_text(&error)))?;
        // The file of a shared dump was only there to collect the transaction.
        self.committed = self.target.is_none();
        Ok(())
    }
}

impl Drop for Capture {
    fn drop(&mut self) {
        if !self.committed {
            let _ = fs::remove_file(&self.path);
        }
    }
}

fn append(from: &mut File, target: &Path) -> io::Result<()> {
    let mut to = OpenOptions::new()
        .append(true)
        .create(true)
        .mode(0o644)
        .open(target)?;
    // Others may append to the same file.
    lock::lock(&to, LockStyle::Flock, LockMode::Exclusive)?;
    from.rewind()?;
    io::copy(from, &mut to)?;
    Ok(())
}

fn make_directories(path: &Path) -> Result<(), String> {
    let Some(parent) = path
        .parent()
        .filter(|parent| !parent.as_os_str().is_empty())
    else {
        return Ok(());
    };
    let missing: Vec<&Path> = parent.ancestors().take_while(|dir| !dir.exists()).collect();
    for directory in missing.into_iter().rev() {
        match fs::create_dir(directory) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => {
                return Err(format!(
                    "mkdir {}: {}",
                    directory.display(),
                    error_text(&error)
                ));
            }
            _ => {}
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_complete_transactions_stay() {
        let dir = tempfile::tempdir().unwrap();
        let many = dir.path().join("a/b/many").to_str().unwrap().to_owned();
        let dump = Dump::Multi(many.clone());
        for (random, text, complete) in [
            (1, "one\n", true),
            (2, "two\n", false),
            (3, "three\n", true),
        ] {
            let mut capture = Capture::start(&dump, random).unwrap().unwrap();
            capture.write(&[text.as_bytes()]).unwrap();
            if complete {
                capture.commit().unwrap();
            }
        }
        assert_eq!(fs::read_to_string(&many).unwrap(), "one\nthree\n");
        assert_eq!(fs::read_dir(dir.path().join("a/b")).unwrap().count(), 1);
        let single = Dump::Single(dir.path().join("one.").to_str().unwrap().to_owned());
        let capture = Capture::start(&single, 0xabc).unwrap().unwrap();
        capture.commit().unwrap();
        assert!(dir.path().join("one.00000abc").exists());
    }
}
