//! Walks directory trees the way find(1) names what it sees.

use std::fs::{self, Metadata};
use std::path::{Path, PathBuf};

/// Trees deeper than this are not ours.
const MAX_DEPTH: usize = 32;

/// Calls `visit` for `root` and everything below it, without following symbolic links. What cannot be
/// read is left out.
pub(crate) fn walk(root: &Path, visit: &mut dyn FnMut(&Path, &Metadata)) {
    let mut open = vec![(root.to_path_buf(), 0)];
    while let Some((path, depth)) = open.pop() {
        let Ok(metadata) = fs::symlink_metadata(&path) else {
            continue;
        };
        visit(&path, &metadata);
        if metadata.is_dir() && depth < MAX_DEPTH {
            open.extend(
                children(&path)
                    .into_iter()
                    .rev()
                    .map(|child| (child, depth + 1)),
            );
        }
    }
}

/// The entries of a directory, sorted; below `DIR/.` they are `DIR/./NAME`.
fn children(path: &Path) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(path) else {
        return Vec::new();
    };
    let mut found: Vec<PathBuf> = entries
        .filter_map(Result::ok)
        .map(|entry| {
            let mut child = path.as_os_str().to_os_string();
            child.push("/");
            child.push(entry.file_name());
            PathBuf::from(child)
        })
        .collect();
    found.sort();
    found
}

/// `DIR/.`, as a starting point that keeps its dot.
pub(crate) fn dotted(directory: &str) -> PathBuf {
    PathBuf::from(format!("{directory}/."))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_keep_the_dot_of_the_start() {
        let directory = tempfile::tempdir().unwrap();
        fs::create_dir(directory.path().join("sub")).unwrap();
        fs::write(directory.path().join("sub/file"), "").unwrap();
        let mut seen = Vec::new();
        let start = directory.path().to_string_lossy().into_owned();
        walk(&dotted(&start), &mut |path, _| {
            seen.push(path.to_string_lossy()[start.len()..].to_string())
        });
        assert_eq!(seen, ["/.", "/./sub", "/./sub/file"]);
    }
}
