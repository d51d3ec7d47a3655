//! A caller of the search for a disk in an archive that reads the archive at random and as it flows.

use std::ops::Range;
use std::sync::Arc;

use contract::{Class, Failure};
use mover::container::{Wanted, enter};
use mover::source::{Reader, Source};

use crate::decode::ENOUGH;

/// A file in memory.
#[derive(Clone)]
struct Memory {
    bytes: Arc<Vec<u8>>,
    has_ranges: bool,
}

struct MemoryReader(Arc<Vec<u8>>, Range<usize>);

impl Reader for MemoryReader {
    fn read(&mut self, buf: &mut [u8]) -> Result<usize, Failure> {
        let len = buf.len().min(self.1.len());
        buf[..len].copy_from_slice(&self.0[self.1.start..][..len]);
        self.1.start += len;
        Ok(len)
    }
}

impl Source for Memory {
    fn name(&self) -> &str {
        "memory"
    }
    fn len(&self) -> Option<u64> {
        self.has_ranges.then_some(self.bytes.len() as u64)
    }
    fn has_ranges(&self) -> bool {
        self.has_ranges
    }
    fn identity(&self) -> Option<String> {
        None
    }
    fn parallelism(&self) -> usize {
        1
    }
    fn open(&self, range: Range<u64>) -> Result<Box<dyn Reader>, Failure> {
        let end = range.end.min(self.bytes.len() as u64);
        assert!(range.start <= end, "what is asked for is in the file");
        Ok(Box::new(MemoryReader(Arc::clone(&self.bytes), range.start as usize..end as usize)))
    }
}

/// Name and bytes of the disk, the latter up to [`ENOUGH`]; no name for a file that is no archive.
fn disk(bytes: &Arc<Vec<u8>>, has_ranges: bool, name: Option<&str>) -> Result<(Option<String>, Vec<u8>), Failure> {
    let source = Box::new(Memory { bytes: Arc::clone(bytes), has_ranges });
    let image = enter(source, &Wanted { disk: name, decompress: true, ..Wanted::default() })?.one()?;
    let mut reader = image.source.open(0..image.source.len().unwrap_or(u64::MAX))?;
    let (mut disk, mut piece) = (Vec::new(), vec![0; 64 * 1024]);
    while disk.len() < ENOUGH {
        match reader.read(&mut piece)? {
            0 => break,
            read => disk.extend_from_slice(&piece[..read]),
        }
    }
    Ok((image.source.member().map(str::to_owned), disk))
}

/// Looks for a disk in a file both ways.
///
/// # Panics
/// When a refusal is not the image's fault, or both ways find a disk and it is not the same.
pub fn check(bytes: Vec<u8>) {
    let bytes = Arc::new(bytes);
    for name in [None, Some("a")] {
        let found = [true, false].map(|has_ranges| disk(&bytes, has_ranges, name));
        for failure in found.iter().filter_map(|found| found.as_ref().err()) {
            let class = failure.code().class();
            assert!(matches!(class, Class::Image | Class::Verification | Class::Usage), "{failure}");
        }
        if let [Ok(at_random), Ok(flowing)] = &found
            && at_random.0.is_some()
        {
            assert!(at_random == flowing);
        }
    }
}
