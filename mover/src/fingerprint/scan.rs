//! The fingerprint of a disk that is already there, read by all cores.

use std::fs::File;
use std::io::{Seek, SeekFrom};
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};

use contract::{Code, Failure};

use super::builder::SPAN;
use super::{Builder, Disk, Fingerprint};
use crate::cancel::Cancel;
use crate::holes::data_in;
use crate::stop::Stop;
use crate::target::read_padded;

/// Fingerprint of the first `size` bytes of the raw disk at `path`; `None` stands for all of it. Bytes past its end count
/// as zeros. `at` is told how far it is.
///
/// # Errors
/// The disk cannot be read, or a stop was asked for.
pub fn scan(path: &Path, size: Option<u64>, cancel: &Cancel, at: &AtomicU64) -> Result<Fingerprint, Failure> {
    let failed = |doing: &str, error: std::io::Error| {
        Failure::new(Code::SourceRead, format!("cannot {doing} the disk: {error}")).at(path.display().to_string())
    };
    let mut file = File::open(path).map_err(|error| failed("open", error))?;
    let len = file.seek(SeekFrom::End(0)).map_err(|error| failed("ask for the size of", error))?;
    let size = size.unwrap_or(len);
    let disk = ReadOnly { file, path };
    let builder = Builder::new(size);
    let (next, stop) = (AtomicU64::new(0), Stop::new());
    std::thread::scope(|scope| {
        for _ in 0..crate::cores::cores() {
            scope.spawn(|| {
                let spans = || -> Result<(), Failure> {
                    loop {
                        let start = next.fetch_add(SPAN, Ordering::Relaxed);
                        if start >= size.min(len) {
                            return Ok(());
                        }
                        cancel.check()?;
                        stop.check()?;
                        for data in data_in(&disk.file, start..(start + SPAN).min(size).min(len)) {
                            builder.expect(&data);
                        }
                        builder.close(start, &disk)?;
                        at.fetch_max(start, Ordering::Relaxed);
                    }
                };
                if let Err(failure) = spans() {
                    stop.trip(failure);
                }
            });
        }
    });
    stop.check()?;
    builder.finish(&disk)
}

struct ReadOnly<'a> {
    file: File,
    path: &'a Path,
}

impl Disk for ReadOnly<'_> {
    fn read(&self, at: u64, buf: &mut [u8]) -> Result<(), Failure> {
        read_padded(&self.file, at, buf).map_err(|error| {
            let what = format!("cannot read the disk at offset {at}: {error}");
            Failure::new(Code::SourceRead, what).at(self.path.display().to_string())
        })
    }
}
