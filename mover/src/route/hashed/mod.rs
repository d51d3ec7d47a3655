//! Random access with a digest over the whole file: the file once, in its own order.
//!
//! ```text
//! planner --units of the whole file--> fetchers --slots--> in order? --> digest
//!                                                   \--> workers (at once)
//! ```
//!
//! The map comes first, by ranges. The bytes of its tables are seen again when the file flows past, and must be the same:
//! otherwise a server could show one file to the digest and another to the disk.

mod cutter;
mod digester;

use std::ops::Range;

use blake3::Hasher as Blake3;
use contract::{Code, Failure};
use crossbeam_channel::{Receiver, Sender, select};
use formats::Extent;

use crate::checksum::Algorithm;
use crate::engine::{Engine, Lines};
use crate::failure::image_failure;
use crate::fetch::{Filled, Request, Table};
use crate::journal::Checkpoint;
use crate::look::Seen;
use crate::parts::{Gaps, Part, Unit, continues};
use crate::target::is_withheld;
use crate::tracker::WINDOW;
use crate::volume::{Checkpoints, Volume};
use crate::walker::{Step, Walker};
use crate::worker::Work;
use cutter::Cutter;
use digester::{Digester, State};

/// Host bytes of one request.
const REQUEST: u64 = 6 << 20;
/// Slots kept free of bytes that wait for their turn, so that workers and fetchers always have some.
const SPARE_SLOTS: usize = 8;
/// Bytes of extents that are held at once; a file with more is read twice.
pub(crate) const MAX_EXTENTS: usize = (12 << 20) / size_of::<Extent>();

/// What the digest needs to know.
pub(crate) struct Hashing<'a> {
    pub(crate) algorithm: Algorithm,
    /// What was read to open the map.
    pub(crate) seen: Vec<Seen>,
    pub(crate) file_len: u64,
    /// Where an earlier attempt stopped.
    pub(crate) from: &'a Checkpoint,
    /// Where this one could be taken up.
    pub(crate) checkpoints: &'a Checkpoints,
}

/// What came of it.
pub(crate) enum Hashed {
    /// The digest of the whole file.
    Digest(String),
    /// The map is larger than the memory for it; nothing was moved.
    MapTooLarge,
    /// The checkpoint is of another map; nothing was moved.
    CheckpointRefused,
}

/// A whole map, and its tables in host order.
type Collected = (Vec<Extent>, Vec<Seen>);

/// Moves the disk behind `walker` to `volume` and returns the file's digest.
///
/// # Errors
/// The first failure of any thread.
pub(crate) fn hashed(
    engine: &Engine<'_>,
    volume: &Volume<'_>,
    walker: Walker,
    max_encoded: u64,
    hashing: &Hashing<'_>,
) -> Result<Hashed, Failure> {
    let mut outcome = Hashed::MapTooLarge;
    let mut digest = String::new();
    let (ready, begun) = crossbeam_channel::bounded::<Digester>(1);
    let (passed, passing) = crossbeam_channel::unbounded();
    let tap = |filled: Receiver<Work>, work: Sender<Work>| -> Result<(), Failure> {
        // Without a digester nothing was asked for.
        let Ok(digester) = begun.recv() else { return Ok(()) };
        digest = digester.run(engine, volume, hashing.checkpoints, (&filled, &work, &passed))?;
        Ok(())
    };
    engine.with_fetchers(volume, max_encoded, Some(Box::new(tap)), |lines| {
        let Some((extents, tables)) = collect(engine, walker, &lines, hashing.seen.clone())? else { return Ok(()) };
        let mut planner =
            Planner::new(engine, volume, lines, Cutter::new(extents, engine.pool.slot_size(), hashing.file_len));
        let Some(state) = planner.take_up(hashing, &tables)? else {
            outcome = Hashed::CheckpointRefused;
            return Ok(());
        };
        engine.send(&ready, Digester::new(state, tables))?;
        outcome = Hashed::Digest(String::new());
        planner.run(&passing)
    })?;
    Ok(if matches!(outcome, Hashed::Digest(_)) { Hashed::Digest(digest) } else { outcome })
}

/// Builds the whole map and returns its extents in host order, with what each table looked like; `None` if they are too
/// many.
fn collect(
    engine: &Engine<'_>,
    mut walker: Walker,
    lines: &Lines,
    mut tables: Vec<Seen>,
) -> Result<Option<Collected>, Failure> {
    let mut extents = Vec::new();
    let mut wants = Vec::new();
    loop {
        let step = walker.next(&mut wants).map_err(|error| image_failure(&error, engine.source.name()))?;
        for range in wants.drain(..) {
            engine.send(&lines.tables, range)?;
        }
        match step {
            Step::Window(window) => extents.extend(window.extents),
            Step::End => break,
            Step::Waiting => {
                let (range, bytes) = receive(engine, &lines.fetched_tables)?;
                tables.push((range.clone(), blake3::hash(&bytes)));
                walker.feed(range.start, &bytes).map_err(|error| image_failure(&error, engine.source.name()))?;
            }
        }
        if extents.len() > MAX_EXTENTS {
            return Ok(None);
        }
    }
    tables.sort_unstable_by_key(|(range, _)| (range.start, range.end));
    Ok(Some((extents, tables)))
}

