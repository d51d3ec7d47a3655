//! Busy and waiting time of each stage, so that the bottleneck has a name.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use contract::{StageReport, Word};

/// Time spent in one stage, summed over its threads.
#[derive(Default)]
pub(crate) struct Stage {
    threads: AtomicUsize,
    busy: AtomicU64,
    waiting: AtomicU64,
}

impl Stage {
    /// Counts one more thread.
    pub(crate) fn enter(&self) {
        self.threads.fetch_add(1, Ordering::Relaxed);
    }

    /// Runs `work` and counts its time as busy.
    pub(crate) fn work<T>(&self, work: impl FnOnce() -> T) -> T {
        timed(&self.busy, work)
    }

    /// Runs `wait` and counts its time as waiting for another stage.
    pub(crate) fn wait<T>(&self, wait: impl FnOnce() -> T) -> T {
        timed(&self.waiting, wait)
    }

    fn report(&self, name: &'static str) -> StageReport {
        let seconds = |nanos: &AtomicU64| Duration::from_nanos(nanos.load(Ordering::Relaxed)).as_secs_f64();
        StageReport {
            name: name.into(),
            threads: self.threads.load(Ordering::Relaxed),
            busy: seconds(&self.busy),
            waiting: seconds(&self.waiting),
        }
    }
}

fn timed<T>(sum: &AtomicU64, work: impl FnOnce() -> T) -> T {
    let start = Instant::now();
    let result = work();
    sum.fetch_add(start.elapsed().as_nanos() as u64, Ordering::Relaxed);
    result
}

/// The stages every transfer has; those it does not use stay at zero.
#[derive(Default)]
pub(crate) struct Stages {
    /// Waiting for and copying the source's bytes.
    pub(crate) fetch: Stage,
    /// Undoing the compression around the file.
    pub(crate) decompress: Stage,
    /// Hashing for the checksum.
    pub(crate) checksum: Stage,
    /// Decoding clusters, finding zeros, fingerprinting.
    pub(crate) decode: Stage,
    /// Handing bytes to the kernel.
    pub(crate) write: Stage,
    /// Waiting for the device.
    pub(crate) sync: Stage,
}

impl Stages {
    /// Stages that did something, in the order data takes.
    #[must_use]
    pub(crate) fn report(&self) -> Vec<StageReport> {
        let named = [
            ("fetch", &self.fetch),
            ("decompress", &self.decompress),
            ("checksum", &self.checksum),
            ("decode", &self.decode),
            ("write", &self.write),
            ("sync", &self.sync),
        ];
        named.map(|(name, stage)| stage.report(name)).into_iter().filter(|stage| stage.busy > 0.0).collect()
    }

    /// The stage whose threads were busy for the largest share of their time.
    #[must_use]
    pub(crate) fn bottleneck(&self) -> Word {
        let share = |stage: &StageReport| stage.busy / stage.threads.max(1) as f64;
        let busiest = self.report().into_iter().max_by(|a, b| share(a).total_cmp(&share(b)));
        busiest.map_or("none".into(), |stage| stage.name)
    }
}
