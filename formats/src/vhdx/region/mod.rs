//! The region table (MS-VHDX §2.2.3): where the BAT and the metadata are, and what else is in the file.

use std::ops::Range;

use super::geometry::MIB;
use super::guid::Guid;
use crate::field::{bytes, le32, le64};
use crate::{Error, Kind, crc32c};

/// Where the two copies are.
pub(super) const PLACES: [u64; 2] = [192 * 1024, 256 * 1024];

/// Bytes of a table; its checksum covers them all.
pub(super) const LENGTH: u64 = 64 * 1024;

const SIGNATURE: &[u8] = b"regi";
const MAX_ENTRIES: u32 = 2047;
const ENTRY: usize = 32;
const FIRST: usize = 16;

const BAT: Guid = Guid::new(0x2dc2_7766, 0xf623, 0x4200, 0x9d64_115e_9bfd_4a08);
const METADATA: Guid = Guid::new(0x8b7c_a206, 0x4790, 0x4b9a, 0xb8fe_575f_050f_886e);

/// The regions of a file, and its log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Regions {
    pub(super) bat: Range<u64>,
    pub(super) metadata: Range<u64>,
    /// Host bytes that no payload block may lie in; ascending, none overlaps another, none is empty.
    pub(super) taken: Vec<Range<u64>>,
}

impl Regions {
    /// Reads the first valid one of the tables at [`PLACES`]. The specification does not say what the second copy is
    /// for; a reader that uses it reads files that are damaged in the first.
    pub(super) fn decode(tables: [&[u8]; 2], log: &Range<u64>) -> Result<Self, Error> {
        for (table, place) in tables.into_iter().zip(PLACES) {
            if table.starts_with(SIGNATURE) && crc32c::without(table, 4) == le32(table, 4) {
                return Self::of_table(table, place, log);
            }
        }
        let what = "neither region table has its signature and its checksum";
        Err(Error::new(Kind::Malformed, what).at(PLACES[0]))
    }

    fn of_table(table: &[u8], place: u64, log: &Range<u64>) -> Result<Self, Error> {
        let count = le32(table, 8);
        if count > MAX_ENTRIES {
            let what = format!("the region table has {count} entries, the limit is {MAX_ENTRIES}");
            return Err(Error::new(Kind::Malformed, what).at(place + 8));
        }
        let (mut bat, mut metadata) = (None, None);
        let mut taken = vec![log.clone()];
        for (number, entry) in table[FIRST..].chunks_exact(ENTRY).take(count as usize).enumerate() {
            let at = place + (FIRST + number * ENTRY) as u64;
            let (guid, host) = (Guid(bytes(entry, 0)), host(entry, at)?);
            let known = match guid {
                BAT => &mut bat,
                METADATA => &mut metadata,
                _ if le32(entry, 28) & 1 != 0 => {
                    let what = format!("the image needs region {guid}, which this version does not know");
                    return Err(Error::new(Kind::Unsupported, what).at(at));
                }
                _ => &mut None,
            };
            if known.replace(host.clone()).is_some() {
                return Err(Error::new(Kind::Malformed, format!("region {guid} is listed twice")).at(at));
            }
            taken.push(host);
        }
        let missing = |name: &str| Error::new(Kind::Malformed, format!("the image has no {name} region")).at(place);
        let bat = bat.ok_or_else(|| missing("BAT"))?;
        let metadata = metadata.ok_or_else(|| missing("metadata"))?;
        Ok(Self { bat, metadata, taken: without_overlap(taken, place)? })
    }

    /// The region, or the log, that `host` overlaps.
    pub(super) fn overlapped(&self, host: &Range<u64>) -> Option<&Range<u64>> {
        let before = self.taken.partition_point(|region| region.start < host.end);
        self.taken[..before].last().filter(|region| region.end > host.start)
    }
}

/// Host bytes of the region of an entry that stands at `at`.
fn host(entry: &[u8], at: u64) -> Result<Range<u64>, Error> {
    let (start, len) = (le64(entry, 16), u64::from(le32(entry, 24)));
    if !start.is_multiple_of(MIB) || start < MIB || start > i64::MAX.unsigned_abs() - len {
        let what = format!("a region is at {start:#x} instead of a multiple of 1 MiB behind the headers");
        return Err(Error::new(Kind::Malformed, what).at(at + 16));
    }
    if !len.is_multiple_of(MIB) {
        return Err(Error::new(Kind::Malformed, format!("a region has {len} bytes instead of whole MiB")).at(at + 24));
    }
    Ok(start..start + len)
}

fn without_overlap(mut taken: Vec<Range<u64>>, place: u64) -> Result<Vec<Range<u64>>, Error> {
    taken.retain(|region| !region.is_empty());
    taken.sort_unstable_by_key(|region| region.start);
    match taken.windows(2).find(|pair| pair[1].start < pair[0].end) {
        None => Ok(taken),
        Some(pair) => {
            let what = format!("a region at {:#x} overlaps one that ends at {:#x}", pair[1].start, pair[0].end);
            Err(Error::new(Kind::Malformed, what).at(place))
        }
    }
}

#[cfg(test)]
mod tests;
