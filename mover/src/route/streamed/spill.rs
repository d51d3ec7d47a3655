//! What flowed past before its table: kept at its place in a sparse file without a name, until the end of the stream.
//!
//! `qemu-img convert` writes tables before what they place, so that here only a few tables are kept. An image that was
//! modified or resized later has tables at its end; what they place is then read back from here.

use std::collections::BTreeMap;
use std::fs::File;
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::path::Path;

use contract::{Code, Failure};

use crate::target::{Writeback, failed};
use crate::zero::data_runs;

/// Ranges that may be remembered; an image with more is not what any tool writes.
const MAX_RANGES: usize = 1 << 17;

/// Kept bytes by their offset in the image.
pub(crate) struct Spill {
    file: File,
    /// Start and end of what is kept.
    kept: BTreeMap<u64, u64>,
    writeback: Writeback,
}

impl Spill {
    /// Keeps in the target's nameless `file`, which an earlier try may have used.
    ///
    /// # Errors
    /// The file cannot be emptied.
    pub(crate) fn new(file: &File) -> Result<Self, Failure> {
        let emptied = file.set_len(0).and_then(|()| file.try_clone());
        let file = emptied.map_err(|error| cannot("keep", &error))?;
        Ok(Self { file, kept: BTreeMap::new(), writeback: Writeback::default() })
    }

    /// Keeps `bytes`, which begin at `host`; ranges ascend.
    ///
    /// # Errors
    /// They cannot be stored, or are too scattered.
    pub(super) fn keep(&mut self, host: u64, bytes: &[u8]) -> Result<(), Failure> {
        let end = host + bytes.len() as u64;
        match self.kept.last_entry() {
            Some(mut last) if *last.get() == host => *last.get_mut() = end,
            _ => drop(self.kept.insert(host, end)),
        }
        if self.kept.len() > MAX_RANGES {
            let what =
                format!("the image has more than {MAX_RANGES} places whose use is not known when they flow past");
            return Err(Failure::new(Code::ImageUnplaced, what));
        }
        for run in data_runs(bytes) {
            let at = host + run.start as u64;
            let written = self.file.write_all_at(&bytes[run.clone()], at);
            let written = written.and_then(|()| self.writeback.written(&self.file, at..at + run.len() as u64));
            written.map_err(|error| cannot("keep", &error))?;
        }
        Ok(())
    }

    /// Reads back kept bytes.
    ///
    /// # Errors
    /// They cannot be read, or some of `range` was taken for something else when it flowed past.
    pub(super) fn read(&self, range: &Range<u64>, buf: &mut [u8]) -> Result<(), Failure> {
        let holds = self.kept.range(..=range.start).next_back().is_some_and(|(_, end)| *end >= range.end);
        if !holds {
            let what = format!(
                "bytes {}..{} of the image were taken for something else when they flowed past, or are past its end",
                range.start, range.end
            );
            return Err(Failure::new(Code::ImageUnplaced, what));
        }
        let read = crate::target::read_padded(&self.file, range.start, buf);
        read.map_err(|error| cannot("read back", &error))
    }
}

fn cannot(doing: &str, error: &std::io::Error) -> Failure {
    failed(&format!("{doing} what is placed late"), Path::new("the scratch file"), error)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_kept_is_read_back_and_what_is_not_is_refused() {
        let file = tempfile::tempfile().unwrap();
        file.set_len(1 << 20).unwrap();
        let mut spill = Spill::new(&file).unwrap();
        spill.keep(100, &[1; 50]).unwrap();
        spill.keep(150, &[0; 100_000]).unwrap();
        spill.keep(1 << 40, &[2; 10]).unwrap();
        let mut buf = [9; 60];
        spill.read(&(120..180), &mut buf).unwrap();
        assert_eq!((&buf[..30], &buf[30..]), (&[1; 30][..], &[0; 30][..]));
        for range in [90..110, 100_140..100_160, 500_000..500_010] {
            assert_eq!(spill.read(&range, &mut [0; 20]).unwrap_err().code(), Code::ImageUnplaced);
        }
    }
}
