//! QEMU's copy-on-write format, versions 2 and 3: header, guest-to-host map, forward decoder.
//!
//! ```text
//! header (cluster 0) --l1_table_offset--> L1 table --offset--> L2 table (one cluster) --offset--> data cluster
//!                                         8 bytes an entry     8 or 16 bytes an entry     or encoded bytes
//! ```
//!
//! Reading needs nothing else: refcounts, snapshots and bitmaps serve writers and are not looked at. What qemu reads is
//! read the same way; what the specification (`docs/interop/qcow2`) reserves is refused when it is set, even where qemu
//! masks it, because a reader that ignores it would give the wrong bytes once it gets a meaning.

mod entry;
mod extension;
mod geometry;
mod header;
mod map;
mod runs;
mod stream;

pub use header::{Facts, Header};
pub use map::Map;
pub use stream::Stream;
