//! The image header: every field is checked here, once, so that nothing behind it meets a size it cannot work with.
//!
//! Limits beyond the specification are qemu's own (`block/qcow2.c`): 2 MiB clusters, 32 MiB of L1 table, 8 MiB of
//! refcount table, 65536 snapshots.

use super::extension::Area;
use super::geometry::{Geometry, L1_ENTRY};
use crate::field::{be32, be64, quoted};
use crate::{ClusterCodec, Error, Kind, probe};

const MAGIC: u32 = 0x5146_49fb;
const V2_LENGTH: u32 = 72;
const V3_LENGTH: u32 = 104;
const MAX_L1_BYTES: u64 = 32 * 1024 * 1024;
const MAX_REFCOUNT_TABLE_BYTES: u64 = 8 * 1024 * 1024;
const MAX_SNAPSHOTS: u32 = 65536;
/// Length of the backing file's name (specification, byte 16 of the header).
const MAX_BACKING_NAME: u32 = 1023;
const SECTOR: u64 = 512;

/// Incompatible features: an image with one that a reader does not know must not be opened.
mod incompatible {
    pub(super) const DIRTY: u64 = 1 << 0;
    pub(super) const CORRUPT: u64 = 1 << 1;
    pub(super) const EXTERNAL_DATA: u64 = 1 << 2;
    pub(super) const COMPRESSION_TYPE: u64 = 1 << 3;
    pub(super) const EXTENDED_L2: u64 = 1 << 4;
    pub(super) const KNOWN: u64 = DIRTY | CORRUPT | EXTERNAL_DATA | COMPRESSION_TYPE | EXTENDED_L2;
}

/// What a header says that a person may want to know.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Facts {
    /// Format version, 2 or 3.
    pub version: u32,
    /// Cluster size in bytes, a power of two from 512 to 2 MiB.
    pub cluster_size: u64,
    /// Size of the disk in bytes; whole sectors of 512 bytes, a rest below that is dropped as qemu drops it.
    pub virtual_size: u64,
    /// How encoded clusters are encoded, if there are any.
    pub compression: ClusterCodec,
    /// Clusters are allocated in 32 parts each.
    pub extended_l2: bool,
    /// Refcounts may be written late.
    pub lazy_refcounts: bool,
    /// The last writer did not close the image; only refcounts may be wrong.
    pub dirty: bool,
    /// A writer found the image damaged; what is read may be wrong.
    pub corrupt: bool,
    /// Width of a refcount in bits, 1 to 64.
    pub refcount_bits: u32,
    /// Internal snapshots. Only the active state is read.
    pub snapshots: u32,
    /// Bitmaps (of changes, kept for incremental backup) that are consistent. They are not read.
    pub bitmaps: u32,
}

/// A header that has been checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Header {
    facts: Facts,
    pub(super) geometry: Geometry,
    /// Host bytes of the refcount table, which a forward decoder can pass without a look.
    pub(super) refcount_table: (u64, u64),
}

impl Header {
    /// First bytes of the image that [`decode`](Self::decode) wants: as many as the probe, so that one read serves both.
    pub const WANTED: usize = probe::HEAD;

    /// Reads a header from the first [`WANTED`](Self::WANTED) bytes of an image, or from all of a shorter one.
    ///
    /// # Errors
    /// A field that no valid image has, that names another file, or that this version does not read.
    pub fn decode(head: &[u8]) -> Result<Self, Error> {
        let fields = Fields::decode(head)?;
        fields.check_features()?;
        fields.check_sole_file()?;
        let codec = fields.codec()?;
        let extensions = fields.area().decode()?;
        let geometry = fields.geometry(codec)?;
        fields.check_l1(&geometry)?;
        let refcount_table = fields.refcount_table()?;
        fields.check_snapshots()?;
        let facts = Facts {
            version: fields.version,
            cluster_size: fields.cluster(),
            virtual_size: geometry.virtual_size,
            compression: codec,
            extended_l2: geometry.extended_l2,
            lazy_refcounts: fields.compatible & 1 != 0,
            dirty: fields.incompatible & incompatible::DIRTY != 0,
            corrupt: fields.incompatible & incompatible::CORRUPT != 0,
            refcount_bits: 1 << fields.refcount_order,
            snapshots: fields.snapshots,
            bitmaps: extensions.bitmaps,
        };
        Ok(Self { facts, geometry, refcount_table })
    }

    /// What the header says.
    #[must_use]
    pub const fn facts(&self) -> &Facts {
        &self.facts
    }
}

/// The fields as they stand, those of version 3 with the values that version 2 implies.
struct Fields<'a> {
    head: &'a [u8],
    version: u32,
    cluster_bits: u32,
    length: u32,
    incompatible: u64,
    compatible: u64,
    autoclear: u64,
    refcount_order: u32,
    snapshots: u32,
}

