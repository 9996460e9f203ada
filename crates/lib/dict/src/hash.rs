//! A fast hash of keys for tables in memory. Its seed differs from process to process, so that nobody
//! who gets keys into a table can choose them for their hashes.

use std::hash::{BuildHasher, Hasher, RandomState};

/// What the hashes of a process, or of a table, depend on.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Seed(u64, u64);

impl Seed {
    /// A new one.
    pub(crate) fn random() -> Self {
        let state = RandomState::new();
        Self(state.hash_one(1_u8), state.hash_one(2_u8))
    }

    /// The hash of `key`.
    pub(crate) fn hash(self, key: &[u8]) -> u64 {
        let length = u64::try_from(key.len()).unwrap_or(0);
        let mut state = self.0 ^ length;
        let mut rest = key;
        while let Some((block, tail)) = rest.split_first_chunk::<16>() {
            state = self.mix(state, block);
            rest = tail;
        }
        let mut block = [0; 16];
        if let Some(start) = block.get_mut(..rest.len()) {
            start.copy_from_slice(rest);
        }
        fold(self.mix(state, &block) ^ self.1, 0x9e37_79b9_7f4a_7c15)
    }

    fn mix(self, state: u64, block: &[u8; 16]) -> u64 {
        let number = u128::from_le_bytes(*block);
        fold(state ^ low(number), self.1 ^ low(number >> 64))
    }
}

fn low(number: u128) -> u64 {
    u64::try_from(number & u128::from(u64::MAX)).unwrap_or(0)
}

/// Both halves of the product.
fn fold(a: u64, b: u64) -> u64 {
    let product = u128::from(a) * u128::from(b);
    low(product) ^ low(product >> 64)
}

/// The hash of a key made of numbers.
#[derive(Debug)]
pub(crate) struct Numbers {
    seed: Seed,
    state: u64,
}

impl BuildHasher for Seed {
    type Hasher = Numbers;
    fn build_hasher(&self) -> Numbers {
        Numbers {
            seed: *self,
            state: self.0,
        }
    }
}

impl Hasher for Numbers {
    fn finish(&self) -> u64 {
        fold(self.state ^ self.seed.1, 0x9e37_79b9_7f4a_7c15)
    }
    fn write(&mut self, bytes: &[u8]) {
        self.state ^= self.seed.hash(bytes);
    }
    fn write_u8(&mut self, number: u8) {
        self.state = self.state.rotate_left(8) ^ u64::from(number);
    }
    fn write_u32(&mut self, number: u32) {
        self.state = self.state.rotate_left(32) ^ u64::from(number);
    }
    fn write_u128(&mut self, number: u128) {
        self.state = self.seed.mix(self.state, &number.to_le_bytes());
    }
}

/// For maps whose keys are hashes of [`Seed::hash`] already.
#[derive(Debug, Default)]
pub(crate) struct Hashed(u64);

impl Hasher for Hashed {
    fn finish(&self) -> u64 {
        self.0
    }
    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = self.0.rotate_left(8) ^ u64::from(*byte);
        }
    }
    fn write_u64(&mut self, hash: u64) {
        self.0 = hash;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn different_keys_have_different_hashes_in_all_their_bits() {
        let seed = Seed::random();
        let mut seen = HashSet::new();
        let (mut ones, mut low) = (0_u32, HashSet::new());
        for n in 0..2000_u32 {
            for key in [
                format!("{n}"),
                format!("user{n:09}@example.com"),
                "\0".repeat(usize::try_from(n).unwrap() + 1),
            ] {
                let hash = seed.hash(key.as_bytes());
                assert!(seen.insert(hash), "{key:?}");
                ones += hash.count_ones();
                low.insert(hash & 0xffff);
            }
        }
        assert!((31 * 6000..33 * 6000).contains(&ones), "{ones}");
        assert!(low.len() > 5000, "{}", low.len());
        assert_ne!(seed.hash(b""), seed.hash(b"\0"));
        assert_ne!(seed.hash(b"a"), Seed::random().hash(b"a"));
    }
}
