//! Raw deflate (RFC 1951): the stream inside a zip member, which says itself where it ends.
//!
//! There is no check value in it; whoever frames the stream has one.

#[cfg(test)]
mod tests;

use flate2::{Decompress, FlushDecompress, Status};

use crate::{Error, Kind, Step, StreamDecoder};

/// Decodes one raw deflate stream and leaves what follows it.
///
/// Memory: about 48 KiB (32 KiB of history and the tables), for every input.
#[derive(Debug)]
pub struct DeflateDecoder {
    inflate: Decompress,
    is_done: bool,
}

impl Default for DeflateDecoder {
    fn default() -> Self {
        Self::new()
    }
}

impl DeflateDecoder {
    /// A decoder at the start of a stream.
    #[must_use]
    pub fn new() -> Self {
        Self { inflate: Decompress::new(false), is_done: false }
    }

    /// Whether the stream has ended; no more input is used then.
    #[must_use]
    pub const fn is_done(&self) -> bool {
        self.is_done
    }
}

impl StreamDecoder for DeflateDecoder {
    fn step(&mut self, input: &[u8], output: &mut [u8]) -> Result<Step, Error> {
        if self.is_done {
            return Ok(Step::default());
        }
        let (used, made) = (self.inflate.total_in(), self.inflate.total_out());
        let status = self.inflate.decompress(input, output, FlushDecompress::None).map_err(|error| {
            Error::new(Kind::Corrupt, format!("deflate data, at or after byte {}: {error}", self.inflate.total_in()))
        })?;
        self.is_done = status == Status::StreamEnd;
        let grown = |before: u64, after: u64| usize::try_from(after - before).expect("bounded by the slice's length");
        Ok(Step {
            consumed: grown(used, self.inflate.total_in()),
            produced: grown(made, self.inflate.total_out()),
            boundary: self.is_done,
        })
    }

    fn finish(&mut self) -> Result<(), Error> {
        if self.is_done {
            return Ok(());
        }
        Err(Error::new(
            Kind::Truncated,
            format!("deflate stream ends in its data (at byte {})", self.inflate.total_in()),
        ))
    }
}
