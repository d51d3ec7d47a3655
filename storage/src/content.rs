//! The bytes of a disk file: made sparse, shared with another file, or copied.

use std::fs::{self, File};
use std::path::Path;

use rustix::fs::{SeekFrom, copy_file_range, ioctl_ficlone, seek, statfs};
use rustix::io::Errno;

use crate::error::Error;

/// How one file gets the content of another on this file system.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Cloning {
    /// By sharing its blocks, at one point in time.
    Reflink,
    /// Byte by byte, while nobody may write.
    Copy,
}

/// Finds out by trying, since a file system's name does not tell (xfs and others may lack it), in the empty folder `scratch`.
pub(crate) fn probe(scratch: &Path) -> Result<Cloning, Error> {
    let [from, to] = ["from", "to"].map(|name| scratch.join(name));
    fs::write(&from, [1; 4096]).map_err(Error::io("write", &from))?;
    let source = File::open(&from).map_err(Error::io("open", &from))?;
    let target = File::create(&to).map_err(Error::io("write", &to))?;
    match ioctl_ficlone(&target, &source) {
        Ok(()) => Ok(Cloning::Reflink),
        Err(Errno::OPNOTSUPP | Errno::NOTTY | Errno::INVAL | Errno::NOSYS) => Ok(Cloning::Copy),
        Err(errno) => Err(Error::io("share blocks with", &to)(errno)),
    }
}

/// Gives the new, empty file `target` the content of `source`.
pub(crate) fn clone(cloning: Cloning, source: &File, target: &File, path: &Path) -> Result<(), Error> {
    match cloning {
        Cloning::Reflink => ioctl_ficlone(target, source).map_err(Error::io("share blocks with", path)),
        Cloning::Copy => copy(source, target).map_err(Error::io("copy into", path)),
    }
}

/// Copies data and leaves holes as holes.
fn copy(source: &File, target: &File) -> std::io::Result<()> {
    let length = source.metadata()?.len();
    target.set_len(length)?;
    let mut at = 0;
    while at < length {
        at = match seek(source, SeekFrom::Data(at)) {
            Ok(start) => start,
            Err(Errno::NXIO) => break,
            Err(errno) => return Err(errno.into()),
        };
        let end = seek(source, SeekFrom::Hole(at))?;
        copy_range(source, target, at, end)?;
        at = end;
    }
    Ok(())
}

fn copy_range(source: &File, target: &File, start: u64, end: u64) -> std::io::Result<()> {
    let (mut from, mut to) = (start, start);
    while from < end {
        let length = usize::try_from(end - from).unwrap_or(usize::MAX).min(64 << 20);
        if copy_file_range(source, Some(&mut from), target, Some(&mut to), length)? == 0 {
            return Err(std::io::ErrorKind::UnexpectedEof.into());
        }
    }
    Ok(())
}

/// Bytes that a file takes on the disk; shared ones count in each file.
pub(crate) fn allocated(path: &Path) -> Result<u64, Error> {
    use std::os::unix::fs::MetadataExt;
    Ok(fs::metadata(path).map_err(Error::io("look at", path))?.blocks() * 512)
}

/// Name of the file system of `folder`, for messages.
pub(crate) fn file_system_name(folder: &Path) -> String {
    match statfs(folder).map(|found| found.f_type) {
        Ok(0xef53) => "ext4".to_owned(),
        Ok(0x5846_5342) => "xfs without reflink".to_owned(),
        Ok(0x0102_1994) => "tmpfs".to_owned(),
        Ok(number) => format!("file system {number:#x}"),
        Err(errno) => format!("unknown file system ({errno})"),
    }
}
