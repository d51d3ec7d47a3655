//! The sizes that follow from the metadata, and where the entry of a block stands in the BAT.

use std::ops::Range;

use crate::tables::PART;

/// Structures and blocks lie at multiples of this (MS-VHDX §2.1).
pub(super) const MIB: u64 = 1024 * 1024;

/// Bytes of a BAT entry (§2.5.1).
pub(super) const ENTRY: u64 = 8;

/// Sectors that one sector bitmap block describes (§2.4).
const CHUNK_SECTORS: u64 = 1 << 23;

/// What the metadata say that a person may want to know.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Facts {
    /// Size of the disk in bytes, a multiple of the logical sector size, at most 64 TiB.
    pub virtual_size: u64,
    /// Block size in bytes, a power of two from 1 MiB to 256 MiB.
    pub block_size: u64,
    /// Logical sector size in bytes, 512 or 4096.
    pub logical_sector: u32,
    /// Physical sector size in bytes, 512 or 4096.
    pub physical_sector: u32,
    /// Blocks stay allocated: the disk is a fixed one.
    pub fixed: bool,
    /// The last writer left a log behind, which is replayed in memory.
    pub has_log: bool,
}

/// What the map needs of metadata that have been checked; no sum or product of its values overflows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Geometry {
    pub(super) virtual_size: u64,
    pub(super) block_bits: u32,
    /// Payload blocks in a chunk, as a power of two; 2^4 to 2^15.
    pub(super) ratio_bits: u32,
    /// Host bytes of the BAT region.
    pub(super) bat: Range<u64>,
}

impl Geometry {
    pub(super) fn new(facts: &Facts, bat: Range<u64>) -> Self {
        let ratio = CHUNK_SECTORS * u64::from(facts.logical_sector) / facts.block_size;
        Self {
            virtual_size: facts.virtual_size,
            block_bits: facts.block_size.trailing_zeros(),
            ratio_bits: ratio.trailing_zeros(),
            bat,
        }
    }

    /// Bytes of a block.
    pub(super) const fn block(&self) -> u64 {
        1 << self.block_bits
    }

    /// Bytes of the BAT as far as it describes the disk: the last entry is that of the last payload block (§2.5).
    pub(super) const fn bat_len(&self) -> u64 {
        match self.virtual_size.div_ceil(self.block()).checked_sub(1) {
            Some(last) => (self.index(last) + 1) * ENTRY,
            None => 0,
        }
    }

    /// Index of the entry of payload block `block`: behind the entries of each chunk stands one for its sector bitmap.
    pub(super) const fn index(&self, block: u64) -> u64 {
        block + (block >> self.ratio_bits)
    }

    /// Payload blocks whose entries stand in front of entry `index`.
    const fn blocks_before(&self, index: u64) -> u64 {
        index - index / ((1 << self.ratio_bits) + 1)
    }

    /// Host bytes of part `part` of the BAT.
    pub(super) fn part(&self, part: u64) -> Range<u64> {
        let start = part * PART;
        self.bat.start + start..self.bat.start + (start + PART).min(self.bat_len())
    }

    /// First guest byte that does not need part `part` of the BAT.
    pub(super) fn part_until(&self, part: u64) -> u64 {
        let blocks = self.blocks_before((part + 1) * (PART / ENTRY));
        (blocks << self.block_bits).min(self.virtual_size)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn geometry(block_size: u64, virtual_size: u64, logical_sector: u32) -> Geometry {
        let facts =
            Facts { virtual_size, block_size, logical_sector, physical_sector: 512, fixed: false, has_log: false };
        Geometry::new(&facts, MIB..2 * MIB)
    }

    #[test]
    fn a_chunk_is_as_many_blocks_as_a_bitmap_of_1_mib_describes() {
        for (block_size, sector, ratio) in
            [(MIB, 512, 4096), (MIB, 4096, 32768), (256 * MIB, 512, 16), (256 * MIB, 4096, 128), (32 * MIB, 512, 128)]
        {
            assert_eq!(1 << geometry(block_size, MIB, sector).ratio_bits, ratio, "{block_size} {sector}");
        }
    }

    #[test]
    fn entries_of_bitmaps_stand_between_those_of_blocks() {
        let geometry = geometry(256 * MIB, 100 << 28, 512);
        let indices: Vec<u64> = [0, 15, 16, 31, 32, 99].map(|block| geometry.index(block)).to_vec();
        assert_eq!(indices, [0, 15, 17, 32, 34, 105]);
        assert_eq!(geometry.bat_len(), 106 * 8);
        for block in 0..100 {
            assert_eq!(geometry.blocks_before(geometry.index(block)), block);
        }
        assert_eq!(geometry.blocks_before(16), 16, "the bitmap's own entry");
    }

    #[test]
    fn parts_end_where_the_disk_ends() {
        assert_eq!(geometry(MIB, 0, 512).bat_len(), 0);
        let large = geometry(MIB, 10_000 * MIB, 512);
        assert_eq!(large.part(0), MIB..MIB + PART);
        // Two bitmap entries stand among the first 8192 entries, if the second stands among them: 4096 + 1 + 4095.
        assert_eq!(large.part_until(0), 8191 * MIB);
        assert_eq!(large.part(1), MIB + PART..MIB + 10_002 * 8);
        assert_eq!(large.part_until(1), 10_000 * MIB);
    }
}
