//! Help for a person at a terminal, where scripts see the reference's texts only.

use std::io::IsTerminal;

use postern_config::suggest;

/// Tells on a terminal which of `candidates` was probably meant by `word`.
pub fn hint<'c>(program: &str, word: &str, candidates: impl IntoIterator<Item = &'c str>) {
    if std::io::stderr().is_terminal()
        && let Some(meant) = suggest::nearest(word, candidates)
    {
        crate::complain!("{program}: note: did you mean \"{meant}\"?");
    }
}
