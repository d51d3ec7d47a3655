//! One attempt to move a disk from a source to a target: the list of its steps.
//!
//! ```text
//! look -> plan -> journal? --believed--> go on
//!                    \---no---> prepare -> record
//!      -> route -> checksum -> fingerprint -> commit
//! ```

use std::num::NonZeroUsize;
use std::sync::atomic::Ordering;
use std::time::{Instant, SystemTime};

use contract::{Checked, ChecksumReport, Class, Code, Failure, ImportReport, SCHEMA};
use formats::probe::{Compression, Format};

use crate::cancel::Cancel;
use crate::checksum::{Checksum, Hasher};
use crate::engine::Engine;
use crate::fingerprint::{Builder, Fingerprint, Hash};
use crate::journal::{Checkpoint, Earlier, Identity, Journal, Phase, Record};
use crate::look::{Look, Mapped};
use crate::plan::{Facts, Plan, Route, plan};
use crate::pool::Pool;
use crate::progress::{Progress, Step};
use crate::rate::Limiter;
use crate::route::{Flow, Flowed, Hashed, Hashing, MAX_DISK, Spill, Start, hashed, mapped, streamed};
use crate::source::Source;
use crate::stage::Stages;
use crate::stop::Stop;
use crate::target::{Options, Target};
use crate::tracker::{Done, Tracker};
use crate::verified::Verified;
use crate::volume::{Checkpoints, Keeper, Order, Volume};
use crate::walker::Walker;

/// Memory for everything in flight; what waits in a decoder is part of it.
const POOL: usize = 24 << 20;
/// Smallest slot: large enough for one write, small enough to stay in a core's cache.
const SLOT: usize = 512 << 10;

/// What to move where, and how.
pub struct Transfer<'a> {
    /// Where the image comes from.
    pub source: &'a dyn Source,
    /// Where the disk goes, opened.
    pub target: &'a dyn Target,
    /// Format to believe instead of the first bytes.
    pub format: Option<Format>,
    /// Undo a compression around the image, if there is one.
    pub decompress: bool,
    /// Digest to verify.
    pub checksum: Option<Checksum>,
    /// Accept a source whose end cannot be told from a broken connection.
    pub accept_unknown_end: bool,
    /// Bytes per second to fetch at most.
    pub rate: Option<u64>,
    /// The volume's identity, without which nothing found on it is believed.
    pub volume: Option<[u8; 32]>,
    /// A user's wish to stop.
    pub cancel: &'a Cancel,
    /// What is shown meanwhile.
    pub progress: &'a Progress,
}

/// What a route came to.
struct Moved {
    virtual_size: u64,
    fingerprint: Builder,
    file: Option<String>,
    inner: Option<String>,
}

/// What a route needs beside the attempt.
#[derive(Clone, Copy)]
struct Run<'a> {
    source: &'a dyn Source,
    fingerprint: &'a Builder,
    order: Order,
    /// Bytes of one slot.
    slot: usize,
    /// Bytes of all slots.
    memory: usize,
}

/// What stays the same from the first look to the report.
struct Attempt<'a> {
    transfer: &'a Transfer<'a>,
    plan: Plan,
    target: &'a dyn Target,
    journal: Journal,
    earlier: Option<Record>,
    stages: Stages,
    warnings: Vec<String>,
    started: Instant,
}

