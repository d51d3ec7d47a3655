//! Forward-only decoder of compressed grains: the marker in front of each says where it belongs and how long it is.
//!
//! ```text
//!  overHead                                                         only with a footer
//! ----|-- marker, grain --|-- marker, grain --|-- ... --|-- marker, tables --|-- marker, footer --|-- end of stream --|
//!      emitted once it is in sight as a whole            compared with what     compared with        nothing follows
//!                                                        the markers said       the header
//! ```
//!
//! Grains come in the order of the disk, so none can come twice and nothing about them need be remembered but a sum for
//! each grain table, of the grains that were seen and where. The tables must name exactly those grains. In
//! streamOptimized images as VMware writes them they come behind, with a footer; qemu puts them in front and writes no end
//! of stream, and a sector of zeros is then nothing but padding.

mod ledger;

use super::entry;
use super::geometry::{Directory, ENTRY, Geometry, MARKER, SECTOR};
use super::header::Header;
use crate::field::{le32, le64};
use crate::offset::saturated;
use crate::queue::Queue;
use crate::{ClusterCodec, Error, GuestOffset, Kind, Piece};
use ledger::{Behind, Front, Grain, sum_of};

/// Bytes of a marker with its type.
const FULL_MARKER: u64 = 16;

/// Marker types (technical note; 4 is the sign of life of an export in VMware's own tools and holds nothing).
mod marker {
    pub(super) const END_OF_STREAM: u32 = 0;
    pub(super) const GRAIN_TABLE: u32 = 1;
    pub(super) const GRAIN_DIRECTORY: u32 = 2;
    pub(super) const FOOTER: u32 = 3;
    pub(super) const PROGRESS: u32 = 4;
}

/// Forward decoder of an image whose compressed grains have markers.
#[derive(Clone, Debug)]
pub struct Stream {
    header: Header,
    /// Host offset of the first byte that is not consumed.
    consumed: u64,
    /// Host offset of what comes next; behind `consumed` by padding that has not been seen.
    position: u64,
    phase: Phase,
    /// First guest byte behind the last grain that was seen.
    guest: u64,
    tables: Tables,
}

/// What the tables have said about the grains.
#[derive(Clone, Debug)]
enum Tables {
    /// They came first.
    Front(Front),
    /// They come behind.
    Behind(Behind),
}

/// What comes next. Host offsets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// Header, descriptor and, in front of the grains, tables.
    Metadata,
    /// Markers, each at a sector.
    Grains,
    /// The grain directory at `start`, of which `read` bytes have been compared.
    Directory { start: u64, read: u64 },
    /// Padding behind the directory, then the footer's marker.
    Footer { directory: u64 },
    /// The end-of-stream marker.
    End,
    /// Nothing.
    Done,
}

/// A grain table in front that has not flowed past yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Table {
    host: u64,
    index: u64,
}

/// Bytes of one push, and how far they are understood.
struct Window<'a> {
    bytes: &'a [u8],
    start: u64,
    out: &'a mut Vec<Piece>,
}

impl<'a> Window<'a> {
    const fn end(&self) -> u64 {
        self.start + self.bytes.len() as u64
    }

    /// The `len` bytes at `host`; `None` where they are not in sight.
    fn get(&self, host: u64, len: u64) -> Option<&'a [u8]> {
        let at = saturated(host.checked_sub(self.start)?);
        self.bytes.get(at..)?.get(..saturated(len))
    }
}

impl Stream {
    /// A decoder for an image with this header, whose first byte is pushed first.
    ///
    /// # Errors
    /// The tables come after the data they place and there is no footer (kind `Unplaced`).
    pub(super) fn new(header: &Header) -> Result<Self, Error> {
        let geometry = &header.geometry;
        let tables = match geometry.directory {
            Directory::Footer => Tables::Behind(Behind::default()),
            Directory::At(directory) if directory + geometry.directory_len() <= geometry.overhead => {
                Tables::Front(Front::new(directory, geometry.directory_len()))
            }
            Directory::At(directory) => {
                let what = format!("the grain directory at {directory:#x} is not in front of the grains it places");
                return Err(Error::new(Kind::Unplaced, what).at(56));
            }
        };
        Ok(Self { header: header.clone(), consumed: 0, position: 0, phase: Phase::Metadata, guest: 0, tables })
    }

    const fn geometry(&self) -> &Geometry {
        &self.header.geometry
    }

    /// Goes on by one thing; false where more bytes are needed.
    fn step(&mut self, window: &mut Window<'_>) -> Result<bool, Error> {
        match self.phase {
            Phase::Metadata => self.metadata(window),
            Phase::Grains => self.marker(window),
            Phase::Directory { start, read } => self.directory(window, start, read),
            Phase::Footer { directory } => self.footer(window, directory),
            Phase::End => self.end(window),
            Phase::Done if self.position < window.end() => {
                let what = format!("the file goes on at {:#x}, behind the end of the stream", self.position);
                Err(malformed(self.position, what))
            }
            Phase::Done => Ok(false),
        }
    }

