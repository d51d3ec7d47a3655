//! Loop devices: attaching a disk file, and finding again what is attached.
//!
//! A device is found by the end of its file's path in `/sys/block/loopN/loop/backing_file`, which holds the volume's identifier,
//! and is believed by the file's device and inode numbers: the beginning of that path is one of the mount namespace that attached
//! it, and a restarted container has another. Nothing is remembered between calls.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::os::fd::AsFd;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::fs::{AtFlags, Mode, OFlags, StatxFlags, makedev, statx};
use rustix::io::Errno;

use crate::error::Error;
use crate::id::{Identifier, VolumeId};
use crate::ioctl;
use crate::shelf::DISK;

const CONTROL: &str = "/dev/loop-control";
/// Major number of loop devices.
const MAJOR: u32 = 7;
/// Others on this machine may take the free device first.
const ATTEMPTS: u32 = 50;

/// How long a device lives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Life {
    /// Until it is detached.
    Lasting,
    /// Until its last close or unmount, so that a killed process leaves none behind.
    WhileOpen,
}

/// An attached loop device.
#[derive(Clone, Debug)]
pub(crate) struct Loop {
    number: u32,
    read_only: bool,
    life: Life,
    direct: bool,
}

impl Loop {
    /// `/dev/loopN`.
    pub(crate) fn path(&self) -> PathBuf {
        node(self.number)
    }

    /// Its device number.
    pub(crate) fn device(&self) -> u64 {
        makedev(MAJOR, self.number)
    }

    /// `loopN`.
    pub(crate) fn name(&self) -> String {
        format!("loop{}", self.number)
    }

    /// Whether it takes no writes.
    pub(crate) fn is_read_only(&self) -> bool {
        self.read_only
    }

    /// Whether it stays until it is detached.
    pub(crate) fn is_lasting(&self) -> bool {
        self.life == Life::Lasting
    }

    /// Whether it bypasses the page cache of the pool's file system.
    pub(crate) fn is_direct(&self) -> bool {
        self.direct
    }

    /// Shows the present length of its file.
    pub(crate) fn update_capacity(&self) -> Result<(), Error> {
        ioctl::set_capacity(self.open()?).map_err(Error::io("update the size of", &self.path()))
    }

    /// Writes out what is in the device's own page cache.
    pub(crate) fn flush(&self) -> Result<(), Error> {
        self.open()?.sync_all().map_err(Error::io("flush", &self.path()))
    }

    /// Detaches it.
    pub(crate) fn detach(&self) -> Result<(), Error> {
        match self.open().map(ioctl::detach)? {
            // Gone by itself in the meantime.
            Ok(()) | Err(Errno::NXIO) => Ok(()),
            Err(errno) => Err(Error::io("detach", &self.path())(errno)),
        }
    }

    /// Opens it, which keeps it attached; for reading.
    pub(crate) fn open(&self) -> Result<File, Error> {
        File::open(self.path()).map_err(Error::io("open", &self.path()))
    }
}

/// Attaches `disk`; a [`Life::WhileOpen`] device lives at least as long as the returned file.
pub(crate) fn attach(disk: &Path, label: &str, read_only: bool, life: Life) -> Result<(Loop, File), Error> {
    let backing = File::options().read(true).write(!read_only).open(disk).map_err(Error::io("open", disk))?;
    let control = File::options().read(true).write(true).open(CONTROL).map_err(Error::io("open", CONTROL.as_ref()))?;
    let mut flags = ioctl::DIRECT_IO;
    if read_only {
        flags |= ioctl::READ_ONLY;
    }
    if life == Life::WhileOpen {
        flags |= ioctl::AUTOCLEAR;
    }
    let block_size = sector(&backing, disk)?;
    for attempt in 1.. {
        let number = ioctl::free_number(&control).map_err(Error::io("find a free loop device by", CONTROL.as_ref()))?;
        let path = node(number);
        let device = open_node(&path, number, read_only)?;
        match ioctl::configure(&device, backing.as_fd(), flags, block_size, label) {
            Ok(()) => {
                let found = ioctl::status(&device).map_err(Error::io("read the status of", &path))?;
                return Ok((of(number, &found), device));
            }
            Err(Errno::BUSY) if attempt < ATTEMPTS => std::thread::sleep(Duration::from_millis(2)),
            Err(errno) => return Err(Error::io("attach a disk to", &path)(errno)),
        }
    }
    unreachable!("the loop returns")
}

/// Bytes of a sector: 512, as images of disks expect, unless the file system takes direct I/O in larger pieces only.
///
/// Left to the kernel, it would be whatever the device's last user had.
fn sector(backing: &File, disk: &Path) -> Result<u32, Error> {
    let found = statx(backing, "", AtFlags::EMPTY_PATH, StatxFlags::DIOALIGN).map_err(Error::io("look at", disk))?;
    Ok(found.stx_dio_offset_align.clamp(512, 4096))
}