impl<'a> Fields<'a> {
    /// Reads what the layout of the rest depends on.
    fn decode(head: &'a [u8]) -> Result<Self, Error> {
        if be32(head, 0) != MAGIC {
            return Err(malformed(0, "the file does not begin with the qcow2 magic"));
        }
        require(head, V2_LENGTH)?;
        let version = be32(head, 4);
        if !(2..=3).contains(&version) {
            let what = format!("qcow2 version {version} is neither 2 nor 3");
            return Err(Error::new(Kind::Unsupported, what).at(4));
        }
        let cluster_bits = be32(head, 20);
        if !(9..=21).contains(&cluster_bits) {
            return Err(malformed(20, format!("cluster_bits is {cluster_bits} instead of 9 to 21")));
        }
        let snapshots = be32(head, 60);
        let v2 = Self {
            head,
            version,
            cluster_bits,
            length: V2_LENGTH,
            incompatible: 0,
            compatible: 0,
            autoclear: 0,
            refcount_order: 4,
            snapshots,
        };
        if version == 2 { Ok(v2) } else { v2.with_version_3() }
    }

    fn with_version_3(self) -> Result<Self, Error> {
        require(self.head, V3_LENGTH)?;
        let length = be32(self.head, 100);
        if length < V3_LENGTH || !length.is_multiple_of(8) || u64::from(length) > self.cluster() {
            let what = format!(
                "header_length is {length} instead of a multiple of 8 from {V3_LENGTH} to the cluster size {}",
                self.cluster()
            );
            return Err(malformed(100, what));
        }
        let refcount_order = be32(self.head, 96);
        if refcount_order > 6 {
            return Err(malformed(96, format!("refcount_order is {refcount_order}, the limit is 6")));
        }
        Ok(Self {
            length,
            incompatible: be64(self.head, 72),
            compatible: be64(self.head, 80),
            autoclear: be64(self.head, 88),
            refcount_order,
            ..self
        })
    }

    const fn cluster(&self) -> u64 {
        1 << self.cluster_bits
    }

