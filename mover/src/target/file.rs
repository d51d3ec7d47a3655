//! A regular file that grows under a temporary name.
//!
//! ```text
//! DIR/.NAME.gantry-partial    data; renamed to NAME at the end
//! DIR/.NAME.gantry-journal    two record blocks; the lock; removed at the end
//! ```

use std::fs::{self, File, OpenOptions};
use std::ops::Range;
use std::os::unix::fs::{FileExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use contract::{Code, Failure};
use rustix::fs::{CWD, FallocateFlags, RenameFlags, fallocate, renameat_with, statvfs};
use rustix::io::Errno;

use super::writeback::Writeback;
use super::{Options, Preallocation, Target, failed, lock, too_small, write_zeros};
use crate::cancel::Cancel;
use crate::fingerprint::Disk;
use crate::holes::data_in;

/// Sector size guests assume; a disk is a whole number of them.
const SECTOR: u64 = 512;

/// A file target.
pub struct FileTarget {
    options: Options,
    partial: PathBuf,
    journal_path: PathBuf,
    data: File,
    journal: File,
    writeback: Writeback,
}

impl FileTarget {
    /// Opens or creates the temporary file and the journal beside `options.path`, and locks them.
    ///
    /// # Errors
    /// The directory refuses, or another import holds the lock.
    pub fn open(options: Options) -> Result<Self, Failure> {
        let (partial, journal_path) = (sibling(&options.path, "partial"), sibling(&options.path, "journal"));
        let create = |path: &Path| {
            let mut open = OpenOptions::new();
            open.read(true).write(true).create(true).truncate(false).custom_flags(libc::O_NOFOLLOW);
            open.open(path).map_err(|error| failed("create the target's temporary file", path, &error))
        };
        let journal = create(&journal_path)?;
        lock::exclusive(&journal, &options.path)?;
        // A record is of the data beside it: a kill between the last rename and the removal of the journal leaves it alone.
        if !partial.exists() {
            let forgotten = journal.set_len(0).and_then(|()| journal.sync_all());
            forgotten.map_err(|error| failed("empty the journal", &journal_path, &error))?;
        }
        let data = create(&partial)?;
        Ok(Self { partial, journal_path, data, journal, writeback: Writeback::default(), options })
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
        sized.map_err(|error| failed(&format!("make the file {size} bytes large"), &self.partial, &error))?;
        if self.options.preallocation == Preallocation::None {
            return Ok(size);
        }
        let available = free_space(self.path())?;
        if available < size {
            let what =
                format!("{} preallocation needs {size} bytes, {available} are free", self.options.preallocation.name());
            return Err(Failure::new(Code::TargetNoSpace, what).at(self.path().display().to_string()));
        }
        if self.options.preallocation == Preallocation::Falloc {
            let reserved = fallocate(&self.data, FallocateFlags::empty(), 0, size);
            reserved.map_err(|error| failed(&format!("reserve {size} bytes"), &self.partial, &error.into()))?;
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

    /// Gives the file its name, and takes the name from another file only if that is wanted.
    fn rename(&self) -> Result<(), Failure> {
        let flags = if self.options.force { RenameFlags::empty() } else { RenameFlags::NOREPLACE };
        let renamed = match renameat_with(CWD, &self.partial, CWD, self.path(), flags) {
            // A file system without the flag: the name was free when the import began.
            Err(Errno::INVAL | Errno::NOSYS) => {
                renameat_with(CWD, &self.partial, CWD, self.path(), RenameFlags::empty())
            }
            renamed => renamed,
        };
        renamed.map_err(|error| match error {
            Errno::EXIST => Failure::new(Code::TargetExists, "somebody else made the target meanwhile")
                .at(self.path().display().to_string()),
            error => failed("give the target its name", self.path(), &error.into()),
        })
    }

    fn sync_directory(&self) -> Result<(), Failure> {
        let directory = directory_of(self.path());
        let synced = File::open(directory).and_then(|directory| directory.sync_all());
        synced.map_err(|error| failed("sync the target's directory", directory, &error))
    }
}

impl Disk for FileTarget {
    fn read(&self, at: u64, buf: &mut [u8]) -> Result<(), Failure> {
        read_padded(&self.data, at, buf)
            .map_err(|error| failed(&format!("read back offset {at}"), &self.partial, &error))
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
    let stat = statvfs(directory).map_err(|error| failed("ask for free space", directory, &error.into()))?;
    let own = fs::metadata(sibling(path, "partial")).map_or(0, |partial| 512 * partial.blocks());
    Ok(stat.f_bavail.saturating_mul(stat.f_frsize).saturating_add(own))
}

/// A hidden file beside the target.
fn sibling(path: &Path, suffix: &str) -> PathBuf {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    path.with_file_name(format!(".{name}.gantry-{suffix}"))
}

/// Reads at `at`; what lies past the end of the file is zeros.
pub(crate) fn read_padded(file: &File, at: u64, buf: &mut [u8]) -> std::io::Result<()> {
    let mut filled = 0;
    while filled < buf.len() {
        match file.read_at(&mut buf[filled..], at + filled as u64) {
            Ok(0) => break,
            Ok(read) => filled += read,
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    buf[filled..].fill(0);
    Ok(())
}

impl Target for FileTarget {
    fn path(&self) -> &Path {
        &self.options.path
    }

    fn prepare(&self, image: Option<u64>, cancel: &Cancel, _warnings: &mut Vec<String>) -> Result<(), Failure> {
        let emptied = self.data.set_len(0);
        emptied.map_err(|error| failed("empty the temporary file", &self.partial, &error))?;
        let Some(image) = image else { return self.refuse_full_preallocation() };
        let size = self.grow(image)?;
        if self.options.preallocation == Preallocation::Full {
            return write_zeros(0..size, cancel, |at, zeros| self.write(at, zeros));
        }
        Ok(())
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

    fn scratch(&self) -> Option<&Path> {
        Some(self.options.scratch.as_deref().unwrap_or(directory_of(self.path())))
    }

    fn records(&self) -> &File {
        &self.journal
    }

    fn commit(&self, _finishing: &mut dyn FnMut() -> Result<(), Failure>) -> Result<(), Failure> {
        if let Some(mode) = self.options.mode {
            let changed = self.data.set_permissions(fs::Permissions::from_mode(mode));
            changed.map_err(|error| failed("set the mode of the file", &self.partial, &error))?;
        }
        self.data.sync_all().map_err(|error| failed("sync the target", self.path(), &error))?;
        self.rename()?;
        self.sync_directory()?;
        fs::remove_file(&self.journal_path).map_err(|error| failed("remove the journal", &self.journal_path, &error))
    }

    fn discard(&self) -> Result<(), Failure> {
        for path in [&self.partial, &self.journal_path] {
            match fs::remove_file(path) {
                Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                    return Err(failed("remove what was written so far", path, &error));
                }
                _ => {}
            }
        }
        Ok(())
    }
}
