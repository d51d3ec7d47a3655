//! Guest-to-host map over a grain directory and grain tables that the caller reads.
//!
//! ```text
//! lookup --> footer missing, where only it has gdOffset? --> Wants it
//!        --> parts of the grain directory missing?       --> Wants them
//!        --> grain tables missing?                       --> Wants them, and those up to the end of their groups of 32
//!        --> Found
//! ```
//!
//! A grain table has 2 KiB and describes 32 MiB. Tables that follow each other are read as one, and those of a group are
//! asked for together, so that a disk of 8 GiB costs eight rounds and not 256.
//!
//! Where a compressed grain ends only its marker says, which lies beside the data. A round for each grain would cost more
//! than all tables, so the length is bounded from above instead: by the next grain of the same table, by the table itself
//! if it lies behind, and by what a grain can become. The stream ends itself, with a check value. The markers are
//! therefore not read here; the forward decoder reads and checks them.

use std::ops::Range;

use super::entry;
use super::geometry::{Directory, ENTRY, Encoding, Geometry, SECTOR};
use super::header::Header;
use crate::extent::Extents;
use crate::offset::saturated;
use crate::tables::{PART, Tables};
use crate::{ClusterCodec, Error, Extent, GuestOffset, HostOffset, Kind, Lookup, Place};

/// Grain tables that are asked for together, at most 64 KiB of them. Divides the entries of a part of the directory.
const GROUP: u64 = 32;

/// Entries of a part of the grain directory.
const PART_ENTRIES: u64 = PART / ENTRY;

/// Marker, footer and end-of-stream marker, the last three sectors of the file.
const ENDING: u64 = 3 * SECTOR;

/// Marker types (technical note, "stream-optimized compressed sparse extents").
const END_OF_STREAM: u32 = 0;
const FOOTER: u32 = 3;

/// Map of a hosted sparse extent.
#[derive(Clone, Debug)]
pub struct Map {
    header: Header,
    file_len: Option<u64>,
    footer: Tables,
    directory: Tables,
    tables: Tables,
}

/// A grain table that a lookup needs, or that is asked for with one.
struct Table {
    index: u64,
    host: u64,
}

impl Map {
    /// The map of an image with this header, in a file of `file_len` bytes where that is known. Without it, an image that
    /// has a footer is refused at the first lookup.
    #[must_use]
    pub fn new(header: &Header, file_len: Option<u64>) -> Self {
        Self {
            header: header.clone(),
            file_len,
            footer: Tables::default(),
            directory: Tables::default(),
            tables: Tables::default(),
        }
    }

    const fn geometry(&self) -> &Geometry {
        &self.header.geometry
    }

    /// Host offset of the grain directory, or the range that says it.
    fn find_directory(&mut self) -> Result<Result<u64, Range<u64>>, Error> {
        // Only a forward decoder of markers needs it to know where the grains begin, and both decoders read alike.
        if self.geometry().encoding == Encoding::Marked {
            self.require(&(0..self.geometry().overhead), || "the metadata (overHead)".to_owned())?;
        }
        let directory = match self.geometry().directory {
            Directory::At(directory) => directory,
            Directory::Footer => {
                let end = self.file_len.unwrap_or(0);
                let Some(start) = end.checked_sub(ENDING).filter(|start| *start >= self.geometry().reserved) else {
                    let what = format!("the file ends at {end:#x}, in front of a footer");
                    return Err(Error::new(Kind::Truncated, what).at(end));
                };
                if !self.footer.want(start, ENDING, self.header.geometry.virtual_size) {
                    return Ok(Err(start..end));
                }
                let bytes = self.footer.get(start).expect("what is wanted and not missing is there");
                check_ending(bytes, start)?;
                self.header.footer(&bytes[saturated(SECTOR)..], start + SECTOR)?
            }
        };
        self.require(&(directory..directory + self.geometry().directory_len()), || "the grain directory".to_owned())?;
        Ok(Ok(directory))
    }

    /// Keeps the parts of the directory that describe `guest`; those that are missing.
    fn missing_directory(&mut self, directory: u64, guest: &Range<u64>) -> Vec<Range<u64>> {
        let geometry = *self.geometry();
        let indices = indices(&geometry, guest);
        let mut missing = Vec::new();
        for part in indices.start / PART_ENTRIES..indices.end.div_ceil(PART_ENTRIES) {
            let start = part * PART;
            let host = directory + start..directory + (start + PART).min(geometry.directory_len());
            if !self.directory.want(host.start, host.end - host.start, end_of(&geometry, (part + 1) * PART_ENTRIES)) {
                missing.push(host);
            }
        }
        missing
    }

