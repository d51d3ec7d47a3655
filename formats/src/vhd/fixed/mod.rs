//! A fixed image: the disk as it is, then a footer that only its last bytes show.
//!
//! ```text
//! | the disk ............................ | rest | footer |
//! 0                            virtual_size      ^ 512 or 511 bytes before the end
//! ```
//!
//! The rest is there when the guest sees less than the file holds (Virtual PC counts in cylinders). A forward decoder has
//! given bytes away before it sees the footer, so it refuses a rest instead of cutting the disk afterwards.

use std::ops::Range;

use super::COOKIE;
use super::footer::{DiskType, Facts, Footer, LENGTH, OLD_LENGTH};
use crate::extent::Extents;
use crate::offset::saturated;
use crate::{Error, Extent, GuestOffset, HostOffset, Kind, Lookup, Piece, Place};

/// A fixed image whose footer has been checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fixed {
    facts: Facts,
    /// Where the footer begins, which is the end of the disk and its rest.
    footer: u64,
}

/// Bytes are given away in multiples of this, so that whoever writes and hashes them gets whole blocks.
const GIVEN: u64 = 64 * 1024;

/// How many of `len` bytes that begin at `position` may be given away: not what may be the footer, and whole blocks.
pub(super) fn given(position: u64, len: usize) -> usize {
    let end = position.saturating_add(len as u64).saturating_sub(LENGTH);
    saturated((end / GIVEN * GIVEN).saturating_sub(position))
}

/// Most bytes that [`given`] holds back.
pub(super) const HELD: u64 = GIVEN + LENGTH;

impl Fixed {
    /// Last bytes of the file that [`decode`](Self::decode) wants.
    pub const WANTED: usize = 512;

    /// Reads a footer from `tail`, the last [`WANTED`](Self::WANTED) bytes of a file of `file_len` bytes.
    ///
    /// # Errors
    /// There is no footer, it is not that of a fixed image, or its disk is larger than the file.
    pub fn decode(tail: &[u8], file_len: u64) -> Result<Self, Error> {
        let Some(start) = tail.len().checked_sub(Self::WANTED).filter(|_| file_len >= LENGTH) else {
            let what = format!("a VHD ends with a footer of {LENGTH} bytes, the file has {file_len}");
            return Err(Error::new(Kind::Truncated, what));
        };
        let tail = &tail[start..];
        // A footer of 511 bytes ends with the file, too.
        let is_old = !tail.starts_with(COOKIE) && tail[1..].starts_with(COOKIE);
        let length = if is_old { OLD_LENGTH } else { LENGTH };
        let at = file_len - length;
        let footer = Footer::decode(&tail[usize::from(is_old)..], at)?;
        match footer.disk_type {
            DiskType::Fixed => {}
            DiskType::Dynamic => {
                let what = "disk type 3 (dynamic) at the end, and no copy of the footer in front";
                return Err(Error::new(Kind::Malformed, what).at(at + 60));
            }
            DiskType::Differencing => {
                let what = "the image is a difference (disk type 4) to another image, which is never opened";
                return Err(Error::new(Kind::BackingFile, what).at(at + 60));
            }
        }
        let size = footer.facts.virtual_size;
        if size > at {
            let what = format!("the disk has {size} bytes, the file holds {at} before its footer");
            return Err(Error::new(Kind::Truncated, what).at(at + 48));
        }
        Ok(Self { facts: footer.facts, footer: at })
    }

    /// What the footer says.
    #[must_use]
    pub const fn facts(&self) -> &Facts {
        &self.facts
    }

    /// The map of the image.
    #[must_use]
    pub const fn map(&self) -> FixedMap {
        FixedMap { virtual_size: self.facts.virtual_size }
    }
}

/// Map of a fixed image.
#[derive(Clone, Copy, Debug)]
pub struct FixedMap {
    virtual_size: u64,
}

impl crate::Map for FixedMap {
    fn virtual_size(&self) -> u64 {
        self.virtual_size
    }

    fn max_encoded(&self) -> u64 {
        0
    }

    fn lookup(&mut self, guest: Range<u64>, out: &mut Vec<Extent>) -> Result<Lookup, Error> {
        let len = guest.end.min(self.virtual_size).saturating_sub(guest.start);
        Extents::new(out).push(guest.start, len, Place::Data(HostOffset(guest.start)));
        Ok(Lookup::Found)
    }

    fn feed(&mut self, _host: HostOffset, _bytes: &[u8]) -> Result<(), Error> {
        Ok(())
    }

    fn release(&mut self, _guest: GuestOffset) {}

    fn memory(&self) -> usize {
        0
    }
}

/// Forward decoder of a fixed image, which knows only at its end that it was one, and how large the disk is.
#[derive(Clone, Debug, Default)]
pub struct FixedStream {
    position: u64,
    virtual_size: Option<u64>,
}

impl FixedStream {
    /// A decoder that is given the file from its first byte.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// The size of the disk, of which `self.position` bytes have been given away; the file's last bytes are `held`.
    fn finish(&mut self, held: &[u8]) -> Result<u64, Error> {
        let file_len = self.position.saturating_add(held.len() as u64);
        let fixed = Fixed::decode(held, file_len)?;
        let size = fixed.facts.virtual_size;
        // Whatever the sizes of pushes: bytes of a rest may have been given away.
        if size < fixed.footer {
            let what = format!(
                "the footer says that the disk ends at offset {size:#x}, after the bytes up to {:#x} had flowed past",
                fixed.footer
            );
            return Err(Error::new(Kind::Unplaced, what).at(size));
        }
        self.virtual_size = Some(size);
        Ok(size)
    }
}

impl crate::Stream for FixedStream {
    fn virtual_size(&self) -> Option<u64> {
        self.virtual_size
    }

    fn max_encoded(&self) -> u64 {
        0
    }

    fn hold_back(&self) -> usize {
        saturated(HELD)
    }

    fn skip_to(&mut self, position: u64) -> bool {
        self.position = position;
        true
    }

    fn push(&mut self, bytes: &[u8], last: bool, out: &mut Vec<Piece>) -> Result<usize, Error> {
        let len = if last { saturated(self.finish(bytes)? - self.position) } else { given(self.position, bytes.len()) };
        if len > 0 {
            let guest_len = len as u64;
            out.push(Piece { at: 0, host_len: len, guest: GuestOffset(self.position), guest_len, codec: None });
            self.position += guest_len;
        }
        Ok(if last { bytes.len() } else { len })
    }
}

#[cfg(test)]
mod tests;
