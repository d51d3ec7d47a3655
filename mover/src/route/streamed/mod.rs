//! Sequential: decode while it flows.
//!
//! ```text
//!             +-> file digest                   +-> stream digest
//! reader --slots--> decompressor (if any) --slots--> format's stream --> workers
//! ```
//!
//! Every stage is a thread of its own; slots of two pools, one on either side of the decompressor, are the back-pressure.
//! What flows past before its table is kept beside the target and placed at the end.
//! After a kill a raw disk is taken up at the last end of a gzip member or zstd frame that is recorded, anything else is
//! decoded again from its beginning; what is on the target already is not written again.

mod decompressor;
mod marks;
mod spill;
mod start;

use std::ops::Range;
use std::sync::Arc;

use codecs::StreamDecoder;
use contract::{Code, Failure};
use crossbeam_channel::{Receiver, Sender};
use formats::{Piece, Stream};

use crate::checksum::Hasher;
use crate::engine::Engine;
use crate::failure::image_failure;
use crate::fetch::Filled;
use crate::parts::{Part, Unit, parts_of};
use crate::pool::{Pool, Slot};
use crate::route::MAX_DISK;
use crate::source::Reader;
use crate::target::Target;
use crate::tracker::WINDOW;
use crate::volume::{Checkpoints, Volume};
use crate::worker::Work;
use decompressor::Decompressor;
use marks::{Mark, Marks, Part as MarkPart};
pub(crate) use spill::Spill;
pub(crate) use start::Start;

/// Compressed bytes that are read ahead of the decompressor: slots of this size ...
const INPUT_SLOT: usize = 256 << 10;
/// ... and this many of them.
const INPUT_SLOTS: usize = 16;

/// Bytes that a stream of unknown size may have more than its disk: a footer, and what a fixed VHD keeps in front of it.
const BEYOND: u64 = 64 << 20;

/// What flows, and how it is to be read.
pub(crate) struct Flow<'a> {
    /// The source from `start` on.
    pub(crate) reader: Box<dyn Reader>,
    /// Undoes the compression around the file.
    pub(crate) decoder: Option<Box<dyn StreamDecoder>>,
    /// Understands the image.
    pub(crate) stream: Box<dyn Stream>,
    /// Where the flow begins, and the digests of what came before.
    pub(crate) start: Start,
    /// Keeps what flows past before its table, if the image may have such a thing and there is room for it.
    pub(crate) spill: Option<Spill>,
    /// Where a later attempt could begin, if the image can be taken up anywhere but at its beginning.
    pub(crate) checkpoints: Option<&'a Checkpoints>,
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

/// What a digest is given.
enum Digested {
    /// Bytes, each once.
    Bytes(Arc<Slot>, Range<usize>),
    /// The digest's state is wanted here.
    Mark(Mark),
}

/// Hands a digest bytes of `slot`, if there is a digest.
fn send_bytes(
    engine: &Engine<'_>,
    line: Option<&Sender<Digested>>,
    slot: &Arc<Slot>,
    bytes: Range<usize>,
) -> Result<(), Failure> {
    match line {
        Some(line) if !bytes.is_empty() => engine.send(line, Digested::Bytes(Arc::clone(slot), bytes)),
        _ => Ok(()),
    }
}

