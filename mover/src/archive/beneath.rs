//! Makes files, directories and links below one directory, whatever stands there already and whatever their names say.
//!
//! Every directory on the way is opened from the one above it without following links, so that a link that an earlier
//! member made leads nowhere.

use std::ffi::OsStr;
use std::fs::File;
use std::io::Read;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use contract::{Code, Failure};
use rustix::fs::{AtFlags, Mode, OFlags, Timespec, Timestamps, UTIME_OMIT};
use rustix::fs::{fchmod, fstatvfs, futimens, linkat, mkdirat, openat, symlinkat, syncfs, unlinkat};
use rustix::io::Errno;

use super::member::{Member, split};
use crate::target::{failed, lock_directory};
use crate::zero::data_runs;

/// Bytes copied at once.
const COPY: usize = 512 << 10;
/// Bytes after which what was written is handed to the device, so that dirty pages stay bounded.
const FLUSH: u64 = 8 << 20;

const DIRECTORY: OFlags = OFlags::DIRECTORY.union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC);

/// The directory that is unpacked into.
pub struct Beneath {
    path: PathBuf,
    root: OwnedFd,
}

impl AsFd for Beneath {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.root.as_fd()
    }
}

impl Beneath {
    /// Opens the directory at `path`, making it if need be, and keeps a second import away.
    ///
    /// # Errors
    /// It is no directory, or holds something and `force` is not set.
    pub fn open(path: &Path, force: bool) -> Result<Self, Failure> {
        std::fs::create_dir_all(path).map_err(|error| match error.kind() {
            std::io::ErrorKind::AlreadyExists => {
                Failure::new(Code::TargetUnsupported, "the target of an archive is a directory")
                    .at(path.display().to_string())
            }
            _ => failed("make the directory", path, &error),
        })?;
        let root = File::open(path).map_err(|error| failed("open the directory", path, &error))?;
        lock_directory(&root, path)?;
        let mut entries = std::fs::read_dir(path).map_err(|error| failed("list the directory", path, &error))?;
        // A new file system has this directory.
        let holds = entries.any(|entry| entry.is_ok_and(|entry| entry.file_name() != "lost+found"));
        if holds && !force {
            let failure = Failure::new(Code::TargetExists, "the directory is not empty").at(path.display().to_string());
            return Err(failure.remedy("choose an empty directory, or unpack over what is there with --force"));
        }
        Ok(Self { path: path.to_owned(), root: root.into() })
    }

    /// The path as messages name it.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Makes everything durable.
    pub(super) fn sync(&self) -> Result<(), Failure> {
        syncfs(&self.root).map_err(|error| failed("sync the file system of", &self.path, &error.into()))
    }

    fn failed(&self, doing: &str, path: &Path, error: Errno) -> Failure {
        match error {
            // A link stands where a directory is due.
            Errno::LOOP | Errno::NOTDIR => {
                let what = format!("the member {} goes through something that is no directory", path.display());
                Failure::new(Code::ArchiveUnsafe, what)
            }
            error => failed(doing, &self.path.join(path), &error.into()),
        }
    }

    /// Opens a directory, making it and those above it where they are missing.
    fn opened(&self, path: &Path) -> Result<OwnedFd, Failure> {
        let mut directory = self.root.try_clone().map_err(|error| failed("open the directory", &self.path, &error))?;
        for component in path.components() {
            let name = component.as_os_str();
            match mkdirat(&directory, name, Mode::from_raw_mode(0o755)) {
                Ok(()) | Err(Errno::EXIST) => {}
                Err(error) => return Err(self.failed("make the directory", path, error)),
            }
            directory = openat(&directory, name, DIRECTORY, Mode::empty())
                .map_err(|error| self.failed("open the directory", path, error))?;
        }
        Ok(directory)
    }