    /// The table of directory entry `index`.
    fn table(&self, directory: u64, index: u64) -> Result<Option<Table>, Error> {
        let part = self.directory.get(directory + index / PART_ENTRIES * PART);
        let part = part.expect("tables are only looked for once no part of the directory is missing");
        let value = entry::entry(part, index % PART_ENTRIES);
        let host = entry::table(self.geometry(), directory, index, value)?;
        Ok(host.map(|host| Table { index, host }))
    }

    /// Keeps the tables that describe `guest` and those behind them in the same group; those that are missing.
    fn missing_tables(&mut self, directory: u64, guest: &Range<u64>) -> Result<Vec<Range<u64>>, Error> {
        let geometry = *self.geometry();
        let needed = indices(&geometry, guest);
        let group_end = needed.end.next_multiple_of(GROUP).min(geometry.tables());
        let mut missing = Vec::new();
        for index in needed.start..group_end {
            let is_needed = index < needed.end;
            let table = match self.table(directory, index) {
                Ok(Some(table)) => table,
                Ok(None) => continue,
                Err(error) if is_needed => return Err(error),
                Err(_) => continue,
            };
            let host = table.host..table.host + geometry.table_len();
            match self.require(&host, || format!("the grain table of directory entry {index}")) {
                Ok(()) => {}
                Err(error) if is_needed => return Err(error),
                Err(_) => continue,
            }
            if !self.tables.want(host.start, geometry.table_len(), end_of(&geometry, index + 1)) {
                missing.push(host);
            }
        }
        Ok(missing)
    }

    fn extents(&self, directory: u64, guest: &Range<u64>, out: &mut Extents<'_>) -> Result<(), Error> {
        let geometry = self.geometry();
        for index in indices(geometry, guest) {
            let start = index * geometry.coverage();
            let covered = guest.start.max(start)..guest.end.min(start.saturating_add(geometry.coverage()));
            match self.table(directory, index)? {
                None => out.push(covered.start, covered.end - covered.start, Place::Zero),
                Some(table) => self.table_extents(&table, covered, out)?,
            }
        }
        Ok(())
    }

    /// Appends the extents of `guest`, which `table` describes.
    fn table_extents(&self, table: &Table, guest: Range<u64>, out: &mut Extents<'_>) -> Result<(), Error> {
        let geometry = self.geometry();
        let bytes = self.tables.get(table.host).expect("extents are only made once no table is missing");
        let start = table.index * geometry.coverage();
        let ends = Ends::of(geometry, table, bytes);
        for index in (guest.start - start) / geometry.grain..(guest.end - start).div_ceil(geometry.grain) {
            let grain = start + index * geometry.grain;
            let whole = grain..grain + geometry.grain_at(grain);
            let wanted = guest.start.max(whole.start)..guest.end.min(whole.end);
            let Some(host) = entry::grain(geometry, table.host, index, entry::entry(bytes, index))? else {
                out.push(wanted.start, wanted.end - wanted.start, Place::Zero);
                continue;
            };
            let len = whole.end - whole.start;
            let at = table.host + index * ENTRY;
            if geometry.encoding == Encoding::Plain {
                self.require_grain(&(host..host + len), at)?;
                let host = HostOffset(host + (wanted.start - whole.start));
                out.push(wanted.start, wanted.end - wanted.start, Place::Data(host));
                continue;
            }
            let first = host + geometry.marker();
            self.require_grain(&(host..first + 1), at)?;
            let end = ends.behind(host).min(first + geometry.max_stream()).min(self.file_len.unwrap_or(u64::MAX));
            let small = |value: u64| u32::try_from(value).expect("a compressed grain has at most 2 MiB, its stream 4");
            let codec = ClusterCodec::Zlib { at_least: small(len) };
            out.push(whole.start, len, Place::Encoded { at: HostOffset(first), len: small(end - first), codec });
        }
        Ok(())
    }

    /// Refuses a grain that the file does not hold. (qemu reads what a plain one lacks as zeros; no writer leaves it out.)
    fn require_grain(&self, host: &Range<u64>, at: u64) -> Result<(), Error> {
        self.require(host, || format!("the grain at {:#x}", host.start)).map_err(|error| error.at(at))
    }

    /// Refuses what the file does not hold.
    fn require(&self, host: &Range<u64>, what: impl Fn() -> String) -> Result<(), Error> {
        match self.file_len {
            Some(end) if host.end > end => {
                let what = format!("{} reaches to offset {:#x}, the file ends at {end:#x}", what(), host.end);
                Err(Error::new(Kind::Truncated, what).at(host.start))
            }
            _ => Ok(()),
        }
    }
}

