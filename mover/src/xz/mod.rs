//! xz blocks decoded side by side, each by a thread of its own, handed out in their order.
//!
//! ```text
//!          walk                         line, a thread to a block
//! input --------> pieces of blocks --> | block k     | --> chunks --> output
//!                                      | block k + 1 |     chunks, wait for their turn
//!                                      | block k + 2 |     chunks, wait for their turn
//! ```
//!
//! Blocks need nothing of each other, and where one ends is seen without decoding it ([`Blocks`]). While the first one is
//! handed out the next ones are decoded ahead; two threads never wait for each other if half a block may be ahead, and a
//! block of `xz -T` has three dictionaries. Streams follow each other: the end of one is a place to begin again, so all that
//! is before it is handed out first. No block is held whole: what is ahead is bounded by [`line`], whatever headers
//! state. A file of one block, or of dictionaries above 8 MiB, is decoded by one thread at a time.
//!
//! What comes out is what [`XzDecoder`](codecs::XzDecoder) makes, and so is what is refused. Damage is told when all that is
//! before it has been handed out, so the first damage in the file is the one.

mod line;
#[cfg(test)]
mod tests;
mod thread;

use std::sync::Arc;

use codecs::xz::{Block, BlockHeader, Blocks, Event};
use codecs::{Error, Kind, Step, StreamDecoder};

use crate::cores::cores;
use line::{Begun, Chunk, Line, Turn};

/// Most threads: more blocks than that are seldom in the line.
const THREADS: usize = 16;

/// Decodes an .xz file with as many threads as there are cores.
///
/// Memory: 12 MiB decoded, 6 MiB compressed, and dictionaries: 16 MiB together, or a single one of up to the limit. See [`line`].
pub(crate) struct SideBySide {
    blocks: Blocks,
    dictionary_limit: u64,
    line: Arc<Line>,
    /// The first bytes of a block that is not in the line yet: its header, perhaps not all of it.
    head: Vec<u8>,
    /// That header, once all of it is known.
    due: Option<BlockHeader>,
    /// What is being handed out, of which ...
    chunk: Chunk,
    /// ... this many bytes were.
    used: usize,
    /// Bytes of the file that were taken.
    taken: u64,
    /// A stream has ended; nothing behind it is taken before all of it is handed out.
    is_at_end: bool,
    /// What to say once all that is before it is handed out.
    failure: Option<Error>,
}

impl SideBySide {
    /// Bytes that wait in it, decoded and not, beside its dictionaries.
    pub(crate) const HELD: usize = line::AHEAD * line::CHUNK + line::FED;

    /// A decoder at the start of a file; dictionaries above `dictionary_limit` bytes are refused.
    ///
    /// # Errors
    /// No thread can be had.
    pub(crate) fn new(dictionary_limit: u64) -> Result<Self, Error> {
        Self::walking(Blocks::new(), dictionary_limit, cores())
    }

    /// A decoder that goes on after a [boundary](Step::boundary), where the file may also end.
    ///
    /// # Errors
    /// As [`new`](Self::new).
    pub(crate) fn at_boundary(dictionary_limit: u64) -> Result<Self, Error> {
        Self::walking(Blocks::at_boundary(), dictionary_limit, cores())
    }

    fn walking(blocks: Blocks, dictionary_limit: u64, threads: usize) -> Result<Self, Error> {
        let decoder = Self {
            blocks,
            dictionary_limit,
            line: Arc::default(),
            head: Vec::new(),
            due: None,
            chunk: Chunk::default(),
            used: 0,
            taken: 0,
            is_at_end: false,
            failure: None,
        };
        for _ in 0..threads.min(THREADS) {
            thread::start(&decoder.line)
                .map_err(|error| Error::new(Kind::Memory, format!("no thread to decode xz blocks: {error}")))?;
        }
        Ok(decoder)
    }

    /// Takes as much of `input` as there is room for, and returns how many bytes that is.
    fn take(&mut self, input: &[u8]) -> usize {
        let mut used = 0;
        while self.may_take() && used < input.len() {
            match self.blocks.step(&input[used..]) {
                Ok((taken, event)) => {
                    self.place(event, &input[used..used + taken]);
                    used += taken;
                    self.taken += taken as u64;
                }
                // No more is taken, so that its place stays the one where the next step begins.
                Err(error) => self.failure = Some(error),
            }
        }
        used
    }

    fn may_take(&mut self) -> bool {
        self.failure.is_none() && !self.is_at_end && self.begin() && self.line.may_be_fed()
    }

    /// Puts the block that is due into the line; false if it has to wait.
    fn begin(&mut self) -> bool {
        let Some(header) = self.due else { return true };
        let (check, dictionary_limit) = (self.blocks.check(), self.dictionary_limit);
        let begun = Begun { header, check, dictionary_limit, place: self.blocks.place(), offset: self.taken };
        let has_begun = self.line.begin(begun);
        if has_begun {
            self.due = None;
            self.line.feed(std::mem::take(&mut self.head));
        }
        has_begun
    }

    /// Puts bytes where they belong.
    fn place(&mut self, event: Event, bytes: &[u8]) {
        match event {
            Event::Outside | Event::Padding => {}
            Event::StreamEnd => self.is_at_end = true,
            Event::Header(header) => {
                self.head.extend_from_slice(bytes);
                self.due = Some(header);
            }
            Event::Inside if !self.line.is_open() => self.head.extend_from_slice(bytes),
            Event::Inside => self.line.feed(bytes.to_vec()),
            Event::Block(block) => self.end(block, bytes),
        }
    }

    fn end(&self, block: Block, bytes: &[u8]) {
        self.line.feed(bytes.to_vec());
        self.line.end(block);
    }

    /// Hands out what is there of the first block, and of the next one where that has ended.
    fn hand_out(&mut self, output: &mut [u8]) -> usize {
        let mut produced = 0;
        loop {
            let rest = &self.chunk.bytes()[self.used..];
            let len = rest.len().min(output.len() - produced);
            output[produced..produced + len].copy_from_slice(&rest[..len]);
            produced += len;
            self.used += len;
            if self.used < self.chunk.filled || !self.go_on() {
                return produced;
            }
        }
    }

    /// Goes on to the next chunk; false if there is none now.
    fn go_on(&mut self) -> bool {
        self.used = 0;
        match self.line.next(std::mem::take(&mut self.chunk)) {
            Turn::Made(chunk) => self.chunk = chunk,
            Turn::Failed(error) => self.failure = Some(error),
            Turn::Nothing => {}
        }
        self.chunk.filled > 0
    }
}

impl StreamDecoder for SideBySide {
    fn step(&mut self, input: &[u8], output: &mut [u8]) -> Result<Step, Error> {
        loop {
            let consumed = self.take(input);
            let produced = self.hand_out(output);
            let is_done = self.chunk.bytes().is_empty() && self.line.is_empty() && self.failure.is_none();
            let boundary = self.is_at_end && is_done;
            self.is_at_end &= !boundary;
            if consumed > 0 || produced > 0 || boundary || output.is_empty() {
                return Ok(Step { consumed, produced, boundary });
            }
            if self.line.wait() {
                continue;
            }
            match &self.failure {
                Some(error) => return Err(error.clone()),
                None if input.is_empty() => return Ok(Step::default()),
                None => {}
            }
        }
    }

    fn finish(&mut self) -> Result<(), Error> {
        self.blocks.finish()
    }
}

impl Drop for SideBySide {
    /// The threads end by themselves, each after the piece it is decoding.
    fn drop(&mut self) {
        self.line.close();
    }
}
