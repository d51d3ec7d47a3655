//! The chunks of LZMA2 data (.xz file format §5.3.1), passed over without decoding them.
//!
//! ```text
//! end           00
//! uncompressed  01 or 02 | size - 1 (2) | that many bytes
//! LZMA          80.. | low bits of uncompressed size - 1 (2) | compressed size - 1 (2) | [properties (1)] | data
//! ```
//!
//! Every chunk says how long it is and what it decodes to, so the end of a block is known without an index and at the
//! cost of a look at five bytes in at most 64 KiB.

use crate::{Error, Kind};

/// A walk over chunks: bytes in, sums out.
#[derive(Clone, Debug, Default)]
pub(super) struct Chunks {
    header: [u8; 6],
    have: usize,
    /// Data bytes left of the chunk.
    left: usize,
    ended: bool,
    /// Bytes walked over.
    pub(super) compressed: u64,
    /// Bytes the chunks decode to, by their headers.
    pub(super) uncompressed: u64,
}

impl Chunks {
    pub(super) const fn has_ended(&self) -> bool {
        self.ended
    }

    /// Walks over the start of `input` and returns how many bytes that is: all of it, or up to the end of the data.
    ///
    /// # Errors
    /// A control byte that begins no chunk.
    pub(super) fn walk(&mut self, input: &[u8]) -> Result<usize, Error> {
        let mut used = 0;
        while used < input.len() && !self.ended {
            let taken = if self.left > 0 { self.left.min(input.len() - used) } else { 1 };
            if self.left > 0 {
                self.left -= taken;
            } else {
                self.feed_header(input[used])?;
            }
            used += taken;
            self.compressed += taken as u64;
        }
        Ok(used)
    }

    fn feed_header(&mut self, byte: u8) -> Result<(), Error> {
        self.header[self.have] = byte;
        self.have += 1;
        let [control, u1, u0, c1, c0, _] = self.header;
        let wanted = match control {
            0 => 1,
            1 | 2 => 3,
            0x80..0xc0 => 5,
            0xc0.. => 6,
            _ => return Err(Error::new(Kind::Corrupt, format!("no LZMA2 chunk begins with {control:#04x}"))),
        };
        if self.have < wanted {
            return Ok(());
        }
        self.have = 0;
        self.ended = control == 0;
        if control < 0x80 {
            self.left = if control == 0 { 0 } else { size(u1, u0) };
            self.uncompressed += self.left as u64;
        } else {
            self.left = size(c1, c0);
            self.uncompressed += (usize::from(control & 0x1f) << 16) as u64 + size(u1, u0) as u64;
        }
        Ok(())
    }
}

fn size(high: u8, low: u8) -> usize {
    usize::from(u16::from_be_bytes([high, low])) + 1
}
