//! Random access: fetch tables and allocated data only, in parallel.
//!
//! ```text
//! planner --wants--> fetchers --tables--> planner
//!    \----requests-> fetchers --slots---> workers --closed--> planner
//! ```
//!
//! Windows of 64 MiB of the disk are opened in ascending order. Inside one, parts are sorted by host offset and those that
//! follow each other become one request, across windows too, because a request's length is what hides latency.

use std::ops::Range;

use contract::Failure;
use crossbeam_channel::{Receiver, Sender, TryRecvError, select};
use formats::{Extent, GuestOffset, HostOffset, Place};

use crate::engine::{Engine, Lines};
use crate::failure::image_failure;
use crate::fetch::{Request, Table};
use crate::parts::{Gaps, Part, Unit, continues, pack, parts_of};
use crate::source::Source;
use crate::target::is_withheld;
use crate::volume::{Order, Volume};
use crate::walker::{Step, Walker, Window};
use crate::worker::Work;

/// Host bytes of one request.
const REQUEST: u64 = 32 << 20;
/// Windows that may be open at once.
const MAX_OPEN: usize = 64;
/// Parts that may be on their way at once; they are what a fragmented image costs memory for.
const MAX_PARTS: u64 = (6 << 20) / size_of::<Part>() as u64;

/// Moves the disk behind `walker` to `volume`.
///
/// # Errors
/// The first failure of any thread.
pub(crate) fn mapped(
    engine: &Engine<'_>,
    volume: &Volume<'_>,
    walker: Walker,
    max_encoded: u64,
) -> Result<(), Failure> {
    engine.with_fetchers(volume, max_encoded, None, |lines| {
        let Lines { tables, fetched_tables, data, work, closed } = lines;
        let planner = Planner {
            engine,
            volume,
            walker,
            gaps: Gaps::default(),
            batch: Vec::new(),
            next_unit: 0,
            full: false,
            tables,
            data,
            work,
        };
        planner.run(&fetched_tables, &closed)
    })
}

struct Planner<'a> {
    engine: &'a Engine<'a>,
    volume: &'a Volume<'a>,
    walker: Walker,
    gaps: Gaps,
    /// Units that will become the next request.
    batch: Vec<Unit>,
    next_unit: u64,
    /// The limit on open windows was reached; opening goes on once half of them are closed, so that requests stay long.
    full: bool,
    tables: Sender<Range<u64>>,
    data: Sender<Request>,
    work: Sender<Work>,
}

impl Planner<'_> {
    fn run(mut self, fetched_tables: &Receiver<Table>, closed: &Receiver<u64>) -> Result<(), Failure> {
        let mut wants = Vec::new();
        loop {
            self.take_tables(fetched_tables)?;
            let step = if self.may_open() { Some(self.step(&mut wants)?) } else { None };
            for range in wants.drain(..) {
                self.engine.send(&self.tables, range)?;
            }
            match step {
                Some(Step::Window(window)) => self.open(&window)?,
                Some(Step::End) => return self.flush(),
                Some(Step::Waiting) | None => self.wait(fetched_tables, closed, step.is_none())?,
            }
        }
    }

    fn step(&mut self, wants: &mut Vec<Range<u64>>) -> Result<Step, Failure> {
        self.walker.next(wants).map_err(|error| image_failure(&error, self.engine.source.name()))
    }

    fn may_open(&mut self) -> bool {
        let (windows, parts) = self.volume.tracker.open();
        self.full = if self.full {
            windows > MAX_OPEN / 2 || parts > MAX_PARTS / 2
        } else {
            windows >= MAX_OPEN || parts >= MAX_PARTS
        };
        !self.full
    }

    fn open(&mut self, window: &Window) -> Result<(), Failure> {
        let mut parts = Vec::new();
        for extent in window.extents.iter().flat_map(|extent| without_holes(extent, self.engine.source)) {
            parts_of(&extent, self.engine.pool.slot_size(), &mut parts);
            self.volume.fingerprint.expect(&(extent.guest.0..extent.guest.0 + extent.len));
        }
        self.volume.tracker.begin(window.index, self.volume.earlier);
        parts.retain(|part| self.is_missing(part));
        parts.iter().for_each(|part| self.volume.tracker.add(&part.guest_range()));
        if self.volume.tracker.seal(window.index) {
            return self.engine.send(&self.work, Work::Close(window.index));
        }
        parts.sort_unstable_by_key(|part| (part.host, part.guest));
        let mut units = Vec::new();
        pack(&parts, self.engine.pool.slot_size(), &mut self.gaps, &mut units);
        units.into_iter().try_for_each(|unit| self.append(unit))
    }

    /// Whether the part must be fetched: it was not made durable before, or only kept in memory then.
    fn is_missing(&self, part: &Part) -> bool {
        let range = part.guest_range();
        !self.volume.earlier.covers(&Order::Guest.positions(part)) || is_withheld(self.volume.target, &range)
    }

    fn append(&mut self, unit: Unit) -> Result<(), Failure> {
        if let (Some(first), Some(last)) = (self.batch.first(), self.batch.last()) {
            let long = unit.host.end.saturating_sub(first.host.start) > REQUEST;
            if long || !continues(last, &unit, &mut self.gaps) {
                self.flush()?;
            }
        }
        self.batch.push(unit);
        Ok(())
    }

    fn flush(&mut self) -> Result<(), Failure> {
        if self.batch.is_empty() {
            return Ok(());
        }
        let request = Request { first: self.next_unit, units: std::mem::take(&mut self.batch) };
        self.next_unit += request.units.len() as u64;
        self.engine.send(&self.data, request)
    }

    fn take_tables(&mut self, fetched_tables: &Receiver<Table>) -> Result<(), Failure> {
        loop {
            match fetched_tables.try_recv() {
                Ok(table) => self.feed(table)?,
                Err(TryRecvError::Empty | TryRecvError::Disconnected) => return Ok(()),
            }
        }
    }

    fn feed(&mut self, (range, bytes): Table) -> Result<(), Failure> {
        self.walker.feed(range.start, &bytes).map_err(|error| image_failure(&error, self.engine.source.name()))
    }

    /// Waits for a table or a closed window. A request that could still grow is sent if fetchers would idle.
    fn wait(
        &mut self,
        fetched_tables: &Receiver<Table>,
        closed: &Receiver<u64>,
        for_room: bool,
    ) -> Result<(), Failure> {
        if for_room || self.data.is_empty() {
            self.flush()?;
        }
        select! {
            recv(fetched_tables) -> table => match table {
                Ok(table) => self.feed(table),
                Err(_) => Err(self.engine.stop.reason()),
            },
            recv(closed) -> window => window.map(drop).map_err(|_| self.engine.stop.reason()),
            recv(self.engine.stop.tripped()) -> _ => Err(self.engine.stop.reason()),
        }
    }
}

/// What is left of `extent` without the holes of the source's own file, which the source need not be asked for.
fn without_holes(extent: &Extent, source: &dyn Source) -> Vec<Extent> {
    let Place::Data(host) = extent.place else { return vec![*extent] };
    let pieces = source.data_in(host.0..host.0 + extent.len).into_iter();
    let piece = |data: Range<u64>| Extent {
        guest: GuestOffset(extent.guest.0 + (data.start - host.0)),
        len: data.end - data.start,
        place: Place::Data(HostOffset(data.start)),
    };
    pieces.map(piece).collect()
}
