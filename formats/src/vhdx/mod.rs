//! Microsoft's VHDX: headers, log replay in memory, metadata, and the map of fixed and dynamic disks.
//!
//! ```text
//! 0        64K       128K      192K            256K            1 MiB
//! | file   | header  | header  | region table  | region table  |  log   metadata region   BAT region   payload blocks
//! | id     | 1       | 2       | 1             | 2             |  ^     ^                 ^
//!            the newer valid one says where the log is --------+     |                 |
//!                                the first valid table says where the regions are ------+
//! ```
//!
//! The specification is MS-VHDX; sections are named where a rule comes from. The structures are checked in the order in
//! which they depend on each other, by [`Opener`]: headers, then the log, because everything behind it may be written
//! anew by the log, then regions and metadata, then the map reads the BAT in parts. A pending log is replayed into an
//! overlay over what is read (§2.3.3); the file is never changed. The log must not be used for payload blocks (§2.3):
//! where it zeroes parts of one all the same that is followed, and where it writes other data into one the image is
//! refused by name: those bytes lie in the file in three pieces, none of them of whole sectors.
//!
//! What qemu reads is read the same way, with these differences:
//! - The second region table is used where the first one is damaged; qemu only knows the first.
//! - Disks with logical sectors of 4096 bytes are read; qemu refuses them.
//! - A payload block in front of 1 MiB, regions off the 1 MiB grid, items of the wrong length and set reserved bits of
//!   BAT entries are refused; qemu reads on.
//! - A log that is announced and holds no valid sequence is refused, as §2.3.3 demands; qemu takes it for an empty one.
//! - A pending log is replayed; qemu does that only in files it may write, and begins with the first entry of the run
//!   in which the active sequence ends, not with its tail.
//! - A file that ends inside the last sector it needs is refused; qemu fills that sector up with zeros.

mod geometry;
mod guid;
mod header;
mod log;
mod map;
mod metadata;
mod open;
mod overlay;
mod region;

pub use geometry::Facts;
pub use open::Opener;
