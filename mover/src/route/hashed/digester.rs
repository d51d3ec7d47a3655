//! Puts units back in order for the digest, while workers have them already.

use std::collections::BTreeMap;

use blake3::Hasher as Blake3;
use contract::Failure;
use crossbeam_channel::{Receiver, Sender};

use super::inconsistent;
use crate::checksum::{Algorithm, Hasher};
use crate::engine::Engine;
use crate::fetch::Filled;
use crate::journal::Checkpoint;
use crate::look::Seen;
use crate::parts::Unit;
use crate::target::is_withheld;
use crate::volume::{Checkpoints, Volume};
use crate::worker::Work;

/// Units between two checkpoints.
const EVERY: u64 = 8;

/// What the digest has seen so far; stored in a checkpoint.
pub(super) struct State {
    hasher: Hasher,
    /// End of the bytes in `hasher`.
    hashed: u64,
    /// Digest of the map's tables.
    pub(super) map: blake3::Hash,
    /// Digest, at the checkpoint, of the parts that were only kept in memory.
    pub(super) withheld: blake3::Hash,
    /// The same, going on.
    pub(super) withheld_so_far: Blake3,
}

impl State {
    pub(super) fn new(algorithm: Algorithm, map: blake3::Hash) -> Self {
        let withheld_so_far = Blake3::new();
        Self { hasher: Hasher::new(algorithm), hashed: 0, map, withheld: withheld_so_far.finalize(), withheld_so_far }
    }

    /// Stored form: end of the hashed bytes (8), map (32), withheld (32), hasher.
    fn encode(&self) -> Vec<u8> {
        let withheld = self.withheld_so_far.finalize();
        let hashed = self.hashed.to_le_bytes();
        [&hashed[..], self.map.as_bytes(), withheld.as_bytes(), &self.hasher.save()].concat()
    }

    pub(super) fn decode(algorithm: Algorithm, from: &Checkpoint) -> Option<Self> {
        let (hashed, rest) = from.state.split_first_chunk::<8>()?;
        let (map, rest) = rest.split_first_chunk::<32>()?;
        let (withheld, hasher) = rest.split_first_chunk::<32>()?;
        Some(Self {
            hasher: Hasher::restore(algorithm, hasher)?,
            hashed: u64::from_le_bytes(*hashed),
            map: (*map).into(),
            withheld: (*withheld).into(),
            withheld_so_far: Blake3::new(),
        })
    }
}

pub(super) struct Digester {
    state: State,
    /// Tables that have not flowed past yet, the next one last.
    tables: Vec<Seen>,
    /// Tables that are flowing past.
    flowing: Vec<(Seen, Blake3)>,
    waiting: BTreeMap<u64, Filled>,
    next: u64,
}

impl Digester {
    pub(super) fn new(state: State, mut tables: Vec<Seen>) -> Self {
        // What lies before the checkpoint was compared by the attempt that made it.
        tables.retain(|(range, _)| range.start >= state.hashed);
        tables.reverse();
        Self { state, tables, flowing: Vec::new(), waiting: BTreeMap::new(), next: 0 }
    }

    /// Passes units on at once and hashes them in order; returns the digest of the file.
    pub(super) fn run(
        mut self,
        engine: &Engine<'_>,
        volume: &Volume<'_>,
        checkpoints: &Checkpoints,
        (filled, work, passed): (&Receiver<Work>, &Sender<Work>, &Sender<()>),
    ) -> Result<String, Failure> {
        let stage = &engine.stages.checksum;
        stage.enter();
        while let Ok(item) = stage.wait(|| filled.recv()) {
            let Work::Unit(filled) = item else { continue };
            let shared = Filled { number: filled.number, unit: filled.unit.clone(), slot: filled.slot.clone() };
            engine.send(work, Work::Unit(filled))?;
            self.waiting.insert(shared.number, shared);
            while let Some(filled) = self.waiting.remove(&self.next) {
                if self.next.is_multiple_of(EVERY) && self.flowing.is_empty() {
                    checkpoints.push(self.checkpoint(&filled.unit));
                }
                stage.work(|| self.pass(engine, volume, &filled))?;
                self.next += 1;
                // The planner may have asked for everything already.
                let _ = passed.send(());
            }
        }
        Ok(self.state.hasher.hex())
    }

    /// Where a later attempt could go on: with `unit`, all before being hashed.
    fn checkpoint(&self, unit: &Unit) -> Checkpoint {
        Checkpoint { position: unit.host.start, host: unit.host.start, state: self.state.encode() }
    }

    fn pass(&mut self, engine: &Engine<'_>, volume: &Volume<'_>, filled: &Filled) -> Result<(), Failure> {
        let Filled { unit, slot, .. } = filled;
        for part in unit.parts.iter().filter(|part| is_withheld(volume.target, &part.guest_range())) {
            let from = (part.host - unit.host.start) as usize;
            self.state.withheld_so_far.update(&slot[from..from + part.host_len as usize]);
        }
        if unit.host.end <= self.state.hashed {
            return Ok(());
        }
        let fresh = &slot[(self.state.hashed - unit.host.start) as usize..];
        self.state.hasher.update(fresh);
        self.compare_tables(engine, fresh)?;
        self.state.hashed = unit.host.end;
        Ok(())
    }

    /// Compares the tables in `bytes`, which begin at `state.hashed`, with what the map was built from.
    fn compare_tables(&mut self, engine: &Engine<'_>, bytes: &[u8]) -> Result<(), Failure> {
        let (start, end) = (self.state.hashed, self.state.hashed + bytes.len() as u64);
        while let Some(table) = self.tables.pop_if(|(range, _)| range.start < end) {
            self.flowing.push((table, Blake3::new()));
        }
        let mut different = None;
        self.flowing.retain_mut(|((range, digest), hasher)| {
            let (from, to) = (range.start.max(start), range.end.min(end));
            hasher.update(&bytes[(from - start) as usize..(to - start) as usize]);
            if range.end <= end && hasher.finalize() != *digest {
                different = Some(range.clone());
            }
            range.end > end
        });
        different.map_or(Ok(()), |range| Err(inconsistent(engine, &range)))
    }
}
