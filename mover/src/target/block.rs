//! A block device that never looks like a disk before it is one.
//!
//! ```text
//! 0       4 KiB    8 KiB              1 MiB                          end - 1 MiB      end
//! | record | record | withheld         | data, written as it comes    | withheld       |
//! ```
//!
//! Partition tables, boot sectors and superblocks lie in the first MiB, their copies in the last. Both are zeroed first,
//! kept in memory while data arrives, and written after all other data is durable; the first 4 KiB come last of all, as
//! the commit. Until then the two record blocks of the journal live there.

use std::fs::{File, OpenOptions};
use std::io::{Seek, SeekFrom};
use std::ops::Range;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::sync::{Mutex, MutexGuard, PoisonError};

use contract::{Code, Failure};
use rustix::fs::{FallocateFlags, fallocate};
use rustix::io::Errno;

use super::file::read_padded;
use super::writeback::Writeback;
use super::{Options, Preallocation, Target, failed, lock, refuse_small, scratch, signature, write_zeros};
use crate::cancel::Cancel;
use crate::fingerprint::Disk;
use crate::journal::{RECORD, is_record};

/// Bytes withheld at either end.
const WITHHELD: u64 = 1 << 20;
/// Largest logical block of a device.
const BLOCK: u64 = 4096;
/// Bytes zeroed by one request, so that a stop is noticed in time.
const ZERO_STEP: u64 = 1 << 30;

/// A block device target.
pub struct BlockTarget {
    options: Options,
    device: File,
    size: u64,
    withheld: Vec<Range<u64>>,
    /// Content of the withheld ranges.
    held: Mutex<Vec<Vec<u8>>>,
    scratch: Option<File>,
    writeback: Writeback,
}

impl BlockTarget {
    /// Opens the device for this process alone.
    ///
    /// # Errors
    /// It is in use, or holds something known and `options.force` is not set.
    pub fn open(options: Options) -> Result<Self, Failure> {
        let path = options.path.clone();
        let mut open = OpenOptions::new();
        // O_EXCL on a device: fails while it is mounted, part of another device, or being imported to.
        open.read(true).write(true).custom_flags(libc::O_EXCL);
        let opened = lock::patiently(|| match open.open(&path) {
            Err(error) if error.raw_os_error() == Some(libc::EBUSY) => Ok(None),
            opened => opened.map(Some),
        });
        let Some(mut device) = opened.map_err(|error| failed("open the device", &path, &error))? else {
            let what = "the device is in use: mounted, part of another device, or being imported to";
            return Err(Failure::new(Code::TargetBusy, what).at(path.display().to_string()));
        };
        let size = device.seek(SeekFrom::End(0)).map_err(|error| failed("ask for the device's size", &path, &error))?;
        let head = 0..WITHHELD.min(size);
        let tail = size.saturating_sub(WITHHELD).max(head.end)..size;
        let withheld = vec![head, tail];
        let held = Mutex::new(withheld.iter().map(|range| vec![0; (range.end - range.start) as usize]).collect());
        let scratch = options.scratch.as_deref().map(scratch::nameless).transpose()?;
        let target = Self { options, device, size, withheld, held, scratch, writeback: Writeback::default() };
        target.refuse_known_content()?;
        Ok(target)
    }

    /// Bytes of the device.
    #[must_use]
    pub fn size(&self) -> u64 {
        self.size
    }

    fn refuse_known_content(&self) -> Result<(), Failure> {
        if self.options.force {
            return Ok(());
        }
        let mut head = vec![0; signature::HEAD];
        read_padded(&self.device, 0, &mut head).map_err(|error| failed("read the device", self.path(), &error))?;
        // An import that did not finish is nobody's data.
        if head.chunks(RECORD).take(2).any(is_record) {
            return Ok(());
        }
        match signature::find(&head) {
            Some(found) => Err(Failure::new(Code::TargetSignature, format!("the device holds {found}"))
                .at(self.path().display().to_string())),
            None => Ok(()),
        }
    }

    fn held(&self) -> MutexGuard<'_, Vec<Vec<u8>>> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn write_device(&self, at: u64, bytes: &[u8]) -> Result<(), Failure> {
        let written = self.device.write_all_at(bytes, at);
        written.map_err(|error| failed(&format!("write {} bytes at offset {at}", bytes.len()), self.path(), &error))
    }

    /// Makes `range` read as zeros in the cheapest way that leaves no doubt. A bare discard would leave one.
    fn zero(&self, range: Range<u64>, cancel: &Cancel) -> Result<(), Failure> {
        let modes: &[FallocateFlags] = match self.options.preallocation {
            Preallocation::None => &[FallocateFlags::PUNCH_HOLE, FallocateFlags::ZERO_RANGE],
            Preallocation::Falloc => &[FallocateFlags::ZERO_RANGE],
            Preallocation::Full => &[],
        };
        for &mode in modes {
            match self.zero_by(mode, range.clone(), cancel)? {
                Zeroed::Yes => return Ok(()),
                Zeroed::NotSupported => {}
            }
        }
        write_zeros(range, cancel, |at, zeros| {
            self.write_device(at, zeros)?;
            let written = self.writeback.written(&self.device, at..at + zeros.len() as u64);
            written.map_err(|error| failed("zero the device", self.path(), &error))
        })
    }

    fn zero_by(&self, mode: FallocateFlags, range: Range<u64>, cancel: &Cancel) -> Result<Zeroed, Failure> {
        let mut at = range.start;
        while at < range.end {
            cancel.check()?;
            let len = (range.end - at).min(ZERO_STEP);
            match fallocate(&self.device, mode | FallocateFlags::KEEP_SIZE, at, len) {
                Ok(()) => at += len,
                Err(Errno::OPNOTSUPP | Errno::NODEV | Errno::INVAL | Errno::NOSYS) => return Ok(Zeroed::NotSupported),
                Err(error) => {
                    return Err(failed(&format!("zero {len} bytes at offset {at}"), self.path(), &error.into()));
                }
            }
        }
        Ok(Zeroed::Yes)
    }

    /// Zeroes what lies past `end` where that is cheap; a former tenant's bytes are a leak.
    fn zero_beyond(&self, end: u64, cancel: &Cancel, warnings: &mut Vec<String>) -> Result<(), Failure> {
        let beyond = end..self.withheld[1].start;
        if beyond.start >= beyond.end || self.options.preallocation == Preallocation::Full {
            return Ok(());
        }
        if let Zeroed::NotSupported = self.zero_by(FallocateFlags::PUNCH_HOLE, beyond.clone(), cancel)? {
            let bytes = beyond.end - beyond.start;
            warnings.push(format!(
                "The device is larger than the image and cannot be zeroed cheaply: {bytes} bytes from offset {} on keep what they held before.",
                beyond.start
            ));
        }
        Ok(())
    }
}