/// Directory entries that describe `guest`.
const fn indices(geometry: &Geometry, guest: &Range<u64>) -> Range<u64> {
    guest.start / geometry.coverage()..guest.end.div_ceil(geometry.coverage())
}

/// First guest byte that table `index` describes, at most the end of the disk.
fn end_of(geometry: &Geometry, index: u64) -> u64 {
    index.saturating_mul(geometry.coverage()).min(geometry.virtual_size)
}

/// Checks the markers around a footer; `bytes` are the last sectors of the file and lie at `host`.
fn check_ending(bytes: &[u8], host: u64) -> Result<(), Error> {
    let marker = |at: u64| {
        let bytes = &bytes[saturated(at)..];
        (crate::field::le64(bytes, 0), crate::field::le32(bytes, 8), crate::field::le32(bytes, 12))
    };
    if !matches!(marker(0), (_, 0, FOOTER)) {
        return Err(Error::new(Kind::Malformed, "there is no footer marker three sectors before the end").at(host));
    }
    if marker(2 * SECTOR) != (0, 0, END_OF_STREAM) {
        let what = "the last sector is no end-of-stream marker";
        return Err(Error::new(Kind::Malformed, what).at(host + 2 * SECTOR));
    }
    Ok(())
}

/// The bytes of `wants`, each once and ascending, in ranges of at most 64 KiB. Tables begin at any sector, so they may
/// overlap.
fn united(mut wants: Vec<Range<u64>>) -> Vec<Range<u64>> {
    wants.sort_unstable_by_key(|want| want.start);
    let mut out: Vec<Range<u64>> = Vec::new();
    for want in wants {
        let mut start = out.last().map_or(want.start, |last| want.start.max(last.end));
        if let Some(last) = out.last_mut().filter(|last| last.end == start) {
            last.end = want.end.clamp(start, last.start + PART);
            start = last.end;
        }
        while start < want.end {
            let end = want.end.min(start + PART);
            out.push(start..end);
            start = end;
        }
    }
    out
}

/// Where the compressed grains of one table end at the latest.
struct Ends {
    /// Host offsets at which something begins, ascending.
    beginnings: Vec<u64>,
}

impl Ends {
    fn of(geometry: &Geometry, table: &Table, bytes: &[u8]) -> Self {
        if geometry.encoding == Encoding::Plain {
            return Self { beginnings: Vec::new() };
        }
        let values = (0..geometry.entries_of(table.index)).map(|index| entry::entry(bytes, index));
        let stored = values.filter(|value| entry::is_stored(geometry, *value));
        let mut beginnings: Vec<u64> = stored.map(|value| u64::from(value) * SECTOR).chain([table.host]).collect();
        beginnings.sort_unstable();
        Self { beginnings }
    }

    /// The first beginning behind `host`.
    fn behind(&self, host: u64) -> u64 {
        let index = self.beginnings.partition_point(|beginning| *beginning <= host);
        self.beginnings.get(index).copied().unwrap_or(u64::MAX)
    }
}

impl crate::Map for Map {
    fn virtual_size(&self) -> u64 {
        self.geometry().virtual_size
    }

    fn max_encoded(&self) -> u64 {
        if self.geometry().encoding == Encoding::Plain { 0 } else { self.geometry().grain }
    }

    fn lookup(&mut self, guest: Range<u64>, out: &mut Vec<Extent>) -> Result<Lookup, Error> {
        let guest = guest.start..guest.end.min(self.geometry().virtual_size);
        if guest.is_empty() {
            return Ok(Lookup::Found);
        }
        let directory = match self.find_directory()? {
            Ok(directory) => directory,
            Err(missing) => return Ok(Lookup::Wants(vec![missing])),
        };
        let mut missing = self.missing_directory(directory, &guest);
        if missing.is_empty() {
            missing = self.missing_tables(directory, &guest)?;
        }
        if !missing.is_empty() {
            return Ok(Lookup::Wants(united(missing)));
        }
        let mut extents = Extents::new(out);
        self.extents(directory, &guest, &mut extents).inspect_err(|_| extents.clear())?;
        Ok(Lookup::Found)
    }

    fn feed(&mut self, host: HostOffset, bytes: &[u8]) -> Result<(), Error> {
        self.footer.feed(host.0, bytes);
        self.directory.feed(host.0, bytes);
        self.tables.feed(host.0, bytes);
        Ok(())
    }

    fn release(&mut self, guest: GuestOffset) {
        self.footer.release(guest.0);
        self.directory.release(guest.0);
        self.tables.release(guest.0);
    }

    fn memory(&self) -> usize {
        self.footer.memory() + self.directory.memory() + self.tables.memory()
    }
}

#[cfg(test)]
mod tests;
