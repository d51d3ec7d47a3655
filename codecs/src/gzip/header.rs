//! The header of a gzip member (RFC 1952 §2.3), taken apart as its bytes arrive and never stored.
//!
//! ```text
//! fixed (10) -> [extra length (2) -> extra] -> [name .. 0] -> [comment .. 0] -> [header CRC (2)] -> deflate data
//! ```

use crc32fast::Hasher;

use crate::{Error, Kind};

/// The first two bytes of every member.
pub(super) const MAGIC: [u8; 2] = [0x1f, 0x8b];

/// Header bytes accepted for one member: name and comment have no length field, so only a bound ends a hostile one.
pub(super) const LONGEST: usize = 1 << 20;

const FIXED: usize = 10;
const METHOD_DEFLATE: u8 = 8;

const HAS_HEADER_CRC: u8 = 1 << 1;
const HAS_EXTRA: u8 = 1 << 2;
const HAS_NAME: u8 = 1 << 3;
const HAS_COMMENT: u8 = 1 << 4;
const RESERVED: u8 = 0b1110_0000;

/// The part of the header the next byte belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Part {
    Fixed,
    ExtraLength,
    Extra { left: usize },
    Name,
    Comment,
    HeaderCrc { computed: u16 },
    Done,
}

/// A header being read.
#[derive(Debug)]
pub(super) struct Header {
    part: Part,
    flags: u8,
    /// Bytes of the present part when it has a fixed length.
    field: [u8; FIXED],
    have: usize,
    length: usize,
    crc: Hasher,
}

impl Header {
    pub(super) fn new() -> Self {
        Self { part: Part::Fixed, flags: 0, field: [0; FIXED], have: 0, length: 0, crc: Hasher::new() }
    }

    /// Header bytes seen so far.
    pub(super) const fn length(&self) -> usize {
        self.length
    }

    pub(super) fn is_done(&self) -> bool {
        self.part == Part::Done
    }

    /// Takes what belongs to the header from the start of `input` and returns how many bytes that is.
    ///
    /// # Errors
    /// No gzip header, a method or flag that is not known, a wrong header CRC, or a header above [`LONGEST`].
    pub(super) fn feed(&mut self, input: &[u8]) -> Result<usize, Error> {
        let mut used = 0;
        while used < input.len() && !self.is_done() {
            let taken = self.feed_part(&input[used..])?;
            used += taken;
            self.length += taken;
            if self.length > LONGEST {
                return Err(Error::new(Kind::Unsupported, format!("gzip header is longer than {LONGEST} bytes")));
            }
        }
        Ok(used)
    }

    /// Takes bytes of one part; `input` is not empty.
    fn feed_part(&mut self, input: &[u8]) -> Result<usize, Error> {
        match self.part {
            Part::Fixed => self.feed_field(FIXED, input, Self::end_fixed),
            Part::ExtraLength => self.feed_field(2, input, |header| {
                header.enter_extra();
                Ok(())
            }),
            Part::Extra { left } => {
                let taken = left.min(input.len());
                self.crc.update(&input[..taken]);
                self.part = Part::Extra { left: left - taken };
                if taken == left {
                    self.enter_after(HAS_EXTRA);
                }
                Ok(taken)
            }
            Part::Name => Ok(self.feed_text(HAS_NAME, input)),
            Part::Comment => Ok(self.feed_text(HAS_COMMENT, input)),
            Part::HeaderCrc { computed } => self.feed_field(2, input, |header| header.end_header_crc(computed)),
            Part::Done => Ok(0),
        }
    }

    fn feed_field(
        &mut self,
        length: usize,
        input: &[u8],
        end: impl FnOnce(&mut Self) -> Result<(), Error>,
    ) -> Result<usize, Error> {
        let taken = (length - self.have).min(input.len());
        self.field[self.have..self.have + taken].copy_from_slice(&input[..taken]);
        self.have += taken;
        self.check_magic()?;
        self.crc.update(&input[..taken]);
        if self.have == length {
            self.have = 0;
            end(self)?;
        }
        Ok(taken)
    }

    /// Refuses what is no member at its first wrong byte, before the rest of the fixed part is there.
    fn check_magic(&self) -> Result<(), Error> {
        let seen = self.have.min(MAGIC.len());
        if self.part == Part::Fixed && self.field[..seen] != MAGIC[..seen] {
            return Err(Error::new(Kind::Corrupt, "no gzip member begins here"));
        }
        Ok(())
    }

    fn end_fixed(&mut self) -> Result<(), Error> {
        let [_, _, method, flags, ..] = self.field;
        if method != METHOD_DEFLATE {
            return Err(Error::new(Kind::Unsupported, format!("gzip compression method {method} is not deflate (8)")));
        }
        if flags & RESERVED != 0 {
            return Err(Error::new(Kind::Unsupported, format!("gzip header has reserved flags {flags:#04x}")));
        }
        self.flags = flags;
        if flags & HAS_EXTRA != 0 {
            self.part = Part::ExtraLength;
        } else {
            self.enter_after(HAS_EXTRA);
        }
        Ok(())
    }

    fn enter_extra(&mut self) {
        let left = usize::from(u16::from_le_bytes([self.field[0], self.field[1]]));
        if left == 0 {
            self.enter_after(HAS_EXTRA);
        } else {
            self.part = Part::Extra { left };
        }
    }

    /// The next part that the flags announce after the one with the flag `ended`.
    fn enter_after(&mut self, ended: u8) {
        let wants = |flag: u8, later_than: bool| later_than && self.flags & flag != 0;
        self.part = if wants(HAS_NAME, ended == HAS_EXTRA) {
            Part::Name
        } else if wants(HAS_COMMENT, ended != HAS_COMMENT) {
            Part::Comment
        } else if wants(HAS_HEADER_CRC, true) {
            let low = self.crc.clone().finalize() & 0xffff;
            Part::HeaderCrc { computed: u16::try_from(low).expect("masked to 16 bits") }
        } else {
            Part::Done
        };
    }

    fn feed_text(&mut self, flag: u8, input: &[u8]) -> usize {
        let end = input.iter().position(|&byte| byte == 0);
        let taken = end.map_or(input.len(), |at| at + 1);
        self.crc.update(&input[..taken]);
        if end.is_some() {
            self.enter_after(flag);
        }
        taken
    }

    fn end_header_crc(&mut self, computed: u16) -> Result<(), Error> {
        let stored = u16::from_le_bytes([self.field[0], self.field[1]]);
        if stored != computed {
            return Err(Error::new(
                Kind::Corrupt,
                format!("gzip header CRC is {stored:#06x}, its bytes give {computed:#06x}"),
            ));
        }
        self.part = Part::Done;
        Ok(())
    }
}
