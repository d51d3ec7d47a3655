//! One block decoded alone, by putting it into a stream of its own.
//!
//! ```text
//! caller                        block
//! library   stream header | block | index of one record | footer
//! ```
//!
//! The library has no safe entry for a block. A stream it accepts only if block, index and footer agree with what was
//! decoded, so nothing of that is checked here a second time.

use std::fmt;

use super::blocks::Block;
use super::header::{self, BlockHeader, Check};
use super::library::Library;
use crate::{Error, Kind, Step, StreamDecoder};

/// Decodes one block: one of which all bytes are at hand, or one that is still arriving.
///
/// Memory: its dictionary and [`MEMORY_BESIDE_DICTIONARY`](super::MEMORY_BESIDE_DICTIONARY).
pub struct BlockDecoder {
    library: Library,
    /// Bytes of the block given so far.
    given: u64,
    /// Bytes of the block in all, once they are known.
    length: Option<u64>,
    /// Index and footer that stand behind the block for the library.
    tail: Vec<u8>,
    done: bool,
}

impl fmt::Debug for BlockDecoder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BlockDecoder").field("given", &self.given).field("done", &self.done).finish_non_exhaustive()
    }
}

impl BlockDecoder {
    /// A decoder for `block`, whose bytes, the header's too, are then given to [`step`](StreamDecoder::step).
    ///
    /// # Errors
    /// Its dictionary is above `dictionary_limit` bytes.
    pub fn new(block: &Block, dictionary_limit: u64) -> Result<Self, Error> {
        let mut decoder = Self::begin(&block.header, block.check, dictionary_limit)?;
        decoder.end(block);
        Ok(decoder)
    }

    /// A decoder for a block of which only the header is known. After its last byte, or before, [`end`](Self::end) is due.
    ///
    /// # Errors
    /// As [`new`](Self::new).
    pub fn begin(header: &BlockHeader, check: Check, dictionary_limit: u64) -> Result<Self, Error> {
        super::check_dictionary(header, dictionary_limit)?;
        let mut library = Library::new(dictionary_limit)?;
        library.process(&header::encode_stream_header(check), &mut [])?;
        Ok(Self { library, given: 0, length: None, tail: Vec::new(), done: false })
    }

    /// Says what the block came to.
    pub fn end(&mut self, block: &Block) {
        (self.length, self.tail) = (Some(block.length), encode_tail(block));
    }
}

impl StreamDecoder for BlockDecoder {
    /// Decodes as much as input and output allow; the boundary is the end of the block, all of it verified.
    fn step(&mut self, input: &[u8], output: &mut [u8]) -> Result<Step, Error> {
        if self.done {
            return Ok(Step::default());
        }
        let left = self.length.map_or(u64::MAX, |length| length.saturating_sub(self.given));
        let offered = input.len().min(usize::try_from(left).unwrap_or(usize::MAX));
        let mut step = if left > 0 { self.library.process(&input[..offered], output)? } else { Step::default() };
        self.given += step.consumed as u64;
        if self.length.is_some_and(|length| self.given >= length) {
            let end = self.library.process(&self.tail, &mut output[step.produced..])?;
            self.tail.drain(..end.consumed);
            step.produced += end.produced;
            step.boundary = end.boundary;
            self.done = end.boundary;
        }
        Ok(step)
    }

    fn finish(&mut self) -> Result<(), Error> {
        if self.done {
            return Ok(());
        }
        let what = match self.length.map(|length| length.saturating_sub(self.given)) {
            Some(0) => {
                return Err(Error::new(Kind::Corrupt, "the block's data and its headers end at different places"));
            }
            Some(left) => format!("xz block ends {left} bytes early"),
            None => "xz block ends early".to_owned(),
        };
        Err(Error::new(Kind::Truncated, what))
    }
}

/// The index and the footer of a stream of which `block` is all.
fn encode_tail(block: &Block) -> Vec<u8> {
    let mut tail = vec![0, 1];
    for number in [block.unpadded, block.uncompressed] {
        let (bytes, length) = header::encode_number(number);
        tail.extend(&bytes[..length]);
    }
    tail.resize(tail.len().next_multiple_of(4), 0);
    tail.extend(crc32fast::hash(&tail).to_le_bytes());
    let footer = header::encode_stream_footer(block.check, tail.len() as u64);
    tail.extend(footer.expect("an index of one record is short"));
    tail
}
