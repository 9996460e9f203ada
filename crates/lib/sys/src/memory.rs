//! Hints to the processor and to the system about memory.

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

/// Zeroed memory for bytes that will all be needed, in no order: the system may give it large pages, so that
/// there is one page fault for two megabytes and not 512. It is released when this goes.
pub struct LargePages {
    /// With room before the first byte that is used, which begins a large page.
    bytes: Vec<u8>,
    start: usize,
}

impl LargePages {
    /// Bytes of a large page.
    const PAGE: usize = 2 * 1024 * 1024;

    /// Memory of `length` bytes.
    pub fn new(length: usize) -> Self {
        let whole = length.next_multiple_of(Self::PAGE);
        let mut bytes = vec![0; whole + Self::PAGE];
        let address = bytes.as_ptr().addr();
        let start = address.next_multiple_of(Self::PAGE) - address;
        bytes.truncate(start + length);
        let pages = bytes.get_mut(start..).unwrap_or_default();
        // SAFETY: the call reads and writes no memory of the program and changes no contents or rights, but only
        // how the system will provide the pages, which are all in the allocation of `bytes`.
        unsafe { libc::madvise(pages.as_mut_ptr().cast(), whole, libc::MADV_HUGEPAGE) };
        Self { bytes, start }
    }
}

impl std::ops::Deref for LargePages {
    type Target = [u8];
    fn deref(&self) -> &[u8] {
        self.bytes.get(self.start..).unwrap_or_default()
    }
}

impl std::ops::DerefMut for LargePages {
    fn deref_mut(&mut self) -> &mut [u8] {
        self.bytes.get_mut(self.start..).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn large_pages_hold_as_many_bytes_as_asked_for() {
        for length in [0, 1, 5000, 5 << 20] {
            let mut bytes = super::LargePages::new(length);
            assert_eq!(bytes.iter().filter(|byte| **byte == 0).count(), length);
            bytes.fill(7);
            assert_eq!(bytes.iter().filter(|byte| **byte == 7).count(), length);
        }
    }

    #[test]
    fn any_place_may_be_named() {
        for at in [0, 2, 3, usize::MAX] {
            super::prefetch(b"abc", at);
        }
        super::prefetch(b"", 0);
    }
}
