//! Opening a pool: its mark and its lock, and tidying up after a killed process.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::sync::Mutex;

use rustix::fs::{FlockOperation, flock};
use serde::{Deserialize, Serialize};

use super::{MAKING, Pool, SNAPSHOTS, Settings, Shelves, TRASH, VOLUMES};
use crate::busy::Busy;
use crate::content;
use crate::durable::{ensure_folder, replace, settle};
use crate::error::Error;
use crate::id::{Identifier, SnapshotId, VolumeId};
use crate::record::{self, Volume};
use crate::shelf::Shelf;
use crate::{ext4, loops, mounts};

const MARK: &str = "pool";
const MAGIC: &str = "gantry-pool";
const LOCK: &str = "lock";

/// The content of the mark.
#[derive(Serialize, Deserialize)]
struct Mark {}

impl Pool {
    /// Opens the pool at `root`, which is made one if it is an empty folder.
    ///
    /// What a killed process left half-made or half-removed is removed, a growth that it began is finished, and a file system
    /// that it froze is thawed. Nothing else is changed; what is not understood is left alone and can be asked for by
    /// [`Pool::complaints`].
    ///
    /// # Errors
    /// It is no folder, neither empty nor a pool, of a newer format, or open in another process; or a system call fails.
    pub fn open(root: &Path, settings: Settings) -> Result<Self, Error> {
        let root = root.canonicalize().map_err(Error::io("find the pool", root))?;
        if !(settings.over_commit.is_finite() && settings.over_commit > 0.0) {
            let what = format!("over-commit ratio {}", settings.over_commit);
            return Err(Error::Invalid { what, why: "must be above 0" });
        }
        let mut foreign = Vec::new();
        mark(&root, &mut foreign)?;
        let lock = lock(&root)?;
        for name in [VOLUMES, SNAPSHOTS, MAKING, TRASH] {
            ensure_folder(&root.join(name))?;
        }
        for name in [MAKING, TRASH] {
            sweep(&root.join(name), &mut foreign)?;
        }
        let scratch = root.join(MAKING).join(PROBE);
        fs::create_dir(&scratch).map_err(Error::io("make the folder", &scratch))?;
        let cloning = content::probe(&scratch)?;
        fs::remove_dir_all(&scratch).map_err(Error::io("remove", &scratch))?;
        let volumes = Shelf::load(root.join(VOLUMES), &mut foreign)?;
        let snapshots = Shelf::load(root.join(SNAPSHOTS), &mut foreign)?;
        recover(&root, &volumes)?;
        // A killed process may have moved a folder and not got further.
        settle(&root)?;
        Ok(Self {
            root,
            settings,
            cloning,
            shelves: Mutex::new(Shelves { volumes, snapshots, reserved: 0 }),
            foreign,
            busy: Busy::default(),
            freezing: Mutex::new(()),
            others: Mutex::new(None),
            _lock: lock,
        })
    }
}

/// The folder in `making` where block sharing is tried.
const PROBE: &str = "probe";

/// Checks the pool's mark, or puts it on an empty folder.
fn mark(root: &Path, foreign: &mut Vec<PathBuf>) -> Result<(), Error> {
    let ours = [MARK, LOCK, VOLUMES, SNAPSHOTS, MAKING, TRASH, "lost+found", "pool.new"];
    let mut strangers = Vec::new();
    for entry in fs::read_dir(root).map_err(Error::io("list", root))? {
        let entry = entry.map_err(Error::io("list", root))?;
        if !ours.iter().any(|name| entry.file_name() == *name) {
            strangers.push(entry.path());
        }
    }
    let path = root.join(MARK);
    if path.exists() {
        foreign.append(&mut strangers);
        let text = record::text(&path)?;
        return match record::decode::<Mark>(MAGIC, &text) {
            Ok(Mark {}) => Ok(()),
            Err(why) => Err(Error::Damaged { path, why }),
        };
    }
    if let Some(stranger) = strangers.first() {
        let why = format!("is neither empty nor a pool (it has {}); name an empty folder", stranger.display());
        return Err(Error::Pool { path: root.to_owned(), why });
    }
    replace(&path, &record::encode(MAGIC, &Mark {}))
}

/// Keeps other processes out until it is dropped, by a kill too.
fn lock(root: &Path) -> Result<File, Error> {
    let path = root.join(LOCK);
    let file = File::create(&path).map_err(Error::io("make", &path))?;
    flock(&file, FlockOperation::NonBlockingLockExclusive).map_err(|_| Error::Pool {
        path: root.to_owned(),
        why: "is open in another process; stop that one first".to_owned(),
    })?;
    Ok(file)
}

/// Removes what an operation that never ended has left. What cannot be ours is left alone.
fn sweep(folder: &Path, foreign: &mut Vec<PathBuf>) -> Result<(), Error> {
    for entry in fs::read_dir(folder).map_err(Error::io("list", folder))? {
        let entry = entry.map_err(Error::io("list", folder))?;
        let (path, name) = (entry.path(), entry.file_name());
        let is_ours = name
            .to_str()
            .is_some_and(|name| name == PROBE || VolumeId::parse(name).is_some() || SnapshotId::parse(name).is_some());
        if is_ours {
            fs::remove_dir_all(&path).map_err(Error::io("remove", &path))?;
        } else {
            foreign.push(path);
        }
    }
    Ok(())
}

/// Finishes growths, thaws what is frozen, and lets go of deleted disks.
fn recover(root: &Path, volumes: &Shelf<Volume>) -> Result<(), Error> {
    let mounts = mounts::all()?;
    for volume in volumes.behind(None) {
        let disk = volumes.disk(&volume.id);
        let length = fs::metadata(&disk).map_err(Error::io("look at", &disk))?.len();
        if length != volume.size {
            set_length(&disk, volume.size)?;
        }
    }
    for (_, device) in loops::of_volumes(|id| volumes.get(id).is_ok().then(|| volumes.disk(id)))? {
        device.update_capacity()?;
        if let Some(mount) = mounts::reachable(&mounts, &device) {
            ext4::thaw(&mount.point)?;
        }
    }
    loops::detach_deleted(root)
}

/// Changes the length of a disk, durably.
pub(super) fn set_length(disk: &Path, size: u64) -> Result<(), Error> {
    let change = || {
        let file = File::options().write(true).open(disk)?;
        file.set_len(size)?;
        file.sync_all()
    };
    change().map_err(Error::io("change the length of", disk))
}
