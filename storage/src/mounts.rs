//! Mounts: making and removing them, and finding again what is mounted, in `/proc/self/mountinfo`.

use std::fs;
use std::os::unix::ffi::OsStringExt;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::fs::{CWD, makedev};
use rustix::io::Errno;
use rustix::mount::{
    FsMountFlags, FsOpenFlags, MountAttrFlags, MoveMountFlags, OpenTreeFlags, UnmountFlags, fsconfig_create,
    fsconfig_set_flag, fsconfig_set_string, fsmount, fsopen, move_mount, open_tree, unmount,
};

use crate::error::Error;
use crate::ioctl;
use crate::loops::Loop;

/// One line of mountinfo.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Mount {
    /// Device number of the file system.
    pub(crate) device: u64,
    /// What of that file system is shown.
    pub(crate) root: PathBuf,
    /// Where.
    pub(crate) point: PathBuf,
    /// Whether this mount takes no writes.
    pub(crate) read_only: bool,
}

/// All mounts of this namespace, the later ones over the earlier ones.
pub(crate) fn all() -> Result<Vec<Mount>, Error> {
    let path = Path::new("/proc/self/mountinfo");
    let text = fs::read(path).map_err(Error::io("read", path))?;
    Ok(text.split(|&byte| byte == b'\n').filter_map(parse).collect())
}

/// Mounts of the file system on block device `device`.
pub(crate) fn of_device(mounts: &[Mount], device: u64) -> Vec<&Mount> {
    mounts.iter().filter(|mount| mount.device == device).collect()
}

/// One of them that can be reached; a covered one shows another file system.
pub(crate) fn reachable<'a>(mounts: &'a [Mount], device: &Loop) -> Option<&'a Mount> {
    of_device(mounts, device.device())
        .into_iter()
        .find(|mount| fs::metadata(&mount.point).is_ok_and(|found| found.dev() == device.device()))
}

/// Mounts that show the node of `device` itself: published block volumes.
pub(crate) fn of_node<'a>(mounts: &'a [Mount], device: &Loop) -> Vec<&'a Mount> {
    let name = device.name();
    let has_name = |mount: &&Mount| mount.root.file_name().is_some_and(|found| found == name.as_str());
    mounts.iter().filter(has_name).filter(|mount| shows(&mount.point, device.device())).collect()
}

/// Whether `path` is the node of block device `device`.
pub(crate) fn shows(path: &Path, device: u64) -> bool {
    fs::metadata(path).is_ok_and(|found| found.file_type().is_block_device() && found.rdev() == device)
}

/// The topmost mount at `point`.
pub(crate) fn at<'a>(mounts: &'a [Mount], point: &Path) -> Option<&'a Mount> {
    mounts.iter().rev().find(|mount| mount.point == point)
}

/// proc_pid_mountinfo(5): id, parent, major:minor, root, mount point, options, ...
fn parse(line: &[u8]) -> Option<Mount> {
    let mut fields = line.split(|&byte| byte == b' ').skip(2);
    let (major, minor) = std::str::from_utf8(fields.next()?).ok()?.split_once(':')?;
    let root = unescaped(fields.next()?);
    let point = unescaped(fields.next()?);
    let read_only = fields.next()?.split(|&byte| byte == b',').any(|option| option == b"ro");
    Some(Mount { device: makedev(major.parse().ok()?, minor.parse().ok()?), root, point, read_only })
}

/// Space, tab, line feed and backslash are written as three octal digits.
fn unescaped(field: &[u8]) -> PathBuf {
    let mut bytes = Vec::with_capacity(field.len());
    let mut rest = field;
    while let Some((&first, tail)) = rest.split_first() {
        let code = tail.get(..3).filter(|_| first == b'\\').and_then(|digits| std::str::from_utf8(digits).ok());
        match code.and_then(|digits| u8::from_str_radix(digits, 8).ok()) {
            Some(byte) => {
                bytes.push(byte);
                rest = &tail[3..];
            }
            None => {
                bytes.push(first);
                rest = tail;
            }
        }
    }
    std::ffi::OsString::from_vec(bytes).into()
}

