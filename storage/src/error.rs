//! What can go wrong, and the few kinds between which a caller chooses.

use std::io;
use std::path::{Path, PathBuf};

use crate::id::Name;

/// A refusal or failure. The message says what was asked, what is in the way and what to do.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// An argument that could never be right.
    #[error("{what} {why}")]
    Invalid {
        /// Which argument, with its value.
        what: String,
        /// What it must be.
        why: &'static str,
    },
    /// No volume or snapshot of that identifier.
    #[error("there is no {what} {id:?} in this pool")]
    NotFound {
        /// Volume or snapshot.
        what: &'static str,
        /// As it was asked for.
        id: String,
    },
    /// The name belongs to something else than what is asked for.
    #[error("{what} {name} exists already with {difference}")]
    NameTaken {
        /// Volume or snapshot.
        what: &'static str,
        /// The name.
        name: Name,
        /// How it differs.
        difference: String,
    },
    /// A target path is published in another way.
    #[error("{path} already shows {what}; unpublish it first", path = path.display())]
    TargetTaken {
        /// The target.
        path: PathBuf,
        /// What is there.
        what: String,
    },
    /// Another operation on the same thing is running.
    #[error("another operation on {0} is running; try again")]
    Busy(String),
    /// A size that this volume cannot have.
    #[error("a size of {size} bytes {why}")]
    OutOfRange {
        /// Bytes asked for.
        size: u64,
        /// What is wrong with it.
        why: String,
    },
    /// More than the pool could ever hold.
    #[error("{size} bytes are more than this pool can promise at all ({limit}); use a larger pool or a smaller volume")]
    TooLarge {
        /// Bytes asked for.
        size: u64,
        /// Bytes that an empty pool could promise.
        limit: u64,
    },
    /// More than the pool has left.
    #[error(
        "{size} bytes are more than the pool has left to promise ({available}); delete volumes or snapshots, or enlarge the pool"
    )]
    NoRoom {
        /// Bytes asked for.
        size: u64,
        /// Bytes left.
        available: u64,
    },
    /// The volume's state does not allow it; the message says which state would.
    #[error("volume {id}: {why}")]
    Precondition {
        /// The volume.
        id: String,
        /// What is in the way, and the remedy.
        why: String,
    },
    /// A state file or a disk that is not as it was written.
    #[error("{path}: {why}; restore it from a backup, or move its folder out of the pool to give it up", path = path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        why: String,
    },
    /// The folder cannot be a pool, or not now.
    #[error("pool {path}: {why}", path = path.display())]
    Pool {
        /// The folder.
        path: PathBuf,
        /// What is in the way.
        why: String,
    },
    /// A system call failed.
    #[error("could not {doing} {path}", path = path.display())]
    Io {
        /// What was being done.
        doing: &'static str,
        /// To what.
        path: PathBuf,
        /// The system's reason.
        source: io::Error,
    },
    /// An outside program failed.
    #[error("{command}: {said}")]
    Tool {
        /// Its command line.
        command: String,
        /// Its exit status and what it said.
        said: String,
    },
}

/// What a caller does about an [`Error`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Ask differently.
    Invalid,
    /// Nothing to work on.
    NotFound,
    /// The name or target is taken.
    Exists,
    /// Ask again soon.
    Busy,
    /// Ask for another size.
    OutOfRange,
    /// Make room, or ask elsewhere.
    Exhausted,
    /// Change the volume's state first.
    Precondition,
    /// Restore from a backup.
    Damaged,
    /// Look at the machine.
    Internal,
}

impl Error {
    /// What to do about it.
    #[must_use]
    pub fn kind(&self) -> Kind {
        match self {
            Self::Invalid { .. } => Kind::Invalid,
            Self::NotFound { .. } => Kind::NotFound,
            Self::NameTaken { .. } | Self::TargetTaken { .. } => Kind::Exists,
            Self::Busy(_) => Kind::Busy,
            Self::TooLarge { .. } | Self::OutOfRange { .. } => Kind::OutOfRange,
            Self::NoRoom { .. } => Kind::Exhausted,
            Self::Precondition { .. } => Kind::Precondition,
            Self::Damaged { .. } => Kind::Damaged,
            Self::Io { source, .. } => match source.kind() {
                io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => Kind::Exhausted,
                _ => Kind::Internal,
            },
            Self::Pool { .. } | Self::Tool { .. } => Kind::Internal,
        }
    }

    /// For `map_err`: names the call and the path.
    pub(crate) fn io<E: Into<io::Error>>(doing: &'static str, path: &Path) -> impl FnOnce(E) -> Self {
        move |source| Self::Io { doing, path: path.to_owned(), source: source.into() }
    }

    pub(crate) fn precondition(id: &impl ToString, why: impl Into<String>) -> Self {
        Self::Precondition { id: id.to_string(), why: why.into() }
    }
}
