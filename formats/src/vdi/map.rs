//! Guest-to-host map of a VDI: one block map, read in parts.

use std::ops::Range;

use super::Header;
use crate::blocks::Blocks;
use crate::{Error, Extent, GuestOffset, HostOffset, Lookup};

/// Map of a VDI.
#[derive(Clone, Debug)]
pub struct Map {
    blocks: Blocks<Header>,
}

impl Map {
    /// The map of an image with this header, in a file of `file_len` bytes where that is known.
    #[must_use]
    pub fn new(header: &Header, file_len: Option<u64>) -> Self {
        Self { blocks: Blocks::new(*header, file_len) }
    }
}

impl crate::Map for Map {
    fn virtual_size(&self) -> u64 {
        self.blocks.virtual_size()
    }

    fn max_encoded(&self) -> u64 {
        0
    }

    fn lookup(&mut self, guest: Range<u64>, out: &mut Vec<Extent>) -> Result<Lookup, Error> {
        self.blocks.lookup(guest, out)
    }

    fn feed(&mut self, host: HostOffset, bytes: &[u8]) -> Result<(), Error> {
        self.blocks.feed(host.0, bytes);
        Ok(())
    }

    fn release(&mut self, guest: GuestOffset) {
        self.blocks.release(guest.0);
    }

    fn memory(&self) -> usize {
        self.blocks.memory()
    }
}
