//! What a running transfer shows: counters that anybody may read at any time.

use std::ops::Deref;
use std::sync::atomic::{AtomicU8, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use contract::Failure;
use serde::{Deserialize, Serialize};

/// What a transfer is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Step {
    /// Looking at the source and the target.
    Opening,
    /// Sizing and zeroing the target.
    Preparing,
    /// Moving data.
    Moving,
    /// Reading the disk back for a checksum that covers neither file nor stream.
    Checking,
    /// Making everything durable and visible.
    Finishing,
}

impl Step {
    const ALL: [Self; 5] = [Self::Opening, Self::Preparing, Self::Moving, Self::Checking, Self::Finishing];

    /// The word a progress bar shows.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Opening => "opening",
            Self::Preparing => "preparing",
            Self::Moving => "importing",
            Self::Checking => "checking",
            Self::Finishing => "finishing",
        }
    }
}

/// Progress of one attempt; clones are the same one.
#[derive(Clone, Debug, Default)]
pub struct Progress(Arc<Counters>);

/// The counters of a [`Progress`]. They grow only.
#[derive(Debug, Default)]
pub struct Counters {
    step: AtomicU8,
    /// Number of the attempt, from 1; 0 while unknown.
    pub attempt: AtomicU32,
    /// Length of the way, in the unit of `at`; 0 while unknown.
    pub total: AtomicU64,
    /// How far: disk bytes on the mapped route, file bytes on the others.
    pub at: AtomicU64,
    /// Bytes fetched from the source.
    pub fetched: AtomicU64,
    /// Bytes written to the target.
    pub written: AtomicU64,
    trouble: Mutex<Option<Failure>>,
}

/// The counters at one moment, as one process tells them another.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Snapshot {
    step: u8,
    attempt: u32,
    total: u64,
    at: u64,
    fetched: u64,
    written: u64,
    trouble: Option<Failure>,
}

impl Deref for Progress {
    type Target = Counters;

    fn deref(&self) -> &Counters {
        &self.0
    }
}

impl Counters {
    /// What the transfer is doing now.
    #[must_use]
    pub fn step(&self) -> Step {
        Step::ALL[usize::from(self.step.load(Ordering::Relaxed)).min(Step::ALL.len() - 1)]
    }

    /// Says what comes next.
    pub fn enter(&self, step: Step) {
        self.step.store(step as u8, Ordering::Relaxed);
    }

    /// Says how far it is; never goes back.
    pub fn reach(&self, at: u64) {
        self.at.fetch_max(at, Ordering::Relaxed);
    }

    /// What to tell the process that shows the progress. A trouble is told once.
    #[must_use]
    pub fn snapshot(&self) -> Snapshot {
        let load = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        Snapshot {
            step: self.step.load(Ordering::Relaxed),
            attempt: self.attempt.load(Ordering::Relaxed),
            total: load(&self.total),
            at: load(&self.at),
            fetched: load(&self.fetched),
            written: load(&self.written),
            trouble: self.trouble.lock().unwrap_or_else(PoisonError::into_inner).take(),
        }
    }

    /// Takes over what another process told.
    pub fn follow(&self, told: &Snapshot) {
        let Snapshot { step, attempt, total, at, fetched, written, trouble } = told;
        self.step.store(*step, Ordering::Relaxed);
        self.attempt.store(*attempt, Ordering::Relaxed);
        for (counter, value) in
            [(&self.total, total), (&self.at, at), (&self.fetched, fetched), (&self.written, written)]
        {
            counter.store(*value, Ordering::Relaxed);
        }
        trouble.iter().for_each(|failure| self.troubled(failure));
    }

    /// Says what went wrong and is tried again.
    pub fn troubled(&self, failure: &Failure) {
        *self.trouble.lock().unwrap_or_else(PoisonError::into_inner) = Some(failure.clone());
    }

    /// The last trouble that was got over, if there was any.
    #[must_use]
    pub fn trouble(&self) -> Option<Failure> {
        self.trouble.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}
