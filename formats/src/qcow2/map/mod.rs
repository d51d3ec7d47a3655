//! Guest-to-host map over tables that the caller reads.
//!
//! ```text
//! lookup --> parts of the L1 table missing? --> Wants them
//!        --> parts of L2 tables missing?    --> Wants them, all at once
//!        --> Found
//! ```
//!
//! Both tables are cut into parts of at most 64 KiB that are kept while a guest offset to come may need them: the L1
//! table alone may have 32 MiB, and a window of 64 MiB needs some kilobytes of it.

use std::ops::Range;

use super::entry::{Entries, l2_table};
use super::geometry::{Geometry, L1_ENTRY};
use super::header::Header;
use crate::extent::Extents;
use crate::field::be64;
use crate::offset::saturated;
use crate::tables::{PART, Tables, joined};
use crate::{Error, Extent, GuestOffset, HostOffset, Kind, Lookup, Place};

/// Map of a qcow2 image.
#[derive(Clone, Debug)]
pub struct Map {
    geometry: Geometry,
    file_len: Option<u64>,
    l1: Tables,
    l2: Tables,
}

impl Map {
    /// The map of an image with this header, in a file of `file_len` bytes where that is known.
    #[must_use]
    pub fn new(header: &Header, file_len: Option<u64>) -> Self {
        Self { geometry: header.geometry, file_len, l1: Tables::default(), l2: Tables::default() }
    }

    /// Keeps the L1 parts that describe `guest`; those that are missing.
    fn missing_l1(&mut self, guest: &Range<u64>) -> Result<Vec<Range<u64>>, Error> {
        let coverage = PART / L1_ENTRY * self.geometry.l1_coverage();
        let table_end = self.geometry.l1_offset + self.geometry.l1_entries() * L1_ENTRY;
        let mut missing = Vec::new();
        for part in guest.start / coverage..guest.end.div_ceil(coverage) {
            let start = self.geometry.l1_offset + part * PART;
            let host = start..(start + PART).min(table_end);
            let until = (part + 1).saturating_mul(coverage).min(self.geometry.virtual_size);
            if !self.l1.want(host.start, host.end - host.start, until) {
                self.require(&host, || "the L1 table".to_owned())?;
                missing.push(host);
            }
        }
        Ok(missing)
    }

    /// Keeps the L2 parts that describe `guest`; those that are missing.
    fn missing_l2(&mut self, guest: &Range<u64>) -> Result<Vec<Range<u64>>, Error> {
        let mut missing = Vec::new();
        for index in self.l1_indices(guest) {
            let Some(table) = self.l2_table(index)? else {
                continue;
            };
            for part in self.l2_parts(guest, index, table) {
                let len = self.geometry.l2_part();
                let until = part.guest.saturating_add(self.geometry.l2_part_coverage());
                if !self.l2.want(part.host, len, until.min(self.geometry.virtual_size)) {
                    let host = part.host..part.host + len;
                    self.require(&host, || format!("the L2 table of L1 entry {index}"))?;
                    missing.push(host);
                }
            }
        }
        Ok(missing)
    }

    fn extents(&self, guest: &Range<u64>, out: &mut Extents<'_>) -> Result<(), Error> {
        for index in self.l1_indices(guest) {
            let Some(table) = self.l2_table(index)? else {
                let covered = self.covered(guest, index);
                out.push(covered.start, covered.end - covered.start, Place::Zero);
                continue;
            };
            for part in self.l2_parts(guest, index, table) {
                let bytes = self.l2.get(part.host).expect("extents are only made once no part is missing");
                let end = part.guest.saturating_add(self.geometry.l2_part_coverage());
                let covered = guest.start.max(part.guest)..guest.end.min(end);
                let entries = Entries { host: part.host, guest: part.guest, bytes };
                entries.resolve(&self.geometry, self.file_len, covered, out)?;
            }
        }
        Ok(())
    }

    fn l1_indices(&self, guest: &Range<u64>) -> Range<u64> {
        guest.start / self.geometry.l1_coverage()..guest.end.div_ceil(self.geometry.l1_coverage())
    }

    /// The part of `guest` that L1 entry `index` describes.
    fn covered(&self, guest: &Range<u64>, index: u64) -> Range<u64> {
        let start = index * self.geometry.l1_coverage();
        guest.start.max(start)..guest.end.min(start.saturating_add(self.geometry.l1_coverage()))
    }

    fn l2_table(&self, index: u64) -> Result<Option<u64>, Error> {
        let at = index * L1_ENTRY;
        let part = self.l1.get(self.geometry.l1_offset + at / PART * PART);
        let bytes = part.expect("L2 tables are only looked for once no L1 part is missing");
        l2_table(&self.geometry, index, be64(bytes, saturated(at % PART)))
    }

    /// Parts of the L2 table at `table` that describe `guest`, as far as L1 entry `index` does.
    fn l2_parts(&self, guest: &Range<u64>, index: u64, table: u64) -> impl Iterator<Item = L2Part> + use<> {
        let (len, coverage) = (self.geometry.l2_part(), self.geometry.l2_part_coverage());
        let base = index * self.geometry.l1_coverage();
        let covered = self.covered(guest, index);
        let parts = (covered.start - base) / coverage..(covered.end - base).div_ceil(coverage);
        parts.map(move |part| L2Part { host: table + part * len, guest: base + part * coverage })
    }

    /// Refuses a table that the file does not hold.
    fn require(&self, host: &Range<u64>, table: impl Fn() -> String) -> Result<(), Error> {
        match self.file_len {
            Some(end) if host.end > end => {
                let what = format!("{} reaches to offset {:#x}, the file ends at {end:#x}", table(), host.end);
                Err(Error::new(Kind::Truncated, what).at(host.start))
            }
            _ => Ok(()),
        }
    }
}

/// A part of an L2 table: its offset in the image and the first guest byte it describes.
struct L2Part {
    host: u64,
    guest: u64,
}

impl crate::Map for Map {
    fn virtual_size(&self) -> u64 {
        self.geometry.virtual_size
    }

    fn max_encoded(&self) -> u64 {
        self.geometry.cluster()
    }

    fn lookup(&mut self, guest: Range<u64>, out: &mut Vec<Extent>) -> Result<Lookup, Error> {
        let guest = guest.start..guest.end.min(self.geometry.virtual_size);
        if guest.is_empty() {
            return Ok(Lookup::Found);
        }
        let mut missing = self.missing_l1(&guest)?;
        if missing.is_empty() {
            missing = self.missing_l2(&guest)?;
        }
        if !missing.is_empty() {
            return Ok(Lookup::Wants(joined(missing)));
        }
        let mut extents = Extents::new(out);
        self.extents(&guest, &mut extents).inspect_err(|_| extents.clear())?;
        Ok(Lookup::Found)
    }

    fn feed(&mut self, host: HostOffset, bytes: &[u8]) -> Result<(), Error> {
        self.l1.feed(host.0, bytes);
        self.l2.feed(host.0, bytes);
        Ok(())
    }

    fn release(&mut self, guest: GuestOffset) {
        self.l1.release(guest.0);
        self.l2.release(guest.0);
    }

    fn memory(&self) -> usize {
        self.l1.memory() + self.l2.memory()
    }
}

#[cfg(test)]
mod tests;
