//! Showing a staged volume to its users.

use std::fs::{self, File};
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use super::{Access, Publication};
use crate::error::Error;
use crate::id::VolumeId;
use crate::loops::{self, Life, Loop};
use crate::mounts::{self, Mount};
use crate::pool::{Pool, key};

impl Pool {
    /// Shows a staged volume at a target.
    ///
    /// # Errors
    /// There is no such volume, it is not staged in this way, the target shows something else, the volume is published elsewhere
    /// although it must not be, or a system call fails.
    pub fn publish(&self, id: &VolumeId, wanted: &Publication) -> Result<(), Error> {
        let _hold = self.busy.own(key(id))?;
        self.volume(id)?;
        let disk = self.disk(id);
        let devices = loops::attached(id, &disk)?;
        let mounts = mounts::all()?;
        if wanted.alone {
            not_elsewhere(id, wanted, &devices, &mounts)?;
        }
        match wanted.access {
            Access::Block => publish_block(id, &disk, wanted, &devices, &mounts),
            Access::FileSystem { .. } => publish_folder(id, wanted, &devices, &mounts),
        }
    }

    /// Takes a volume away from `target` and removes the target; it is no failure if it is not there, or has been deleted meanwhile.
    ///
    /// # Errors
    /// The target shows something else or is in use, or a system call fails.
    pub fn unpublish(&self, id: &VolumeId, target: &Path) -> Result<(), Error> {
        let _hold = self.busy.own(key(id))?;
        let devices = loops::attached(id, &self.disk(id))?;
        let mounts = mounts::all()?;
        for mount in mounts.iter().filter(|mount| mount.point == target) {
            if !devices.iter().any(|device| is_of(mount, device)) {
                return Err(Error::TargetTaken { path: target.to_owned(), what: mount.root.display().to_string() });
            }
            mounts::remove(target)?;
        }
        remove_target(target)
    }
}

fn publish_block(
    id: &VolumeId,
    disk: &Path,
    wanted: &Publication,
    devices: &[Loop],
    mounts: &[Mount],
) -> Result<(), Error> {
    let find = |read_only| devices.iter().find(|device| device.is_lasting() && device.is_read_only() == read_only);
    let staged =
        find(false).ok_or_else(|| Error::precondition(id, "it is not staged as a block device; stage it first"))?;
    let attached;
    let device = match find(true) {
        _ if !wanted.read_only => staged,
        Some(device) => device,
        // A read-only mount of a device node still takes writes to the device, so the device itself has to refuse them.
        None => {
            attached = loops::attach(disk, &id.to_string(), true, Life::Lasting)?.0;
            &attached
        }
    };
    if let Some(present) = mounts::at(mounts, &wanted.target) {
        return if is_of(present, device) { Ok(()) } else { Err(taken(present)) };
    }
    File::options()
        .write(true)
        .create(true)
        .truncate(false)
        .open(&wanted.target)
        .map_err(Error::io("make", &wanted.target))?;
    mounts::bind(&device.path(), &wanted.target, false)
}

fn publish_folder(id: &VolumeId, wanted: &Publication, devices: &[Loop], mounts: &[Mount]) -> Result<(), Error> {
    let is_staged = |device: &&Loop| mounts::at(mounts, &wanted.staging).is_some_and(|at| at.device == device.device());
    let device = devices.iter().find(is_staged).ok_or_else(|| {
        Error::precondition(id, format!("it is not mounted at {}; stage it there first", wanted.staging.display()))
    })?;
    if let Some(present) = mounts::at(mounts, &wanted.target) {
        let is_same = present.device == device.device() && present.read_only == wanted.read_only;
        return if is_same { Ok(()) } else { Err(taken(present)) };
    }
    match fs::create_dir(&wanted.target) {
        Err(error) if error.kind() != ErrorKind::AlreadyExists => return Err(Error::io("make", &wanted.target)(error)),
        _ => {}
    }
    mounts::bind(&wanted.staging, &wanted.target, wanted.read_only)
}

fn not_elsewhere(id: &VolumeId, wanted: &Publication, devices: &[Loop], mounts: &[Mount]) -> Result<(), Error> {
    let is_elsewhere = |mount: &&Mount| {
        mount.point != wanted.target
            && mount.point != wanted.staging
            && devices.iter().any(|device| is_of(mount, device))
    };
    match mounts.iter().find(is_elsewhere) {
        None => Ok(()),
        Some(mount) => {
            let why = format!("its access mode allows one user, and it is published at {}", mount.point.display());
            Err(Error::precondition(id, why))
        }
    }
}

/// Whether `mount` shows the file system on `device`, or its node.
fn is_of(mount: &Mount, device: &Loop) -> bool {
    mount.device == device.device() || mounts::of_node(std::slice::from_ref(mount), device).len() == 1
}

fn taken(present: &Mount) -> Error {
    let mode = if present.read_only { "read-only" } else { "for writing" };
    Error::TargetTaken { path: present.point.clone(), what: format!("{} {mode}", present.root.display()) }
}

/// Removes an empty folder or file, and nothing that holds anything.
pub(super) fn remove_target(target: &Path) -> Result<(), Error> {
    let removed = match fs::symlink_metadata(target) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
        Err(error) => Err(error),
        Ok(found) if found.is_dir() => fs::remove_dir(target),
        Ok(found) if found.is_file() && found.len() == 0 => fs::remove_file(target),
        Ok(_) => {
            return Err(Error::TargetTaken { path: PathBuf::from(target), what: "a file with content".to_owned() });
        }
    };
    removed.map_err(Error::io("remove", target))
}
