//! What a volume in use reports: space, health, and taking over a new size.

use std::collections::BTreeMap;
use std::path::Path;
use std::{fs, slice};

use rustix::fs::statvfs;

use crate::content;
use crate::error::Error;
use crate::ext4;
use crate::id::VolumeId;
use crate::loops::{self, Loop};
use crate::mounts;
use crate::pool::{Pool, key};

/// Space of a volume as its user sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Usage {
    /// Bytes in all.
    pub total: u64,
    /// Bytes in use; of a block volume, those that take space in the pool.
    pub used: u64,
    /// Bytes left.
    pub available: u64,
    /// The same of inodes; nothing for a block volume.
    pub inodes: Option<[u64; 3]>,
}

impl Pool {
    /// Space of a volume that is published or staged at `path`.
    ///
    /// # Errors
    /// There is no such volume or path, or the volume is not there.
    pub fn usage(&self, id: &VolumeId, path: &Path) -> Result<Usage, Error> {
        let volume = self.volume(id)?;
        let not_there = || Error::NotFound { what: "volume at this path:", id: path.display().to_string() };
        let found = fs::metadata(path).map_err(|_| not_there())?;
        let disk = self.disk(id);
        let devices = loops::attached(id, &disk)?;
        if devices.iter().any(|device| mounts::shows(path, device.device())) {
            let used = content::allocated(&disk)?.min(volume.size);
            return Ok(Usage { total: volume.size, used, available: volume.size - used, inodes: None });
        }
        if !devices.iter().any(|device| std::os::unix::fs::MetadataExt::dev(&found) == device.device()) {
            return Err(not_there());
        }
        let space = statvfs(path).map_err(Error::io("measure", path))?;
        let bytes = |blocks: u64| blocks.saturating_mul(space.f_frsize);
        Ok(Usage {
            total: bytes(space.f_blocks),
            used: bytes(space.f_blocks.saturating_sub(space.f_bfree)),
            available: bytes(space.f_bavail),
            inodes: Some([space.f_files, space.f_files.saturating_sub(space.f_ffree), space.f_favail]),
        })
    }

    /// What is wrong with a volume; nothing if it is well.
    ///
    /// # Errors
    /// There is no such volume, or the kernel cannot be asked.
    pub fn trouble(&self, id: &VolumeId) -> Result<Option<String>, Error> {
        self.known_disk(id)?;
        Ok(self.troubles(slice::from_ref(id))?.remove(id))
    }

    /// What is wrong with volumes; those that are well are left out. It asks the kernel once for all of them.
    ///
    /// # Errors
    /// The kernel cannot be asked.
    pub fn troubles(&self, ids: &[VolumeId]) -> Result<BTreeMap<VolumeId, String>, Error> {
        let mut found = BTreeMap::new();
        if self.capacity()?.is_nearly_full() {
            let why = format!("its pool {} is nearly full: writes will soon fail", self.root().display());
            found.extend(ids.iter().map(|id| (id.clone(), why.clone())));
        }
        for (id, device) in loops::of_volumes(|id| ids.contains(id).then(|| self.known_disk(id).ok()).flatten())? {
            if let Some(trouble) = trouble_of(&device) {
                found.insert(id, trouble);
            }
        }
        for id in ids {
            if let Err(error @ Error::Damaged { .. }) = self.volume(id) {
                found.insert(id.clone(), error.to_string());
            }
        }
        Ok(found)
    }

    /// Lets a mounted file system use all of its volume after [`Pool::grow`]; returns the volume's size. A block volume needs
    /// nothing.
    ///
    /// # Errors
    /// There is no such volume, or growing fails.
    pub fn grow_file_system(&self, id: &VolumeId) -> Result<u64, Error> {
        let _hold = self.busy.own(key(id))?;
        let volume = self.volume(id)?;
        for device in loops::attached(id, &self.disk(id))? {
            device.update_capacity()?;
            if !device.is_lasting() && mounts::reachable(&mounts::all()?, &device).is_some() {
                ext4::grow(&device)?;
            }
        }
        Ok(volume.size)
    }
}

fn trouble_of(device: &Loop) -> Option<String> {
    let errors = ext4::errors(&device.name());
    if errors > 0 {
        return Some(format!(
            "the kernel has met {errors} errors in its file system; stop its user, so that it is checked when it is next staged"
        ));
    }
    let path = device.path();
    (!device.is_direct()).then(|| {
        format!(
            "{} has no direct I/O, which its pool's file system does not offer: data is cached twice",
            path.display()
        )
    })
}
