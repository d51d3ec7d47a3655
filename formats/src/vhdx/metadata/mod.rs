//! The metadata region (MS-VHDX §2.6): a table of 64 KiB, and the items it names.

mod locator;

use std::ops::Range;

use super::geometry::Facts;
use super::guid::Guid;
use crate::field::{bytes, le16, le32, le64};
use crate::{Error, Kind};

/// Bytes of the table; items lie behind it.
pub(super) const TABLE: u64 = 64 * 1024;

const SIGNATURE: &[u8] = b"metadata";
const MAX_ENTRIES: u16 = 2047;
const ENTRY: usize = 32;
const FIRST: usize = 32;
const MAX_DISK: u64 = 64 << 40;
const MIN_BLOCK: u32 = 1024 * 1024;
const MAX_BLOCK: u32 = 256 * 1024 * 1024;
/// Bytes of a parent locator that are read, to name the parent.
const LOCATOR: u64 = 64 * 1024;

const IS_USER: u32 = 1 << 0;
const IS_REQUIRED: u32 = 1 << 2;
const LEAVE_BLOCK_ALLOCATED: u32 = 1 << 0;
const HAS_PARENT: u32 = 1 << 1;

/// The items with a meaning for a reader. The first five are in every file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Item {
    FileParameters,
    VirtualDiskSize,
    VirtualDiskId,
    LogicalSectorSize,
    PhysicalSectorSize,
    ParentLocator,
}

impl Item {
    const ALL: [Self; 6] = [
        Self::FileParameters,
        Self::VirtualDiskSize,
        Self::VirtualDiskId,
        Self::LogicalSectorSize,
        Self::PhysicalSectorSize,
        Self::ParentLocator,
    ];

    const fn guid(self) -> Guid {
        match self {
            Self::FileParameters => Guid::new(0xcaa1_6737, 0xfa36, 0x4d43, 0xb3b6_33f0_aa44_e76b),
            Self::VirtualDiskSize => Guid::new(0x2fa5_4224, 0xcd1b, 0x4876, 0xb211_5dbe_d83b_f4b8),
            Self::VirtualDiskId => Guid::new(0xbeca_12ab, 0xb2e6, 0x4523, 0x93ef_c309_e000_c746),
            Self::LogicalSectorSize => Guid::new(0x8141_bf1d, 0xa96f, 0x4709, 0xba47_f233_a8fa_ab5f),
            Self::PhysicalSectorSize => Guid::new(0xcda3_48c7, 0x445d, 0x4471, 0x9cc9_e988_5251_c556),
            Self::ParentLocator => Guid::new(0xa8d3_5f2d, 0xb30b, 0x454d, 0xabf7_d3d8_4834_ab0c),
        }
    }

    /// Bytes that an item of this kind has; `None` where that differs.
    const fn len(self) -> Option<u32> {
        match self {
            Self::FileParameters | Self::VirtualDiskSize => Some(8),
            Self::VirtualDiskId => Some(16),
            Self::LogicalSectorSize | Self::PhysicalSectorSize => Some(4),
            Self::ParentLocator => None,
        }
    }

    const fn name(self) -> &'static str {
        match self {
            Self::FileParameters => "file parameters",
            Self::VirtualDiskSize => "virtual disk size",
            Self::VirtualDiskId => "virtual disk id",
            Self::LogicalSectorSize => "logical sector size",
            Self::PhysicalSectorSize => "physical sector size",
            Self::ParentLocator => "parent locator",
        }
    }
}

/// Where the items are in the file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Table {
    places: [Option<Range<u64>>; Item::ALL.len()],
}

impl Table {
    /// Reads the table of the metadata region at `region`.
    pub(super) fn decode(table: &[u8], region: &Range<u64>) -> Result<Self, Error> {
        if !table.starts_with(SIGNATURE) {
            return Err(Error::new(Kind::Malformed, "the metadata table has no signature").at(region.start));
        }
        let count = le16(table, 10);
        if count > MAX_ENTRIES {
            let what = format!("the metadata table has {count} entries, the limit is {MAX_ENTRIES}");
            return Err(Error::new(Kind::Malformed, what).at(region.start + 10));
        }
        let mut places = [const { None }; Item::ALL.len()];
        for (number, entry) in table[FIRST..].chunks_exact(ENTRY).take(count.into()).enumerate() {
            let at = region.start + (FIRST + number * ENTRY) as u64;
            let (guid, flags) = (Guid(bytes(entry, 0)), le32(entry, 24));
            let Some(known) = Item::ALL.iter().position(|item| item.guid() == guid) else {
                if flags & IS_REQUIRED != 0 {
                    let what = format!("the image needs metadata item {guid}, which this version does not know");
                    return Err(Error::new(Kind::Unsupported, what).at(at));
                }
                continue;
            };
            let item = Item::ALL[known];
            if flags & IS_USER != 0 {
                let what = format!("the {} is marked as a user's metadata", item.name());
                return Err(Error::new(Kind::Malformed, what).at(at + 24));
            }
            if places[known].replace(place(item, entry, region, at)?).is_some() {
                return Err(Error::new(Kind::Malformed, format!("the {} is listed twice", item.name())).at(at));
            }
        }
        without_overlap(&places, region.start)?;
        let table = Self { places };
        match Item::ALL.iter().find(|&&item| item != Item::ParentLocator && table.place(item).is_none()) {
            None => Ok(table),
            Some(item) => {
                let what = format!("the metadata have no {}", item.name());
                Err(Error::new(Kind::Malformed, what).at(region.start))
            }
        }
    }

