//! Forward-only decoder of any image whose tables lie in front of the data they place, built on the image's map.
//!
//! ```text
//!            position                                         end of what is seen
//! consumed ------|-- part of a table --|-- data --|-- ? ? ---|-- part of a table -- ...
//!                  fed to the map once it is in sight as a    wanted by a window that waits for it
//!                  whole; what waited for it is looked up
//!
//! guest windows    | placed | placed | waits | waits | ...    neighbours that wait for the same are one entry
//! ```
//!
//! At the first push every window of the disk is looked up, so that no table is passed before it is asked for. What is
//! known of later bytes is kept as runs: the blocks of a disk that was written in order are one run, whatever its size,
//! even where each of them has a bitmap in front. Bytes that nothing explains are passed over at once; a table that then
//! turns out to place them came too late. What was never placed reads as zeros.

mod kept;
mod late;
mod opened;
mod run;

use std::collections::BTreeMap;
use std::ops::Range;

use crate::offset::saturated;
use crate::queue::Queue;
use crate::tables::PART;
use crate::{Error, Extent, GuestOffset, HostOffset, Kind, Lookup, Map, Piece, Place};
use kept::Kept;
use late::Late;
pub use opened::OpenedStream;
use run::{Run, Window};

/// Least length of a lookup in bytes; a power of two.
const MIN_WINDOW: u64 = 64 * 1024 * 1024;

/// Most windows of a disk: larger disks are looked up in larger ones.
const MAX_WINDOWS: u64 = 1 << 16;

/// Bytes of tables that the map may hold. Tables that follow each other in the order of the guest need a few hundred KiB.
const MAX_MEMORY: usize = 16 * 1024 * 1024;

/// Most tables that lead to one place.
const MAX_LEVELS: u32 = 4;

/// Guest windows that cannot be looked up before the file has been seen as far as `host`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Waiting {
    host: u64,
    guest: u64,
    end: u64,
}

/// Forward decoder over a map.
pub struct Stream {
    map: Box<dyn Map>,
    window: u64,
    /// Host offset of the first byte that is not consumed.
    position: u64,
    /// What flowed past before there was a map.
    kept: Kept,
    late: Late,
    is_begun: bool,
    /// Parts of tables that have not been seen as a whole: first byte and end.
    tables: BTreeMap<u64, u64>,
    waiting: Queue<Waiting>,
    runs: Queue<Run>,
}

impl Stream {
    /// A decoder for the image of `map`, whose first byte is pushed first. The map is one that does not know the length
    /// of the file, and that places plain data only.
    #[must_use]
    pub fn new(map: Box<dyn Map>) -> Self {
        Self::after(map, 0, Kept::default())
    }

    /// The same for an image of which `position` bytes have flowed past, with tables at most among them.
    fn after(map: Box<dyn Map>, position: u64, kept: Kept) -> Self {
        let least = map.virtual_size() / MAX_WINDOWS;
        let window = least.checked_next_power_of_two().unwrap_or(1 << 63).max(MIN_WINDOW);
        Self {
            map,
            window,
            position,
            kept,
            late: Late::default(),
            is_begun: false,
            tables: BTreeMap::new(),
            waiting: Queue::new(),
            runs: Queue::new(),
        }
    }

    /// Looks windows up, and keeps the runs and the wants that come of it.
    fn ask(&mut self, guest: Range<u64>) -> Result<(), Error> {
        let mut asked = Asked::default();
        let (mut start, mut levels) = (guest.start, 0);
        while start < guest.end {
            let end = start.saturating_add(self.window).min(guest.end);
            asked.extents.clear();
            match self.map.lookup(start..end, &mut asked.extents)? {
                Lookup::Found => self.place(&mut asked)?,
                Lookup::Wants(wants) if levels < MAX_LEVELS && self.feed_kept(&wants)? => {
                    levels += 1;
                    continue;
                }
                Lookup::Wants(wants) => self.wait(start..end, &wants, &mut asked)?,
            }
            (start, levels) = (end, 0);
        }
        asked.run.map_or(Ok(()), |run| self.runs.push(run))?;
        asked.waiting.map_or(Ok(()), |waiting| self.waiting.push(waiting))
    }

    /// Feeds the tables among `wants` that flowed past before there was a map; whether there were any.
    fn feed_kept(&mut self, wants: &[Range<u64>]) -> Result<bool, Error> {
        let mut fed = false;
        for want in wants.iter().filter(|want| want.start < self.position) {
            if let Some(bytes) = self.kept.get(want) {
                self.map.feed(HostOffset(want.start), &bytes)?;
                fed = true;
            }
        }
        Ok(fed)
    }

    /// Keeps the extents that were found as runs.
    fn place(&mut self, asked: &mut Asked) -> Result<(), Error> {
        for extent in &asked.extents {
            let host = match extent.place {
                Place::Zero => continue,
                Place::Data(host) => host.0,
                Place::Encoded { at, .. } => {
                    let what = format!("{} is encoded, which this decoder does not place", extent.guest);
                    return Err(Error::new(Kind::Unsupported, what).at(at.0));
                }
            };
            if host < self.position && self.late.keeps {
                self.late.place(*extent)?;
                continue;
            }
            self.require_ahead(host, || extent.guest.to_string())?;
            let next = Run::new(host, extent.guest.0, extent.len);
            if !asked.run.as_mut().is_some_and(|run| run.append(&next)) {
                asked.run.replace(next).map_or(Ok(()), |done| self.runs.push(done))?;
            }
        }
        Ok(())
    }

