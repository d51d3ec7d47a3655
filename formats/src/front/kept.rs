//! Bytes that flowed past while an image was being opened: a table may stand in front of what names it.

use std::collections::BTreeMap;
use std::ops::Range;

use crate::offset::saturated;
use crate::tables::PART;

/// Bytes that are kept, zeros left out; tables in front of the metadata are smaller.
const MAX_BYTES: usize = 4 << 20;
/// Parts that are kept, zeros included.
const MAX_PARTS: usize = 4096;

/// The file from its beginning, in parts of 64 KiB; a part of zeros has no bytes.
#[derive(Debug, Default)]
pub(super) struct Kept {
    parts: BTreeMap<u64, Vec<u8>>,
    bytes: usize,
    /// The part that is not whole yet.
    last: Vec<u8>,
    /// End of what was passed.
    end: u64,
    /// There was too much; nothing more is kept.
    is_full: bool,
}

impl Kept {
    /// Takes the next bytes of the file.
    pub(super) fn pass(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() && !self.is_full {
            let (taken, rest) = bytes.split_at(bytes.len().min(saturated(PART) - self.last.len()));
            self.last.extend_from_slice(taken);
            self.end += taken.len() as u64;
            bytes = rest;
            if self.last.len() as u64 == PART {
                let mut part = std::mem::take(&mut self.last);
                if part.iter().all(|&byte| byte == 0) {
                    part = Vec::new();
                }
                self.bytes += part.len();
                self.parts.insert(self.end - PART, part);
                self.is_full = self.bytes > MAX_BYTES || self.parts.len() > MAX_PARTS;
            }
        }
    }

    /// The bytes of `host`, at most 64 KiB, if all of them were kept.
    pub(super) fn get(&self, host: &Range<u64>) -> Option<Vec<u8>> {
        if host.end > self.end {
            return None;
        }
        let mut found = vec![0; saturated(host.end - host.start)];
        let mut at = host.start;
        while at < host.end {
            let start = at / PART * PART;
            let end = host.end.min(start + PART);
            let part = if start + PART > self.end { &self.last } else { self.parts.get(&start)? };
            if !part.is_empty() {
                let (from, to) = (saturated(at - start), saturated(end - start));
                found[saturated(at - host.start)..saturated(end - host.start)].copy_from_slice(&part[from..to]);
            }
            at = end;
        }
        Some(found)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_passed_is_there_and_what_was_not_is_not() {
        let mut file = vec![0; 300_000];
        file[70_000..71_000].fill(7);
        file[250_000..].fill(9);
        let mut kept = Kept::default();
        file.chunks(1000).for_each(|chunk| kept.pass(chunk));
        for range in [0..10, 65_000..70_500, 69_999..131_073, 249_000..300_000, 131_072..196_608] {
            let wanted = file[saturated(range.start)..saturated(range.end)].to_vec();
            assert_eq!(kept.get(&range), Some(wanted), "{range:?}");
        }
        assert_eq!(kept.get(&(299_999..300_001)), None);
    }

    #[test]
    fn memory_is_bounded_whatever_flows_past() {
        let mut kept = Kept::default();
        for _ in 0..200 {
            kept.pass(&[1; 1 << 16]);
        }
        assert!(kept.bytes <= MAX_BYTES + (1 << 16) && kept.is_full);
        let mut zeros = Kept::default();
        for _ in 0..10_000 {
            zeros.pass(&[0; 1 << 16]);
        }
        assert_eq!((zeros.bytes, zeros.parts.len()), (0, MAX_PARTS + 1));
        assert_eq!(zeros.get(&(1 << 33..(1 << 33) + 1)), None);
    }
}