/// Moves what flows to `volume`.
///
/// # Errors
/// The first failure of any thread.
pub(crate) fn streamed(engine: &Engine<'_>, volume: &Volume<'_>, flow: Flow<'_>) -> Result<Flowed, Failure> {
    let Flow { reader, decoder, stream, start, spill, checkpoints } = flow;
    let input_pool = Pool::new(INPUT_SLOTS, INPUT_SLOT)?;
    engine.source.share(input_pool.memory())?;
    let max_encoded = stream.max_encoded();
    let [file_hasher, inner_hasher] = start.hashers();
    let marks = checkpoints.map(|checkpoints| Marks::new(checkpoints, file_hasher.is_some()));
    let marks = marks.as_ref();
    let mut flowed = Flowed::default();
    engine.with_workers(volume, max_encoded, |work, _closed| {
        std::thread::scope(|scope| {
            let digest = |hasher: Option<Hasher>, part: MarkPart| {
                let (line, digested) = crossbeam_channel::unbounded();
                let thread =
                    hasher.map(|hasher| scope.spawn(move || digest_of(engine, hasher, &digested, marks, part)));
                (thread.is_some().then_some(line), thread)
            };
            let (file_line, file) = digest(file_hasher, MarkPart::File);
            let (input, inner_line, inner) = match decoder {
                None => (Input::Plain(reader), file_line, None),
                Some(decoder) => {
                    let (inner_line, inner) = digest(inner_hasher, MarkPart::Inner);
                    let (filled, slots) = crossbeam_channel::unbounded();
                    let pool = &input_pool;
                    scope.spawn(move || engine.keep(read_ahead(engine, pool, reader, &filled)));
                    engine.stages.decompress.enter();
                    let decompressor =
                        Decompressor::new(decoder, slots, file_line, marks, (start.host, start.position));
                    (Input::Compressed(Box::new(decompressor)), inner_line, inner)
                }
            };
            let withheld = Withheld::of(volume.target, &start);
            let base = start.position;
            let flowing = Flowing {
                engine,
                volume,
                work,
                digest: inner_line,
                input,
                stream,
                marks,
                withheld,
                spill,
                base,
                window: None,
            };
            engine.keep(flowing.run().map(|size| flowed.virtual_size = size));
            let hex = |thread: Option<std::thread::ScopedJoinHandle<'_, String>>| {
                thread.and_then(|thread| thread.join().ok())
            };
            (flowed.file, flowed.inner) = (hex(file), hex(inner));
        });
    })?;
    Ok(flowed)
}

fn digest_of(
    engine: &Engine<'_>,
    mut hasher: Hasher,
    digested: &Receiver<Digested>,
    marks: Option<&Marks<'_>>,
    part: MarkPart,
) -> String {
    let stage = &engine.stages.checksum;
    stage.enter();
    while let Ok(item) = stage.wait(|| digested.recv()) {
        match (item, marks) {
            (Digested::Bytes(slot, bytes), _) => stage.work(|| hasher.update(&slot[bytes])),
            (Digested::Mark(mark), Some(marks)) => marks.add(mark, part, hasher.save()),
            (Digested::Mark(_), None) => {}
        }
    }
    hasher.hex()
}

/// Reads the source into the input pool until it ends.
fn read_ahead(
    engine: &Engine<'_>,
    pool: &Pool,
    mut reader: Box<dyn Reader>,
    filled: &Sender<Arc<Slot>>,
) -> Result<(), Failure> {
    let fetcher = engine.fetcher();
    fetcher.stage.enter();
    loop {
        let mut slot = fetcher.stage.wait(|| pool.take(engine.stop))?;
        slot.set_len(INPUT_SLOT);
        let read = fetcher.read(&mut *reader, &mut slot)?;
        slot.set_len(read);
        engine.send(filled, Arc::new(slot))?;
        if read == 0 {
            return Ok(());
        }
    }
}

enum Input<'a> {
    Plain(Box<dyn Reader>),
    Compressed(Box<Decompressor<'a>>),
}

/// Digest of the first bytes of the disk, as far as a device withholds them: they are lost with the process, and a later
/// attempt that decodes them again must get the same.
struct Withheld {
    hasher: blake3::Hasher,
    /// Bytes that are withheld.
    len: u64,
}

impl Withheld {
    fn of(target: &dyn Target, start: &Start) -> Self {
        let len = target.withheld().first().map_or(0, |head| head.end);
        Self { hasher: start.withheld.clone(), len }
    }

    /// Takes bytes of the stream that begin at `position`.
    fn pass(&mut self, position: u64, bytes: &[u8]) {
        let len = self.len.saturating_sub(position).min(bytes.len() as u64) as usize;
        self.hasher.update(&bytes[..len]);
    }
}