    /// Keeps what a window wants, and the window.
    fn wait(&mut self, guest: Range<u64>, wants: &[Range<u64>], asked: &mut Asked) -> Result<(), Error> {
        if self.late.keeps && wants.iter().any(|want| want.start < self.position) {
            return self.late.wait(guest);
        }
        let mut host = 0;
        for want in wants {
            self.require_ahead(want.start, || "a table".to_owned())?;
            let end = self.tables.entry(want.start).or_insert(want.end);
            *end = want.end.max(*end);
            host = host.max(want.end);
        }
        if self.tables.len() > Queue::<Waiting>::LIMIT {
            let what = format!("more than {} tables come later in the image", Queue::<Waiting>::LIMIT);
            return Err(Error::new(Kind::Unplaced, what));
        }
        match &mut asked.waiting {
            Some(waiting) if waiting.host == host && waiting.end == guest.start => waiting.end = guest.end,
            waiting => {
                let next = Waiting { host, guest: guest.start, end: guest.end };
                waiting.replace(next).map_or(Ok(()), |done| self.waiting.push(done))?;
            }
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

    /// Feeds tables that are in sight as a whole, and asks again for what waited for them.
    fn read(&mut self, window: &Window<'_>) -> Result<(), Error> {
        loop {
            while let Some(table) = self.tables.first_entry().filter(|table| *table.get() <= window.end) {
                let (start, end) = table.remove_entry();
                self.map.feed(HostOffset(start), window.get(start, end))?;
            }
            // Of the tables whose first bytes are the same the longer one was kept, so one may still be missing.
            let seen = self.tables.first_key_value().map_or(window.end, |(&start, _)| start.min(window.end));
            let Some(ready) = self.waiting.pop_if(|waiting| waiting.host <= seen) else { return Ok(()) };
            self.ask(ready.guest..ready.end)?;
            self.release()?;
        }
    }

    /// Keeps the map's memory bounded.
    fn release(&mut self) -> Result<(), Error> {
        if self.map.memory() <= MAX_MEMORY / 2 {
            return Ok(());
        }
        let size = self.map.virtual_size();
        self.map.release(GuestOffset(self.waiting.iter().map(|waiting| waiting.guest).min().unwrap_or(size)));
        if self.map.memory() <= MAX_MEMORY {
            return Ok(());
        }
        let what = format!("tables of more than {MAX_MEMORY} bytes come in another order than what they describe");
        Err(Error::new(Kind::Unplaced, what).at(self.position))
    }

    /// Refuses an image that ends before its tables or its data do.
    fn require_all(&self, end: u64) -> Result<(), Error> {
        if let Some((&start, table_end)) = self.tables.first_key_value() {
            let what = format!("a table reaches to offset {table_end:#x}, the file ends at {end:#x}");
            return Err(Error::new(Kind::Truncated, what).at(start));
        }
        self.runs.iter().try_for_each(|run| run.require(end))
    }

    /// Emits what is in sight and returns the offset up to which no byte is needed any more.
    fn emit(&mut self, window: &Window<'_>, out: &mut Vec<Piece>) -> Result<u64, Error> {
        let mut cut = Vec::new();
        while let Some(run) = self.runs.pop_if(|run| run.host < window.end) {
            let len = run.in_sight(window.end);
            out.extend(run.piece(len, window.start));
            let Some(rest) = run.after(len) else { continue };
            if run.is_whole(len) {
                self.runs.push(rest)?;
            } else {
                cut.push(rest);
            }
        }
        let mut next = self.tables.first_key_value().map_or(window.end, |(&start, _)| start.min(window.end));
        for rest in cut {
            next = next.min(rest.host);
            self.runs.push(rest)?;
        }
        Ok(next)
    }
}

/// What one round of lookups found, before it is queued.
#[derive(Default)]
struct Asked {
    extents: Vec<Extent>,
    run: Option<Run>,
    waiting: Option<Waiting>,
}

impl crate::Stream for Stream {
    fn virtual_size(&self) -> Option<u64> {
        Some(self.map.virtual_size())
    }

    fn max_encoded(&self) -> u64 {
        0
    }

    fn hold_back(&self) -> usize {
        saturated(PART)
    }

    fn keep(&mut self) -> bool {
        self.late.keeps = true;
        true
    }

    fn late(&mut self) -> Result<Option<Range<u64>>, Error> {
        self.late.next(&mut *self.map, self.window)
    }

    fn feed_late(&mut self, bytes: &[u8], out: &mut Vec<Extent>) -> Result<(), Error> {
        self.late.feed(&mut *self.map, bytes, out)
    }

    fn push(&mut self, bytes: &[u8], last: bool, out: &mut Vec<Piece>) -> Result<usize, Error> {
        let window = Window { bytes, start: self.position, end: self.position.saturating_add(bytes.len() as u64) };
        if !std::mem::replace(&mut self.is_begun, true) {
            self.ask(0..self.map.virtual_size())?;
        }
        self.read(&window)?;
        if last {
            self.require_all(window.end)?;
        }
        self.position = self.emit(&window, out)?;
        Ok(saturated(self.position - window.start))
    }
}

#[cfg(test)]
mod tests;
