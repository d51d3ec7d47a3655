//! CRC-32C (Castagnoli, RFC 3720 appendix B.4), one table look-up a byte.
//!
//! Checked structures are kilobytes, a log at most some megabytes once, so nothing faster is worth a dependency.

/// The polynomial 0x1edc6f41, bits reversed.
const POLYNOMIAL: u32 = 0x82f6_3b78;

const TABLE: [u32; 256] = table();

const fn table() -> [u32; 256] {
    let mut table = [0; 256];
    let mut byte: u32 = 0;
    let mut at = 0;
    while at < table.len() {
        let mut crc = byte;
        let mut bit = 0;
        while bit < 8 {
            crc = if crc & 1 == 1 { crc >> 1 ^ POLYNOMIAL } else { crc >> 1 };
            bit += 1;
        }
        table[at] = crc;
        at += 1;
        byte += 1;
    }
    table
}

/// A checksum that grows.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Crc32c {
    state: u32,
}

impl Crc32c {
    pub(crate) const fn new() -> Self {
        Self { state: u32::MAX }
    }

    /// Adds `bytes`.
    pub(crate) fn update(&mut self, bytes: &[u8]) {
        for &byte in bytes {
            let [low, ..] = self.state.to_le_bytes();
            self.state = self.state >> 8 ^ TABLE[usize::from(low ^ byte)];
        }
    }

    /// Adds a structure whose own checksum, four bytes at `at`, counts as zeros.
    pub(crate) fn update_without(&mut self, bytes: &[u8], at: usize) {
        let (before, rest) = bytes.split_at(at.min(bytes.len()));
        self.update(before);
        self.update(&[0; 4][..rest.len().min(4)]);
        self.update(rest.get(4..).unwrap_or_default());
    }

    pub(crate) const fn value(self) -> u32 {
        !self.state
    }
}

/// The checksum of a structure whose own checksum, four bytes at `at`, counts as zeros.
pub(crate) fn without(bytes: &[u8], at: usize) -> u32 {
    let mut crc = Crc32c::new();
    crc.update_without(bytes, at);
    crc.value()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(bytes: &[u8]) -> u32 {
        let mut crc = Crc32c::new();
        crc.update(bytes);
        crc.value()
    }

    #[test]
    fn the_examples_of_rfc_3720_have_their_checksums() {
        let ascending: Vec<u8> = (0..32).collect();
        let descending: Vec<u8> = (0..32).rev().collect();
        assert_eq!(of(&[0; 32]), 0x8a91_36aa);
        assert_eq!(of(&[0xff; 32]), 0x62a8_ab43);
        assert_eq!(of(&ascending), 0x46dd_794e);
        assert_eq!(of(&descending), 0x113f_db5c);
        assert_eq!(of(b"123456789"), 0xe306_9283);
        assert_eq!(of(&[]), 0);
    }

    #[test]
    fn the_checksum_itself_counts_as_zeros() {
        assert_eq!(without(b"abcd\x01\x02\x03\x04efg", 4), of(b"abcd\0\0\0\0efg"));
        assert_eq!(without(b"abcd\x01\x02", 4), of(b"abcd\0\0"), "cut inside it");
        assert_eq!(without(b"ab", 4), of(b"ab"));
    }
}
