//! Writing so that it is on the disk when the call returns: sync the file, rename it, sync its folder.

use std::fs::{self, File};
use std::io::Write;
use std::path::Path;

use rustix::fs::{statfs, syncfs};

use crate::Error;

/// Makes the entries of `folder` durable.
pub(crate) fn sync_folder(folder: &Path) -> Result<(), Error> {
    File::open(folder).and_then(|file| file.sync_all()).map_err(Error::io("sync", folder))
}

/// Makes `folder` where it is missing, durably.
pub(crate) fn ensure_folder(folder: &Path) -> Result<(), Error> {
    match fs::create_dir(folder) {
        Ok(()) => folder.parent().map_or(Ok(()), sync_folder),
        Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists && folder.is_dir() => Ok(()),
        Err(error) => Err(Error::io("make the folder", folder)(error)),
    }
}

/// Replaces `path` by a file with `text`: a reader sees the old one or the new one, after a power loss too.
pub(crate) fn replace(path: &Path, text: &str) -> Result<(), Error> {
    let new = path.with_extension("new");
    let write = || {
        let mut file = File::create(&new)?;
        file.write_all(text.as_bytes())?;
        file.sync_all()
    };
    write().map_err(Error::io("write", &new))?;
    fs::rename(&new, path).map_err(Error::io("rename into place", path))?;
    path.parent().map_or(Ok(()), sync_folder)
}

/// Moves the folder `from` to `to`, durably. `to` exists afterwards with all that is in it, or does not.
pub(crate) fn move_folder(from: &Path, to: &Path) -> Result<(), Error> {
    fs::rename(from, to).map_err(Error::io("move into place", to))?;
    if is_btrfs(to)? {
        return settle(to);
    }
    for folder in [to.parent(), from.parent()].into_iter().flatten() {
        sync_folder(folder)?;
    }
    Ok(())
}

/// On btrfs, ends the transaction that is open on the file system of `path`; elsewhere nothing.
///
/// Folders that were moved and are then synced one by one come into the log of an unfinished transaction under both names. After a
/// power failure the kernel (6.18) refuses such a log, "invalid nlink: has 2 expect no more than 1 for dir", and with it the
/// whole file system. A finished transaction leaves no log.
pub(crate) fn settle(path: &Path) -> Result<(), Error> {
    if !is_btrfs(path)? {
        return Ok(());
    }
    let file = File::open(path).map_err(Error::io("open", path))?;
    syncfs(file).map_err(Error::io("sync the file system of", path))
}

fn is_btrfs(path: &Path) -> Result<bool, Error> {
    const MAGIC: i128 = 0x9123_683e;
    // The type of this field differs between processors and C libraries.
    let found = statfs(path).map_err(Error::io("look at the file system of", path))?;
    Ok(i128::from(found.f_type) == MAGIC)
}
