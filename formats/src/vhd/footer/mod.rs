//! The footer, which says what kind of image it is and how large its disk is.
//!
//! ```text
//! 0 cookie  8 features  12 version  16 data_offset  24 time  28 creator app  32 its version  36 its system
//! 40 original size  48 current size  56 cylinders, heads, sectors  60 disk type  64 checksum  68 uuid  84 saved state
//! ```
//!
//! The source is Microsoft's "Virtual Hard Disk Image Format Specification" (2006), "Hard Disk Footer Format". Which of
//! the two sizes counts is not in it: Virtual PC, and qemu without `force_size`, give the guest what the geometry has, all
//! others the current size. The rule here is qemu's since version 10.0: versions before it lack some creators of the
//! second kind (Azure's `wa`) and cut their disks short.

use crate::field::{be16, be32, be64};
use crate::{Error, Kind};

use super::COOKIE;

/// Bytes of the footer.
pub(super) const LENGTH: u64 = 512;
/// Bytes of the footer before Virtual PC 2004: the last, reserved byte is missing.
pub(super) const OLD_LENGTH: u64 = 511;
const SECTOR: u64 = 512;
/// Largest geometry there is: it stands for any size from there on.
const MAX_GEOMETRY: u64 = 65535 * 16 * 255;
/// Largest disk: 2040 GiB (qemu, `VHD_MAX_SECTORS`), the limit of Hyper-V.
const MAX_SECTORS: u64 = 0xff00_0000;

/// What a footer says that a person may want to know.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Facts {
    /// Size of the disk in bytes, whole sectors of 512 bytes; a rest below that is dropped as qemu drops it.
    pub virtual_size: u64,
    /// The disk lies in the file as it is (disk type 2) instead of in blocks (3).
    pub is_fixed: bool,
    /// The application that made the image, as four letters: `win ` is Hyper-V, `qemu` and `qem2` are qemu.
    pub creator: [u8; 4],
}

/// Disk type (specification, "Disk Type").
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum DiskType {
    Fixed,
    Dynamic,
    Differencing,
}

/// A footer that has been checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Footer {
    pub(super) facts: Facts,
    pub(super) disk_type: DiskType,
    /// Offset of the dynamic header.
    pub(super) data_offset: u64,
}

impl Footer {
    /// Reads a footer of 512 or 511 bytes that lies at `at` in the image.
    pub(super) fn decode(bytes: &[u8], at: u64) -> Result<Self, Error> {
        if (bytes.len() as u64) < OLD_LENGTH {
            let what = format!("the footer needs {LENGTH} bytes, there are {}", bytes.len());
            return Err(Error::new(Kind::Truncated, what).at(at));
        }
        if !bytes.starts_with(COOKIE) {
            return Err(Error::new(Kind::Malformed, "the footer does not begin with \"conectix\"").at(at));
        }
        let footer = &bytes[..bytes.len().min(crate::offset::saturated(LENGTH))];
        check_sum(footer, 64, "footer").map_err(|error| error.at(at + 64))?;
        check_version(be32(footer, 12), "footer").map_err(|error| error.at(at + 12))?;
        let disk_type = disk_type(be32(footer, 60)).map_err(|error| error.at(at + 60))?;
        let sectors = sectors(footer);
        if sectors > MAX_SECTORS {
            let what = format!("the disk has {sectors} sectors, the limit is {MAX_SECTORS}");
            return Err(Error::new(Kind::Malformed, what).at(at + 48));
        }
        let creator = be32(footer, 28).to_be_bytes();
        let is_fixed = disk_type == DiskType::Fixed;
        let facts = Facts { virtual_size: sectors * SECTOR, is_fixed, creator };
        Ok(Self { facts, disk_type, data_offset: be64(footer, 16) })
    }
}

/// Sectors of the disk: see the top of this file.
fn sectors(footer: &[u8]) -> u64 {
    let (heads, per_track) = (u64::from(footer[58]), u64::from(footer[59]));
    let geometry = u64::from(be16(footer, 56)) * heads * per_track;
    let goes_by_geometry = matches!(&footer[28..32], b"vpc " | b"qemu");
    if goes_by_geometry && geometry != MAX_GEOMETRY { geometry } else { be64(footer, 48) / SECTOR }
}

fn disk_type(value: u32) -> Result<DiskType, Error> {
    match value {
        2 => Ok(DiskType::Fixed),
        3 => Ok(DiskType::Dynamic),
        4 => Ok(DiskType::Differencing),
        other => {
            let what = format!("disk type {other} is neither fixed (2) nor dynamic (3)");
            Err(Error::new(Kind::Malformed, what))
        }
    }
}

/// The high half of a version is the part that a reader must know.
pub(super) fn check_version(version: u32, of: &str) -> Result<(), Error> {
    if version >> 16 == 1 {
        return Ok(());
    }
    let what = format!("{of} version {}.{} is not 1", version >> 16, version & 0xffff);
    Err(Error::new(Kind::Unsupported, what))
}

/// The checksum at `field` is the complement of the sum of all other bytes.
pub(super) fn check_sum(bytes: &[u8], field: usize, of: &str) -> Result<(), Error> {
    let sum = |bytes: &[u8]| bytes.iter().fold(0, |sum: u32, &byte| sum.wrapping_add(byte.into()));
    let computed = !sum(&bytes[..field]).wrapping_add(sum(&bytes[field + 4..]));
    let stated = be32(bytes, field);
    if computed == stated {
        return Ok(());
    }
    let what = format!("the {of}'s checksum is {stated:#010x}, its bytes give {computed:#010x}");
    Err(Error::new(Kind::Malformed, what))
}

#[cfg(test)]
mod tests;
