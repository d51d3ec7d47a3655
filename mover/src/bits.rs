//! 1,024 bits: the leaves of a fingerprint span, the granules of a window.

use std::ops::Range;

/// A set of numbers below 1,024.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Bits([u64; 16]);

impl Bits {
    /// How many numbers it can hold.
    pub const LEN: usize = 1024;
    /// Bytes of its stored form.
    pub const BYTES: usize = Self::LEN / 8;

    /// Whether `at` is in the set.
    #[must_use]
    pub fn contains(&self, at: usize) -> bool {
        self.0[at / 64] >> (at % 64) & 1 == 1
    }

    /// Adds `at`.
    pub fn insert(&mut self, at: usize) {
        self.0[at / 64] |= 1 << (at % 64);
    }

    /// Adds all of `range`.
    pub fn insert_range(&mut self, range: Range<usize>) {
        for at in range {
            self.insert(at);
        }
    }

    /// How many numbers are in the set.
    #[must_use]
    pub fn count(&self) -> usize {
        self.0.iter().map(|word| word.count_ones() as usize).sum()
    }

    /// Stored form: little-endian words.
    #[must_use]
    pub fn to_bytes(self) -> [u8; Self::BYTES] {
        let mut bytes = [0; Self::BYTES];
        for (chunk, word) in bytes.chunks_exact_mut(8).zip(self.0) {
            chunk.copy_from_slice(&word.to_le_bytes());
        }
        bytes
    }

    /// Reads the stored form.
    #[must_use]
    pub fn from_bytes(bytes: &[u8; Self::BYTES]) -> Self {
        let mut words = [0; 16];
        for (word, chunk) in words.iter_mut().zip(bytes.chunks_exact(8)) {
            *word = u64::from_le_bytes(chunk.try_into().expect("chunks of eight bytes"));
        }
        Self(words)
    }
}
