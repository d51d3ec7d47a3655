//! Blocks in the order of the file, between the thread that reads it and the threads that decode.
//!
//! One lock and one condition, so that every wait can be seen to end:
//!
//! | waits | until | which comes, because |
//! |---|---|---|
//! | the reader | the first block has something decoded, has ended, or its thread has nothing left to decode | a thread has the first block, or takes it up next: blocks are taken up in their order |
//! | a thread with a full chunk | fewer than [`AHEAD`] chunks wait, or its block is the first and fewer than [`FIRST`] of its own do | the reader goes on to this block when those before it have ended |
//! | a thread without bytes | the reader feeds it | the reader does not wait for it |
//!
//! and each ends when the reader is gone or the block is not wanted any more.

use std::collections::VecDeque;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

use codecs::xz::{Block, BlockHeader, Check};
use codecs::{Error, Kind};

/// Bytes of one chunk.
pub(super) const CHUNK: usize = 256 << 10;
/// Decoded chunks that wait to be handed out, 12 MiB: half a block of `xz -6`.
pub(super) const AHEAD: usize = (12 << 20) / CHUNK;
/// Chunks of the first block that may wait however many others do.
const FIRST: usize = 2;
/// Compressed bytes that wait to be decoded: half a block of `xz -6`, compressed to a half.
pub(super) const FED: usize = 6 << 20;
/// Bytes of dictionaries of blocks that are being decoded, two of `xz -6`; a block with a larger one is alone.
const DICTIONARIES: u64 = 16 << 20;
/// Blocks in the line: enough small ones for every thread to have some waiting.
const BLOCKS: usize = 64;

/// Decoded bytes: the first `filled` ones of a buffer that is used again.
#[derive(Default)]
pub(super) struct Chunk {
    pub(super) buffer: Vec<u8>,
    pub(super) filled: usize,
}

impl Chunk {
    pub(super) fn bytes(&self) -> &[u8] {
        &self.buffer[..self.filled]
    }
}

/// What is known of a block when its header has passed.
#[derive(Clone, Debug)]
pub(super) struct Begun {
    pub(super) header: BlockHeader,
    pub(super) check: Check,
    pub(super) dictionary_limit: u64,
    /// Where it is, for messages ...
    pub(super) place: String,
    /// ... and in bytes of the file.
    pub(super) offset: u64,
}

/// What a thread is given.
pub(super) enum Fed {
    /// Bytes of the block.
    Bytes(Vec<u8>),
    /// There are no more of them.
    End(Block),
    /// None that have arrived.
    Nothing,
    /// The block is not wanted any more.
    Gone,
}

/// What the reader is given.
pub(super) enum Turn {
    /// The next bytes.
    Made(Chunk),
    /// The first block is damaged, behind all that was handed out; the others are forgotten.
    Failed(Error),
    /// None that have been decoded.
    Nothing,
}

/// The blocks under way.
#[derive(Default)]
pub(super) struct Line {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    blocks: VecDeque<InLine>,
    /// Number of the first of them in the file.
    first: u64,
    /// Compressed bytes of all blocks that wait for their thread.
    fed: usize,
    /// Decoded chunks of all blocks that wait to be handed out.
    made: usize,
    /// Buffers that were handed out.
    spare: Vec<Vec<u8>>,
    is_closed: bool,
}

struct InLine {
    begun: Begun,
    is_taken_up: bool,
    fed: VecDeque<Vec<u8>>,
    /// What the block came to; without it more may be fed.
    end: Option<Block>,
    /// Its thread has decoded and handed over all it was given.
    is_starving: bool,
    made: VecDeque<Chunk>,
    /// How decoding it ended.
    outcome: Option<Result<(), Error>>,
}

impl State {
    fn block(&mut self, number: u64) -> Option<&mut InLine> {
        let index = number.checked_sub(self.first)?;
        self.blocks.get_mut(usize::try_from(index).ok()?)
    }

    /// The block that is being fed.
    fn open(&mut self) -> Option<&mut InLine> {
        self.blocks.back_mut().filter(|block| block.end.is_none())
    }

    fn take_up(&mut self) -> Option<(u64, Begun)> {
        let at_work = self.blocks.iter().filter(|block| block.is_taken_up && block.outcome.is_none());
        let dictionaries: u64 = at_work.map(|block| block.begun.header.dictionary).sum();
        let (index, block) = self.blocks.iter_mut().enumerate().find(|(_, block)| !block.is_taken_up)?;
        if dictionaries > 0 && dictionaries.saturating_add(block.begun.header.dictionary) > DICTIONARIES {
            return None;
        }
        block.is_taken_up = true;
        Some((self.first + index as u64, block.begun.clone()))
    }

    fn clear(&mut self) {
        self.first += self.blocks.len() as u64;
        self.blocks.clear();
        (self.fed, self.made) = (0, 0);
    }
}

/// For the thread that reads.
impl Line {
    /// Puts a block behind the others; false if there are too many.
    pub(super) fn begin(&self, begun: Begun) -> bool {
        let mut state = self.lock();
        if state.blocks.len() == BLOCKS {
            return false;
        }
        let (fed, made) = (VecDeque::new(), VecDeque::new());
        let block = InLine { begun, is_taken_up: false, fed, end: None, is_starving: false, made, outcome: None };
        state.blocks.push_back(block);
        self.changed.notify_all();
        true
    }

    pub(super) fn is_empty(&self) -> bool {
        self.lock().blocks.is_empty()
    }

