//! What is in the kernel: volumes attached as loop devices, mounted, shown to their users.
//!
//! ```text
//!                 stage                        publish
//! block           loop device, lasting         its node bound to the target, a file
//! file system     loop device that ends with   the staging mount bound to the target, a folder
//!                 its mount; checked, mounted
//! ```
//! Each call begins by asking the kernel what is there, and does what is missing; so a call may be repeated, and may follow one
//! that was killed anywhere.

mod publish;
pub(crate) mod stage;
mod state;

use std::path::PathBuf;

pub use state::Usage;

/// How a volume's user sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Access {
    /// As a block device.
    Block,
    /// As a folder.
    FileSystem {
        /// Options of mount(8) beside those that are always set.
        options: Vec<String>,
    },
}

/// One showing of a staged volume.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Publication {
    /// Where it was staged; of no meaning for a block volume.
    pub staging: PathBuf,
    /// A path that is made here; its folder exists.
    pub target: PathBuf,
    /// As it was staged.
    pub access: Access,
    /// Whether it takes no writes through this target.
    pub read_only: bool,
    /// Whether it may be published at no other target.
    pub alone: bool,
}
