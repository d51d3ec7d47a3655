//! How much a pool has promised, and how much more it may.
//!
//! ```text
//! |------------------------- file system -----------------------------|
//! | others' files | reserve | what can be promised, times the ratio    |
//!                           | promised to volumes | to snapshots | left|
//! ```
//! A volume is promised its size, a snapshot the bytes that were allocated when it was taken: more it can never come to hold
//! alone. At a ratio of 1.0 a full pool is therefore one in which every volume can be written from end to end.

use std::path::Path;
use std::sync::PoisonError;
use std::time::{Duration, Instant};

use rustix::fs::statvfs;

use super::{Pool, Shelves};
use crate::content;
use crate::error::Error;
use crate::record::Record;
use crate::shelf::Shelf;

/// What a file system needs for its own bookkeeping as it fills: 2 %. btrfs takes the most, 0.2 % for check sums in two copies
/// and as much again for trees.
const RESERVE: u64 = 50;

/// How long a sum over all files may be used.
const FRESH: Duration = Duration::from_secs(10);

/// A pool's figures, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Capacity {
    /// Size of its file system, without what is kept for root.
    pub total: u64,
    /// Free on the file system now.
    pub free: u64,
    /// Taken by files that are not the pool's.
    pub others: u64,
    /// What can be promised in all.
    pub limit: u64,
    /// What is promised.
    pub promised: u64,
    /// What can still be promised.
    pub available: u64,
}

impl Capacity {
    /// Whether so little is free that writes may soon fail; then nothing more is promised either.
    #[must_use]
    pub fn is_nearly_full(&self) -> bool {
        self.free < self.total / RESERVE
    }
}

/// Bytes taken by other files, as of a moment ago.
#[derive(Clone, Copy, Debug)]
pub(super) struct Others {
    bytes: u64,
    taken: Instant,
}

/// Bytes set aside for something that is being made; given back when dropped.
#[derive(Debug)]
pub(super) struct Reservation<'a> {
    pool: &'a Pool,
    bytes: u64,
}

impl Pool {
    /// The figures now. Others' files are counted at most every ten seconds.
    ///
    /// # Errors
    /// The file system cannot be asked.
    pub fn capacity(&self) -> Result<Capacity, Error> {
        let space = Space::of(self.root())?;
        let others = self.others(&space)?;
        let shelves = self.shelves();
        let promised = shelves.promised();
        drop(shelves);
        Ok(space.capacity(others, self.settings.over_commit, promised))
    }

    /// Sets `bytes` aside, or says why that is too much.
    pub(super) fn reserve(&self, bytes: u64) -> Result<Reservation<'_>, Error> {
        let space = Space::of(self.root())?;
        let others = self.others(&space)?;
        let mut shelves = self.shelves();
        let capacity = space.capacity(others, self.settings.over_commit, shelves.promised());
        if bytes > capacity.limit {
            return Err(Error::TooLarge { size: bytes, limit: capacity.limit });
        }
        if bytes > capacity.available {
            return Err(Error::NoRoom { size: bytes, available: capacity.available });
        }
        shelves.reserved += bytes;
        Ok(Reservation { pool: self, bytes })
    }

    fn others(&self, space: &Space) -> Result<u64, Error> {
        let mut others = self.others.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = others.filter(|known| known.taken.elapsed() < FRESH) {
            return Ok(known.bytes);
        }
        let disks: Vec<_> = {
            let shelves = self.shelves();
            shelves.volumes.disks().chain(shelves.snapshots.disks()).collect()
        };
        // A disk that is deleted meanwhile takes nothing. Shared blocks count in each disk, so this errs towards more of ours.
        let ours: u64 = disks.iter().filter_map(|disk| content::allocated(disk).ok()).sum();
        let bytes = space.used.saturating_sub(ours);
        *others = Some(Others { bytes, taken: Instant::now() });
        Ok(bytes)
    }
}

impl Drop for Reservation<'_> {
    fn drop(&mut self) {
        self.pool.shelves().reserved -= self.bytes;
    }
}

impl Shelves {
    fn promised(&self) -> u64 {
        self.volumes.promised().saturating_add(self.snapshots.promised()).saturating_add(self.reserved)
    }
}

impl<R: Record> Shelf<R> {
    fn disks(&self) -> impl Iterator<Item = std::path::PathBuf> {
        self.behind(None).map(|record| self.disk(record.id()))
    }
}

/// What the file system says.
#[derive(Clone, Copy, Debug)]
struct Space {
    total: u64,
    used: u64,
    free: u64,
}

impl Space {
    fn of(root: &Path) -> Result<Self, Error> {
        let found = statvfs(root).map_err(Error::io("measure", root))?;
        let bytes = |blocks: u64| blocks.saturating_mul(found.f_frsize);
        let kept_for_root = found.f_bfree.saturating_sub(found.f_bavail);
        Ok(Self {
            total: bytes(found.f_blocks.saturating_sub(kept_for_root)),
            used: bytes(found.f_blocks.saturating_sub(found.f_bfree)),
            free: bytes(found.f_bavail),
        })
    }

    fn capacity(&self, others: u64, ratio: f64, promised: u64) -> Capacity {
        let real = self.total.saturating_sub(self.total / RESERVE).saturating_sub(others);
        let limit = scaled(real, ratio);
        let mut capacity = Capacity { total: self.total, free: self.free, others, limit, promised, available: 0 };
        if !capacity.is_nearly_full() {
            capacity.available = limit.saturating_sub(promised);
        }
        capacity
    }
}

#[expect(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a ratio of sizes below 2^63; the cast saturates and a ratio is above 0"
)]
fn scaled(bytes: u64, ratio: f64) -> u64 {
    if ratio == 1.0 { bytes } else { (bytes as f64 * ratio) as u64 }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SPACE: Space = Space { total: 1000, used: 100, free: 900 };

    #[test]
    fn what_others_use_and_the_reserve_are_never_promised() {
        let capacity = SPACE.capacity(80, 1.0, 300);
        assert_eq!((capacity.limit, capacity.available), (900, 600));
    }

    #[test]
    fn a_ratio_promises_more_than_there_is_until_the_pool_is_nearly_full() {
        let capacity = SPACE.capacity(80, 2.5, 2000);
        assert_eq!((capacity.limit, capacity.available), (2250, 250));
        let full = Space { used: 985, free: 15, ..SPACE }.capacity(80, 2.5, 2000);
        assert_eq!((full.available, full.is_nearly_full()), (0, true));
    }

    #[test]
    fn more_promised_than_there_is_leaves_nothing() {
        assert_eq!(SPACE.capacity(980, 1.0, 300).available, 0);
    }
}
