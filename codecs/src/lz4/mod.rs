//! LZ4 frames (LZ4 frame format 1.6.4): any number of them, skippable and legacy ones too.
//!
//! ```text
//! Header --> BlockSize <---> Block        frame   header | size, block, [xxh32] | ... | 0 | [xxh32 of the content]
//!   ^  ^        |                         legacy  magic  | size, block | ...
//!   |  |        +--> ContentChecksum
//!   |  +--- boundary ---+ (or at the end mark)
//!   +--> Skipping
//! ```
//!
//! The frames are taken apart here and only a block's sequences are left to the library, so that every length is
//! bounded before it allocates and a refusal names what it refuses. A legacy frame has no end: it goes on until the
//! input ends or another frame's magic stands where a size should be, so it has no boundary.

mod header;
#[cfg(test)]
mod tests;
mod window;

use std::fmt;
use std::hash::Hasher as _;

use twox_hash::XxHash32;

use crate::{Error, Kind, Step, StreamDecoder};
use header::{Frame, Header, LONGEST};
use window::Window;

/// Bytes a block of a legacy frame decodes to at most.
const LEGACY_BLOCK: usize = 8 << 20;
/// Bytes a block of a legacy frame has at most: what does not compress grows (`LZ4_COMPRESSBOUND`).
const LONGEST_LEGACY_BLOCK: usize = LEGACY_BLOCK + LEGACY_BLOCK / 255 + 16;

const CHECKSUM: usize = 4;
/// The bit of a block's size that says that the block is not compressed.
const STORED: u32 = 1 << 31;

#[derive(Debug)]
enum State {
    /// Collecting the header of a frame.
    Header,
    Skipping {
        left: u32,
    },
    /// Collecting the size of a block, or the end mark.
    BlockSize,
    /// Collecting a block and its checksum.
    Block {
        stored: bool,
        length: usize,
    },
    ContentChecksum,
}

/// Decodes an lz4 file.
///
/// Memory: twice the largest block of a frame seen and 128 KiB; 8.2 MiB at most, and 16.1 MiB in a legacy frame.
pub struct Lz4Decoder {
    state: State,
    /// Header, size or checksum, as far as it has arrived.
    field: [u8; LONGEST],
    have: usize,
    /// What the present frame's header says.
    frame: Option<Frame>,
    /// The present block, as far as it has arrived.
    block: Vec<u8>,
    window: Window,
    content: XxHash32,
    /// Bytes this frame has decoded to.
    length: u64,
    /// The input may end in the state of a header: at least one frame was seen.
    may_end: bool,
    /// Frames begun, for messages.
    number: u64,
    /// Input bytes used, for messages.
    offset: u64,
}

impl fmt::Debug for Lz4Decoder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Lz4Decoder").field("state", &self.state).field("offset", &self.offset).finish_non_exhaustive()
    }
}

impl Default for Lz4Decoder {
    fn default() -> Self {
        Self::new()
    }
}

impl Lz4Decoder {
    /// A decoder at the start of a file, which must hold at least one frame.
    #[must_use]
    pub fn new() -> Self {
        Self {
            state: State::Header,
            field: [0; LONGEST],
            have: 0,
            frame: None,
            block: Vec::new(),
            window: Window::default(),
            content: XxHash32::with_seed(0),
            length: 0,
            may_end: false,
            number: 0,
            offset: 0,
        }
    }

    /// A decoder that goes on after a [boundary](Step::boundary), where the file may also end.
    #[must_use]
    pub fn at_boundary() -> Self {
        Self { may_end: true, ..Self::new() }
    }

