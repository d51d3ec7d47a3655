//! Sequential: decode while it flows.
//!
//! ```text
//!             +-> file digest                   +-> stream digest
//! reader --slots--> decompressor (if any) --slots--> format's stream --> workers
//! ```
//!
//! Every stage is a thread of its own; slots of two pools, one on either side of the decompressor, are the back-pressure.
//! After a kill the stream is decoded again from its beginning, and what is on the target already is not written again.

use std::sync::Arc;

use codecs::StreamDecoder;
use contract::{Code, Failure};
use crossbeam_channel::{Receiver, Sender, select};
use formats::{Piece, Stream};

use crate::checksum::{Algorithm, Hasher};
use crate::engine::Engine;
use crate::failure::{codec_failure, image_failure};
use crate::fetch::Filled;
use crate::parts::{Part, Unit};
use crate::pool::{Pool, Slot};
use crate::route::MAX_DISK;
use crate::source::Reader;
use crate::tracker::WINDOW;
use crate::volume::Volume;
use crate::worker::Work;

/// Compressed bytes that are read ahead of the decompressor: slots of this size ...
const INPUT_SLOT: usize = 256 << 10;
/// ... and this many of them.
const INPUT_SLOTS: usize = 16;

/// What flows, and how it is to be read.
pub(crate) struct Flow {
    /// The source from its first byte on.
    pub(crate) reader: Box<dyn Reader>,
    /// Undoes the compression around the file.
    pub(crate) decoder: Option<Box<dyn StreamDecoder>>,
    /// Understands the image.
    pub(crate) stream: Box<dyn Stream>,
    /// Digest to compute over the file, and over what is inside the compression.
    pub(crate) algorithm: Option<Algorithm>,
}

/// What a stream turned out to be.
#[derive(Default)]
pub(crate) struct Flowed {
    /// Size of the disk in bytes.
    pub(crate) virtual_size: u64,
    /// Digest of the file as it came.
    pub(crate) file: Option<String>,
    /// Digest of what was inside the compression.
    pub(crate) inner: Option<String>,
}

/// A slot and where in it the bytes begin that no earlier slot had.
type Fresh = (Arc<Slot>, usize);

/// Moves what flows to `volume`.
///
/// # Errors
/// The first failure of any thread.
pub(crate) fn streamed(engine: &Engine<'_>, volume: &Volume<'_>, flow: Flow) -> Result<Flowed, Failure> {
    let Flow { reader, decoder, stream, algorithm } = flow;
    let input_pool = Pool::new(INPUT_SLOTS, INPUT_SLOT)?;
    let max_encoded = stream.max_encoded();
    let mut flowed = Flowed::default();
    engine.with_workers(volume, max_encoded, |work, _closed| {
        std::thread::scope(|scope| {
            let digest = || {
                let (fresh, digested) = crossbeam_channel::unbounded::<Fresh>();
                let thread = algorithm.map(|algorithm| scope.spawn(move || digest_of(engine, algorithm, &digested)));
                (thread.is_some().then_some(fresh), thread)
            };
            let (file_line, file) = digest();
            let (input, inner_line, inner) = match decoder {
                None => (Input::Plain(reader), file_line, None),
                Some(decoder) => {
                    let (inner_line, inner) = digest();
                    let (filled, slots) = crossbeam_channel::unbounded();
                    let pool = &input_pool;
                    scope.spawn(move || engine.keep(read_ahead(engine, pool, reader, &filled, file_line.as_ref())));
                    engine.stages.decompress.enter();
                    (
                        Input::Compressed(Decompressor { decoder, slots, current: None, used: 0, offset: 0 }),
                        inner_line,
                        inner,
                    )
                }
            };
            let flowing = Flowing { engine, volume, work, fresh: inner_line, input, stream, base: 0, window: None };
            engine.keep(flowing.run().map(|size| flowed.virtual_size = size));
            let hex = |thread: Option<std::thread::ScopedJoinHandle<'_, String>>| {
                thread.and_then(|thread| thread.join().ok())
            };
            (flowed.file, flowed.inner) = (hex(file), hex(inner));
        });
    })?;
    Ok(flowed)
}

fn digest_of(engine: &Engine<'_>, algorithm: Algorithm, slots: &Receiver<Fresh>) -> String {
    let stage = &engine.stages.checksum;
    stage.enter();
    let mut hasher = Hasher::new(algorithm);
    while let Ok((slot, from)) = stage.wait(|| slots.recv()) {
        stage.work(|| hasher.update(&slot[from..]));
    }
    hasher.hex()
}

/// Reads the source into the input pool until it ends.
fn read_ahead(
    engine: &Engine<'_>,
    pool: &Pool,
    mut reader: Box<dyn Reader>,
    filled: &Sender<Arc<Slot>>,
    digest: Option<&Sender<Fresh>>,
) -> Result<(), Failure> {
    let fetcher = engine.fetcher();
    fetcher.stage.enter();
    loop {
        let mut slot = fetcher.stage.wait(|| pool.take(engine.stop))?;
        slot.set_len(INPUT_SLOT);
        let read = fetcher.read(&mut *reader, &mut slot)?;
        slot.set_len(read);
        let slot = Arc::new(slot);
        if let Some(digest) = digest {
            engine.send(digest, (Arc::clone(&slot), 0))?;
        }
        engine.send(filled, slot)?;
        if read == 0 {
            return Ok(());
        }
    }
}

enum Input {
    Plain(Box<dyn Reader>),
    Compressed(Decompressor),
}

/// Bytes of the compressed file in, bytes of the image out.
struct Decompressor {
    decoder: Box<dyn StreamDecoder>,
    slots: Receiver<Arc<Slot>>,
    current: Option<Arc<Slot>>,
    used: usize,
    /// Offset in the compressed file.
    offset: u64,
}

