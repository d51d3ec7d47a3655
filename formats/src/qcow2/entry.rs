//! Table entries to extents: what an L1 entry points at, and where the clusters of a run of L2 entries lie.
//!
//! ```text
//! L1        63 copied | 62-56 reserved | 55-9 offset of an L2 table | 8-0 reserved
//! standard  63 copied | 62 = 0 | 61-56 reserved | 55-9 offset of a cluster | 8-1 reserved | 0 reads as zeros
//! encoded   63 copied | 62 = 1 | 61-x further sectors | x-1 - 0 offset, any byte         x = 62 - (cluster_bits - 8)
//! extended  a standard or encoded entry, then 32 bits "reads as zeros" and 32 bits "allocated", one per subcluster
//! ```

use std::ops::Range;

use super::geometry::Geometry;
use crate::extent::Extents;
use crate::field::be64;
use crate::{Error, HostOffset, Kind, Place};

const OFFSET: u64 = 0x00ff_ffff_ffff_fe00;
const L1_RESERVED: u64 = 0x7f00_0000_0000_01ff;
const L2_RESERVED: u64 = 0x3f00_0000_0000_01fe;
const ENCODED: u64 = 1 << 62;
const ZERO: u64 = 1;
/// Host offsets have 56 bits in every entry.
const MAX_OFFSET: u64 = 1 << 56;
const SECTOR: u64 = 512;

/// Offset of the L2 table that L1 entry `index` points at; `None` where nothing it describes is allocated.
pub(super) fn l2_table(geometry: &Geometry, index: u64, entry: u64) -> Result<Option<u64>, Error> {
    let refused = |why: &str| {
        let at = geometry.l1_offset + index * super::geometry::L1_ENTRY;
        Error::new(Kind::Malformed, format!("L1 entry {index} is {entry:#018x}: {why}")).at(at)
    };
    if entry & L1_RESERVED != 0 {
        return Err(refused("reserved bits are set"));
    }
    let offset = entry & OFFSET;
    if !offset.is_multiple_of(geometry.cluster()) {
        return Err(refused("the L2 table is not at a cluster boundary"));
    }
    Ok((offset != 0).then_some(offset))
}

/// Consecutive entries of an L2 table.
#[derive(Clone, Copy, Debug)]
pub(super) struct Entries<'a> {
    /// Offset of the first entry in the image.
    pub(super) host: u64,
    /// First guest byte that the first entry describes.
    pub(super) guest: u64,
    /// Whole entries.
    pub(super) bytes: &'a [u8],
}

/// Where a cluster's bytes are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Cluster {
    /// The subclusters in `data` lie in the host cluster at `host`, the others read as zeros.
    Plain { host: u64, data: u32 },
    /// As in [`Place::Encoded`].
    Encoded { host: u64, len: u64 },
}

impl Entries<'_> {
    /// Appends the extents of `guest`, which these entries describe. An encoded cluster is appended whole.
    ///
    /// `file_len` is the length of the image where it is known; what lies beyond it is then refused or, in a cluster that
    /// begins before it, reads as zeros: qemu does not write out the end of the last cluster.
    pub(super) fn resolve(
        &self,
        geometry: &Geometry,
        file_len: Option<u64>,
        guest: Range<u64>,
        out: &mut Extents<'_>,
    ) -> Result<(), Error> {
        let first = (guest.start - self.guest) >> geometry.cluster_bits;
        let end = (guest.end - self.guest).div_ceil(geometry.cluster());
        for index in first..end {
            let entry = self.entry(geometry, index);
            let start = self.guest + index * geometry.cluster();
            let whole = start..(start + geometry.cluster()).min(geometry.virtual_size);
            let wanted = guest.start.max(whole.start)..guest.end.min(whole.end);
            match entry.cluster()? {
                Cluster::Plain { data: 0, .. } => {
                    out.push(wanted.start, wanted.end - wanted.start, Place::Zero);
                }
                Cluster::Plain { host, data } => {
                    entry.push_plain((host, data), (start, wanted), file_len, out)?;
                }
                Cluster::Encoded { host, len } => {
                    let len = entry.within(file_len, host, len)?;
                    let len = u32::try_from(len).expect("an encoded cluster has at most 2^13 sectors");
                    let place = Place::Encoded { at: HostOffset(host), len, codec: geometry.codec };
                    out.push(whole.start, whole.end - whole.start, place);
                }
            }
        }
        Ok(())
    }

    fn entry<'g>(&self, geometry: &'g Geometry, index: u64) -> Entry<'g> {
        let at = index * geometry.l2_entry();
        let bytes = &self.bytes[crate::offset::saturated(at)..];
        let subclusters = if geometry.extended_l2 { be64(bytes, 8) } else { 0 };
        Entry { geometry, at: self.host + at, descriptor: be64(bytes, 0), subclusters }
    }
}

