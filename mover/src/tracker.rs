//! What is already on the target: a low watermark in plan order and, above it, a bitmap of each open window.
//!
//! ```text
//! position    0 ............ watermark ..................................
//! windows     all done       | open      | open      | open      | not yet
//! granules                   |1110110000 |0000000000 |1100000000 |
//! ```
//!
//! A position is a guest offset on the mapped route, a host offset on the hashed route and an offset of the decoded
//! stream on the streamed route: whatever the plan goes through in ascending order.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::{Mutex, PoisonError};

use crate::bits::Bits;

/// Bytes of one granule, the unit of the bitmap.
pub(crate) const GRANULE: u64 = 64 << 10;
/// Bytes of one window.
pub(crate) const WINDOW: u64 = GRANULE * Bits::LEN as u64;

/// What an earlier attempt, or this one so far, has put on the target.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Done {
    /// Everything below is done.
    pub watermark: u64,
    /// Granules done in windows that are not done as a whole, by window index.
    pub windows: BTreeMap<u64, Bits>,
}

impl Done {
    /// Whether all granules that `positions` touches are done.
    #[must_use]
    pub fn covers(&self, positions: &Range<u64>) -> bool {
        let from = positions.start.max(self.watermark);
        (from / GRANULE..positions.end.div_ceil(GRANULE)).all(|granule| self.has(granule))
    }

    /// Bytes of plan order that are done, as far as they are recorded.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        let granules: usize = self.windows.values().map(Bits::count).sum();
        self.watermark.saturating_add(granules as u64 * GRANULE)
    }

    fn has(&self, granule: u64) -> bool {
        let bits = self.windows.get(&(granule / Bits::LEN as u64));
        bits.is_some_and(|bits| bits.contains((granule % Bits::LEN as u64) as usize))
    }
}

/// Counts the work left in every open window. Shared by the planner, which opens, and the workers, which finish.
#[derive(Default)]
pub(crate) struct Tracker {
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    open: BTreeMap<u64, Window>,
    /// First window that was never opened.
    next: u64,
    /// What an earlier attempt did stays done, even where this one goes through it again.
    floor: u64,
}

struct Window {
    /// Parts left per granule.
    left: Box<[u32; Bits::LEN]>,
    done: Bits,
    /// Granules that have or had work in this attempt.
    worked: Bits,
    /// Parts left in the whole window.
    parts: u64,
    /// Whether more parts may still be added.
    sealed: bool,
}

impl Tracker {
    /// Goes on where an earlier attempt stopped.
    #[must_use]
    pub(crate) fn resume(done: &Done) -> Self {
        let state = State { open: BTreeMap::new(), next: done.watermark / WINDOW, floor: done.watermark };
        Self { state: Mutex::new(state) }
    }

    /// Opens the window `index`, and with it counts all windows below as opened.
    pub(crate) fn begin(&self, index: u64, done: &Done) {
        let mut state = self.lock();
        let mut bits = done.windows.get(&index).copied().unwrap_or_default();
        let below = done.watermark.saturating_sub(index * WINDOW).min(WINDOW) / GRANULE;
        bits.insert_range(0..below as usize);
        let left = Box::new([0; Bits::LEN]);
        let window = Window { left, done: bits, worked: Bits::default(), parts: 0, sealed: false };
        state.open.insert(index, window);
        state.next = state.next.max(index + 1);
    }

    /// Adds one part of work to an open window.
    pub(crate) fn add(&self, positions: &Range<u64>) {
        let mut state = self.lock();
        let (index, granules) = granules(positions);
        if let Some(window) = state.open.get_mut(&index) {
            window.parts += 1;
            for granule in granules {
                window.left[granule] += 1;
                window.worked.insert(granule);
            }
        }
    }

    /// Says that nothing more will be added to a window. Returns whether it is done already.
    pub(crate) fn seal(&self, index: u64) -> bool {
        let mut state = self.lock();
        let Some(window) = state.open.get_mut(&index) else { return false };
        window.sealed = true;
        for granule in 0..Bits::LEN {
            if window.left[granule] == 0 && window.worked.contains(granule) {
                window.done.insert(granule);
            }
        }
        state.close_if_done(index)
    }

    /// Says that a part is on the target. Returns the window's index if that was the last part of it.
    pub(crate) fn finish(&self, positions: &Range<u64>) -> Option<u64> {
        let mut state = self.lock();
        let (index, granules) = granules(positions);
        let window = state.open.get_mut(&index)?;
        window.parts -= 1;
        for granule in granules {
            window.left[granule] -= 1;
            if window.left[granule] == 0 && window.sealed {
                window.done.insert(granule);
            }
        }
        state.close_if_done(index).then_some(index)
    }

    /// Windows that are open, and the parts left in them.
    #[must_use]
    pub(crate) fn open(&self) -> (usize, u64) {
        let state = self.lock();
        (state.open.len(), state.open.values().map(|window| window.parts).sum())
    }

