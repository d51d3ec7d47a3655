//! What a replayed log has written, over the bytes of a file that is never changed.

use std::collections::BTreeMap;
use std::mem::size_of;
use std::ops::Range;

use crate::offset::saturated;

/// Bytes of one write of data.
pub(super) const SECTOR: usize = 4096;

/// What a write left behind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Source {
    /// Zeros.
    Zero,
    /// One sector of the log's bytes, from here.
    Log(usize),
    /// Data that nothing kept, because only guest data can be there.
    Dropped,
}

/// Writes by their place in the file. They do not overlap; a later one replaces what it covers of the earlier ones.
#[derive(Clone, Debug, Default)]
pub(super) struct Overlay {
    writes: BTreeMap<u64, (u64, Source)>,
    log: Vec<u8>,
    /// Bytes the file must at least have once the log is replayed.
    pub(super) end: u64,
}

impl Overlay {
    /// No writes yet, to a file that must have `end` bytes; data will be taken out of `log`.
    pub(super) fn new(log: Vec<u8>, end: u64) -> Self {
        Self { writes: BTreeMap::new(), log, end }
    }

    /// The bytes that data are taken out of.
    pub(super) fn log_mut(&mut self) -> &mut [u8] {
        &mut self.log
    }

    /// Adds a write; of one of data, `host` is a sector at a multiple of its size.
    pub(super) fn write(&mut self, host: Range<u64>, source: Source) {
        if host.is_empty() {
            return;
        }
        self.end = self.end.max(host.end);
        // What begins in front and reaches into the write can only be zeros: data have the size of the grid.
        if let Some((_, (end, _))) = self.writes.range_mut(..host.start).next_back()
            && *end > host.start
        {
            let rest = std::mem::replace(end, host.start);
            if rest > host.end {
                self.writes.insert(host.end, (rest, Source::Zero));
            }
        }
        while let Some((&start, &(end, old))) = self.writes.range(host.clone()).next() {
            self.writes.remove(&start);
            if end > host.end {
                self.writes.insert(host.end, (end, old));
            }
        }
        self.writes.insert(host.start, (host.end, source));
    }

    /// The writes that touch `host`, cut to it, ascending.
    pub(super) fn touching(&self, host: Range<u64>) -> impl Iterator<Item = (Range<u64>, Source)> + use<'_> {
        let before = self.writes.range(..host.start).next_back();
        let inside = self.writes.range(host.start..host.end.max(host.start));
        before.into_iter().chain(inside).filter_map(move |(&start, &(end, source))| {
            let cut = start.max(host.start)..end.min(host.end);
            // A cut sector of the log begins further in.
            let source = match source {
                Source::Log(at) => Source::Log(at + saturated(cut.start - start)),
                other => other,
            };
            (!cut.is_empty()).then_some((cut, source))
        })
    }

    /// Writes what the log wrote into `bytes`, which lie at `host` in the file.
    pub(super) fn patch(&self, host: u64, bytes: &mut [u8]) {
        let end = host.saturating_add(bytes.len() as u64);
        for (place, source) in self.touching(host..end) {
            let target = &mut bytes[saturated(place.start - host)..saturated(place.end - host)];
            match source {
                Source::Log(at) => target.copy_from_slice(&self.log[at..at + target.len()]),
                Source::Zero | Source::Dropped => target.fill(0),
            }
        }
    }

    /// Says whether a write touches `host`.
    pub(super) fn touches(&self, host: Range<u64>) -> bool {
        self.touching(host).next().is_some()
    }

    /// Keeps only the data that lie in `host`, and lets go of the log.
    pub(super) fn keep(&mut self, host: &Range<u64>) {
        let mut kept = Vec::new();
        for (&start, (end, source)) in &mut self.writes {
            match source {
                Source::Log(at) if start < host.end && *end > host.start => kept.push((*at, start)),
                Source::Log(_) => *source = Source::Dropped,
                _ => {}
            }
        }
        // In the order of the log, so that each sector moves towards the front, over one that has moved or is not kept.
        kept.sort_unstable();
        for (number, (at, start)) in kept.iter().enumerate() {
            self.log.copy_within(*at..*at + SECTOR, number * SECTOR);
            if let Some((_, source)) = self.writes.get_mut(start) {
                *source = Source::Log(number * SECTOR);
            }
        }
        self.log.truncate(kept.len() * SECTOR);
        self.log.shrink_to_fit();
    }

    /// Bytes of memory in use.
    pub(super) fn memory(&self) -> usize {
        self.log.capacity() + self.writes.len() * size_of::<(u64, (u64, Source))>()
    }
}

#[cfg(test)]
mod tests;
