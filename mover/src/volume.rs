//! The written side of a transfer: finds zeros, fingerprints, writes, and knows what is durable.
//!
//! ```text
//! bytes --zeros?--> leaves hashed --> fingerprint
//!            \----> runs of data  --> target.write --> tracker --(journal keeper)--> sync, record
//! ```

use std::collections::VecDeque;
use std::ops::Range;
use std::sync::atomic::Ordering;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use contract::Failure;
use crossbeam_channel::{Receiver, RecvTimeoutError, Sender};

use crate::fingerprint::{Builder, Hash, LEAF, ZERO, leaf};
use crate::journal::{Checkpoint, Journal, Phase};
use crate::parts::Part;
use crate::progress::Progress;
use crate::stage::Stages;
use crate::target::{Target, is_withheld};
use crate::tracker::{Done, Tracker};
use crate::zero::data_runs;

/// A record is written after this many bytes ...
const RECORD_BYTES: u64 = 32 << 20;
/// ... or this much time, whichever comes first.
const RECORD_TIME: Duration = Duration::from_secs(2);

/// What a plan goes through in ascending order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Order {
    /// Offsets on the disk.
    Guest,
    /// Offsets in the source's file.
    Host,
    /// Offsets in the stream inside the compression, if there is one.
    Stream,
}

impl Order {
    /// The part's positions in plan order.
    #[must_use]
    pub(crate) fn positions(self, part: &Part) -> Range<u64> {
        match self {
            Self::Guest => part.guest_range(),
            Self::Host | Self::Stream => part.host_range(),
        }
    }
}

/// A target being filled by one attempt.
pub(crate) struct Volume<'a> {
    /// The file or device.
    pub(crate) target: &'a dyn Target,
    /// Plan order.
    pub(crate) order: Order,
    /// What an earlier attempt had made durable.
    pub(crate) earlier: &'a Done,
    /// What is on the target now.
    pub(crate) tracker: &'a Tracker,
    /// Fingerprint in the making.
    pub(crate) fingerprint: &'a Builder,
    /// Time.
    pub(crate) stages: &'a Stages,
    /// Counts what is written, and how far it is.
    pub(crate) progress: &'a Progress,
    /// Told whenever a record is due.
    pub(crate) due: Sender<()>,
}

impl Volume<'_> {
    /// Puts consecutive disk bytes, the result of `parts`, on the target, unless an earlier attempt did; with `always`
    /// also then.
    ///
    /// # Errors
    /// The target refuses.
    pub(crate) fn put(&self, parts: &[Part], bytes: &[u8], always: bool) -> Result<(), Failure> {
        let Some(first) = parts.first() else { return Ok(()) };
        let guest = first.guest..first.guest + bytes.len() as u64;
        let runs = self.stages.decode.work(|| {
            let runs: Vec<_> = data_runs(bytes).collect();
            self.fingerprint_leaves(&guest, bytes, &runs);
            runs
        });
        if always || self.must_write(parts, &guest) {
            self.stages.write.work(|| self.write(guest.start, bytes, &runs))?;
        }
        Ok(())
    }

    /// Marks parts done that were counted as work. Returns the windows that were thereby completed.
    pub(crate) fn finish(&self, parts: &[Part]) -> Vec<u64> {
        let completed: Vec<_> =
            parts.iter().filter_map(|part| self.tracker.finish(&self.order.positions(part))).collect();
        // On the streamed route the source's own offsets are what is shown. Elsewhere what is done in open windows counts, too: a
        // disk of one window would stand at nothing until its end.
        if self.order != Order::Stream {
            self.progress.reach(self.tracker.reached());
        }
        completed
    }

    /// What an earlier attempt wrote is there; what was withheld then is not.
    fn must_write(&self, parts: &[Part], guest: &Range<u64>) -> bool {
        let durable = parts.iter().all(|part| self.earlier.covers(&self.order.positions(part)));
        !durable || is_withheld(self.target, guest)
    }

    fn write(&self, guest: u64, bytes: &[u8], runs: &[Range<usize>]) -> Result<(), Failure> {
        let mut written = 0;
        for run in runs {
            self.target.write(guest + run.start as u64, &bytes[run.clone()])?;
            written += run.len() as u64;
        }
        let before = self.progress.written.fetch_add(written, Ordering::Relaxed);
        if before / RECORD_BYTES != (before + written) / RECORD_BYTES {
            // A keeper that is still busy with the last record will look again afterwards.
            let _ = self.due.try_send(());
        }
        Ok(())
    }

    /// Hashes the leaves that `bytes` covers as a whole; `runs` says where `bytes` is not zero.
    fn fingerprint_leaves(&self, guest: &Range<u64>, bytes: &[u8], runs: &[Range<usize>]) {
        let mut hashes: Vec<Hash> = Vec::with_capacity(bytes.len() / LEAF as usize + 1);
        let mut first = None;
        let mut at = guest.start;
        let mut runs = runs.iter().peekable();
        while at < guest.end {
            let end = ((at / LEAF + 1) * LEAF).min(guest.end);
            let within = (at - guest.start) as usize..(end - guest.start) as usize;
            while runs.next_if(|run| run.end <= within.start).is_some() {}
            if self.fingerprint.is_whole_leaf(&(at..end)) {
                first.get_or_insert(at / LEAF);
                let is_data = runs.peek().is_some_and(|run| run.start < within.end);
                hashes.push(if is_data { leaf(&bytes[within]) } else { ZERO });
            } else {
                self.fingerprint.expect(&(at..end));
            }
            at = end;
        }
        if let Some(first) = first {
            self.fingerprint.leaves(first, &hashes);
        }
    }
}

