//! The groups of an expression, and how large it gets when the C library writes out its repetitions.

use super::bracket_end;

/// Nodes that repetitions may add to an expression: the time that the C library takes grows faster than
/// their number.
pub(super) const LIMIT: u64 = 30_000;
/// Repetitions of repetitions that may surround each other: the C library's time doubles with each.
const DEPTH: u32 = 6;

/// What the text of an expression tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Extent {
    /// About how many nodes the C library makes: `x+` becomes `xx*`, `x{3}` becomes `xxx`, and what is
    /// repeated may hold repetitions, so that a few bytes can ask for all memory. Repetitions that are nested
    /// too deeply count as the largest number.
    pub(super) nodes: u64,
    /// Groups, when the pattern compiles; the binding hides `re_nsub`.
    pub(super) groups: usize,
}

impl Extent {
    pub(super) fn of(pattern: &[u8], extended: bool) -> Self {
        let mut tree = Tree::default();
        let mut at = 0;
        while let Some(&byte) = pattern.get(at) {
            let escaped = byte == b'\\';
            let symbol = if escaped {
                at += 1;
                pattern.get(at).copied().unwrap_or_default()
            } else {
                byte
            };
            // In a basic expression the backslash makes these signs special, in an extended one ordinary.
            let special = escaped != extended;
            match symbol {
                b'[' if !escaped => {
                    at = bracket_end(pattern, at);
                    tree.atom();
                }
                b'*' if !escaped => tree.repeat(1),
                b'+' if special => tree.repeat(2),
                b'?' if special => tree.repeat(1),
                b'(' if special => tree.open(),
                b')' if special => tree.close(),
                b'{' if special => {
                    match interval(pattern.get(at + 1..).unwrap_or_default(), extended) {
                        Some((times, length)) => {
                            tree.repeat(times);
                            at += length;
                        }
                        None => tree.atom(),
                    }
                }
                _ => tree.atom(),
            }
            at += 1;
        }
        let groups = tree.groups;
        Self {
            nodes: tree.total(),
            groups,
        }
    }
}

/// Copies that an interval asks for, and the bytes of it behind the brace.
fn interval(rest: &[u8], extended: bool) -> Option<(u64, usize)> {
    let end = rest.iter().position(|&byte| byte == b'}')?;
    let inside = std::str::from_utf8(rest.get(..end)?).ok()?;
    let inside = if extended {
        inside
    } else {
        inside.strip_suffix('\\')?
    };
    let (least, most) = inside.split_once(',').unwrap_or((inside, inside));
    let number = |text: &str| text.parse::<u64>().ok();
    let times = match (number(least), number(most)) {
        (Some(least), None) if most.is_empty() => least.saturating_add(1),
        (None, Some(most)) if least.is_empty() => most,
        (Some(least), Some(most)) => least.max(most),
        _ => return None,
    };
    Some((times.max(1), end + 1))
}

#[derive(Default)]
struct Tree {
    /// Sizes and depths of the groups around the present one.
    outer: Vec<(u64, u32)>,
    /// Size of the present group so far.
    size: u64,
    /// Size of the last part, which an operator repeats.
    last: u64,
    /// Nested repetitions in the present group, and in its last part.
    depth: u32,
    last_depth: u32,
    groups: usize,
}

impl Tree {
    fn add(&mut self, size: u64) {
        self.size = self.size.saturating_add(size);
        self.last = size;
    }
    fn atom(&mut self) {
        self.add(1);
        self.last_depth = 0;
    }
    fn open(&mut self) {
        self.groups += 1;
        self.outer.push((self.size, self.depth));
        (self.size, self.last) = (0, 0);
        (self.depth, self.last_depth) = (0, 0);
    }
    fn close(&mut self) {
        let group = (self.size, self.depth);
        if let Some((size, depth)) = self.outer.pop() {
            self.size = size;
            self.add(group.0.saturating_add(1));
            self.last_depth = group.1;
            self.depth = depth.max(group.1);
        }
    }
    fn repeat(&mut self, times: u64) {
        let before = self.size - self.last;
        self.last = self.last.saturating_mul(times).saturating_add(1);
        self.size = before.saturating_add(self.last);
        self.last_depth += 1;
        self.depth = self.depth.max(self.last_depth);
    }
    fn total(mut self) -> u64 {
        while !self.outer.is_empty() {
            self.close();
        }
        if self.depth > DEPTH {
            return u64::MAX;
        }
        self.size
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn repetitions_of_repetitions_multiply() {
        for (pattern, extended, small) in [
            (&b"^(a|b)+[+]{2,5}x*\\+\\+\\+$"[..], true, true),
            (b"+++++++++++++++++++++++++++++++++++++++", false, true),
            (b"[++++++++++++++++++++++++++++++++++]", true, true),
            (b"(abcdefgh){1,255}", true, true),
            (b"a{literal}{}{", true, true),
            (b"a++++++++++++++++++++++++++++++", true, false),
            (
                b"(((((((((((((((((((a+)+)+)+)+)+)+)+)+)+)+)+)+)+)+)+)+)+)+",
                true,
                false,
            ),
            (b"((a{200}){200}){200}", true, false),
            (b"\\(\\(a\\{200\\}\\)\\{200,\\}\\)\\{,200\\}", false, false),
            (b"^(a*****************************|b)+(.*)$", true, false),
            (b"((((a*)*)*)*b)*c*(d?)+", true, true),
            (b"^\x08|pb .+++++++++++_+*++++++++++\x08", true, false),
            (b"a{99999999999999999999}", true, true),
            (b"a{99999999999999}", true, false),
        ] {
            let size = Extent::of(pattern, extended).nodes;
            assert_eq!(size <= LIMIT, small, "{}: {size}", pattern.escape_ascii());
        }
    }
}
