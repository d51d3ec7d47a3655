//! xz (the .xz file format 1.2.1): any number of streams and their padding, memory bounded by a limit on the dictionary.
//!
//! ```text
//!          .--> Blocks: walks over headers, chunks, index, footer; names what it refuses
//! input --<
//!          '--> liblzma, one stream at a time: decodes what has been walked over, verifies check values
//! ```
//!
//! The walk goes ahead of the library so that a refusal can name the dictionary and the limit, and so that the end is
//! certain: a library that stops after the first stream with success loses data. It costs a look at five bytes in 64 KiB.
//! What must be decoded faster than one thread can is taken apart with [`Blocks`].

mod block_decoder;
mod blocks;
mod chunks;
mod header;
mod index;
mod library;
#[cfg(test)]
mod tests;

use std::fmt;

pub use block_decoder::BlockDecoder;
pub use blocks::{Block, Blocks, Event, Restart};
pub use header::{BlockHeader, Check};
use library::Library;

use crate::{Error, Kind, Step, StreamDecoder};

/// Bytes an [`XzDecoder`] or a [`BlockDecoder`] takes at most besides a block's dictionary: the state of LZMA2 and of
/// three filters.
pub const MEMORY_BESIDE_DICTIONARY: u64 = 256 << 10;

/// Bytes of history the first block needs, from the first bytes of a file; `None` if they do not hold its header.
#[must_use]
pub fn dictionary_size(head: &[u8]) -> Option<u64> {
    let (mut blocks, mut used) = (Blocks::new(), 0);
    while used < head.len() {
        let (taken, event) = blocks.step(&head[used..]).ok()?;
        if let Event::Header(header) = event {
            return Some(header.dictionary);
        }
        used += taken;
    }
    None
}

fn check_dictionary(header: &BlockHeader, limit: u64) -> Result<(), Error> {
    if header.dictionary <= limit {
        return Ok(());
    }
    let what = format!("xz block needs a dictionary of {} bytes, the limit is {limit}", header.dictionary);
    Err(Error::new(Kind::Memory, what))
}

/// Decodes an .xz file with one thread.
///
/// Memory: the largest dictionary of a block seen (at most the limit) and [`MEMORY_BESIDE_DICTIONARY`].
pub struct XzDecoder {
    blocks: Blocks,
    /// Bytes at the start of the next input that have been walked over and not yet decoded.
    ahead: usize,
    /// What they are.
    event: Event,
    /// The decoder of the present stream.
    library: Option<Library>,
    dictionary_limit: u64,
}

impl fmt::Debug for XzDecoder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("XzDecoder").field("blocks", &self.blocks).field("ahead", &self.ahead).finish_non_exhaustive()
    }
}

impl XzDecoder {
    /// A decoder at the start of a file, which must hold at least one stream; dictionaries above `dictionary_limit`
    /// bytes are refused.
    #[must_use]
    pub fn new(dictionary_limit: u64) -> Self {
        Self { blocks: Blocks::new(), ahead: 0, event: Event::Outside, library: None, dictionary_limit }
    }

    /// A decoder that goes on after a [boundary](Step::boundary), where the file may also end.
    #[must_use]
    pub fn at_boundary(dictionary_limit: u64) -> Self {
        Self { blocks: Blocks::at_boundary(), ..Self::new(dictionary_limit) }
    }

    /// Walks over the start of `input`, up to the end of a header, a block or a stream.
    fn walk(&mut self, input: &[u8]) -> Result<(), Error> {
        (self.ahead, self.event) = self.blocks.step(input)?;
        if let Event::Header(header) = self.event {
            check_dictionary(&header, self.dictionary_limit).map_err(|error| self.blocks.locate(&error))?;
        }
        Ok(())
    }

    /// Decodes what has been walked over and is in `input`.
    fn decode(&mut self, input: &[u8], output: &mut [u8]) -> Result<Step, Error> {
        let input = &input[..input.len().min(self.ahead)];
        if self.event == Event::Padding {
            return Ok(Step { consumed: input.len(), ..Step::default() });
        }
        let library = match &mut self.library {
            Some(library) => library,
            None if input.is_empty() => return Ok(Step::default()),
            none => none.insert(Library::new(self.dictionary_limit)?),
        };
        let step = library.process(input, output).map_err(|error| self.blocks.locate(&error))?;
        let is_last = self.event == Event::StreamEnd && step.consumed == self.ahead;
        if step.boundary != is_last && (step.consumed > 0 || step.boundary) {
            let error = Error::new(Kind::Corrupt, "the stream's data and its headers end at different places");
            return Err(self.blocks.locate(&error));
        }
        if step.boundary {
            self.library = None;
        }
        Ok(step)
    }
}

impl StreamDecoder for XzDecoder {
    fn step(&mut self, input: &[u8], output: &mut [u8]) -> Result<Step, Error> {
        let mut done = Step::default();
        while !done.boundary {
            let rest = &input[done.consumed..];
            if self.ahead == 0 && !rest.is_empty() {
                self.walk(rest)?;
            }
            let step = self.decode(rest, &mut output[done.produced..])?;
            self.ahead -= step.consumed;
            done.consumed += step.consumed;
            done.produced += step.produced;
            done.boundary = step.boundary;
            if step.consumed == 0 && step.produced == 0 {
                break;
            }
        }
        Ok(done)
    }

    fn finish(&mut self) -> Result<(), Error> {
        self.blocks.finish()
    }
}
