//! What several targets share: callers of the parsers that check what their documentation promises.

pub mod container;
pub mod decode;
pub mod front;
pub mod image;
pub mod opened;
