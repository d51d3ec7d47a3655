//! Where a file holds data, as its file system knows it.

use std::fs::File;
use std::ops::Range;

use rustix::fs::{SeekFrom, seek};
use rustix::io::Errno;

/// The parts of `range` that may hold data, in order; where the file system cannot tell, that is all of it. Moves the
/// descriptor's position.
#[must_use]
pub fn data_in(file: &File, range: Range<u64>) -> Vec<Range<u64>> {
    let mut found = Vec::new();
    let mut at = range.start;
    while at < range.end {
        let start = match seek(file, SeekFrom::Data(at)) {
            Ok(start) if start < range.end => start,
            Ok(_) | Err(Errno::NXIO) => break,
            Err(_) => {
                found.push(at..range.end);
                break;
            }
        };
        let end = seek(file, SeekFrom::Hole(start)).map_or(range.end, |end| end.min(range.end));
        found.push(start..end);
        at = end;
    }
    found
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::FileExt;

    use super::*;

    #[test]
    fn data_is_found_and_holes_are_left_out() {
        let file = tempfile::tempfile().unwrap();
        file.set_len(64 << 20).unwrap();
        file.write_all_at(&[1; 4096], 8 << 20).unwrap();
        file.write_all_at(&[1; 4096], 40 << 20).unwrap();
        let found = data_in(&file, 0..64 << 20);
        for written in [8 << 20, 40 << 20] {
            assert!(found.iter().any(|data| data.contains(&written)), "{found:?}");
        }
        assert!(found.iter().map(|data| data.end - data.start).sum::<u64>() < 1 << 20, "{found:?}");
        assert_eq!(data_in(&file, (8 << 20) + 10..(8 << 20) + 20), vec![(8 << 20) + 10..(8 << 20) + 20]);
        assert_eq!(data_in(&file, 50 << 20..64 << 20), vec![]);
    }
}
