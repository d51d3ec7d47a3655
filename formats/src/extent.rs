//! Where a run of guest bytes comes from.

use crate::offset::{GuestOffset, HostOffset};

/// Compression of a single cluster inside an image.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ClusterCodec {
    /// Raw deflate, no header (qcow2 `compression_type` 0).
    Deflate,
    /// One zstd frame (qcow2 `compression_type` 1).
    Zstd,
    /// One zlib stream (RFC 1950: header, deflate, Adler-32) that is read to its end (vmdk grains).
    Zlib {
        /// Bytes it decodes to at least: all of the unit, except that the last one of a disk may end where the disk does.
        at_least: u32,
    },
}

/// Origin of an extent's bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// Reads as zeros.
    Zero,
    /// Plain bytes, as many as the extent has.
    Data(HostOffset),
    /// One encoded unit. It decodes to exactly [`Map::max_encoded`](crate::Map::max_encoded) bytes, which is the extent's
    /// length, except that an extent at the end of a disk whose size is no multiple of that is shorter: what its unit
    /// decodes to beyond the disk is dropped. A [`ClusterCodec::Zlib`] unit may decode to less, but not to less than the
    /// extent has.
    Encoded {
        /// First encoded byte.
        at: HostOffset,
        /// Upper bound of the encoded bytes, padding and a neighbour's first bytes included; cut at the end of the file.
        len: u32,
        /// How to decode them.
        codec: ClusterCodec,
    },
}

/// A run of guest bytes with one origin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Extent {
    /// First guest byte.
    pub guest: GuestOffset,
    /// Guest bytes, never 0.
    pub len: u64,
    /// Where they come from.
    pub place: Place,
}

impl Extent {
    /// First guest byte after this extent.
    pub(crate) const fn end(&self) -> u64 {
        self.guest.0 + self.len
    }

    /// Whether `next` continues this extent both on the disk and in the file.
    fn is_continued_by(&self, next: &Self) -> bool {
        self.end() == next.guest.0
            && match (self.place, next.place) {
                (Place::Zero, Place::Zero) => true,
                (Place::Data(here), Place::Data(there)) => here.0.checked_add(self.len) == Some(there.0),
                _ => false,
            }
    }
}

/// Extents of one lookup behind those the caller already has, neighbours joined.
pub(crate) struct Extents<'a> {
    out: &'a mut Vec<Extent>,
    first: usize,
}

impl<'a> Extents<'a> {
    pub(crate) fn new(out: &'a mut Vec<Extent>) -> Self {
        Self { first: out.len(), out }
    }

    /// Appends `len` guest bytes; nothing when `len` is 0.
    pub(crate) fn push(&mut self, guest: u64, len: u64, place: Place) {
        if len == 0 {
            return;
        }
        let next = Extent { guest: GuestOffset(guest), len, place };
        match self.out[self.first..].last_mut() {
            Some(last) if last.is_continued_by(&next) => last.len += len,
            _ => self.out.push(next),
        }
    }

    /// Takes back everything that was appended.
    pub(crate) fn clear(&mut self) {
        self.out.truncate(self.first);
    }
}
