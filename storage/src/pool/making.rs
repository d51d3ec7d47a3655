//! Something that is being made: a folder in `making`, until it is moved to its shelf.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use super::{MAKING, Pool, Shelves, TRASH};
use crate::durable::{move_folder, sync_folder};
use crate::error::Error;
use crate::id::{Identifier, Name};
use crate::record::{self, Record, Snapshot, Volume};
use crate::shelf::{DISK, STATE, Shelf};

/// Removed when dropped, unless it was committed.
#[derive(Debug)]
pub(super) struct Making<R: Record> {
    folder: PathBuf,
    id: R::Id,
}

/// A record's shelf.
pub(super) trait Shelved: Record {
    fn shelf(shelves: &mut Shelves) -> &mut Shelf<Self>;
}

impl Shelved for Volume {
    fn shelf(shelves: &mut Shelves) -> &mut Shelf<Self> {
        &mut shelves.volumes
    }
}

impl Shelved for Snapshot {
    fn shelf(shelves: &mut Shelves) -> &mut Shelf<Self> {
        &mut shelves.snapshots
    }
}

impl Pool {
    /// Begins to make something called `name`.
    pub(super) fn make<R: Shelved>(&self, name: &Name) -> Result<Making<R>, Error> {
        let id = R::Id::generate(name)?;
        let folder = self.folder(MAKING).join(id.as_str());
        fs::create_dir(&folder).map_err(Error::io("make the folder", &folder))?;
        Ok(Making { folder, id })
    }

    /// Puts what was made on its shelf. From its rename on it exists, and has all its bytes.
    pub(super) fn commit<R: Shelved>(&self, making: &Making<R>, record: R) -> Result<R, Error> {
        record::write(&making.folder.join(STATE), &record)?;
        let to = R::shelf(&mut self.shelves()).folder(record.id());
        if let Err(error) = move_folder(&making.folder, &to) {
            // It must not be there after a failure was reported; if even this fails, the next start finds it whole.
            let _ = fs::rename(&to, &making.folder);
            return Err(error);
        }
        R::shelf(&mut self.shelves()).insert(record.clone());
        Ok(record)
    }

    /// Takes something off its shelf, durably, and frees its space.
    pub(super) fn discard<R: Shelved>(&self, id: &R::Id) -> Result<(), Error> {
        let from = R::shelf(&mut self.shelves()).folder(id);
        let to = self.folder(TRASH).join(id.as_str());
        move_folder(&from, &to)?;
        R::shelf(&mut self.shelves()).remove(id);
        fs::remove_dir_all(&to).map_err(Error::io("remove", &to))
    }
}

impl<R: Record> Making<R> {
    /// Its identifier to be.
    pub(super) fn id(&self) -> &R::Id {
        &self.id
    }

    /// The path of its disk.
    pub(super) fn disk(&self) -> PathBuf {
        self.folder.join(DISK)
    }

    /// Makes its disk, empty.
    pub(super) fn new_disk(&self) -> Result<File, Error> {
        let path = self.disk();
        File::options().read(true).write(true).create_new(true).open(&path).map_err(Error::io("make", &path))
    }
}

impl<R: Record> Drop for Making<R> {
    fn drop(&mut self) {
        // Committed, it is no longer here; what cannot be removed now is removed at the next start.
        let _ = fs::remove_dir_all(&self.folder);
    }
}

/// Makes a disk's bytes and its entry durable.
pub(super) fn sync_disk(file: &File, path: &Path) -> Result<(), Error> {
    file.sync_all().map_err(Error::io("sync", path))?;
    path.parent().map_or(Ok(()), sync_folder)
}

/// Nanoseconds since 1970.
pub(super) fn now() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_nanos()).unwrap_or(u64::MAX)
}
