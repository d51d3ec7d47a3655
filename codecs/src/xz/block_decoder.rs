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
use super::header;
use super::library::Library;
use crate::{Error, Kind, Step, StreamDecoder};

/// Decodes one block, of which all bytes are at hand.
///
/// Memory: its dictionary and [`MEMORY_BESIDE_DICTIONARY`](super::MEMORY_BESIDE_DICTIONARY).
pub struct BlockDecoder {
    library: Library,
    /// Bytes of the block still to come.
    left: u64,
    /// Index and footer that stand behind the block for the library.
    tail: Vec<u8>,
    done: bool,
}

impl fmt::Debug for BlockDecoder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BlockDecoder").field("left", &self.left).field("done", &self.done).finish_non_exhaustive()
    }
}

impl BlockDecoder {
    /// A decoder for `block`, whose bytes, the header's too, are then given to [`step`](StreamDecoder::step).
    ///
    /// # Errors
    /// Its dictionary is above `dictionary_limit` bytes.
    pub fn new(block: &Block, dictionary_limit: u64) -> Result<Self, Error> {
        super::check_dictionary(&block.header, dictionary_limit)?;
        let mut library = Library::new(dictionary_limit)?;
        library.process(&header::encode_stream_header(block.check), &mut [])?;
        Ok(Self { library, left: block.length, tail: encode_tail(block), done: false })
    }
}

impl StreamDecoder for BlockDecoder {
    /// Decodes as much as input and output allow; the boundary is the end of the block, all of it verified.
    fn step(&mut self, input: &[u8], output: &mut [u8]) -> Result<Step, Error> {
        if self.done {
            return Ok(Step::default());
        }
        let offered = input.len().min(usize::try_from(self.left).unwrap_or(usize::MAX));
        let mut step = if self.left > 0 { self.library.process(&input[..offered], output)? } else { Step::default() };
        self.left -= step.consumed as u64;
        if self.left == 0 {
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
        Err(Error::new(Kind::Truncated, format!("xz block ends {} bytes early", self.left)))
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
