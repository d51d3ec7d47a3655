//! What the two processes say to each other.

use std::ops::Range;
use std::path::PathBuf;

use contract::Failure;
use mover::progress::Snapshot;
use mover::source::Source;
use serde::{Deserialize, Serialize};

use crate::work::{Outcome, Work};

/// The first message, from the fetching process; beside it the lanes.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Job {
    /// Where the bytes come from.
    pub(super) origin: Origin,
    /// What to do with them.
    pub(super) work: Work,
}

/// Where the decoding process has the bytes from.
#[derive(Debug, Serialize, Deserialize)]
pub(super) enum Origin {
    /// The fetching process has them from a server.
    Fetched,
    /// It opens the file by itself, before it reads a byte.
    File(#[serde(with = "contract::path")] PathBuf),
    /// It has inherited standard input.
    Stdin,
    /// An empty disk of this size in bytes.
    Blank(u64),
}

/// What the fetching process says later.
#[derive(Debug, Serialize, Deserialize)]
pub(super) enum Word {
    /// Stop in good order.
    Cancel,
}

/// What the decoding process says.
#[derive(Debug, Serialize, Deserialize)]
pub(super) enum Event {
    /// How far it is.
    Progress(Snapshot),
    /// The end.
    Done(Result<Outcome, Failure>),
}

/// A question on a lane; each but the last has one answer.
#[derive(Debug, Serialize, Deserialize)]
pub(super) enum Question {
    /// Find the source, afresh if it was found before.
    Connect,
    /// Map the memory whose descriptor is beside this; the answer is its number.
    Share,
    /// Open a reader over this range; it replaces the lane's earlier one.
    Open(Range<u64>),
    /// Read into this range of this memory as far as the lane's reader goes; the answer is how much that was.
    Read {
        /// Number of the memory.
        memory: usize,
        /// Range in it.
        into: Range<usize>,
    },
    /// The lane's reader is done with.
    Close,
}

/// The answer to a question.
#[derive(Debug, Serialize, Deserialize)]
pub(super) enum Answer {
    /// To [`Question::Connect`].
    Connected(Facts),
    /// To any other.
    Number(usize),
    /// Why not.
    Failed(Failure),
}

/// What is known of a source without reading it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Facts {
    pub(super) name: String,
    pub(super) len: Option<u64>,
    pub(super) has_ranges: bool,
    pub(super) end_is_known: bool,
    pub(super) identity: Option<String>,
    pub(super) parallelism: usize,
    pub(super) access: Vec<String>,
    pub(super) warnings: Vec<String>,
}

impl Facts {
    pub(super) fn of(source: &dyn Source) -> Self {
        Self {
            name: source.name().to_owned(),
            len: source.len(),
            has_ranges: source.has_ranges(),
            end_is_known: source.end_is_known(),
            identity: source.identity(),
            parallelism: source.parallelism(),
            access: source.access(),
            warnings: source.warnings(),
        }
    }
}
