//! bzip2: any number of streams, each checked by the library against the CRC of its blocks and its own.
//!
//! ```text
//! Start --> Stream --+--> end of input
//!             ^      |
//!             +------+--> Padding (zeros to the end)
//! ```
//!
//! The library stops after one stream with success, so what follows is looked at here: another stream, zeros as tapes
//! and block devices leave them (`bzip2 -d` passes over them too), or a refusal. A stream begins and ends on a byte, its
//! blocks do not; so only its end is a place to start again.

#[cfg(test)]
mod tests;

use std::fmt;

use bzip2::{Decompress, Error as Refusal, Status};

use crate::{Error, Kind, Step, StreamDecoder};

/// The first byte of every stream.
const MAGIC: u8 = b'B';

enum State {
    /// Before the first stream.
    Start,
    /// After a stream.
    Between,
    Stream(Decompress),
    /// Zeros after the last stream.
    Padding,
}

/// Decodes a bzip2 stream.
///
/// Memory: about 4 MiB (one block of at most 900 kB, four bytes for each of its bytes, and tables), for every input.
pub struct Bzip2Decoder {
    state: State,
    /// Streams begun, for messages.
    stream: u64,
    /// Input bytes used, for messages.
    offset: u64,
}

impl fmt::Debug for Bzip2Decoder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (stream, offset) = (self.stream, self.offset);
        f.debug_struct("Bzip2Decoder").field("stream", &stream).field("offset", &offset).finish_non_exhaustive()
    }
}

impl Default for Bzip2Decoder {
    fn default() -> Self {
        Self::new()
    }
}

impl Bzip2Decoder {
    /// A decoder at the start of a file, which must hold at least one stream.
    #[must_use]
    pub const fn new() -> Self {
        Self { state: State::Start, stream: 0, offset: 0 }
    }

    /// A decoder that goes on after a [boundary](Step::boundary), where the file may also end.
    #[must_use]
    pub fn at_boundary() -> Self {
        Self { state: State::Between, ..Self::new() }
    }

    fn advance(&mut self, input: &[u8], output: &mut [u8]) -> Result<Step, Error> {
        match &mut self.state {
            State::Stream(stream) => {
                let step = decode(stream, input, output)?;
                if step.boundary {
                    self.state = State::Between;
                }
                return Ok(step);
            }
            State::Padding if input.iter().any(|&byte| byte != 0) => return Err(trailing_garbage()),
            State::Padding => return Ok(Step { consumed: input.len(), ..Step::default() }),
            State::Between if input[0] == 0 => self.state = State::Padding,
            State::Between if input[0] != MAGIC => return Err(trailing_garbage()),
            State::Start | State::Between => {
                self.stream += 1;
                self.state = State::Stream(Decompress::new(false));
            }
        }
        Ok(Step::default())
    }

    /// The same refusal, with the place where it happened.
    fn locate(&self, error: &Error) -> Error {
        let place = if matches!(self.state, State::Stream(_)) { "bzip2 stream" } else { "after bzip2 stream" };
        Error::new(error.kind(), format!("{place} {}, at or after byte {}: {error}", self.stream, self.offset))
    }
}

impl StreamDecoder for Bzip2Decoder {
    fn step(&mut self, input: &[u8], output: &mut [u8]) -> Result<Step, Error> {
        let mut done = Step::default();
        while !done.boundary && (done.consumed < input.len() || matches!(self.state, State::Stream(_))) {
            let in_stream = matches!(self.state, State::Stream(_));
            let step = self
                .advance(&input[done.consumed..], &mut output[done.produced..])
                .map_err(|error| self.locate(&error))?;
            done.consumed += step.consumed;
            done.produced += step.produced;
            done.boundary = step.boundary;
            self.offset += step.consumed as u64;
            if in_stream && step.consumed == 0 && step.produced == 0 {
                break;
            }
        }
        Ok(done)
    }

    fn finish(&mut self) -> Result<(), Error> {
        let what = match self.state {
            State::Between | State::Padding => return Ok(()),
            State::Start => "is empty",
            State::Stream(_) => "ends inside a stream",
        };
        let what = format!("bzip2 stream {what} (stream {}, at byte {})", self.stream, self.offset);
        Err(Error::new(Kind::Truncated, what))
    }
}

fn decode(stream: &mut Decompress, input: &[u8], output: &mut [u8]) -> Result<Step, Error> {
    let (before_in, before_out) = (stream.total_in(), stream.total_out());
    let status = stream.decompress(input, output).map_err(refused)?;
    if status == Status::MemNeeded {
        return Err(Error::new(Kind::Memory, "no memory for a bzip2 block"));
    }
    Ok(Step {
        consumed: used(before_in, stream.total_in()),
        produced: used(before_out, stream.total_out()),
        boundary: status == Status::StreamEnd,
    })
}

fn refused(refusal: Refusal) -> Error {
    let what = match refusal {
        Refusal::DataMagic => "no bzip2 stream begins here",
        Refusal::Data => "bzip2 data is damaged (a block or a CRC is wrong)",
        Refusal::Sequence | Refusal::Param => "bzip2 decoder refuses to go on",
    };
    Error::new(Kind::Corrupt, what)
}

fn trailing_garbage() -> Error {
    Error::new(Kind::Corrupt, "no bzip2 stream begins here, and it is no zero padding")
}

/// What a running total grew by in one call, which is bounded by the length of a slice.
fn used(before: u64, after: u64) -> usize {
    usize::try_from(after - before).expect("bounded by the slice's length")
}