/// One L2 entry.
struct Entry<'g> {
    geometry: &'g Geometry,
    at: u64,
    descriptor: u64,
    subclusters: u64,
}

impl Entry<'_> {
    fn cluster(&self) -> Result<Cluster, Error> {
        if self.descriptor & ENCODED != 0 {
            return self.encoded();
        }
        let reserved = if self.geometry.extended_l2 { L2_RESERVED | ZERO } else { L2_RESERVED };
        if self.descriptor & reserved != 0 {
            return Err(self.refused("reserved bits are set"));
        }
        let host = self.descriptor & OFFSET;
        if !host.is_multiple_of(self.geometry.cluster()) {
            return Err(self.refused("the cluster is not at a cluster boundary"));
        }
        let data = if self.geometry.extended_l2 { self.allocated(host)? } else { self.standard(host)? };
        Ok(Cluster::Plain { host, data })
    }

    fn standard(&self, host: u64) -> Result<u32, Error> {
        let zero = self.descriptor & ZERO != 0;
        if zero && self.geometry.version == 2 {
            return Err(self.refused("version 2 has no clusters that read as zeros"));
        }
        Ok(u32::from(!zero && host != 0))
    }

    fn allocated(&self, host: u64) -> Result<u32, Error> {
        let [z0, z1, z2, z3, a0, a1, a2, a3] = self.subclusters.to_be_bytes();
        let (zeros, data) = (u32::from_be_bytes([z0, z1, z2, z3]), u32::from_be_bytes([a0, a1, a2, a3]));
        if zeros & data != 0 {
            return Err(self.refused("a subcluster is both allocated and zero"));
        }
        if host == 0 && data != 0 {
            return Err(self.refused("subclusters are allocated without a cluster"));
        }
        Ok(data)
    }

    /// qemu does not look at the subcluster bitmap of an encoded cluster, and neither does this.
    fn encoded(&self) -> Result<Cluster, Error> {
        let sector_bits = self.geometry.cluster_bits - 8;
        let offset_bits = 62 - sector_bits;
        let host = self.descriptor & ((1 << offset_bits) - 1);
        if host >= MAX_OFFSET {
            return Err(self.refused("offset bits above 55 are set"));
        }
        if host < self.geometry.cluster() {
            return Err(self.refused("the encoded cluster lies in the header's cluster"));
        }
        let sectors = ((self.descriptor >> offset_bits) & ((1 << sector_bits) - 1)) + 1;
        Ok(Cluster::Encoded { host, len: sectors * SECTOR - host % SECTOR })
    }

    /// Pushes `wanted` guest bytes of the plain cluster whose first guest byte is `start`.
    fn push_plain(
        &self,
        (host, data): (u64, u32),
        (start, wanted): (u64, Range<u64>),
        file_len: Option<u64>,
        out: &mut Extents<'_>,
    ) -> Result<(), Error> {
        let available = self.within(file_len, host, self.geometry.cluster())?;
        let size = self.geometry.cluster() / u64::from(self.geometry.subclusters());
        for index in 0..self.geometry.subclusters() {
            let from = (start + u64::from(index) * size).clamp(wanted.start, wanted.end);
            let to = (start + u64::from(index + 1) * size).clamp(wanted.start, wanted.end);
            let here = if data >> index & 1 == 1 { (start + available).clamp(from, to) } else { from };
            out.push(from, here - from, Place::Data(HostOffset(host + (from - start))));
            out.push(here, to - here, Place::Zero);
        }
        Ok(())
    }

    /// How many of `len` bytes at `host` are in the file.
    fn within(&self, file_len: Option<u64>, host: u64, len: u64) -> Result<u64, Error> {
        match file_len {
            None => Ok(len),
            Some(end) if host < end => Ok(len.min(end - host)),
            Some(end) => {
                let what =
                    format!("L2 entry {:#018x} names offset {host:#x}, the file ends at {end:#x}", self.descriptor);
                Err(Error::new(Kind::Truncated, what).at(self.at))
            }
        }
    }

    fn refused(&self, why: &str) -> Error {
        Error::new(Kind::Malformed, format!("L2 entry {:#018x}: {why}", self.descriptor)).at(self.at)
    }
}
