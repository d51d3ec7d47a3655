//! One table with an entry of four bytes for each block of a disk: the whole map of a VDI and of a dynamic VHD.
//!
//! ```text
//! table   | entry 0 | entry 1 | entry 2 | ...     wanted in parts of at most 64 KiB
//!              |         |
//!              v         v
//! file    ... block ... zeros ...
//! ```
//!
//! What an entry means is the format's business ([`Layout`]); which parts are missing, where extents begin and end, and
//! that a block which is named is there, is the same for both and said once.

use std::ops::Range;

use crate::extent::Extents;
use crate::offset::saturated;
use crate::tables::{PART, Tables};
use crate::{Error, Extent, HostOffset, Kind, Lookup, Place};

/// Bytes of an entry.
pub(crate) const ENTRY: u64 = 4;

/// Entries of a part.
const PART_ENTRIES: u64 = PART / ENTRY;

/// What a header says about the table and its blocks. No sum or product of the values overflows, and a host offset is at
/// most 2^60.
pub(crate) trait Layout {
    /// The field's name for the table.
    const NAME: &'static str;

    /// Host offset of the table.
    fn table(&self) -> u64;

    /// Bytes of a block as the guest sees it.
    fn block(&self) -> u64;

    /// Size of the disk in bytes.
    fn virtual_size(&self) -> u64;

    /// The value of an entry.
    fn value(entry: [u8; 4]) -> u32;

    /// Host offset of a block's first guest byte; `None` where the block reads as zeros.
    fn host(&self, value: u32) -> Option<u64>;
}

/// The map over one table.
#[derive(Clone, Debug)]
pub(crate) struct Blocks<L> {
    layout: L,
    file_len: Option<u64>,
    parts: Tables,
}

impl<L: Layout> Blocks<L> {
    /// The map of an image in a file of `file_len` bytes, where that is known.
    pub(crate) fn new(layout: L, file_len: Option<u64>) -> Self {
        Self { layout, file_len, parts: Tables::default() }
    }

    pub(crate) fn virtual_size(&self) -> u64 {
        self.layout.virtual_size()
    }

    /// As [`Map::lookup`](crate::Map::lookup).
    pub(crate) fn lookup(&mut self, guest: Range<u64>, out: &mut Vec<Extent>) -> Result<Lookup, Error> {
        let guest = guest.start..guest.end.min(self.virtual_size());
        if guest.is_empty() {
            return Ok(Lookup::Found);
        }
        let missing = self.missing(&guest)?;
        if !missing.is_empty() {
            return Ok(Lookup::Wants(missing));
        }
        let mut extents = Extents::new(out);
        self.extents(&guest, &mut extents).inspect_err(|_| extents.clear())?;
        Ok(Lookup::Found)
    }

    /// As [`Map::feed`](crate::Map::feed), and nothing is refused before it is looked up.
    pub(crate) fn feed(&mut self, host: u64, bytes: &[u8]) {
        self.parts.feed(host, bytes);
    }

    /// As [`Map::release`](crate::Map::release).
    pub(crate) fn release(&mut self, guest: u64) {
        self.parts.release(guest);
    }

    /// As [`Map::memory`](crate::Map::memory).
    pub(crate) fn memory(&self) -> usize {
        self.parts.memory()
    }

    /// Guest bytes that a part describes.
    fn coverage(&self) -> u64 {
        PART_ENTRIES * self.layout.block()
    }

    /// Keeps the parts that describe `guest`; those that are missing.
    fn missing(&mut self, guest: &Range<u64>) -> Result<Vec<Range<u64>>, Error> {
        let (coverage, size) = (self.coverage(), self.virtual_size());
        let table_end = self.layout.table() + size.div_ceil(self.layout.block()) * ENTRY;
        let mut missing = Vec::new();
        for part in guest.start / coverage..guest.end.div_ceil(coverage) {
            let start = self.layout.table() + part * PART;
            let host = start..(start + PART).min(table_end);
            let until = (part + 1).saturating_mul(coverage).min(size);
            if !self.parts.want(host.start, host.end - host.start, until) {
                self.require(&host)?;
                missing.push(host);
            }
        }
        Ok(missing)
    }

    /// Refuses a part that the file does not hold.
    fn require(&self, host: &Range<u64>) -> Result<(), Error> {
        match self.file_len {
            Some(end) if host.end > end => {
                let what = format!("the {} reaches to offset {:#x}, the file ends at {end:#x}", L::NAME, host.end);
                Err(Error::new(Kind::Truncated, what).at(host.start))
            }
            _ => Ok(()),
        }
    }

    fn extents(&self, guest: &Range<u64>, out: &mut Extents<'_>) -> Result<(), Error> {
        let block = self.layout.block();
        for index in guest.start / block..guest.end.div_ceil(block) {
            let start = index * block;
            let wanted = guest.start.max(start)..guest.end.min(start.saturating_add(block));
            let value = self.entry(index);
            let place = match self.layout.host(value) {
                None => Place::Zero,
                Some(host) => {
                    self.require_block(index, value, host)?;
                    Place::Data(HostOffset(host + (wanted.start - start)))
                }
            };
            out.push(wanted.start, wanted.end - wanted.start, place);
        }
        Ok(())
    }

    fn entry(&self, index: u64) -> u32 {
        let part = self.parts.get(self.layout.table() + index / PART_ENTRIES * PART);
        let bytes = part.expect("extents are only made once no part is missing");
        let at = saturated(index % PART_ENTRIES * ENTRY);
        L::value(*bytes[at..].first_chunk().expect("a part has whole entries"))
    }

    /// Refuses a block that the file does not hold as far as the disk goes: both formats write whole blocks.
    fn require_block(&self, index: u64, value: u32, host: u64) -> Result<(), Error> {
        let guest = index * self.layout.block();
        let block_end = host + self.layout.block().min(self.virtual_size() - guest);
        match self.file_len {
            Some(end) if block_end > end => {
                let what = format!(
                    "{} entry {index} is {value:#010x}: its block reaches to offset {block_end:#x}, \
                     the file ends at {end:#x}",
                    L::NAME
                );
                Err(Error::new(Kind::Truncated, what).at(self.layout.table() + index * ENTRY))
            }
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests;
