//! Builds the fingerprint while the disk is being written, in any order, in bounded memory.
//!
//! Leaves are kept per span of 64 MiB until the span is closed; then only its root stays. A leaf that was not hashed as
//! a whole (several writes met in it, an earlier attempt wrote it, or its span was put aside) is read again from the
//! target when its span closes.
//!
//! ```text
//! expect(range) ---> open span {expected, hashed, hashes} --close/finish--> root
//! leaf(i, hash) -->        |                                  ^
//!                          +-- too many open spans: hashes dropped, expected kept --+
//! ```

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::{Mutex, PoisonError};

use contract::Failure;

use super::{Fingerprint, Hash, LEAF, ROOT_LEVEL, ZERO, leaf, node};
use crate::bits::Bits;

/// Leaves of one span.
const SPAN_LEAVES: u64 = 1024;
/// Bytes of one span.
pub(super) const SPAN: u64 = SPAN_LEAVES * LEAF;
/// Tree level of a span's root.
const SPAN_LEVEL: u8 = SPAN_LEAVES.ilog2() as u8;
/// Spans that may hold their leaf hashes at once (32 KiB each).
const MAX_OPEN: usize = 96;

/// The disk whose leaves are read again.
pub trait Disk {
    /// Fills `buf` with the disk's content at `at`; what lies past the disk's end is zeros.
    ///
    /// # Errors
    /// The disk cannot be read.
    fn read(&self, at: u64, buf: &mut [u8]) -> Result<(), Failure>;
}

/// A fingerprint in the making. Shared by all writing threads.
pub struct Builder {
    size: u64,
    spans: Mutex<Spans>,
}

#[derive(Default)]
struct Spans {
    open: BTreeMap<u64, Span>,
    /// Spans that hold hashes, the longest untouched first is looked for only when there are too many.
    holding: usize,
    touched: u64,
    roots: BTreeMap<u64, Hash>,
}

#[derive(Default)]
struct Span {
    /// Leaves that may hold data.
    expected: Bits,
    /// Leaves whose hash is in `hashes`.
    hashed: Bits,
    hashes: Option<Box<[Hash; SPAN_LEAVES as usize]>>,
    touched: u64,
}

impl Builder {
    /// Begins with a disk of `size` zeros. A size that is not known yet is `u64::MAX`.
    #[must_use]
    pub fn new(size: u64) -> Self {
        Self { size, spans: Mutex::default() }
    }

    /// Sets the size that was not known at the beginning.
    pub fn settle(&mut self, size: u64) {
        self.size = size;
    }

    /// Bytes the leaf at `index` covers: 64 KiB, less for the last one.
    fn leaf_len(&self, index: u64) -> usize {
        self.size.saturating_sub(index * LEAF).min(LEAF) as usize
    }

    /// Whether `range` covers its leaf as far as the disk goes.
    #[must_use]
    pub fn is_whole_leaf(&self, range: &Range<u64>) -> bool {
        range.start.is_multiple_of(LEAF) && range.end - range.start == self.leaf_len(range.start / LEAF) as u64
    }

    /// Says that `range` may hold data which this attempt does not hand over leaf by leaf.
    pub fn expect(&self, range: &Range<u64>) {
        if range.is_empty() {
            return;
        }
        let mut spans = self.lock();
        let (mut index, last) = (range.start / LEAF, (range.end - 1) / LEAF);
        while index <= last {
            let span = index / SPAN_LEAVES;
            let end = last.min((span + 1) * SPAN_LEAVES - 1);
            let first = (index % SPAN_LEAVES) as usize;
            spans.touch(span).expected.insert_range(first..(end % SPAN_LEAVES) as usize + 1);
            index = end + 1;
        }
    }

    /// Takes the hashes of consecutive whole leaves, the first at `index`.
    pub fn leaves(&self, index: u64, hashes: &[Hash]) {
        let mut spans = self.lock();
        for (index, hash) in (index..).zip(hashes) {
            spans.put(index, hash);
        }
    }

