//! A regular file that grows under a temporary name.
//!
//! ```text
//! DIR/.NAME.gantry-partial    data; renamed to NAME at the end
//! DIR/.NAME.gantry-journal    two record blocks; the lock; removed at the end
//! ```

use std::ffi::OsString;
use std::fs::{File, Permissions};
use std::io;
use std::ops::Range;
use std::os::unix::fs::{FileExt, MetadataExt, PermissionsExt};
use std::path::Path;

use contract::{Code, Failure};
use rustix::fs::{
    AtFlags, FallocateFlags, Mode, OFlags, RenameFlags, fallocate, fstatvfs, openat, renameat_with, statat, unlinkat,
};
use rustix::io::Errno;

use super::writeback::Writeback;
use super::{Options, Preallocation, Target, failed, lock, scratch, too_small, write_zeros};
use crate::cancel::Cancel;
use crate::fingerprint::Disk;
use crate::holes::data_in;

/// Sector size guests assume; a disk is a whole number of them.
const SECTOR: u64 = 512;

/// A file target.
pub struct FileTarget {
    options: Options,
    /// The directory that `options.path` is in.
    directory: File,
    /// Names in it.
    names: Names,
    data: File,
    journal: File,
    scratch: File,
    writeback: Writeback,
}

/// What the target and its temporary files are called in their directory.
struct Names {
    disk: OsString,
    partial: OsString,
    journal: OsString,
}

impl Names {
    fn of(path: &Path) -> Self {
        let disk = path.file_name().unwrap_or_default().to_owned();
        let beside = |suffix: &str| format!(".{}.gantry-{suffix}", disk.to_string_lossy()).into();
        Self { partial: beside("partial"), journal: beside("journal"), disk }
    }
}

impl FileTarget {
    /// Opens or creates the temporary file and the journal beside `options.path`, and locks them.
    ///
    /// # Errors
    /// The directory refuses, or another import holds the lock.
    pub fn open(options: Options) -> Result<Self, Failure> {
        let names = Names::of(&options.path);
        let folder = directory_of(&options.path);
        let directory = File::open(folder).map_err(|error| failed("open the target's directory", folder, &error))?;
        let journal = locked(&directory, &names, &options.path)?;
        // A record is of the data beside it: a kill between the last rename and the removal of the journal leaves it alone.
        if statat(&directory, &names.partial, AtFlags::SYMLINK_NOFOLLOW).is_err() {
            let forgotten = journal.set_len(0).and_then(|()| journal.sync_all());
            forgotten.map_err(|error| failed("empty the journal", &folder.join(&names.journal), &error))?;
        }
        let data = create(&directory, &names.partial, folder)?;
        let scratch = scratch::nameless(options.scratch.as_deref().unwrap_or(folder))?;
        Ok(Self { directory, names, data, journal, scratch, writeback: Writeback::default(), options })
    }

    /// Size of the file for a disk of `image` bytes: grown to the size that was asked for, never cut.
    fn size_for(&self, image: u64) -> Result<u64, Failure> {
        let image = image.next_multiple_of(SECTOR);
        match self.options.size {
            Some(size) if size < image => {
                Err(too_small(image, size).remedy(format!("give the disk {image} bytes or more")))
            }
            Some(size) => Ok(size.next_multiple_of(SECTOR)),
            None => Ok(image),
        }
    }

    /// Makes the file large enough for `image` bytes, reserves space if wanted, and returns the file's size.
    fn grow(&self, image: u64) -> Result<u64, Failure> {
        let size = self.size_for(image)?;
        let sized = self.data.set_len(size);
        sized.map_err(|error| self.failed(&format!("make the file {size} bytes large"), &error))?;
        if self.options.preallocation == Preallocation::None {
            return Ok(size);
        }
        let available = self.free_space()?;
        if available < size {
            let what =
                format!("{} preallocation needs {size} bytes, {available} are free", self.options.preallocation.name());
            return Err(Failure::new(Code::TargetNoSpace, what).at(self.path().display().to_string()));
        }
        if self.options.preallocation == Preallocation::Falloc {
            let reserved = fallocate(&self.data, FallocateFlags::empty(), 0, size);
            reserved.map_err(|error| self.failed(&format!("reserve {size} bytes"), &error.into()))?;
        }
        Ok(size)
    }

