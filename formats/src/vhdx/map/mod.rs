//! Guest-to-host map over a BAT that the caller reads, in parts of 64 KiB.
//!
//! ```text
//! guest offset / block size --> index, bitmap entries counted in --> BAT entry: 63-20 MiB of the file | 2-0 state
//! ```
//!
//! What the log wrote is laid over each part of the BAT as it comes in. That no two blocks share their bytes is not
//! checked: it would take the whole BAT, and does no harm to a reader.

use std::borrow::Cow;
use std::ops::Range;

use super::geometry::{ENTRY, Geometry, MIB};
use super::overlay::{Overlay, Source};
use super::region::Regions;
use crate::extent::Extents;
use crate::field::le64;
use crate::offset::saturated;
use crate::tables::{PART, Tables, joined};
use crate::{Error, Extent, GuestOffset, HostOffset, Kind, Lookup, Place};

const STATE: u64 = 0b111;
const RESERVED: u64 = (MIB - 1) & !STATE;

/// Map of a VHDX image.
#[derive(Clone, Debug)]
pub(super) struct Map {
    geometry: Geometry,
    file_len: u64,
    regions: Regions,
    /// What a pending log wrote: kept as long as the map, because nothing could read it again.
    overlay: Overlay,
    bat: Tables,
}

/// One entry of the BAT.
struct Entry {
    value: u64,
    /// Where it is in the file.
    at: u64,
    /// The block it describes.
    guest: Range<u64>,
}

/// Where a block's bytes are.
enum Block {
    Zero,
    Data(u64),
}

impl Map {
    pub(super) fn new(geometry: Geometry, file_len: u64, regions: Regions, overlay: Overlay) -> Self {
        Self { geometry, file_len, regions, overlay, bat: Tables::default() }
    }

    /// Length of the file once the log is replayed.
    fn replayed_len(&self) -> u64 {
        self.file_len.max(self.overlay.end)
    }

    /// Payload blocks that `guest` touches.
    fn blocks(&self, guest: &Range<u64>) -> Range<u64> {
        guest.start >> self.geometry.block_bits..guest.end.div_ceil(self.geometry.block())
    }

    /// Keeps the parts of the BAT that describe `guest`; those that are missing.
    fn missing(&mut self, guest: &Range<u64>) -> Result<Vec<Range<u64>>, Error> {
        let blocks = self.blocks(guest);
        let entries = self.geometry.index(blocks.start)..self.geometry.index(blocks.end - 1) + 1;
        let mut missing = Vec::new();
        for part in entries.start * ENTRY / PART..(entries.end * ENTRY).div_ceil(PART) {
            let host = self.geometry.part(part);
            if host.end > self.file_len {
                let what = format!("the BAT reaches to offset {:#x}, the file ends at {:#x}", host.end, self.file_len);
                return Err(Error::new(Kind::Truncated, what).at(host.start));
            }
            if !self.bat.want(host.start, host.end - host.start, self.geometry.part_until(part)) {
                missing.push(host);
            }
        }
        Ok(missing)
    }

    fn extents(&self, guest: &Range<u64>, out: &mut Extents<'_>) -> Result<(), Error> {
        for block in self.blocks(guest) {
            let entry = self.entry(block);
            let wanted = guest.start.max(entry.guest.start)..guest.end.min(entry.guest.end);
            match self.resolve(&entry)? {
                Block::Zero => out.push(wanted.start, wanted.end - wanted.start, Place::Zero),
                Block::Data(host) => self.push(host + (wanted.start - entry.guest.start), &wanted, &entry, out)?,
            }
        }
        Ok(())
    }

    fn entry(&self, block: u64) -> Entry {
        let at = self.geometry.index(block) * ENTRY;
        let part = self.bat.get(self.geometry.bat.start + at / PART * PART);
        let bytes = part.expect("extents are only made once no part is missing");
        let guest = block << self.geometry.block_bits;
        Entry {
            value: le64(bytes, saturated(at % PART)),
            at: self.geometry.bat.start + at,
            guest: guest..(guest + self.geometry.block()).min(self.geometry.virtual_size),
        }
    }