    /// The directory of a member, with nothing but perhaps a directory under the member's name.
    fn place<'p>(&self, path: &'p Path) -> Result<(OwnedFd, &'p OsStr), Failure> {
        let Some((parent, name)) = split(path) else {
            return Err(Failure::new(Code::ArchiveUnsafe, "a member stands for the directory itself"));
        };
        let directory = self.opened(parent)?;
        match unlinkat(&directory, name, AtFlags::empty()) {
            Ok(()) | Err(Errno::NOENT) => Ok((directory, name)),
            Err(error) => Err(self.failed("replace", path, error)),
        }
    }

    pub(super) fn directory(&self, path: &Path, mode: u32) -> Result<(), Failure> {
        let directory = self.opened(path)?;
        // The archive's root is a member too (`./`); the volume's own mode stays.
        if path.as_os_str().is_empty() {
            return Ok(());
        }
        fchmod(&directory, Mode::from_raw_mode(mode)).map_err(|error| self.failed("set the mode of", path, error))
    }

    /// Writes a file of `len` bytes, after files of `before` bytes; zeros become holes.
    pub(super) fn file(&self, member: &Member, len: u64, before: u64, data: &mut impl Read) -> Result<(), Failure> {
        let path = &member.path;
        self.refuse_without_room(len, before)?;
        let (directory, name) = self.place(path)?;
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let file = openat(&directory, name, flags, Mode::from_raw_mode(0o600));
        let file = File::from(file.map_err(|error| self.failed("make the file", path, error))?);
        self.copy(path, &file, len, data)?;
        let modified = Timespec { tv_sec: i64::try_from(member.modified).unwrap_or(i64::MAX), tv_nsec: 0 };
        let times =
            Timestamps { last_access: Timespec { tv_sec: 0, tv_nsec: UTIME_OMIT }, last_modification: modified };
        fchmod(file.as_fd(), Mode::from_raw_mode(member.mode))
            .and_then(|()| futimens(&file, &times))
            .map_err(|error| self.failed("set mode and time of", path, error))
    }

    fn copy(&self, path: &Path, file: &File, len: u64, data: &mut impl Read) -> Result<(), Failure> {
        let place = || self.path.join(path);
        let mut buffer = vec![0; COPY.min(usize::try_from(len).unwrap_or(COPY))];
        let mut at = 0;
        while at < len {
            let part = usize::try_from(len - at).unwrap_or(COPY).min(buffer.len());
            data.read_exact(&mut buffer[..part]).map_err(|error| super::failed(error, "archive"))?;
            for run in data_runs(&buffer[..part]) {
                let written = file.write_all_at(&buffer[run.clone()], at + run.start as u64);
                written.map_err(|error| failed("write the file", &place(), &error))?;
            }
            at += part as u64;
            if at % FLUSH < part as u64 {
                file.sync_data().map_err(|error| failed("sync the file", &place(), &error))?;
            }
        }
        file.set_len(len).map_err(|error| failed("set the size of the file", &place(), &error))
    }

    /// A file that cannot fit is refused before its first byte; so is one that makes the files together larger than the
    /// file system, although holes take no room: what goes on like that is a bomb of zeros.
    fn refuse_without_room(&self, len: u64, before: u64) -> Result<(), Failure> {
        let stat = fstatvfs(&self.root).map_err(|error| failed("ask for free space", &self.path, &error.into()))?;
        let free = stat.f_bavail.saturating_mul(stat.f_frsize);
        if len > free {
            let what = format!("the archive holds a file of {len} bytes, {free} are free");
            return Err(Failure::new(Code::TargetNoSpace, what).remedy("use a larger volume"));
        }
        let (all, volume) = (before.saturating_add(len), stat.f_blocks.saturating_mul(stat.f_frsize));
        if all > volume {
            let what = format!("the files of the archive have {all} bytes or more, the volume has {volume}");
            return Err(Failure::new(Code::TargetNoSpace, what).remedy("use a larger volume"));
        }
        Ok(())
    }

    pub(super) fn symbolic_link(&self, path: &Path, target: &Path) -> Result<(), Failure> {
        let (directory, name) = self.place(path)?;
        symlinkat(target, &directory, name).map_err(|error| self.failed("make the symbolic link", path, error))
    }

    pub(super) fn hard_link(&self, path: &Path, to: &Path) -> Result<(), Failure> {
        let Some((parent, name)) = split(to) else {
            return Err(Failure::new(Code::ArchiveUnsafe, "a hard link names the directory itself"));
        };
        let from = self.opened(parent)?;
        let (directory, own) = self.place(path)?;
        linkat(&from, name, &directory, own, AtFlags::empty())
            .map_err(|error| self.failed("make the hard link", path, error))
    }
}
