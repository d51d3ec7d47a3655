//! gzip (RFC 1952): any number of members, each checked against its CRC-32 and length.
//!
//! ```text
//! Start --> Header --> Body --> Trailer --+--> end of input
//!             ^                           |
//!             +---------- Between <-------+--> Padding (zeros to the end)
//! ```
//!
//! The members are taken apart here and only raw deflate is left to the library, because a caller that wants to start
//! again must know exactly where a member ends, and because a library that stops after the first member with success
//! loses data.

mod header;
#[cfg(test)]
mod tests;

use crc32fast::Hasher;
use flate2::{Decompress, FlushDecompress, Status};

use crate::{Error, Kind, Step, StreamDecoder};
use header::{Header, MAGIC};

const TRAILER: usize = 8;

/// Output bytes inflated before their CRC is taken: few enough to be still in the second-level cache, enough to make
/// the library's 32 KiB of history, copied after each call, a small part of the work.
const CHECKED_TOGETHER: usize = 256 << 10;

#[derive(Debug)]
enum State {
    /// Before the first member.
    Start,
    /// After a member.
    Between,
    Header(Header),
    Body,
    Trailer {
        field: [u8; TRAILER],
        have: usize,
    },
    /// Zeros after the last member, as tapes and block devices leave them; `gzip -d` ignores them too.
    Padding,
}

/// Decodes a gzip stream.
///
/// Memory: about 48 KiB (32 KiB of history and the tables), for every input.
#[derive(Debug)]
pub struct GzipDecoder {
    state: State,
    inflate: Decompress,
    crc: Hasher,
    /// Decoded bytes of this member, modulo 2^32 as the trailer counts them.
    length: u32,
    /// Members begun, for messages.
    member: u64,
    /// Input bytes used, for messages.
    offset: u64,
}

impl Default for GzipDecoder {
    fn default() -> Self {
        Self::new()
    }
}

impl GzipDecoder {
    /// A decoder at the start of a stream, which must hold at least one member.
    #[must_use]
    pub fn new() -> Self {
        Self {
            state: State::Start,
            inflate: Decompress::new(false),
            crc: Hasher::new(),
            length: 0,
            member: 0,
            offset: 0,
        }
    }

    /// A decoder that goes on after a [boundary](Step::boundary), where the stream may also end.
    #[must_use]
    pub fn at_boundary() -> Self {
        Self { state: State::Between, ..Self::new() }
    }

    fn advance(&mut self, input: &[u8], output: &mut [u8]) -> Result<Step, Error> {
        match &mut self.state {
            State::Start => {
                self.begin_member();
                Ok(Step::default())
            }
            State::Between => self.between(input[0]),
            State::Header(header) => {
                let consumed = header.feed(input)?;
                if header.is_done() {
                    self.state = State::Body;
                }
                Ok(Step { consumed, ..Step::default() })
            }
            State::Body => self.body(input, output),
            State::Trailer { .. } => self.trailer(input),
            State::Padding => match input.iter().position(|&byte| byte != 0) {
                Some(_) => Err(trailing_garbage()),
                None => Ok(Step { consumed: input.len(), ..Step::default() }),
            },
        }
    }

    fn begin_member(&mut self) {
        self.state = State::Header(Header::new());
        self.inflate.reset(false);
        self.crc.reset();
        self.length = 0;
        self.member += 1;
    }

    fn between(&mut self, next: u8) -> Result<Step, Error> {
        if next == 0 {
            self.state = State::Padding;
        } else if next == MAGIC[0] {
            self.begin_member();
        } else {
            return Err(trailing_garbage());
        }
        Ok(Step::default())
    }

