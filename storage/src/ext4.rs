//! The ext4 on a volume: made, checked, grown, frozen.

use std::fs::{self, File};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use rustix::io::Errno;

use crate::error::Error;
use crate::ioctl;
use crate::loops::Loop;

/// Bytes below which mkfs.ext4 leaves no room for files.
pub(crate) const SMALLEST: u64 = 16 << 20;

/// Makes an ext4 on the new, empty file `disk`.
pub(crate) fn make(disk: &Path) -> Result<(), Error> {
    let mut command = tool("mkfs.ext4");
    // A new sparse file reads as zeros: nothing has to be zeroed, now or by the kernel later, so the volume stays sparse. No
    // blocks are kept back for root: the whole volume is its user's. Blocks of 4 KiB fit sectors of any size, while those of
    // 1 KiB, which mkfs.ext4 would choose for small volumes, cannot be mounted where sectors are larger.
    command.args(["-q", "-F", "-b", "4096", "-m", "0", "-E", "nodiscard,assume_storage_prezeroed=1"]).arg(disk);
    match run(&mut command)? {
        output if output.status.success() => Ok(()),
        output => Err(failed(&command, &output)),
    }
}

/// Replays the journal and repairs what can be repaired without loss.
pub(crate) fn check(device: &Loop) -> Result<(), Error> {
    repair(device, &["-p"])
}

fn repair(device: &Loop, options: &[&str]) -> Result<(), Error> {
    let mut command = tool_on("e2fsck", options, device)?;
    let output = run(&mut command)?;
    // e2fsck(8): 0 is clean, 1 is repaired; anything else needs a person.
    match output.status.code() {
        Some(0 | 1) => Ok(()),
        _ => Err(failed(&command, &output)),
    }
}

/// Grows the file system on `device` to the device's size, mounted or not.
pub(crate) fn grow(device: &Loop) -> Result<(), Error> {
    let mut command = tool_on("resize2fs", &[], device)?;
    match run(&mut command)? {
        output if output.status.success() => Ok(()),
        output => Err(failed(&command, &output)),
    }
}

/// Grows the unmounted file system on `device` if it is smaller than the device's `size`, checking all of it first, which
/// resize2fs insists on.
pub(crate) fn grow_unmounted(device: &Loop, size: u64) -> Result<(), Error> {
    let (bytes, block) = extent(device)?;
    if size - size % block <= bytes {
        return Ok(());
    }
    repair(device, &["-f", "-p"])?;
    grow(device)
}

/// Bytes of the file system on `device`, and of one of its blocks, from its superblock.
fn extent(device: &Loop) -> Result<(u64, u64), Error> {
    let (path, mut block) = (device.path(), [0; 1024]);
    device.open()?.read_exact_at(&mut block, 1024).map_err(Error::io("read the superblock of", &path))?;
    let number = |at: usize| u64::from(u32::from_le_bytes([block[at], block[at + 1], block[at + 2], block[at + 3]]));
    // ext4(5) layout: s_magic, s_log_block_size, s_blocks_count_lo, s_blocks_count_hi with the feature 64bit.
    let (magic, log_size, wide) = (number(0x38) & 0xffff, number(0x18), number(0x60) & 0x80 != 0);
    if magic != 0xef53 || log_size > 6 {
        return Err(Error::Damaged { path, why: "has no ext4 superblock".to_owned() });
    }
    let size = 1024 << log_size;
    let blocks = number(4) | if wide { number(0x150) << 32 } else { 0 };
    Ok((blocks.saturating_mul(size), size))
}

/// Errors that the kernel has met on the mounted file system of loop device `name`.
pub(crate) fn errors(name: &str) -> u64 {
    // Absent while nothing is mounted.
    let text = fs::read_to_string(format!("/sys/fs/ext4/{name}/errors_count")).unwrap_or_default();
    text.trim().parse().unwrap_or(0)
}

/// A frozen file system; thawed when dropped.
#[derive(Debug)]
pub(crate) struct Frozen {
    folder: File,
    path: PathBuf,
}

/// Freezes the file system mounted at `point`.
pub(crate) fn freeze(point: &Path) -> Result<Frozen, Error> {
    let folder = File::open(point).map_err(Error::io("open", point))?;
    ioctl::freeze(&folder).map_err(Error::io("freeze", point))?;
    Ok(Frozen { folder, path: point.to_owned() })
}

impl Frozen {
    /// Thaws it.
    pub(crate) fn thaw(self) -> Result<(), Error> {
        // Drop then finds it thawed, which is no failure.
        ioctl::thaw(&self.folder).map_err(Error::io("thaw", &self.path))
    }
}

impl Drop for Frozen {
    fn drop(&mut self) {
        // EINVAL says that it is thawed; on any other failure the next start thaws it.
        let _ = ioctl::thaw(&self.folder);
    }
}

/// Thaws the file system mounted at `point` if a killed process has left it frozen.
pub(crate) fn thaw(point: &Path) -> Result<(), Error> {
    let folder = File::open(point).map_err(Error::io("open", point))?;
    match ioctl::thaw(folder) {
        Ok(()) | Err(Errno::INVAL) => Ok(()),
        Err(errno) => Err(Error::io("thaw", point)(errno)),
    }
}

/// A program of e2fsprogs, which lies outside an ordinary user's path.
fn tool(name: &str) -> Command {
    let mut command = Command::new(name);
    let path = std::env::var("PATH").unwrap_or_default();
    command.env("PATH", format!("{path}:/usr/sbin:/sbin")).env("LC_ALL", "C").stdin(Stdio::null());
    command
}

/// Such a program at work on `device`, which it is given as its standard input, too: if we are killed, the device stays
/// attached until the program has ended. Otherwise it could be another disk by the time the program opens it by its name.
fn tool_on(name: &str, options: &[&str], device: &Loop) -> Result<Command, Error> {
    let mut command = tool(name);
    command.args(options).arg(device.path()).stdin(device.open()?);
    Ok(command)
}

fn run(command: &mut Command) -> Result<Output, Error> {
    command.output().map_err(|error| Error::Tool {
        command: command.get_program().to_string_lossy().into_owned(),
        said: format!("could not be started ({error}); install e2fsprogs"),
    })
}

fn failed(command: &Command, output: &Output) -> Error {
    let words: Vec<_> =
        [command.get_program()].into_iter().chain(command.get_args()).map(|w| w.to_string_lossy()).collect();
    let said = [&output.stderr, &output.stdout].map(|bytes| String::from_utf8_lossy(bytes).trim().to_owned());
    Error::Tool { command: words.join(" "), said: format!("{}: {}", output.status, said.join(" ").trim()) }
}
