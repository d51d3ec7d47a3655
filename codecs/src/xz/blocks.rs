//! The blocks of an .xz file one by one, so that a caller may decode each on a thread of its own.
//!
//! ```text
//! stream   header | block | block | ... | index | footer       file   stream | zeros in fours | stream | ...
//! block    header | LZMA2 chunks | zeros to a multiple of 4 | check value
//! ```
//!
//! [`Blocks`] walks over a file without decoding it: from chunk to chunk, whether a block's header states sizes
//! (`xz -T2`) or not (`xz -T1 --block-size`). It verifies headers, sizes, index and footer; it holds no data, and the
//! index only as a sum. The caller gives the bytes of a block, as they come, to a
//! [`BlockDecoder`](super::BlockDecoder).

use super::chunks::Chunks;
use super::header::{self, BlockHeader, Check, LONGEST_BLOCK_HEADER, MAGIC, STREAM_HEADER, check_zeros};
use super::index::{Index, Records};
use crate::{Error, Kind};

/// A block whose end has been reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Block {
    /// What its header says.
    pub header: BlockHeader,
    /// The check of its stream.
    pub check: Check,
    /// Bytes of the block in the file, from its header to its check value.
    pub length: u64,
    /// Bytes it decodes to.
    pub uncompressed: u64,
    /// Bytes in the file less the padding, as an index counts them.
    pub(super) unpadded: u64,
}

/// What the bytes are that one [`Blocks::step`] used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// They belong to no block.
    Outside,
    /// They belong to no stream: zeros behind one.
    Padding,
    /// They belong to a block.
    Inside,
    /// They belong to a block, and its header ends with them.
    Header(BlockHeader),
    /// They belong to a block, which ends with them.
    Block(Block),
    /// They belong to no block, and a stream ends with them: the file may end here.
    StreamEnd,
}

/// Where a walk may be taken up again: after a block.
///
/// Plain numbers, for a caller to write down and give to [`Blocks::resume`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Restart {
    /// The check of the stream.
    pub check: Check,
    /// Blocks before this place in the stream.
    pub blocks: u64,
    /// Bytes their records will have in the index.
    pub records: u64,
    /// CRC-32 of those records.
    pub crc: u32,
}

#[derive(Clone, Debug)]
enum State {
    /// Before a stream; `padding` zeros have been seen.
    StreamHeader {
        padding: u64,
    },
    /// Before a block or an index.
    Edge,
    BlockHeader,
    Chunks(BlockHeader, Chunks),
    /// In the padding and the check value of a block, of which `zeros` and `left` bytes are to come.
    Tail {
        block: Block,
        zeros: usize,
        left: usize,
    },
    Index(Index),
    Footer,
}

/// Walks over an .xz file and says where its blocks are.
///
/// Memory: about 2 KiB, for every input.
#[derive(Clone, Debug)]
pub struct Blocks {
    state: State,
    /// The bytes of a header that have arrived.
    field: [u8; LONGEST_BLOCK_HEADER],
    have: usize,
    /// The file may end in the state before a stream.
    may_end: bool,
    check: Check,
    /// Of the blocks seen in this stream.
    records: Records,
    /// Streams begun, for messages.
    stream: u64,
    /// Bytes used, for messages.
    offset: u64,
}

impl Default for Blocks {
    fn default() -> Self {
        Self::new()
    }
}

impl Blocks {
    /// A walk from the start of a file, which must hold at least one stream.
    #[must_use]
    pub fn new() -> Self {
        Self {
            state: State::StreamHeader { padding: 0 },
            field: [0; LONGEST_BLOCK_HEADER],
            have: 0,
            may_end: false,
            check: Check::None,
            records: Records::default(),
            stream: 0,
            offset: 0,
        }
    }

    /// A walk that goes on after [`Event::StreamEnd`], where the file may also end.
    #[must_use]
    pub fn at_boundary() -> Self {
        Self { may_end: true, ..Self::new() }
    }

    /// A walk that goes on after the block where `restart` was taken.
    #[must_use]
    pub fn resume(restart: Restart) -> Self {
        Self {
            state: State::Edge,
            check: restart.check,
            records: Records::resume(restart.blocks, restart.records, restart.crc),
            stream: 1,
            ..Self::new()
        }
    }

    /// The check of the stream that the walk is in.
    #[must_use]
    pub fn check(&self) -> Check {
        self.check
    }

