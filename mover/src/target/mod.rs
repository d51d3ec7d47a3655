//! Where the disk goes: a regular file or a block device, behind one trait.
//!
//! Both look unfinished until the end. A file grows under a temporary name beside its own and is renamed after its last
//! sync. A device has its first and last MiB zeroed first and written last. Both keep the journal's two record blocks:
//! the file's in a hidden sibling, the device's at 0 and 4 KiB inside the withheld first MiB.
//!
//! All that is ever opened is opened by [`open`]; afterwards a target works with its descriptors alone, so that the process
//! that decodes can give up opening anything (`docs/security.md`).

mod block;
mod file;
mod lock;
mod open;
mod scratch;
mod signature;
mod writeback;

pub use block::BlockTarget;
pub(crate) use file::read_padded;
pub use file::{FileTarget, free_space};
pub(crate) use lock::exclusive as lock_directory;
pub use open::{Kind, Opened, check, open, refuse_small};
pub(crate) use writeback::Writeback;

use std::fs::File;
use std::ops::Range;
use std::path::{Path, PathBuf};

use contract::{Code, Failure};
use rustix::io::Errno;
use serde::{Deserialize, Serialize};

use crate::cancel::Cancel;
use crate::fingerprint::Disk;

/// How much of the target is made sure of before data arrives (CDI's `preallocation`, qemu-img's modes).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Preallocation {
    /// Holes stay holes.
    #[default]
    None,
    /// Space is reserved; it reads as zeros.
    Falloc,
    /// Every byte is written.
    Full,
}

impl Preallocation {
    /// The name on the command line, which is qemu-img's.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Falloc => "falloc",
            Self::Full => "full",
        }
    }
}

/// What the user wants of the target.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Options {
    /// Path of the file or device.
    #[serde(with = "contract::path")]
    pub path: PathBuf,
    /// Overwrite what is there.
    pub force: bool,
    /// Space to make sure of.
    pub preallocation: Preallocation,
    /// Size of the file in bytes, if it is to be larger than the image.
    pub size: Option<u64>,
    /// Directory for what flows past before its table, if not the target's own.
    #[serde(with = "contract::path::option")]
    pub scratch: Option<PathBuf>,
    /// Mode of the file, if not what the process's mask makes it.
    pub mode: Option<u32>,
}

/// A volume being written.
pub trait Target: Disk + Send + Sync {
    /// What the user wanted.
    fn options(&self) -> &Options;

    /// The path as messages name it.
    fn path(&self) -> &Path {
        &self.options().path
    }

    /// Makes the target `image` bytes large (`None`: not known yet), or checks that it is large enough, and makes all of
    /// it read as zeros, so that zeros need not be written later. Run at the beginning of an import that starts from
    /// nothing. Adds what a user should know to `warnings`.
    ///
    /// # Errors
    /// It is too small, full, or refuses; or the import was cancelled.
    fn prepare(&self, image: Option<u64>, cancel: &Cancel, warnings: &mut Vec<String>) -> Result<(), Failure>;

    /// Whether a disk of `image` bytes fits; asked while a stream goes on that does not state its size.
    ///
    /// # Errors
    /// It does not.
    fn fits(&self, image: u64) -> Result<(), Failure>;

    /// Takes the image's size where it was not known before; everything is written.
    ///
    /// # Errors
    /// As [`prepare`](Self::prepare).
    fn settle(&self, image: u64) -> Result<(), Failure>;

    /// Writes `bytes` at `at`; what is withheld stays in memory.
    ///
    /// # Errors
    /// The target refuses the bytes.
    fn write(&self, at: u64, bytes: &[u8]) -> Result<(), Failure>;

    /// The parts of `range` that may hold data, in order; the rest reads as zeros.
    fn data_in(&self, range: Range<u64>) -> Vec<Range<u64>> {
        vec![range]
    }

    /// Makes all that was written so far durable. A failure is final: what the kernel says later is not believed.
    ///
    /// # Errors
    /// The target could not store it.
    fn sync(&self) -> Result<(), Failure>;

    /// Ranges whose writes stay in memory until the end.
    fn withheld(&self) -> &[Range<u64>] {
        &[]
    }

    /// The directory in which the target gets its name, if it is a file.
    fn directory(&self) -> Option<&File> {
        None
    }

    /// A nameless file with room for what flows past before its table; `None` if there is none.
    fn scratch(&self) -> Option<&File>;

    /// The two record blocks of 4 KiB, at 0 and 4 KiB of this file.
    fn records(&self) -> &File;

    /// Ends the import: everything durable, the target under its own name, no record left. `finishing` writes the
    /// record that says so where the target needs one in between.
    ///
    /// # Errors
    /// The target refuses; the import can be taken up again.
    fn commit(&self, finishing: &mut dyn FnMut() -> Result<(), Failure>) -> Result<(), Failure>;

    /// Ends a failed import: nothing that looks finished and nothing to take up again.
    ///
    /// # Errors
    /// The target refuses.
    fn discard(&self) -> Result<(), Failure>;

    /// Ends an attempt that may not even have begun: what opening made and nothing was recorded in goes away.
    ///
    /// # Errors
    /// The target refuses.
    fn leave(&self) -> Result<(), Failure> {
        Ok(())
    }
}

/// Whether `range` touches a withheld range.
#[must_use]
pub fn is_withheld(target: &dyn Target, range: &Range<u64>) -> bool {
    target.withheld().iter().any(|held| held.start < range.end && range.start < held.end)
}

/// The image has more bytes than the target can have, in the words that CDI's users know.
fn too_small(image: u64, available: u64) -> Failure {
    let what = format!("virtual image size {image} is larger than the reported available storage {available}");
    Failure::new(Code::TargetTooSmall, what)
}

/// Writes zeros over `range` in steps, checking for a stop before each.
fn write_zeros(
    range: Range<u64>,
    cancel: &Cancel,
    mut write: impl FnMut(u64, &[u8]) -> Result<(), Failure>,
) -> Result<(), Failure> {
    let zeros = vec![0; 1 << 20];
    let mut at = range.start;
    while at < range.end {
        cancel.check()?;
        let len = (range.end - at).min(zeros.len() as u64);
        write(at, &zeros[..len as usize])?;
        at += len;
    }
    Ok(())
}

/// Turns an error of the operating system on `path` into a failure with the code a user can act on.
pub(crate) fn failed(doing: &str, path: &Path, error: &std::io::Error) -> Failure {
    let code = match error.raw_os_error().map(Errno::from_raw_os_error) {
        Some(Errno::NOSPC | Errno::DQUOT) => Code::TargetNoSpace,
        Some(Errno::ACCESS | Errno::PERM | Errno::ROFS) => Code::TargetDenied,
        Some(Errno::BUSY) => Code::TargetBusy,
        Some(Errno::FBIG) => Code::TargetTooSmall,
        _ => Code::TargetIo,
    };
    Failure::new(code, format!("cannot {doing}: {error}")).at(path.display().to_string())
}