impl Transfer<'_> {
    /// Runs one attempt.
    ///
    /// # Errors
    /// Whatever stops it; what that makes of what was written is for [`conclude`] to say.
    pub fn run(&self) -> Result<ImportReport, Failure> {
        let started = Instant::now();
        self.progress.enter(Step::Opening);
        let look = Look::at(self.source, self.format, self.decompress)?;
        let plan = plan(&Facts::of(self.source, &look, self.checksum.is_some(), self.accept_unknown_end))?;
        let target = self.target;
        let (journal, earlier) = Journal::open(self.identity(&look, plan.route), target)?;
        let mut warnings = self.warnings();
        let earlier = match earlier {
            Earlier::Believed(record) => Some(record),
            Earlier::Nothing => None,
            Earlier::Foreign => {
                warnings.push("What an earlier attempt left is not of this import (another source, other options or another user); started over.".into());
                None
            }
        };
        self.progress.attempt.store(journal.attempt, Ordering::Relaxed);
        let stages = Stages::default();
        let mut attempt = Attempt { transfer: self, plan, target, journal, earlier, stages, warnings, started };
        attempt.run(look)
    }

    /// What a careful user should know before anything is moved.
    fn warnings(&self) -> Vec<String> {
        let mut warnings = self.source.warnings();
        if let Some(checksum) = self.checksum.as_ref().filter(|checksum| checksum.algorithm.is_weak()) {
            let transport = if self.source.name().starts_with("http:") {
                ", and the connection is not protected either"
            } else {
                ""
            };
            warnings.push(format!(
                "The checksum {checksum} finds accidents, not forgeries{transport}; prefer sha256 or sha512."
            ));
        }
        warnings
    }

    /// What a record must carry to be believed. Without a volume's and a source's identity nothing is.
    fn identity(&self, look: &Look, route: Route) -> Identity {
        let mut hasher = blake3::Hasher::new();
        let checksum = self.checksum.as_ref().map(ToString::to_string);
        let Options { size, preallocation, .. } = self.target.options();
        let (compression, prealloc) = (look.compression.map_or("none", Compression::name), preallocation.name());
        hasher.update(format!("{route} {} {compression} {checksum:?} {size:?} {prealloc}", look.format).as_bytes());
        match (self.source.identity(), self.volume) {
            (Some(source), Some(volume)) => {
                hasher.update(source.as_bytes());
                Identity { volume, plan: hasher.finalize().into() }
            }
            (_, volume) => {
                let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
                hasher.update(&now.as_nanos().to_le_bytes()).update(&std::process::id().to_le_bytes());
                Identity { volume: volume.unwrap_or_default(), plan: hasher.finalize().into() }
            }
        }
    }
}

/// Ends an import that failed. After a failure of the source's content nothing is left; after any other what was durable
/// is kept for the next attempt.
#[must_use]
pub fn conclude(target: &dyn Target, failure: Failure) -> Failure {
    let removed = if leaves_nothing(&failure) { target.discard() } else { target.leave() };
    match removed {
        Ok(()) => failure,
        Err(second) => {
            let what = format!("{failure}; what was written could not be removed: {second}");
            Failure::new(failure.code(), what).remedy(failure.what_to_do())
        }
    }
}

/// Whether a failure says that what was written so far is worth nothing.
fn leaves_nothing(failure: &Failure) -> bool {
    matches!(failure.code().class(), Class::Image | Class::Verification) || failure.code() == Code::SourceChanged
}