    /// Where the walk is, in words.
    #[must_use]
    pub fn place(&self) -> String {
        format!("xz stream {}, after {} blocks, at or after byte {}", self.stream, self.records.count, self.offset)
    }

    /// Where the walk may be taken up again, if it is between a block and what follows it.
    #[must_use]
    pub fn restart(&self) -> Option<Restart> {
        matches!(self.state, State::Edge).then(|| Restart {
            check: self.check,
            blocks: self.records.count,
            records: self.records.length,
            crc: self.records.crc(),
        })
    }

    /// Uses bytes from the start of `input`, never those inside and outside a block together, and returns how many
    /// and what they are; none only if `input` is empty.
    ///
    /// # Errors
    /// A header, size, index or footer that is damaged or not supported.
    pub fn step(&mut self, input: &[u8]) -> Result<(usize, Event), Error> {
        let mut used = 0;
        while used < input.len() {
            let (taken, event) = self.advance(&input[used..]).map_err(|error| self.locate(&error))?;
            used += taken;
            self.offset += taken as u64;
            if matches!(self.state, State::Edge) || !matches!(event, Event::Outside | Event::Inside) {
                return Ok((used, event));
            }
        }
        let inside = matches!(self.state, State::BlockHeader | State::Chunks(..) | State::Tail { .. });
        Ok((used, if inside { Event::Inside } else { Event::Outside }))
    }

    /// Says that the file has ended.
    ///
    /// # Errors
    /// It ended inside a stream, or held none.
    pub fn finish(&self) -> Result<(), Error> {
        let what = match &self.state {
            State::StreamHeader { padding } if self.may_end && self.have == 0 => match padding % 4 {
                0 => return Ok(()),
                odd => format!("ends {odd} bytes after a multiple of 4 in the padding behind a stream"),
            },
            State::StreamHeader { .. } if self.have == 0 => "is empty".to_owned(),
            State::StreamHeader { .. } => format!("ends after {} of {STREAM_HEADER} bytes of a header", self.have),
            State::Edge => "ends before the next block or the index".to_owned(),
            State::BlockHeader => format!("ends after {} bytes of a block's header", self.have),
            State::Chunks(..) => "ends in the data of a block".to_owned(),
            State::Tail { .. } => "ends before the end of a block's check value".to_owned(),
            State::Index(_) => "ends in the index".to_owned(),
            State::Footer => format!("ends after {} of {STREAM_HEADER} bytes of a footer", self.have),
        };
        let what =
            format!("xz stream {what} (stream {}, block {}, at byte {})", self.stream, self.records.count, self.offset);
        Err(Error::new(Kind::Truncated, what))
    }

    /// Uses bytes for one state; `input` is not empty. May use none where it only chooses the next state.
    fn advance(&mut self, input: &[u8]) -> Result<(usize, Event), Error> {
        match &mut self.state {
            State::StreamHeader { padding } if self.have == 0 && input[0] == 0 && self.may_end => {
                let zeros = input.iter().position(|&byte| byte != 0).unwrap_or(input.len());
                *padding += zeros as u64;
                Ok((zeros, Event::Padding))
            }
            State::StreamHeader { padding } => {
                if self.may_end && !padding.is_multiple_of(4) {
                    return Err(Error::new(Kind::Corrupt, format!("{padding} zeros between streams are no padding")));
                }
                self.stream_header(input)
            }
            State::Edge => {
                self.enter(if input[0] == 0 { State::Index(Index::new()) } else { State::BlockHeader });
                // Chosen within this call, so that the bytes used are all inside the block or all outside.
                self.advance(input)
            }
            State::BlockHeader => self.block_header(input),
            State::Chunks(..) => self.chunks(input),
            State::Tail { .. } => self.tail(input),
            State::Index(_) => self.index(input),
            State::Footer => self.footer(input),
        }
    }

    fn enter(&mut self, state: State) {
        self.state = state;
        self.have = 0;
    }

    /// Moves bytes into the field until it has `wanted`, and returns how many; it had fewer.
    fn collect(&mut self, wanted: usize, input: &[u8]) -> usize {
        let taken = (wanted - self.have).min(input.len());
        self.field[self.have..self.have + taken].copy_from_slice(&input[..taken]);
        self.have += taken;
        taken
    }

