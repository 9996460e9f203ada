//! The name that somebody probably meant: for diagnostics on a terminal, never for a log that
//! programs read.

/// Names this much longer than the word cannot be meant by it.
const LONGEST: usize = 80;

/// The candidate that is nearest to `word`, when it is near enough to be a misspelling: about one
/// wrong, missing, additional or swapped character in four, at most three. Of equally near ones
/// the first in byte order, so that the answer never depends on the order of `candidates`.
#[must_use]
pub fn nearest<'c>(word: &str, candidates: impl IntoIterator<Item = &'c str>) -> Option<&'c str> {
    if word.is_empty() || word.len() > LONGEST {
        return None;
    }
    let limit = (word.len() / 4).clamp(1, 3);
    candidates
        .into_iter()
        .filter(|candidate| candidate.len().abs_diff(word.len()) <= limit && *candidate != word)
        .map(|candidate| (distance(word.as_bytes(), candidate.as_bytes()), candidate))
        .filter(|(distance, _)| *distance <= limit)
        .min()
        .map(|(_, candidate)| candidate)
}

/// How many characters differ, counting a swap of neighbours once (optimal string alignment).
/// Upper and lower case count as the same.
fn distance(left: &[u8], right: &[u8]) -> usize {
    let mut before_last: Vec<usize> = Vec::new();
    let mut last: Vec<usize> = (0..=right.len()).collect();
    for (row, a) in left.iter().enumerate() {
        let mut next = vec![row + 1];
        for (column, b) in right.iter().enumerate() {
            let is_same = a.eq_ignore_ascii_case(b);
            let mut best = (last[column] + usize::from(!is_same))
                .min(last[column + 1] + 1)
                .min(next[column] + 1);
            if row > 0
                && column > 0
                && a.eq_ignore_ascii_case(&right[column - 1])
                && left[row - 1].eq_ignore_ascii_case(b)
            {
                best = best.min(before_last[column - 1] + 1);
            }
            next.push(best);
        }
        before_last = std::mem::replace(&mut last, next);
    }
    last.last().copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::params;

    #[test]
    fn misspelt_parameters_find_the_meant_one() {
        let rows = [
            (
                "smtpd_recipient_restriction",
                Some("smtpd_recipient_restrictions"),
            ),
            (
                "smtpd_recipeint_restrictions",
                Some("smtpd_recipient_restrictions"),
            ),
            ("mydestinaton", Some("mydestination")),
            ("MyDestination", Some("mydestination")),
            ("relay_host", Some("relayhost")),
            ("virtual_alias_map", Some("virtual_alias_maps")),
            ("foo", None),
            ("submission_client_restrictions", None),
            ("", None),
        ];
        for (word, want) in rows {
            let names = params::ALL.iter().map(|info| info.name);
            assert_eq!(nearest(word, names), want, "{word}");
        }
    }

    #[test]
    fn the_nearest_of_several_wins_whatever_their_order() {
        assert_eq!(nearest("hask", ["bash", "hash", "mask"]), Some("hash"));
        assert_eq!(nearest("hask", ["mask", "hash", "bash"]), Some("hash"));
        assert_eq!(nearest("hash", ["hash"]), None);
    }
}
