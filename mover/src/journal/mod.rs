//! Remembers on the target itself what is durable, so that a killed import goes on.
//!
//! ```text
//! order:  data ... -> note what is done -> sync(target) -> record -> sync(record)      every 32 MiB or 2 s
//! place:  two blocks of 4 KiB, written alternately; the valid one with the higher sequence number counts
//! ```
//!
//! A record is believed only if it carries the volume's identity and the digest of the same plan; otherwise the import
//! starts over. `docs/decisions.md` says why the record holds no hashes of the data.

mod record;

pub use record::{Checkpoint, Phase, RECORD, Record, is_record};

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::sync::{Mutex, PoisonError};

use contract::Failure;

use crate::target::{Target, failed};
use crate::tracker::Done;

/// What a record must carry to be believed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Identity {
    /// The volume: in a pod its owner's uid, for the command a nonce in the user's state directory.
    pub volume: [u8; 32],
    /// Digest of the source's identity and of everything that decides where bytes go.
    pub plan: [u8; 32],
}

/// What an earlier attempt left on a target.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Earlier {
    /// Nothing that counts.
    Nothing,
    /// A record that is believed.
    Believed(Record),
    /// A record of data that another import put there.
    Foreign,
}

/// Writes the records of one attempt.
pub struct Journal {
    identity: Identity,
    /// Number of this attempt, from 1.
    pub attempt: u32,
    sequence: Mutex<u64>,
}

impl Journal {
    /// Reads the records of `target` and judges the newest one.
    ///
    /// # Errors
    /// The target cannot be read.
    pub fn open(identity: Identity, target: &dyn Target) -> Result<(Self, Earlier), Failure> {
        let records = [0, 1].map(|index| read(target.records(), index));
        let mut newest: Option<Record> = None;
        for record in records {
            let record = record.map_err(|error| failed("read the journal", target.path(), &error))?;
            if record.as_ref().map(|record| record.sequence) > newest.as_ref().map(|record| record.sequence) {
                newest = record;
            }
        }
        let is_ours = newest.as_ref().is_some_and(|record| record.identity == identity);
        let ours = newest.as_ref().filter(|_| is_ours);
        let attempt = ours.map_or(0, |record| record.attempt).saturating_add(1);
        // Numbers of others mean nothing: both blocks are overwritten before the first of ours counts.
        let sequence = Mutex::new(ours.map_or(0, |record| record.sequence));
        let earlier = match newest.filter(|record| record.phase != Phase::Preparing) {
            None => Earlier::Nothing,
            Some(record) if is_ours => Earlier::Believed(record),
            Some(_) => Earlier::Foreign,
        };
        Ok((Self { identity, attempt, sequence }, earlier))
    }

    /// Begins from nothing: both record blocks, and with them whatever they held before, are overwritten.
    ///
    /// # Errors
    /// The target refuses.
    pub fn begin(&self, target: &dyn Target) -> Result<(), Failure> {
        let (nothing, start) = (Done::default(), Checkpoint::default());
        self.store(target, Phase::Preparing, &nothing, &start)?;
        self.store(target, Phase::Preparing, &nothing, &start)
    }

    /// Stores one record and makes it durable.
    ///
    /// # Errors
    /// The target refuses; what was recorded before still holds.
    pub fn store(
        &self,
        target: &dyn Target,
        phase: Phase,
        done: &Done,
        checkpoint: &Checkpoint,
    ) -> Result<(), Failure> {
        let mut sequence = self.sequence.lock().unwrap_or_else(PoisonError::into_inner);
        *sequence += 1;
        let record = Record {
            identity: self.identity,
            sequence: *sequence,
            phase,
            attempt: self.attempt,
            done: done.clone(),
            checkpoint: checkpoint.clone(),
        };
        // The record that says "finishing" stands at 0: the block at 4 KiB is overwritten while it still counts.
        let index = if phase == Phase::Finishing { 0 } else { *sequence % 2 };
        let file = target.records();
        let stored = file.write_all_at(&record.encode(), index * RECORD as u64).and_then(|()| file.sync_data());
        stored.map_err(|error| failed("store the journal", target.path(), &error))
    }
}

/// Takes both records away, so that the next attempt begins from nothing and does not wonder whose they were.
///
/// # Errors
/// The target cannot store it.
pub fn forget(target: &dyn Target) -> Result<(), Failure> {
    let file = target.records();
    let stored = file.write_all_at(&[0; 2 * RECORD], 0).and_then(|()| file.sync_data());
    stored.map_err(|error| failed("empty the journal", target.path(), &error))
}

fn read(file: &File, index: u64) -> std::io::Result<Option<Record>> {
    let mut block = [0; RECORD];
    match file.read_exact_at(&mut block, index * RECORD as u64) {
        Ok(()) => Ok(Record::decode(&block)),
        Err(error) if error.kind() == std::io::ErrorKind::UnexpectedEof => Ok(None),
        Err(error) => Err(error),
    }
}
