//! Walks an image's map window by window, asking for tables far enough ahead that nobody waits for one.
//!
//! ```text
//! windows   | taken | ready | ready | wants | wants | ...
//!                                     ^ their tables are being fetched, all at once
//! ```
//!
//! How far ahead is a question of bytes, not of windows: an image of 8 TiB costs no more memory than one of 8 GiB.

use std::collections::{BTreeSet, VecDeque};
use std::ops::Range;

use formats::{Extent, GuestOffset, HostOffset, Lookup, Map, Place};

use crate::tracker::WINDOW;

/// Bytes of tables and extents that may be held ahead.
const AHEAD: usize = 6 << 20;
/// Windows looked at ahead.
const MAX_AHEAD: usize = 512;

/// The extents of one window.
#[derive(Debug)]
pub struct Window {
    /// Number of the window; it begins at `index * WINDOW`.
    pub index: u64,
    /// Its extents in guest order, zeros left out.
    pub extents: Vec<Extent>,
}

/// A walk over all windows.
pub struct Walker {
    map: Box<dyn Map>,
    /// Windows looked at and not taken yet.
    ahead: VecDeque<Ahead>,
    /// First window not looked at.
    next: u64,
    /// Tables asked for and not fed yet, by their first byte.
    asked: BTreeSet<u64>,
    /// Bytes of extents in `ahead`.
    held: usize,
    /// Whether a table came since windows were last looked at again.
    fed: bool,
}

enum Ahead {
    Wants(u64),
    Ready(Window),
}

/// Answer of [`Walker::next`].
#[derive(Debug)]
pub enum Step {
    /// The next window that holds data.
    Window(Window),
    /// Tables are missing; feed some and ask again.
    Waiting,
    /// All windows were taken.
    End,
}

impl Walker {
    /// A walk over `map` from the beginning.
    #[must_use]
    pub fn new(map: Box<dyn Map>) -> Self {
        Self { map, ahead: VecDeque::new(), next: 0, asked: BTreeSet::new(), held: 0, fed: false }
    }

    /// Size of the disk in bytes.
    #[must_use]
    pub fn virtual_size(&self) -> u64 {
        self.map.virtual_size()
    }

    /// Takes a table that was asked for.
    ///
    /// # Errors
    /// The map refuses it.
    pub fn feed(&mut self, host: u64, bytes: &[u8]) -> Result<(), formats::Error> {
        self.asked.remove(&host);
        self.fed = true;
        self.map.feed(HostOffset(host), bytes)
    }

    /// The next window with data, in ascending order. Appends to `wants` the tables that are to be fetched.
    ///
    /// # Errors
    /// The map refuses a table.
    pub fn next(&mut self, wants: &mut Vec<Range<u64>>) -> Result<Step, formats::Error> {
        self.retry(wants)?;
        self.look_ahead(wants)?;
        match self.ahead.front() {
            Some(Ahead::Wants(_)) => Ok(Step::Waiting),
            None => Ok(Step::End),
            Some(Ahead::Ready(_)) => {
                let Some(Ahead::Ready(window)) = self.ahead.pop_front() else { return Ok(Step::Waiting) };
                self.held -= size_of_extents(&window);
                self.map.release(GuestOffset((window.index + 1) * WINDOW));
                Ok(Step::Window(window))
            }
        }
    }

    /// Looks again at windows that wanted tables.
    fn retry(&mut self, wants: &mut Vec<Range<u64>>) -> Result<(), formats::Error> {
        let again = if std::mem::take(&mut self.fed) { self.ahead.len() } else { 0 };
        for _ in 0..again {
            let Some(ahead) = self.ahead.pop_front() else { break };
            match ahead {
                Ahead::Ready(window) => self.ahead.push_back(Ahead::Ready(window)),
                Ahead::Wants(index) => self.look(index, wants)?,
            }
        }
        Ok(())
    }

    fn look_ahead(&mut self, wants: &mut Vec<Range<u64>>) -> Result<(), formats::Error> {
        while self.next * WINDOW < self.map.virtual_size()
            && (self.ahead.is_empty() || (self.held + self.map.memory() < AHEAD && self.ahead.len() < MAX_AHEAD))
        {
            self.look(self.next, wants)?;
            self.next += 1;
        }
        Ok(())
    }

    /// Looks one window up and appends it to those ahead, unless it holds only zeros.
    fn look(&mut self, index: u64, wants: &mut Vec<Range<u64>>) -> Result<(), formats::Error> {
        let guest = index * WINDOW..((index + 1) * WINDOW).min(self.map.virtual_size());
        let mut extents = Vec::new();
        match self.map.lookup(guest, &mut extents)? {
            Lookup::Found => {
                extents.retain(|extent| extent.place != Place::Zero);
                extents.shrink_to_fit();
                if !extents.is_empty() {
                    let window = Window { index, extents };
                    self.held += size_of_extents(&window);
                    self.ahead.push_back(Ahead::Ready(window));
                }
            }
            Lookup::Wants(ranges) => {
                wants.extend(ranges.into_iter().filter(|range| self.asked.insert(range.start)));
                self.ahead.push_back(Ahead::Wants(index));
            }
        }
        Ok(())
    }
}

fn size_of_extents(window: &Window) -> usize {
    window.extents.len() * size_of::<Extent>()
}
