//! zstd (RFC 8878): any number of frames and skippable frames, memory bounded by a limit on the window.
//!
//! ```text
//! Header --> Frame ----> Header ...
//!        \-> Skipping -/
//! ```
//!
//! Headers are read here before the library sees them, so that a refusal can name the window and the limit, and so that
//! no memory is taken for a frame that is refused. The library decodes the blocks and verifies the content checksum.

mod header;
#[cfg(test)]
mod tests;

use std::fmt;
use std::ops::RangeInclusive;

use zstd_safe::{DCtx, DParameter, InBuffer, OutBuffer};

use crate::{Error, Kind, Step, StreamDecoder};
use header::{Frame, Header, LONGEST};

/// Bytes a [`ZstdDecoder`] takes at most besides a frame's window: its tables, one block of input, one of output.
pub const MEMORY_BESIDE_WINDOW: u64 = 512 << 10;

/// Bytes of history the first frame needs, from the first bytes of a file; `None` if they do not hold its header.
#[must_use]
pub fn window_size(head: &[u8]) -> Option<u64> {
    first_frame(head).map(|frame| frame.window)
}

/// Bytes the first frame decodes to, from the first bytes of a file; `None` if it does not say.
///
/// Further frames may follow, so this is a lower bound for the whole, and the writer's word, not a proof.
#[must_use]
pub fn content_size(head: &[u8]) -> Option<u64> {
    first_frame(head).and_then(|frame| frame.content)
}

fn first_frame(mut head: &[u8]) -> Option<Frame> {
    loop {
        match header::parse(head).ok()?? {
            Header::Frame(frame) => return Some(frame),
            Header::Skippable { length } => head = head.get(header::length(head) + usize::try_from(length).ok()?..)?,
        }
    }
}

/// The limits the library accepts on 64-bit machines; it also takes 0, and means its default.
const WINDOW_LOGS: RangeInclusive<u32> = 10..=31;

#[derive(Debug)]
enum State {
    /// Collecting the header of a frame.
    Header {
        bytes: [u8; LONGEST],
        have: usize,
    },
    Frame,
    Skipping {
        left: u32,
    },
}

const BETWEEN: State = State::Header { bytes: [0; LONGEST], have: 0 };

/// Decodes a zstd stream.
///
/// Memory: the largest window of a frame seen (at most the limit) and [`MEMORY_BESIDE_WINDOW`].
pub struct ZstdDecoder {
    state: State,
    context: DCtx<'static>,
    window_limit: u64,
    /// The library filled all of the last output, so it may hold more without further input.
    holds_output: bool,
    /// The stream may end here: at least one frame was seen.
    may_end: bool,
    /// Frames begun, for messages.
    frame: u64,
    /// Input bytes used, for messages.
    offset: u64,
}

impl fmt::Debug for ZstdDecoder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ZstdDecoder").field("state", &self.state).field("offset", &self.offset).finish_non_exhaustive()
    }
}

impl ZstdDecoder {
    /// A decoder at the start of a stream, which must hold at least one frame; windows above 2^`window_log_max` bytes
    /// are refused.
    ///
    /// # Errors
    /// `window_log_max` is not within 10 and 31.
    pub fn new(window_log_max: u32) -> Result<Self, Error> {
        if !WINDOW_LOGS.contains(&window_log_max) {
            let what = format!("zstd window limit of 2^{window_log_max} bytes is not within 2^10 and 2^31");
            return Err(Error::new(Kind::Memory, what));
        }
        let mut context = DCtx::try_create().ok_or_else(|| Error::new(Kind::Memory, "no memory for a zstd decoder"))?;
        context.set_parameter(DParameter::WindowLogMax(window_log_max)).map_err(|code| {
            let why = zstd_safe::get_error_name(code);
            Error::new(Kind::Memory, format!("zstd window limit of 2^{window_log_max} bytes: {why}"))
        })?;
        Ok(Self {
            state: BETWEEN,
            context,
            window_limit: 1 << window_log_max,
            holds_output: false,
            may_end: false,
            frame: 0,
            offset: 0,
        })
    }

    /// A decoder that goes on after a [boundary](Step::boundary), where the stream may also end.
    ///
    /// # Errors
    /// As [`new`](Self::new).
    pub fn at_boundary(window_log_max: u32) -> Result<Self, Error> {
        Ok(Self { may_end: true, ..Self::new(window_log_max)? })
    }