    fn area(&self) -> Area<'a> {
        Area {
            head: self.head,
            start: self.length as usize,
            end: 1 << self.cluster_bits,
            cluster: self.cluster(),
            bitmaps_consistent: self.autoclear & 1 != 0,
        }
    }

    fn check_features(&self) -> Result<(), Error> {
        let unknown = self.incompatible & !incompatible::KNOWN;
        if unknown != 0 {
            let bit = unknown.trailing_zeros();
            let name = self.area().feature_name(bit).map_or_else(String::new, |name| format!(", {name}"));
            let what = format!("the image needs feature bit {bit}{name}, which this version does not know");
            return Err(Error::new(Kind::Unsupported, what).at(72));
        }
        if self.incompatible & incompatible::EXTENDED_L2 != 0 && self.cluster_bits < 14 {
            let what = format!("extended L2 entries need clusters of 16384 bytes, the image has {}", self.cluster());
            return Err(malformed(20, what));
        }
        Ok(())
    }

    /// Refuses what would need a key or a second file.
    fn check_sole_file(&self) -> Result<(), Error> {
        match be32(self.head, 32) {
            0 => {}
            1 => return Err(Error::new(Kind::Encrypted, "the image is encrypted with AES").at(32)),
            2 => {
                return Err(Error::new(Kind::Encrypted, "the image is encrypted with LUKS").at(32));
            }
            other => {
                return Err(Error::new(Kind::Encrypted, format!("the image has crypt_method {other}")).at(32));
            }
        }
        let backing = be64(self.head, 8);
        if backing != 0 {
            return Err(self.backing_file(backing));
        }
        if self.incompatible & incompatible::EXTERNAL_DATA == 0 {
            return Ok(());
        }
        // The extension gives the name; an image may do without it.
        self.area().decode()?;
        Err(Error::new(Kind::ExternalData, "the image keeps its data in another file it does not name").at(72))
    }

    fn backing_file(&self, offset: u64) -> Error {
        let length = be32(self.head, 16);
        if offset > self.cluster() || u64::from(length) > self.cluster() - offset || length > MAX_BACKING_NAME {
            let what = format!("backing file name of {length} bytes at {offset:#x} is not inside the header's cluster");
            return malformed(8, what);
        }
        let start = crate::offset::saturated(offset);
        let name = self.head.get(start..start + length as usize).map_or_else(|| "...".to_owned(), quoted);
        let what = format!("the image is a difference to backing file {name}, which is never opened");
        Error::new(Kind::BackingFile, what).at(8)
    }

    fn codec(&self) -> Result<ClusterCodec, Error> {
        let field = if self.length > V3_LENGTH { self.head.get(V3_LENGTH as usize).copied() } else { None };
        match (self.incompatible & incompatible::COMPRESSION_TYPE != 0, field.unwrap_or(0)) {
            (false, 0) => Ok(ClusterCodec::Deflate),
            (true, 1) => Ok(ClusterCodec::Zstd),
            (true, 0) => Err(malformed(104, "the compression type bit is set and the type is zlib")),
            (false, other) => Err(malformed(104, format!("compression type {other} without the compression type bit"))),
            (true, other) => {
                let what = format!("compression type {other} is neither zlib (0) nor zstd (1)");
                Err(Error::new(Kind::Unsupported, what).at(104))
            }
        }
    }

    fn geometry(&self, codec: ClusterCodec) -> Result<Geometry, Error> {
        if self.autoclear & 2 != 0 {
            return Err(malformed(88, "the raw external data bit is set without an external data file"));
        }
        let size = be64(self.head, 24);
        Ok(Geometry {
            version: self.version,
            cluster_bits: self.cluster_bits,
            virtual_size: size - size % SECTOR,
            l1_offset: be64(self.head, 40),
            extended_l2: self.incompatible & incompatible::EXTENDED_L2 != 0,
            codec,
        })
    }

    /// The L1 table bounds the disk: 2^22 entries of at most 2^39 bytes each.
    fn check_l1(&self, geometry: &Geometry) -> Result<(), Error> {
        let (entries, offset) = (u64::from(be32(self.head, 36)), geometry.l1_offset);
        if entries * L1_ENTRY > MAX_L1_BYTES {
            let what = format!("the L1 table has {entries} entries, the limit is {}", MAX_L1_BYTES / L1_ENTRY);
            return Err(malformed(36, what));
        }
        let needed = be64(self.head, 24).div_ceil(geometry.l1_coverage());
        if entries < needed {
            let what =
                format!("the L1 table has {entries} entries, a disk of {} bytes needs {needed}", geometry.virtual_size);
            return Err(malformed(36, what));
        }
        if entries == 0 && offset == 0 {
            return Ok(());
        }
        self.check_table(Table { name: "L1 table", field: 40, offset, length: entries * L1_ENTRY })
    }

    fn refcount_table(&self) -> Result<(u64, u64), Error> {
        let (offset, clusters) = (be64(self.head, 48), u64::from(be32(self.head, 56)));
        let length = clusters * self.cluster();
        if length == 0 || length > MAX_REFCOUNT_TABLE_BYTES {
            let what = format!(
                "the refcount table has {length} bytes instead of 1 cluster to {MAX_REFCOUNT_TABLE_BYTES} bytes"
            );
            return Err(malformed(56, what));
        }
        self.check_table(Table { name: "refcount table", field: 48, offset, length })?;
        Ok((offset, length))
    }

    fn check_snapshots(&self) -> Result<(), Error> {
        if self.snapshots > MAX_SNAPSHOTS {
            return Err(malformed(
                60,
                format!("the image has {} snapshots, the limit is {MAX_SNAPSHOTS}", self.snapshots),
            ));
        }
        let offset = be64(self.head, 64);
        if self.snapshots == 0 && offset == 0 {
            return Ok(());
        }
        // An entry has at least 40 bytes.
        let length = u64::from(self.snapshots) * 40;
        self.check_table(Table { name: "snapshot table", field: 64, offset, length })
    }

    fn check_table(&self, table: Table) -> Result<(), Error> {
        let Table { name, field, offset, length } = table;
        if !offset.is_multiple_of(self.cluster()) {
            return Err(malformed(field, format!("{name} offset {offset:#x} is no multiple of the cluster size")));
        }
        if offset == 0 {
            return Err(malformed(field, format!("the {name} lies in the header's cluster")));
        }
        // File sizes are signed (qemu, off_t).
        if offset > i64::MAX.unsigned_abs() - length {
            return Err(malformed(field, format!("{name} offset {offset:#x} is larger than a file can be")));
        }
        Ok(())
    }
}

#[derive(Clone, Copy)]
struct Table {
    name: &'static str,
    field: u64,
    offset: u64,
    length: u64,
}

fn require(head: &[u8], length: u32) -> Result<(), Error> {
    if head.len() < length as usize {
        let what = format!("the header needs {length} bytes, the file ends at {}", head.len());
        return Err(Error::new(Kind::Truncated, what));
    }
    Ok(())
}

fn malformed(field: u64, what: impl Into<String>) -> Error {
    Error::new(Kind::Malformed, what).at(field)
}

#[cfg(test)]
mod tests;
