//! The header of a dynamic image: where its table lies, and what the table counts.
//!
//! ```text
//! 0 cookie "cxsparse"  16 table_offset  24 version  28 max_table_entries  32 block_size  36 checksum  64 parent's name
//! ```
//!
//! The source is Microsoft's specification, "Dynamic Disk Header Format"; limits are those of qemu's `block/vpc.c`. One
//! rule is stricter than qemu's: a wrong checksum is refused here too, not in the footer only.

use super::footer::{DiskType, Footer, LENGTH, check_sum, check_version};
use crate::blocks::{ENTRY, Layout};
use crate::field::{be16, be32, be64};
use crate::{Error, Kind, probe};

/// Bytes of the header.
pub(super) const HEADER_LENGTH: u64 = 1024;
const COOKIE: &[u8] = b"cxsparse";
const SECTOR: u64 = 512;
/// A bitmap takes whole sectors, and one bit for each sector: below this block size qemu reads images as if they had no
/// bitmap, so that the bytes of a block would be in doubt.
const MIN_BLOCK: u32 = 4096;
/// Most entries of a table (qemu): its bytes fit a signed 32-bit number.
const MAX_ENTRIES: u32 = 0x1fff_ffff;
/// Entry of a block that was never written.
const NO_BLOCK: u32 = 0xffff_ffff;
/// UTF-16 units of the parent's name.
const NAME_UNITS: usize = 256;

/// Footer and header of a dynamic image that have been checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    facts: super::Facts,
    block_size: u64,
    table: u64,
}

impl Header {
    /// Reads both from the first [`HEAD`](probe::HEAD) bytes of an image, or from all of a shorter one.
    ///
    /// # Errors
    /// A field that no valid image has, that names another image, or that this version does not read; a header that does
    /// not lie in `head`.
    pub fn decode(head: &[u8]) -> Result<Self, Error> {
        let place = Self::place(head)?;
        let (start, end) = (crate::offset::saturated(place.start), crate::offset::saturated(place.end));
        let bytes = head.get(start..end).ok_or_else(|| {
            let what = format!("the header reaches to offset {end:#x}, only {:#x} bytes are there", head.len());
            // A shorter head is the whole file.
            let kind = if head.len() < probe::HEAD { Kind::Truncated } else { Kind::Unsupported };
            Error::new(kind, what).at(16)
        })?;
        Self::decode_at(head, bytes)
    }

    /// Host range of the header, by the footer's copy in front.
    pub(super) fn place(head: &[u8]) -> Result<std::ops::Range<u64>, Error> {
        let footer = Footer::decode(head, 0)?;
        if footer.disk_type == DiskType::Fixed {
            let what = "disk type 2 (fixed) in front, where only a dynamic image has a footer";
            return Err(Error::new(Kind::Malformed, what).at(60));
        }
        let start = footer.data_offset;
        // File sizes are signed (qemu, off_t).
        if start < LENGTH || start > i64::MAX.unsigned_abs() - HEADER_LENGTH {
            let what = format!("data_offset is {start:#x}, the header lies behind the first {LENGTH} bytes of a file");
            return Err(Error::new(Kind::Malformed, what).at(16));
        }
        Ok(start..start + HEADER_LENGTH)
    }

    /// Reads a header from its own bytes, behind the footer's copy that begins the image.
    pub(super) fn decode_at(head: &[u8], bytes: &[u8]) -> Result<Self, Error> {
        let footer = Footer::decode(head, 0)?;
        let at = footer.data_offset;
        if !bytes.starts_with(COOKIE) {
            return Err(Error::new(Kind::Malformed, "the header does not begin with \"cxsparse\"").at(at));
        }
        check_sum(bytes, 36, "header").map_err(|error| error.at(at + 36))?;
        check_version(be32(bytes, 24), "header").map_err(|error| error.at(at + 24))?;
        if footer.disk_type == DiskType::Differencing {
            let what = format!("the image is a difference to {:?}, which is never opened", parent_name(bytes));
            return Err(Error::new(Kind::BackingFile, what).at(60));
        }
        let block_size = block_size(be32(bytes, 32)).map_err(|error| error.at(at + 32))?;
        let size = footer.facts.virtual_size;
        check_entries(be32(bytes, 28), block_size, size).map_err(|error| error.at(at + 28))?;
        let table = table(be64(bytes, 16), be32(bytes, 28), at).map_err(|error| error.at(at + 16))?;
        Ok(Self { facts: footer.facts, block_size, table })
    }

    /// What the footer says.
    #[must_use]
    pub const fn facts(&self) -> &super::Facts {
        &self.facts
    }

    /// Bytes of a block, a power of two; 2 MiB where nothing else was asked for.
    #[must_use]
    pub const fn block_size(&self) -> u64 {
        self.block_size
    }
}

fn block_size(value: u32) -> Result<u64, Error> {
    if !value.is_power_of_two() || u64::from(value) < SECTOR {
        let what = format!("block_size is {value} instead of a power of two from {SECTOR}");
        return Err(Error::new(Kind::Malformed, what));
    }
    if value < MIN_BLOCK {
        let what = format!("block_size is {value}, blocks below {MIN_BLOCK} bytes are not read");
        return Err(Error::new(Kind::Unsupported, what));
    }
    Ok(value.into())
}

fn check_entries(entries: u32, block_size: u64, size: u64) -> Result<(), Error> {
    if entries > MAX_ENTRIES {
        let what = format!("max_table_entries is {entries}, the limit is {MAX_ENTRIES}");
        return Err(Error::new(Kind::Malformed, what));
    }
    if u64::from(entries) * block_size < size {
        let what =
            format!("max_table_entries is {entries}, a disk of {size} bytes has {} blocks", size.div_ceil(block_size));
        return Err(Error::new(Kind::Malformed, what));
    }
    Ok(())
}

/// Offset of the table, which overlaps neither the footer's copy nor the header at `header`.
fn table(offset: u64, entries: u32, header: u64) -> Result<u64, Error> {
    let length = u64::from(entries) * ENTRY;
    let is_in_a_file = offset <= i64::MAX.unsigned_abs() - length;
    if !is_in_a_file || offset < LENGTH || (offset < header + HEADER_LENGTH && header < offset + length) {
        let what =
            format!("table_offset is {offset:#x}, where {length} bytes overlap footer or header, or no file reaches");
        return Err(Error::new(Kind::Malformed, what));
    }
    Ok(offset)
}

/// The name of a differencing image's parent: UTF-16, big-endian, up to a zero.
fn parent_name(header: &[u8]) -> String {
    let units = (0..NAME_UNITS).map(|unit| be16(header, 64 + unit * 2)).take_while(|&unit| unit != 0);
    char::decode_utf16(units).map(|unit| unit.unwrap_or(char::REPLACEMENT_CHARACTER)).collect()
}

impl Layout for Header {
    const NAME: &'static str = "block table";

    fn table(&self) -> u64 {
        self.table
    }

    fn block(&self) -> u64 {
        self.block_size
    }

    fn virtual_size(&self) -> u64 {
        self.facts.virtual_size
    }

    fn value(entry: [u8; 4]) -> u32 {
        u32::from_be_bytes(entry)
    }

    fn host(&self, value: u32) -> Option<u64> {
        // One bit for each sector, in whole sectors.
        let bitmap = (self.block_size / SECTOR / 8).next_multiple_of(SECTOR);
        (value != NO_BLOCK).then(|| u64::from(value) * SECTOR + bitmap)
    }
}

#[cfg(test)]
mod tests;
