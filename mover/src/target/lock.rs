//! Keeps a second importer away from a target.

use std::fs::File;
use std::io;
use std::path::Path;
use std::time::{Duration, Instant};

use contract::{Code, Failure};
use rustix::fs::{FlockOperation, flock};
use rustix::io::Errno;

/// How long a lock is waited for: a killed import holds it until the kernel has finished its last write.
const PATIENCE: Duration = Duration::from_secs(2);
/// Between two tries.
const PAUSE: Duration = Duration::from_millis(20);

/// Locks `file` until it is closed, which a killed process does too.
///
/// # Errors
/// Code `target-busy` if another process holds the lock.
pub(crate) fn exclusive(file: &File, path: &Path) -> Result<(), Failure> {
    let locked = patiently(|| match flock(file, FlockOperation::NonBlockingLockExclusive) {
        Err(Errno::WOULDBLOCK) => Ok(None),
        locked => Ok(locked.map(Some)?),
    });
    locked.map_err(|error| super::failed("lock the target", path, &error))?.ok_or_else(|| {
        Failure::new(Code::TargetBusy, "another import is writing this target")
            .at(path.display().to_string())
            .remedy("wait for the other import to end")
    })
}

/// Tries until `attempt` gives something or fails, or the patience is at its end.
pub(super) fn patiently<T>(mut attempt: impl FnMut() -> io::Result<Option<T>>) -> io::Result<Option<T>> {
    let end = Instant::now() + PATIENCE;
    loop {
        match attempt()? {
            None if Instant::now() < end => std::thread::sleep(PAUSE),
            given => return Ok(given),
        }
    }
}
