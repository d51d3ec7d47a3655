//! A thread that decodes one block after the other.

use std::io;
use std::sync::Arc;

use codecs::xz::BlockDecoder;
use codecs::{Error, Kind, StreamDecoder};

use super::line::{Begun, CHUNK, Chunk, Fed, Line};

/// Starts a thread that ends when the line is closed.
///
/// # Errors
/// The system has none.
pub(super) fn start(line: &Arc<Line>) -> io::Result<()> {
    let line = Arc::clone(line);
    std::thread::Builder::new().name("xz block".into()).spawn(move || run(&line)).map(drop)
}

fn run(line: &Line) {
    let mut buffer = vec![0; CHUNK];
    while let Some((number, begun)) = line.take_up() {
        let _present = Present { line, number };
        let mut block = InWork { line, number, chunk: Chunk { buffer: std::mem::take(&mut buffer), filled: 0 } };
        let outcome = block.decode(&begun);
        block.hand_over();
        buffer = block.chunk.buffer;
        line.conclude(number, outcome);
    }
}

/// However a thread leaves a block, by a panic too, the reader hears of it.
pub(super) struct Present<'a> {
    pub(super) line: &'a Line,
    pub(super) number: u64,
}

impl Drop for Present<'_> {
    fn drop(&mut self) {
        self.line.desert(self.number);
    }
}

/// The block being decoded.
struct InWork<'a> {
    line: &'a Line,
    number: u64,
    chunk: Chunk,
}

impl InWork<'_> {
    /// Decodes the block to its end, or for as long as it is wanted.
    fn decode(&mut self, begun: &Begun) -> Result<(), Error> {
        let mut decoder = BlockDecoder::begin(&begun.header, begun.check, begun.dictionary_limit)?;
        loop {
            match self.line.fed(self.number) {
                Fed::Gone => return Ok(()),
                // What there is may be all there will be.
                Fed::Nothing => {
                    self.hand_over();
                    self.line.starve(self.number);
                }
                Fed::Bytes(bytes) => self.drain(&mut decoder, &bytes)?,
                Fed::End(end) => {
                    decoder.end(&end);
                    self.drain(&mut decoder, &[])?;
                    return decoder.finish();
                }
            }
        }
    }

    /// Decodes all of `bytes`, and what the decoder holds.
    fn drain(&mut self, decoder: &mut BlockDecoder, mut bytes: &[u8]) -> Result<(), Error> {
        loop {
            let step = decoder.step(bytes, &mut self.chunk.buffer[self.chunk.filled..])?;
            bytes = &bytes[step.consumed..];
            self.chunk.filled += step.produced;
            let is_full = self.chunk.filled == CHUNK;
            if is_full && !self.hand_over() {
                return Ok(());
            }
            if step.consumed == 0 && step.produced == 0 && !is_full {
                break;
            }
        }
        if bytes.is_empty() {
            return Ok(());
        }
        Err(Error::new(Kind::Corrupt, "the block's data and its headers end at different places"))
    }

    /// Hands over what was decoded; false if it is not wanted any more.
    fn hand_over(&mut self) -> bool {
        if self.chunk.filled == 0 {
            return true;
        }
        let buffer = self.line.hand_over(self.number, std::mem::take(&mut self.chunk));
        let is_wanted = buffer.is_some();
        self.chunk.buffer = buffer.unwrap_or_else(|| vec![0; CHUNK]);
        is_wanted
    }
}