    /// Uses bytes for one state; `input` is not empty. Returns how many, and whether a frame ends with them.
    fn advance(&mut self, input: &[u8]) -> Result<(usize, bool), Error> {
        match self.state {
            State::Header => self.header(input),
            State::Skipping { left } => {
                let taken = input.len().min(usize::try_from(left).unwrap_or(usize::MAX));
                let rest = left - u32::try_from(taken).expect("at most `left`");
                Ok((taken, self.skip(rest)))
            }
            State::BlockSize => {
                let taken = self.collect(4, input);
                let ended = if self.have == 4 { self.block_size()? } else { false };
                Ok((taken, ended))
            }
            State::Block { stored, length } => {
                let taken = (length - self.block.len()).min(input.len());
                self.block.extend_from_slice(&input[..taken]);
                if self.block.len() == length {
                    self.end_block(stored)?;
                }
                Ok((taken, false))
            }
            State::ContentChecksum => {
                let taken = self.collect(CHECKSUM, input);
                if self.have < CHECKSUM {
                    return Ok((taken, false));
                }
                check_sum("content", self.word(), self.content.finish_32())?;
                Ok((taken, self.end_frame()))
            }
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

    /// The first four bytes of the field.
    fn word(&self) -> u32 {
        u32::from_le_bytes(*self.field.first_chunk().expect("the field is longer"))
    }

    fn header(&mut self, input: &[u8]) -> Result<(usize, bool), Error> {
        let wanted = header::length(&self.field[..self.have]);
        let taken = self.collect(wanted, input);
        let ended = self.parse_header()?;
        Ok((taken, ended))
    }

    /// Begins the frame whose header is in the field, if all of it is; true if the frame ends with it.
    fn parse_header(&mut self) -> Result<bool, Error> {
        let parsed = header::parse(&self.field[..self.have]).map_err(|error| match error.kind() {
            Kind::Corrupt if self.may_end && self.have <= 4 => {
                Error::new(Kind::Corrupt, format!("garbage after the last frame: {error}"))
            }
            _ => error,
        })?;
        let Some(header) = parsed else { return Ok(false) };
        self.number += 1;
        self.may_end = false;
        match header {
            Header::Skippable { length } => Ok(self.skip(length)),
            Header::Frame(frame) => {
                self.window.begin(&frame);
                self.content = XxHash32::with_seed(0);
                self.length = 0;
                self.frame = Some(frame);
                self.enter(State::BlockSize);
                Ok(false)
            }
        }
    }

    /// Goes on skipping `left` bytes; true if none are left.
    fn skip(&mut self, left: u32) -> bool {
        self.enter(State::Skipping { left });
        left == 0 && self.end_frame()
    }

    /// Ends a frame of any kind, which is a boundary.
    fn end_frame(&mut self) -> bool {
        self.frame = None;
        self.may_end = true;
        self.enter(State::Header);
        true
    }

    fn present(&self) -> Frame {
        self.frame.expect("a frame's header comes before its blocks")
    }

    /// Acts on the size in the field; true if it is the end mark and the frame ends with it.
    fn block_size(&mut self) -> Result<bool, Error> {
        let (frame, word) = (self.present(), self.word());
        if frame.legacy {
            return self.legacy_block_size(word);
        }
        if word == 0 {
            return self.end_mark();
        }
        self.begin_block(word & STORED != 0, word & !STORED, frame.block_limit)?;
        Ok(false)
    }

    /// In a legacy frame the size may also be another frame's magic.
    fn legacy_block_size(&mut self, word: u32) -> Result<bool, Error> {
        if header::is_magic(word) {
            self.state = State::Header;
            return self.parse_header();
        }
        self.begin_block(false, word, LONGEST_LEGACY_BLOCK)?;
        Ok(false)
    }

    fn begin_block(&mut self, stored: bool, size: u32, limit: usize) -> Result<(), Error> {
        let size = usize::try_from(size).ok().filter(|&size| size <= limit).ok_or_else(|| {
            Error::new(Kind::Corrupt, format!("lz4 block has {size} bytes, its frame allows {limit}"))
        })?;
        if size == 0 && !stored {
            return Err(Error::new(Kind::Corrupt, "lz4 block has no bytes"));
        }
        let length = size + if self.present().block_checksum { CHECKSUM } else { 0 };
        self.block.clear();
        self.block.reserve_exact(length);
        self.enter(State::Block { stored, length });
        if length == 0 {
            self.end_block(stored)?;
        }
        Ok(())
    }

    fn end_block(&mut self, stored: bool) -> Result<(), Error> {
        let frame = self.present();
        let mut data = &self.block[..];
        if let (true, Some((block, sum))) = (frame.block_checksum, data.split_last_chunk()) {
            check_sum("block", u32::from_le_bytes(*sum), XxHash32::oneshot(0, block))?;
            data = block;
        }
        if stored {
            self.window.store(data);
        } else {
            self.window.decode(data)?;
        }
        let decoded = self.window.pending();
        self.length += decoded.len() as u64;
        if frame.content_checksum {
            self.content.write(decoded);
        }
        match frame.content {
            Some(content) if self.length > content => return Err(wrong_content(content, self.length, " or more")),
            _ => self.enter(State::BlockSize),
        }
        Ok(())
    }

    fn end_mark(&mut self) -> Result<bool, Error> {
        let frame = self.present();
        match frame.content {
            Some(content) if content != self.length => Err(wrong_content(content, self.length, "")),
            _ if frame.content_checksum => {
                self.enter(State::ContentChecksum);
                Ok(false)
            }
            _ => Ok(self.end_frame()),
        }
    }

    /// The same refusal, with the place where it happened.
    fn locate(&self, error: &Error) -> Error {
        Error::new(error.kind(), format!("lz4 frame {}, at or after byte {}: {error}", self.number, self.offset))
    }
}

impl StreamDecoder for Lz4Decoder {
    fn step(&mut self, input: &[u8], output: &mut [u8]) -> Result<Step, Error> {
        let mut done = Step::default();
        while !done.boundary {
            done.produced += self.window.take(&mut output[done.produced..]);
            if !self.window.pending().is_empty() || done.consumed == input.len() {
                break;
            }
            let (taken, ended) = self.advance(&input[done.consumed..]).map_err(|error| self.locate(&error))?;
            done.consumed += taken;
            done.boundary = ended;
            self.offset += taken as u64;
        }
        Ok(done)
    }

    fn finish(&mut self) -> Result<(), Error> {
        let what = match self.state {
            State::Header if self.may_end && self.have == 0 => return Ok(()),
            State::BlockSize if self.have == 0 && self.present().legacy => return Ok(()),
            State::Header if self.have == 0 => "is empty".to_owned(),
            State::Header => format!("ends after {} bytes of a frame's header", self.have),
            State::Skipping { left } => format!("ends {left} bytes before the end of a skippable frame"),
            State::BlockSize => "ends before a block or the end mark".to_owned(),
            State::Block { length, .. } => format!("ends after {} of {length} bytes of a block", self.block.len()),
            State::ContentChecksum => "ends in the checksum of the content".to_owned(),
        };
        let what = format!("lz4 stream {what} (frame {}, at byte {})", self.number, self.offset);
        Err(Error::new(Kind::Truncated, what))
    }
}

fn check_sum(of: &str, stored: u32, computed: u32) -> Result<(), Error> {
    if stored == computed {
        return Ok(());
    }
    let what = format!("lz4 {of} checksum is {stored:#010x}, the {of} gives {computed:#010x}");
    Err(Error::new(Kind::Corrupt, what))
}

fn wrong_content(stated: u64, seen: u64, more: &str) -> Error {
    let what = format!("lz4 content size is {stated} in the header and {seen}{more} in the blocks");
    Error::new(Kind::Corrupt, what)
}
