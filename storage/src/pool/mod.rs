//! A pool: a folder of volumes and snapshots that one process works on.
//!
//! ```text
//! POOL/pool           says that this is a pool          POOL/lock        held while a process works on it
//! POOL/volumes/       see shelf.rs                      POOL/making/     being made; removed when the pool is opened
//! POOL/snapshots/                                       POOL/trash/      being removed; likewise
//! ```
//! Everything is made in `making` and comes to its shelf by one rename, which is its commit; it leaves by one rename to `trash`.

pub(crate) mod capacity;
mod making;
mod open;
mod snapshots;
mod volumes;

use std::fmt::Display;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::busy::Busy;
use crate::content::{self, Cloning};
use crate::error::Error;
use crate::id::{Identifier, SnapshotId, VolumeId};
use crate::pool::capacity::Others;
use crate::record::{Snapshot, Volume};
use crate::shelf::Shelf;

pub use volumes::NewVolume;

/// What a pool's user may choose.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Settings {
    /// Bytes promised for each byte of the pool. At 1.0 every promise can be kept at the same time.
    pub over_commit: f64,
}

impl Default for Settings {
    fn default() -> Self {
        Self { over_commit: 1.0 }
    }
}

/// An opened pool.
#[derive(Debug)]
pub struct Pool {
    root: PathBuf,
    settings: Settings,
    cloning: Cloning,
    shelves: Mutex<Shelves>,
    /// What is in the pool's folders and not ours.
    foreign: Vec<PathBuf>,
    pub(crate) busy: Busy,
    /// A file system can be frozen once only.
    freezing: Mutex<()>,
    others: Mutex<Option<Others>>,
    /// Locked for as long as the pool is open.
    _lock: File,
}

#[derive(Debug)]
struct Shelves {
    volumes: Shelf<Volume>,
    snapshots: Shelf<Snapshot>,
    /// Bytes for what is being made.
    reserved: u64,
}

impl Pool {
    /// Where it is.
    #[must_use]
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// Whether snapshots and clones share blocks, and can be made of attached volumes.
    #[must_use]
    pub fn shares_blocks(&self) -> bool {
        self.cloning == Cloning::Reflink
    }

    /// The volume `id`.
    ///
    /// # Errors
    /// There is none, or its state is damaged.
    pub fn volume(&self, id: &VolumeId) -> Result<Volume, Error> {
        self.shelves().volumes.get(id).cloned()
    }

    /// The snapshot `id`.
    ///
    /// # Errors
    /// As [`Pool::volume`].
    pub fn snapshot(&self, id: &SnapshotId) -> Result<Snapshot, Error> {
        self.shelves().snapshots.get(id).cloned()
    }

    /// At most `limit` volumes in the order of their identifiers, those behind `after`.
    #[must_use]
    pub fn volumes(&self, after: Option<&VolumeId>, limit: usize) -> Vec<Volume> {
        self.shelves().volumes.behind(after).take(limit).cloned().collect()
    }

    /// At most `limit` snapshots in the order of their identifiers, those behind `after`, all or those `of` one volume.
    #[must_use]
    pub fn snapshots(&self, of: Option<&VolumeId>, after: Option<&SnapshotId>, limit: usize) -> Vec<Snapshot> {
        let is_wanted = |snapshot: &&Snapshot| of.is_none_or(|volume| snapshot.volume == *volume);
        self.shelves().snapshots.behind(after).filter(is_wanted).take(limit).cloned().collect()
    }

    /// How many volumes and snapshots there are.
    #[must_use]
    pub fn counts(&self) -> (usize, usize) {
        let shelves = self.shelves();
        (shelves.volumes.len(), shelves.snapshots.len())
    }

    /// What needs a person, one line each: damaged state, foreign files, a pool that runs full.
    #[must_use]
    pub fn complaints(&self) -> Vec<String> {
        let mut complaints: Vec<String> = {
            let shelves = self.shelves();
            shelves.volumes.damages().chain(shelves.snapshots.damages()).collect()
        };
        complaints
            .extend(self.foreign.iter().map(|path| format!("{} is not Gantry's and is left alone", path.display())));
        match self.capacity() {
            Ok(capacity) if capacity.is_nearly_full() => complaints.push(format!(
                "{} has {} bytes free: writes to volumes will soon fail; delete volumes or snapshots, or enlarge it",
                self.root.display(),
                capacity.free
            )),
            Ok(_) => {}
            Err(error) => complaints.push(error.to_string()),
        }
        complaints
    }

    /// The disk of a volume that exists, damaged or not: its troubles are told even then.
    pub(crate) fn known_disk(&self, id: &VolumeId) -> Result<PathBuf, Error> {
        let shelves = self.shelves();
        if shelves.volumes.holds(id) {
            return Ok(shelves.volumes.disk(id));
        }
        Err(Error::NotFound { what: VolumeId::WHAT, id: id.to_string() })
    }

    /// The disk of a volume.
    pub(crate) fn disk(&self, id: &VolumeId) -> PathBuf {
        self.shelves().volumes.disk(id)
    }

    /// Why an attached volume cannot be captured here.
    fn not_point_in_time(&self, id: &impl Display) -> Error {
        Error::precondition(
            id,
            format!(
                "it is attached, and {} on {} cannot share blocks, so a copy would not be of one point in time; stop its \
                 user first, or use a pool on xfs or btrfs",
                self.root.display(),
                content::file_system_name(&self.root)
            ),
        )
    }

    fn shelves(&self) -> MutexGuard<'_, Shelves> {
        self.shelves.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn folder(&self, name: &str) -> PathBuf {
        self.root.join(name)
    }
}

/// The key under which an operation on `id` is announced.
pub(crate) fn key(id: &impl Identifier) -> &str {
    id.as_str()
}

const VOLUMES: &str = "volumes";
const SNAPSHOTS: &str = "snapshots";
const MAKING: &str = "making";
const TRASH: &str = "trash";