    /// Where the block of an entry is (MS-VHDX §2.5.1.1).
    fn resolve(&self, entry: &Entry) -> Result<Block, Error> {
        if entry.value & RESERVED != 0 {
            return Err(entry.refused("reserved bits are set"));
        }
        match entry.value & STATE {
            // Not present, undefined, zero, unmapped; 5 is what version 0.95 of the specification calls unmapped.
            0..=3 | 5 => Ok(Block::Zero),
            6 => self.place(entry).map(Block::Data),
            7 => Err(entry.refused("the block is partially present, which only one of a differencing image can be")),
            _ => Err(entry.refused("the state is reserved")),
        }
    }

    fn place(&self, entry: &Entry) -> Result<u64, Error> {
        let host = entry.value & !(MIB - 1);
        if host < MIB {
            return Err(entry.refused("the block lies in the headers"));
        }
        // File sizes are signed (qemu, off_t).
        if host > i64::MAX.unsigned_abs() - self.geometry.block() {
            return Err(entry.refused("the block lies behind the end of any file"));
        }
        if let Some(region) = self.regions.overlapped(&(host..host + self.geometry.block())) {
            return Err(entry.refused(&format!("the block overlaps the region at {:#x}", region.start)));
        }
        // Of the last block, only what the disk has must be there: qemu used not to write out the rest.
        let needed = host + (entry.guest.end - entry.guest.start);
        if needed > self.replayed_len() {
            let what = format!(
                "BAT entry {:#018x} needs the file up to {needed:#x}, it ends at {:#x}",
                entry.value,
                self.replayed_len()
            );
            return Err(Error::new(Kind::Truncated, what).at(entry.at));
        }
        Ok(host)
    }

    /// Pushes `guest` bytes of the block of `entry`, which lie at `host`.
    fn push(&self, host: u64, guest: &Range<u64>, entry: &Entry, out: &mut Extents<'_>) -> Result<(), Error> {
        let shift = |at: u64| guest.start + (at - host);
        let end = host + (guest.end - guest.start);
        // Behind the end of the file there is only what its growing at replay leaves: zeros.
        let plain = |range: Range<u64>, out: &mut Extents<'_>| {
            let data_end = self.file_len.clamp(range.start, range.end);
            out.push(shift(range.start), data_end - range.start, Place::Data(HostOffset(range.start)));
            out.push(shift(data_end), range.end - data_end, Place::Zero);
        };
        let mut next = host;
        for (written, source) in self.overlay.touching(host..end) {
            if source != Source::Zero {
                let what = format!(
                    "the log holds guest data for offset {:#x}; open the image once with its own software",
                    written.start
                );
                return Err(Error::new(Kind::Unsupported, what).at(entry.at));
            }
            plain(next..written.start, out);
            out.push(shift(written.start), written.end - written.start, Place::Zero);
            next = written.end;
        }
        plain(next..end, out);
        Ok(())
    }
}

impl Entry {
    fn refused(&self, why: &str) -> Error {
        Error::new(Kind::Malformed, format!("BAT entry {:#018x}: {why}", self.value)).at(self.at)
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
        let missing = self.missing(&guest)?;
        if !missing.is_empty() {
            return Ok(Lookup::Wants(joined(missing)));
        }
        let mut extents = Extents::new(out);
        self.extents(&guest, &mut extents).inspect_err(|_| extents.clear())?;
        Ok(Lookup::Found)
    }

    fn feed(&mut self, host: HostOffset, bytes: &[u8]) -> Result<(), Error> {
        let end = host.0.saturating_add(bytes.len() as u64);
        let mut bytes = Cow::Borrowed(bytes);
        if self.overlay.touches(host.0..end) {
            self.overlay.patch(host.0, bytes.to_mut());
        }
        self.bat.feed(host.0, &bytes);
        Ok(())
    }

    fn release(&mut self, guest: GuestOffset) {
        self.bat.release(guest.0);
    }

    /// What a pending log wrote is counted, and stays.
    fn memory(&self) -> usize {
        self.bat.memory() + self.overlay.memory()
    }
}

#[cfg(test)]
mod tests;
