//! Local volumes with snapshots and clones on one machine: pools, volumes, loop devices, mounts.
//!
//! A pool is a directory. A volume is one sparse file in it, attached as a loop device (block) or holding an ext4 (file
//! system). Where the directory's file system can share blocks between files (xfs, btrfs), a snapshot or clone shares them and
//! takes no time and no space; elsewhere it is copied, which is refused while the volume is attached.
//!
//! ```text
//! pool/    what is on disk: create, delete, snapshot, clone, grow, capacity, sweep
//! node/    what is in the kernel: stage, publish, unpublish, unstage, statistics, health
//! id, record, shelf, durable     names, state files, their index, and how they reach the disk
//! content, ext4, loops, mounts   bytes of a volume, its file system, its device, its mounts
//! ```
//!
//! All that must survive is in the pool's own state files (`docs/storage.md`); all that is attached or mounted is asked of the
//! kernel each time. There is nothing else to lose. Everything is synchronous; a caller may use a pool from many threads.

mod busy;
mod content;
mod durable;
mod error;
mod ext4;
mod id;
mod ioctl;
mod loops;
mod mounts;
mod node;
mod pool;
mod record;
mod shelf;

pub use error::{Error, Kind};
pub use id::{Name, SnapshotId, VolumeId};
pub use node::{Access, Publication, Usage};
pub use pool::capacity::Capacity;
pub use pool::{NewVolume, Pool, Settings};
pub use record::{FileSystem, Snapshot, Source, Volume};