    /// Passes what is in front of the first marker, reading the tables in it.
    fn metadata(&mut self, window: &Window<'_>) -> Result<bool, Error> {
        let geometry = self.header.geometry;
        let mut next = window.end();
        if let Tables::Front(front) = &mut self.tables {
            front.read(&geometry, self.position, |host, len| window.get(host, len))?;
            next = front.next().map_or(next, |first| first.min(next));
        }
        let begins = geometry.overhead.max(geometry.reserved);
        self.position = next.min(begins).max(self.position);
        if self.position < begins {
            return Ok(false);
        }
        self.phase = Phase::Grains;
        match &self.tables {
            Tables::Front(front) => front.require_read().map(|()| true),
            Tables::Behind(_) => Ok(true),
        }
    }

    /// Reads one marker and what belongs to it.
    fn marker(&mut self, window: &mut Window<'_>) -> Result<bool, Error> {
        let Some(bytes) = window.get(self.position, FULL_MARKER) else {
            return Ok(false);
        };
        let (value, size) = (le64(bytes, 0), le32(bytes, 8));
        if size != 0 {
            return self.grain(window, value, size);
        }
        match (le32(bytes, 12), &self.tables) {
            (marker::PROGRESS, _) => self.pass(window, SECTOR),
            (marker::END_OF_STREAM, Tables::Front(_)) if value == 0 => self.pass(window, SECTOR),
            (marker::GRAIN_TABLE, Tables::Behind(_)) => self.table(window, value),
            (marker::GRAIN_DIRECTORY, Tables::Behind(_)) => {
                self.require_sectors("grain directory", value, self.geometry().directory_len())?;
                let is_passed = self.pass(window, SECTOR)?;
                if is_passed {
                    self.phase = Phase::Directory { start: self.position, read: 0 };
                }
                Ok(is_passed)
            }
            (kind, tables) => {
                let has_footer = matches!(tables, Tables::Behind(_));
                Err(malformed(self.position, unexpected(kind, value, has_footer)))
            }
        }
    }

    fn grain(&mut self, window: &mut Window<'_>, sector: u64, size: u32) -> Result<bool, Error> {
        let geometry = self.header.geometry;
        let at = self.position;
        let guest = sector.saturating_mul(SECTOR);
        if guest >= geometry.virtual_size || !guest.is_multiple_of(geometry.grain) {
            let what = format!(
                "a marker names sector {sector}, which is no grain of a disk of {} bytes",
                geometry.virtual_size
            );
            return Err(malformed(at, what));
        }
        let size = u64::from(size);
        if size > geometry.max_stream() {
            let what = format!("a grain of {} bytes is said to be compressed to {size}", geometry.grain);
            return Err(malformed(at + 8, what));
        }
        if guest < self.guest {
            let what = format!("the grain of sector {sector} comes behind that of a later one");
            return Err(Error::new(Kind::Unplaced, what).at(at));
        }
        if window.get(at, MARKER + size).is_none() {
            return Ok(false);
        }
        let len = geometry.grain_at(guest);
        let small = u32::try_from(len).expect("a compressed grain has at most 2 MiB");
        window.out.push(Piece {
            at: saturated(at + MARKER - window.start),
            host_len: saturated(size),
            guest: GuestOffset(guest),
            guest_len: len,
            codec: Some(ClusterCodec::Zlib { at_least: small }),
        });
        let grain = Grain { number: guest / geometry.grain, host: at };
        match &mut self.tables {
            Tables::Front(front) => front.see(&geometry, grain)?,
            Tables::Behind(behind) => behind.see(&geometry, grain)?,
        }
        self.guest = guest + geometry.grain;
        // The file may end inside the padding.
        self.position = (at + MARKER + size).next_multiple_of(SECTOR);
        Ok(true)
    }

    /// Reads a grain table behind its grains.
    fn table(&mut self, window: &Window<'_>, sectors: u64) -> Result<bool, Error> {
        let geometry = self.header.geometry;
        self.require_sectors("grain table", sectors, geometry.table_len())?;
        let host = self.position + SECTOR;
        let Some(bytes) = window.get(host, geometry.table_len()) else {
            return Ok(false);
        };
        if let Tables::Behind(behind) = &mut self.tables {
            behind.add_table(host, sum_of(&geometry, host, bytes, geometry.entries)?)?;
        }
        self.position = host + sectors * SECTOR;
        Ok(true)
    }