impl Attempt<'_> {
    fn run(&mut self, look: Look) -> Result<ImportReport, Failure> {
        let (format, compression) = (look.format, look.compression);
        let moved = self.route(look)?;
        let checked = self.check(&moved)?;
        let virtual_size = moved.virtual_size;
        let fingerprint = self.commit(&moved.fingerprint, checked)?;
        let progress = self.transfer.progress;
        let total = progress.total.load(Ordering::Relaxed);
        let checksum = self.transfer.checksum.as_ref().zip(checked);
        Ok(ImportReport {
            schema: SCHEMA.into(),
            target: self.target.path().display().to_string(),
            member: self.transfer.source.member().map(str::to_owned),
            format: format.name().into(),
            compression: compression.map(|compression| compression.name().into()),
            route: self.plan.route.name().into(),
            virtual_size,
            fingerprint: fingerprint.to_string(),
            attempt: self.journal.attempt,
            checksum: checksum.map(|(expected, matched)| ChecksumReport {
                expected: expected.to_string(),
                from: None,
                matched,
            }),
            fetched: progress.fetched.load(Ordering::Relaxed),
            written: progress.written.load(Ordering::Relaxed),
            resumed: self.earlier.as_ref().map_or(0, |record| record.done.bytes().min(total.max(virtual_size))),
            seconds: self.started.elapsed().as_secs_f64(),
            bottleneck: self.stages.bottleneck(),
            stages: self.stages.report(),
            warnings: std::mem::take(&mut self.warnings),
        })
    }

    /// Moves the data; everything is on the target afterwards, and durable up to the last record.
    fn route(&mut self, look: Look) -> Result<Moved, Failure> {
        let source = self.transfer.source;
        match (self.plan.route, source.len()) {
            (Route::Mapped, Some(len)) => self.mapped(source, look.map(source, len)?.map),
            // The checksum has matched; what was only kept in memory is checked by the fingerprint.
            (Route::Hashed, Some(len)) if self.finished().is_some() => self.mapped(source, look.map(source, len)?.map),
            (Route::Hashed, Some(len)) => self.hashed(&look, len),
            _ => self.streamed(look),
        }
    }

    /// What an earlier attempt that only had to finish has recorded.
    fn finished(&self) -> Option<Finished> {
        self.earlier.as_ref().filter(|record| record.phase == Phase::Finishing).and_then(Finished::of)
    }

    fn mapped(&mut self, source: &dyn Source, map: Box<dyn formats::Map>) -> Result<Moved, Failure> {
        let (size, max_encoded) = (map.virtual_size(), map.max_encoded());
        self.begin(Some(size))?;
        self.transfer.progress.total.store(size, Ordering::Relaxed);
        let fingerprint = Builder::new(size);
        let run =
            Run { source, fingerprint: &fingerprint, order: Order::Guest, slot: slot_for(max_encoded), memory: POOL };
        self.with_volume(&run, &Checkpoints::default(), |engine, volume| {
            mapped(engine, volume, Walker::new(map), max_encoded)
        })?;
        Ok(Moved { virtual_size: size, fingerprint, file: None, inner: None })
    }

    fn hashed(&mut self, look: &Look, len: u64) -> Result<Moved, Failure> {
        let source = self.transfer.source;
        let Some(checksum) = &self.transfer.checksum else {
            return Err(Failure::new(Code::Internal, "the hashed route needs a checksum"));
        };
        loop {
            let Mapped { map, seen } = look.map(source, len)?;
            let (size, max_encoded) = (map.virtual_size(), map.max_encoded());
            self.begin(Some(size))?;
            self.transfer.progress.total.store(len, Ordering::Relaxed);
            let from = self.earlier.as_ref().map(|record| record.checkpoint.clone()).unwrap_or_default();
            let checkpoints = Checkpoints::from(from.clone());
            let algorithm = checksum.algorithm;
            let hashing = Hashing { algorithm, seen, file_len: len, from: &from, checkpoints: &checkpoints };
            let fingerprint = Builder::new(size);
            let run = Run {
                source,
                fingerprint: &fingerprint,
                order: Order::Host,
                slot: slot_for(max_encoded),
                memory: POOL,
            };
            let mut outcome = Hashed::MapTooLarge;
            self.with_volume(&run, &checkpoints, |engine, volume| {
                outcome = hashed(engine, volume, Walker::new(map), max_encoded, &hashing)?;
                Ok(())
            })?;
            match outcome {
                Hashed::Digest(digest) => {
                    return Ok(Moved { virtual_size: size, fingerprint, file: Some(digest), inner: None });
                }
                Hashed::CheckpointRefused => {
                    self.warnings
                        .push("The record of an earlier attempt does not fit the source; started over.".into());
                    self.earlier = None;
                }
                Hashed::MapTooLarge => return self.hashed_first(look, len),
            }
        }
    }

    /// Reads the file once for the checksum and then imports it by its map, every block checked against the first pass.
    fn hashed_first(&mut self, look: &Look, len: u64) -> Result<Moved, Failure> {
        let Transfer { source, cancel, progress, .. } = *self.transfer;
        let Some(checksum) = &self.transfer.checksum else {
            return Err(Failure::new(Code::Internal, "the hashed route needs a checksum"));
        };
        let (verified, digest) = Verified::read(source, len, checksum.algorithm, |bytes| {
            progress.fetched.fetch_add(bytes, Ordering::Relaxed);
            cancel.check()
        })?;
        let moved = self.mapped(&verified, look.map(&verified, len)?.map)?;
        Ok(Moved { file: Some(digest), ..moved })
    }

    fn streamed(&mut self, look: Look) -> Result<Moved, Failure> {
        let source = self.transfer.source;
        let mut stream = look.stream(source)?;
        let known = stream.virtual_size();
        self.begin(known)?;
        self.transfer.progress.total.store(source.len().unwrap_or(0), Ordering::Relaxed);
        let (start, from) = self.start(&look, &mut *stream)?;
        let mut fingerprint = Builder::new(known.unwrap_or(u64::MAX));
        for there in self.target.data_in(0..start.position) {
            fingerprint.expect(&there);
        }
        let slot =
            slot_for(stream.max_encoded()).max((stream.hold_back() + 3 * SLOT).next_multiple_of(SLOT).max(4 * SLOT));
        let checkpoints = Checkpoints::from(from);
        let can_be_taken_up = look.compression.is_some() && source.has_ranges() && stream.skip_to(start.position);
        let spill = self.target.scratch().filter(|_| stream.keep()).map(Spill::new).transpose()?;
        let memory = POOL - look.held_by_decoder();
        let flow = Flow {
            spill,
            decoder: look.decoder(source, start.host)?,
            reader: look.into_reader(source, start.host)?,
            stream,
            start,
            checkpoints: can_be_taken_up.then_some(&checkpoints),
        };
        let mut flowed = Flowed::default();
        let run = Run { source, fingerprint: &fingerprint, order: Order::Stream, slot, memory };
        self.with_volume(&run, &checkpoints, |engine, volume| {
            flowed = streamed(engine, volume, flow)?;
            Ok(())
        })?;
        let Flowed { virtual_size, file, inner } = flowed;
        // What looked like a raw disk may have turned out to end with a footer.
        if known != Some(virtual_size) {
            self.target.settle(virtual_size)?;
        }
        fingerprint.settle(virtual_size);
        Ok(Moved { virtual_size, fingerprint, file, inner })
    }

    /// Where the stream begins: at the checkpoint of an earlier attempt, or at its first byte.
    fn start(&mut self, look: &Look, stream: &mut dyn formats::Stream) -> Result<(Start, Checkpoint), Failure> {
        let Transfer { source, checksum, .. } = self.transfer;
        let algorithm = checksum.as_ref().map(|checksum| checksum.algorithm);
        let beginning = (Start::at_beginning(algorithm), Checkpoint::default());
        let moving = self.earlier.as_ref().filter(|record| record.phase == Phase::Moving && record.checkpoint.host > 0);
        let Some(from) = moving.map(|record| record.checkpoint.clone()) else { return Ok(beginning) };
        if let Some(start) = Start::taken_up(&from, algorithm, (*source, look), stream, self.target)? {
            return Ok((start, from));
        }
        stream.skip_to(0);
        self.warnings
            .push("The record of an earlier attempt does not fit the source; decoded from its beginning.".into());
        Ok(beginning)
    }

    /// Refuses a size that only a hostile header states: going through its map would take for ever.
    fn refuse_huge(&self, size: u64) -> Result<(), Failure> {
        if size > MAX_DISK {
            let what = format!("the image states a disk of {size} bytes; at most {MAX_DISK} are read");
            return Err(Failure::new(Code::ImageTooLarge, what).at(self.transfer.source.name()));
        }
        Ok(())
    }

    /// Prepares the target, unless an earlier attempt did. `image` is the disk's size, if it is known yet.
    fn begin(&mut self, image: Option<u64>) -> Result<(), Failure> {
        self.refuse_huge(image.unwrap_or(0))?;
        let progress = self.transfer.progress;
        if self.earlier.is_none() {
            progress.enter(Step::Preparing);
            self.journal.begin(self.target)?;
            self.target.prepare(image, self.transfer.cancel, &mut self.warnings)?;
            self.target.sync()?;
            self.journal.store(self.target, Phase::Moving, &Done::default(), &Checkpoint::default())?;
        }
        progress.enter(Step::Moving);
        Ok(())
    }

    /// Runs a route with everything it needs, and keeps the journal meanwhile.
    fn with_volume(
        &self,
        run: &Run<'_>,
        checkpoints: &Checkpoints,
        route: impl FnOnce(&Engine<'_>, &Volume<'_>) -> Result<(), Failure>,
    ) -> Result<(), Failure> {
        let Run { source, fingerprint, order, slot, memory } = *run;
        let Transfer { cancel, progress, rate, .. } = *self.transfer;
        let nothing = Done::default();
        let earlier = self.earlier.as_ref().map_or(&nothing, |record| &record.done);
        let tracker = Tracker::resume(earlier);
        let (stop, target, stages) = (Stop::new(), self.target, &self.stages);
        let (due, to_record) = crossbeam_channel::bounded(1);
        let pool = Pool::new((memory / slot).max(4), slot)?;
        source.share(pool.memory())?;
        let limiter = Limiter::new(rate);
        let engine = Engine { source, pool, stop: &stop, cancel, stages, limiter, progress };
        let keeper = Keeper { journal: &self.journal, target, tracker: &tracker, checkpoints, stages };
        let volume = Volume { target, order, earlier, tracker: &tracker, fingerprint, stages, progress, due };
        std::thread::scope(|scope| {
            let kept = scope.spawn(|| engine.keep(keeper.run(&to_record)));
            let routed = route(&engine, &volume);
            drop(volume);
            // The keeper's own failure is in `stop`, and a panic in it is passed on by the scope.
            let _ = kept.join();
            match routed.and_then(|()| stop.check()) {
                // A device that failed once is not asked again.
                Err(failure) if failure.code().class() == Class::Target => Err(failure),
                Err(failure) => keeper.record().and(Err(failure)),
                Ok(()) => Ok(()),
            }
        })
    }

    /// Compares the checksum with the digests of the file, of what was inside its compression or in an archive, and at last
    /// of the disk: users paste any of them.
    fn check(&self, moved: &Moved) -> Result<Option<Checked>, Failure> {
        let Some(checksum) = &self.transfer.checksum else { return Ok(None) };
        if let Some(finished) = self.finished()
            && self.plan.route == Route::Hashed
        {
            return Ok(finished.checked);
        }
        let source = self.transfer.source;
        let file = if source.member().is_some() { Checked::Member } else { Checked::File };
        let mut seen = source.digests();
        seen.extend(moved.file.clone().map(|digest| (file, digest)));
        seen.extend(moved.inner.clone().map(|digest| (Checked::Decompressed, digest)));
        if let Some(checked) = checksum.among(&seen) {
            return Ok(Some(checked));
        }
        seen.push((Checked::Disk, self.digest_of_disk(checksum, moved.virtual_size)?));
        checksum.among(&seen).map(Some).ok_or_else(|| mismatch(checksum, &seen, source))
    }

    fn digest_of_disk(&self, checksum: &Checksum, size: u64) -> Result<String, Failure> {
        self.transfer.progress.enter(Step::Checking);
        let mut hasher = Hasher::new(checksum.algorithm);
        let mut buffer = vec![0; SLOT];
        let mut at = 0;
        while at < size {
            self.transfer.cancel.check()?;
            let len = (size - at).min(buffer.len() as u64) as usize;
            self.target.read(at, &mut buffer[..len])?;
            hasher.update(&buffer[..len]);
            at += len as u64;
        }
        Ok(hasher.hex())
    }

    fn commit(&self, fingerprint: &Builder, checked: Option<Checked>) -> Result<Fingerprint, Failure> {
        self.transfer.progress.enter(Step::Finishing);
        let fingerprint = fingerprint.finish(self.target)?;
        if self.finished().is_some_and(|finished| finished.root != fingerprint.root) {
            let what = "the source gave other bytes than before the interruption";
            return Err(Failure::new(Code::SourceChanged, what).at(self.transfer.source.name()));
        }
        let done = Done { watermark: u64::MAX, ..Done::default() };
        let checkpoint = Finished { root: fingerprint.root, checked }.checkpoint();
        self.target.commit(&mut || self.journal.store(self.target, Phase::Finishing, &done, &checkpoint))?;
        Ok(fingerprint)
    }
}

