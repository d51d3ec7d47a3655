//! The file for what flows past before its table.

use std::fs::{File, OpenOptions, remove_file};
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use contract::Failure;

use super::failed;

/// A file in `directory` that is gone when the process is.
///
/// # Errors
/// The directory refuses.
pub(super) fn nameless(directory: &Path) -> Result<File, Failure> {
    let made = made(directory);
    made.map_err(|error| failed("make a file for what is placed late", directory, &error))
}

/// A file without a name, or where the file system has none of those, one whose name is taken away at once.
fn made(directory: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.read(true).write(true);
    match options.custom_flags(libc::O_TMPFILE).open(directory) {
        Err(error) if matches!(error.raw_os_error(), Some(libc::EOPNOTSUPP | libc::EISDIR | libc::ENOENT)) => {
            let path = directory.join(format!(".gantry-spill-{}", std::process::id()));
            let file = options.create_new(true).custom_flags(libc::O_NOFOLLOW).open(&path)?;
            remove_file(path)?;
            Ok(file)
        }
        opened => opened,
    }
}
