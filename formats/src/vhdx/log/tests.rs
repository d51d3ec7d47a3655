//! Rings of entries as numbers, and the sequences and writes that follow from them. Entries that are damaged are tried
//! with whole images (`tests/images/vhdx`).

use super::*;
use crate::crc32c;
use crate::vhdx::overlay::Source;

const GUID: Guid = Guid([7; 16]);
const HOST: u64 = 1 << 20;
const FILE: u64 = 64 << 20;

/// A ring of 16 sectors.
struct Log(Vec<u8>);

impl Log {
    fn new() -> Self {
        Self(vec![0; 16 * SECTOR])
    }

    /// Puts an entry that zeros `sectors` of the file from 8 MiB on.
    fn put(self, (sector, tail): (usize, usize), sequence: u64, sectors: u64) -> Self {
        let mut entry = vec![0; SECTOR];
        entry[..4].copy_from_slice(b"loge");
        for (at, value) in [(8, SECTOR as u64), (16, sequence), (24, 1), (48, FILE), (56, FILE)] {
            entry[at..at + 8].copy_from_slice(&value.to_le_bytes());
        }
        entry[12..16].copy_from_slice(&u32::try_from(tail * SECTOR).unwrap().to_le_bytes());
        entry[32..48].copy_from_slice(&GUID.0);
        entry[64..68].copy_from_slice(b"zero");
        for (at, value) in [(72, sectors * SECTOR as u64), (80, 8 << 20), (88, sequence)] {
            entry[at..at + 8].copy_from_slice(&value.to_le_bytes());
        }
        self.set(sector, entry)
    }

    fn set(mut self, sector: usize, mut entry: Vec<u8>) -> Self {
        let sum = crc32c::without(&entry, 4);
        entry[4..8].copy_from_slice(&sum.to_le_bytes());
        self.0[sector * SECTOR..][..entry.len()].copy_from_slice(&entry);
        self
    }

    /// How many sectors are zeroed by what is pending.
    fn zeroed(self) -> Result<u64, Error> {
        let overlay = replay(self.0, HOST, GUID, FILE)?;
        let zeroed: Vec<_> = overlay.touching(0..u64::MAX).collect();
        assert!(zeroed.iter().all(|(host, source)| host.start >= 8 << 20 && *source == Source::Zero));
        Ok(zeroed.iter().map(|(host, _)| (host.end - host.start) / SECTOR as u64).sum())
    }
}

#[test]
fn an_entry_alone_is_a_sequence() {
    assert_eq!(Log::new().put((3, 3), 1, 5).zeroed(), Ok(5));
    assert_eq!(Log::new().put((15, 15), u64::MAX, 5).zeroed(), Ok(5));
}

#[test]
fn a_sequence_goes_from_the_tail_to_the_newest_entry() {
    let log = || Log::new().put((2, 2), 7, 30).put((3, 2), 8, 2).put((4, 3), 9, 3);
    assert_eq!(log().zeroed(), Ok(3), "the first entry is done");
    assert_eq!(log().put((5, 2), 10, 1).zeroed(), Ok(30));
    assert_eq!(log().put((5, 5), 11, 1).zeroed(), Ok(1), "a number is missing, so that is another sequence");
    assert_eq!(log().put((5, 5), 1, 1).zeroed(), Ok(3), "an older sequence behind it");
}

#[test]
fn a_sequence_may_go_over_the_end_of_the_ring() {
    let log = Log::new().put((14, 14), 3, 4).put((15, 14), 4, 1).put((0, 14), 5, 2).put((1, 14), 6, 1);
    assert_eq!(log.zeroed(), Ok(4));
}

#[test]
fn a_sequence_may_fill_the_ring() {
    let log = (0..16).fold(Log::new(), |log, sector| log.put((sector, 0), 100 + sector as u64, 1));
    assert_eq!(log.zeroed(), Ok(1));
    // Its oldest entry anywhere in it.
    let log = (0..16).fold(Log::new(), |log, number| log.put(((number + 5) % 16, 5), 100 + number as u64, 1));
    assert_eq!(log.zeroed(), Ok(1));
}

#[test]
fn a_tail_outside_of_the_sequence_is_no_sequence() {
    let error = |log: Log| log.zeroed().map_err(|error| (error.kind(), error.offset()));
    let nothing = Err((Kind::Malformed, Some(HOST)));
    assert_eq!(error(Log::new()), nothing);
    assert_eq!(error(Log::new().put((3, 4), 1, 1)), nothing);
    assert_eq!(error(Log::new().put((3, 16), 1, 1)), nothing);
    assert_eq!(error(Log::new().put((3, 5), 1, 1).put((5, 3), 2, 1)), nothing, "they do not follow each other");
    // The part of the sequence that is whole.
    assert_eq!(Log::new().put((3, 5), 1, 1).put((4, 4), 2, 9).zeroed(), Ok(9));
}

#[test]
fn numbers_do_not_go_on_behind_the_last_one() {
    let log = Log::new().put((0, 0), u64::MAX, 3).put((1, 0), 1, 5);
    assert_eq!(log.zeroed(), Ok(3));
}

#[test]
fn an_entry_may_write_nothing() {
    let log = Log::new().put((0, 0), 1, 0);
    assert_eq!(log.zeroed(), Ok(0));
}

#[test]
fn an_entry_longer_than_the_ring_is_none() {
    let mut entry = vec![0; SECTOR];
    entry[..4].copy_from_slice(b"loge");
    entry[8..12].copy_from_slice(&(17 * 4096_u32).to_le_bytes());
    entry[16] = 1;
    entry[32..48].copy_from_slice(&GUID.0);
    assert_eq!(Log::new().set(0, entry).zeroed().map_err(|error| error.kind()), Err(Kind::Malformed));
}

#[test]
fn the_file_must_be_as_long_as_it_was() {
    let log = Log::new().put((1, 1), 1, 1).0;
    let error = replay(log.clone(), HOST, GUID, FILE - 1).expect_err("a byte is missing");
    assert_eq!((error.kind(), error.offset()), (Kind::Truncated, Some(HOST + 4096 + 48)));
    assert_eq!(replay(log, HOST, GUID, FILE).unwrap().end, FILE);
}
