//! Perl-compatible regular expressions (PCRE2, bundled).

use pcre2_sys as ffi;
use std::ptr::{self, NonNull};

/// Compile options.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Options {
    /// Letters match regardless of case.
    pub caseless: bool,
    /// `^` and `$` match at newlines inside the subject.
    pub multiline: bool,
    /// `.` matches newlines.
    pub dotall: bool,
    /// White space and comments in the pattern are ignored.
    pub extended: bool,
    /// The match begins at the start of the subject.
    pub anchored: bool,
    /// `$` does not match before a final newline.
    pub dollar_endonly: bool,
    /// Quantifiers are lazy by default.
    pub ungreedy: bool,
}

/// Why a pattern was refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("error in regex at offset {offset}: {text}")]
pub struct CompileError {
    /// Offset in the pattern, in bytes.
    pub offset: usize,
    /// The library's text.
    pub text: String,
}

/// A compiled pattern with room for its groups.
pub struct Regex {
    code: NonNull<ffi::pcre2_code_8>,
    data: NonNull<ffi::pcre2_match_data_8>,
    groups: usize,
}

// SAFETY: code and match data are plain heap blocks owned by this value alone and are not bound
// to a thread; matching needs `&mut self`.
unsafe impl Send for Regex {}

impl Regex {
    /// Compiles `pattern`, which may hold any byte.
    ///
    /// # Errors
    ///
    /// The library's text and the offset where it stopped.
    pub fn new(pattern: &[u8], options: Options) -> Result<Self, CompileError> {
        let mut bits = 0;
        for (wanted, bit) in [
            (options.caseless, ffi::PCRE2_CASELESS),
            (options.multiline, ffi::PCRE2_MULTILINE),
            (options.dotall, ffi::PCRE2_DOTALL),
            (options.extended, ffi::PCRE2_EXTENDED),
            (options.anchored, ffi::PCRE2_ANCHORED),
            (options.dollar_endonly, ffi::PCRE2_DOLLAR_ENDONLY),
            (options.ungreedy, ffi::PCRE2_UNGREEDY),
        ] {
            if wanted {
                bits |= bit;
            }
        }
        let (mut error, mut offset) = (0, 0);
        // SAFETY: pointer and length describe the pattern, the two out-parameters are valid.
        let raw = unsafe {
            ffi::pcre2_compile_8(
                pattern.as_ptr(),
                pattern.len(),
                bits,
                &raw mut error,
                &raw mut offset,
                ptr::null_mut(),
            )
        };
        let Some(code) = NonNull::new(raw) else {
            return Err(CompileError {
                offset,
                text: error_text(error),
            });
        };
        // SAFETY: `code` was just compiled.
        let raw =
            unsafe { ffi::pcre2_match_data_create_from_pattern_8(code.as_ptr(), ptr::null_mut()) };
        let Some(data) = NonNull::new(raw) else {
            // SAFETY: nobody else knows `code`.
            unsafe { ffi::pcre2_code_free_8(code.as_ptr()) };
            return Err(CompileError {
                offset: 0,
                text: "out of memory".to_owned(),
            });
        };
        let mut groups = 0u32;
        // SAFETY: CAPTURECOUNT writes one u32.
        unsafe {
            ffi::pcre2_pattern_info_8(
                code.as_ptr(),
                ffi::PCRE2_INFO_CAPTURECOUNT,
                (&raw mut groups).cast(),
            );
        }
        Ok(Self {
            code,
            data,
            groups: usize::try_from(groups).unwrap_or(0),
        })
    }

    /// The number of groups in the pattern.
    pub fn groups(&self) -> usize {
        self.groups
    }

    /// Matches `subject`. Fills `groups` with byte ranges, the whole match first.
    ///
    /// # Errors
    ///
    /// The library's text, for example when the match limit is reached.
    pub fn matches(
        &mut self,
        subject: &[u8],
        groups: &mut [Option<(usize, usize)>],
    ) -> Result<bool, String> {
        // SAFETY: all pointers are live, the length is the subject's, and the match data was made
        // for this pattern.
        let status = unsafe {
            ffi::pcre2_match_8(
                self.code.as_ptr(),
                subject.as_ptr(),
                subject.len(),
                0,
                0,
                self.data.as_ptr(),
                ptr::null_mut(),
            )
        };
        if status == ffi::PCRE2_ERROR_NOMATCH {
            return Ok(false);
        }
        if status < 0 {
            return Err(error_text(status));
        }
        let set = usize::try_from(status).unwrap_or(0);
        // SAFETY: match data made from the pattern has a pair for the match and for each group.
        let pairs = unsafe {
            let first = ffi::pcre2_get_ovector_pointer_8(self.data.as_ptr());
            std::slice::from_raw_parts(first, 2 * (self.groups + 1))
        };
        for (index, slot) in groups.iter_mut().enumerate() {
            let pair = pairs.get(2 * index..2 * index + 2);
            *slot = match pair {
                Some(&[from, to]) if index < set && from <= to && to <= subject.len() => {
                    Some((from, to))
                }
                _ => None,
            };
        }
        Ok(true)
    }
}

impl Drop for Regex {
    fn drop(&mut self) {
        // SAFETY: both were made by `new`, are owned by this value, and are freed once.
        unsafe {
            ffi::pcre2_match_data_free_8(self.data.as_ptr());
            ffi::pcre2_code_free_8(self.code.as_ptr());
        }
    }
}

fn error_text(code: i32) -> String {
    let mut buffer = [0u8; 256];
    // SAFETY: the buffer is valid for writes of its length; the library ends the text with NUL.
    unsafe { ffi::pcre2_get_error_message_8(code, buffer.as_mut_ptr(), buffer.len()) };
    let end = buffer
        .iter()
        .position(|&byte| byte == 0)
        .unwrap_or(buffer.len());
    String::from_utf8_lossy(buffer.get(..end).unwrap_or_default()).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn groups_are_reported_and_errors_name_the_offset() {
        let options = Options {
            caseless: true,
            dotall: true,
            ..Options::default()
        };
        let mut regex = Regex::new(br"^(\w+)(x)?@.b", options).ok().unwrap();
        let mut groups = [None; 3];
        assert_eq!(regex.matches(b"AAa@\nB", &mut groups), Ok(true));
        assert_eq!(groups, [Some((0, 6)), Some((0, 3)), None]);
        let error = Regex::new(b"(ab", options).err().unwrap();
        assert_eq!(
            error.to_string(),
            "error in regex at offset 3: missing closing parenthesis"
        );
    }
}
