//! What a table placed only after it had flowed past, where the caller keeps such bytes.

use std::collections::VecDeque;
use std::ops::Range;

use crate::queue::Queue;
use crate::{Error, Extent, HostOffset, Kind, Lookup, Map, Place};

/// Extents that may be placed late, and windows that may be looked up late.
const LIMIT: usize = Queue::<u64>::LIMIT;

/// Late extents and windows, in bounded memory.
#[derive(Debug, Default)]
pub(super) struct Late {
    /// Whether the caller keeps what flows past.
    pub(super) keeps: bool,
    extents: Vec<Extent>,
    /// Guest windows that want tables which flowed past.
    windows: VecDeque<Range<u64>>,
    wants: Vec<Range<u64>>,
    asked: Option<Range<u64>>,
    /// Tables fed for the first window.
    fed: usize,
}

impl Late {
    /// Takes an extent whose bytes were kept.
    pub(super) fn place(&mut self, extent: Extent) -> Result<(), Error> {
        self.extents.push(extent);
        self.bounded()
    }

    /// Takes a guest window to be looked up at the end.
    pub(super) fn wait(&mut self, guest: Range<u64>) -> Result<(), Error> {
        match self.windows.back_mut().filter(|last| last.end == guest.start) {
            Some(last) => last.end = guest.end,
            None => self.windows.push_back(guest),
        }
        self.bounded()
    }

    fn bounded(&self) -> Result<(), Error> {
        if self.extents.len() <= LIMIT && self.windows.len() <= LIMIT {
            return Ok(());
        }
        Err(Error::new(Kind::Unplaced, format!("tables place more than {LIMIT} ranges that had flowed past")))
    }

    /// See [`crate::Stream::late`]. Windows are looked up in pieces of `window` bytes.
    pub(super) fn next(&mut self, map: &mut dyn Map, window: u64) -> Result<Option<Range<u64>>, Error> {
        loop {
            if let Some(want) = self.wants.pop() {
                self.asked = Some(want.clone());
                return Ok(Some(want));
            }
            if !self.extents.is_empty() {
                return Ok(Some(0..0));
            }
            let Some(first) = self.windows.front_mut() else { return Ok(None) };
            let guest = first.start..first.start.saturating_add(window).min(first.end);
            match map.lookup(guest.clone(), &mut self.extents)? {
                Lookup::Found => {
                    self.extents.retain(|extent| extent.place != Place::Zero);
                    self.fed = 0;
                    first.start = guest.end;
                    if first.start >= first.end {
                        self.windows.pop_front();
                    }
                }
                Lookup::Wants(wants) if self.fed <= LIMIT => self.wants = wants,
                Lookup::Wants(_) => return Err(Error::new(Kind::Malformed, "tables lead to tables without an end")),
            }
        }
    }

    /// See [`crate::Stream::feed_late`].
    pub(super) fn feed(&mut self, map: &mut dyn Map, bytes: &[u8], out: &mut Vec<Extent>) -> Result<(), Error> {
        match self.asked.take() {
            Some(want) => {
                self.fed += 1;
                map.feed(HostOffset(want.start), bytes)
            }
            None => {
                out.append(&mut self.extents);
                Ok(())
            }
        }
    }
}
