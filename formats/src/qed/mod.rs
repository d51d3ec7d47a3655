//! QEMU's enhanced disk format: header and guest-to-host map.
//!
//! ```text
//! header (header_size clusters) --l1_table_offset--> L1 table --offset--> L2 table --offset--> data cluster
//!                                                    8 bytes an entry, table_size clusters each
//! ```
//!
//! The specification is `docs/interop/qed_spec` of QEMU. Both tables have the same size, up to 1 GiB, so both are read in
//! parts. What qemu reads is read the same way; a table of one cluster, which the specification allows and qemu cannot
//! open, is read too.

mod header;
mod map;

pub use header::{Facts, Header};
pub use map::Map;
