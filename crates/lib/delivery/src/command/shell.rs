//! When a command line needs a shell.

use bstr::{BString, ByteSlice};

/// The argument vectors by which local(8) runs a command line, one after the other: without a shell where
/// none is needed, but a shell may know a name that no program has.
pub fn shell_argv(command: &BString, shell: &str) -> Vec<Vec<BString>> {
    let words = |text: &[u8]| -> Vec<BString> {
        text.fields_with(|c| c == ' ' || c == '\t')
            .map(BString::from)
            .collect()
    };
    if !shell.is_empty() {
        let mut argv = words(shell.as_bytes());
        argv.push(command.clone());
        return vec![argv];
    }
    let through_shell = vec!["sh".into(), "-c".into(), command.clone()];
    let plain = |byte: &u8| byte.is_ascii_alphanumeric() || b"!@%-_=+:,./ \t".contains(byte);
    let argv = words(command);
    match argv.first() {
        Some(program) if command.iter().all(plain) => {
            if program.contains(&b'/') {
                vec![argv]
            } else {
                vec![argv, through_shell]
            }
        }
        _ => vec![through_shell],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shell_is_used_only_where_it_is_needed() {
        for (command, shell, want) in [
            ("/bin/prog a b", "", vec![vec!["/bin/prog", "a", "b"]]),
            (
                "/bin/prog \"a\"",
                "",
                vec![vec!["sh", "-c", "/bin/prog \"a\""]],
            ),
            (
                "exit 1",
                "",
                vec![vec!["exit", "1"], vec!["sh", "-c", "exit 1"]],
            ),
            (" ", "", vec![vec!["sh", "-c", " "]]),
            (
                "x y",
                "/bin/smrsh -c",
                vec![vec!["/bin/smrsh", "-c", "x y"]],
            ),
        ] {
            assert_eq!(shell_argv(&command.into(), shell), want, "{command:?}");
        }
    }
}
