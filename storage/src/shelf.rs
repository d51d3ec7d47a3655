//! All volumes, or all snapshots: one folder each, with a state file and a disk, and their index in memory.
//!
//! ```text
//! volumes/vol-…/state      what it is (record.rs)
//! volumes/vol-…/disk       its bytes, sparse
//! ```
//! A folder is made elsewhere and moved here when it is whole, and moved away before it is removed, so what is here is
//! whole. The index is read once, when the pool is opened; nobody else writes here.

use std::collections::{BTreeMap, HashMap};
use std::fs;
use std::path::{Path, PathBuf};

use crate::error::Error;
use crate::id::{Identifier, Name};
use crate::record::{self, Record};

/// Name of the state file.
pub(crate) const STATE: &str = "state";
/// Name of the disk.
pub(crate) const DISK: &str = "disk";

/// The index.
#[derive(Debug)]
pub(crate) struct Shelf<R: Record> {
    folder: PathBuf,
    records: BTreeMap<R::Id, R>,
    ids: HashMap<String, R::Id>,
    damaged: BTreeMap<R::Id, Damage>,
}

/// Something that cannot be used, and is neither touched nor forgotten.
#[derive(Debug)]
struct Damage {
    path: PathBuf,
    why: String,
    /// The length of its disk still counts as promised.
    promised: u64,
}

impl<R: Record> Shelf<R> {
    /// Reads all that is in `folder`. What is not ours is left alone and named in `foreign`.
    pub(crate) fn load(folder: PathBuf, foreign: &mut Vec<PathBuf>) -> Result<Self, Error> {
        let mut shelf = Self { records: BTreeMap::new(), ids: HashMap::new(), damaged: BTreeMap::new(), folder };
        for entry in fs::read_dir(&shelf.folder).map_err(Error::io("list", &shelf.folder))? {
            let path = entry.map_err(Error::io("list", &shelf.folder))?.path();
            match path.file_name().and_then(|name| name.to_str()).and_then(R::Id::parse) {
                Some(id) => shelf.load_one(&path, id),
                None => foreign.push(path),
            }
        }
        Ok(shelf)
    }

    fn load_one(&mut self, path: &Path, id: R::Id) {
        match sound::<R>(path, &id) {
            Ok(record) => self.insert(record),
            Err((path, why)) => {
                let promised = fs::metadata(self.disk(&id)).map_or(0, |disk| disk.len());
                self.damaged.insert(id, Damage { path, why, promised });
            }
        }
    }

    /// The folder of `id`.
    pub(crate) fn folder(&self, id: &R::Id) -> PathBuf {
        self.folder.join(id.as_str())
    }

    /// The disk of `id`.
    pub(crate) fn disk(&self, id: &R::Id) -> PathBuf {
        self.folder(id).join(DISK)
    }

    /// The record of `id`.
    pub(crate) fn get(&self, id: &R::Id) -> Result<&R, Error> {
        if let Some(damage) = self.damaged.get(id) {
            return Err(damage.error());
        }
        self.records.get(id).ok_or_else(|| Error::NotFound { what: R::Id::WHAT, id: id.to_string() })
    }

    /// Whether `id` is here, sound or damaged.
    pub(crate) fn holds(&self, id: &R::Id) -> bool {
        self.records.contains_key(id) || self.damaged.contains_key(id)
    }

    /// The record called `name`.
    ///
    /// A damaged one that may have had this name is an error: making a second, empty one would hide the loss.
    pub(crate) fn named(&self, name: &Name) -> Result<Option<&R>, Error> {
        if let Some((_, damage)) = self.damaged.iter().find(|(id, _)| id.may_be_of(name)) {
            return Err(damage.error());
        }
        Ok(self.ids.get(name.as_str()).and_then(|id| self.records.get(id)))
    }

    /// Records in the order of their identifiers, those behind `after`.
    pub(crate) fn behind(&self, after: Option<&R::Id>) -> impl Iterator<Item = &R> {
        use std::ops::Bound::{Excluded, Unbounded};
        self.records.range((after.map_or(Unbounded, Excluded), Unbounded)).map(|(_, record)| record)
    }

    /// Adds a record or replaces the one of the same identifier.
    pub(crate) fn insert(&mut self, record: R) {
        self.ids.insert(record.name().as_str().to_owned(), record.id().clone());
        self.records.insert(record.id().clone(), record);
    }

    /// Forgets a record.
    pub(crate) fn remove(&mut self, id: &R::Id) {
        if let Some(record) = self.records.remove(id) {
            self.ids.remove(record.name().as_str());
        }
    }

    /// How many there are, the damaged ones left out.
    pub(crate) fn len(&self) -> usize {
        self.records.len()
    }

    /// Bytes promised to all.
    pub(crate) fn promised(&self) -> u64 {
        let sound = self.records.values().map(Record::promised);
        sound.chain(self.damaged.values().map(|damage| damage.promised)).fold(0, u64::saturating_add)
    }

    /// What is wrong here, one line each.
    pub(crate) fn damages(&self) -> impl Iterator<Item = String> {
        self.damaged.values().map(|damage| damage.error().to_string())
    }
}

impl Damage {
    fn error(&self) -> Error {
        Error::Damaged { path: self.path.clone(), why: self.why.clone() }
    }
}

/// Reads and checks one folder; on failure says which file is wrong, and how.
fn sound<R: Record>(folder: &Path, id: &R::Id) -> Result<R, (PathBuf, String)> {
    let state = folder.join(STATE);
    let record: R = record::read(&state).map_err(|error| match error {
        Error::Damaged { path, why } => (path, why),
        other => (state.clone(), other.to_string()),
    })?;
    if record.id() != id {
        return Err((state, format!("belongs to {}", record.id())));
    }
    let disk = folder.join(DISK);
    match fs::symlink_metadata(&disk) {
        Ok(found) if !found.is_file() => Err((disk, "is not a regular file".to_owned())),
        Ok(found) if found.len() == record.size() || Some(found.len()) == record.grown_from() => Ok(record),
        Ok(found) => Err((disk, format!("has {} bytes; its state file says {}", found.len(), record.size()))),
        Err(error) => Err((disk, format!("cannot be read: {error}"))),
    }
}