impl Decompressor {
    /// Fills `buf` as far as the stream goes.
    fn fill(&mut self, engine: &Engine<'_>, buf: &mut [u8]) -> Result<usize, Failure> {
        let mut filled = 0;
        while filled < buf.len() {
            if self.current.as_ref().is_none_or(|slot| self.used == slot.len() && !slot.is_empty()) {
                let stop = engine.stop;
                let slot = engine.stages.decompress.wait(|| {
                    select! {
                        recv(self.slots) -> slot => slot.map_err(|_| stop.reason()),
                        recv(stop.tripped()) -> _ => Err(stop.reason()),
                    }
                })?;
                (self.current, self.used) = (Some(slot), 0);
            }
            let Some(slot) = &self.current else { continue };
            let refused = |error| codec_failure(&error, engine.source.name(), self.offset);
            let input = &slot[self.used..];
            let step =
                engine.stages.decompress.work(|| self.decoder.step(input, &mut buf[filled..])).map_err(refused)?;
            // An empty slot is the end of the file; the decoder may still hold decoded bytes.
            if slot.is_empty() && step.produced == 0 {
                self.decoder.finish().map_err(|error| codec_failure(&error, engine.source.name(), self.offset))?;
                break;
            }
            self.used += step.consumed;
            self.offset += step.consumed as u64;
            filled += step.produced;
        }
        Ok(filled)
    }
}

/// The thread on which the image itself is understood.
struct Flowing<'a> {
    engine: &'a Engine<'a>,
    volume: &'a Volume<'a>,
    work: Sender<Work>,
    /// Where a digest of the image's bytes is computed.
    fresh: Option<Sender<Fresh>>,
    input: Input,
    stream: Box<dyn Stream>,
    /// Stream offset of the current slot's first byte.
    base: u64,
    /// The window that is open.
    window: Option<u64>,
}

impl Flowing<'_> {
    /// Runs to the end of the stream and returns the size of the disk.
    fn run(mut self) -> Result<u64, Failure> {
        let (mut number, mut carried) = (0, 0);
        let mut slot = self.take()?;
        if matches!(self.input, Input::Plain(_)) {
            self.engine.stages.fetch.enter();
        }
        loop {
            slot.set_len(slot.capacity());
            let read = self.fill(&mut slot[carried..])?;
            let filled = carried + read;
            let last = filled < slot.len();
            slot.set_len(filled);
            let (consumed, parts) = self.understand(&slot, last)?;
            self.engine.cancel.check()?;

            let mut next = self.take()?;
            next.set_len(filled - consumed);
            next.copy_from_slice(&slot[consumed..]);
            let full = Arc::new(std::mem::replace(&mut slot, next));
            if let Some(fresh) = &self.fresh {
                self.engine.send(fresh, (Arc::clone(&full), carried))?;
            }
            carried = filled - consumed;
            let unit = Unit { host: self.base..self.base + consumed as u64, parts };
            self.base += consumed as u64;
            self.refuse_bomb()?;
            self.engine.send(&self.work, Work::Unit(Filled { number, unit, slot: full }))?;
            number += 1;
            if last {
                self.seal();
                return Ok(self.stream.virtual_size().unwrap_or(self.base).next_multiple_of(512));
            }
        }
    }

    fn take(&self) -> Result<Slot, Failure> {
        self.engine.stages.decompress.wait(|| self.engine.pool.take(self.engine.stop))
    }

    fn fill(&mut self, buf: &mut [u8]) -> Result<usize, Failure> {
        match &mut self.input {
            Input::Plain(reader) => self.engine.fetcher().read(&mut **reader, buf),
            Input::Compressed(decompressor) => decompressor.fill(self.engine, buf),
        }
    }

    /// Asks the format what the bytes are, and counts the parts as work.
    fn understand(&mut self, bytes: &[u8], last: bool) -> Result<(usize, Vec<Part>), Failure> {
        let mut pieces = Vec::new();
        let consumed = self.stream.push(bytes, last, &mut pieces);
        let consumed = consumed.map_err(|error| image_failure(&error, self.engine.source.name()))?;
        let mut parts = Vec::new();
        for piece in &pieces {
            cut(piece, self.base, &mut parts);
        }
        for part in &parts {
            let positions = self.volume.order.positions(part);
            let window = positions.start / WINDOW;
            if self.window != Some(window) {
                self.seal();
                self.volume.tracker.begin(window, self.volume.earlier);
                self.window = Some(window);
            }
            self.volume.tracker.add(&positions);
        }
        Ok((consumed, parts))
    }

    fn seal(&mut self) {
        if let Some(window) = self.window.take() {
            self.volume.tracker.seal(window);
        }
    }

    fn refuse_bomb(&self) -> Result<(), Failure> {
        if self.base > MAX_DISK {
            let what = format!("the image goes on after {MAX_DISK} bytes");
            return Err(Failure::new(Code::ImageTooLarge, what).at(self.engine.source.name()));
        }
        Ok(())
    }
}

/// The parts of one piece, cut where windows end so that each belongs to one.
fn cut(piece: &Piece, base: u64, parts: &mut Vec<Part>) {
    let host = base + piece.at as u64;
    if piece.codec.is_some() {
        let (host_len, guest_len) = (piece.host_len as u32, piece.guest_len as u32);
        parts.push(Part { host, host_len, guest: piece.guest.0, guest_len, codec: piece.codec });
        return;
    }
    let mut done = 0;
    while done < piece.guest_len {
        let len = (piece.guest_len - done).min(WINDOW - (host + done) % WINDOW);
        let (guest, len32) = (piece.guest.0 + done, len as u32);
        parts.push(Part { host: host + done, host_len: len32, guest, guest_len: len32, codec: None });
        done += len;
    }
}
