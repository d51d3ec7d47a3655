//! The sizes that follow from a header: clusters, tables and how much of the disk each of them describes.

use crate::ClusterCodec;
use crate::tables::PART;

/// Bytes of one L1 entry.
pub(super) const L1_ENTRY: u64 = 8;

/// What map and stream need of a header that has been checked; no sum or product of its values overflows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Geometry {
    pub(super) version: u32,
    pub(super) cluster_bits: u32,
    pub(super) virtual_size: u64,
    pub(super) l1_offset: u64,
    pub(super) extended_l2: bool,
    pub(super) codec: ClusterCodec,
}

impl Geometry {
    /// Bytes of a cluster.
    pub(super) const fn cluster(&self) -> u64 {
        1 << self.cluster_bits
    }

    /// Bytes of an L2 entry.
    pub(super) const fn l2_entry(&self) -> u64 {
        if self.extended_l2 { 16 } else { 8 }
    }

    /// Parts of a cluster that are allocated on their own.
    pub(super) const fn subclusters(&self) -> u32 {
        if self.extended_l2 { 32 } else { 1 }
    }

    /// Guest bytes that one L1 entry describes; at most 2^39.
    pub(super) const fn l1_coverage(&self) -> u64 {
        self.cluster() / self.l2_entry() * self.cluster()
    }

    /// L1 entries that describe the disk.
    pub(super) const fn l1_entries(&self) -> u64 {
        self.virtual_size.div_ceil(self.l1_coverage())
    }

    /// Bytes of one part of an L2 table.
    pub(super) const fn l2_part(&self) -> u64 {
        if self.cluster() < PART { self.cluster() } else { PART }
    }

    /// Guest bytes that one part of an L2 table describes.
    pub(super) const fn l2_part_coverage(&self) -> u64 {
        self.l2_part() / self.l2_entry() * self.cluster()
    }

    /// Bytes of the L2 table of L1 entry `index` that describe the disk, in whole parts.
    pub(super) const fn l2_needed(&self, index: u64) -> u64 {
        let described = self.virtual_size - index * self.l1_coverage();
        let parts = described.div_ceil(self.l2_part_coverage());
        let all = self.cluster() / self.l2_part();
        self.l2_part() * if parts < all { parts } else { all }
    }
}