    fn stream_header(&mut self, input: &[u8]) -> Result<(usize, Event), Error> {
        let taken = self.collect(STREAM_HEADER, input);
        let seen = self.have.min(MAGIC.len());
        if self.field[..seen] != MAGIC[..seen] {
            let what = if self.may_end {
                "no xz stream begins here, and it is no padding"
            } else {
                "no xz stream begins here"
            };
            return Err(Error::new(Kind::Corrupt, what));
        }
        if self.have == STREAM_HEADER {
            self.check = header::parse_stream_header(&self.twelve())?;
            self.may_end = false;
            self.stream += 1;
            self.records = Records::default();
            self.enter(State::Edge);
        }
        Ok((taken, Event::Outside))
    }

    fn twelve(&self) -> [u8; STREAM_HEADER] {
        *self.field.first_chunk().expect("the field is longer")
    }

    fn block_header(&mut self, input: &[u8]) -> Result<(usize, Event), Error> {
        let first = if self.have == 0 { input[0] } else { self.field[0] };
        let wanted = header::block_header_length(first);
        let taken = self.collect(wanted, input);
        if self.have < wanted {
            return Ok((taken, Event::Inside));
        }
        let header = header::parse_block_header(&self.field[..wanted])?;
        self.enter(State::Chunks(header, Chunks::default()));
        Ok((taken, Event::Header(header)))
    }

    fn chunks(&mut self, input: &[u8]) -> Result<(usize, Event), Error> {
        let State::Chunks(header, chunks) = &mut self.state else { return Ok((0, Event::Inside)) };
        let taken = chunks.walk(input)?;
        check_size("compressed", header.compressed, chunks.compressed, chunks.has_ended())?;
        check_size("uncompressed", header.uncompressed, chunks.uncompressed, chunks.has_ended())?;
        if chunks.has_ended() {
            let zeros = (4 - (chunks.compressed % 4) as usize) % 4;
            let unpadded = header.length as u64 + chunks.compressed + self.check.length() as u64;
            let (header, uncompressed) = (*header, chunks.uncompressed);
            let block = Block { header, check: self.check, length: unpadded + zeros as u64, uncompressed, unpadded };
            let left = self.check.length();
            if zeros + left == 0 {
                return Ok((taken, self.end_block(block)));
            }
            self.state = State::Tail { block, zeros, left };
        }
        Ok((taken, Event::Inside))
    }

    fn tail(&mut self, input: &[u8]) -> Result<(usize, Event), Error> {
        let State::Tail { block, zeros, left } = &mut self.state else { return Ok((0, Event::Inside)) };
        let padding = (*zeros).min(input.len());
        check_zeros("block", &input[..padding])?;
        let check = (*left).min(input.len() - padding);
        *zeros -= padding;
        *left -= check;
        let ended = (*zeros + *left == 0).then_some(*block);
        Ok((padding + check, ended.map_or(Event::Inside, |block| self.end_block(block))))
    }

    fn end_block(&mut self, block: Block) -> Event {
        self.records.add(block.unpadded, block.uncompressed);
        self.enter(State::Edge);
        Event::Block(block)
    }

    fn index(&mut self, input: &[u8]) -> Result<(usize, Event), Error> {
        let State::Index(index) = &mut self.state else { return Ok((0, Event::Outside)) };
        let taken = index.feed(&self.records, input)?;
        if index.is_done() {
            self.enter(State::Footer);
        }
        Ok((taken, Event::Outside))
    }

    fn footer(&mut self, input: &[u8]) -> Result<(usize, Event), Error> {
        let taken = self.collect(STREAM_HEADER, input);
        if self.have < STREAM_HEADER {
            return Ok((taken, Event::Outside));
        }
        header::check_stream_footer(&self.twelve(), self.check, self.records.index_length())?;
        self.may_end = true;
        self.enter(State::StreamHeader { padding: 0 });
        Ok((taken, Event::StreamEnd))
    }

    /// The same refusal, with the place where it happened.
    pub(super) fn locate(&self, error: &Error) -> Error {
        Error::new(error.kind(), format!("{}: {error}", self.place()))
    }
}

fn check_size(of: &str, stated: Option<u64>, seen: u64, ended: bool) -> Result<(), Error> {
    match stated {
        Some(stated) if seen > stated || (ended && seen != stated) => {
            let more = if ended { "" } else { " or more" };
            let what = format!("xz block has {of} size {stated} in its header and {seen}{more} by its chunks");
            Err(Error::new(Kind::Corrupt, what))
        }
        _ => Ok(()),
    }
}
