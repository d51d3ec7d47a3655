//! Making, deleting and growing volumes.

use std::fs::File;
use std::path::PathBuf;

use super::making::{now, sync_disk};
use super::{Pool, key, open};
use crate::busy::Hold;
use crate::content::{self, Cloning};
use crate::error::Error;
use crate::id::{Name, VolumeId};
use crate::node::stage;
use crate::record::{self, FileSystem, Source, Volume};
use crate::shelf::STATE;
use crate::{ext4, loops};

/// Sizes are multiples of this, so that any sector size and any file system's block divides them.
const UNIT: u64 = 1 << 20;
/// The size of a volume for which none is asked.
const DEFAULT_SIZE: u64 = 1 << 30;

/// What a new volume shall be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewVolume {
    /// Its name; asking twice for one name gives one volume.
    pub name: Name,
    /// Bytes it has at least; 1 GiB, or its source's size, if nothing is asked.
    pub required: Option<u64>,
    /// Bytes it has at most.
    pub limit: Option<u64>,
    /// The file system on it.
    pub file_system: Option<FileSystem>,
    /// What it begins as.
    pub source: Option<Source>,
}

/// What a volume is made from, kept from changing meanwhile.
struct Origin {
    disk: PathBuf,
    size: u64,
    file_system: Option<FileSystem>,
    /// The volume, if it is one.
    volume: Option<VolumeId>,
    _hold: Option<Hold>,
}

impl Pool {
    /// Makes a volume, or finds the one that was made by the same request before.
    ///
    /// # Errors
    /// The name belongs to another volume, the size is out of range or more than is left, the source is missing or cannot be
    /// captured, or writing fails; then nothing is left behind.
    pub fn create(&self, wanted: &NewVolume) -> Result<Volume, Error> {
        let _hold = self.busy.own(&format!("volume {}", wanted.name))?;
        if let Some(found) = self.shelves().volumes.named(&wanted.name)? {
            return wanted.matched(found);
        }
        let origin = wanted.source.as_ref().map(|source| self.origin(source)).transpose()?;
        let size = wanted.size(origin.as_ref())?;
        let _reservation = self.reserve(size)?;
        let making = self.make::<Volume>(&wanted.name)?;
        let (file, path) = (making.new_disk()?, making.disk());
        if let Some(origin) = &origin {
            self.fill(origin, &file, &path)?;
        }
        file.set_len(size).map_err(Error::io("set the size of", &path))?;
        if origin.is_none() && wanted.file_system.is_some() {
            ext4::make(&path)?;
        }
        sync_disk(&file, &path)?;
        let volume = Volume {
            id: making.id().clone(),
            name: wanted.name.clone(),
            size,
            grown_from: None,
            file_system: origin.map_or(wanted.file_system, |origin| origin.file_system),
            source: wanted.source.clone(),
            created: now(),
        };
        self.commit(&making, volume)
    }

    /// Deletes a volume; it is no failure if there is none. Its snapshots and clones stay.
    ///
    /// One that nobody uses is detached first: a kubelet that ends after it has taken a volume from its pod and before it has
    /// unpublished or unstaged it does not remember it when it starts again (kubernetes/kubernetes#85476).
    ///
    /// # Errors
    /// Its file system is published, it is held open or damaged, or removing fails.
    pub fn delete(&self, id: &VolumeId) -> Result<(), Error> {
        let _hold = self.busy.own(key(id))?;
        match self.volume(id) {
            Err(Error::NotFound { .. }) => return Ok(()),
            other => other?,
        };
        stage::detach(id, &self.disk(id), None)?;
        self.discard::<Volume>(id)
    }

    /// Grows a volume to at least `required` and at most `limit` bytes, attached or not. It never shrinks.
    ///
    /// The file system on it is grown when it is next staged, or by [`Pool::grow_file_system`].
    ///
    /// # Errors
    /// There is no such volume, the size is out of range or more than is left, or writing fails.
    pub fn grow(&self, id: &VolumeId, required: u64, limit: Option<u64>) -> Result<Volume, Error> {
        let _hold = self.busy.own(key(id))?;
        let mut volume = self.volume(id)?;
        let disk = self.disk(id);
        let size = within(required.max(volume.size), UNIT, limit)?;
        if size > volume.size {
            let _reservation = self.reserve(size - volume.size)?;
            // The record first: a growth cut short is finished when the pool is opened, and its promise counts already.
            volume.grown_from = Some(std::fs::metadata(&disk).map_err(Error::io("look at", &disk))?.len());
            volume.size = size;
            record::write(&disk.with_file_name(STATE), &volume)?;
            open::set_length(&disk, size)?;
            self.shelves().volumes.insert(volume.clone());
        }
        for device in loops::attached(id, &disk)? {
            device.update_capacity()?;
        }
        Ok(volume)
    }