    /// Closes the span that begins at `start` if nothing more will be written there: reads what is missing and keeps
    /// only the root.
    ///
    /// # Errors
    /// `disk` cannot be read.
    pub fn close(&self, start: u64, disk: &dyn Disk) -> Result<(), Failure> {
        let index = start / SPAN;
        let Some(span) = self.lock().remove(index) else { return Ok(()) };
        let root = self.complete(index, span, disk)?;
        if root != ZERO {
            self.lock().roots.insert(index, root);
        }
        Ok(())
    }

    /// Closes all spans and returns the fingerprint.
    ///
    /// # Errors
    /// `disk` cannot be read.
    pub fn finish(&self, disk: &dyn Disk) -> Result<Fingerprint, Failure> {
        loop {
            let Some(index) = self.lock().open.first_key_value().map(|(&index, _)| index) else { break };
            self.close(index * SPAN, disk)?;
        }
        Ok(Fingerprint { size: self.size, root: root_of(&self.lock().roots) })
    }

    fn complete(&self, index: u64, span: Span, disk: &dyn Disk) -> Result<Hash, Failure> {
        let Span { expected, hashed, hashes, .. } = span;
        let mut hashes = hashes.unwrap_or_else(|| Box::new([ZERO; SPAN_LEAVES as usize]));
        let mut buffer = Vec::new();
        for (at, hash) in hashes.iter_mut().enumerate() {
            if expected.contains(at) && !hashed.contains(at) {
                let leaf_index = index * SPAN_LEAVES + at as u64;
                buffer.resize(self.leaf_len(leaf_index), 0);
                disk.read(leaf_index * LEAF, &mut buffer)?;
                *hash = leaf(&buffer);
            }
        }
        Ok(fold(hashes))
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Spans> {
        self.spans.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Spans {
    /// The open span at `index`, opened if need be. A span that was closed is opened again with all of its leaves to
    /// be read.
    fn touch(&mut self, index: u64) -> &mut Span {
        self.touched += 1;
        let reopened = self.roots.remove(&index).is_some();
        let span = self.open.entry(index).or_default();
        if reopened {
            span.expected.insert_range(0..SPAN_LEAVES as usize);
        }
        span.touched = self.touched;
        span
    }

    fn put(&mut self, index: u64, hash: &Hash) {
        let at = (index % SPAN_LEAVES) as usize;
        let span = self.touch(index / SPAN_LEAVES);
        span.expected.insert(at);
        span.hashed.insert(at);
        let fresh = span.hashes.is_none();
        span.hashes.get_or_insert_with(|| Box::new([ZERO; SPAN_LEAVES as usize]))[at] = *hash;
        if fresh {
            self.holding += 1;
            if self.holding > MAX_OPEN {
                self.put_aside();
            }
        }
    }

    /// Puts the span aside that was not touched for longest. If nothing is missing it is closed; should more come
    /// after all, its leaves are read again in the end, as are those of a span with leaves missing.
    fn put_aside(&mut self) {
        let holding = self.open.iter_mut().filter(|(_, span)| span.hashes.is_some());
        let Some((&index, span)) = holding.min_by_key(|(_, span)| span.touched) else { return };
        self.holding -= 1;
        if span.expected == span.hashed {
            let root = span.hashes.take().map_or(ZERO, fold);
            self.open.remove(&index);
            self.roots.insert(index, root);
        } else {
            span.hashes = None;
            span.hashed = Bits::default();
        }
    }

    fn remove(&mut self, index: u64) -> Option<Span> {
        let span = self.open.remove(&index)?;
        self.holding -= usize::from(span.hashes.is_some());
        Some(span)
    }
}

/// Root of one span.
fn fold(mut hashes: Box<[Hash; SPAN_LEAVES as usize]>) -> Hash {
    let mut width = hashes.len();
    for level in 1..=SPAN_LEVEL {
        width /= 2;
        for at in 0..width {
            hashes[at] = node(level, &hashes[2 * at], &hashes[2 * at + 1]);
        }
    }
    hashes[0]
}

/// Root over the span roots; spans that are absent are zeros.
fn root_of(spans: &BTreeMap<u64, Hash>) -> Hash {
    let mut row = spans.clone();
    for level in SPAN_LEVEL + 1..=ROOT_LEVEL {
        let mut above: BTreeMap<u64, (Hash, Hash)> = BTreeMap::new();
        for (index, hash) in row {
            let pair = above.entry(index / 2).or_insert((ZERO, ZERO));
            if index % 2 == 0 { pair.0 = hash } else { pair.1 = hash }
        }
        row = above.into_iter().map(|(index, (left, right))| (index, node(level, &left, &right))).collect();
    }
    row.get(&0).copied().unwrap_or(ZERO)
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Bytes(Vec<u8>);

    impl Disk for Bytes {
        fn read(&self, at: u64, buf: &mut [u8]) -> Result<(), Failure> {
            buf.fill(0);
            let from = self.0.len().min(at as usize);
            let len = buf.len().min(self.0.len() - from);
            buf[..len].copy_from_slice(&self.0[from..from + len]);
            Ok(())
        }
    }

    fn of(bytes: &[u8]) -> Hash {
        let builder = Builder::new(bytes.len() as u64);
        builder.expect(&(0..bytes.len() as u64));
        builder.finish(&Bytes(bytes.to_vec())).unwrap().root
    }

    fn pattern(len: usize) -> Vec<u8> {
        (0..len).map(|at| (at / 1000 % 251) as u8 + 1).collect()
    }

    #[test]
    fn trailing_zeros_do_not_change_the_root() {
        let mut bytes = pattern(3 * LEAF as usize + 17);
        let root = of(&bytes);
        for grown in [1, LEAF as usize, 5 * LEAF as usize, SPAN as usize] {
            bytes.resize(3 * LEAF as usize + 17 + grown, 0);
            assert_eq!(of(&bytes), root);
        }
    }

    #[test]
    fn a_disk_of_zeros_has_the_zero_root() {
        assert_eq!(of(&vec![0; 300_000]), ZERO);
        assert_eq!(Builder::new(8 << 40).finish(&Bytes(Vec::new())).unwrap().root, ZERO);
    }

    #[test]
    fn position_and_content_both_count() {
        let mut moved = vec![0; 4 * LEAF as usize];
        moved[2 * LEAF as usize] = 1;
        let mut first = vec![0; 4 * LEAF as usize];
        first[0] = 1;
        assert_ne!(of(&moved), of(&first));
    }

    #[test]
    fn leaves_in_any_order_with_spans_put_aside_give_the_same_root() {
        let leaf_len = LEAF as usize;
        // One leaf in each of more spans than may be open, handed over from the last to the first, twice round.
        let count = MAX_OPEN as u64 + 5;
        let disk = |at: u64| pattern(leaf_len).iter().map(|b| b ^ (at as u8 & 0x7f)).collect::<Vec<u8>>();
        struct Sparse<F>(F);
        impl<F: Fn(u64) -> Vec<u8>> Disk for Sparse<F> {
            fn read(&self, at: u64, buf: &mut [u8]) -> Result<(), Failure> {
                let leaf_of_span = at / LEAF % SPAN_LEAVES;
                buf.fill(0);
                if leaf_of_span == 3 || leaf_of_span == 5 {
                    buf.copy_from_slice(&self.0(at / LEAF)[..buf.len()]);
                }
                Ok(())
            }
        }
        let builder = Builder::new(count * SPAN);
        // Leaf 3 of all spans before leaf 5 of any: every span is put aside, closed, and opened again.
        for within in [3, 5] {
            for span in (0..count).rev() {
                let index = span * SPAN_LEAVES + within;
                builder.leaves(index, &[leaf(&disk(index))]);
            }
        }
        let scattered = builder.finish(&Sparse(disk)).unwrap();
        let ordered = Builder::new(count * SPAN);
        for span in 0..count {
            ordered.expect(&(span * SPAN..(span + 1) * SPAN));
            ordered.close(span * SPAN, &Sparse(disk)).unwrap();
        }
        assert_eq!(ordered.finish(&Sparse(disk)).unwrap(), scattered);
    }

    #[test]
    fn the_root_is_the_plain_tree_of_48_levels() {
        let bytes = pattern(2 * LEAF as usize);
        let (left, right) = bytes.split_at(LEAF as usize);
        let pair = node(1, &leaf(left), &leaf(right));
        assert_eq!(of(&bytes), (2..=ROOT_LEVEL).fold(pair, |hash, level| node(level, &hash, &ZERO)));
    }
}