enum Zeroed {
    Yes,
    NotSupported,
}

/// The part of `range` inside `held`, if any.
fn overlap(range: &Range<u64>, held: &Range<u64>) -> Option<Range<u64>> {
    let both = range.start.max(held.start)..range.end.min(held.end);
    (both.start < both.end).then_some(both)
}

impl Disk for BlockTarget {
    fn read(&self, at: u64, buf: &mut [u8]) -> Result<(), Failure> {
        let read = read_padded(&self.device, at, buf);
        read.map_err(|error| failed(&format!("read back offset {at}"), self.path(), &error))?;
        for (range, held) in self.withheld.iter().zip(self.held().iter()) {
            if let Some(both) = overlap(&(at..at + buf.len() as u64), range) {
                let from = &held[(both.start - range.start) as usize..(both.end - range.start) as usize];
                buf[(both.start - at) as usize..(both.end - at) as usize].copy_from_slice(from);
            }
        }
        Ok(())
    }
}

impl Target for BlockTarget {
    fn options(&self) -> &Options {
        &self.options
    }

    fn prepare(&self, image: Option<u64>, cancel: &Cancel, warnings: &mut Vec<String>) -> Result<(), Failure> {
        let image = image.unwrap_or(self.size);
        self.fits(image)?;
        for range in &self.withheld {
            // The record blocks are the journal's.
            let from = if range.start == 0 { (2 * RECORD as u64).min(range.end) } else { range.start };
            write_zeros(from..range.end, cancel, |at, zeros| self.write_device(at, zeros))?;
        }
        self.sync()?;
        let body = self.withheld[0].end..self.withheld[1].start;
        // Whole blocks: what zeroes cheaply may not do parts of one.
        let end = image.next_multiple_of(BLOCK).clamp(body.start, body.end);
        self.zero(body.start..end, cancel)?;
        self.zero_beyond(end, cancel, warnings)
    }

    fn fits(&self, image: u64) -> Result<(), Failure> {
        refuse_small(&self.options, self.size, Some(image))
    }

    fn settle(&self, image: u64) -> Result<(), Failure> {
        self.fits(image)
    }

    fn write(&self, at: u64, bytes: &[u8]) -> Result<(), Failure> {
        let range = at..at + bytes.len() as u64;
        if range.end > self.size {
            let what = format!("the disk goes on past the device's {} bytes", self.size);
            return Err(Failure::new(Code::TargetTooSmall, what).at(self.path().display().to_string()));
        }
        for (held_range, held) in self.withheld.iter().zip(self.held().iter_mut()) {
            if let Some(both) = overlap(&range, held_range) {
                let into = &mut held[(both.start - held_range.start) as usize..(both.end - held_range.start) as usize];
                into.copy_from_slice(&bytes[(both.start - at) as usize..(both.end - at) as usize]);
            }
        }
        let body = self.withheld[0].end..self.withheld[1].start;
        let Some(direct) = overlap(&range, &body) else { return Ok(()) };
        self.write_device(direct.start, &bytes[(direct.start - at) as usize..(direct.end - at) as usize])?;
        let written = self.writeback.written(&self.device, direct);
        written.map_err(|error| failed(&format!("write at offset {at}"), self.path(), &error))
    }

    fn sync(&self) -> Result<(), Failure> {
        self.device.sync_data().map_err(|error| failed("sync the device", self.path(), &error))
    }

    fn withheld(&self) -> &[Range<u64>] {
        &self.withheld
    }

    fn scratch(&self) -> Option<&File> {
        self.scratch.as_ref()
    }

    fn records(&self) -> &File {
        &self.device
    }

    fn commit(&self, finishing: &mut dyn FnMut() -> Result<(), Failure>) -> Result<(), Failure> {
        self.sync()?;
        finishing()?;
        let held = self.held();
        let (head, tail) = (&held[0], &held[1]);
        let record = |index: usize| (index * RECORD).min(head.len());
        self.write_device(self.withheld[1].start, tail)?;
        self.write_device(record(2) as u64, &head[record(2)..])?;
        self.sync()?;
        self.write_device(record(1) as u64, &head[record(1)..record(2)])?;
        self.sync()?;
        self.write_device(0, &head[..record(1)])?;
        self.sync()
    }

    fn discard(&self) -> Result<(), Failure> {
        for range in &self.withheld {
            write_zeros(range.clone(), &Cancel::new(), |at, zeros| self.write_device(at, zeros))?;
        }
        self.sync()
    }
}
