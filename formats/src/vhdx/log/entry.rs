//! One entry of the log (MS-VHDX §2.3.1): a header and descriptors in whole sectors, then one sector for each
//! descriptor of data.

use std::ops::Range;

use super::Ring;
use crate::crc32c::Crc32c;
use crate::field::{bytes, le32, le64};
use crate::vhdx::guid::Guid;
use crate::vhdx::overlay::{SECTOR, Source};
use crate::{Error, Kind};

const HEADER: usize = 64;
const DESCRIPTOR: usize = 32;

/// Nothing in front of this is written through the log: the identifier and the headers (§2.2.2).
const FIRST_LOGGED: u64 = 192 * 1024;

/// The header of an entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Entry {
    /// Where it begins in the ring.
    pub(super) sector: usize,
    pub(super) sectors: usize,
    /// Byte of the ring at which the sequence that ends with this entry begins.
    pub(super) tail: usize,
    pub(super) sequence: u64,
    /// Length the file had at least.
    pub(super) flushed: u64,
    /// Length the file needs at least.
    pub(super) last: u64,
    checksum: u32,
    pub(super) descriptors: usize,
}

/// What one descriptor writes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Change {
    /// Bytes of the file.
    pub(super) host: Range<u64>,
    /// Where the data are in the ring, their first 8 and their last 4 bytes; `None` for zeros.
    pub(super) data: Option<(usize, [u8; 8], [u8; 4])>,
    /// Where the descriptor is in the file.
    at: u64,
}

impl Entry {
    /// The header at `sector`, if it is one by itself.
    pub(super) fn decode(ring: Ring<'_>, sector: usize, guid: Guid) -> Option<Self> {
        let header = ring.sector(sector);
        let (len, tail) = (le32(header, 8) as usize, le32(header, 12) as usize);
        let entry = Self {
            sector,
            sectors: len / SECTOR,
            tail,
            sequence: le64(header, 16),
            flushed: le64(header, 48),
            last: le64(header, 56),
            checksum: le32(header, 4),
            descriptors: le32(header, 24) as usize,
        };
        let is_header = header.starts_with(b"loge")
            && len.is_multiple_of(SECTOR)
            && tail.is_multiple_of(SECTOR)
            && (1..=ring.sectors()).contains(&entry.sectors)
            && tail / SECTOR < ring.sectors()
            && entry.sequence != 0
            && Guid(bytes(header, 32)) == guid
            && entry.descriptor_sectors() <= entry.sectors;
        is_header.then_some(entry)
    }

    const fn descriptor_sectors(&self) -> usize {
        self.descriptors.saturating_mul(DESCRIPTOR).saturating_add(HEADER).div_ceil(SECTOR)
    }

    fn descriptor<'r>(&self, ring: Ring<'r>, number: usize) -> &'r [u8] {
        let at = HEADER + number * DESCRIPTOR;
        &ring.sector(self.sector + at / SECTOR)[at % SECTOR..][..DESCRIPTOR]
    }

    /// Says whether descriptors and data belong to the header, and the checksum holds.
    pub(super) fn is_valid(&self, ring: Ring<'_>) -> bool {
        let mut data_sectors = 0;
        for number in 0..self.descriptors {
            let descriptor = self.descriptor(ring, number);
            let is_aligned = le64(descriptor, 16).is_multiple_of(SECTOR as u64);
            if le64(descriptor, 24) != self.sequence || !is_aligned {
                return false;
            }
            match descriptor {
                [b'd', b'e', b's', b'c', ..] => data_sectors += 1,
                [b'z', b'e', b'r', b'o', ..] if le64(descriptor, 8).is_multiple_of(SECTOR as u64) => {}
                _ => return false,
            }
        }
        let first_data = self.descriptor_sectors();
        first_data + data_sectors == self.sectors
            && (first_data..self.sectors).all(|sector| self.is_data(ring.sector(self.sector + sector)))
            && self.checksum(ring) == self.checksum
    }

    fn is_data(&self, sector: &[u8]) -> bool {
        let halves = u64::from(le32(sector, 4)) << 32 | u64::from(le32(sector, SECTOR - 4));
        sector.starts_with(b"data") && halves == self.sequence
    }

    fn checksum(&self, ring: Ring<'_>) -> u32 {
        let mut crc = Crc32c::new();
        crc.update_without(ring.sector(self.sector), 4);
        for sector in 1..self.sectors {
            crc.update(ring.sector(self.sector + sector));
        }
        crc.value()
    }

    /// Sector of the ring that holds the data of the first descriptor of data.
    pub(super) const fn first_data_sector(&self) -> usize {
        self.sector + self.descriptor_sectors()
    }

    /// What descriptor `number` of a valid entry of the log at `host` writes, from `data_sector` if it is data.
    pub(super) fn change(&self, ring: Ring<'_>, host: u64, number: usize, data_sector: usize) -> Result<Change, Error> {
        let descriptor = self.descriptor(ring, number);
        let start = le64(descriptor, 16);
        let (len, data) = if descriptor.starts_with(b"zero") {
            (le64(descriptor, 8), None)
        } else {
            (SECTOR as u64, Some((ring.place(data_sector), bytes(descriptor, 8), bytes(descriptor, 4))))
        };
        let place = HEADER + number * DESCRIPTOR;
        let at = host + (ring.place(self.sector + place / SECTOR) + place % SECTOR) as u64;
        // File sizes are signed (qemu, off_t).
        match start.checked_add(len) {
            Some(end) if end <= i64::MAX.unsigned_abs() => Ok(Change { host: start..end, data, at }),
            _ => {
                let what = format!("the log writes {len} bytes at {start:#x}, behind the end of any file");
                Err(Error::new(Kind::Malformed, what).at(at + 16))
            }
        }
    }
}

impl Change {
    pub(super) fn source(&self) -> Source {
        self.data.map_or(Source::Zero, |(sector, ..)| Source::Log(sector))
    }

    /// Refuses a write over the headers, which are never logged, or over the log itself.
    pub(super) fn check(&self, log: &Range<u64>) -> Result<(), Error> {
        let Range { start, end } = self.host;
        let over = if start < FIRST_LOGGED {
            "the headers"
        } else if start < log.end && end > log.start {
            "itself"
        } else {
            return Ok(());
        };
        let what = format!("the log writes {} bytes at {start:#x}, over {over}", end - start);
        Err(Error::new(Kind::Malformed, what).at(self.at + 16))
    }
}
