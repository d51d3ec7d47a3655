//! Guest-to-host map over tables that the caller reads.
//!
//! ```text
//! lookup --> parts of the L1 table missing? --> Wants them
//!        --> parts of L2 tables missing?    --> Wants them, all at once
//!        --> Found
//! ```
//!
//! An entry of 0 is not allocated; an entry of 1 in an L2 table reads as zeros. Without a backing file both are zeros.

use std::ops::Range;

use super::header::{ENTRY, Geometry, Header, check_place};
use crate::extent::Extents;
use crate::field::le64;
use crate::offset::saturated;
use crate::tables::{PART, Tables, joined};
use crate::{Error, Extent, GuestOffset, HostOffset, Kind, Lookup, Place};

/// An entry of an L2 table whose cluster reads as zeros.
const ZERO_CLUSTER: u64 = 1;

/// Map of a QED image.
#[derive(Clone, Debug)]
pub struct Map {
    geometry: Geometry,
    /// First host byte that no whole cluster of the file holds: qemu never leaves part of one behind.
    clusters_end: Option<u64>,
    l1: Tables,
    l2: Tables,
}

/// A part of an L2 table.
struct L2Part {
    /// Offset in the image.
    host: u64,
    /// First guest byte it describes.
    guest: u64,
}

impl Map {
    /// The map of an image with this header, in a file of `file_len` bytes where that is known.
    #[must_use]
    pub fn new(header: &Header, file_len: Option<u64>) -> Self {
        let geometry = header.geometry;
        let clusters_end = file_len.map(|len| len - len % geometry.cluster());
        Self { geometry, clusters_end, l1: Tables::default(), l2: Tables::default() }
    }

    /// Keeps the L1 parts that describe `guest`; those that are missing.
    fn missing_l1(&mut self, guest: &Range<u64>) -> Result<Vec<Range<u64>>, Error> {
        let (start, len) = (self.geometry.l1_offset, self.geometry.table());
        self.require(start, len, start, || "the L1 table".to_owned())?;
        let coverage = (PART / ENTRY).saturating_mul(self.geometry.l1_coverage());
        let entries = self.geometry.virtual_size.div_ceil(self.geometry.l1_coverage());
        let mut missing = Vec::new();
        for part in guest.start / coverage..guest.end.div_ceil(coverage) {
            let host = start + part * PART..start + ((part + 1) * PART).min(entries * ENTRY);
            let until = (part + 1).saturating_mul(coverage).min(self.geometry.virtual_size);
            if !self.l1.want(host.start, host.end - host.start, until) {
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
                let until = part.guest.saturating_add(self.geometry.part_coverage()).min(self.geometry.virtual_size);
                if !self.l2.want(part.host, self.geometry.part(), until) {
                    missing.push(part.host..part.host + self.geometry.part());
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
                self.resolve(&part, guest, out)?;
            }
        }
        Ok(())
    }

    /// Appends the extents of the part of `guest` that `part` describes.
    fn resolve(&self, part: &L2Part, guest: &Range<u64>, out: &mut Extents<'_>) -> Result<(), Error> {
        let bytes = self.l2.get(part.host).expect("extents are only made once no part is missing");
        let cluster = self.geometry.cluster();
        let end = guest.end.min(part.guest.saturating_add(self.geometry.part_coverage()));
        let mut next = guest.start.max(part.guest);
        while next < end {
            let at = (next - part.guest) / cluster * ENTRY;
            let start = next - next % cluster;
            let stop = end.min(start + cluster);
            let place = match le64(bytes, saturated(at)) {
                0 | ZERO_CLUSTER => Place::Zero,
                host => {
                    let name = || format!("the cluster of guest offset {start:#x}");
                    check_place(&name(), &self.geometry, host, cluster)
                        .map_err(|what| Error::new(Kind::Malformed, what).at(part.host + at))?;
                    self.require(host, cluster, part.host + at, name)?;
                    Place::Data(HostOffset(host + (next - start)))
                }
            };
            out.push(next, stop - next, place);
            next = stop;
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

    /// Offset of the L2 table that L1 entry `index` names, if it names one.
    fn l2_table(&self, index: u64) -> Result<Option<u64>, Error> {
        let at = index * ENTRY;
        let part = self.l1.get(self.geometry.l1_offset + at / PART * PART);
        let bytes = part.expect("L2 tables are only looked for once no L1 part is missing");
        let offset = le64(bytes, saturated(at % PART));
        if offset == 0 {
            return Ok(None);
        }
        let (entry, len) = (self.geometry.l1_offset + at, self.geometry.table());
        let name = || format!("the L2 table of L1 entry {index}");
        check_place(&name(), &self.geometry, offset, len)
            .map_err(|what| Error::new(Kind::Malformed, what).at(entry))?;
        self.require(offset, len, entry, name)?;
        Ok(Some(offset))
    }

    /// Parts of the L2 table at `table` that describe `guest`, as far as L1 entry `index` does.
    fn l2_parts(&self, guest: &Range<u64>, index: u64, table: u64) -> impl Iterator<Item = L2Part> + use<> {
        let (len, coverage) = (self.geometry.part(), self.geometry.part_coverage());
        let base = index * self.geometry.l1_coverage();
        let covered = self.covered(guest, index);
        let parts = (covered.start - base) / coverage..(covered.end - base).div_ceil(coverage);
        parts.map(move |part| L2Part { host: table + part * len, guest: base + part * coverage })
    }

    /// Refuses what the whole clusters of the file do not hold; `entry` is where its offset stands.
    fn require(&self, host: u64, len: u64, entry: u64, name: impl Fn() -> String) -> Result<(), Error> {
        match self.clusters_end {
            Some(end) if host + len > end => {
                let name = name();
                let what = format!("{name} reaches to offset {:#x}, the file's clusters end at {end:#x}", host + len);
                Err(Error::new(Kind::Truncated, what).at(entry))
            }
            _ => Ok(()),
        }
    }
}

impl crate::Map for Map {
    fn virtual_size(&self) -> u64 {
        self.geometry.virtual_size
    }

    fn max_encoded(&self) -> u64 {
        0
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
