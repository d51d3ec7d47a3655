//! Reads a source ahead of the thread that decompresses it, so that neither waits for the other.
//!
//! The thread ends with the source, with its failure, or when the reader is dropped: then there is nobody to hand a block to.

use contract::{Code, Failure};
use crossbeam_channel::{Receiver, Sender};

use crate::source::Reader;

/// Bytes of one block.
const BLOCK: usize = 256 << 10;
/// Blocks that are read ahead.
const BLOCKS: usize = 4;

type Block = Result<Vec<u8>, Failure>;

/// A reader with a thread behind it.
pub(super) struct Ahead {
    full: Receiver<Block>,
    empty: Sender<Vec<u8>>,
    block: Vec<u8>,
    used: usize,
    is_over: bool,
}

impl Ahead {
    /// Begins to read.
    ///
    /// # Errors
    /// There is no thread to be had.
    pub(super) fn start(reader: Box<dyn Reader>) -> Result<Self, Failure> {
        let (filled, full) = crossbeam_channel::bounded(BLOCKS);
        let (empty, emptied) = crossbeam_channel::unbounded();
        let thread = std::thread::Builder::new().name("read ahead".into());
        let started = thread.spawn(move || read_ahead(reader, &filled, &emptied));
        started.map_err(|error| Failure::new(Code::Internal, format!("no thread to read ahead: {error}")))?;
        Ok(Self { full, empty, block: Vec::new(), used: 0, is_over: false })
    }
}

fn read_ahead(mut reader: Box<dyn Reader>, filled: &Sender<Block>, emptied: &Receiver<Vec<u8>>) {
    loop {
        let mut block = emptied.try_recv().unwrap_or_default();
        block.resize(BLOCK, 0);
        let read = reader.fill(&mut block);
        let is_last = !matches!(read, Ok(read) if read > 0);
        let read = read.map(|read| {
            block.truncate(read);
            block
        });
        if filled.send(read).is_err() || is_last {
            return;
        }
    }
}

impl Reader for Ahead {
    fn read(&mut self, buf: &mut [u8]) -> Result<usize, Failure> {
        if self.used == self.block.len() && !self.is_over {
            let gone = |_| Failure::new(Code::Internal, "the thread that reads ahead has gone without a last word");
            let next = self.full.recv().map_err(gone)?;
            self.is_over = !matches!(&next, Ok(block) if !block.is_empty());
            // Nobody wants it back if the thread has ended.
            let _ = self.empty.send(std::mem::replace(&mut self.block, next?));
            self.used = 0;
        }
        let len = buf.len().min(self.block.len() - self.used);
        buf[..len].copy_from_slice(&self.block[self.used..][..len]);
        self.used += len;
        Ok(len)
    }
}
