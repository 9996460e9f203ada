//! Hints to the processor.

/// Says that the bytes at `at` will be needed soon, so that they are on their way from memory meanwhile.
pub fn prefetch(bytes: &[u8], at: usize) {
    #[cfg(target_arch = "x86_64")]
    if let Some(byte) = bytes.get(at) {
        use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
        // SAFETY: every x86-64 processor has the instruction; it reads nothing into the program and has no
        // effect but on time, whatever the address.
        unsafe { _mm_prefetch::<_MM_HINT_T0>(std::ptr::from_ref(byte).cast()) };
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = (bytes, at);
}

#[cfg(test)]
mod tests {
    #[test]
    fn any_place_may_be_named() {
        for at in [0, 2, 3, usize::MAX] {
            super::prefetch(b"abc", at);
        }
        super::prefetch(b"", 0);
    }
}
