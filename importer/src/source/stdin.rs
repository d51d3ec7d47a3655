//! Standard input: bytes in order, once, with no length and nothing to know them again by.

use std::io::IsTerminal;
use std::ops::Range;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::{Mutex, PoisonError};

use contract::{Code, Failure};
use mover::cancel::Cancel;
use mover::source::{Reader, Source};
use rustix::event::{PollFd, PollFlags, Timespec, poll};

/// How long a wait for input lasts before the request to stop is looked at again.
const GLANCE: Timespec = Timespec { tv_sec: 0, tv_nsec: 100_000_000 };

/// An image that arrives on a descriptor, in order.
#[derive(Debug)]
pub struct StdinSource {
    input: Mutex<Option<OwnedFd>>,
    cancel: Cancel,
}

impl StdinSource {
    /// Takes standard input as the source.
    ///
    /// # Errors
    /// Code `usage` if it is a terminal, `source-read` if there is none.
    pub fn new(cancel: Cancel) -> Result<Self, Failure> {
        let stdin = std::io::stdin();
        if stdin.is_terminal() {
            return Err(Failure::new(Code::Usage, "standard input is a terminal")
                .remedy("pipe the image in: `zstdcat disk.zst | gantry import - disk.img`"));
        }
        let input = stdin.as_fd().try_clone_to_owned().map_err(|error| cannot_read(&error, 0))?;
        Ok(Self::from_descriptor(input, cancel))
    }

    /// Takes any readable descriptor, for instance one end of a pipe.
    #[must_use]
    pub fn from_descriptor(input: OwnedFd, cancel: Cancel) -> Self {
        Self { input: Mutex::new(Some(input)), cancel }
    }
}

impl Source for StdinSource {
    fn name(&self) -> &str {
        "standard input"
    }

    fn len(&self) -> Option<u64> {
        None
    }

    fn has_ranges(&self) -> bool {
        false
    }

    fn identity(&self) -> Option<String> {
        None
    }

    fn parallelism(&self) -> usize {
        1
    }

    fn warnings(&self) -> Vec<String> {
        vec!["Standard input has no length: if the program that writes it fails early, its end looks like the image's end; give a --checksum.".into()]
    }

    fn open(&self, range: Range<u64>) -> Result<Box<dyn Reader>, Failure> {
        let input = self.input.lock().unwrap_or_else(PoisonError::into_inner).take();
        match input {
            Some(input) if range.start == 0 => {
                Ok(Box::new(StdinReader { input, at: 0, end: range.end, cancel: self.cancel.clone() }))
            }
            _ => Err(Failure::new(
                Code::Internal,
                format!("standard input was asked for bytes {}.. but flows once, from 0", range.start),
            )),
        }
    }
}

struct StdinReader {
    input: OwnedFd,
    at: u64,
    end: u64,
    cancel: Cancel,
}

impl StdinReader {
    /// Waits until there is input or its end, looking at the request to stop now and then.
    fn wait(&self) -> Result<(), Failure> {
        loop {
            self.cancel.check()?;
            match poll(&mut [PollFd::new(&self.input, PollFlags::IN)], Some(&GLANCE)) {
                Ok(0) | Err(rustix::io::Errno::INTR) => {}
                Ok(_) => return Ok(()),
                Err(error) => return Err(cannot_read(&error.into(), self.at)),
            }
        }
    }
}

impl Reader for StdinReader {
    fn read(&mut self, buf: &mut [u8]) -> Result<usize, Failure> {
        let most = buf.len().min(usize::try_from(self.end - self.at).unwrap_or(usize::MAX));
        loop {
            self.wait()?;
            match rustix::io::read(&self.input, &mut buf[..most]) {
                Ok(read) => {
                    self.at += read as u64;
                    return Ok(read);
                }
                Err(rustix::io::Errno::INTR | rustix::io::Errno::AGAIN) => {}
                Err(error) => return Err(cannot_read(&error.into(), self.at)),
            }
        }
    }
}

fn cannot_read(error: &std::io::Error, offset: u64) -> Failure {
    Failure::new(Code::SourceRead, format!("cannot read standard input: {error}")).at(format!("offset {offset}"))
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    fn piped() -> (StdinSource, std::io::PipeWriter, Cancel) {
        let (read, write) = std::io::pipe().unwrap();
        let cancel = Cancel::new();
        (StdinSource::from_descriptor(read.into(), cancel.clone()), write, cancel)
    }

    #[test]
    fn bytes_arrive_in_order_up_to_the_end() {
        let (source, mut write, _) = piped();
        let writer =
            std::thread::spawn(move || (0..300_000_u32).for_each(|n| write.write_all(&n.to_le_bytes()).unwrap()));
        let mut reader = source.open(0..u64::MAX).unwrap();
        let mut got = vec![0; 2_000_000];
        let filled = reader.fill(&mut got).unwrap();
        writer.join().unwrap();
        assert_eq!(filled, 1_200_000);
        assert!(got[..filled].chunks_exact(4).zip(0_u32..).all(|(bytes, n)| bytes == n.to_le_bytes()));
    }

    #[test]
    fn it_flows_once_and_from_the_start_only() {
        let (source, _write, _) = piped();
        assert_eq!(source.open(5..9).err().unwrap().code(), Code::Internal);
        let (source, _write, _) = piped();
        source.open(0..9).unwrap();
        assert_eq!(source.open(0..9).err().unwrap().code(), Code::Internal);
    }

    #[test]
    fn a_reader_that_waits_stops_on_request() {
        let (source, write, cancel) = piped();
        let mut reader = source.open(0..u64::MAX).unwrap();
        let waiting = std::thread::spawn(move || reader.read(&mut [0; 16]));
        cancel.cancel();
        assert_eq!(waiting.join().unwrap().unwrap_err().code(), Code::Cancelled);
        drop(write);
    }

    #[test]
    fn an_unreadable_descriptor_is_named_with_its_offset() {
        let directory = std::fs::File::open("/").unwrap();
        let source = StdinSource::from_descriptor(directory.into(), Cancel::new());
        let failure = source.open(0..9).unwrap().read(&mut [0; 9]).unwrap_err();
        assert_eq!((failure.code(), failure.place()), (Code::SourceRead, Some("offset 0")));
    }
}
