//! Compares the grains that were seen with those that the tables name, in a few bytes for each grain table.
//!
//! For every table there is a sum over its grains, of a number mixed from the grain's index in the table and its place in
//! the file. What was seen and what a table says have the same sum if they are the same, in whatever order they come. The
//! data is placed by the markers either way, so a sum that was made to collide would deceive nobody but its maker.

use std::collections::{BTreeMap, VecDeque};

use super::{Queue, Table};
use crate::field::le32;
use crate::vmdk::entry;
use crate::vmdk::geometry::{ENTRY, Geometry, SECTOR};
use crate::{Error, Kind};

/// Most tables of which anything is remembered, some 10 MiB: 8 TiB of grains as everyone writes them.
const LIMIT: usize = 1 << 18;

/// A grain that was seen.
#[derive(Clone, Copy)]
pub(super) struct Grain {
    /// Number of the grain on the disk.
    pub(super) number: u64,
    /// Host offset of its marker.
    pub(super) host: u64,
}

/// Spreads index and sector over 64 bits, so that sums of different grains differ.
const fn mixed(index: u64, sector: u64) -> u64 {
    let mut value = (index << 40) ^ sector ^ 0x9e37_79b9_7f4a_7c15;
    value = (value ^ (value >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    value = (value ^ (value >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    value ^ (value >> 31)
}

/// The sum of the grain table at `host`, of which the first `entries` are looked at.
///
/// # Errors
/// An entry that no valid image has.
pub(super) fn sum_of(geometry: &Geometry, host: u64, bytes: &[u8], entries: u64) -> Result<u64, Error> {
    let mut sum = 0_u64;
    for index in 0..entries {
        if let Some(grain) = entry::grain(geometry, host, index, entry::entry(bytes, index))? {
            sum = sum.wrapping_add(mixed(index, grain / SECTOR));
        }
    }
    Ok(sum)
}

/// The sum of the grains of the table that is being passed.
#[derive(Clone, Copy, Debug, Default)]
struct Seen {
    index: u64,
    sum: u64,
}

impl Seen {
    fn add(&mut self, geometry: &Geometry, grain: Grain) {
        self.sum = self.sum.wrapping_add(mixed(grain.number % geometry.entries, grain.host / SECTOR));
    }
}

/// Tables that came in front of the grains.
#[derive(Clone, Debug)]
pub(super) struct Front {
    directory: u64,
    /// Bytes of the directory that have been read.
    read: u64,
    /// Bytes of the directory.
    len: u64,
    tables: Queue<Table>,
    /// Sums of tables that name grains which have not come yet.
    named: BTreeMap<u64, u64>,
    seen: Seen,
}

impl Front {
    pub(super) const fn new(directory: u64, len: u64) -> Self {
        Self { directory, read: 0, len, tables: Queue::new(), named: BTreeMap::new(), seen: Seen { index: 0, sum: 0 } }
    }

    /// Host offset of the first byte that is still needed; `None` when all tables have been read.
    pub(super) fn next(&self) -> Option<u64> {
        let directory = (self.read < self.len).then_some(self.directory + self.read);
        directory.into_iter().chain(self.tables.first().map(|table| table.host)).min()
    }

    /// Reads what is in sight: `get` gives the bytes at a host offset, if all of them are. Bytes in front of `position` have
    /// flowed past.
    pub(super) fn read<'a>(
        &mut self,
        geometry: &Geometry,
        position: u64,
        get: impl Fn(u64, u64) -> Option<&'a [u8]>,
    ) -> Result<(), Error> {
        while self.read < self.len {
            let Some(bytes) = get(self.directory + self.read, ENTRY) else { break };
            let index = self.read / ENTRY;
            if let Some(host) = entry::table(geometry, self.directory, index, le32(bytes, 0))? {
                if host < position {
                    let what = format!("the grain table of entry {index} lies at {host:#x}, in front of the directory");
                    return Err(Error::new(Kind::Unplaced, what).at(host));
                }
                self.tables.push(Table { host, index })?;
            }
            self.read += ENTRY;
        }
        while let Some(table) = self.tables.first() {
            let Some(bytes) = get(table.host, geometry.table_len()) else { break };
            self.tables.pop();
            let sum = sum_of(geometry, table.host, bytes, geometry.entries_of(table.index))?;
            if sum != 0 {
                self.named.insert(table.index, sum);
            }
        }
        require_few(self.named.len())
    }

    /// Refuses tables that come behind the first grain.
    pub(super) fn require_read(&self) -> Result<(), Error> {
        let Some(host) = self.next() else {
            return Ok(());
        };
        let what = format!("a grain table lies at {host:#x}, which is not in front of the grains it places");
        Err(Error::new(Kind::Unplaced, what).at(host))
    }

    /// Counts a grain, and settles the tables before its own.
    pub(super) fn see(&mut self, geometry: &Geometry, grain: Grain) -> Result<(), Error> {
        let index = grain.number / geometry.entries;
        if index != self.seen.index {
            self.settle(index, grain.host)?;
            self.seen = Seen { index, sum: 0 };
        }
        self.seen.add(geometry, grain);
        Ok(())
    }

    /// Checks all tables below `index`, as far as grains have come that end at `host`.
    fn settle(&mut self, index: u64, host: u64) -> Result<(), Error> {
        let is_seen = self.named.remove(&self.seen.index).unwrap_or(0) == self.seen.sum;
        let missed = self.named.first_key_value().map(|(first, _)| *first).filter(|first| *first < index);
        let Some(wrong) = (!is_seen).then_some(self.seen.index).or(missed) else {
            return Ok(());
        };
        let what = format!("the grain table of directory entry {wrong} names other grains than have come in order");
        Err(Error::new(Kind::Unplaced, what).at(host))
    }

    /// Refuses an image that ends before the grains that its tables name.
    pub(super) fn require_seen(&self, end: u64) -> Result<(), Error> {
        let mut rest = self.clone();
        let first = self.named.last_key_value().map_or(0, |(last, _)| last + 1);
        let wrong = rest.settle(first.max(self.seen.index + 1), end).err();
        let Some(error) = wrong else {
            return Ok(());
        };
        let what = format!("the file ends at {end:#x}: {error}");
        Err(Error::new(Kind::Truncated, what).at(end))
    }
}

/// Tables that come behind the grains.
#[derive(Clone, Debug, Default)]
pub(super) struct Behind {
    /// Sums of the grains that were seen, by directory entry, ascending.
    seen: VecDeque<(u64, u64)>,
    /// Host offsets and sums of the tables, ascending.
    tables: Vec<(u64, u64)>,
}

impl Behind {
    /// Counts a grain; they come in ascending order.
    pub(super) fn see(&mut self, geometry: &Geometry, grain: Grain) -> Result<(), Error> {
        let index = grain.number / geometry.entries;
        if self.seen.back().is_none_or(|(last, _)| *last != index) {
            require_few(self.seen.len() + 1)?;
            self.seen.push_back((index, 0));
        }
        if let Some((_, sum)) = self.seen.back_mut() {
            let mut seen = Seen { index, sum: *sum };
            seen.add(geometry, grain);
            *sum = seen.sum;
        }
        Ok(())
    }

    /// Keeps the sum of the table at `host`; they come in ascending order.
    pub(super) fn add_table(&mut self, host: u64, sum: u64) -> Result<(), Error> {
        require_few(self.tables.len() + 1)?;
        self.tables.push((host, sum));
        Ok(())
    }

    /// Checks that directory entry `index` names a table with the grains that were seen; entries come in ascending order.
    pub(super) fn check(&mut self, index: u64, table: Option<u64>) -> Result<(), Error> {
        let seen = match self.seen.front() {
            Some(&(first, sum)) if first == index => {
                self.seen.pop_front();
                sum
            }
            _ => 0,
        };
        let refused = |what: String| Err(Error::new(Kind::Malformed, what));
        let named = match table.map(|host| self.tables.binary_search_by_key(&host, |(host, _)| *host)) {
            None => 0,
            Some(Ok(at)) => self.tables[at].1,
            Some(Err(_)) => {
                let host = table.unwrap_or_default();
                return refused(format!(
                    "grain directory entry {index} names offset {host:#x}, where no grain table is"
                ));
            }
        };
        if named == seen {
            return Ok(());
        }
        refused(format!("the grain table of directory entry {index} names other grains than there are"))
    }
}

fn require_few(tables: usize) -> Result<(), Error> {
    if tables <= LIMIT {
        return Ok(());
    }
    let what = format!("more than {LIMIT} grain tables have to be remembered");
    Err(Error::new(Kind::Unplaced, what))
}
