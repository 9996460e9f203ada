//! Walks directory trees the way find(1) names what it sees.

use std::fs::{self, Metadata};
use std::os::unix::fs::MetadataExt;
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

/// As [`walk`], but what a symbolic link leads to stands for the link. A link that leads nowhere is
/// visited itself; one that leads back to a directory above it is left out.
pub(crate) fn walk_following(root: &Path, visit: &mut dyn FnMut(&Path, &Metadata)) {
    follow(root, &mut Vec::new(), visit);
}

fn follow(path: &Path, above: &mut Vec<(u64, u64)>, visit: &mut dyn FnMut(&Path, &Metadata)) {
    let Ok(metadata) = fs::metadata(path).or_else(|_| fs::symlink_metadata(path)) else {
        return;
    };
    let identity = (metadata.dev(), metadata.ino());
    if metadata.is_dir() && above.contains(&identity) {
        return;
    }
    visit(path, &metadata);
    if metadata.is_dir() && above.len() < MAX_DEPTH {
        above.push(identity);
        for child in children(path) {
            follow(&child, above, visit);
        }
        above.pop();
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

    fn names(start: &Path, walk: impl Fn(&Path, &mut dyn FnMut(&Path, &Metadata))) -> Vec<String> {
        let text = start.to_string_lossy().into_owned();
        let mut seen = Vec::new();
        walk(&dotted(&text), &mut |path, _| {
            seen.push(path.to_string_lossy()[text.len()..].to_string())
        });
        seen
    }

    #[test]
    fn names_keep_the_dot_of_the_start() {
        let directory = tempfile::tempdir().unwrap();
        fs::create_dir(directory.path().join("sub")).unwrap();
        fs::write(directory.path().join("sub/file"), "").unwrap();
        assert_eq!(
            names(directory.path(), walk),
            ["/.", "/./sub", "/./sub/file"]
        );
    }

    #[test]
    fn links_are_followed_on_request_and_never_in_circles() {
        let directory = tempfile::tempdir().unwrap();
        let path = |name: &str| directory.path().join(name);
        fs::create_dir(path("sub")).unwrap();
        fs::write(path("sub/file"), "").unwrap();
        std::os::unix::fs::symlink("sub", path("link")).unwrap();
        std::os::unix::fs::symlink("..", path("sub/up")).unwrap();
        std::os::unix::fs::symlink("nowhere", path("lost")).unwrap();
        assert_eq!(
            names(directory.path(), walk_following),
            [
                "/.",
                "/./link",
                "/./link/file",
                "/./lost",
                "/./sub",
                "/./sub/file"
            ]
        );
        assert_eq!(
            names(directory.path(), walk),
            [
                "/.",
                "/./link",
                "/./lost",
                "/./sub",
                "/./sub/file",
                "/./sub/up"
            ]
        );
    }
}
