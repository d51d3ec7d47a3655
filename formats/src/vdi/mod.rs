//! VirtualBox's disk format, version 1.1, dynamic and static: header and guest-to-host map.
//!
//! ```text
//! header (512 bytes) --offset_bmap--> block map --number--> block at offset_data + number * block_size
//!                                     4 bytes a block, little-endian
//! ```
//!
//! The block map lies in front of all blocks, so [`crate::front`] decodes the format as it flows. A static image is one
//! whose blocks were all allocated at once; it is read by the same map.

mod header;
mod map;

pub use header::{Facts, Header};
pub use map::Map;
