//! The image header: every field is checked here, once, so that no sum or product of its values overflows behind it.

use crate::field::{le32, le64, quoted};
use crate::tables::PART;
use crate::{Error, Kind, probe};

const MAGIC: &[u8] = b"QED\0";
const LENGTH: usize = 64;
const MIN_CLUSTER: u32 = 4096;
const MAX_CLUSTER: u32 = 64 * 1024 * 1024;
const MAX_TABLE_CLUSTERS: u32 = 16;
const SECTOR: u64 = 512;
/// Bytes of an entry of either table.
pub(super) const ENTRY: u64 = 8;

/// Features: an image with one that a reader does not know must not be opened.
mod feature {
    pub(super) const BACKING_FILE: u64 = 1 << 0;
    pub(super) const NEED_CHECK: u64 = 1 << 1;
    /// Only says how a backing file is to be probed.
    pub(super) const BACKING_FORMAT_NO_PROBE: u64 = 1 << 2;
    pub(super) const KNOWN: u64 = BACKING_FILE | NEED_CHECK | BACKING_FORMAT_NO_PROBE;
}

/// What a header says that a person may want to know.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Facts {
    /// Cluster size in bytes, a power of two from 4 KiB to 64 MiB.
    pub cluster_size: u64,
    /// Clusters of each table, a power of two from 1 to 16.
    pub table_clusters: u32,
    /// Size of the disk in bytes, whole sectors of 512 bytes.
    pub virtual_size: u64,
    /// The last writer did not close the image. It is read as it is, as qemu reads it from a file it may not write.
    pub need_check: bool,
}

/// A header that has been checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Header {
    facts: Facts,
    pub(super) geometry: Geometry,
}

/// What the map needs of a header that has been checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Geometry {
    pub(super) cluster_bits: u32,
    pub(super) table_clusters: u32,
    /// First host byte behind the header, which no table and no data may lie in.
    pub(super) header_end: u64,
    pub(super) l1_offset: u64,
    pub(super) virtual_size: u64,
}

impl Geometry {
    /// Bytes of a cluster.
    pub(super) const fn cluster(&self) -> u64 {
        1 << self.cluster_bits
    }

    /// Bytes of a table, 4 KiB to 1 GiB.
    pub(super) fn table(&self) -> u64 {
        u64::from(self.table_clusters) << self.cluster_bits
    }

    /// Bytes of one part of a table.
    pub(super) fn part(&self) -> u64 {
        self.table().min(PART)
    }

    /// Guest bytes that one L1 entry describes; at most 2^53.
    pub(super) fn l1_coverage(&self) -> u64 {
        self.table() / ENTRY * self.cluster()
    }

    /// Guest bytes that one part of an L2 table describes; at most 2^39.
    pub(super) fn part_coverage(&self) -> u64 {
        self.part() / ENTRY * self.cluster()
    }
}

impl Header {
    /// First bytes of the image that [`decode`](Self::decode) wants: as many as the probe, so that one read serves both.
    pub const WANTED: usize = probe::HEAD;

    /// Reads a header from the first [`WANTED`](Self::WANTED) bytes of an image, or from all of a shorter one.
    ///
    /// # Errors
    /// A field that no valid image has, that names another file, or that this version does not read.
    pub fn decode(head: &[u8]) -> Result<Self, Error> {
        if !head.starts_with(MAGIC) {
            return Err(malformed(0, "the file does not begin with the qed magic"));
        }
        if head.len() < LENGTH {
            let what = format!("the header needs {LENGTH} bytes, the file ends at {}", head.len());
            return Err(Error::new(Kind::Truncated, what));
        }
        let features = le64(head, 16);
        let unknown = features & !feature::KNOWN;
        if unknown != 0 {
            let what = format!("the image needs features {unknown:#x}, which this version does not know");
            return Err(Error::new(Kind::Unsupported, what).at(16));
        }
        let geometry = geometry(head)?;
        if features & feature::BACKING_FILE != 0 {
            return Err(backing_file(head, geometry.header_end));
        }
        let facts = Facts {
            cluster_size: geometry.cluster(),
            table_clusters: geometry.table_clusters,
            virtual_size: geometry.virtual_size,
            need_check: features & feature::NEED_CHECK != 0,
        };
        Ok(Self { facts, geometry })
    }

    /// What the header says.
    #[must_use]
    pub const fn facts(&self) -> &Facts {
        &self.facts
    }
}

fn geometry(head: &[u8]) -> Result<Geometry, Error> {
    let (cluster, table_clusters) = (le32(head, 4), le32(head, 8));
    if !cluster.is_power_of_two() || !(MIN_CLUSTER..=MAX_CLUSTER).contains(&cluster) {
        let what = format!("cluster_size is {cluster} instead of a power of two from {MIN_CLUSTER} to {MAX_CLUSTER}");
        return Err(malformed(4, what));
    }
    if !table_clusters.is_power_of_two() || table_clusters > MAX_TABLE_CLUSTERS {
        let what = format!("table_size is {table_clusters} instead of a power of two from 1 to {MAX_TABLE_CLUSTERS}");
        return Err(malformed(8, what));
    }
    let header_end = u64::from(le32(head, 12)) * u64::from(cluster);
    let (l1_offset, virtual_size) = (le64(head, 40), le64(head, 48));
    let geometry =
        Geometry { cluster_bits: cluster.trailing_zeros(), table_clusters, header_end, l1_offset, virtual_size };
    if !virtual_size.is_multiple_of(SECTOR) {
        return Err(malformed(48, format!("image_size {virtual_size} is no multiple of {SECTOR}")));
    }
    // Both tables together describe up to 2^80 bytes; a disk of 2^63 is more than any reader addresses.
    let most = (geometry.table() / ENTRY).saturating_mul(geometry.l1_coverage()).min(1 << 62);
    if virtual_size > most {
        let what = format!("image_size is {virtual_size}, tables of this size describe at most {most}");
        return Err(malformed(48, what));
    }
    check_place("the L1 table", &geometry, l1_offset, geometry.table()).map_err(|what| malformed(40, what))?;
    Ok(geometry)
}

/// Says why `len` bytes of clusters cannot lie at `offset`, if they cannot, whatever the length of the file.
pub(super) fn check_place(name: &str, geometry: &Geometry, offset: u64, len: u64) -> Result<(), String> {
    if !offset.is_multiple_of(geometry.cluster()) {
        return Err(format!("{name} at {offset:#x} is not at a cluster boundary"));
    }
    if offset == 0 || offset < geometry.header_end {
        return Err(format!("{name} at {offset:#x} lies in the header, which ends at {:#x}", geometry.header_end));
    }
    // File sizes are signed (qemu, off_t).
    if offset > i64::MAX.unsigned_abs() - len {
        return Err(format!("{name} at {offset:#x} lies behind the end of any file"));
    }
    Ok(())
}

fn backing_file(head: &[u8], header_end: u64) -> Error {
    let (offset, length) = (le32(head, 56), le32(head, 60));
    if u64::from(offset) + u64::from(length) > header_end {
        let what = format!("backing file name of {length} bytes at {offset:#x} is not inside the header");
        return malformed(56, what);
    }
    let start = offset as usize;
    let name = head.get(start..start.saturating_add(length as usize)).map_or_else(|| "...".to_owned(), quoted);
    let what = format!("the image is a difference to backing file {name}, which is never opened");
    Error::new(Kind::BackingFile, what).at(56)
}

fn malformed(field: u64, what: impl Into<String>) -> Error {
    Error::new(Kind::Malformed, what).at(field)
}

#[cfg(test)]
mod tests;
