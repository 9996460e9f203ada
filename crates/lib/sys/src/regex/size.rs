//! The groups of an expression, and how large it gets when the C library writes out its repetitions.

use super::bracket_end;

/// Nodes that repetitions may add to an expression: the time that the C library takes grows faster than
/// their number.
pub(super) const LIMIT: u64 = 30_000;
/// Repetitions of repetitions that may surround each other: the C library's time doubles with each.
const DEPTH: u32 = 6;
/// Nodes in loops of what may be empty, in an expression with an anchor or a word boundary. For each of those
/// the C library copies all that can be reached from it without a character, and again for the copies.
const HEAVY: u64 = 64;

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
                b'^' | b'$' if !escaped => tree.constraint(),
                b'b' | b'B' | b'<' | b'>' | b'`' | b'\'' if escaped => tree.constraint(),
                b'*' if !escaped => tree.repeat(Times::from(0)),
                b'+' if special => tree.repeat(Times::from(1)),
                b'?' if special => tree.repeat(Times::between(0, 1)),
                b'(' if special => tree.open(),
                b')' if special => tree.close(),
                b'|' if special => tree.alternative(),
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

/// How often something is repeated.
#[derive(Debug, Clone, Copy)]
struct Times {
    /// Copies that the C library makes.
    copies: u64,
    may_be_none: bool,
    is_endless: bool,
}

impl Times {
    fn from(least: u64) -> Self {
        Self {
            copies: least.saturating_add(1),
            may_be_none: least == 0,
            is_endless: true,
        }
    }

    fn between(least: u64, most: u64) -> Self {
        Self {
            copies: least.max(most).max(1),
            may_be_none: least == 0,
            is_endless: false,
        }
    }
}

/// What an interval asks for, and the bytes of it behind the brace.
fn interval(rest: &[u8], extended: bool) -> Option<(Times, usize)> {
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
        (Some(least), None) if most.is_empty() => Times::from(least),
        (None, Some(most)) if least.is_empty() => Times::between(0, most),
        (Some(least), Some(most)) => Times::between(least, most),
        _ => return None,
    };
    Some((times, end + 1))
}

/// A part of an expression.
#[derive(Debug, Clone, Copy, Default)]
struct Part {
    size: u64,
    /// Nested repetitions.
    depth: u32,
    /// What it matches may have no characters.
    may_be_empty: bool,
    has_loop: bool,
    has_constraint: bool,
    /// Nodes that count for [`HEAVY`].
    heavy: u64,
}

impl Part {
    const NOTHING: Self = Self {
        size: 0,
        depth: 0,
        may_be_empty: true,
        has_loop: false,
        has_constraint: false,
        heavy: 0,
    };

    fn repeated(self, times: Times) -> Self {
        let size = self.size.saturating_mul(times.copies).saturating_add(1);
        let is_heavy = self.may_be_empty
            && (times.is_endless && self.has_loop || times.copies > 1 && self.has_constraint);
        Self {
            size,
            depth: self.depth + 1,
            may_be_empty: self.may_be_empty || times.may_be_none,
            has_loop: self.has_loop || times.is_endless,
            has_constraint: self.has_constraint,
            heavy: if is_heavy {
                size
            } else {
                self.heavy.saturating_mul(times.copies)
            },
        }
    }

    /// This and another one, of which `may_be_empty` tells what both do.
    fn with(self, other: Self, may_be_empty: bool) -> Self {
        Self {
            size: self.size.saturating_add(other.size),
            depth: self.depth.max(other.depth),
            may_be_empty,
            has_loop: self.has_loop || other.has_loop,
            has_constraint: self.has_constraint || other.has_constraint,
            heavy: self.heavy.saturating_add(other.heavy),
        }
    }

    fn then(self, next: Self) -> Self {
        self.with(next, self.may_be_empty && next.may_be_empty)
    }

    fn or(self, other: Self) -> Self {
        self.with(other, self.may_be_empty || other.may_be_empty)
    }
}

/// A group that is being read.
#[derive(Debug, Clone, Copy)]
struct Group {
    /// The alternatives before the present one.
    others: Option<Part>,
    /// The present alternative but for its last part.
    before: Part,
    /// The last part, which an operator repeats.
    last: Part,
}

impl Group {
    const EMPTY: Self = Self {
        others: None,
        before: Part::NOTHING,
        last: Part::NOTHING,
    };

    fn add(&mut self, part: Part) {
        self.before = self.before.then(self.last);
        self.last = part;
    }

    fn whole(self) -> Part {
        let present = self.before.then(self.last);
        self.others.map_or(present, |others| others.or(present))
    }
}

struct Tree {
    outer: Vec<Group>,
    group: Group,
    groups: usize,
}

impl Default for Tree {
    fn default() -> Self {
        Self {
            outer: Vec::new(),
            group: Group::EMPTY,
            groups: 0,
        }
    }
}

impl Tree {
    fn atom(&mut self) {
        self.group.add(Part {
            size: 1,
            ..Part::default()
        });
    }
    fn constraint(&mut self) {
        self.group.add(Part {
            size: 1,
            may_be_empty: true,
            has_constraint: true,
            ..Part::default()
        });
    }
    fn alternative(&mut self) {
        let whole = self.group.whole();
        self.group = Group {
            others: Some(Part {
                size: whole.size.saturating_add(1),
                ..whole
            }),
            ..Group::EMPTY
        };
    }
    fn open(&mut self) {
        self.groups += 1;
        self.outer.push(self.group);
        self.group = Group::EMPTY;
    }
    fn close(&mut self) {
        let inside = self.group.whole();
        if let Some(outer) = self.outer.pop() {
            self.group = outer;
            self.group.add(Part {
                size: inside.size.saturating_add(1),
                ..inside
            });
        }
    }
    fn repeat(&mut self, times: Times) {
        self.group.last = self.group.last.repeated(times);
    }
    fn total(mut self) -> u64 {
        while !self.outer.is_empty() {
            self.close();
        }
        let whole = self.group.whole();
        let is_slow = whole.has_constraint && whole.heavy > HEAVY;
        if whole.depth > DEPTH || is_slow {
            return u64::MAX;
        }
        whole.size
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
            // Loops of what may be empty, without and with an anchor.
            (b"(.*)+++++", true, true),
            (b"^(.*)++++", true, true),
            (b"^(.*)+++++", true, false),
            (b"^((.*)+){50}", true, false),
            (b"(\\ba*)+++", true, true),
            (b"(\\ba*)++++", true, false),
            (b"(\\ba*|\\bb*|x)++++", true, false),
            (b"(\\ba*){100}", true, false),
            (b"^([a-z]*[.]?){1,40}@", true, true),
            (b"^(([a-z]+[.])*[a-z]+)+$", true, true),
            (b"^(((((a*)*b)*c)*d)*e)*$", true, true),
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