    fn refuse_full_preallocation(&self) -> Result<(), Failure> {
        if self.options.preallocation == Preallocation::Full {
            let what = "full preallocation needs the disk's size first, and this source does not state it";
            return Err(Failure::new(Code::Usage, what).remedy("use --preallocation falloc"));
        }
        Ok(())
    }

    /// As [`free_space`], by the descriptors.
    fn free_space(&self) -> Result<u64, Failure> {
        let asked = fstatvfs(&self.directory).map_err(io::Error::from).and_then(|stat| {
            let own = 512 * self.data.metadata()?.blocks();
            Ok(stat.f_bavail.saturating_mul(stat.f_frsize).saturating_add(own))
        });
        asked.map_err(|error| self.failed("ask for free space", &error))
    }

    /// Gives the file its name, and takes the name from another file only if that is wanted.
    fn rename(&self) -> Result<(), Failure> {
        let rename =
            |flags| renameat_with(&self.directory, &self.names.partial, &self.directory, &self.names.disk, flags);
        let flags = if self.options.force { RenameFlags::empty() } else { RenameFlags::NOREPLACE };
        let renamed = match rename(flags) {
            // A file system without the flag: the name was free when the import began.
            Err(Errno::INVAL | Errno::NOSYS) => rename(RenameFlags::empty()),
            renamed => renamed,
        };
        renamed.map_err(|error| match error {
            Errno::EXIST => Failure::new(Code::TargetExists, "somebody else made the target meanwhile")
                .at(self.path().display().to_string()),
            error => failed("give the target its name", self.path(), &error.into()),
        })
    }

    fn sync_directory(&self) -> Result<(), Failure> {
        let synced = self.directory.sync_all();
        synced.map_err(|error| failed("sync the target's directory", directory_of(self.path()), &error))
    }

    /// Removes a temporary file that may have gone already.
    fn remove(&self, name: &OsString) -> Result<(), Failure> {
        match unlinkat(&self.directory, name, AtFlags::empty()) {
            Ok(()) | Err(Errno::NOENT) => Ok(()),
            Err(error) => {
                let path = directory_of(self.path()).join(name);
                Err(failed("remove the temporary file", &path, &error.into()))
            }
        }
    }

    /// A failure of the temporary file.
    fn failed(&self, doing: &str, error: &io::Error) -> Failure {
        failed(doing, &directory_of(self.path()).join(&self.names.partial), error)
    }
}

/// Opens or creates `name` in `directory`, which is called `folder`.
fn create(directory: &File, name: &OsString, folder: &Path) -> Result<File, Failure> {
    let flags = OFlags::RDWR | OFlags::CREATE | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let opened = openat(directory, name, flags, Mode::from_raw_mode(0o666));
    opened
        .map(File::from)
        .map_err(|error| failed("create the target's temporary file", &folder.join(name), &error.into()))
}

/// The journal, locked. Another import may have ended, and removed its journal, while the lock was waited for.
fn locked(directory: &File, names: &Names, path: &Path) -> Result<File, Failure> {
    loop {
        let journal = create(directory, &names.journal, directory_of(path))?;
        lock::exclusive(&journal, path)?;
        let metadata = journal.metadata().map_err(|error| failed("look at the journal", path, &error))?;
        if metadata.nlink() > 0 {
            return Ok(journal);
        }
    }
}

impl Disk for FileTarget {
    fn read(&self, at: u64, buf: &mut [u8]) -> Result<(), Failure> {
        read_padded(&self.data, at, buf).map_err(|error| self.failed(&format!("read back offset {at}"), &error))
    }
}

