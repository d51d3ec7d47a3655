//! The header of version 1.1: every field that reading depends on is checked here, once.
//!
//! ```text
//! 0x000 text          0x154 offset_bmap   0x178 block_size         0x198 uuid of the last snapshot
//! 0x040 signature     0x158 offset_data   0x17c extra block bytes  0x1a8 uuid this image is linked to
//! 0x044 version       0x168 sector_size   0x180 blocks_in_image    0x1b8 uuid of the parent's state
//! 0x048 header_size   0x170 disk_size     0x184 blocks_allocated
//! 0x04c image_type    (the geometry, image_flags and the description are for people and old guests)
//! ```
//!
//! The source is VirtualBox's `VDICore.h`, limits are those of qemu's `block/vdi.c`, which reads the same images. Two
//! rules are stricter than qemu's, which would read other bytes without a word: tables and blocks do not overlap (as in
//! VirtualBox), and an image is of a type that stands on its own.

use crate::blocks::{ENTRY, Layout};
use crate::field::{le32, le64};
use crate::{Error, Kind};

const SIGNATURE: u32 = 0xbeda_107f;
const VERSION: u32 = 0x0001_0001;
/// Offset at which the part of the header begins that `header_size` counts.
const SIZED_FROM: u64 = 0x48;
/// Bytes of that part in version 1.1; later VirtualBox versions append to it.
const MIN_HEADER_SIZE: u32 = 0x180;
const SECTOR: u64 = 512;
const MIN_BLOCK: u32 = 4 * 1024;
const MAX_BLOCK: u32 = 64 * 1024 * 1024;
/// Most entries of a block map (qemu, `VDI_BLOCKS_IN_IMAGE_MAX`): its bytes fit a signed 32-bit number.
const MAX_BLOCKS: u32 = 0x1fff_ff80;
/// Least of the two values that say that a block holds nothing: 0xfffffffe zeros, 0xffffffff never written.
const NO_BLOCK: u32 = 0xffff_fffe;

/// What a header says that a person may want to know.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Facts {
    /// Size of the disk in bytes, rounded up to whole sectors of 512 bytes as qemu rounds it.
    pub virtual_size: u64,
    /// Bytes of a block, a power of two from 4 KiB to 64 MiB; 1 MiB in every image that VirtualBox or qemu makes.
    pub block_size: u64,
    /// All blocks were allocated when the image was made (image type 2).
    pub is_static: bool,
}

/// A header that has been checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    facts: Facts,
    bmap: u64,
    data: u64,
}

impl Header {
    /// First bytes of the image that [`decode`](Self::decode) wants.
    pub const WANTED: usize = 512;

    /// Reads a header from the first [`WANTED`](Self::WANTED) bytes of an image, or more.
    ///
    /// # Errors
    /// A field that no valid image has, that names another image, or that this version does not read.
    pub fn decode(head: &[u8]) -> Result<Self, Error> {
        if head.len() < Self::WANTED {
            let what = format!("the header needs {} bytes, the file ends at {}", Self::WANTED, head.len());
            return Err(Error::new(Kind::Truncated, what));
        }
        check_version(head)?;
        let is_static = is_static(head)?;
        check_parents(head)?;
        let block_size = block_size(head)?;
        let virtual_size = virtual_size(head, block_size)?;
        let (bmap, data) = places(head)?;
        Ok(Self { facts: Facts { virtual_size, block_size, is_static }, bmap, data })
    }

    /// What the header says.
    #[must_use]
    pub const fn facts(&self) -> &Facts {
        &self.facts
    }
}

fn check_version(head: &[u8]) -> Result<(), Error> {
    if le32(head, 0x40) != SIGNATURE {
        return Err(malformed(0x40, format!("the signature is {:#010x} instead of {SIGNATURE:#x}", le32(head, 0x40))));
    }
    let version = le32(head, 0x44);
    if version != VERSION {
        let what = format!("VDI version {}.{} is not 1.1", version >> 16, version & 0xffff);
        return Err(Error::new(Kind::Unsupported, what).at(0x44));
    }
    let size = le32(head, 0x48);
    if size < MIN_HEADER_SIZE {
        return Err(malformed(0x48, format!("header_size is {size}, version 1.1 has at least {MIN_HEADER_SIZE}")));
    }
    Ok(())
}

