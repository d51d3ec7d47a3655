//! Forward-only decoder: places data clusters as they flow past, by tables that flowed before them.
//!
//! ```text
//!            position                                              end of what is seen
//! consumed ------|-- table --|-- data --|-- encoded --|-- ? ? ? ---|
//!                  read ahead, its runs are queued      held back until HOLD bytes behind it hold no table that
//!                                                       places it, then passed over
//! ```
//!
//! `qemu-img convert` allocates an L2 table before the clusters it describes, except that encoded clusters also fill the
//! rest of a cluster that was begun earlier, so a table may follow the first of them. Tables are therefore read as far
//! ahead as bytes are there, and bytes that nothing explains yet are held back for a while. Refcounts, snapshots and
//! clusters that nothing points at are passed over in the same way. What was never placed reads as zeros.
//!
//! A caller that keeps what is passed over is asked for it at the end: parts of tables that came after what they place
//! are read again, and only what lay behind the stream when they were seen is placed then.

use super::entry::{Entries, l2_table};
use super::geometry::{Geometry, L1_ENTRY};
use super::header::Header;
use std::ops::Range;

use super::runs::{Content, Run, Table};
use crate::extent::Extents;
use crate::field::be64;
use crate::offset::saturated;
use crate::queue::Queue;
use crate::{Error, Extent, GuestOffset, Kind, Piece, Place};

/// Fewest bytes that are held back where nothing explains them: 16 of the usual clusters, because one that is only begun
/// may be filled from several sparse regions, each with a table of its own.
const MIN_HOLD: u64 = 1024 * 1024;

/// Clusters that are held back: one that was begun, a refcount block, an L2 table.
const HOLD_CLUSTERS: u64 = 3;

/// Plain pieces are cut at sectors, so that a disk is written in sectors however the bytes come.
const SECTOR: u64 = 512;

/// A part of an L2 table that names bytes which had flowed past when it was seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Late {
    host: u64,
    /// First guest byte that the part describes.
    guest: u64,
    /// Where the stream stood when the part was seen: what lies before is placed late.
    seen: u64,
}

/// Forward decoder of a qcow2 image.
#[derive(Clone, Debug)]
pub struct Stream {
    geometry: Geometry,
    /// Host offset of the first byte that is not consumed.
    position: u64,
    /// Bytes of the L1 table that have been read.
    l1_read: u64,
    /// Where the last sector of the last encoded cluster ends. It is that cluster's in part; another may begin in it.
    tail: u64,
    tables: Queue<Table>,
    runs: Queue<Run>,
    /// Whether the caller keeps what flows past.
    keeps: bool,
    late: Queue<Late>,
    /// The part that is wanted now.
    wanted: Option<Late>,
    /// Where the file ended, once it has.
    end: u64,
}

/// Bytes of one push.
#[derive(Clone, Copy)]
struct Window<'a> {
    bytes: &'a [u8],
    start: u64,
    end: u64,
    last: bool,
}

impl<'a> Window<'a> {
    /// Bytes from host offset `from` as far as `to`, cut at what is there.
    fn get(&self, from: u64, to: u64) -> &'a [u8] {
        let index = |host: u64| saturated(host.clamp(self.start, self.end) - self.start);
        self.bytes.get(index(from)..index(to)).unwrap_or_default()
    }
}

impl Stream {
    /// A decoder for an image with this header, whose first byte is pushed first.
    #[must_use]
    pub fn new(header: &Header) -> Self {
        let geometry = header.geometry;
        let (refcounts, refcounts_len) = header.refcount_table;
        let mut runs = Queue::new();
        for (host, len) in [
            (0, geometry.cluster()),
            (geometry.l1_offset, geometry.l1_entries() * L1_ENTRY),
            (refcounts, refcounts_len),
        ] {
            runs.push(Run::table(host, len)).expect("three runs are fewer than the limit");
        }
        Self {
            geometry,
            position: 0,
            l1_read: 0,
            tail: 0,
            tables: Queue::new(),
            runs,
            keeps: false,
            late: Queue::new(),
            wanted: None,
            end: 0,
        }
    }

    const fn hold(&self) -> u64 {
        let clusters = self.geometry.cluster() * HOLD_CLUSTERS;
        if clusters > MIN_HOLD { clusters } else { MIN_HOLD }
    }