    /// How far it is: bytes of plan order in windows that are done, and those that are done in open ones.
    #[must_use]
    pub(crate) fn reached(&self) -> u64 {
        let state = self.lock();
        let closed = state.next.saturating_sub(state.open.len() as u64).saturating_mul(WINDOW);
        let granules: usize = state.open.values().map(|window| window.done.count()).sum();
        closed.saturating_add(granules as u64 * GRANULE).max(state.floor)
    }

    /// What is on the target now.
    #[must_use]
    pub(crate) fn done(&self) -> Done {
        let state = self.lock();
        let first = state.open.first_key_value();
        let reached = first.map_or(state.next * WINDOW, |(&index, window)| index * WINDOW + window.reached());
        let windows = state.open.iter().filter(|(_, window)| window.done.count() > 0);
        Done {
            watermark: state.floor.max(reached),
            windows: windows.map(|(&index, window)| (index, window.done)).collect(),
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Window {
    /// Offset in the window of the first granule with work left. Where more may be added, nothing is sure.
    fn reached(&self) -> u64 {
        let sure = if self.sealed { self.left.iter().take_while(|&&left| left == 0).count() } else { 0 };
        sure as u64 * GRANULE
    }
}

impl State {
    fn close_if_done(&mut self, index: u64) -> bool {
        let done = self.open.get(&index).is_some_and(|window| window.sealed && window.parts == 0);
        if done {
            self.open.remove(&index);
        }
        done
    }
}

/// The window a part belongs to (where it begins) and its granules, cut at the window's end. A part that reaches into
/// the next window (an encoded cluster, in host order) counts for the first only.
fn granules(positions: &Range<u64>) -> (u64, Range<usize>) {
    let index = positions.start / WINDOW;
    let base = index * WINDOW;
    let end = positions.end.min(base + WINDOW);
    (index, ((positions.start - base) / GRANULE) as usize..(end - base).div_ceil(GRANULE) as usize)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_granule_is_done_when_its_last_part_is() {
        let tracker = Tracker::default();
        tracker.begin(0, &Done::default());
        let parts = [0..GRANULE / 2, GRANULE / 2..GRANULE, GRANULE..3 * GRANULE];
        parts.iter().for_each(|part| tracker.add(part));
        assert!(!tracker.seal(0));
        assert_eq!(tracker.finish(&parts[0]), None);
        assert!(!tracker.done().covers(&parts[0]));
        tracker.finish(&parts[1]);
        assert!(tracker.done().covers(&(0..GRANULE)) && !tracker.done().covers(&(0..GRANULE + 1)));
        assert_eq!(tracker.finish(&parts[2]), Some(0));
        assert_eq!(tracker.done(), Done { watermark: WINDOW, windows: BTreeMap::new() });
    }

    #[test]
    fn a_record_of_any_numbers_can_be_counted() {
        let mut bits = Bits::default();
        bits.insert(0);
        let windows = BTreeMap::from([(u64::MAX, bits)]);
        assert_eq!(Done { watermark: u64::MAX, windows }.bytes(), u64::MAX);
    }

    #[test]
    fn the_watermark_waits_for_the_oldest_window() {
        let tracker = Tracker::default();
        for index in 0..3 {
            tracker.begin(index, &Done::default());
            tracker.add(&(index * WINDOW..index * WINDOW + 1));
            tracker.seal(index);
        }
        tracker.finish(&(WINDOW..WINDOW + 1));
        assert_eq!(tracker.done().watermark, 0);
        tracker.finish(&(0..1));
        assert_eq!(tracker.done().watermark, 2 * WINDOW);
    }

    #[test]
    fn what_is_done_in_open_windows_counts_as_reached() {
        let tracker = Tracker::default();
        for index in 0..2 {
            tracker.begin(index, &Done::default());
            tracker.add(&(index * WINDOW..index * WINDOW + GRANULE));
            tracker.add(&(index * WINDOW + GRANULE..index * WINDOW + 2 * GRANULE));
            tracker.seal(index);
        }
        tracker.finish(&(0..GRANULE));
        assert_eq!(tracker.reached(), GRANULE);
        tracker.finish(&(WINDOW..WINDOW + GRANULE));
        tracker.finish(&(WINDOW + GRANULE..WINDOW + 2 * GRANULE));
        assert_eq!(tracker.reached(), WINDOW + GRANULE, "a window that is done counts before an older one");
        tracker.finish(&(GRANULE..2 * GRANULE));
        assert_eq!(tracker.reached(), 2 * WINDOW);
    }

    #[test]
    fn what_an_earlier_attempt_did_is_kept_in_the_next_record() {
        let mut bits = Bits::default();
        bits.insert(7);
        let done = Done { watermark: WINDOW, windows: BTreeMap::from([(1, bits)]) };
        let tracker = Tracker::resume(&done);
        assert_eq!(tracker.done().watermark, WINDOW);
        tracker.begin(1, &done);
        tracker.add(&(WINDOW..WINDOW + 1));
        tracker.seal(1);
        assert_eq!(tracker.done(), done);
    }
}