    /// Finds what a volume is made from.
    fn origin(&self, source: &Source) -> Result<Origin, Error> {
        match source {
            Source::Snapshot(id) => {
                let shelves = self.shelves();
                let snapshot = shelves.snapshots.get(id)?;
                Ok(Origin {
                    disk: shelves.snapshots.disk(id),
                    size: snapshot.size,
                    file_system: snapshot.file_system,
                    volume: None,
                    _hold: None,
                })
            }
            Source::Volume(id) => {
                // Shared, so that many clones can be made at once; attaching and deleting wait.
                let hold = self.busy.share(key(id))?;
                let volume = self.volume(id)?;
                Ok(Origin {
                    disk: self.disk(id),
                    size: volume.size,
                    file_system: volume.file_system,
                    volume: Some(volume.id),
                    _hold: Some(hold),
                })
            }
        }
    }

    fn fill(&self, origin: &Origin, file: &File, path: &std::path::Path) -> Result<(), Error> {
        match &origin.volume {
            Some(volume) => self.capture(volume, file, path),
            None => {
                let source = File::open(&origin.disk).map_err(Error::io("open", &origin.disk))?;
                content::clone(self.cloning, &source, file, path)
            }
        }
    }

    /// Gives `file` the content of a volume at one point in time.
    pub(super) fn capture(&self, id: &VolumeId, file: &File, path: &std::path::Path) -> Result<(), Error> {
        let disk = self.disk(id);
        let source = File::open(&disk).map_err(Error::io("open", &disk))?;
        let devices = loops::attached(id, &disk)?;
        if self.cloning == Cloning::Copy && devices.iter().any(|device| !device.is_read_only()) {
            return Err(self.not_point_in_time(id));
        }
        let _one_at_a_time = self.freezing.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let frozen = self.quiesce(id, &devices)?;
        content::clone(self.cloning, &source, file, path)?;
        frozen.into_iter().try_for_each(ext4::Frozen::thaw)
    }
}

impl NewVolume {
    /// The size it gets: what is asked for, rounded up.
    fn size(&self, origin: Option<&Origin>) -> Result<u64, Error> {
        let smallest = if self.file_system.is_some() { ext4::SMALLEST } else { UNIT };
        let Some(origin) = origin else {
            return within(
                self.required.unwrap_or(DEFAULT_SIZE.min(self.limit.unwrap_or(u64::MAX))),
                smallest,
                self.limit,
            );
        };
        if self.file_system.is_some() && origin.file_system.is_none() {
            let what = "a file-system volume".to_owned();
            return Err(Error::Invalid { what, why: "cannot be made from a block volume or its snapshot" });
        }
        let required = self.required.unwrap_or(origin.size);
        if required < origin.size {
            return Err(out_of_range(required, format!("is less than its source's {} bytes", origin.size)));
        }
        within(required, smallest, self.limit)
    }

    /// Whether `found`, which has this name, is what is asked for.
    fn matched(&self, found: &Volume) -> Result<Volume, Error> {
        let difference = if found.size < self.required.unwrap_or(0) || found.size > self.limit.unwrap_or(u64::MAX) {
            format!("{} bytes", found.size)
        } else if found.source != self.source {
            "another source".to_owned()
        } else if found.file_system != self.file_system && (found.source.is_none() || self.file_system.is_some()) {
            "another volume mode".to_owned()
        } else {
            return Ok(found.clone());
        };
        Err(Error::NameTaken { what: "volume", name: self.name.clone(), difference })
    }
}

/// `required`, or `smallest`, rounded up to whole units; an error if that is past `limit`.
fn within(required: u64, smallest: u64, limit: Option<u64>) -> Result<u64, Error> {
    let size = required
        .max(smallest)
        .checked_next_multiple_of(UNIT)
        .filter(|size| i64::try_from(*size).is_ok())
        .ok_or_else(|| out_of_range(required, "is more than any file can have".to_owned()))?;
    match limit {
        Some(limit) if size > limit => {
            Err(out_of_range(required, format!("rounds up to {size} bytes, above the limit of {limit}")))
        }
        _ => Ok(size),
    }
}

fn out_of_range(size: u64, why: String) -> Error {
    Error::OutOfRange { size, why }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_rounded_up_and_stay_within_the_limit() {
        assert_eq!(within(0, UNIT, None).unwrap(), UNIT);
        assert_eq!(within(UNIT + 1, UNIT, None).unwrap(), 2 * UNIT);
        assert_eq!(within(UNIT + 1, UNIT, Some(2 * UNIT)).unwrap(), 2 * UNIT);
        assert!(within(UNIT + 1, UNIT, Some(2 * UNIT - 1)).is_err());
        assert!(within(UNIT, ext4::SMALLEST, Some(2 * UNIT)).is_err());
        assert!(within(u64::MAX, UNIT, None).is_err());
    }
}