/// What the record of an import that only has to finish holds, so that a later attempt need not verify all again.
struct Finished {
    root: Hash,
    checked: Option<Checked>,
}

impl Finished {
    /// A record holds the place in this list.
    const CHECKED: [Option<Checked>; 5] =
        [None, Some(Checked::File), Some(Checked::Decompressed), Some(Checked::Disk), Some(Checked::Member)];

    fn checkpoint(&self) -> Checkpoint {
        let checked = Self::CHECKED.iter().position(|checked| *checked == self.checked).unwrap_or_default();
        Checkpoint { state: [&[checked as u8], &self.root[..]].concat(), ..Checkpoint::default() }
    }

    fn of(record: &Record) -> Option<Self> {
        let (checked, root) = record.checkpoint.state.split_first()?;
        Some(Self { root: root.try_into().ok()?, checked: *Self::CHECKED.get(usize::from(*checked))? })
    }
}

/// Nothing has the expected digest.
pub(crate) fn mismatch(checksum: &Checksum, seen: &[(Checked, String)], source: &dyn Source) -> Failure {
    let seen = seen.iter().map(|(checked, digest)| format!("{} {digest}", checked.name()));
    let what = format!("the checksum is {checksum}, and the source has: {}", seen.collect::<Vec<_>>().join(", "));
    Failure::new(Code::ChecksumMismatch, what).at(source.name())
}

/// Slot size for clusters of up to `max_encoded` bytes: a cluster that does not compress is stored plain, and its
/// descriptor can state at most twice its size.
fn slot_for(max_encoded: u64) -> usize {
    SLOT.max(
        NonZeroUsize::new(max_encoded as usize)
            .map_or(0, |cluster| 2 * cluster.get() + SLOT / 2)
            .next_multiple_of(SLOT),
    )
}
