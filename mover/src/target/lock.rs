//! Keeps a second importer away from a target.

use std::fs::File;
use std::path::Path;

use contract::{Code, Failure};
use rustix::fs::{FlockOperation, flock};
use rustix::io::Errno;

/// Locks `file` until it is closed, which a killed process does too.
///
/// # Errors
/// Code `target-busy` if another process holds the lock.
pub(crate) fn exclusive(file: &File, path: &Path) -> Result<(), Failure> {
    flock(file, FlockOperation::NonBlockingLockExclusive).map_err(|error| match error {
        Errno::WOULDBLOCK => Failure::new(Code::TargetBusy, "another import is writing this target")
            .at(path.display().to_string())
            .remedy("wait for the other import to end"),
        error => super::failed("lock the target", path, &error.into()),
    })
}