/// All devices attached to the disk of volume `id`, which is the file `disk`.
pub(crate) fn attached(id: &VolumeId, disk: &Path) -> Result<Vec<Loop>, Error> {
    Ok(of_volumes(|found| (found == id).then(|| disk.to_owned()))?.into_iter().map(|(_, device)| device).collect())
}

/// All devices attached to the disk of a volume for which `disk` knows its file.
pub(crate) fn of_volumes(disk: impl Fn(&VolumeId) -> Option<PathBuf>) -> Result<Vec<(VolumeId, Loop)>, Error> {
    let mut found = Vec::new();
    for (number, backing) in backing_files()? {
        let Some(id) = backing.volume() else { continue };
        let Some(disk) = disk(&id) else { continue };
        // A disk that is gone can still be attached, and is then known by its name alone.
        let file = fs::metadata(&disk).ok();
        if let Some(info) = status(number)?
            && file.is_none_or(|file| (info.device, info.inode) == (file.dev(), file.ino()))
        {
            found.push((id, of(number, &info)));
        }
    }
    Ok(found)
}

/// Detaches every device whose file lay below `folder` and is deleted.
pub(crate) fn detach_deleted(folder: &Path) -> Result<(), Error> {
    for (number, backing) in backing_files()? {
        if backing.is_deleted
            && backing.path.starts_with(folder)
            && let Some(info) = status(number)?
        {
            of(number, &info).detach()?;
        }
    }
    Ok(())
}

/// The file of a device, as sysfs shows it.
struct Backing {
    path: PathBuf,
    is_deleted: bool,
}

impl Backing {
    /// The volume whose disk this seems to be: the end of the path is the same in every mount namespace.
    fn volume(&self) -> Option<VolumeId> {
        let is_disk = self.path.file_name().is_some_and(|name| name == DISK);
        self.path.parent()?.file_name()?.to_str().filter(|_| is_disk).and_then(VolumeId::parse)
    }
}

/// All attached loop devices of the machine by number, without opening any: an open one cannot end by itself.
fn backing_files() -> Result<Vec<(u32, Backing)>, Error> {
    let folder = Path::new("/sys/block");
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).map_err(Error::io("list", folder))? {
        let entry = entry.map_err(Error::io("list", folder))?;
        let name = entry.file_name();
        let Some(number) = name.to_str().and_then(|name| name.strip_prefix("loop")).and_then(|n| n.parse().ok()) else {
            continue;
        };
        // There is no such file while nothing is attached.
        let Ok(text) = fs::read(entry.path().join("loop/backing_file")) else { continue };
        let text = text.strip_suffix(b"\n").unwrap_or(&text);
        let is_deleted = text.ends_with(DELETED);
        let path = OsStr::from_bytes(text.strip_suffix(DELETED).unwrap_or(text)).into();
        found.push((number, Backing { path, is_deleted }));
    }
    Ok(found)
}

const DELETED: &[u8] = b" (deleted)";

/// What device `number` is attached to; nothing if it was detached meanwhile.
fn status(number: u32) -> Result<Option<ioctl::LoopInfo>, Error> {
    let path = node(number);
    match File::open(&path).map(ioctl::status) {
        Ok(Ok(info)) => Ok(Some(info)),
        Ok(Err(Errno::NXIO)) => Ok(None),
        Ok(Err(errno)) => Err(Error::io("read the status of", &path)(errno)),
        Err(error)
            if [Errno::NXIO, Errno::NOENT].map(Errno::raw_os_error).map(Some).contains(&error.raw_os_error()) =>
        {
            Ok(None)
        }
        Err(error) => Err(Error::io("open", &path)(error)),
    }
}

fn of(number: u32, info: &ioctl::LoopInfo) -> Loop {
    let has = |flag| info.flags & flag != 0;
    Loop {
        number,
        read_only: has(ioctl::READ_ONLY),
        life: if has(ioctl::AUTOCLEAR) { Life::WhileOpen } else { Life::Lasting },
        direct: has(ioctl::DIRECT_IO),
    }
}

fn node(number: u32) -> PathBuf {
    format!("/dev/loop{number}").into()
}

/// Opens the device's node. devtmpfs makes it with the device; a container whose /dev is its own needs it made.
fn open_node(path: &Path, number: u32, read_only: bool) -> Result<File, Error> {
    if !path.exists() {
        let mode = Mode::from_raw_mode(0o660);
        match rustix::fs::mknodat(
            rustix::fs::CWD,
            path,
            rustix::fs::FileType::BlockDevice,
            mode,
            makedev(MAJOR, number),
        ) {
            Ok(()) | Err(Errno::EXIST) => {}
            Err(errno) => return Err(Error::io("make the device node", path)(errno)),
        }
    }
    let access = if read_only { OFlags::RDONLY } else { OFlags::RDWR };
    rustix::fs::open(path, access | OFlags::CLOEXEC, Mode::empty()).map(File::from).map_err(Error::io("open", path))
}
