//! The sizes that follow from a header: grains, tables and how much of the disk each of them describes.

/// Bytes of a sector, the unit of every offset in the format.
pub(super) const SECTOR: u64 = 512;

/// Bytes of an entry of a grain directory or a grain table.
pub(super) const ENTRY: u64 = 4;

/// Bytes of the marker in front of a compressed grain: sector number (u64) and length of the stream (u32).
pub(super) const MARKER: u64 = 12;

/// How grains are stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Encoding {
    /// As they are.
    Plain,
    /// A zlib stream alone.
    Bare,
    /// A marker and a zlib stream.
    Marked,
}

/// Where the grain directory is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Directory {
    /// Host offset in bytes.
    At(u64),
    /// The footer says it.
    Footer,
}

/// What map and stream need of a header that has been checked; no sum or product of its values overflows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Geometry {
    /// Size of the disk in bytes, whole sectors, at most 2^62.
    pub(super) virtual_size: u64,
    /// Bytes of a grain, a power of two from 512 bytes to 1 GiB; to 2 MiB if it is compressed.
    pub(super) grain: u64,
    /// Entries of a grain table, 1 to 512.
    pub(super) entries: u64,
    pub(super) encoding: Encoding,
    /// A table entry of 1 stands for a grain that reads as zeros.
    pub(super) has_zero_entries: bool,
    pub(super) directory: Directory,
    /// Host bytes in front of which no grain can lie: header and descriptor.
    pub(super) reserved: u64,
    /// Host bytes in front of the first grain, as the header says.
    pub(super) overhead: u64,
}

impl Geometry {
    /// Guest bytes that one grain table describes.
    pub(super) const fn coverage(&self) -> u64 {
        self.entries * self.grain
    }

    /// Grain tables, which are the entries of the grain directory; at most 2^25.
    pub(super) const fn tables(&self) -> u64 {
        self.virtual_size.div_ceil(self.coverage())
    }

    /// Bytes of the grain directory.
    pub(super) const fn directory_len(&self) -> u64 {
        self.tables() * ENTRY
    }

    /// Bytes of a grain table.
    pub(super) const fn table_len(&self) -> u64 {
        self.entries * ENTRY
    }

    /// Entries of grain table `index` that describe the disk; behind them the last table may hold anything.
    pub(super) fn entries_of(&self, index: u64) -> u64 {
        self.entries.min((self.virtual_size - index * self.coverage()).div_ceil(self.grain))
    }

    /// Guest bytes of the grain that begins at `guest`: fewer than others where the disk ends.
    pub(super) fn grain_at(&self, guest: u64) -> u64 {
        self.grain.min(self.virtual_size - guest)
    }

    /// Most bytes of a compressed grain's stream: qemu's limit, twice what any compressor makes of noise.
    pub(super) const fn max_stream(&self) -> u64 {
        2 * self.grain
    }

    /// Bytes between the beginning of a stored grain and its first own byte.
    pub(super) const fn marker(&self) -> u64 {
        if matches!(self.encoding, Encoding::Marked) { MARKER } else { 0 }
    }
}
