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

/// Says that all of `bytes`, which is large, will be used: memory then comes in large pages where the system
/// has any to give.
pub fn use_large_pages(bytes: &mut [u8]) {
    let start = bytes.as_mut_ptr();
    let skip = start.align_offset(PAGE).min(bytes.len());
    let length = (bytes.len() - skip) / PAGE * PAGE;
    if length == 0 {
        return;
    }
    // SAFETY: the range is whole pages inside `bytes`; the advice changes neither their contents nor who may
    // use them. A system that does not take it is no worse off, so that the result does not matter.
    unsafe { libc::madvise(start.add(skip).cast(), length, libc::MADV_HUGEPAGE) };
}

/// No page is smaller, and a range that a larger one does not fit is refused.
const PAGE: usize = 4096;

#[cfg(test)]
mod tests {
    #[test]
    fn contents_stay_when_pages_become_large() {
        for length in [0, 1, 5000, 3 << 20] {
            let mut bytes = vec![7; length];
            super::use_large_pages(&mut bytes);
            assert!(bytes.iter().all(|byte| *byte == 7));
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