    fn body(&mut self, input: &[u8], output: &mut [u8]) -> Result<Step, Error> {
        let room = output.len().min(CHECKED_TOGETHER);
        let (before_in, before_out) = (self.inflate.total_in(), self.inflate.total_out());
        let status = self
            .inflate
            .decompress(input, &mut output[..room], FlushDecompress::None)
            .map_err(|error| Error::new(Kind::Corrupt, format!("deflate data: {error}")))?;
        let consumed = used(before_in, self.inflate.total_in());
        let produced = used(before_out, self.inflate.total_out());
        self.crc.update(&output[..produced]);
        self.length = self.length.wrapping_add(u32::try_from(produced).expect("at most CHECKED_TOGETHER"));
        if status == Status::StreamEnd {
            self.state = State::Trailer { field: [0; TRAILER], have: 0 };
        }
        Ok(Step { consumed, produced, boundary: false })
    }

    fn trailer(&mut self, input: &[u8]) -> Result<Step, Error> {
        let State::Trailer { field, have } = &mut self.state else { return Ok(Step::default()) };
        let consumed = (TRAILER - *have).min(input.len());
        field[*have..*have + consumed].copy_from_slice(&input[..consumed]);
        *have += consumed;
        if *have < TRAILER {
            return Ok(Step { consumed, ..Step::default() });
        }
        let [c0, c1, c2, c3, l0, l1, l2, l3] = *field;
        self.verify(u32::from_le_bytes([c0, c1, c2, c3]), u32::from_le_bytes([l0, l1, l2, l3]))?;
        self.state = State::Between;
        Ok(Step { consumed, produced: 0, boundary: true })
    }

    fn verify(&self, stored_crc: u32, stored_length: u32) -> Result<(), Error> {
        let crc = self.crc.clone().finalize();
        if crc != stored_crc {
            let what = format!("CRC-32 is {stored_crc:#010x} in the trailer and {crc:#010x} of the data");
            return Err(Error::new(Kind::Corrupt, what));
        }
        if self.length != stored_length {
            let what =
                format!("length is {stored_length} in the trailer and {} of the data (modulo 2^32)", self.length);
            return Err(Error::new(Kind::Corrupt, what));
        }
        Ok(())
    }

    /// The same refusal, with the place where it happened.
    fn locate(&self, error: &Error) -> Error {
        let place =
            if matches!(self.state, State::Between | State::Padding) { "after gzip member" } else { "gzip member" };
        Error::new(error.kind(), format!("{place} {}, at or after byte {}: {error}", self.member, self.offset))
    }
}

impl StreamDecoder for GzipDecoder {
    fn step(&mut self, input: &[u8], output: &mut [u8]) -> Result<Step, Error> {
        let mut done = Step::default();
        while !done.boundary && (done.consumed < input.len() || matches!(self.state, State::Body)) {
            let step = self
                .advance(&input[done.consumed..], &mut output[done.produced..])
                .map_err(|error| self.locate(&error))?;
            done.consumed += step.consumed;
            done.produced += step.produced;
            done.boundary = step.boundary;
            self.offset += step.consumed as u64;
            if matches!(self.state, State::Body) && step.consumed == 0 && step.produced == 0 {
                break;
            }
        }
        Ok(done)
    }

    fn finish(&mut self) -> Result<(), Error> {
        let what = match &self.state {
            State::Between | State::Padding => return Ok(()),
            State::Start => "is empty".to_owned(),
            State::Header(header) => format!("ends after {} bytes of a header", header.length()),
            State::Body => "ends in the data of a member".to_owned(),
            State::Trailer { have, .. } => format!("ends after {have} of {TRAILER} bytes of a trailer"),
        };
        let what = format!("gzip stream {what} (member {}, at byte {})", self.member, self.offset);
        Err(Error::new(Kind::Truncated, what))
    }
}

fn trailing_garbage() -> Error {
    Error::new(Kind::Corrupt, "no gzip member begins here, and it is no zero padding")
}

/// What a running total grew by in one call, which is bounded by the length of a slice.
fn used(before: u64, after: u64) -> usize {
    usize::try_from(after - before).expect("bounded by the slice's length")
}
