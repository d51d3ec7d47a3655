//! Finding zeros with wide loads, so that holes stay holes.

use std::ops::Range;

/// Size of the blocks that are looked at. File systems allocate in blocks of this size, so smaller holes save nothing.
pub const BLOCK: usize = 4096;

/// Zero blocks in a row that are worth a hole; fewer are written, because every hole costs the file system an extent.
const MIN_HOLE: usize = 4;

/// Whether all bytes are zero. Runs at memory speed: the compiler turns the fold over a fixed length into wide loads.
#[must_use]
pub fn is_zero(bytes: &[u8]) -> bool {
    let (blocks, rest) = bytes.as_chunks::<256>();
    blocks.iter().all(|block| block.iter().fold(0, |any, byte| any | byte) == 0) && rest.iter().all(|&byte| byte == 0)
}

/// The runs of `bytes` that must be written, in order, if zeros need not be: everything except runs of at least four
/// whole zero blocks, counted from the start of `bytes`.
pub fn data_runs(bytes: &[u8]) -> impl Iterator<Item = Range<usize>> + '_ {
    let mut at = 0;
    std::iter::from_fn(move || {
        at += zero_run(&bytes[at..]);
        if at >= bytes.len() {
            return None;
        }
        let start = at;
        while at < bytes.len() {
            let zeros = zero_run(&bytes[at..]);
            if zeros >= MIN_HOLE * BLOCK || (zeros > 0 && at + zeros == bytes.len()) {
                break;
            }
            at += if zeros > 0 { zeros } else { BLOCK.min(bytes.len() - at) };
        }
        Some(start..at)
    })
}

/// Length of the zero blocks at the beginning.
fn zero_run(bytes: &[u8]) -> usize {
    bytes.chunks(BLOCK).take_while(|block| is_zero(block)).map(<[u8]>::len).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_set_bit_anywhere_is_found() {
        let mut bytes = vec![0u8; 3 * BLOCK + 5];
        assert!(is_zero(&bytes));
        for at in [0, 1, 7, 8, 511, 512, 4095, 4096, 3 * BLOCK + 4] {
            bytes[at] = 1;
            assert!(!is_zero(&bytes) && !is_zero(&bytes[at..]), "byte {at}");
            assert!(is_zero(&bytes[at + 1..]) && is_zero(&bytes[..at]));
            bytes[at] = 0;
        }
    }

    fn runs(blocks: &[u8]) -> Vec<Range<usize>> {
        let bytes: Vec<u8> = blocks.iter().flat_map(|&fill| [fill; BLOCK]).collect();
        data_runs(&bytes).map(|run| run.start / BLOCK..run.end / BLOCK).collect()
    }

    #[test]
    fn only_holes_worth_an_extent_are_left_out() {
        assert_eq!(runs(&[0, 0]), vec![]);
        assert_eq!(runs(&[1, 0, 0, 0, 1]), vec![0..5]);
        assert_eq!(runs(&[1, 0, 0, 0, 0, 1, 0]), vec![0..1, 5..6]);
        assert_eq!(runs(&[0, 1, 1, 0, 0, 0, 0]), vec![1..3]);
    }

    #[test]
    fn a_short_last_block_is_kept() {
        let mut bytes = vec![0; BLOCK + 10];
        bytes[BLOCK + 9] = 1;
        assert_eq!(data_runs(&bytes).collect::<Vec<_>>(), vec![BLOCK..BLOCK + 10]);
    }
}
