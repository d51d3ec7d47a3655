//! Where a stream could be taken up: ends of a gzip member or a zstd frame, with the states of the digests there.
//!
//! ```text
//! decompressor --begin--> mark ---> file digest passes it ---\
//!                           \-----> stream and its digest ----+--> all known: a checkpoint
//! ```

use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};

use crate::checksum::{Algorithm, Hasher};
use crate::journal::Checkpoint;
use crate::volume::Checkpoints;

/// Number of a mark.
pub(super) type Mark = u64;

/// Who has to add something to a mark.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Part {
    /// Digest of what a device withholds, 32 bytes.
    Withheld,
    /// State of the digest over the compressed file; nothing without a checksum.
    File,
    /// State of the digest over the stream inside; nothing without a checksum.
    Inner,
}

/// Marks that are not complete yet.
pub(super) struct Marks<'a> {
    checkpoints: &'a Checkpoints,
    pending: Mutex<Pending>,
    /// Whether there are digests.
    digests: bool,
}

#[derive(Default)]
struct Pending {
    /// Number of the first mark in `marks`.
    first: Mark,
    marks: VecDeque<(Checkpoint, [Option<Vec<u8>>; 3])>,
}

impl<'a> Marks<'a> {
    /// Complete marks go to `checkpoints`.
    pub(super) fn new(checkpoints: &'a Checkpoints, digests: bool) -> Self {
        Self { checkpoints, pending: Mutex::default(), digests }
    }

    /// A new mark at `position` of the stream and `host` of the compressed file.
    pub(super) fn begin(&self, position: u64, host: u64) -> Mark {
        let mut pending = self.pending.lock().unwrap_or_else(PoisonError::into_inner);
        let nothing = (!self.digests).then(Vec::new);
        let checkpoint = Checkpoint { position, host, state: Vec::new() };
        pending.marks.push_back((checkpoint, [None, nothing.clone(), nothing]));
        pending.first + pending.marks.len() as u64 - 1
    }

    /// Adds one part. All parts of a mark are added in the order of the marks, so marks become complete in that order.
    pub(super) fn add(&self, mark: Mark, part: Part, state: Vec<u8>) {
        let mut pending = self.pending.lock().unwrap_or_else(PoisonError::into_inner);
        let index = (mark - pending.first) as usize;
        if let Some((_, parts)) = pending.marks.get_mut(index) {
            parts[part as usize] = Some(state);
        }
        while pending.marks.front().is_some_and(|(_, parts)| parts.iter().all(Option::is_some)) {
            let Some((mut checkpoint, parts)) = pending.marks.pop_front() else { break };
            pending.first += 1;
            checkpoint.state = parts.into_iter().flatten().flatten().collect();
            self.checkpoints.push(checkpoint);
        }
    }
}

/// A checkpoint's state, taken apart: digest of what was withheld, then the two hashers if there is a checksum.
pub(super) fn decode(checkpoint: &Checkpoint, algorithm: Option<Algorithm>) -> Option<([u8; 32], Option<[Hasher; 2]>)> {
    let (withheld, hashers) = checkpoint.state.split_first_chunk::<32>()?;
    let Some(algorithm) = algorithm else { return hashers.is_empty().then_some((*withheld, None)) };
    let (file, inner) = hashers.split_at(hashers.len() / 2);
    let hashers = [Hasher::restore(algorithm, file)?, Hasher::restore(algorithm, inner)?];
    Some((*withheld, Some(hashers)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mark_becomes_a_checkpoint_when_its_last_part_is_there() {
        let checkpoints = Checkpoints::default();
        let marks = Marks::new(&checkpoints, true);
        let hasher = |text: &str| {
            let mut hasher = Hasher::new(Algorithm::Sha512);
            hasher.update(text.as_bytes());
            hasher
        };
        let (first, second) = (marks.begin(100, 10), marks.begin(200, 20));
        for mark in [first, second] {
            marks.add(mark, Part::File, hasher("file").save());
            marks.add(mark, Part::Withheld, vec![7; 32]);
        }
        assert_eq!(checkpoints.below(u64::MAX), Checkpoint::default());
        marks.add(first, Part::Inner, hasher("inner").save());
        let checkpoint = checkpoints.below(u64::MAX);
        assert_eq!((checkpoint.position, checkpoint.host), (100, 10));
        let (withheld, hashers) = decode(&checkpoint, Some(Algorithm::Sha512)).unwrap();
        let [file, inner] = hashers.unwrap();
        assert_eq!((withheld, file.hex(), inner.hex()), ([7; 32], hasher("file").hex(), hasher("inner").hex()));
        assert!(decode(&checkpoint, None).is_none() && decode(&checkpoint, Some(Algorithm::Md5)).is_none());
    }

    #[test]
    fn without_a_checksum_only_the_withheld_bytes_are_waited_for() {
        let checkpoints = Checkpoints::default();
        let marks = Marks::new(&checkpoints, false);
        let mark = marks.begin(100, 10);
        marks.add(mark, Part::Withheld, vec![1; 32]);
        assert!(decode(&checkpoints.below(100), None).is_some());
        assert_eq!(checkpoints.below(99), Checkpoint::default());
    }
}
