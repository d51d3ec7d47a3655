//! The sparse extent header: every field is checked here, once, so that nothing behind it meets a size it cannot work with.
//!
//! ```text
//! 0 "KDMV"  4 version  8 flags  12 capacity  20 grainSize  28 descriptorOffset  36 descriptorSize
//! 44 numGTEsPerGT  48 rgdOffset  56 gdOffset  64 overHead  72 uncleanShutdown  73 "\n \r\n"  77 compressAlgorithm
//! ```
//!
//! Offsets and sizes count sectors of 512 bytes, and the fields are not aligned. Limits beyond the technical note are
//! qemu's own (`block/vmdk.c`): 512 entries a table, grains of 1 GiB, 2^25 tables.

use super::descriptor::Descriptor;
use super::geometry::{Directory, Encoding, Geometry, SECTOR};
use crate::field::{le32, le64};
use crate::offset::saturated;
use crate::{Error, Kind, probe};

/// Bytes of the header and of the footer: one sector.
const LENGTH: usize = 512;

/// Version 2 adds entries for grains of zeros, version 3 incompatible flags and, for disks that are not compressed,
/// tracking of changes in another file (VMware KB 2064959), which readers may ignore.
const VERSIONS: std::ops::RangeInclusive<u32> = 1..=3;

/// What `gdOffset` is where only the footer knows it.
const AT_END: u64 = u64::MAX;

/// Largest capacity in sectors: 2^62 bytes.
const MAX_CAPACITY: u64 = 1 << 53;
const MAX_GRAIN_SECTORS: u64 = 1 << 21;
/// Largest compressed grain in sectors, 2 MiB: it is decoded as a whole. VMware and qemu write 64 KiB.
const MAX_ENCODED_SECTORS: u64 = 1 << 12;
const MAX_ENTRIES: u64 = 512;
const MAX_TABLES: u64 = 1 << 25;

/// The upper half of the flags is incompatible: who does not know one must not read the extent.
mod flags {
    pub(super) const NEWLINES: u32 = 1 << 0;
    pub(super) const REDUNDANT: u32 = 1 << 1;
    pub(super) const ZERO_ENTRIES: u32 = 1 << 2;
    pub(super) const COMPRESSED: u32 = 1 << 16;
    pub(super) const MARKERS: u32 = 1 << 17;
    pub(super) const UNKNOWN: u32 = 0xffff_0000 & !(COMPRESSED | MARKERS);
}

/// What a header says that a person may want to know.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Facts {
    /// Format version, 1 to 3.
    pub version: u32,
    /// `createType` of the descriptor.
    pub create_type: &'static str,
    /// Size of the disk in bytes: the header's capacity, as qemu takes it.
    pub virtual_size: u64,
    /// Bytes of a grain, a power of two.
    pub grain_size: u64,
    /// Entries of a grain table.
    pub table_entries: u64,
    /// Grains are zlib streams.
    pub compressed: bool,
    /// A marker in front of each compressed grain says where it belongs.
    pub markers: bool,
    /// The grain directory is named by the footer.
    pub footer: bool,
    /// Tables may name grains of zeros that are not stored.
    pub zeroed_grains: bool,
    /// There is a second copy of the tables. It is not read.
    pub redundant_tables: bool,
    /// The last writer did not close the disk.
    pub unclean_shutdown: bool,
}

/// A header that has been checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Header {
    facts: Facts,
    fields: Fields,
    pub(super) geometry: Geometry,
}

impl Header {
    /// First bytes of the image that [`decode`](Self::decode) wants: as many as the probe, so that one read serves both.
    pub const WANTED: usize = probe::HEAD;

    /// Reads a header from the first [`WANTED`](Self::WANTED) bytes of an image, or from all of a shorter one.
    ///
    /// # Errors
    /// A field that no valid image has, that names another file, or that this version does not read.
    pub fn decode(head: &[u8]) -> Result<Self, Error> {
        refuse_others(head)?;
        let fields = Fields::decode(head, 0)?;
        fields.check_version()?;
        fields.check_newlines()?;
        let encoding = fields.encoding()?;
        let (descriptor, reserved) = fields.descriptor(head)?;
        let geometry = fields.geometry(encoding, reserved)?;
        descriptor.check_size(geometry.virtual_size / SECTOR, geometry.grain / SECTOR)?;
        let facts = Facts {
            version: fields.version,
            create_type: descriptor.create_type.name(),
            virtual_size: geometry.virtual_size,
            grain_size: geometry.grain,
            table_entries: geometry.entries,
            compressed: encoding != Encoding::Plain,
            markers: encoding == Encoding::Marked,
            footer: geometry.directory == Directory::Footer,
            zeroed_grains: geometry.has_zero_entries,
            redundant_tables: fields.flags & flags::REDUNDANT != 0,
            unclean_shutdown: fields.unclean,
        };
        Ok(Self { facts, fields, geometry })
    }

