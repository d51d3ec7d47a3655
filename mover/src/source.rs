//! What the mover needs of a source; the importer's HTTP, file and standard-input sources implement it.
//!
//! A source opens readers over byte ranges. Each fetching thread owns one reader and copies into pool slots, so a source
//! never sees a format, a target or another source's credentials, and can live in a process of its own.

use std::ops::Range;
use std::sync::Arc;

use contract::{Checked, Failure};

use crate::shared::SharedMemory;

/// Bytes of one range, in order.
pub trait Reader: Send {
    /// Reads at least one byte into `buf`, or 0 at the end of the range (or of a source of unknown length).
    ///
    /// Reconnects and goes on from the byte reached by itself, within the import's retry budget, so an error is final
    /// for this attempt.
    ///
    /// # Errors
    /// The source cannot be read on, has changed, or ended before its stated length; or the import was cancelled.
    fn read(&mut self, buf: &mut [u8]) -> Result<usize, Failure>;

    /// Fills `buf` as far as the range goes and returns how much that was.
    ///
    /// # Errors
    /// As [`read`](Self::read).
    fn fill(&mut self, buf: &mut [u8]) -> Result<usize, Failure> {
        let mut filled = 0;
        while filled < buf.len() {
            match self.read(&mut buf[filled..])? {
                0 => break,
                read => filled += read,
            }
        }
        Ok(filled)
    }

    /// Bytes fetched since the last call, in which `handed_out` bytes were handed out: another number where a reader
    /// decodes or passes over something.
    fn fetched(&mut self, handed_out: u64) -> u64 {
        handed_out
    }
}

/// Where an image comes from.
#[expect(clippy::len_without_is_empty, reason = "a length that may be unknown, of something that is no collection")]
pub trait Source: Send + Sync {
    /// The source as messages name it: a URL without credentials, a path, `standard input`.
    fn name(&self) -> &str;

    /// Length in bytes, if the source stated one.
    fn len(&self) -> Option<u64>;

    /// Whether any range can be opened, several at once. A source without ranges is opened once, at 0.
    fn has_ranges(&self) -> bool;

    /// Size of the empty disk that this source stands for, instead of an image's bytes.
    fn blank(&self) -> Option<u64> {
        None
    }

    /// Whether the end of the body can be told from a broken connection: a length, a chunked body, a file's end.
    fn end_is_known(&self) -> bool {
        true
    }

    /// Text that is equal only if the content is: strong entity tag, modification time with length, inode.
    /// `None` if the source gives nothing of the kind; then an interrupted import cannot go on.
    fn identity(&self) -> Option<String>;

    /// The parts of `range` that may hold data, in order; what is left out reads as zeros without being fetched.
    fn data_in(&self, range: Range<u64>) -> Vec<Range<u64>> {
        vec![range]
    }

    /// How many readers may be open at once with a gain.
    fn parallelism(&self) -> usize;

    /// How the source is reached: credentials by their kind, headers by their names, proxies; never a value that is secret.
    fn access(&self) -> Vec<String> {
        Vec::new()
    }

    /// What a careful user should know about this source (weak transport, missing length ...), in full sentences.
    fn warnings(&self) -> Vec<String> {
        Vec::new()
    }

    /// Name of the member of an archive that this source is, if it is one.
    fn member(&self) -> Option<&str> {
        None
    }

    /// Digests of the archive around a member, known once all of it has flowed past.
    fn digests(&self) -> Vec<(Checked, String)> {
        Vec::new()
    }

    /// Says in which memory most buffers of its readers will be; a source in another process has it map that memory.
    ///
    /// # Errors
    /// It cannot be mapped.
    fn share(&self, _memory: &Arc<SharedMemory>) -> Result<(), Failure> {
        Ok(())
    }

    /// Opens a reader over `range`. A source without ranges takes only a range that begins at 0, and only once.
    ///
    /// # Errors
    /// The range cannot be had.
    fn open(&self, range: Range<u64>) -> Result<Box<dyn Reader>, Failure>;
}
