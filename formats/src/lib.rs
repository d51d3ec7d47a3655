//! Disk-image formats as pure state machines: bytes in, answers out; no I/O, no codec, no thread, no clock.
//!
//! ```text
//! first bytes --probe--> Probe ----> Box<dyn Map>      random access: guest range -> extents, or the tables it wants
//!                              +---> Box<dyn Open>     where the map needs more than the first bytes
//!                              \---> Box<dyn Stream>   forward only:  bytes as they flow -> pieces with their place
//! ```
//!
//! One [`Map`] serves a local file, a server 50 ms away (what it wants is asked for in batches), the forward decoder and
//! the fuzzer, because the caller does the reading. Every length read from an image is checked against a bound before it
//! allocates or loops.

#![deny(
    clippy::cast_lossless,
    clippy::cast_possible_truncation,
    clippy::cast_possible_wrap,
    clippy::cast_precision_loss,
    clippy::cast_sign_loss
)]

mod blocks;
mod crc32c;
mod error;
mod extent;
mod field;
pub mod front;
mod offset;
pub mod probe;
pub mod qcow2;
pub mod qed;
mod queue;
pub mod raw;
mod tables;
pub mod vdi;
pub mod vhd;
pub mod vhdx;
pub mod vmdk;

pub use error::{Error, Kind};
pub use extent::{ClusterCodec, Extent, Place};
pub use offset::{GuestOffset, HostOffset};

use std::ops::Range;

/// Answer of [`Map::lookup`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Lookup {
    /// The extents were appended: ascending, without gap or overlap, covering exactly the range that was asked for as far
    /// as the disk goes. An encoded unit is never cut, so the first and the last extent may reach over a range whose ends
    /// are no multiples of [`Map::max_encoded`].
    Found,
    /// These host ranges (tables) must be fed first; nothing was appended. Ascending, each at most 64 KiB long.
    Wants(Vec<Range<u64>>),
}

/// Answer of [`Open::step`].
pub enum Opening {
    /// These host ranges must be fed first. Ascending, each at most 64 KiB long.
    Wants(Vec<Range<u64>>),
    /// The map; opening is over.
    Ready(Box<dyn Map>),
}

/// An image on its way to a map, for formats whose first bytes alone do not tell the size of the disk.
pub trait Open: Send {
    /// The map, or what must be read before there is one.
    ///
    /// # Errors
    /// What was fed is refused.
    fn step(&mut self) -> Result<Opening, Error>;

    /// Takes bytes that [`step`](Self::step) wanted; fewer where the file ends inside them.
    ///
    /// # Errors
    /// They are refused.
    fn feed(&mut self, host: HostOffset, bytes: &[u8]) -> Result<(), Error>;
}

/// Guest-to-host map of one image, for sources that can be read at random.
///
/// The caller asks with [`lookup`](Self::lookup), reads what is wanted, hands it to [`feed`](Self::feed), and asks again.
/// Tables stay in memory until [`release`](Self::release) says that no lower guest offset will be asked for.
pub trait Map: Send {
    /// Size of the disk in bytes as the guest sees it.
    fn virtual_size(&self) -> u64;

    /// Largest guest length of one [`Place::Encoded`] extent in bytes; 0 if the format has none.
    fn max_encoded(&self) -> u64;

    /// Appends the extents of `guest` to `out`, or says which table bytes are missing.
    ///
    /// # Errors
    /// A table entry that no valid image has; the error names table, index and value.
    fn lookup(&mut self, guest: Range<u64>, out: &mut Vec<Extent>) -> Result<Lookup, Error>;

    /// Takes table bytes that [`lookup`](Self::lookup) wanted. Bytes that are not wanted are ignored.
    ///
    /// # Errors
    /// Tables whose content is refused.
    fn feed(&mut self, host: HostOffset, bytes: &[u8]) -> Result<(), Error>;

    /// Drops tables that only serve guest offsets below `guest`.
    fn release(&mut self, guest: GuestOffset);

    /// Bytes of table memory held now.
    fn memory(&self) -> usize;
}

/// What a forward decoder says about host bytes that have flowed past.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Piece {
    /// Where in the bytes given to [`Stream::push`] the host data begins.
    pub at: usize,
    /// Host bytes.
    pub host_len: usize,
    /// First guest byte.
    pub guest: GuestOffset,
    /// Guest bytes; equals `host_len` unless encoded.
    pub guest_len: u64,
    /// How the host bytes are encoded; `None` for plain data.
    pub codec: Option<ClusterCodec>,
}

/// Forward-only decoder of one image, for sources that flow once.
pub trait Stream: Send {
    /// Size of the disk in bytes; `None` while it is not known (raw of unknown length).
    fn virtual_size(&self) -> Option<u64>;

    /// Largest guest length of one encoded piece in bytes; 0 if the format has none.
    fn max_encoded(&self) -> u64;

    /// Most host bytes that one [`push`](Self::push) may leave unconsumed.
    fn hold_back(&self) -> usize;

    /// Says that the caller keeps what flows past without a piece, so that a table may come after what it places; false if
    /// the decoder has no use for that. Otherwise such a table is refused (kind `Unplaced`).
    fn keep(&mut self) -> bool {
        false
    }

    /// After the last push: a host range, at most 64 KiB long and perhaps empty, that was kept and is wanted; `None` once
    /// nothing more is placed late.
    ///
    /// # Errors
    /// An invalid table.
    fn late(&mut self) -> Result<Option<Range<u64>>, Error> {
        Ok(None)
    }

    /// Takes the bytes that [`late`](Self::late) wanted last and appends what they place among the bytes that were kept.
    ///
    /// # Errors
    /// An invalid table.
    fn feed_late(&mut self, _bytes: &[u8], _out: &mut Vec<Extent>) -> Result<(), Error> {
        Ok(())
    }

    /// Goes on at host offset `position` without having seen what lies before it; false if that cannot be done.
    fn skip_to(&mut self, position: u64) -> bool {
        position == 0
    }

    /// Looks at host bytes that begin where the last push stopped consuming, appends pieces, and returns how many of the
    /// bytes are consumed. The rest is given again, in front of what follows. `last` says that nothing follows; then
    /// everything is consumed.
    ///
    /// # Errors
    /// An invalid table, or (kind `Unplaced`) a table that places data which has already flowed past.
    fn push(&mut self, bytes: &[u8], last: bool, out: &mut Vec<Piece>) -> Result<usize, Error>;
}
