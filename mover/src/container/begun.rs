//! A source that was begun: its first bytes said what it is, and the next look needs them again.

use std::ops::Range;
use std::sync::{Arc, Mutex, PoisonError};

use contract::Failure;

use crate::look::Prefixed;
use crate::shared::SharedMemory;
use crate::source::{Reader, Source};

/// A source whose first bytes were read already, and are not asked for again.
pub(super) struct Begun {
    source: Box<dyn Source>,
    head: Vec<u8>,
    /// Where a source that is opened only once goes on after its first bytes.
    rest: Mutex<Option<Box<dyn Reader>>>,
}

impl Begun {
    pub(super) fn new(source: Box<dyn Source>, head: Vec<u8>, rest: Option<Box<dyn Reader>>) -> Self {
        Self { source, head, rest: Mutex::new(rest) }
    }
}

impl Source for Begun {
    fn name(&self) -> &str {
        self.source.name()
    }

    fn len(&self) -> Option<u64> {
        self.source.len()
    }

    fn has_ranges(&self) -> bool {
        self.source.has_ranges()
    }

    fn end_is_known(&self) -> bool {
        self.source.end_is_known()
    }

    fn identity(&self) -> Option<String> {
        self.source.identity()
    }

    fn data_in(&self, range: Range<u64>) -> Vec<Range<u64>> {
        self.source.data_in(range)
    }

    fn parallelism(&self) -> usize {
        self.source.parallelism()
    }

    fn access(&self) -> Vec<String> {
        self.source.access()
    }

    fn warnings(&self) -> Vec<String> {
        self.source.warnings()
    }

    fn share(&self, memory: &Arc<SharedMemory>) -> Result<(), Failure> {
        self.source.share(memory)
    }

    fn open(&self, range: Range<u64>) -> Result<Box<dyn Reader>, Failure> {
        let rest = self.rest.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(rest) = rest {
            return Ok(Box::new(Prefixed::new(self.head.clone(), rest)));
        }
        match self.head.get(range.start as usize..range.end as usize) {
            Some(known) if self.has_ranges() => Ok(Box::new(Known(known.to_vec(), 0))),
            _ => self.source.open(range),
        }
    }
}

/// Bytes in memory.
struct Known(Vec<u8>, usize);

impl Reader for Known {
    fn read(&mut self, buf: &mut [u8]) -> Result<usize, Failure> {
        let rest = &self.0[self.1..];
        let len = rest.len().min(buf.len());
        buf[..len].copy_from_slice(&rest[..len]);
        self.1 += len;
        Ok(len)
    }
}