/// Options that belong to the mount; all others go to the file system, which refuses what it does not know.
const ATTRIBUTES: &[(&str, MountAttrFlags)] = &[
    ("nosuid", MountAttrFlags::MOUNT_ATTR_NOSUID),
    ("nodev", MountAttrFlags::MOUNT_ATTR_NODEV),
    ("noexec", MountAttrFlags::MOUNT_ATTR_NOEXEC),
    ("noatime", MountAttrFlags::MOUNT_ATTR_NOATIME),
    ("nodiratime", MountAttrFlags::MOUNT_ATTR_NODIRATIME),
    ("relatime", MountAttrFlags::MOUNT_ATTR_RELATIME),
    ("strictatime", MountAttrFlags::MOUNT_ATTR_STRICTATIME),
];

/// Mounts the ext4 on `device` at `target` with mount(8)'s options.
pub(crate) fn mount_ext4(device: &Path, target: &Path, options: &[String]) -> Result<(), Error> {
    let failed = |error| Error::io("mount ext4 at", target)(error);
    let context = fsopen("ext4", FsOpenFlags::FSOPEN_CLOEXEC).map_err(failed)?;
    fsconfig_set_string(&context, "source", device).map_err(failed)?;
    let mut attributes = MountAttrFlags::empty();
    for option in options.iter().flat_map(|option| option.split(',')).filter(|option| !option.is_empty()) {
        if let Some((_, attribute)) = ATTRIBUTES.iter().find(|(name, _)| *name == option) {
            attributes |= *attribute;
            continue;
        }
        let set = match option.split_once('=') {
            Some((key, value)) => fsconfig_set_string(&context, key, value),
            None => fsconfig_set_flag(&context, option),
        };
        set.map_err(|errno| Error::Invalid {
            what: format!("mount option {option:?} ({errno})"),
            why: "is not one of ext4's; remove it from the storage class",
        })?;
        if option == "ro" {
            attributes |= MountAttrFlags::MOUNT_ATTR_RDONLY;
        }
    }
    fsconfig_create(&context).map_err(failed)?;
    let mount = fsmount(&context, FsMountFlags::FSMOUNT_CLOEXEC, attributes).map_err(failed)?;
    move_mount(&mount, "", CWD, target, MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH).map_err(failed)
}

/// Shows `source`, a folder or a device node, at `target` too. A read-only one is so from the beginning.
pub(crate) fn bind(source: &Path, target: &Path, read_only: bool) -> Result<(), Error> {
    let clone = OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC;
    let tree = open_tree(CWD, source, clone).map_err(Error::io("show", source))?;
    if read_only {
        ioctl::make_mount_read_only(&tree).map_err(Error::io("make read-only", target))?;
    }
    move_mount(&tree, "", CWD, target, MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH).map_err(Error::io("bind to", target))
}

/// Removes the topmost mount at `target`. A process that is just ending may hold it for a moment, which is waited for.
pub(crate) fn remove(target: &Path) -> Result<(), Error> {
    let mut attempts = 0;
    loop {
        attempts += 1;
        match unmount(target, UnmountFlags::NOFOLLOW) {
            Err(Errno::BUSY) if attempts < ATTEMPTS => std::thread::sleep(PAUSE),
            result => return result.map_err(Error::io("unmount", target)),
        }
    }
}

/// Half a second in all.
const ATTEMPTS: u32 = 25;
const PAUSE: Duration = Duration::from_millis(20);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_of_mountinfo_is_read_with_its_escapes() {
        let line = br"36 35 7:12 /a\040b /mnt/c\134d ro,noatime shared:1 - ext4 /dev/loop12 rw,discard";
        let mount = parse(line).unwrap();
        assert_eq!(mount.device, makedev(7, 12));
        assert_eq!((mount.root, mount.point), ("/a b".into(), r"/mnt/c\d".into()));
        assert!(mount.read_only);
        assert!(parse(b"").is_none() && parse(b"36 35").is_none());
    }

    #[test]
    fn the_mounts_of_this_process_are_found() {
        let mounts = all().unwrap();
        assert!(at(&mounts, Path::new("/proc")).is_some());
        assert!(at(&mounts, Path::new("/proc/self")).is_none());
    }
}
