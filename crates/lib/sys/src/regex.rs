//! POSIX regular expressions of the C library (`regcomp`, `regexec`).

mod size;

use std::ffi::{CStr, CString};
use std::mem::MaybeUninit;
use std::ptr;

use size::Extent;

/// Compile options; the default is a basic, case-sensitive expression.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Options {
    /// `REG_EXTENDED`.
    pub extended: bool,
    /// `REG_ICASE`.
    pub ignore_case: bool,
    /// `REG_NEWLINE`.
    pub newline: bool,
    /// `REG_NOSUB`: the caller wants no groups.
    pub no_groups: bool,
}

/// A compiled expression.
pub struct Regex {
    // Boxed: the C library may keep pointers into the structure.
    inner: Box<libc::regex_t>,
    groups: usize,
}

// SAFETY: a compiled expression is not bound to the thread that compiled it; glibc guards the
// matcher's caches with a lock inside the structure, and `&self` methods only call `regexec`,
// which POSIX requires to be thread-safe.
unsafe impl Send for Regex {}

impl Regex {
    /// Compiles `pattern`; the error is the text of `regerror`.
    ///
    /// # Errors
    ///
    /// The C library's reason why the pattern was refused; also its "no memory" for one that would take too
    /// much.
    pub fn new(pattern: &CStr, options: Options) -> Result<Self, String> {
        let written = u64::try_from(pattern.count_bytes()).unwrap_or(u64::MAX);
        let extent = Extent::of(pattern.to_bytes(), options.extended);
        if extent.nodes > written.saturating_add(size::LIMIT) {
            return Err("Memory exhausted".to_owned());
        }
        let mut flags = 0;
        for (wanted, bit) in [
            (options.extended, libc::REG_EXTENDED),
            (options.ignore_case, libc::REG_ICASE),
            (options.newline, libc::REG_NEWLINE),
            (options.no_groups, libc::REG_NOSUB),
        ] {
            if wanted {
                flags |= bit;
            }
        }
        let mut raw = Box::new(MaybeUninit::<libc::regex_t>::zeroed());
        // SAFETY: the structure is valid for writes, the pattern ends with NUL.
        let status = unsafe { libc::regcomp(raw.as_mut_ptr(), pattern.as_ptr(), flags) };
        // SAFETY: zeroed memory is a valid `regex_t` (integers and pointers), and on success
        // regcomp filled it in.
        let inner = unsafe { Box::from_raw(Box::into_raw(raw).cast::<libc::regex_t>()) };
        if status != 0 {
            // A failed regcomp leaves nothing to free, so `Regex` (whose drop frees) is not made.
            return Err(error_text(status, &inner));
        }
        Ok(Self {
            inner,
            groups: extent.groups,
        })
    }

    /// The number of groups in the expression.
    pub fn groups(&self) -> usize {
        self.groups
    }

    /// Matches `subject` (up to its first NUL). Fills `groups` with byte ranges, the whole match
    /// first; `None` for groups that took no part.
    ///
    /// # Errors
    ///
    /// The C library's text, for example when it runs out of memory.
    pub fn matches(
        &self,
        subject: &[u8],
        groups: &mut [Option<(usize, usize)>],
    ) -> Result<bool, String> {
        let end = subject
            .iter()
            .position(|&byte| byte == 0)
            .unwrap_or(subject.len());
        let text = CString::new(subject.get(..end).unwrap_or_default())
            .map_err(|error| error.to_string())?;
        let mut found = vec![
            libc::regmatch_t {
                rm_so: -1,
                rm_eo: -1
            };
            groups.len()
        ];
        // SAFETY: the expression is compiled, the subject ends with NUL, and `found` has room for
        // the number of entries that is passed.
        let status = unsafe {
            let list = if found.is_empty() {
                ptr::null_mut()
            } else {
                found.as_mut_ptr()
            };
            libc::regexec(&raw const *self.inner, text.as_ptr(), found.len(), list, 0)
        };
        match status {
            0 => {
                for (slot, range) in groups.iter_mut().zip(&found) {
                    *slot = usize::try_from(range.rm_so)
                        .ok()
                        .zip(usize::try_from(range.rm_eo).ok());
                }
                Ok(true)
            }
            libc::REG_NOMATCH => Ok(false),
            error => Err(error_text(error, &self.inner)),
        }
    }
}

impl Drop for Regex {
    fn drop(&mut self) {
        // SAFETY: only successfully compiled expressions become a `Regex`, and each is freed once.
        unsafe { libc::regfree(&raw mut *self.inner) }
    }
}

/// The position of the `]` that closes the bracket expression beginning at `start`.
pub fn bracket_end(pattern: &[u8], start: usize) -> usize {
    let mut at = start + 1;
    if pattern.get(at) == Some(&b'^') {
        at += 1;
    }
    // A `]` in the first place is a member.
    if pattern.get(at) == Some(&b']') {
        at += 1;
    }
    while let Some(&byte) = pattern.get(at) {
        match (byte, pattern.get(at + 1)) {
            (b']', _) => return at,
            (b'[', Some(&kind @ (b':' | b'.' | b'='))) => {
                let rest = pattern.get(at + 2..).unwrap_or_default();
                at += rest
                    .windows(2)
                    .position(|pair| pair == [kind, b']'])
                    .map_or(1, |found| found + 4);
            }
            _ => at += 1,
        }
    }
    pattern.len()
}

fn error_text(code: i32, regex: &libc::regex_t) -> String {
    let mut buffer = [0u8; 256];
    // SAFETY: the buffer is valid for writes of its length; regerror ends the text with NUL.
    unsafe { libc::regerror(code, regex, buffer.as_mut_ptr().cast(), buffer.len()) };
    CStr::from_bytes_until_nul(&buffer)
        .map(|text| text.to_string_lossy().into_owned())
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn groups_are_counted_outside_bracket_expressions() {
        for (pattern, extended, want) in [
            (&b"(a)(b(c))"[..], true, 3),
            (b"[(](a)[])(]([[:alpha:](])", true, 2),
            (b"\\((a)", true, 1),
            (b"\\(a\\)(b)", false, 1),
        ] {
            assert_eq!(Extent::of(pattern, extended).groups, want, "{pattern:?}");
        }
    }

    #[test]
    fn groups_are_reported_and_errors_have_the_text_of_the_c_library() {
        let options = Options {
            extended: true,
            ignore_case: true,
            ..Options::default()
        };
        let regex = Regex::new(c"^(a+)(x)?@", options).ok().unwrap();
        let mut groups = [None; 3];
        assert_eq!(regex.matches(b"AAa@b", &mut groups), Ok(true));
        assert_eq!(groups, [Some((0, 4)), Some((0, 3)), None]);
        assert_eq!(regex.matches(b"b@b", &mut groups), Ok(false));
        assert_eq!(
            Regex::new(c"(a", options).err().as_deref(),
            Some("Unmatched ( or \\(")
        );
    }
}
