//! One attempt to move a disk from a source to a target: the list of its steps.
//!
//! ```text
//! look -> plan -> open target -> journal? --believed--> go on
//!                                   \---no---> prepare -> record
//!      -> route -> checksum -> fingerprint -> commit
//! ```

use std::num::NonZeroUsize;
use std::sync::atomic::Ordering;
use std::time::{Instant, SystemTime};

use contract::{Checked, ChecksumReport, Class, Code, Failure, ImportReport, SCHEMA};
use formats::probe::Format;

use crate::cancel::Cancel;
use crate::checksum::{Checksum, Hasher};
use crate::engine::Engine;
use crate::fingerprint::{Builder, Fingerprint};
use crate::journal::{Checkpoint, Identity, Journal, Phase, Record};
use crate::look::Look;
use crate::plan::{Facts, Plan, Route, plan};
use crate::pool::Pool;
use crate::progress::{Progress, Step};
use crate::rate::Limiter;
use crate::route::{Flow, Flowed, Hashed, Hashing, hashed, mapped, streamed};
use crate::source::Source;
use crate::stage::Stages;
use crate::stop::Stop;
use crate::target::{self, Options, Target};
use crate::tracker::{Done, Tracker};
use crate::volume::{Checkpoints, Keeper, Order, Volume};
use crate::walker::Walker;

/// Memory for everything in flight.
const POOL: usize = 24 << 20;
/// Smallest slot: large enough for one write, small enough to stay in a core's cache.
const SLOT: usize = 512 << 10;

/// What to move where, and how.
pub struct Transfer<'a> {
    /// Where the image comes from.
    pub source: &'a dyn Source,
    /// Where the disk goes.
    pub target: Options,
    /// Format to believe instead of the first bytes.
    pub format: Option<Format>,
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
    file: Option<String>,
    inner: Option<String>,
}

