//! VMware's disk format in one file: hosted sparse extents with an embedded descriptor, plain or compressed.
//!
//! ```text
//! header --+--> descriptor (text)
//! sector 0 |
//!          +--gdOffset--> grain directory --sector--> grain table --sector--> grain, or marker and zlib stream
//!          |              4 bytes an entry            4 bytes an entry
//!          +--all ones--> the footer, a second header in front of the last sector, has gdOffset
//!
//! streamOptimized:  header | descriptor | grains, each behind a marker with its sector number |
//!                   grain tables, between the grains or behind them | grain directory | footer | end of stream
//! ```
//!
//! Such an extent is a whole disk if its descriptor says so: one SPARSE extent and no parent. Everything else that goes by
//! the name is refused by what it is: descriptors of their own with flat or split extents, ESX's formats, differences to
//! a parent. No file that a descriptor names is ever opened. The redundant directory serves repair and is not read; qemu
//! does not read it either.
//!
//! Sources: VMware's technical note "Virtual Disk Format 5.0", and what qemu 7.2 writes and reads where the note is silent.

mod descriptor;
mod entry;
mod geometry;
mod header;
mod map;
mod stream;

pub use header::{Facts, Header};
pub use map::Map;
pub use stream::Stream;

use crate::{Error, Kind, front};
use geometry::{Directory, Encoding};

/// The forward decoder of an image with this header: compressed grains say where they belong, plain ones are placed by
/// tables in front of them.
///
/// # Errors
/// Kind `Unplaced`: the tables come after the data, or compressed grains have no markers.
pub fn stream(header: &Header) -> Result<Box<dyn crate::Stream>, Error> {
    match (header.geometry.encoding, header.geometry.directory) {
        (Encoding::Marked, _) => Ok(Box::new(Stream::new(header)?)),
        (Encoding::Plain, Directory::At(_)) => Ok(Box::new(front::Stream::new(Box::new(Map::new(header, None))))),
        (Encoding::Plain, Directory::Footer) => {
            Err(Error::new(Kind::Unplaced, "the grain directory comes after the plain grains it places").at(56))
        }
        (Encoding::Bare, _) => {
            Err(Error::new(Kind::Unplaced, "compressed grains without markers do not say where they end").at(8))
        }
    }
}
