//! Chance for tests: fast, and of no use for anything secret.

use std::collections::hash_map::RandomState;
use std::hash::{BuildHasher, Hasher};

/// A generator of pseudo-random numbers with a seed of its own.
#[derive(Debug)]
pub struct Dice(u64);

impl Default for Dice {
    fn default() -> Self {
        Self(RandomState::new().build_hasher().finish())
    }
}

impl Dice {
    /// The next number (SplitMix64).
    pub fn roll(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number from 0 up to and including `most`.
    pub fn up_to(&mut self, most: u32) -> u32 {
        u32::try_from(self.roll() % (u64::from(most) + 1)).unwrap_or(most)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_number_up_to_the_limit_comes_up() {
        let mut dice = Dice(1);
        let mut seen = [false; 4];
        for _ in 0..200 {
            let number = usize::try_from(dice.up_to(3)).unwrap();
            seen[number] = true;
        }
        assert_eq!(seen, [true; 4]);
    }
}
