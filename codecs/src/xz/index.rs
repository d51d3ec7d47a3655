//! The index of a stream (.xz file format §4), verified without being kept.
//!
//! ```text
//! 00 | number of records | record, record, ... | zeros to a multiple of 4 | CRC-32 of all that (4)
//! record   bytes of a block without padding | bytes it decodes to
//! ```
//!
//! All of it follows from the blocks before it. So only the length and the CRC-32 of the records that must come are kept,
//! which is the same memory for any number of blocks.

use crc32fast::Hasher;

use super::header::{check_zeros, encode_number};
use crate::{Error, Kind};

/// The records that the index of a stream must hold, as far as its blocks are known.
#[derive(Clone, Debug, Default)]
pub(super) struct Records {
    pub(super) count: u64,
    pub(super) length: u64,
    crc: Hasher,
}

impl Records {
    /// The state that [`crc`](Self::crc) and the two numbers describe.
    pub(super) fn resume(count: u64, length: u64, crc: u32) -> Self {
        Self { count, length, crc: Hasher::new_with_initial(crc) }
    }

    pub(super) fn crc(&self) -> u32 {
        self.crc.clone().finalize()
    }

    /// Adds the record of a block.
    pub(super) fn add(&mut self, unpadded: u64, uncompressed: u64) {
        for number in [unpadded, uncompressed] {
            let (bytes, length) = encode_number(number);
            self.crc.update(&bytes[..length]);
            self.length = self.length.saturating_add(length as u64);
        }
        self.count = self.count.saturating_add(1);
    }

    /// The indicator of the index and the number of its records: the bytes of which the first so many count.
    fn head(&self) -> ([u8; 11], usize) {
        let (number, length) = encode_number(self.count);
        let mut head = [0; 11];
        head[1..].copy_from_slice(&number);
        (head, length + 1)
    }

    /// Zeros that fill the index to a multiple of 4.
    fn padding(&self) -> usize {
        (4 - ((self.head().1 as u64).wrapping_add(self.length) % 4) as usize) % 4
    }

    /// Bytes of the whole index.
    pub(super) fn index_length(&self) -> u64 {
        self.length.saturating_add((self.head().1 + self.padding() + 4) as u64)
    }
}

/// The part of the index the next byte belongs to.
#[derive(Clone, Debug)]
enum Part {
    /// The indicator and the number of records.
    Head,
    Records {
        left: u64,
        crc: Hasher,
    },
    /// The padding and the CRC.
    Tail {
        field: [u8; 7],
    },
    Done,
}

/// An index being verified.
#[derive(Clone, Debug)]
pub(super) struct Index {
    part: Part,
    /// Bytes of the head or the tail that have arrived.
    have: usize,
    /// Of the whole index.
    crc: Hasher,
}

impl Index {
    pub(super) fn new() -> Self {
        Self { part: Part::Head, have: 0, crc: Hasher::new() }
    }

    pub(super) const fn is_done(&self) -> bool {
        matches!(self.part, Part::Done)
    }

    /// Takes what belongs to the index from the start of `input` and returns how many bytes that is.
    ///
    /// # Errors
    /// The index does not hold `records`, has padding that is not zero, or a wrong CRC.
    pub(super) fn feed(&mut self, records: &Records, input: &[u8]) -> Result<usize, Error> {
        let mut used = 0;
        while used < input.len() && !self.is_done() {
            let input = &input[used..];
            used += match &mut self.part {
                Part::Head => self.feed_head(records, input)?,
                Part::Records { left, crc } => {
                    let taken = input.len().min(usize::try_from(*left).unwrap_or(usize::MAX));
                    crc.update(&input[..taken]);
                    self.crc.update(&input[..taken]);
                    *left -= taken as u64;
                    self.end_records(records)?;
                    taken
                }
                Part::Tail { .. } => self.feed_tail(records, input)?,
                Part::Done => 0,
            };
        }
        Ok(used)
    }

    fn feed_head(&mut self, records: &Records, input: &[u8]) -> Result<usize, Error> {
        let (head, length) = records.head();
        let taken = (length - self.have).min(input.len());
        if input[..taken] != head[self.have..self.have + taken] {
            let what = format!("xz index does not begin with the number of blocks, {}", records.count);
            return Err(Error::new(Kind::Corrupt, what));
        }
        self.crc.update(&input[..taken]);
        self.have += taken;
        if self.have == length {
            self.part = Part::Records { left: records.length, crc: Hasher::new() };
            self.end_records(records)?;
        }
        Ok(taken)
    }

    /// Goes on to the tail if no record is left and they are those of the blocks.
    fn end_records(&mut self, records: &Records) -> Result<(), Error> {
        let Part::Records { left: 0, crc } = &self.part else { return Ok(()) };
        if crc.clone().finalize() != records.crc() {
            let what = format!("xz index does not hold the sizes of the {} blocks before it", records.count);
            return Err(Error::new(Kind::Corrupt, what));
        }
        self.part = Part::Tail { field: [0; 7] };
        self.have = 0;
        Ok(())
    }

    fn feed_tail(&mut self, records: &Records, input: &[u8]) -> Result<usize, Error> {
        let Part::Tail { field } = &mut self.part else { return Ok(0) };
        let zeros = records.padding();
        let taken = (zeros + 4 - self.have).min(input.len());
        field[self.have..self.have + taken].copy_from_slice(&input[..taken]);
        self.have += taken;
        check_zeros("index", &field[..zeros.min(self.have)])?;
        if self.have == zeros + 4 {
            self.crc.update(&field[..zeros]);
            let (stored, crc) = (&field[zeros..zeros + 4], self.crc.clone().finalize().to_le_bytes());
            if stored != crc {
                let what = format!("xz index has CRC-32 {stored:02x?}, its bytes give {crc:02x?}");
                return Err(Error::new(Kind::Corrupt, what));
            }
            self.part = Part::Done;
        }
        Ok(taken)
    }
}