    /// What the header says.
    #[must_use]
    pub const fn facts(&self) -> &Facts {
        &self.facts
    }

    /// Host offset of the grain directory, from the footer, a sector that lies at `host`.
    ///
    /// # Errors
    /// It is none, or it contradicts the header. (qemu believes the footer; an image with two answers is damaged.)
    pub(super) fn footer(&self, sector: &[u8], host: u64) -> Result<u64, Error> {
        if !sector.starts_with(b"KDMV") {
            return Err(Error::new(Kind::Malformed, "the footer does not begin with KDMV").at(host));
        }
        let footer = Fields::decode(sector, host)?;
        for (name, at, ours, theirs) in [
            ("version", 4, u64::from(self.fields.version), u64::from(footer.version)),
            ("flags", 8, self.fields.flags.into(), footer.flags.into()),
            ("capacity", 12, self.fields.capacity, footer.capacity),
            ("grainSize", 20, self.fields.grain, footer.grain),
            ("numGTEsPerGT", 44, self.fields.entries, footer.entries),
            ("compressAlgorithm", 77, self.fields.algorithm.into(), footer.algorithm.into()),
        ] {
            if ours != theirs {
                let what = format!("{name} is {theirs:#x} in the footer and {ours:#x} in the header");
                return Err(Error::new(Kind::Malformed, what).at(host + at));
            }
        }
        match footer.directory(&self.geometry, host)? {
            Directory::At(directory) => Ok(directory),
            Directory::Footer => {
                Err(Error::new(Kind::Malformed, "the footer does not say where the grain directory is").at(host + 56))
            }
        }
    }
}

/// The fields as they stand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Fields {
    version: u32,
    flags: u32,
    capacity: u64,
    grain: u64,
    descriptor: (u64, u64),
    entries: u64,
    directory: u64,
    overhead: u64,
    unclean: bool,
    newlines: [u8; 4],
    algorithm: u16,
}

impl Fields {
    fn decode(sector: &[u8], host: u64) -> Result<Self, Error> {
        let Some(sector) = sector.first_chunk::<LENGTH>() else {
            let what = format!("the header needs {LENGTH} bytes, the file ends at {}", host + sector.len() as u64);
            return Err(Error::new(Kind::Truncated, what).at(host));
        };
        Ok(Self {
            version: le32(sector, 4),
            flags: le32(sector, 8),
            capacity: le64(sector, 12),
            grain: le64(sector, 20),
            descriptor: (le64(sector, 28), le64(sector, 36)),
            entries: le32(sector, 44).into(),
            directory: le64(sector, 56),
            overhead: le64(sector, 64),
            unclean: sector[72] != 0,
            newlines: [sector[73], sector[74], sector[75], sector[76]],
            algorithm: u16::from_le_bytes([sector[77], sector[78]]),
        })
    }

    fn check_version(&self) -> Result<(), Error> {
        if !VERSIONS.contains(&self.version) {
            let what = format!("vmdk version {} is none of 1 to 3", self.version);
            return Err(Error::new(Kind::Unsupported, what).at(4));
        }
        if self.flags & flags::UNKNOWN != 0 {
            let bit = (self.flags & flags::UNKNOWN).trailing_zeros();
            let what = format!("the image needs flag bit {bit}, which this version does not know");
            return Err(Error::new(Kind::Unsupported, what).at(8));
        }
        Ok(())
    }

    /// These four bytes change when a file is transferred as text, and then so did others.
    fn check_newlines(&self) -> Result<(), Error> {
        if self.flags & flags::NEWLINES == 0 || self.newlines == *b"\n \r\n" {
            return Ok(());
        }
        let what = format!(
            "the newline test is \"{}\": the file was changed as text is when it is transferred",
            self.newlines.escape_ascii()
        );
        Err(malformed(73, what))
    }

    /// qemu looks at the algorithm alone; the flag that contradicts it is refused here.
    fn encoding(&self) -> Result<Encoding, Error> {
        let is_flagged = self.flags & flags::COMPRESSED != 0;
        match (is_flagged, self.algorithm) {
            (false, 0) => Ok(Encoding::Plain),
            (true, 1) if self.flags & flags::MARKERS != 0 => Ok(Encoding::Marked),
            (true, 1) => Ok(Encoding::Bare),
            (_, 0 | 1) => {
                let what = format!("compressAlgorithm is {}, the compressed flag says otherwise", self.algorithm);
                Err(malformed(77, what))
            }
            (_, other) => {
                let what = format!("compressAlgorithm {other} is neither none (0) nor deflate (1)");
                Err(Error::new(Kind::Unsupported, what).at(77))
            }
        }
    }

