//! The bytes of an archive from the front: looked at, read, and passed over, at random or as they flow.
//!
//! Where any range can be read, what is passed over is never fetched. Nothing here knows how long the archive says it is.

use std::sync::Arc;

use contract::{Checked, Code, Failure};

use crate::flow::Flow;
use crate::route::MAX_DISK;
use crate::source::Source;

/// Bytes asked for at once: a header, and the first bytes of a member to know it by.
const AHEAD: usize = 128 << 10;

enum Origin {
    /// Any range of it can be read.
    Ranged(Arc<dyn Source>),
    /// It comes once.
    Flowing(Box<Flow<'static>>),
}

/// An archive and the place reached in it.
pub(super) struct Input {
    origin: Origin,
    /// The archive, as messages name it.
    pub(super) name: String,
    buffer: Vec<u8>,
    used: usize,
    /// Offset of `buffer[used]`.
    pub(super) position: u64,
    /// Bytes fetched that were told of.
    told: u64,
}

impl Input {
    /// An archive of which any range can be read.
    pub(super) fn ranged(source: Arc<dyn Source>) -> Self {
        let name = source.name().to_owned();
        Self { origin: Origin::Ranged(source), name, buffer: Vec::new(), used: 0, position: 0, told: 0 }
    }

    /// An archive, or a part of one, that flows past.
    pub(super) fn flowing(flow: Flow<'static>, name: &str) -> Self {
        let name = name.to_owned();
        Self { origin: Origin::Flowing(Box::new(flow)), name, buffer: Vec::new(), used: 0, position: 0, told: 0 }
    }

    /// The next `len` bytes, fewer only at the end of the archive.
    pub(super) fn peek(&mut self, len: usize) -> Result<&[u8], Failure> {
        while self.buffer.len() - self.used < len {
            self.buffer.drain(..self.used);
            self.used = 0;
            let have = self.buffer.len();
            self.buffer.resize(len.max(AHEAD), 0);
            let read = self.fetch(self.position + have as u64, have);
            self.buffer.truncate(have + *read.as_ref().unwrap_or(&0));
            if read? == 0 {
                break;
            }
        }
        let end = self.buffer.len().min(self.used + len);
        Ok(&self.buffer[self.used..end])
    }

    /// Fills the buffer behind its first `have` bytes with what begins at `offset`; 0 at the end.
    fn fetch(&mut self, offset: u64, have: usize) -> Result<usize, Failure> {
        let free = &mut self.buffer[have..];
        match &mut self.origin {
            Origin::Flowing(flow) => flow.take(free),
            Origin::Ranged(source) => {
                let end = source.len().unwrap_or(0).min(offset + free.len() as u64);
                if offset < end { source.open(offset..end)?.fill(free) } else { Ok(0) }
            }
        }
    }

    /// At least one byte that is there already or comes next; nothing at the end.
    pub(super) fn available(&mut self) -> Result<&[u8], Failure> {
        self.peek(1)?;
        Ok(&self.buffer[self.used..])
    }

    /// Goes on behind `len` bytes that were seen.
    pub(super) fn consume(&mut self, len: usize) {
        self.used += len;
        self.position += len as u64;
    }

    /// Reads at least one byte, or 0 at the end.
    pub(super) fn read(&mut self, buf: &mut [u8]) -> Result<usize, Failure> {
        if self.used == self.buffer.len()
            && let Origin::Flowing(flow) = &mut self.origin
        {
            let read = flow.take(buf)?;
            self.position += read as u64;
            return Ok(read);
        }
        let seen = self.available()?;
        let len = seen.len().min(buf.len());
        buf[..len].copy_from_slice(&seen[..len]);
        self.consume(len);
        Ok(len)
    }

    /// Passes over `len` bytes.
    ///
    /// # Errors
    /// The archive ends before; or it flows and goes on for longer than any disk.
    pub(super) fn skip(&mut self, len: u64) -> Result<(), Failure> {
        let end = self.position.checked_add(len).filter(|end| *end <= MAX_DISK).ok_or_else(|| self.too_long())?;
        let seen = len.min((self.buffer.len() - self.used) as u64);
        self.consume(seen as usize);
        match &mut self.origin {
            Origin::Ranged(source) if self.position < end => {
                let there = source.len().unwrap_or(0);
                if end > there {
                    return Err(self.truncated());
                }
                (self.buffer, self.used, self.position) = (Vec::new(), 0, end);
            }
            Origin::Ranged(_) => {}
            Origin::Flowing(_) => {
                let mut unused = vec![0; AHEAD.min((end - self.position) as usize)];
                while self.position < end {
                    let most = unused.len().min((end - self.position) as usize);
                    if self.read(&mut unused[..most])? == 0 {
                        return Err(self.truncated());
                    }
                }
            }
        }
        Ok(())
    }

    /// Passes over what is left of an archive that flows, so that its end is known to be one and all of it was hashed.
    pub(super) fn drain(&mut self) -> Result<(), Failure> {
        if let Origin::Flowing(flow) = &mut self.origin {
            flow.drain()?;
        }
        Ok(())
    }

    /// Digests of what has flowed past.
    pub(super) fn digests(&self) -> Vec<(Checked, String)> {
        match &self.origin {
            Origin::Flowing(flow) => flow.digests(),
            Origin::Ranged(_) => Vec::new(),
        }
    }

    /// Bytes fetched since the last call.
    pub(super) fn fetched(&mut self) -> u64 {
        let Origin::Flowing(flow) = &self.origin else { return 0 };
        let fresh = flow.fetched - self.told;
        self.told = flow.fetched;
        fresh
    }

    /// A failure at the place reached.
    pub(super) fn failure(&self, code: Code, what: impl Into<String>) -> Failure {
        Failure::new(code, what).at(format!("{}, offset {}", self.name, self.position))
    }

    /// The archive ends where it should go on.
    pub(super) fn truncated(&self) -> Failure {
        self.failure(Code::ImageTruncated, "the archive ends too early")
    }

    fn too_long(&self) -> Failure {
        self.failure(Code::ImageTooLarge, format!("the archive goes on for more than {MAX_DISK} bytes"))
    }
}