/// Writes records while an import runs.
pub(crate) struct Keeper<'a> {
    /// Where records go.
    pub(crate) journal: &'a Journal,
    /// What is recorded.
    pub(crate) target: &'a dyn Target,
    /// What is on the target.
    pub(crate) tracker: &'a Tracker,
    /// States from which a source that is read in order can be taken up; empty for other sources.
    pub(crate) checkpoints: &'a Checkpoints,
    /// Time.
    pub(crate) stages: &'a Stages,
}

impl Keeper<'_> {
    /// Keeps records until `due` is closed.
    ///
    /// # Errors
    /// The target could not store data or record. This is final: a later sync that succeeds proves nothing.
    pub(crate) fn run(&self, due: &Receiver<()>) -> Result<(), Failure> {
        self.stages.sync.enter();
        loop {
            match self.stages.sync.wait(|| due.recv_timeout(RECORD_TIME)) {
                Ok(()) | Err(RecvTimeoutError::Timeout) => self.record()?,
                Err(RecvTimeoutError::Disconnected) => return Ok(()),
            }
        }
    }

    /// Makes durable what is on the target now, and records it.
    ///
    /// # Errors
    /// As [`run`](Self::run).
    pub(crate) fn record(&self) -> Result<(), Failure> {
        // What is noted must be noted before the sync that makes it durable.
        let done = self.tracker.done();
        let checkpoint = self.checkpoints.below(done.watermark);
        self.stages.sync.work(|| {
            self.target.sync()?;
            self.journal.store(self.target, Phase::Moving, &done, &checkpoint)
        })
    }
}

/// Checkpoints that were passed, of which a record takes the newest whose data is all on the target.
#[derive(Default)]
pub(crate) struct Checkpoints(Mutex<VecDeque<Checkpoint>>);

impl Checkpoints {
    /// Begins at `first`.
    #[must_use]
    pub(crate) fn from(first: Checkpoint) -> Self {
        Self(Mutex::new(VecDeque::from([first])))
    }

    /// Notes a checkpoint; positions ascend.
    pub(crate) fn push(&self, checkpoint: Checkpoint) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push_back(checkpoint);
    }

    /// The newest checkpoint whose position is at most `position`; older ones are forgotten.
    pub(crate) fn below(&self, position: u64) -> Checkpoint {
        let mut passed = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        while passed.get(1).is_some_and(|next| next.position <= position) {
            passed.pop_front();
        }
        passed.front().filter(|first| first.position <= position).cloned().unwrap_or_default()
    }
}
