//! The three ways of a disk from its source to the volume. Each module begins with the picture of its threads.

/// No disk is larger: a stream that goes on for longer is a bomb, and so is a map that claims more.
pub(crate) const MAX_DISK: u64 = 1 << 46;

mod hashed;
mod mapped;
mod streamed;

pub(crate) use hashed::{Hashed, Hashing, hashed};
pub(crate) use mapped::mapped;
pub(crate) use streamed::{Flow, Flowed, Spill, Start, streamed};
