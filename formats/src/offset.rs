//! Offsets that cannot be mixed up: what a guest addresses, and where it lies in the image file.

use std::fmt;

/// Byte offset on the disk a guest sees.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct GuestOffset(pub u64);

/// Byte offset in the image file (decompressed, where a codec is around it).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct HostOffset(pub u64);

impl fmt::Display for GuestOffset {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "guest offset {:#x}", self.0)
    }
}

impl fmt::Display for HostOffset {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "offset {:#x}", self.0)
    }
}

/// A length as an index; one that no buffer can have becomes the largest, so that comparisons still hold.
pub(crate) fn saturated(length: u64) -> usize {
    usize::try_from(length).unwrap_or(usize::MAX)
}
