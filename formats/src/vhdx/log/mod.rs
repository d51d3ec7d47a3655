//! The log (MS-VHDX §2.3): which of its entries were not carried out yet, and what they write.
//!
//! ```text
//! ring of sectors   | entry 7 | entry 8 |  (old)  | entry 5 | entry 6 |
//!                                  |  tail of the newest entry ^
//!                                  +---------------------------+       the active sequence is 5, 6, 7, 8
//! ```
//!
//! A ring of hostile entries cannot make this loop: every place is looked at as an entry once (the answer is kept), the
//! bytes that are looked at are bounded by a multiple of the ring, and a sequence is no longer than the ring.

mod entry;

use super::guid::Guid;
use super::overlay::{Overlay, SECTOR};
use crate::{Error, Kind};
use entry::Entry;

/// Largest log that is replayed: all of it is in memory for a moment. Hyper-V and qemu write logs of 1 MiB.
pub(super) const MAX_LENGTH: u64 = 8 * 1024 * 1024;

/// How often all bytes of the ring may be looked at: once for every entry, and again for those that old entries with
/// the same identifier seem to overlap.
const MAX_PASSES: usize = 16;

/// The log's bytes as a ring of sectors.
#[derive(Clone, Copy, Debug)]
struct Ring<'a> {
    bytes: &'a [u8],
}

impl<'a> Ring<'a> {
    const fn sectors(&self) -> usize {
        self.bytes.len() / SECTOR
    }

    /// Where sector `sector` is, counted on past the end.
    const fn place(&self, sector: usize) -> usize {
        sector % self.sectors() * SECTOR
    }

    fn sector(&self, sector: usize) -> &'a [u8] {
        &self.bytes[self.place(sector)..][..SECTOR]
    }
}

/// A search for the active sequence.
struct Search<'a> {
    ring: Ring<'a>,
    guid: Guid,
    /// The entry at each sector, once it was looked at.
    seen: Vec<Option<Option<Entry>>>,
    /// Bytes that may still be looked at.
    budget: usize,
}

impl Search<'_> {
    fn entry(&mut self, sector: usize) -> Result<Option<Entry>, Error> {
        let sector = sector % self.ring.sectors();
        if let Some(known) = self.seen[sector] {
            return Ok(known);
        }
        let entry = match Entry::decode(self.ring, sector, self.guid) {
            Some(entry) => {
                let len = entry.sectors * SECTOR;
                self.budget = self.budget.checked_sub(len).ok_or_else(|| {
                    let what = format!("the log's entries overlap: together they are {MAX_PASSES} times as long as it");
                    Error::new(Kind::Malformed, what)
                })?;
                entry.is_valid(self.ring).then_some(entry)
            }
            None => None,
        };
        self.seen[sector] = Some(entry);
        Ok(entry)
    }

    /// The longest run of entries from `sector` on whose numbers follow each other.
    fn run(&mut self, sector: usize) -> Result<Vec<Entry>, Error> {
        let (mut run, mut next): (Vec<Entry>, _) = (Vec::new(), sector);
        while let Some(entry) = self.entry(next)? {
            let follows = run.last().is_none_or(|last| last.sequence.checked_add(1) == Some(entry.sequence));
            if !follows || next + entry.sectors - sector > self.ring.sectors() {
                break;
            }
            next += entry.sectors;
            run.push(entry);
            if next - sector == self.ring.sectors() {
                break;
            }
        }
        Ok(run)
    }

    /// The sequence to be replayed, from the tail to the newest entry (§2.3.3).
    fn active(mut self) -> Result<Option<Vec<Entry>>, Error> {
        let mut active: Option<Vec<Entry>> = None;
        let mut sector = 0;
        while sector < self.ring.sectors() {
            let mut run = self.run(sector)?;
            let tail = run.last().and_then(|head| run.iter().position(|entry| entry.sector * SECTOR == head.tail));
            let Some(tail) = tail else {
                sector += 1;
                continue;
            };
            sector += run.iter().map(|entry| entry.sectors).sum::<usize>();
            let number = |run: &[Entry]| run.last().map(|head| head.sequence);
            if number(&run) > active.as_deref().and_then(number) {
                active = Some(run.split_off(tail));
            }
        }
        Ok(active)
    }
}

/// Replays the log `bytes`, whole MiB that lie at `host` in a file of `file_len` bytes.
pub(super) fn replay(bytes: Vec<u8>, host: u64, guid: Guid, file_len: u64) -> Result<Overlay, Error> {
    let ring = Ring { bytes: &bytes };
    let budget = bytes.len().saturating_mul(MAX_PASSES);
    let search = Search { ring, guid, seen: vec![None; ring.sectors()], budget };
    let active = search.active().map_err(|error| error.at(host))?;
    let Some((active, head)) = active.and_then(|active| active.last().copied().map(|head| (active, head))) else {
        let what = format!("the headers announce log {guid}, and the log holds no complete sequence of it");
        return Err(Error::new(Kind::Malformed, what).at(host));
    };
    check_lengths(&head, host, file_len)?;
    let mut overlay = Overlay::new(bytes, head.last);
    for entry in &active {
        carry_out(entry, host, &mut overlay)?;
    }
    Ok(overlay)
}

fn check_lengths(head: &Entry, host: u64, file_len: u64) -> Result<(), Error> {
    let at = host + (head.sector * SECTOR) as u64;
    if head.flushed > file_len {
        let what = format!("the log says the file has {} bytes, it ends at {file_len}", head.flushed);
        return Err(Error::new(Kind::Truncated, what).at(at + 48));
    }
    // File sizes are signed (qemu, off_t).
    if head.last > i64::MAX.unsigned_abs() {
        let what = format!("the log says the file needs {} bytes, which no file can have", head.last);
        return Err(Error::new(Kind::Malformed, what).at(at + 56));
    }
    Ok(())
}

/// Carries out the descriptors of a valid entry of the log at `host`, in their order.
fn carry_out(entry: &Entry, host: u64, overlay: &mut Overlay) -> Result<(), Error> {
    let mut data_sector = entry.first_data_sector();
    for number in 0..entry.descriptors {
        let ring = Ring { bytes: overlay.log_mut() };
        let log = host..host + ring.bytes.len() as u64;
        let change = entry.change(ring, host, number, data_sector)?;
        change.check(&log)?;
        if let Some((place, leading, trailing)) = change.data {
            // The log marks the ends of each data sector; what was there is in the descriptor (§2.3.1.3).
            let bytes = &mut overlay.log_mut()[place..place + SECTOR];
            bytes[..8].copy_from_slice(&leading);
            bytes[SECTOR - 4..].copy_from_slice(&trailing);
            data_sector += 1;
        }
        overlay.write(change.host.clone(), change.source());
    }
    Ok(())
}

#[cfg(test)]
mod tests;
