//! The disk itself: every byte of the file is the guest byte at the same offset.
//!
//! A disk is made of 512-byte sectors, so a file that ends inside one is padded with zeros, as qemu pads it.

use std::ops::Range;

use crate::extent::Extents;
use crate::{Error, Extent, GuestOffset, HostOffset, Kind, Lookup, Piece, Place};

const SECTOR: u64 = 512;

/// Largest length that can still be rounded up to a sector.
const MAX_LEN: u64 = u64::MAX - (SECTOR - 1);

/// Map of a raw disk of known length.
#[derive(Clone, Debug)]
pub struct Map {
    len: u64,
}

impl Map {
    /// The map of a file of `len` bytes.
    #[must_use]
    pub const fn new(len: u64) -> Self {
        Self { len: if len > MAX_LEN { MAX_LEN } else { len } }
    }
}

impl crate::Map for Map {
    fn virtual_size(&self) -> u64 {
        self.len.next_multiple_of(SECTOR)
    }

    fn max_encoded(&self) -> u64 {
        0
    }

    fn lookup(&mut self, guest: Range<u64>, out: &mut Vec<Extent>) -> Result<Lookup, Error> {
        let end = guest.end.min(self.virtual_size());
        let data_end = end.min(self.len).max(guest.start);
        let mut extents = Extents::new(out);
        extents.push(guest.start, data_end - guest.start, Place::Data(HostOffset(guest.start)));
        extents.push(data_end, end.saturating_sub(data_end), Place::Zero);
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

/// Forward decoder of a raw disk.
#[derive(Clone, Debug)]
pub struct Stream {
    len: Option<u64>,
    position: u64,
}

impl Stream {
    /// A decoder of `len` bytes, or of as many as come.
    #[must_use]
    pub const fn new(len: Option<u64>) -> Self {
        Self { len, position: 0 }
    }
}

impl crate::Stream for Stream {
    fn virtual_size(&self) -> Option<u64> {
        self.len.map(|len| len.min(MAX_LEN).next_multiple_of(SECTOR))
    }

    fn max_encoded(&self) -> u64 {
        0
    }

    fn hold_back(&self) -> usize {
        0
    }

    fn skip_to(&mut self, position: u64) -> bool {
        self.position = position;
        true
    }

    fn push(&mut self, bytes: &[u8], last: bool, out: &mut Vec<Piece>) -> Result<usize, Error> {
        if !bytes.is_empty() {
            let guest = GuestOffset(self.position);
            let guest_len = bytes.len() as u64;
            out.push(Piece { at: 0, host_len: bytes.len(), guest, guest_len, codec: None });
            self.position += guest_len;
        }
        match self.len {
            Some(len) if self.position > len => {
                return Err(Error::new(Kind::Malformed, format!("a raw disk of {len} bytes goes on after its end")));
            }
            Some(len) if last && self.position < len => {
                let what = format!("a raw disk of {len} bytes ends after {}", self.position);
                return Err(Error::new(Kind::Truncated, what));
            }
            None if last => self.len = Some(self.position),
            _ => {}
        }
        Ok(bytes.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Map as _, Stream as _};

    fn extents(len: u64, guest: Range<u64>) -> Vec<Extent> {
        let mut out = Vec::new();
        assert_eq!(Map::new(len).lookup(guest, &mut out), Ok(Lookup::Found));
        out
    }

    #[test]
    fn a_raw_disk_is_one_extent_that_lies_where_it_is() {
        let data = Extent { guest: GuestOffset(512), len: 1024, place: Place::Data(HostOffset(512)) };
        assert_eq!(extents(4096, 512..1536), [data]);
    }

    #[test]
    fn a_cut_last_sector_is_padded_with_zeros() {
        assert_eq!(crate::Map::virtual_size(&Map::new(1000)), 1024);
        let data = Extent { guest: GuestOffset(0), len: 1000, place: Place::Data(HostOffset(0)) };
        let zero = Extent { guest: GuestOffset(1000), len: 24, place: Place::Zero };
        assert_eq!(extents(1000, 0..1024), [data, zero]);
        assert_eq!(extents(1000, 1010..1024), [Extent { guest: GuestOffset(1010), len: 14, place: Place::Zero }]);
    }

    #[test]
    fn what_lies_beyond_the_disk_has_no_extent() {
        assert_eq!(extents(1024, 1024..4096), []);
        assert_eq!(extents(1000, 2000..4096), []);
        assert_eq!(extents(u64::MAX, u64::MAX..u64::MAX), []);
    }

    #[test]
    fn a_stream_of_unknown_length_knows_its_size_at_the_end() {
        let mut stream = Stream::new(None);
        let mut pieces = Vec::new();
        assert_eq!(stream.push(&[1; 700], false, &mut pieces), Ok(700));
        assert_eq!(stream.virtual_size(), None);
        assert_eq!(stream.push(&[2; 100], true, &mut pieces), Ok(100));
        assert_eq!(stream.virtual_size(), Some(1024));
        let guests: Vec<_> = pieces.iter().map(|piece| (piece.guest.0, piece.guest_len)).collect();
        assert_eq!(guests, [(0, 700), (700, 100)]);
    }

    #[test]
    fn a_stream_whose_length_was_wrong_is_refused() {
        let kind = |len, bytes: &[u8]| Stream::new(Some(len)).push(bytes, true, &mut Vec::new()).map_err(|e| e.kind());
        assert_eq!(kind(4, &[0; 4]), Ok(4));
        assert_eq!(kind(5, &[0; 4]), Err(Kind::Truncated));
        assert_eq!(kind(3, &[0; 4]), Err(Kind::Malformed));
    }
}
