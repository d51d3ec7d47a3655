//! What a forward decoder knows about bytes that have not flowed past yet, in the order in which they will.

use super::geometry::Geometry;
use crate::{Error, Kind};

/// Host bytes whose use is known. The order of the fields is the order of the runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Run {
    pub(super) host: u64,
    pub(super) guest: u64,
    /// Host bytes.
    pub(super) len: u64,
    pub(super) content: Content,
}

/// What a run's bytes are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Content {
    /// A table; nothing the guest sees.
    Table,
    /// Plain guest bytes.
    Data,
    /// An encoded cluster.
    Encoded,
}

impl Run {
    pub(super) const fn table(host: u64, len: u64) -> Self {
        Self { host, guest: 0, len, content: Content::Table }
    }

    pub(super) const fn end(&self) -> u64 {
        self.host + self.len
    }

    /// What is left of the run behind its first `len` bytes.
    pub(super) const fn after(&self, len: u64) -> Self {
        Self { host: self.host + len, guest: self.guest + len, len: self.len - len, content: self.content }
    }

    /// Refuses a run that the image, which ends at `end`, does not hold: see [`super::entry::Entries::resolve`].
    pub(super) fn require(&self, geometry: &Geometry, end: u64) -> Result<(), Error> {
        let needed = match self.content {
            Content::Table => return Ok(()),
            Content::Data => (self.end() - 1) & !(geometry.cluster() - 1),
            Content::Encoded => self.host,
        };
        if needed < end {
            return Ok(());
        }
        let what = format!("guest offset {:#x} lies at offset {needed:#x}, the file ends at {end:#x}", self.guest);
        Err(Error::new(Kind::Truncated, what).at(needed))
    }
}

/// An L2 table that has not flowed past yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Table {
    pub(super) host: u64,
    /// L1 entry that names it.
    pub(super) index: u64,
}