    /// Compares entries of the grain directory with the tables and grains that were seen.
    fn directory(&mut self, window: &Window<'_>, start: u64, read: u64) -> Result<bool, Error> {
        let geometry = self.header.geometry;
        let in_sight = window.end().saturating_sub(self.position) / ENTRY * ENTRY;
        let len = in_sight.min(geometry.directory_len() - read);
        let bytes = window.get(self.position, len).unwrap_or_default();
        if let Tables::Behind(behind) = &mut self.tables {
            for (index, at) in (read / ENTRY..).zip(0..len / ENTRY) {
                let table = entry::table(&geometry, start, index, entry::entry(bytes, at))?;
                behind.check(index, table).map_err(|error| error.at(start + index * ENTRY))?;
            }
        }
        self.position += len;
        if read + len < geometry.directory_len() {
            self.phase = Phase::Directory { start, read: read + len };
            return Ok(false);
        }
        self.position = self.position.next_multiple_of(SECTOR);
        self.phase = Phase::Footer { directory: start };
        Ok(true)
    }

    fn footer(&mut self, window: &Window<'_>, directory: u64) -> Result<bool, Error> {
        let Some(bytes) = window.get(self.position, 2 * SECTOR) else {
            return Ok(false);
        };
        let (value, size, kind) = (le64(bytes, 0), le32(bytes, 8), le32(bytes, 12));
        if (size, kind) == (0, marker::PROGRESS) {
            return self.pass(window, SECTOR);
        }
        if (size, kind) != (0, marker::FOOTER) {
            return Err(malformed(self.position, "no footer marker follows the grain directory"));
        }
        self.require_sectors("footer", value, SECTOR)?;
        let host = self.position + SECTOR;
        let named = self.header.footer(&bytes[saturated(SECTOR)..], host)?;
        if named != directory {
            let what = format!("gdOffset is {named:#x} in the footer, the grain directory lies at {directory:#x}");
            return Err(malformed(host + 56, what));
        }
        self.phase = Phase::End;
        self.pass(window, 2 * SECTOR)
    }

    fn end(&mut self, window: &Window<'_>) -> Result<bool, Error> {
        let Some(bytes) = window.get(self.position, SECTOR) else {
            return Ok(false);
        };
        if (le64(bytes, 0), le32(bytes, 8), le32(bytes, 12)) != (0, 0, marker::END_OF_STREAM) {
            return Err(malformed(self.position, "no end-of-stream marker follows the footer"));
        }
        self.phase = Phase::Done;
        self.pass(window, SECTOR)
    }

    /// Passes `len` bytes once they are in sight.
    fn pass(&mut self, window: &Window<'_>, len: u64) -> Result<bool, Error> {
        let is_in_sight = window.get(self.position, len).is_some();
        if is_in_sight {
            self.position += len;
        }
        Ok(is_in_sight)
    }

    fn require_sectors(&self, name: &str, said: u64, len: u64) -> Result<(), Error> {
        if said == len.div_ceil(SECTOR) {
            return Ok(());
        }
        let what = format!("the marker of a {name} of {len} bytes says {said} sectors");
        Err(malformed(self.position, what))
    }

    /// Refuses an image that ends before it is complete.
    fn require_end(&self, end: u64) -> Result<(), Error> {
        let truncated = |what: &str| {
            Err(Error::new(Kind::Truncated, format!("the file ends at {end:#x}, {what}")).at(self.position))
        };
        match (self.phase, &self.tables) {
            (Phase::Done, _) => Ok(()),
            (Phase::Grains, Tables::Front(front)) if end <= self.position => front.require_seen(end),
            (Phase::Metadata, _) => truncated("before its first grain"),
            (Phase::Grains, _) => truncated("inside a grain or before its tables"),
            _ => truncated("before the end of the stream"),
        }
    }
}

fn unexpected(kind: u32, value: u64, has_footer: bool) -> String {
    match (kind, has_footer) {
        (marker::END_OF_STREAM, true) => "the stream ends before its grain directory and footer".to_owned(),
        (marker::FOOTER, true) => "the footer comes before a grain directory".to_owned(),
        (marker::END_OF_STREAM..=marker::FOOTER, _) => {
            format!("a marker of type {kind} and value {value} in an image whose tables are in front")
        }
        _ => format!("a marker of type {kind} is not known"),
    }
}

impl crate::Stream for Stream {
    fn virtual_size(&self) -> Option<u64> {
        Some(self.geometry().virtual_size)
    }

    fn max_encoded(&self) -> u64 {
        self.geometry().grain
    }

    fn hold_back(&self) -> usize {
        // A grain, or a table with its marker.
        saturated((MARKER + self.geometry().max_stream()).max(SECTOR + self.geometry().table_len()))
    }

    fn push(&mut self, bytes: &[u8], last: bool, out: &mut Vec<Piece>) -> Result<usize, Error> {
        let start = self.consumed;
        let mut window = Window { bytes, start, out };
        while self.step(&mut window)? {}
        let end = window.end();
        if last {
            self.require_end(end)?;
        }
        self.consumed = if last { end } else { self.position.min(end) };
        Ok(saturated(self.consumed - start))
    }
}

fn malformed(host: u64, what: impl Into<String>) -> Error {
    Error::new(Kind::Malformed, what).at(host)
}
