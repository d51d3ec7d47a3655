//! What the rest of the import sees of an archive: its disk, as a source like any other.

use std::ops::Range;
use std::sync::{Arc, Mutex, PoisonError};

use contract::{Checked, Code, Failure};

use super::Reached;
use crate::shared::SharedMemory;
use crate::source::{Reader, Source};

/// A member whose bytes lie together in a source that can be read at random: everything that can be done with a file can be
/// done with it.
pub(super) struct Slice {
    archive: Arc<dyn Source>,
    member: String,
    name: String,
    /// Where it lies in the archive.
    range: Range<u64>,
}

impl Slice {
    pub(super) fn new(archive: Arc<dyn Source>, member: &str, range: Range<u64>) -> Self {
        let name = name_of(archive.name(), member);
        Self { archive, member: member.to_owned(), name, range }
    }

    fn outer(&self, range: &Range<u64>) -> Range<u64> {
        let at = |offset: u64| self.range.start.saturating_add(offset).min(self.range.end);
        at(range.start)..at(range.end)
    }
}

impl Source for Slice {
    fn name(&self) -> &str {
        &self.name
    }

    fn len(&self) -> Option<u64> {
        Some(self.range.end - self.range.start)
    }

    fn has_ranges(&self) -> bool {
        true
    }

    fn identity(&self) -> Option<String> {
        let Range { start, end } = self.range;
        self.archive.identity().map(|archive| format!("{archive} member {start}..{end} {}", self.member))
    }

    fn data_in(&self, range: Range<u64>) -> Vec<Range<u64>> {
        let start = self.range.start;
        let data = self.archive.data_in(self.outer(&range));
        data.into_iter().map(|data| data.start - start..data.end - start).collect()
    }

    fn parallelism(&self) -> usize {
        self.archive.parallelism()
    }

    fn access(&self) -> Vec<String> {
        self.archive.access()
    }

    fn warnings(&self) -> Vec<String> {
        self.archive.warnings()
    }

    fn member(&self) -> Option<&str> {
        Some(&self.member)
    }

    fn share(&self, memory: &Arc<SharedMemory>) -> Result<(), Failure> {
        self.archive.share(memory)
    }

    fn open(&self, range: Range<u64>) -> Result<Box<dyn Reader>, Failure> {
        self.archive.open(self.outer(&range))
    }
}

/// A member that comes once and in order, because its archive does or because it is compressed.
pub(super) struct Once {
    archive: Arc<dyn Source>,
    member: String,
    name: String,
    len: Option<u64>,
    reader: Mutex<Option<Box<dyn Reader>>>,
    /// What is known when all has flowed past.
    reached: Arc<Reached>,
}

impl Once {
    pub(super) fn new(
        archive: Arc<dyn Source>,
        member: &str,
        len: Option<u64>,
        reader: Box<dyn Reader>,
        reached: Arc<Reached>,
    ) -> Self {
        let name = name_of(archive.name(), member);
        Self { archive, member: member.to_owned(), name, len, reader: Mutex::new(Some(reader)), reached }
    }
}

impl Source for Once {
    fn name(&self) -> &str {
        &self.name
    }

    fn len(&self) -> Option<u64> {
        self.len
    }

    fn has_ranges(&self) -> bool {
        false
    }

    fn identity(&self) -> Option<String> {
        self.archive.identity().map(|archive| format!("{archive} member {}", self.member))
    }

    fn parallelism(&self) -> usize {
        1
    }

    fn access(&self) -> Vec<String> {
        self.archive.access()
    }

    fn warnings(&self) -> Vec<String> {
        self.archive.warnings()
    }

    fn member(&self) -> Option<&str> {
        Some(&self.member)
    }

    fn digests(&self) -> Vec<(Checked, String)> {
        self.reached.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn open(&self, range: Range<u64>) -> Result<Box<dyn Reader>, Failure> {
        let reader = self.reader.lock().unwrap_or_else(PoisonError::into_inner).take();
        reader.filter(|_| range.start == 0).ok_or_else(|| {
            let what = format!("a member was asked for bytes {}.. but flows once, from 0", range.start);
            Failure::new(Code::Internal, what).at(self.name.clone())
        })
    }
}

/// A member as messages name it.
fn name_of(archive: &str, member: &str) -> String {
    format!("{archive}, member {member}")
}
