//! Taking and deleting snapshots.

use super::making::{now, sync_disk};
use super::{Pool, key};
use crate::error::Error;
use crate::id::{Name, SnapshotId, VolumeId};
use crate::loops::Loop;
use crate::record::Snapshot;
use crate::{content, ext4, mounts};

impl Pool {
    /// Takes a snapshot of a volume as it is at one moment during this call, or finds the one taken by the same request before.
    ///
    /// A mounted file system is frozen for that moment, so the snapshot needs no repair. Of a block volume, everything is in it
    /// that was written when the call began; what its user still has in caches of his own is not.
    ///
    /// # Errors
    /// The name belongs to a snapshot of another volume, there is no such volume, not enough is left to promise, the volume is
    /// attached and blocks cannot be shared, or writing fails; then nothing is left behind.
    pub fn take_snapshot(&self, volume: &VolumeId, name: &Name) -> Result<Snapshot, Error> {
        let _hold = self.busy.own(&format!("snapshot {name}"))?;
        if let Some(found) = self.shelves().snapshots.named(name)? {
            if found.volume == *volume {
                return Ok(found.clone());
            }
            let difference = format!("{} as its volume", found.volume);
            return Err(Error::NameTaken { what: "snapshot", name: name.clone(), difference });
        }
        let _volume = self.busy.share(key(volume))?;
        let source = self.volume(volume)?;
        let _reservation = self.reserve(content::allocated(&self.disk(volume))?)?;
        let making = self.make::<Snapshot>(name)?;
        let (file, path) = (making.new_disk()?, making.disk());
        self.capture(volume, &file, &path)?;
        let created = now();
        sync_disk(&file, &path)?;
        let snapshot = Snapshot {
            id: making.id().clone(),
            name: name.clone(),
            volume: source.id,
            size: source.size,
            allocated: content::allocated(&path)?,
            file_system: source.file_system,
            created,
        };
        self.commit(&making, snapshot)
    }

    /// Deletes a snapshot; it is no failure if there is none. Volumes made from it stay.
    ///
    /// # Errors
    /// It is damaged, or removing fails.
    pub fn delete_snapshot(&self, id: &SnapshotId) -> Result<(), Error> {
        let _hold = self.busy.own(key(id))?;
        match self.snapshot(id) {
            Err(Error::NotFound { .. }) => Ok(()),
            Err(error) => Err(error),
            Ok(_) => self.discard::<Snapshot>(id),
        }
    }

    /// Brings what is written to `devices` into the disk file: mounted file systems are frozen, others' caches written out.
    pub(super) fn quiesce(&self, id: &VolumeId, devices: &[Loop]) -> Result<Vec<ext4::Frozen>, Error> {
        let mounts = mounts::all()?;
        let mut frozen = Vec::new();
        for device in devices.iter().filter(|device| !device.is_read_only()) {
            match mounts::reachable(&mounts, device) {
                Some(mount) => frozen.push(ext4::freeze(&mount.point)?),
                None if device.is_lasting() && mounts::of_device(&mounts, device.device()).is_empty() => {
                    device.flush()?;
                }
                None => {
                    let why = format!(
                        "it is mounted from {} where it cannot be seen, and so cannot be frozen; unmount it there",
                        device.path().display()
                    );
                    return Err(Error::precondition(id, why));
                }
            }
        }
        Ok(frozen)
    }
}
