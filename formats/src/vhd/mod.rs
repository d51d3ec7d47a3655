//! Microsoft's virtual hard disk (qemu calls it vpc), fixed and dynamic: footer, header, maps, forward decoder.
//!
//! ```text
//! fixed    | the disk ....................................................... | footer (512 bytes, 511 before 2004) |
//!
//! dynamic  | copy of the footer | header | table | bitmap, block | bitmap, block | ... | footer |
//!                   data_offset --^ table_offset --^ sector number --^
//! ```
//!
//! All fields are big-endian. A fixed image is known by its end alone, so its size is known only once that was read:
//! [`Open`] asks for it, [`Fixed`] takes it from bytes at hand, and [`FixedStream`] holds back what may be the footer. A
//! dynamic image has all tables in front, so [`crate::front`] decodes it as it flows.
//!
//! The bitmap of a block says which of its sectors were written. In a dynamic image the others hold zeros, so it is not
//! looked at, as qemu does not look at it.

mod fixed;
mod footer;
mod header;
mod map;
mod open;
mod unsure;

use crate::{Error, HostOffset, Kind, Open as _, Opening};

pub use fixed::{Fixed, FixedMap, FixedStream};
pub use footer::Facts;
pub use header::Header;
pub use map::Map;
pub use open::Open;
pub use unsure::RawOrFixed;

/// What the footer, and the copy of it that begins a dynamic image, begins with.
const COOKIE: &[u8] = b"conectix";

/// Whether `head` begins with the copy of the footer that a dynamic image begins with.
#[must_use]
pub fn begins_dynamic(head: &[u8]) -> bool {
    head.starts_with(COOKIE)
}

/// The map of an image of `file_len` bytes, as far as its first bytes in `head` are all that is needed.
pub(crate) fn map(head: &[u8], file_len: u64) -> Result<Box<dyn crate::Map>, Error> {
    let mut open = Open::new(file_len);
    loop {
        let wants = match open.step()? {
            Opening::Ready(map) => return Ok(map),
            Opening::Wants(wants) => wants,
        };
        for want in wants {
            let range = crate::offset::saturated(want.start)..crate::offset::saturated(want.end);
            let Some(bytes) = head.get(range) else {
                let what = format!("a VHD that needs its bytes at {:#x} to be opened, behind its first", want.start);
                return Err(Error::new(Kind::Unsupported, what).at(want.start));
            };
            open.feed(HostOffset(want.start), bytes)?;
        }
    }
}