/// What stays the same from the first look to the report.
struct Attempt<'a> {
    transfer: &'a Transfer<'a>,
    plan: Plan,
    target: Box<dyn Target>,
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
    /// Whatever stops it. After a failure of the source's content nothing is left; after any other what was durable is
    /// kept for the next attempt.
    pub fn run(&self) -> Result<ImportReport, Failure> {
        let started = Instant::now();
        self.progress.enter(Step::Opening);
        let look = Look::at(self.source, self.format)?;
        let plan = self.plan(&look)?;
        let target = target::open(self.target.clone())?;
        let (journal, earlier) = Journal::open(self.identity(&look, plan.route), &*target)?;
        let earlier = earlier.filter(|record| record.phase != Phase::Preparing);
        let warnings = self.source.warnings();
        let stages = Stages::default();
        let mut attempt = Attempt { transfer: self, plan, target, journal, earlier, stages, warnings, started };
        let report = attempt.run(look);
        if let Err(failure) = &report
            && leaves_nothing(failure)
        {
            attempt.target.discard()?;
        }
        report
    }

    /// What would happen, without doing it.
    ///
    /// # Errors
    /// As [`run`](Self::run), as far as it can be known.
    pub fn plan(&self, look: &Look) -> Result<Plan, Failure> {
        plan(&Facts {
            has_ranges: self.source.has_ranges(),
            len: self.source.len(),
            end_is_known: self.source.end_is_known(),
            accept_unknown_end: self.accept_unknown_end,
            compression: look.compression,
            format: look.format,
            has_checksum: self.checksum.is_some(),
        })
    }

    /// What a record must carry to be believed. Without a volume's and a source's identity nothing is.
    fn identity(&self, look: &Look, route: Route) -> Identity {
        let mut hasher = blake3::Hasher::new();
        let checksum = self.checksum.as_ref().map(ToString::to_string);
        let (compression, size) = (look.compression.map_or("none", |compression| compression.name()), self.target.size);
        let prealloc = self.target.preallocation.name();
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

/// Whether a failure says that what was written so far is worth nothing.
fn leaves_nothing(failure: &Failure) -> bool {
    matches!(failure.code().class(), Class::Image | Class::Verification) || failure.code() == Code::SourceChanged
}

impl Attempt<'_> {
    fn run(&mut self, look: Look) -> Result<ImportReport, Failure> {
        let (format, compression) = (look.format, look.compression);
        let resumed = self.earlier.as_ref().map_or(0, |record| record.done.bytes());
        let moved = self.route(look)?;
        let Moved { virtual_size, .. } = moved.0;
        let checked = self.check(&moved.0)?;
        self.transfer.progress.enter(Step::Finishing);
        let fingerprint = self.commit(moved)?;
        let progress = self.transfer.progress;
        Ok(ImportReport {
            schema: SCHEMA,
            target: self.target.path().display().to_string(),
            format: format.name(),
            compression: compression.map(|compression| compression.name()),
            route: self.plan.route.name(),
            virtual_size,
            fingerprint: fingerprint.to_string(),
            checksum: checked,
            fetched: progress.fetched.load(Ordering::Relaxed),
            written: progress.written.load(Ordering::Relaxed),
            resumed,
            seconds: self.started.elapsed().as_secs_f64(),
            bottleneck: self.stages.bottleneck(),
            stages: self.stages.report(),
            warnings: std::mem::take(&mut self.warnings),
        })
    }

    /// Moves the data; everything is on the target afterwards, and durable up to the last record.
    fn route(&mut self, look: Look) -> Result<(Moved, Builder), Failure> {
        let source = self.transfer.source;
        match (self.plan.route, source.len()) {
            (Route::Mapped, Some(len)) => {
                let map = look.map(source, len)?;
                self.mapped(map)
            }
            (Route::Hashed, Some(len)) => self.hashed(&look, len),
            _ => self.streamed(look),
        }
    }

    fn mapped(&mut self, map: Box<dyn formats::Map>) -> Result<(Moved, Builder), Failure> {
        let (size, max_encoded) = (map.virtual_size(), map.max_encoded());
        self.begin(Some(size))?;
        self.transfer.progress.total.store(size, Ordering::Relaxed);
        let fingerprint = Builder::new(size);
        let slot = slot_for(max_encoded);
        self.with_volume(&fingerprint, Order::Guest, slot, &Checkpoints::default(), |engine, volume| {
            mapped(engine, volume, Walker::new(map), max_encoded)
        })?;
        Ok((Moved { virtual_size: size, file: None, inner: None }, fingerprint))
    }

    fn hashed(&mut self, look: &Look, len: u64) -> Result<(Moved, Builder), Failure> {
        let Some(checksum) = &self.transfer.checksum else {
            return Err(Failure::new(Code::Internal, "the hashed route needs a checksum"));
        };
        loop {
            let map = look.map(self.transfer.source, len)?;
            let (size, max_encoded) = (map.virtual_size(), map.max_encoded());
            self.begin(Some(size))?;
            self.transfer.progress.total.store(len, Ordering::Relaxed);
            let from = self.earlier.as_ref().map(|record| record.checkpoint.clone()).unwrap_or_default();
            let checkpoints = Checkpoints::from(from.clone());
            let hashing = Hashing {
                algorithm: checksum.algorithm,
                head: look.image_head(),
                file_len: len,
                from: &from,
                checkpoints: &checkpoints,
            };
            let fingerprint = Builder::new(size);
            let mut outcome = None;
            self.with_volume(&fingerprint, Order::Host, slot_for(max_encoded), &checkpoints, |engine, volume| {
                outcome = Some(hashed(engine, volume, Walker::new(map), max_encoded, &hashing)?);
                Ok(())
            })?;
            match outcome {
                Some(Hashed::Digest(digest)) => {
                    return Ok((Moved { virtual_size: size, file: Some(digest), inner: None }, fingerprint));
                }
                Some(Hashed::CheckpointRefused) => {
                    self.warnings.push("The record of an earlier attempt does not fit the source; started over.".into());
                    self.earlier = None;
                }
                Some(Hashed::MapTooLarge) | None => {
                    let what = "the image's map is too large to be placed in the order of its file";
                    return Err(Failure::new(Code::ImageUnsupported, what).remedy("import without --checksum"));
                }
            }
        }
    }

    fn streamed(&mut self, look: Look) -> Result<(Moved, Builder), Failure> {
        let source = self.transfer.source;
        let (stream, decoder) = (look.stream(source)?, look.decoder(source)?);
        let known = stream.virtual_size();
        self.begin(known)?;
        self.transfer.progress.total.store(source.len().unwrap_or(0), Ordering::Relaxed);
        let algorithm = self.transfer.checksum.as_ref().map(|checksum| checksum.algorithm);
        let slot = slot_for(stream.max_encoded()).max(2 * stream.hold_back().next_multiple_of(SLOT));
        let flow = Flow { reader: look.into_reader(source)?, decoder, stream, algorithm };
        let mut fingerprint = Builder::new(known.unwrap_or(u64::MAX));
        let mut flowed = Flowed::default();
        self.with_volume(&fingerprint, Order::Host, slot, &Checkpoints::default(), |engine, volume| {
            flowed = streamed(engine, volume, flow)?;
            Ok(())
        })?;
        let Flowed { virtual_size, file, inner } = flowed;
        if known.is_none() {
            self.target.settle(virtual_size)?;
        }
        fingerprint.settle(virtual_size);
        Ok((Moved { virtual_size, file, inner }, fingerprint))
    }

    /// Prepares the target, unless an earlier attempt did. `image` is the disk's size, if it is known yet.
    fn begin(&mut self, image: Option<u64>) -> Result<(), Failure> {
        let progress = self.transfer.progress;
        if self.earlier.is_none() {
            progress.enter(Step::Preparing);
            let (nothing, start) = (Done::default(), Checkpoint::default());
            self.journal.store(&*self.target, Phase::Preparing, &nothing, &start)?;
            self.target.prepare(image, self.transfer.cancel, &mut self.warnings)?;
            self.target.sync()?;
            self.journal.store(&*self.target, Phase::Moving, &nothing, &start)?;
        }
        progress.enter(Step::Moving);
        Ok(())
    }

    /// Runs a route with everything it needs, and keeps the journal meanwhile.
    fn with_volume(
        &self,
        fingerprint: &Builder,
        order: Order,
        slot: usize,
        checkpoints: &Checkpoints,
        route: impl FnOnce(&Engine<'_>, &Volume<'_>) -> Result<(), Failure>,
    ) -> Result<(), Failure> {
        let Transfer { source, cancel, progress, rate, .. } = *self.transfer;
        let nothing = Done::default();
        let earlier = self.earlier.as_ref().map_or(&nothing, |record| &record.done);
        let tracker = Tracker::resume(earlier);
        let (stop, target, stages) = (Stop::new(), &*self.target, &self.stages);
        let (due, to_record) = crossbeam_channel::bounded(1);
        let pool = Pool::new((POOL / slot).max(4), slot)?;
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

    /// Compares the checksum with the digests of the file, of what was inside its compression, and at last of the disk:
    /// users paste any of the three.
    fn check(&self, moved: &Moved) -> Result<Option<ChecksumReport>, Failure> {
        let Some(checksum) = &self.transfer.checksum else { return Ok(None) };
        let matches = |digest: &Option<String>| digest.as_ref().is_some_and(|digest| checksum.matches(digest));
        let matched = if matches(&moved.file) {
            Checked::File
        } else if matches(&moved.inner) {
            Checked::Decompressed
        } else {
            let disk = self.digest_of_disk(checksum, moved.virtual_size)?;
            if !checksum.matches(&disk) {
                let seen = [("file", &moved.file), ("decompressed", &moved.inner), ("disk", &Some(disk))];
                let seen: Vec<_> =
                    seen.iter().filter_map(|(name, digest)| digest.as_ref().map(|digest| format!("{name} {digest}"))).collect();
                let what = format!("the checksum is {checksum}, and the source has: {}", seen.join(", "));
                return Err(Failure::new(Code::ChecksumMismatch, what).at(self.transfer.source.name()));
            }
            Checked::Disk
        };
        Ok(Some(ChecksumReport { expected: checksum.to_string(), matched }))
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

    fn commit(&self, (_, fingerprint): (Moved, Builder)) -> Result<Fingerprint, Failure> {
        let fingerprint = fingerprint.finish(&*self.target)?;
        let done = Done { watermark: u64::MAX, ..Done::default() };
        self.target.commit(&mut || self.journal.store(&*self.target, Phase::Finishing, &done, &Checkpoint::default()))?;
        Ok(fingerprint)
    }
}

/// Slot size for clusters of up to `max_encoded` bytes: a cluster that does not compress is stored plain, and its
/// descriptor can state at most twice its size.
fn slot_for(max_encoded: u64) -> usize {
    SLOT.max(NonZeroUsize::new(max_encoded as usize).map_or(0, |cluster| 2 * cluster.get() + SLOT / 2).next_multiple_of(SLOT))
}