fn receive(engine: &Engine<'_>, tables: &Receiver<Table>) -> Result<Table, Failure> {
    select! {
        recv(tables) -> table => table.map_err(|_| engine.stop.reason()),
        recv(engine.stop.tripped()) -> _ => Err(engine.stop.reason()),
    }
}

struct Planner<'a> {
    engine: &'a Engine<'a>,
    volume: &'a Volume<'a>,
    lines: Lines,
    cutter: Cutter,
    next_unit: u64,
    /// The window that is open.
    window: Option<u64>,
}

impl<'a> Planner<'a> {
    fn new(engine: &'a Engine<'a>, volume: &'a Volume<'a>, lines: Lines, cutter: Cutter) -> Self {
        Self { engine, volume, lines, cutter, next_unit: 0, window: None }
    }

    /// Goes to where an earlier attempt stopped and returns the digest's state there; `None` if the checkpoint does not
    /// fit the map or the source.
    fn take_up(&mut self, hashing: &Hashing<'_>, tables: &[Seen]) -> Result<Option<State>, Failure> {
        let map = map_digest(tables);
        if hashing.from.host == 0 {
            return Ok(Some(State::new(hashing.algorithm, map)));
        }
        let Some(mut state) = State::decode(hashing.algorithm, hashing.from).filter(|state| state.map == map) else {
            return Ok(None);
        };
        let mut withheld = Vec::new();
        for part in self.cutter.skip_to(hashing.from.host) {
            self.volume.fingerprint.expect(&part.guest_range());
            if is_withheld(self.volume.target, &part.guest_range()) {
                withheld.push(part);
            }
        }
        // What was only kept in memory is fetched again, and must be what the digest has seen.
        for part in withheld {
            self.fetch_again(part, &mut state.withheld_so_far)?;
        }
        Ok((state.withheld_so_far.finalize() == state.withheld).then_some(state))
    }

    fn fetch_again(&self, part: Part, seen: &mut Blake3) -> Result<(), Failure> {
        self.engine.send(&self.lines.tables, part.host_range())?;
        let (_, bytes) = receive(self.engine, &self.lines.fetched_tables)?;
        seen.update(&bytes);
        let mut slot = self.engine.pool.take(self.engine.stop)?;
        slot.set_len(bytes.len());
        slot.copy_from_slice(&bytes);
        let unit = Unit { host: part.host_range(), parts: vec![part] };
        self.engine.send(&self.lines.work, Work::Uncounted(Filled { number: 0, unit, slot: slot.into() }))
    }

    fn run(mut self, passing: &Receiver<()>) -> Result<(), Failure> {
        let room = self.engine.pool.slots().saturating_sub(SPARE_SLOTS).max(1) as u64;
        let mut passed = 0;
        let mut request: Vec<Unit> = Vec::new();
        while let Some(unit) = self.cutter.next_unit() {
            self.count(&unit);
            if let (Some(first), Some(last)) = (request.first(), request.last()) {
                let long = unit.host.end - first.host.start > REQUEST;
                if long || !continues(last, &unit, &mut Gaps::default()) {
                    self.send(&mut request)?;
                }
            }
            request.push(unit);
            while self.next_unit + request.len() as u64 - passed >= room {
                self.send(&mut request)?;
                select! {
                    recv(passing) -> unit => unit.map_err(|_| self.engine.stop.reason())?,
                    recv(self.engine.stop.tripped()) -> _ => return Err(self.engine.stop.reason()),
                }
                passed += 1 + passing.try_iter().count() as u64;
            }
        }
        self.seal();
        self.send(&mut request)
    }

    fn send(&mut self, request: &mut Vec<Unit>) -> Result<(), Failure> {
        if request.is_empty() {
            return Ok(());
        }
        let first = self.next_unit;
        self.next_unit += request.len() as u64;
        self.engine.send(&self.lines.data, Request { first, units: std::mem::take(request) })
    }

    /// Counts the unit's parts as work.
    fn count(&mut self, unit: &Unit) {
        for part in &unit.parts {
            let window = part.host / WINDOW;
            if self.window != Some(window) {
                self.seal();
                self.volume.tracker.begin(window, self.volume.earlier);
                self.window = Some(window);
            }
            self.volume.tracker.add(&part.host_range());
        }
    }

    fn seal(&mut self) {
        if let Some(window) = self.window.take() {
            self.volume.tracker.seal(window);
        }
    }
}

/// One digest over all tables.
fn map_digest(tables: &[Seen]) -> blake3::Hash {
    let mut hasher = Blake3::new();
    for (range, digest) in tables {
        hasher.update(&range.start.to_le_bytes()).update(digest.as_bytes());
    }
    hasher.finalize()
}

/// A table that looked different when the file flowed past.
fn inconsistent(engine: &Engine<'_>, range: &Range<u64>) -> Failure {
    let what = format!("the source gave different bytes for {}..{} the second time", range.start, range.end);
    Failure::new(Code::SourceInconsistent, what).at(engine.source.name())
}