/// The thread on which the image itself is understood.
struct Flowing<'a> {
    engine: &'a Engine<'a>,
    volume: &'a Volume<'a>,
    work: Sender<Work>,
    /// Where a digest of the image's bytes is computed.
    digest: Option<Sender<Digested>>,
    input: Input<'a>,
    stream: Box<dyn Stream>,
    marks: Option<&'a Marks<'a>>,
    withheld: Withheld,
    spill: Option<Spill>,
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
            self.pass(&full, carried..filled)?;
            carried = filled - consumed;
            let unit = Unit { host: self.base..self.base + consumed as u64, parts };
            self.base += consumed as u64;
            self.refuse_bomb()?;
            self.engine.progress.reach(self.reached());
            self.engine.send(&self.work, Work::Unit(Filled { number, unit, slot: full }))?;
            number += 1;
            if last {
                self.seal();
                self.place_late()?;
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

    /// Offset in the source's file.
    fn reached(&self) -> u64 {
        match &self.input {
            Input::Plain(_) => self.base,
            Input::Compressed(decompressor) => decompressor.offset,
        }
    }

    /// Hands new bytes of the stream to the digests, in pieces where marks were passed.
    fn pass(&mut self, slot: &Arc<Slot>, fresh: Range<usize>) -> Result<(), Failure> {
        let passed = match &mut self.input {
            Input::Plain(_) => Vec::new(),
            Input::Compressed(decompressor) => std::mem::take(&mut decompressor.passed),
        };
        let mut from = fresh.start;
        for (position, mark) in passed {
            let to = (position - self.base) as usize;
            self.pass_piece(slot, from..to)?;
            from = to;
            if let Some(marks) = self.marks {
                marks.add(mark, MarkPart::Withheld, self.withheld.hasher.finalize().as_bytes().to_vec());
            }
            if let Some(digest) = &self.digest {
                self.engine.send(digest, Digested::Mark(mark))?;
            }
        }
        self.pass_piece(slot, from..fresh.end)
    }

    fn pass_piece(&mut self, slot: &Arc<Slot>, piece: Range<usize>) -> Result<(), Failure> {
        self.withheld.pass(self.base + piece.start as u64, &slot[piece.clone()]);
        send_bytes(self.engine, self.digest.as_ref(), slot, piece)
    }

    /// Asks the format what the bytes are, and counts the parts as work.
    fn understand(&mut self, bytes: &[u8], last: bool) -> Result<(usize, Vec<Part>), Failure> {
        let mut pieces = Vec::new();
        let consumed = self.stream.push(bytes, last, &mut pieces);
        let consumed = consumed.map_err(|error| image_failure(&error, self.engine.source.name()))?;
        if let Some(spill) = &mut self.spill {
            let kept =
                between(&pieces, consumed).try_for_each(|gap| spill.keep(self.base + gap.start as u64, &bytes[gap]));
            kept.map_err(|failure| failure.at(self.engine.source.name()))?;
        }
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

    /// Places what flowed past before its table.
    fn place_late(&mut self) -> Result<(), Failure> {
        let Some(spill) = self.spill.take() else { return Ok(()) };
        let name = self.engine.source.name();
        let refused = |failure: Failure| failure.at(name);
        while let Some(table) = self.stream.late().map_err(|error| image_failure(&error, name))? {
            let mut bytes = vec![0; (table.end - table.start) as usize];
            if !bytes.is_empty() {
                spill.read(&table, &mut bytes).map_err(refused)?;
            }
            let mut extents = Vec::new();
            self.stream.feed_late(&bytes, &mut extents).map_err(|error| image_failure(&error, name))?;
            let mut parts = Vec::new();
            extents.iter().for_each(|extent| parts_of(extent, self.engine.pool.slot_size(), &mut parts));
            for part in parts {
                let unit = Unit { host: part.host_range(), parts: vec![part] };
                let mut slot = self.take()?;
                slot.set_len((unit.host.end - unit.host.start) as usize);
                spill.read(&unit.host, &mut slot).map_err(refused)?;
                self.engine.send(&self.work, Work::Uncounted(Filled { number: 0, unit, slot: slot.into() }))?;
            }
        }
        Ok(())
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
        // Zeros are never written, so only the count tells that a stream of them goes on past the target's end.
        match self.stream.virtual_size() {
            Some(_) => Ok(()),
            None => self.volume.target.fits(self.base.saturating_sub(BEYOND)),
        }
    }
}

/// What lies between pieces, which come in the order of their beginnings, as far as `end`. The first and the last sector of
/// an encoded piece may be another's too.
fn between(pieces: &[Piece], end: usize) -> impl Iterator<Item = Range<usize>> {
    const SECTOR: usize = 512;
    let mut at = 0;
    let own = |piece: &Piece| match piece.codec {
        None => (piece.at, piece.at + piece.host_len),
        Some(_) => (piece.at + SECTOR, (piece.at + piece.host_len).saturating_sub(SECTOR)),
    };
    pieces.iter().map(own).chain([(end, end)]).filter_map(move |(start, stop)| {
        let gap = at..start.min(end);
        at = at.max(stop).min(end);
        (gap.start < gap.end).then_some(gap)
    })
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
