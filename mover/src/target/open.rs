//! Decides what a target path is, and refuses what would destroy something by mistake.

use std::fs;
use std::os::unix::fs::FileTypeExt;
use std::path::{Path, PathBuf};

use contract::{Code, Failure};

use super::{BlockTarget, FileTarget, Options, Target, failed, free_space, too_small};

/// Endings of formats that are not written; the output is a raw disk.
const OTHER_FORMATS: &[&str] = &["qcow2", "qcow", "vmdk", "vdi", "vhd", "vpc", "vhdx", "qed", "gz", "xz", "zst", "ova"];

/// A target that may be written.
pub type Opened = Box<dyn Target>;

/// What a target path stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A file that does not exist yet.
    NewFile,
    /// A file that will be replaced.
    OldFile,
    /// A block device.
    Device,
}

impl Kind {
    /// The name in explanations.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::NewFile => "new file",
            Self::OldFile => "existing file, to be replaced",
            Self::Device => "block device",
        }
    }
}

/// Opens the target and locks it against a second import.
///
/// # Errors
/// It exists, holds something, is in use, is a symbolic link, or is neither file nor block device.
pub fn open(options: Options) -> Result<Opened, Failure> {
    let (options, kind) = judge(options)?;
    Ok(match kind {
        Kind::NewFile | Kind::OldFile => Box::new(FileTarget::open(options)?),
        Kind::Device => Box::new(BlockTarget::open(options)?),
    })
}

/// Says what the target is and how many bytes it can take, and changes nothing.
///
/// # Errors
/// As [`open`].
pub fn check(options: Options) -> Result<(Kind, u64), Failure> {
    let (options, kind) = judge(options)?;
    match kind {
        Kind::Device => Ok((kind, BlockTarget::open(options)?.size())),
        Kind::NewFile | Kind::OldFile => Ok((kind, free_space(&options.path)?)),
    }
}

/// Refuses a device with `room` for less than a disk of `image` bytes.
///
/// # Errors
/// Code `target-too-small`.
pub fn refuse_small(options: &Options, room: u64, image: Option<u64>) -> Result<(), Failure> {
    let needed = image.unwrap_or(0).max(options.size.unwrap_or(0));
    if needed > room {
        return Err(too_small(needed, room).at(options.path.display().to_string()));
    }
    Ok(())
}

/// Refuses what would destroy something by mistake.
fn judge(mut options: Options) -> Result<(Options, Kind), Failure> {
    refuse_other_formats(&options.path)?;
    options.path = resolve(&options.path, options.force)?;
    let place = options.path.display().to_string();
    let kind = match fs::metadata(&options.path) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Kind::NewFile,
        Err(error) => return Err(failed("look at the target", &options.path, &error)),
        Ok(found) if found.file_type().is_block_device() => Kind::Device,
        Ok(found) if found.is_file() && options.force => Kind::OldFile,
        Ok(found) if found.is_file() => {
            return Err(Failure::new(Code::TargetExists, "the target exists already").at(place));
        }
        Ok(_) => {
            let what = "the target is neither a regular file nor a block device";
            return Err(Failure::new(Code::TargetUnsupported, what).at(place));
        }
    };
    Ok((options, kind))
}

fn refuse_other_formats(path: &Path) -> Result<(), Failure> {
    let ending = path.extension().unwrap_or_default().to_string_lossy().to_ascii_lowercase();
    if OTHER_FORMATS.contains(&ending.as_str()) {
        let what = format!("the target is named *.{ending}, and what is written is a raw disk");
        return Err(Failure::new(Code::TargetFormat, what).at(path.display().to_string()));
    }
    Ok(())
}

/// Follows symbolic links: those below /dev are how devices are named, any other could point anywhere.
fn resolve(path: &Path, force: bool) -> Result<PathBuf, Failure> {
    let is_link = fs::symlink_metadata(path).is_ok_and(|found| found.file_type().is_symlink());
    if !is_link {
        return Ok(path.to_owned());
    }
    let target = fs::canonicalize(path).map_err(|error| failed("follow the symbolic link", path, &error))?;
    let names_device =
        path.starts_with("/dev") && fs::metadata(&target).is_ok_and(|found| found.file_type().is_block_device());
    if names_device || force {
        return Ok(target);
    }
    let what = format!("the target is a symbolic link to {}", target.display());
    Err(Failure::new(Code::TargetSymlink, what).at(path.display().to_string()))
}