    /// Whether more may come of the last block.
    pub(super) fn is_open(&self) -> bool {
        self.lock().open().is_some()
    }

    pub(super) fn may_be_fed(&self) -> bool {
        self.lock().fed < FED
    }

    /// Gives bytes to the last block.
    pub(super) fn feed(&self, bytes: Vec<u8>) {
        let (mut state, len) = (self.lock(), bytes.len());
        // What has ended already, damaged, needs no more bytes.
        let Some(block) = state.open().filter(|block| block.outcome.is_none()) else { return };
        block.fed.push_back(bytes);
        block.is_starving = false;
        state.fed += len;
        self.changed.notify_all();
    }

    /// Says what the last block came to.
    pub(super) fn end(&self, end: Block) {
        let mut state = self.lock();
        if let Some(block) = state.open() {
            (block.end, block.is_starving) = (Some(end), false);
        }
        self.changed.notify_all();
    }

    /// What comes next, without waiting for it; takes a chunk back that was handed out.
    pub(super) fn next(&self, used: Chunk) -> Turn {
        let mut state = self.lock();
        if !used.buffer.is_empty() {
            state.spare.push(used.buffer);
        }
        loop {
            let Some(first) = state.blocks.front_mut() else { return Turn::Nothing };
            if let Some(chunk) = first.made.pop_front() {
                state.made -= 1;
                self.changed.notify_all();
                return Turn::Made(chunk);
            }
            match first.outcome.take() {
                None => return Turn::Nothing,
                Some(Err(error)) => {
                    state.clear();
                    self.changed.notify_all();
                    return Turn::Failed(error);
                }
                Some(Ok(())) => {
                    state.blocks.pop_front();
                    state.first += 1;
                    self.changed.notify_all();
                }
            }
        }
    }

    /// Waits until [`next`](Self::next) has something; false if it never will unless more is fed.
    pub(super) fn wait(&self) -> bool {
        let mut state = self.lock();
        loop {
            let Some(first) = state.blocks.front() else { return false };
            if !first.made.is_empty() || first.outcome.is_some() {
                return true;
            }
            if first.is_starving {
                return false;
            }
            state = self.pause(state);
        }
    }

    /// Lets the threads end.
    pub(super) fn close(&self) {
        let mut state = self.lock();
        state.clear();
        state.is_closed = true;
        self.changed.notify_all();
    }
}

/// For the threads that decode.
impl Line {
    /// Waits for the first block that no thread has, until there is memory for it, and gives its number; nothing once there
    /// are no more.
    pub(super) fn take_up(&self) -> Option<(u64, Begun)> {
        let mut state = self.lock();
        loop {
            if state.is_closed {
                return None;
            }
            if let Some(taken) = state.take_up() {
                return Some(taken);
            }
            state = self.pause(state);
        }
    }

    /// What block `number` was fed next.
    pub(super) fn fed(&self, number: u64) -> Fed {
        let mut state = self.lock();
        let Some(block) = state.block(number) else { return Fed::Gone };
        let Some(bytes) = block.fed.pop_front() else { return block.end.map_or(Fed::Nothing, Fed::End) };
        state.fed -= bytes.len();
        Fed::Bytes(bytes)
    }

    /// Waits until block `number` is fed; all that came of it before must have been handed over.
    pub(super) fn starve(&self, number: u64) {
        let mut state = self.lock();
        while let Some(block) = state.block(number).filter(|block| block.fed.is_empty() && block.end.is_none()) {
            block.is_starving = true;
            self.changed.notify_all();
            state = self.pause(state);
        }
    }

    /// Waits for room and hands `chunk` over for another buffer; nothing if the block is not wanted any more.
    pub(super) fn hand_over(&self, number: u64, chunk: Chunk) -> Option<Vec<u8>> {
        let mut state = self.lock();
        loop {
            let (made, first) = (state.made, state.first);
            let block = state.block(number)?;
            if made < AHEAD || (number == first && block.made.len() < FIRST) {
                block.made.push_back(chunk);
                state.made += 1;
                self.changed.notify_all();
                return Some(state.spare.pop().unwrap_or_else(|| vec![0; CHUNK]));
            }
            state = self.pause(state);
        }
    }

    /// Says how block `number` ended, unless that is known.
    pub(super) fn conclude(&self, number: u64, outcome: Result<(), Error>) {
        let mut state = self.lock();
        let Some(block) = state.block(number).filter(|block| block.outcome.is_none()) else { return };
        let Begun { place, offset, .. } = &block.begun;
        let located = |error: Error| Error::new(error.kind(), format!("{place}: {error}")).at(*offset);
        block.outcome = Some(outcome.map_err(located));
        let unused: usize = block.fed.drain(..).map(|bytes| bytes.len()).sum();
        state.fed -= unused;
        self.changed.notify_all();
    }

    /// Says that the thread that had block `number` is gone, if it left without a word.
    pub(super) fn desert(&self, number: u64) {
        self.conclude(number, Err(Error::new(Kind::Memory, "the thread that decoded it has gone")));
    }
}

impl Line {
    /// Compressed and decoded bytes that wait.
    #[cfg(test)]
    pub(super) fn waiting(&self) -> (usize, usize) {
        let state = self.lock();
        (state.fed, state.made * CHUNK)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn pause<'a>(&self, state: MutexGuard<'a, State>) -> MutexGuard<'a, State> {
        self.changed.wait(state).unwrap_or_else(PoisonError::into_inner)
    }
}
