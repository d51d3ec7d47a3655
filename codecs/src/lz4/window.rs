//! Where the blocks of a frame are decoded: history, the present block, and what of it the caller has not yet taken.
//!
//! ```text
//! 0 ............ taken ............ end ........................ length
//!   history      |  to be taken     |  room for the next block
//! ```
//!
//! The history slides to the front only when the next block may not fit behind it, which is after 64 KiB of blocks or
//! more: so a frame of tiny blocks moves no more bytes than it decodes.

use lz4_flex::block::{DecompressError, decompress_into, decompress_into_with_dict};

use super::header::Frame;
use crate::{Error, Kind};

/// Bytes back that a match can reach (LZ4 block format).
const HISTORY: usize = 64 << 10;

/// The decoded end of a frame.
#[derive(Debug, Default)]
pub(super) struct Window {
    /// Only grows, so that many small frames are not many large allocations.
    bytes: Vec<u8>,
    /// How many of the bytes the present frame uses.
    length: usize,
    taken: usize,
    end: usize,
    block_limit: usize,
    independent: bool,
}

impl Window {
    /// Forgets everything and makes room for the blocks of `frame`.
    pub(super) fn begin(&mut self, frame: &Frame) {
        (self.taken, self.end) = (0, 0);
        (self.block_limit, self.independent) = (frame.block_limit, frame.independent);
        self.length = frame.block_limit + if frame.independent { 0 } else { 2 * HISTORY };
        if self.bytes.len() < self.length {
            // The old bytes are of no use, so they are not copied.
            self.bytes = Vec::new();
            self.bytes = vec![0; self.length];
        }
    }

    /// What the caller has not yet taken.
    pub(super) fn pending(&self) -> &[u8] {
        &self.bytes[self.taken..self.end]
    }

    /// Moves as much as `output` holds to it.
    pub(super) fn take(&mut self, output: &mut [u8]) -> usize {
        let pending = self.pending();
        let taken = pending.len().min(output.len());
        output[..taken].copy_from_slice(&pending[..taken]);
        self.taken += taken;
        taken
    }

    /// Adds a block that is not compressed, of no more bytes than the frame allows; nothing may be pending.
    pub(super) fn store(&mut self, block: &[u8]) {
        self.make_room();
        self.bytes[self.end..self.end + block.len()].copy_from_slice(block);
        self.end += block.len();
    }

    /// Adds what a compressed block decodes to; nothing may be pending.
    ///
    /// # Errors
    /// The block is damaged, or decodes to more than the frame allows.
    pub(super) fn decode(&mut self, block: &[u8]) -> Result<(), Error> {
        self.make_room();
        let (before, room) = self.bytes.split_at_mut(self.end);
        let history = &before[self.end.saturating_sub(HISTORY)..];
        let room = &mut room[..self.block_limit];
        let decoded = if history.is_empty() {
            decompress_into(block, room)
        } else {
            decompress_into_with_dict(block, room, history)
        };
        self.end += decoded.map_err(|refusal| refused(&refusal, self.block_limit))?;
        Ok(())
    }

    fn make_room(&mut self) {
        if self.independent {
            self.end = 0;
        } else if self.length - self.end < self.block_limit {
            self.bytes.copy_within(self.end - HISTORY..self.end, 0);
            self.end = HISTORY;
        }
        self.taken = self.end;
    }

    /// Bytes held.
    #[cfg(test)]
    pub(super) const fn memory(&self) -> usize {
        self.bytes.capacity()
    }
}

fn refused(refusal: &DecompressError, block_limit: usize) -> Error {
    let what = match refusal {
        DecompressError::OutputTooSmall { .. } => {
            let what = format!("lz4 block decodes to more than {block_limit} bytes, which its frame allows");
            return Error::new(Kind::Corrupt, what);
        }
        DecompressError::LiteralOutOfBounds | DecompressError::ExpectedAnotherByte => "ends inside a sequence",
        DecompressError::OffsetZero => "has a match of offset 0",
        DecompressError::OffsetOutOfBounds => "has a match before the first byte (or needs a dictionary)",
        _ => "is damaged",
    };
    Error::new(Kind::Corrupt, format!("lz4 block {what}"))
}
