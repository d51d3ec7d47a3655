//! An empty disk: a source without bytes.

use std::ops::Range;

use contract::{Code, Failure};
use mover::source::{Reader, Source};

/// A disk of zeros.
pub struct BlankSource {
    size: u64,
}

impl BlankSource {
    /// An empty disk of `size` bytes.
    #[must_use]
    pub fn new(size: u64) -> Self {
        Self { size }
    }
}

impl Source for BlankSource {
    fn name(&self) -> &'static str {
        "blank disk"
    }

    fn len(&self) -> Option<u64> {
        Some(0)
    }

    fn has_ranges(&self) -> bool {
        true
    }

    fn blank(&self) -> Option<u64> {
        Some(self.size)
    }

    fn identity(&self) -> Option<String> {
        Some(format!("blank {}", self.size))
    }

    fn parallelism(&self) -> usize {
        1
    }

    fn open(&self, _range: Range<u64>) -> Result<Box<dyn Reader>, Failure> {
        Err(Failure::new(Code::Internal, "a blank disk has no bytes to read"))
    }
}
