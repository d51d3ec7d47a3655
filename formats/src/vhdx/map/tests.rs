//! BAT entries as numbers, and the extents and wants that follow from them.

use super::*;
use crate::Map as _;
use crate::vhdx::geometry::Facts;

const BAT: u64 = 3 * MIB;
const HOST: u64 = 16 * MIB;
const FILE: u64 = 1 << 40;

fn regions() -> Regions {
    let taken = vec![MIB..2 * MIB, 2 * MIB..3 * MIB, BAT..BAT + MIB];
    Regions { bat: BAT..BAT + MIB, metadata: 2 * MIB..3 * MIB, taken }
}

fn map(virtual_size: u64, file_len: u64, overlay: Overlay) -> Map {
    let (block_size, logical_sector, physical_sector) = (MIB, 512, 512);
    let facts = Facts { virtual_size, block_size, logical_sector, physical_sector, fixed: false, has_log: false };
    Map::new(Geometry::new(&facts, BAT..BAT + MIB), file_len, regions(), overlay)
}

/// A disk of as many blocks of 1 MiB as there are entries.
fn with_entries(file_len: u64, overlay: Overlay, entries: &[u64]) -> Map {
    let mut map = map(entries.len() as u64 * MIB, file_len, overlay);
    assert!(matches!(map.lookup(0..u64::MAX, &mut Vec::new()), Ok(Lookup::Wants(_))));
    let bytes: Vec<u8> = entries.iter().flat_map(|entry| entry.to_le_bytes()).collect();
    map.feed(HostOffset(BAT), &bytes).unwrap();
    map
}

fn lookup(map: &mut Map, guest: Range<u64>) -> Vec<(u64, u64, Place)> {
    let mut out = Vec::new();
    assert_eq!(map.lookup(guest, &mut out), Ok(Lookup::Found));
    out.iter().map(|extent| (extent.guest.0, extent.len, extent.place)).collect()
}

fn wants(map: &mut Map, guest: Range<u64>) -> Vec<(u64, u64)> {
    match map.lookup(guest, &mut Vec::new()) {
        Ok(Lookup::Wants(wants)) => wants.into_iter().map(|want| (want.start, want.end)).collect(),
        other => panic!("{other:?}"),
    }
}

fn data(host: u64) -> Place {
    Place::Data(HostOffset(host))
}

#[track_caller]
fn refused(map: &mut Map, kind: Kind, words: &str) {
    let mut out = Vec::new();
    let error = map.lookup(0..1, &mut out).expect_err("the entry is refused");
    assert_eq!((error.kind(), error.offset()), (kind, Some(BAT)), "{error}");
    assert!(error.to_string().contains(words), "{error}");
    assert!(out.is_empty());
}

#[test]
fn states_place_blocks_and_neighbours_are_joined() {
    let entries = [HOST | 6, (HOST + MIB) | 6, 0, HOST | 1, 2, HOST | 3, 5, HOST | 6];
    let mut map = with_entries(FILE, Overlay::default(), &entries);
    let expected = [(0, 2 * MIB, data(HOST)), (2 * MIB, 5 * MIB, Place::Zero), (7 * MIB, MIB, data(HOST))];
    assert_eq!(lookup(&mut map, 0..u64::MAX), expected);
    assert_eq!(lookup(&mut map, MIB - 100..MIB + 100), [(MIB - 100, 200, data(HOST + MIB - 100))]);
    assert_eq!(lookup(&mut map, 8 * MIB..u64::MAX), []);
}

#[test]
fn entries_that_no_disk_has_are_refused() {
    for (entry, words) in [
        (4, "state is reserved"),
        (7 | HOST, "only one of a differencing image"),
        (6, "lies in the headers"),
        (6 | HOST | 8, "reserved bits"),
        (6 | HOST | 1 << 19, "reserved bits"),
        (1 << 10, "reserved bits"),
        ((2 * MIB) | 6, "overlaps the region at 0x200000"),
        (6 | MIB, "overlaps the region at 0x100000"),
        (6 | BAT, "overlaps the region at 0x300000"),
        (6 | !(MIB - 1), "behind the end of any file"),
        (6 | 1 << 63, "behind the end of any file"),
    ] {
        refused(&mut with_entries(FILE, Overlay::default(), &[entry]), Kind::Malformed, words);
    }
}

#[test]
fn a_block_that_the_file_does_not_hold_is_truncated() {
    let entry = [HOST | 6];
    refused(&mut with_entries(HOST + MIB - 1, Overlay::default(), &entry), Kind::Truncated, "0x1100000");
    assert_eq!(lookup(&mut with_entries(HOST + MIB, Overlay::default(), &entry), 0..1), [(0, 1, data(HOST))]);
    // Of the last block, only the part that the disk has.
    let mut last = map(4096, HOST + 4096, Overlay::default());
    assert_eq!(wants(&mut last, 0..1), [(BAT, BAT + 8)]);
    last.feed(HostOffset(BAT), &(HOST | 6).to_le_bytes()).unwrap();
    assert_eq!(lookup(&mut last, 0..u64::MAX), [(0, 4096, data(HOST))]);
    let mut short = map(MIB, BAT + 7, Overlay::default());
    refused(&mut short, Kind::Truncated, "the BAT reaches to offset 0x300008");
}

