//! The three ways of a disk from its source to the volume. Each module begins with the picture of its threads.

mod hashed;
mod mapped;
mod streamed;

pub(crate) use hashed::{Hashed, Hashing, hashed};
pub(crate) use mapped::mapped;
pub(crate) use streamed::{Flow, Flowed, streamed};
