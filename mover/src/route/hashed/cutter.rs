//! Cuts a whole file into units, each with the parts that begin in it: pure.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use formats::{Extent, Place};

use crate::parts::{Part, Unit, parts_of};

/// Hands out a file's units in host order.
pub(super) struct Cutter {
    /// Extents not cut yet, the next one last.
    extents: Vec<Extent>,
    /// Parts not handed out yet. Extents may overlap in the file, so parts of several are in order only together.
    parts: BinaryHeap<Reverse<Queued>>,
    /// First byte that no unit holds yet.
    at: u64,
    slot: usize,
    len: u64,
}

#[derive(PartialEq, Eq)]
struct Queued(Part);

impl Ord for Queued {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        (self.0.host, self.0.guest).cmp(&(other.0.host, other.0.guest))
    }
}

impl PartialOrd for Queued {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

fn host_of(extent: &Extent) -> u64 {
    match extent.place {
        Place::Data(at) | Place::Encoded { at, .. } => at.0,
        Place::Zero => 0,
    }
}

impl Cutter {
    /// Cuts a file of `len` bytes into units of at most `slot` bytes.
    pub(super) fn new(mut extents: Vec<Extent>, slot: usize, len: u64) -> Self {
        extents.sort_unstable_by_key(|extent| Reverse(host_of(extent)));
        Self { extents, parts: BinaryHeap::new(), at: 0, slot, len }
    }

    /// Moves on to `host` and returns the parts that begin before it.
    pub(super) fn skip_to(&mut self, host: u64) -> Vec<Part> {
        let mut skipped = Vec::new();
        while let Some(part) = self.peek().filter(|part| part.host < host) {
            skipped.push(part);
            self.parts.pop();
        }
        self.at = host;
        skipped
    }

    /// The next part in host order.
    fn peek(&mut self) -> Option<Part> {
        while let Some(extent) = self.extents.last() {
            if self.parts.peek().is_some_and(|first| first.0.0.host < host_of(extent)) {
                break;
            }
            let mut cut = Vec::new();
            parts_of(extent, self.slot, &mut cut);
            self.parts.extend(cut.into_iter().map(|part| Reverse(Queued(part))));
            self.extents.pop();
        }
        self.parts.peek().map(|first| first.0.0)
    }

    /// The next unit: it begins where the last one ended, or a little earlier where a part shares its last bytes, and
    /// ends before the first part that does not fit.
    pub(super) fn next_unit(&mut self) -> Option<Unit> {
        let first = self.peek();
        if first.is_none() && self.at >= self.len {
            return None;
        }
        let start = first.map_or(self.at, |part| part.host.min(self.at));
        let limit = start + self.slot as u64;
        let mut unit = Unit { host: start..self.at.min(limit), parts: Vec::new() };
        let mut next = first;
        while let Some(part) = next.filter(|part| part.host_range().end <= limit) {
            self.parts.pop();
            unit.host.end = unit.host.end.max(part.host_range().end);
            unit.parts.push(part);
            next = self.peek();
        }
        let to = next.map_or(self.len, |part| part.host).min(limit);
        unit.host.end = unit.host.end.max(to);
        self.at = self.at.max(unit.host.end);
        Some(unit)
    }
}

#[cfg(test)]
mod tests {
    use formats::{ClusterCodec, GuestOffset, HostOffset};

    use super::*;

    fn units(extents: Vec<Extent>, len: u64) -> Vec<Unit> {
        let mut cutter = Cutter::new(extents, 1 << 19, len);
        std::iter::from_fn(|| cutter.next_unit()).collect()
    }

    fn encoded(host: u64, len: u32, guest: u64) -> Extent {
        let place = Place::Encoded { at: HostOffset(host), len, codec: ClusterCodec::Zstd };
        Extent { guest: GuestOffset(guest << 16), len: 1 << 16, place }
    }

    #[test]
    fn every_byte_and_every_part_is_in_a_unit() {
        let len = 10_000_000;
        let mut extents: Vec<_> = (0..150).map(|index| encoded(65_536 + index * 40_000, 40_400, index)).collect();
        let place = Place::Data(HostOffset(7_000_000));
        extents.push(Extent { guest: GuestOffset(1 << 30), len: 2_000_000, place });
        let units = units(extents, len);
        let mut at = 0;
        for unit in &units {
            assert!(unit.host.start <= at && unit.host.end > at, "{unit:?} after {at}");
            assert!(unit.host.end - unit.host.start <= 1 << 19);
            assert!(
                unit.parts.iter().all(|part| part.host >= unit.host.start && part.host_range().end <= unit.host.end)
            );
            at = unit.host.end;
        }
        assert_eq!(at, len);
        let guest: u64 = units.iter().flat_map(|unit| &unit.parts).map(|part| u64::from(part.guest_len)).sum();
        assert_eq!(guest, 150 * 65_536 + 2_000_000);
    }

    #[test]
    fn parts_of_extents_that_overlap_come_in_host_order() {
        let data = |host, len, guest| Extent { guest: GuestOffset(guest), len, place: Place::Data(HostOffset(host)) };
        let units = units(vec![data(0, 4 << 20, 0), data(1 << 20, 1 << 20, 1 << 30)], 4 << 20);
        let starts: Vec<_> = units.iter().flat_map(|unit| &unit.parts).map(|part| part.host).collect();
        assert!(starts.is_sorted(), "{starts:?}");
        assert_eq!(
            units.iter().flat_map(|unit| &unit.parts).map(|part| u64::from(part.guest_len)).sum::<u64>(),
            5 << 20
        );
    }

    #[test]
    fn a_file_without_parts_is_read_to_its_end() {
        assert_eq!(units(Vec::new(), 1_200_000).iter().map(|unit| unit.host.end).max(), Some(1_200_000));
    }
}