#[test]
fn the_bat_is_wanted_in_parts_that_describe_the_lookup() {
    // 64 KiB of the table are 8192 entries, of which one belongs to a bitmap.
    let mut large = map(20_000 * MIB, FILE, Overlay::default());
    assert_eq!(wants(&mut large, 0..MIB), [(BAT, BAT + 65536)]);
    assert_eq!(wants(&mut large, 8190 * MIB..8191 * MIB), [(BAT, BAT + 65536)]);
    assert_eq!(wants(&mut large, 8191 * MIB..8192 * MIB), [(BAT + 65536, BAT + 131_072)]);
    assert_eq!(wants(&mut large, 19_999 * MIB..u64::MAX), [(BAT + 131_072, BAT + 20_004 * 8)]);
    assert_eq!(wants(&mut large, 0..u64::MAX).len(), 3);
}

#[test]
fn the_entry_of_a_bitmap_is_no_block() {
    let mut large = map(4098 * MIB, FILE, Overlay::default());
    assert_eq!(wants(&mut large, 0..u64::MAX), [(BAT, BAT + 4099 * 8)]);
    let mut bytes = vec![0; 4099 * 8];
    // Block 4095, the bitmap, block 4096.
    for (index, entry) in [(4095, HOST | 6), (4096, u64::MAX), (4097, (HOST + MIB) | 6)] {
        bytes[index * 8..][..8].copy_from_slice(&entry.to_le_bytes());
    }
    large.feed(HostOffset(BAT), &bytes).unwrap();
    let expected = [(0, 4095 * MIB, Place::Zero), (4095 * MIB, 2 * MIB, data(HOST)), (4097 * MIB, MIB, Place::Zero)];
    assert_eq!(lookup(&mut large, 0..u64::MAX), expected);
}

#[test]
fn released_parts_free_their_memory_and_are_wanted_again() {
    let mut large = map(20_000 * MIB, FILE, Overlay::default());
    assert_eq!(wants(&mut large, 0..MIB), [(BAT, BAT + 65536)]);
    large.feed(HostOffset(BAT), &[0; 65536]).unwrap();
    assert_eq!(lookup(&mut large, 0..MIB), [(0, MIB, Place::Zero)]);
    assert!((65536..66_000).contains(&large.memory()), "{}", large.memory());
    large.release(GuestOffset(8191 * MIB - 1));
    assert_eq!(lookup(&mut large, 0..MIB), [(0, MIB, Place::Zero)]);
    large.release(GuestOffset(8191 * MIB));
    assert_eq!(large.memory(), 0);
    assert_eq!(wants(&mut large, 0..MIB), [(BAT, BAT + 65536)]);
}

/// A log of one sector of data, which begins with `entry`.
fn logged(entry: u64, end: u64) -> Overlay {
    let mut sector = entry.to_le_bytes().to_vec();
    sector.resize(4096, 0);
    Overlay::new(sector, end)
}

#[test]
fn what_the_log_wrote_over_the_bat_counts() {
    let mut overlay = logged(HOST | 6, 0);
    overlay.write(BAT..BAT + 4096, Source::Log(0));
    let mut map = with_entries(FILE, overlay, &[7, 7]);
    assert_eq!(lookup(&mut map, 0..u64::MAX), [(0, MIB, data(HOST)), (MIB, MIB, Place::Zero)]);
    map.release(GuestOffset(u64::MAX));
    assert!(map.memory() >= 4096, "the log is not let go of");
    assert_eq!(wants(&mut map, 0..1), [(BAT, BAT + 16)]);
    map.feed(HostOffset(BAT), &[0xff; 16]).unwrap();
    assert_eq!(lookup(&mut map, 0..1), [(0, 1, data(HOST))]);
}

#[test]
fn what_the_log_zeroed_in_a_block_is_zero_and_other_data_are_refused() {
    let mut overlay = logged(0, 0);
    overlay.write(HOST + 8192..HOST + 12288, Source::Zero);
    overlay.write(HOST + MIB..HOST + MIB + 4096, Source::Dropped);
    let mut map = with_entries(FILE, overlay, &[HOST | 6, (HOST + MIB) | 6]);
    let expected = [(0, 8192, data(HOST)), (8192, 4096, Place::Zero), (12288, MIB - 12288, data(HOST + 12288))];
    assert_eq!(lookup(&mut map, 0..MIB), expected);
    assert_eq!(lookup(&mut map, 10_000..10_001), [(10_000, 1, Place::Zero)]);
    let error = map.lookup(0..2 * MIB, &mut Vec::new()).expect_err("no place holds these bytes");
    assert_eq!((error.kind(), error.offset()), (Kind::Unsupported, Some(BAT + 8)));
    assert_eq!(lookup(&mut map, MIB + 4096..2 * MIB), [(MIB + 4096, MIB - 4096, data(HOST + MIB + 4096))]);
}

#[test]
fn what_the_file_grows_by_at_replay_reads_as_zeros() {
    let mut map = with_entries(HOST + 1000, logged(0, HOST + 2 * MIB), &[HOST | 6, (HOST + MIB) | 6]);
    assert_eq!(lookup(&mut map, 0..u64::MAX), [(0, 1000, data(HOST)), (1000, 2 * MIB - 1000, Place::Zero)]);
    refused(&mut with_entries(HOST + 1000, logged(0, HOST + 1001), &[HOST | 6]), Kind::Truncated, "ends at 0x10003e9");
}

#[test]
fn a_disk_of_no_bytes_wants_nothing() {
    assert_eq!(lookup(&mut map(0, FILE, Overlay::default()), 0..u64::MAX), []);
}
