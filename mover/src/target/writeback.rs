//! Keeps dirty pages and page cache bounded, since both count against a pod's memory.
//!
//! ```text
//! written   | 8 MiB | 8 MiB | 8 MiB | ...
//!             done    being   being
//!             and     written written
//!             dropped
//! ```
//!
//! Each batch is handed to the device at once (`sync_file_range`), and the batch two behind is waited for and dropped from
//! the cache. Writers that are faster than the device so wait for the device.

#![expect(unsafe_code, reason = "sync_file_range has no safe wrapper; it reads no memory of ours")]

use std::collections::VecDeque;
use std::fs::File;
use std::ops::Range;
use std::os::fd::AsRawFd;
use std::sync::{Mutex, PoisonError};

use rustix::fs::{Advice, fadvise};

/// Bytes per batch.
const BATCH: u64 = 8 << 20;
/// Batches that may be on their way to the device.
const IN_FLIGHT: usize = 2;

/// Regulates one file.
#[derive(Default)]
pub(crate) struct Writeback {
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    batch: Vec<Range<u64>>,
    bytes: u64,
    in_flight: VecDeque<Vec<Range<u64>>>,
}

impl Writeback {
    /// Notes that `range` was written; now and then waits for the device.
    ///
    /// # Errors
    /// The device could not store an earlier range.
    pub(crate) fn written(&self, file: &File, range: Range<u64>) -> std::io::Result<()> {
        let oldest = {
            let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
            state.bytes += range.end - range.start;
            match state.batch.last_mut().filter(|last| last.end == range.start) {
                Some(last) => last.end = range.end,
                None => state.batch.push(range),
            }
            if state.bytes < BATCH {
                return Ok(());
            }
            state.bytes = 0;
            let batch = std::mem::take(&mut state.batch);
            for range in &batch {
                sync_range(file, range, libc::SYNC_FILE_RANGE_WRITE)?;
            }
            state.in_flight.push_back(batch);
            if state.in_flight.len() <= IN_FLIGHT { None } else { state.in_flight.pop_front() }
        };
        for range in oldest.into_iter().flatten() {
            let all =
                libc::SYNC_FILE_RANGE_WAIT_BEFORE | libc::SYNC_FILE_RANGE_WRITE | libc::SYNC_FILE_RANGE_WAIT_AFTER;
            sync_range(file, &range, all)?;
            // Only a hint: a page that stays cached costs memory the kernel can take back.
            let _ = fadvise(file, range.start, std::num::NonZeroU64::new(range.end - range.start), Advice::DontNeed);
        }
        Ok(())
    }
}

fn sync_range(file: &File, range: &Range<u64>, flags: libc::c_uint) -> std::io::Result<()> {
    let (offset, len) = (range.start.cast_signed(), (range.end - range.start).cast_signed());
    // SAFETY: the call takes a descriptor that `file` keeps open and numbers; it touches no memory of this process.
    match unsafe { libc::sync_file_range(file.as_raw_fd(), offset, len, flags) } {
        0 => Ok(()),
        _ => match std::io::Error::last_os_error() {
            // A file system without it (some FUSE, NFS) is synced as a whole anyway.
            error if matches!(error.raw_os_error(), Some(libc::ENOSYS | libc::EINVAL | libc::ESPIPE)) => Ok(()),
            error => Err(error),
        },
    }
}
