//! Attaching and detaching.

use std::path::Path;
use std::time::Duration;

use super::Access;
use super::publish::remove_target;
use crate::error::Error;
use crate::ext4;
use crate::id::VolumeId;
use crate::loops::{self, Life, Loop};
use crate::mounts::{self, Mount};
use crate::pool::{Pool, key};
use crate::record::Volume;

impl Pool {
    /// Attaches a volume; a file system is checked, repaired where nothing is lost by it, and mounted at `staging`, a folder.
    ///
    /// # Errors
    /// There is no such volume, it is staged in another way, its file system needs a person, or a system call fails.
    pub fn stage(&self, id: &VolumeId, access: &Access, staging: &Path) -> Result<(), Error> {
        let _hold = self.busy.own(key(id))?;
        let volume = self.volume(id)?;
        let disk = self.disk(id);
        let devices = loops::attached(id, &disk)?;
        match access {
            Access::Block => stage_block(id, &disk, &devices),
            Access::FileSystem { options } => stage_file_system(&volume, &disk, &devices, staging, options),
        }
    }

    /// Unmounts and detaches a volume; it is no failure if it is not staged, or has been deleted meanwhile.
    ///
    /// # Errors
    /// It is still published, or a system call fails.
    pub fn unstage(&self, id: &VolumeId, staging: &Path) -> Result<(), Error> {
        let _hold = self.busy.own(key(id))?;
        detach(id, &self.disk(id), Some(staging))
    }
}

/// Unmounts and detaches the volume whose disk this is from where it was staged; `None` is wherever it is mounted, if that is one
/// place, and takes it from where its device is shown, too: a pod has a node of its own, and a device that is open stays.
pub(crate) fn detach(id: &VolumeId, disk: &Path, staging: Option<&Path>) -> Result<(), Error> {
    let mounts = mounts::all()?;
    for device in loops::attached(id, disk)? {
        let mounted = mounts::of_device(&mounts, device.device());
        let nodes = mounts::of_node(&mounts, &device);
        let place = staging.or_else(|| Some(mounted.first()?.point.as_path()));
        let users = if staging.is_some() { nodes.as_slice() } else { &[] };
        if let Some(other) = mounted.iter().chain(users).find(|mount| Some(mount.point.as_path()) != place) {
            let why = format!("it is still published at {}; unpublish it first", other.point.display());
            return Err(Error::precondition(id, why));
        }
        nodes.iter().try_for_each(|mount| mounts::remove(&mount.point).and_then(|()| remove_target(&mount.point)))?;
        // Mounted twice over, it is unmounted twice; then a device that is not lasting ends by itself.
        mounted.iter().try_for_each(|mount| mounts::remove(&mount.point))?;
        if device.is_lasting() {
            device.detach()?;
        }
    }
    gone(id, disk)
}

/// Waits for the kernel to let go of the devices: it does so at their last close, and others may look at a device for a moment.
fn gone(id: &VolumeId, disk: &Path) -> Result<(), Error> {
    for _ in 0..ATTEMPTS {
        if loops::attached(id, disk)?.is_empty() {
            return Ok(());
        }
        std::thread::sleep(PAUSE);
    }
    Err(Error::precondition(id, "its device is still held open by a process; end that one"))
}

/// Half a second in all.
const ATTEMPTS: u32 = 25;
const PAUSE: Duration = Duration::from_millis(20);

fn stage_block(id: &VolumeId, disk: &Path, devices: &[Loop]) -> Result<(), Error> {
    if let Some(device) = devices.iter().find(|device| !device.is_lasting()) {
        let why = format!("it is staged as a file system on {}; unstage it first", device.path().display());
        return Err(Error::precondition(id, why));
    }
    if !devices.iter().any(|device| !device.is_read_only()) {
        loops::attach(disk, &id.to_string(), false, Life::Lasting)?;
    }
    Ok(())
}

fn stage_file_system(
    volume: &Volume,
    disk: &Path,
    devices: &[Loop],
    staging: &Path,
    options: &[String],
) -> Result<(), Error> {
    let id = &volume.id;
    if volume.file_system.is_none() {
        return Err(Error::precondition(
            id,
            "it was made as a block volume and has no file system; publish it as a block device",
        ));
    }
    let mounts = mounts::all()?;
    let present = mounts::at(&mounts, staging);
    if let Some(device) = devices.first() {
        return staged_before(id, device, &mounts, present);
    }
    if let Some(other) = present {
        return Err(Error::TargetTaken { path: staging.to_owned(), what: other.root.display().to_string() });
    }
    // The open device keeps itself alive until the mount does.
    let (device, _open) = loops::attach(disk, &id.to_string(), false, Life::WhileOpen)?;
    ext4::check(&device)?;
    ext4::grow_unmounted(&device, volume.size)?;
    let discard = ["discard".to_owned()];
    mounts::mount_ext4(&device.path(), staging, &[&discard, options].concat())
}

/// Whether `device`, which is attached already, is what staging would have made.
fn staged_before(id: &VolumeId, device: &Loop, mounts: &[Mount], present: Option<&Mount>) -> Result<(), Error> {
    if device.is_lasting() {
        let why = format!("it is staged as a block device, {}; unstage it first", device.path().display());
        return Err(Error::precondition(id, why));
    }
    if present.is_some_and(|mount| mount.device == device.device()) {
        return Ok(());
    }
    match mounts::of_device(mounts, device.device()).first() {
        Some(elsewhere) => {
            let why = format!("it is staged at {}; unstage it there first", elsewhere.point.display());
            Err(Error::precondition(id, why))
        }
        // A check that outlived its caller, or another one's look at the device.
        None => Err(Error::Busy(id.to_string())),
    }
}