fn is_static(head: &[u8]) -> Result<bool, Error> {
    let differs = |name: &str| {
        let what = format!("the image is {name}, a difference to another image, which is never opened");
        Err(Error::new(Kind::BackingFile, what).at(0x4c))
    };
    match le32(head, 0x4c) {
        1 => Ok(false),
        2 => Ok(true),
        3 => differs("an undo image (type 3)"),
        4 => differs("a differencing image (type 4)"),
        other => Err(malformed(0x4c, format!("image_type is {other} instead of 1 (dynamic) or 2 (static)"))),
    }
}

/// Refuses an image that is linked to another.
fn check_parents(head: &[u8]) -> Result<(), Error> {
    for (at, field) in [(0x1a8, "linked to"), (0x1b8, "a change of")] {
        let uuid = &head[at..at + 16];
        if uuid.iter().any(|&byte| byte != 0) {
            let what = format!("the image is {field} the image with UUID {}, which is never opened", printed(uuid));
            return Err(Error::new(Kind::BackingFile, what).at(at as u64));
        }
    }
    Ok(())
}

/// A UUID as VirtualBox prints it: its first three fields are little-endian.
fn printed(uuid: &[u8]) -> String {
    const GROUPS: [&[usize]; 5] = [&[3, 2, 1, 0], &[5, 4], &[7, 6], &[8, 9], &[10, 11, 12, 13, 14, 15]];
    GROUPS.map(|group| group.iter().map(|&at| format!("{:02x}", uuid[at])).collect::<String>()).join("-")
}

fn block_size(head: &[u8]) -> Result<u64, Error> {
    let sector = le32(head, 0x168);
    if u64::from(sector) != SECTOR {
        return Err(Error::new(Kind::Unsupported, format!("sector_size is {sector}, only 512 is read")).at(0x168));
    }
    let block = le32(head, 0x178);
    if !block.is_power_of_two() || !(MIN_BLOCK..=MAX_BLOCK).contains(&block) {
        let what = format!("block_size is {block} instead of a power of two from {MIN_BLOCK} to {MAX_BLOCK}");
        return Err(malformed(0x178, what));
    }
    let extra = le32(head, 0x17c);
    if extra != 0 {
        let what = format!("each block has {extra} extra bytes, which this version does not read");
        return Err(Error::new(Kind::Unsupported, what).at(0x17c));
    }
    Ok(block.into())
}

fn virtual_size(head: &[u8], block_size: u64) -> Result<u64, Error> {
    let (disk_size, blocks) = (le64(head, 0x170), le32(head, 0x180));
    if blocks > MAX_BLOCKS {
        return Err(malformed(0x180, format!("blocks_in_image is {blocks}, the limit is {MAX_BLOCKS}")));
    }
    let room = u64::from(blocks) * block_size;
    match disk_size.checked_next_multiple_of(SECTOR) {
        Some(size) if size <= room => Ok(size),
        _ => {
            let what = format!("disk_size is {disk_size}, {blocks} blocks have room for {room} bytes");
            Err(malformed(0x170, what))
        }
    }
}

/// Offsets of the block map and of the first block.
fn places(head: &[u8]) -> Result<(u64, u64), Error> {
    let (bmap, data) = (u64::from(le32(head, 0x154)), u64::from(le32(head, 0x158)));
    let header_end = SIZED_FROM + u64::from(le32(head, 0x48));
    let bmap_end = bmap + u64::from(le32(head, 0x180)) * ENTRY;
    if !bmap.is_multiple_of(SECTOR) || bmap < header_end {
        let what =
            format!("offset_bmap is {bmap:#x} instead of a multiple of 512 behind the header's end {header_end:#x}");
        return Err(malformed(0x154, what));
    }
    if !data.is_multiple_of(SECTOR) || data < bmap_end {
        let what =
            format!("offset_data is {data:#x} instead of a multiple of 512 behind the block map's end {bmap_end:#x}");
        return Err(malformed(0x158, what));
    }
    Ok((bmap, data))
}

fn malformed(field: u64, what: impl Into<String>) -> Error {
    Error::new(Kind::Malformed, what).at(field)
}

impl Layout for Header {
    const NAME: &'static str = "block map";

    fn table(&self) -> u64 {
        self.bmap
    }

    fn block(&self) -> u64 {
        self.facts.block_size
    }

    fn virtual_size(&self) -> u64 {
        self.facts.virtual_size
    }

    fn value(entry: [u8; 4]) -> u32 {
        u32::from_le_bytes(entry)
    }

    fn host(&self, value: u32) -> Option<u64> {
        (value < NO_BLOCK).then(|| self.data + u64::from(value) * self.facts.block_size)
    }
}

#[cfg(test)]
mod tests;