    const fn place(&self, item: Item) -> Option<&Range<u64>> {
        self.places[item as usize].as_ref()
    }

    /// Host bytes that [`facts`](Self::facts) needs.
    pub(super) fn wanted(&self) -> impl Iterator<Item = &Range<u64>> {
        self.places.iter().flatten()
    }

    /// What the items say; `read` gives the bytes of one of the [`wanted`](Self::wanted) ranges.
    pub(super) fn facts(&self, has_log: bool, read: impl Fn(&Range<u64>) -> Vec<u8>) -> Result<Facts, Error> {
        let item = |item: Item| self.place(item).map_or((0, Vec::new()), |place| (place.start, read(place)));
        let (at, parameters) = item(Item::FileParameters);
        let (block_size, flags) = (le32(&parameters, 0), le32(&parameters, 4));
        if flags & HAS_PARENT != 0 || self.place(Item::ParentLocator).is_some() {
            return Err(locator::refusal(&item(Item::ParentLocator).1).at(at + 4));
        }
        if !block_size.is_power_of_two() || !(MIN_BLOCK..=MAX_BLOCK).contains(&block_size) {
            let what = format!("block size {block_size} is no power of two from {MIN_BLOCK} to {MAX_BLOCK}");
            return Err(Error::new(Kind::Malformed, what).at(at));
        }
        let sector = |kind: Item| {
            let (at, bytes) = item(kind);
            match le32(&bytes, 0) {
                size @ (512 | 4096) => Ok(size),
                other => {
                    let what = format!("{} {other} is neither 512 nor 4096", kind.name());
                    Err(Error::new(Kind::Malformed, what).at(at))
                }
            }
        };
        let (logical_sector, physical_sector) = (sector(Item::LogicalSectorSize)?, sector(Item::PhysicalSectorSize)?);
        let (at, size) = item(Item::VirtualDiskSize);
        let virtual_size = le64(&size, 0);
        if virtual_size > MAX_DISK || !virtual_size.is_multiple_of(logical_sector.into()) {
            let what = format!("virtual disk size {virtual_size} is no multiple of {logical_sector} up to {MAX_DISK}");
            return Err(Error::new(Kind::Malformed, what).at(at));
        }
        let fixed = flags & LEAVE_BLOCK_ALLOCATED != 0;
        Ok(Facts { virtual_size, block_size: block_size.into(), logical_sector, physical_sector, fixed, has_log })
    }
}

/// Host bytes of `item`, whose entry stands at `at` (§2.6.1.2).
fn place(item: Item, entry: &[u8], region: &Range<u64>, at: u64) -> Result<Range<u64>, Error> {
    let (offset, len) = (u64::from(le32(entry, 16)), le32(entry, 20));
    if item.len().is_some_and(|expected| expected != len) {
        let what = format!("the {} has {len} bytes", item.name());
        return Err(Error::new(Kind::Malformed, what).at(at + 20));
    }
    let start = region.start + offset;
    let end = start + u64::from(len);
    if offset < TABLE || end > region.end {
        let what = format!("the {} of {len} bytes at {offset:#x} is not inside the metadata", item.name());
        return Err(Error::new(Kind::Malformed, what).at(at + 16));
    }
    Ok(start..end.min(start + LOCATOR))
}

/// Items must not overlap (§2.6.1.2).
fn without_overlap(places: &[Option<Range<u64>>], table: u64) -> Result<(), Error> {
    let mut sorted: Vec<_> = places.iter().flatten().collect();
    sorted.sort_unstable_by_key(|place| place.start);
    match sorted.windows(2).find(|pair| pair[1].start < pair[0].end) {
        None => Ok(()),
        Some(pair) => {
            let what = format!("a metadata item at {:#x} overlaps one that ends at {:#x}", pair[1].start, pair[0].end);
            Err(Error::new(Kind::Malformed, what).at(table))
        }
    }
}

#[cfg(test)]
mod tests;
