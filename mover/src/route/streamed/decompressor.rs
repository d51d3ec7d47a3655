//! Bytes of the compressed file in, bytes of the image out.

use std::sync::Arc;

use codecs::StreamDecoder;
use contract::Failure;
use crossbeam_channel::{Receiver, Sender, select};

use super::marks::{Mark, Marks};
use super::{Digested, send_bytes};
use crate::engine::Engine;
use crate::failure::codec_failure;
use crate::pool::Slot;

/// Compressed bytes between two marks, at least: a state is worth storing only if much would be decoded again.
const MARK_EVERY: u64 = 4 << 20;

/// Undoes the compression around a file, and notes where that could be begun again.
pub(super) struct Decompressor<'a> {
    decoder: Box<dyn StreamDecoder>,
    slots: Receiver<Arc<Slot>>,
    current: Option<Arc<Slot>>,
    used: usize,
    /// Bytes of `current` that the file's digest has.
    digested: usize,
    /// Where the digest of the file is computed.
    digest: Option<Sender<Digested>>,
    /// Offset in the compressed file where the decoder began.
    begun: u64,
    /// Offset in the compressed file.
    pub(super) offset: u64,
    /// Offset in the decompressed stream.
    position: u64,
    /// Where marks are kept, if the stream can be taken up at one.
    marks: Option<&'a Marks<'a>>,
    /// Offset in the compressed file of the last mark.
    marked: u64,
    /// Marks passed in the last [`fill`](Self::fill), by their position in the stream.
    pub(super) passed: Vec<(u64, Mark)>,
}

impl<'a> Decompressor<'a> {
    /// Goes on at `offset` of the compressed file, which is `position` of what is inside.
    pub(super) fn new(
        decoder: Box<dyn StreamDecoder>,
        slots: Receiver<Arc<Slot>>,
        digest: Option<Sender<Digested>>,
        marks: Option<&'a Marks<'a>>,
        (offset, position): (u64, u64),
    ) -> Self {
        Self {
            decoder,
            slots,
            current: None,
            used: 0,
            digested: 0,
            digest,
            begun: offset,
            offset,
            position,
            marks,
            marked: offset,
            passed: Vec::new(),
        }
    }

    /// Fills `buf` as far as the stream goes.
    pub(super) fn fill(&mut self, engine: &Engine<'_>, buf: &mut [u8]) -> Result<usize, Failure> {
        let mut filled = 0;
        while filled < buf.len() {
            if self.current.as_ref().is_none_or(|slot| self.used == slot.len() && !slot.is_empty()) {
                self.next_slot(engine)?;
            }
            let Some(slot) = &self.current else { continue };
            let input = &slot[self.used..];
            let step = engine.stages.decompress.work(|| self.decoder.step(input, &mut buf[filled..]));
            let step = step.map_err(|error| self.refused(engine, &error))?;
            // An empty slot is the end of the file; the decoder may still hold decoded bytes.
            if slot.is_empty() && step.produced == 0 {
                self.decoder.finish().map_err(|error| self.refused(engine, &error))?;
                break;
            }
            self.used += step.consumed;
            self.offset += step.consumed as u64;
            self.position += step.produced as u64;
            filled += step.produced;
            if step.boundary && self.offset - self.marked >= MARK_EVERY {
                self.mark(engine)?;
            }
        }
        self.digest(engine)?;
        Ok(filled)
    }

    fn refused(&self, engine: &Engine<'_>, error: &codecs::Error) -> Failure {
        let offset = error.offset().map_or(self.offset, |bytes| self.begun + bytes);
        codec_failure(error, engine.source.name(), offset)
    }

    fn next_slot(&mut self, engine: &Engine<'_>) -> Result<(), Failure> {
        self.digest(engine)?;
        let stop = engine.stop;
        let slot = engine.stages.decompress.wait(|| {
            select! {
                recv(self.slots) -> slot => slot.map_err(|_| stop.reason()),
                recv(stop.tripped()) -> _ => Err(stop.reason()),
            }
        })?;
        (self.current, self.used, self.digested) = (Some(slot), 0, 0);
        Ok(())
    }

    /// Hands the digest what was decoded.
    fn digest(&mut self, engine: &Engine<'_>) -> Result<(), Failure> {
        let Some(slot) = &self.current else { return Ok(()) };
        send_bytes(engine, self.digest.as_ref(), slot, self.digested..self.used)?;
        self.digested = self.used;
        Ok(())
    }

    /// A fresh decoder given the next byte would make the next byte of the stream.
    fn mark(&mut self, engine: &Engine<'_>) -> Result<(), Failure> {
        let Some(marks) = self.marks else { return Ok(()) };
        self.digest(engine)?;
        self.marked = self.offset;
        let mark = marks.begin(self.position, self.offset);
        if let Some(digest) = &self.digest {
            engine.send(digest, Digested::Mark(mark))?;
        }
        self.passed.push((self.position, mark));
        Ok(())
    }
}