    /// The embedded descriptor, and where header and descriptor end.
    fn descriptor(&self, head: &[u8]) -> Result<(Descriptor, u64), Error> {
        let (offset, size) = self.descriptor;
        let part = "the file is one extent of a disk whose descriptor is in another file, which is never opened";
        if offset == 0 {
            return Err(Error::new(Kind::ExternalData, part).at(28));
        }
        let end = offset.checked_add(size).filter(|_| size > 0);
        let Some(end) = end.filter(|end| *end <= MAX_CAPACITY) else {
            return Err(malformed(36, format!("the descriptor has {size} sectors at sector {offset}")));
        };
        if end > Self::SECTORS_WANTED {
            let what = format!("the descriptor reaches to sector {end}, the limit is {}", Self::SECTORS_WANTED);
            return Err(Error::new(Kind::Unsupported, what).at(28));
        }
        let Some(text) = head.get(saturated(offset * SECTOR)..saturated(end * SECTOR)) else {
            let what = format!("the descriptor reaches to {:#x}, the file ends at {:#x}", end * SECTOR, head.len());
            return Err(Error::new(Kind::Truncated, what).at(offset * SECTOR));
        };
        // qemu leaves room for a descriptor in extents that have none.
        if text.iter().all(|byte| *byte == 0) {
            return Err(Error::new(Kind::ExternalData, part).at(offset * SECTOR));
        }
        let descriptor = Descriptor::decode(text, offset * SECTOR)?;
        Ok((descriptor, end * SECTOR))
    }

    const SECTORS_WANTED: u64 = Header::WANTED as u64 / SECTOR;

    fn geometry(&self, encoding: Encoding, reserved: u64) -> Result<Geometry, Error> {
        let limit = if encoding == Encoding::Plain { MAX_GRAIN_SECTORS } else { MAX_ENCODED_SECTORS };
        if !self.grain.is_power_of_two() || self.grain > MAX_GRAIN_SECTORS {
            let what = format!("grainSize is {} sectors instead of a power of two to {MAX_GRAIN_SECTORS}", self.grain);
            return Err(malformed(20, what));
        }
        if self.grain > limit {
            let what = format!("compressed grains have {} sectors, the limit is {limit}", self.grain);
            return Err(Error::new(Kind::Unsupported, what).at(20));
        }
        if !(1..=MAX_ENTRIES).contains(&self.entries) {
            return Err(malformed(44, format!("numGTEsPerGT is {} instead of 1 to {MAX_ENTRIES}", self.entries)));
        }
        if !(1..=MAX_CAPACITY).contains(&self.capacity) {
            return Err(malformed(12, format!("capacity is {} sectors instead of 1 to {MAX_CAPACITY}", self.capacity)));
        }
        // File sizes are signed (qemu, off_t).
        if self.overhead > MAX_CAPACITY {
            return Err(malformed(64, format!("overHead is {:#x} sectors, larger than a file can be", self.overhead)));
        }
        let geometry = Geometry {
            virtual_size: self.capacity * SECTOR,
            grain: self.grain * SECTOR,
            entries: self.entries,
            encoding,
            has_zero_entries: self.flags & flags::ZERO_ENTRIES != 0,
            directory: Directory::Footer,
            reserved,
            overhead: self.overhead * SECTOR,
        };
        if geometry.tables() > MAX_TABLES {
            let what = format!("the disk has {} grain tables, the limit is {MAX_TABLES}", geometry.tables());
            return Err(malformed(12, what));
        }
        Ok(Geometry { directory: self.directory(&geometry, 0)?, ..geometry })
    }

    /// Where the grain directory is, as the header or footer at `host` says.
    fn directory(&self, geometry: &Geometry, host: u64) -> Result<Directory, Error> {
        if self.directory == AT_END {
            return Ok(Directory::Footer);
        }
        let at = host + 56;
        if self.directory > MAX_CAPACITY {
            let what = format!("gdOffset is {:#x} sectors, larger than a file can be", self.directory);
            return Err(malformed(at, what));
        }
        let offset = self.directory * SECTOR;
        if offset < geometry.reserved {
            let what = format!("gdOffset is {}: the grain directory lies in the header or descriptor", self.directory);
            return Err(malformed(at, what));
        }
        Ok(Directory::At(offset))
    }
}

/// Names what goes by the name of VMDK and is no hosted sparse extent.
fn refuse_others(head: &[u8]) -> Result<(), Error> {
    if head.starts_with(b"KDMV") {
        return Ok(());
    }
    if Descriptor::begins(head) {
        return Err(Descriptor::decode(head, 0).map_or_else(|error| error, |descriptor| descriptor.names_other_files()));
    }
    let what = match head {
        [b'C', b'O', b'W', b'D', ..] => "the file is a sparse extent of an ESX server (COWD)",
        [0xbe, 0xba, 0xfe, 0xca, 0, 0, 0, 0, ..] => {
            "the file is a space-efficient sparse extent of an ESXi server (seSparse)"
        }
        _ => return Err(malformed(0, "the file does not begin with the vmdk magic")),
    };
    Err(Error::new(Kind::Unsupported, what).at(0))
}

fn malformed(field: u64, what: impl Into<String>) -> Error {
    Error::new(Kind::Malformed, what).at(field)
}

#[cfg(test)]
mod tests;
