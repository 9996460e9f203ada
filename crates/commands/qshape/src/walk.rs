//! The queue files below a directory.

use postern_queue_file::QueueId;
use postern_sys::error_text;
use std::fs;
use std::path::Path;

/// Queue directories are never nested deeper.
const DEEPEST: usize = 16;
/// Short queue IDs are at least this long.
const SHORTEST: usize = 6;

/// Hands every file that has the name of a queue file to `visit`, in no order. Problems are told on
/// stderr and passed over: files come and go while we look.
pub(crate) fn files(queue: &Path, visit: &mut dyn FnMut(&Path)) {
    if let Err(error) = fs::metadata(queue) {
        postern_command::complain!("Can't stat {}: {}", queue.display(), error_text(&error));
        return;
    }
    below(queue, 0, visit);
}

fn below(directory: &Path, depth: usize, visit: &mut dyn FnMut(&Path)) {
    let entries = match fs::read_dir(directory) {
        Ok(entries) => entries,
        Err(error) => {
            postern_command::complain!(
                "Can't opendir {}: {}",
                directory.display(),
                error_text(&error)
            );
            return;
        }
    };
    for entry in entries.flatten() {
        let Ok(kind) = entry.file_type() else {
            continue;
        };
        if kind.is_dir() && depth < DEEPEST {
            below(&entry.path(), depth + 1, visit);
        } else if kind.is_file() && entry.file_name().to_str().is_some_and(is_queue_id) {
            visit(&entry.path());
        }
    }
}

fn is_queue_id(name: &str) -> bool {
    let hex = |byte: u8| matches!(byte, b'0'..=b'9' | b'A'..=b'F');
    (name.len() >= SHORTEST && name.bytes().all(hex))
        || QueueId::parse(name).is_ok_and(|id| id.is_long())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_queue_files_are_visited_at_any_depth() {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir_all(dir.path().join("4/1")).unwrap();
        for name in [
            "0123456789A",
            "4/4Xyz2B1pV1zJbCd",
            "4/1/ABCDEF0",
            "zz",
            "AAAA1",
            "abcdef0",
            ".x",
        ] {
            fs::write(dir.path().join(name), "").unwrap();
        }
        let mut seen = Vec::new();
        files(dir.path(), &mut |path| {
            seen.push(path.file_name().unwrap().to_str().unwrap().to_owned());
        });
        seen.sort();
        assert_eq!(seen, ["0123456789A", "4Xyz2B1pV1zJbCd", "ABCDEF0"]);
    }
}