    fn advance(&mut self, input: &[u8], output: &mut [u8]) -> Result<Step, Error> {
        match &mut self.state {
            State::Header { bytes, have } => {
                let wanted = header::length(&bytes[..*have]);
                let consumed = (wanted - *have).min(input.len());
                bytes[*have..*have + consumed].copy_from_slice(&input[..consumed]);
                *have += consumed;
                let (bytes, have) = (*bytes, *have);
                let boundary = match self.parse(&bytes[..have])? {
                    None => false,
                    Some(Header::Frame(frame)) => self.enter_frame(frame, &bytes[..have])?,
                    Some(Header::Skippable { length }) => self.skip(length),
                };
                Ok(Step { consumed, produced: 0, boundary })
            }
            State::Skipping { left } => {
                let left = *left;
                let taken = input.len().min(usize::try_from(left).unwrap_or(usize::MAX));
                let rest = left - u32::try_from(taken).expect("at most `left`");
                Ok(Step { consumed: taken, produced: 0, boundary: self.skip(rest) })
            }
            State::Frame => self.decode(input, output),
        }
    }

    fn parse(&self, head: &[u8]) -> Result<Option<Header>, Error> {
        header::parse(head).map_err(|error| match error.kind() {
            Kind::Corrupt if self.may_end => {
                Error::new(Kind::Corrupt, format!("garbage after the last frame: {error}"))
            }
            _ => error,
        })
    }

    /// Checks what the frame asks for and hands its header to the library; true if the frame ends with it.
    fn enter_frame(&mut self, frame: Frame, header: &[u8]) -> Result<bool, Error> {
        self.frame += 1;
        if frame.dictionary != 0 {
            let what = format!("the frame needs dictionary {}", frame.dictionary);
            return Err(Error::new(Kind::Unsupported, what));
        }
        if frame.window > self.window_limit {
            let what =
                format!("the frame needs a window of {} bytes, the limit is {}", frame.window, self.window_limit);
            return Err(Error::new(Kind::Memory, what));
        }
        self.state = State::Frame;
        self.holds_output = false;
        self.decode(header, &mut []).map(|step| step.boundary)
    }

    /// Goes on skipping `left` bytes; true if none are left.
    fn skip(&mut self, left: u32) -> bool {
        self.state = if left == 0 { BETWEEN } else { State::Skipping { left } };
        self.may_end = left == 0;
        left == 0
    }

    fn decode(&mut self, input: &[u8], output: &mut [u8]) -> Result<Step, Error> {
        let mut source = InBuffer::around(input);
        let mut target = OutBuffer::around(output);
        let hint = self
            .context
            .decompress_stream(&mut target, &mut source)
            .map_err(|code| Error::new(Kind::Corrupt, zstd_safe::get_error_name(code)))?;
        let (consumed, produced) = (source.pos(), target.pos());
        let boundary = hint == 0;
        self.holds_output = !boundary && produced == output.len();
        self.may_end = boundary;
        if boundary {
            self.state = BETWEEN;
        }
        Ok(Step { consumed, produced, boundary })
    }

    /// The same refusal, with the place where it happened.
    fn locate(&self, error: &Error) -> Error {
        Error::new(error.kind(), format!("zstd frame {}, at or after byte {}: {error}", self.frame, self.offset))
    }
}

impl StreamDecoder for ZstdDecoder {
    fn step(&mut self, input: &[u8], output: &mut [u8]) -> Result<Step, Error> {
        let mut done = Step::default();
        while !done.boundary {
            let (input, output) = (&input[done.consumed..], &mut output[done.produced..]);
            let in_frame = matches!(self.state, State::Frame);
            // The library takes repeated calls that cannot move as a fault of the caller.
            if (in_frame && output.is_empty()) || (input.is_empty() && !(in_frame && self.holds_output)) {
                break;
            }
            let step = self.advance(input, output).map_err(|error| self.locate(&error))?;
            done.consumed += step.consumed;
            done.produced += step.produced;
            done.boundary = step.boundary;
            self.offset += step.consumed as u64;
        }
        Ok(done)
    }

    fn finish(&mut self) -> Result<(), Error> {
        let what = match self.state {
            State::Header { have: 0, .. } if self.may_end => return Ok(()),
            State::Header { have: 0, .. } => "is empty".to_owned(),
            State::Header { have, .. } => format!("ends after {have} bytes of a frame's header"),
            State::Frame => "ends in a frame".to_owned(),
            State::Skipping { left } => format!("ends {left} bytes before the end of a skippable frame"),
        };
        let what = format!("zstd stream {what} (frame {}, at byte {})", self.frame, self.offset);
        Err(Error::new(Kind::Truncated, what))
    }
}