/// The directory a target is in.
fn directory_of(path: &Path) -> &Path {
    path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// Bytes a user may still write to the file system of the target at `path`. Blocks kept for root do not count; blocks of
/// this target's own unfinished file do, because the import will write them again or keep them.
///
/// # Errors
/// The directory cannot be asked.
pub fn free_space(path: &Path) -> Result<u64, Failure> {
    let directory = directory_of(path);
    let stat =
        rustix::fs::statvfs(directory).map_err(|error| failed("ask for free space", directory, &error.into()))?;
    let own = std::fs::metadata(directory.join(Names::of(path).partial)).map_or(0, |partial| 512 * partial.blocks());
    Ok(stat.f_bavail.saturating_mul(stat.f_frsize).saturating_add(own))
}

/// Reads at `at`; what lies past the end of the file is zeros.
pub(crate) fn read_padded(file: &File, at: u64, buf: &mut [u8]) -> io::Result<()> {
    let mut filled = 0;
    while filled < buf.len() {
        match file.read_at(&mut buf[filled..], at + filled as u64) {
            Ok(0) => break,
            Ok(read) => filled += read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    buf[filled..].fill(0);
    Ok(())
}

impl Target for FileTarget {
    fn options(&self) -> &Options {
        &self.options
    }

    fn prepare(&self, image: Option<u64>, cancel: &Cancel, _warnings: &mut Vec<String>) -> Result<(), Failure> {
        let emptied = self.data.set_len(0);
        emptied.map_err(|error| self.failed("empty the temporary file", &error))?;
        let Some(image) = image else { return self.refuse_full_preallocation() };
        let size = self.grow(image)?;
        if self.options.preallocation == Preallocation::Full {
            return write_zeros(0..size, cancel, |at, zeros| self.write(at, zeros));
        }
        Ok(())
    }

    fn fits(&self, image: u64) -> Result<(), Failure> {
        self.size_for(image).map(drop)
    }

    fn settle(&self, image: u64) -> Result<(), Failure> {
        self.grow(image).map(drop)
    }

    fn write(&self, at: u64, bytes: &[u8]) -> Result<(), Failure> {
        let written = self.data.write_all_at(bytes, at);
        let written = written.and_then(|()| self.writeback.written(&self.data, at..at + bytes.len() as u64));
        written.map_err(|error| failed(&format!("write {} bytes at offset {at}", bytes.len()), self.path(), &error))
    }

    fn data_in(&self, range: Range<u64>) -> Vec<Range<u64>> {
        data_in(&self.data, range)
    }

    fn sync(&self) -> Result<(), Failure> {
        self.data.sync_data().map_err(|error| failed("sync the target", self.path(), &error))
    }

    fn directory(&self) -> Option<&File> {
        Some(&self.directory)
    }

    fn scratch(&self) -> Option<&File> {
        Some(&self.scratch)
    }

    fn records(&self) -> &File {
        &self.journal
    }

    fn commit(&self, _finishing: &mut dyn FnMut() -> Result<(), Failure>) -> Result<(), Failure> {
        if let Some(mode) = self.options.mode {
            let changed = self.data.set_permissions(Permissions::from_mode(mode));
            changed.map_err(|error| self.failed("set the mode of the file", &error))?;
        }
        self.data.sync_all().map_err(|error| failed("sync the target", self.path(), &error))?;
        self.rename()?;
        self.sync_directory()?;
        self.remove(&self.names.journal)
    }

    fn discard(&self) -> Result<(), Failure> {
        self.remove(&self.names.partial)?;
        self.remove(&self.names.journal)
    }

    fn leave(&self) -> Result<(), Failure> {
        let is_empty = |file: &File| file.metadata().is_ok_and(|metadata| metadata.len() == 0);
        if is_empty(&self.data) && is_empty(&self.journal) { self.discard() } else { Ok(()) }
    }
}