    /// Offset of the first byte of the L1 table that has not been read; `None` behind its end.
    fn l1_next(&self) -> Option<u64> {
        (self.l1_read < self.geometry.l1_entries() * L1_ENTRY).then_some(self.geometry.l1_offset + self.l1_read)
    }

    fn read_l1(&mut self, window: &Window<'_>) -> Result<(), Error> {
        let Some(next) = self.l1_next() else {
            return Ok(());
        };
        let end = self.geometry.l1_offset + self.geometry.l1_entries() * L1_ENTRY;
        for entry in window.get(next, end).chunks_exact(saturated(L1_ENTRY)) {
            let index = self.l1_read / L1_ENTRY;
            match l2_table(&self.geometry, index, be64(entry, 0))? {
                Some(host) if host < self.position && self.keeps => self.place_late(host, index)?,
                Some(host) => {
                    self.require_ahead(host, || format!("the L2 table of L1 entry {index}"))?;
                    self.tables.push(Table { host, index })?;
                }
                None => {}
            }
            self.l1_read += L1_ENTRY;
        }
        Ok(())
    }

    /// Reads L2 tables that are in sight as a whole.
    fn read_l2(&mut self, window: &Window<'_>) -> Result<(), Error> {
        let (geometry, part) = (self.geometry, self.geometry.l2_part());
        while let Some(table) = self.tables.pop_if(|table| table.host + geometry.l2_needed(table.index) <= window.end) {
            let len = geometry.l2_needed(table.index);
            for (bytes, number) in window.get(table.host, table.host + len).chunks(saturated(part)).zip(0..) {
                let guest = table.index * geometry.l1_coverage() + number * geometry.l2_part_coverage();
                self.place(&Entries { host: table.host + number * part, guest, bytes })?;
            }
            self.runs.push(Run::table(table.host, len))?;
        }
        Ok(())
    }

    fn place(&mut self, entries: &Entries<'_>) -> Result<(), Error> {
        let end = (entries.guest + self.geometry.l2_part_coverage()).min(self.geometry.virtual_size);
        let mut extents = Vec::new();
        entries.resolve(&self.geometry, None, entries.guest..end, &mut Extents::new(&mut extents))?;
        let mut is_late = false;
        for extent in extents {
            let (host, len, content) = match extent.place {
                Place::Zero => continue,
                Place::Data(host) => (host.0, extent.len, Content::Data),
                Place::Encoded { at, len, .. } => (at.0, len.into(), Content::Encoded),
            };
            if host < self.position && self.keeps {
                is_late = true;
                continue;
            }
            self.require_ahead(host, || extent.guest.to_string())?;
            self.runs.push(Run { host, guest: extent.guest.0, len, content })?;
        }
        if is_late {
            self.late.push(Late { host: entries.host, guest: entries.guest, seen: self.position })?;
        }
        Ok(())
    }

    /// Keeps in mind a table that flowed past before it was named, with everything it places.
    fn place_late(&mut self, host: u64, index: u64) -> Result<(), Error> {
        let (part, guest) = (self.geometry.l2_part(), index * self.geometry.l1_coverage());
        for number in 0..self.geometry.l2_needed(index) / part {
            let guest = guest + number * self.geometry.l2_part_coverage();
            self.late.push(Late { host: host + number * part, guest, seen: u64::MAX })?;
        }
        Ok(())
    }

    fn require_ahead(&self, host: u64, what: impl Fn() -> String) -> Result<(), Error> {
        if host >= self.position {
            return Ok(());
        }
        let what = format!("{} lies at offset {host:#x}, which a table named only after it had flowed past", what());
        Err(Error::new(Kind::Unplaced, what).at(host))
    }

    /// Refuses an image that ends before its tables do.
    fn require_read(&self, end: u64) -> Result<(), Error> {
        let l1 = self.l1_next().map(|host| (host, "the L1 table".to_owned()));
        let l2 = self.tables.first().map(|table| (table.host, format!("the L2 table of L1 entry {}", table.index)));
        let Some((host, table)) = l1.or(l2) else {
            return Ok(());
        };
        let what = format!("{table} goes on at offset {host:#x}, the file ends at {end:#x}");
        Err(Error::new(Kind::Truncated, what).at(host))
    }

