//! A source whose bytes are checked against digests taken while the whole file was hashed.
//!
//! For an image whose map is too large to be held in the order of its file: the file is read once for the checksum, keeping
//! a digest of each block, and then imported by its map, every block being checked again. What the server shows the second
//! time is so what the checksum covers.

use std::ops::Range;
use std::sync::Arc;

use contract::{Code, Failure};

use crate::checksum::{Algorithm, Hasher};
use crate::source::{Reader, Source};

/// Bytes under one digest.
const BLOCK: u64 = 1 << 20;
/// Bytes kept of each digest; a forger has to hit one given value.
const DIGEST: usize = 16;

type Digests = Arc<Vec<[u8; DIGEST]>>;

/// A source with its blocks' digests.
pub(crate) struct Verified<'a> {
    source: &'a dyn Source,
    len: u64,
    digests: Digests,
}

impl<'a> Verified<'a> {
    /// Reads all of `source` and returns it, checked from now on, with the digest of the file.
    ///
    /// # Errors
    /// The source cannot be read; `passed` may refuse to go on.
    pub(crate) fn read(
        source: &'a dyn Source,
        len: u64,
        algorithm: Algorithm,
        mut passed: impl FnMut(u64) -> Result<(), Failure>,
    ) -> Result<(Self, String), Failure> {
        let mut reader = source.open(0..len)?;
        let mut hasher = Hasher::new(algorithm);
        let mut digests = Vec::with_capacity(len.div_ceil(BLOCK) as usize);
        let mut block = vec![0; BLOCK as usize];
        for start in (0..len).step_by(BLOCK as usize) {
            let block = &mut block[..(len - start).min(BLOCK) as usize];
            if reader.fill(block)? < block.len() {
                return Err(
                    Failure::new(Code::SourceTruncated, format!("the source ends before byte {len}")).at(source.name())
                );
            }
            hasher.update(block);
            digests.push(digest(block));
            passed(block.len() as u64)?;
        }
        Ok((Self { source, len, digests: Arc::new(digests) }, hasher.hex()))
    }
}

fn digest(block: &[u8]) -> [u8; DIGEST] {
    let mut digest = [0; DIGEST];
    digest.copy_from_slice(&blake3::hash(block).as_bytes()[..DIGEST]);
    digest
}

impl Source for Verified<'_> {
    fn name(&self) -> &str {
        self.source.name()
    }

    fn len(&self) -> Option<u64> {
        Some(self.len)
    }

    fn has_ranges(&self) -> bool {
        true
    }

    fn identity(&self) -> Option<String> {
        self.source.identity()
    }

    fn parallelism(&self) -> usize {
        self.source.parallelism()
    }

    fn open(&self, range: Range<u64>) -> Result<Box<dyn Reader>, Failure> {
        let first = range.start / BLOCK;
        let blocks = first * BLOCK..range.end.next_multiple_of(BLOCK).min(self.len);
        Ok(Box::new(Checking {
            reader: self.source.open(blocks.clone())?,
            digests: Arc::clone(&self.digests),
            left: blocks.end - blocks.start,
            next: first as usize,
            block: Vec::new(),
            used: 0,
            skip: (range.start - blocks.start) as usize,
            name: self.source.name().to_owned(),
        }))
    }
}

/// Reads whole blocks and hands out what was checked.
struct Checking {
    reader: Box<dyn Reader>,
    digests: Digests,
    /// Bytes not read yet.
    left: u64,
    /// Number of the next block.
    next: usize,
    block: Vec<u8>,
    used: usize,
    /// Bytes of the first block that are before the range.
    skip: usize,
    name: String,
}

impl Reader for Checking {
    fn read(&mut self, buf: &mut [u8]) -> Result<usize, Failure> {
        if self.used == self.block.len() {
            self.block.resize(self.left.min(BLOCK) as usize, 0);
            let read = self.reader.fill(&mut self.block)?;
            self.block.truncate(read);
            self.left -= read as u64;
            self.used = std::mem::take(&mut self.skip).min(read);
            if read > 0 && self.digests.get(self.next) != Some(&digest(&self.block)) {
                let what = format!(
                    "the source gave different bytes the second time, in the MiB at {}",
                    self.next as u64 * BLOCK
                );
                return Err(Failure::new(Code::SourceInconsistent, what).at(self.name.clone()));
            }
            self.next += 1;
        }
        let len = buf.len().min(self.block.len() - self.used);
        buf[..len].copy_from_slice(&self.block[self.used..self.used + len]);
        self.used += len;
        Ok(len)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;

    struct Changing(Arc<Mutex<Vec<u8>>>);

    struct Slice(Arc<Mutex<Vec<u8>>>, Range<u64>);

    impl Reader for Slice {
        fn read(&mut self, buf: &mut [u8]) -> Result<usize, Failure> {
            let bytes = self.0.lock().unwrap();
            let len = buf.len().min((self.1.end - self.1.start) as usize);
            buf[..len].copy_from_slice(&bytes[self.1.start as usize..][..len]);
            self.1.start += len as u64;
            Ok(len)
        }
    }

    impl Source for Changing {
        fn name(&self) -> &str {
            "changing"
        }
        fn len(&self) -> Option<u64> {
            Some(self.0.lock().unwrap().len() as u64)
        }
        fn has_ranges(&self) -> bool {
            true
        }
        fn identity(&self) -> Option<String> {
            None
        }
        fn parallelism(&self) -> usize {
            1
        }
        fn open(&self, range: Range<u64>) -> Result<Box<dyn Reader>, Failure> {
            Ok(Box::new(Slice(Arc::clone(&self.0), range)))
        }
    }

    #[test]
    fn any_range_reads_the_same_and_a_changed_byte_is_noticed() {
        let bytes: Vec<u8> = (0..3_500_000u32).map(|at| (at / 7) as u8).collect();
        let shared = Arc::new(Mutex::new(bytes.clone()));
        let source = Changing(Arc::clone(&shared));
        let (verified, _) = Verified::read(&source, bytes.len() as u64, Algorithm::Sha256, |_| Ok(())).unwrap();
        for range in [0..10, 1_048_575..1_048_577, 5..3_500_000, 3_499_999..3_500_000, 0..3_500_000] {
            let mut read = vec![0; (range.end - range.start) as usize];
            assert_eq!(verified.open(range.clone()).unwrap().fill(&mut read).unwrap(), read.len());
            assert_eq!(read, bytes[range.start as usize..range.end as usize]);
        }
        shared.lock().unwrap()[2_000_000] ^= 1;
        let failure = verified.open(1_100_000..1_100_010).unwrap().fill(&mut [0; 10]).unwrap_err();
        assert_eq!(failure.code(), Code::SourceInconsistent);
        verified.open(0..10).unwrap().fill(&mut [0; 10]).unwrap();
    }
}
