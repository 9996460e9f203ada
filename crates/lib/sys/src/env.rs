//! Changing the environment of the process.
//!
//! Setting variables is unsound only while another thread reads the environment. Programs call
//! these functions during start-up, before any thread exists.

use std::ffi::{OsStr, OsString};

/// Sets a variable. Call only while the process has one thread.
pub fn set_env(name: impl AsRef<OsStr>, value: impl AsRef<OsStr>) {
    if std::env::var_os(&name).as_deref() == Some(value.as_ref()) {
        return;
    }
    // SAFETY: programs change their environment during start-up only, with a single thread.
    unsafe { std::env::set_var(name, value) }
}

/// Removes a variable. Call only while the process has one thread.
pub fn remove_env(name: impl AsRef<OsStr>) {
    // SAFETY: as in `set_env`.
    unsafe { std::env::remove_var(name) }
}

/// Reduces the environment to `keep`: a plain name is kept when it exists and the process is not
/// set-uid or set-gid, `NAME=value` is set. Call only while the process has one thread.
pub fn clean_env<S: AsRef<str>>(keep: impl IntoIterator<Item = S>) {
    let wanted = filtered(
        keep,
        &|name| std::env::var_os(name),
        crate::user::is_set_id(),
    );
    for (name, _) in std::env::vars_os() {
        remove_env(name);
    }
    for (name, value) in wanted {
        set_env(name, value);
    }
}

/// Applies only the `NAME=value` items of a list such as `import_environment`.
pub fn update_env<S: AsRef<str>>(items: impl IntoIterator<Item = S>) {
    for item in items {
        if let Some((name, value)) = item.as_ref().split_once('=') {
            set_env(name, value);
        }
    }
}

fn filtered<S: AsRef<str>>(
    keep: impl IntoIterator<Item = S>,
    old: &dyn Fn(&str) -> Option<OsString>,
    set_id: bool,
) -> Vec<(String, OsString)> {
    let mut wanted = Vec::new();
    for item in keep {
        match item.as_ref().split_once('=') {
            Some((name, value)) => wanted.push((name.to_owned(), value.into())),
            None if set_id => {}
            None => {
                wanted.extend(old(item.as_ref()).map(|value| (item.as_ref().to_owned(), value)))
            }
        }
    }
    wanted
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn environment_list_keeps_names_and_sets_values() {
        let old = |name: &str| (name == "TZ").then(|| OsString::from("UTC"));
        let got = filtered(["MAIL_CONFIG", "TZ", "LANG=C"], &old, false);
        assert_eq!(
            got,
            [
                ("TZ".to_owned(), "UTC".into()),
                ("LANG".to_owned(), "C".into())
            ]
        );
        let got = filtered(["TZ", "LANG=C"], &old, true);
        assert_eq!(got, [("LANG".to_owned(), OsString::from("C"))]);
    }
}