    /// Emits what is in sight and returns the offset up to which no byte is needed any more.
    fn emit(&mut self, window: &Window<'_>, out: &mut Vec<Piece>) -> Result<u64, Error> {
        let unread = self.l1_next().into_iter().chain(self.tables.first().map(|table| table.host));
        let stop = unread.fold(window.end, u64::min);
        // What nothing explains is passed over as far as `loose`.
        let loose = if window.last { window.end } else { window.end.saturating_sub(self.hold()) };
        let mut passed = window.start.max(loose);
        let mut cut = Vec::new();
        while let Some(run) = self.runs.pop_if(|run| run.host < window.end) {
            if run.host > passed && run.host >= self.tail {
                self.runs.push(run)?;
                break;
            }
            let done = self.emit_run(&run, window, out)?;
            let mut used = run.host + done;
            if run.content == Content::Encoded && done > 0 {
                self.tail = used;
                used -= done.min(SECTOR);
            }
            passed = passed.max(run.host).max(used);
            if done == run.len {
                continue;
            }
            cut.push(run.after(done));
        }
        // Runs may overlap, so the first that is cut need not be the one that goes on first.
        let mut next = stop.min(passed);
        for rest in cut {
            next = next.min(rest.host);
            self.runs.push(rest)?;
        }
        Ok(next)
    }

    /// Emits what is in sight of a run that begins in sight; how many of its bytes are done with.
    fn emit_run(&self, run: &Run, window: &Window<'_>, out: &mut Vec<Piece>) -> Result<u64, Error> {
        let seen = run.end().min(window.end) - run.host;
        let is_whole = seen == run.len || window.last;
        let (len, guest_len) = match run.content {
            Content::Table => return Ok(seen),
            Content::Encoded if !is_whole => return Ok(0),
            Content::Encoded => (seen, self.geometry.cluster().min(self.geometry.virtual_size - run.guest)),
            Content::Data if is_whole => (seen, seen),
            Content::Data => (seen - seen % SECTOR, seen - seen % SECTOR),
        };
        if len > 0 {
            out.push(Piece {
                at: saturated(run.host - window.start),
                host_len: saturated(len),
                guest: GuestOffset(run.guest),
                guest_len,
                codec: (run.content == Content::Encoded).then_some(self.geometry.codec),
            });
        }
        Ok(len)
    }
}

impl crate::Stream for Stream {
    fn virtual_size(&self) -> Option<u64> {
        Some(self.geometry.virtual_size)
    }

    fn max_encoded(&self) -> u64 {
        self.geometry.cluster()
    }

    fn hold_back(&self) -> usize {
        saturated(self.hold())
    }

    fn keep(&mut self) -> bool {
        self.keeps = true;
        true
    }

    fn late(&mut self) -> Result<Option<Range<u64>>, Error> {
        self.wanted = self.late.pop();
        Ok(self.wanted.map(|part| part.host..part.host + self.geometry.l2_part()))
    }

    fn feed_late(&mut self, bytes: &[u8], out: &mut Vec<Extent>) -> Result<(), Error> {
        let Some(Late { host, guest, seen }) = self.wanted.take() else { return Ok(()) };
        let end = (guest + self.geometry.l2_part_coverage()).min(self.geometry.virtual_size);
        let mut extents = Vec::new();
        let entries = Entries { host, guest, bytes };
        entries.resolve(&self.geometry, Some(self.end), guest..end, &mut Extents::new(&mut extents))?;
        out.extend(extents.into_iter().filter(|extent| match extent.place {
            Place::Zero => false,
            Place::Data(host) | Place::Encoded { at: host, .. } => host.0 < seen,
        }));
        Ok(())
    }

    fn push(&mut self, bytes: &[u8], last: bool, out: &mut Vec<Piece>) -> Result<usize, Error> {
        let window = Window { bytes, start: self.position, end: self.position + bytes.len() as u64, last };
        self.end = window.end;
        self.read_l1(&window)?;
        self.read_l2(&window)?;
        if last {
            self.require_read(window.end)?;
            self.runs.iter().try_for_each(|run| run.require(&self.geometry, window.end))?;
        }
        self.position = self.emit(&window, out)?;
        Ok(saturated(self.position - window.start))
    }
}
