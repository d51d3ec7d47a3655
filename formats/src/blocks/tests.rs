//! Entries as numbers, and the extents and wants that follow from them.

use super::*;
use crate::GuestOffset;

const TABLE: u64 = 0x1000;
const DATA: u64 = 0x10_0000;
const BLOCK: u64 = 4096;

/// Blocks of 4 KiB that lie at `DATA`; entry 9 holds nothing.
#[derive(Clone, Copy, Debug)]
struct Disk(u64);

impl Layout for Disk {
    const NAME: &'static str = "test table";

    fn table(&self) -> u64 {
        TABLE
    }

    fn block(&self) -> u64 {
        BLOCK
    }

    fn virtual_size(&self) -> u64 {
        self.0
    }

    fn value(entry: [u8; 4]) -> u32 {
        u32::from_le_bytes(entry)
    }

    fn host(&self, value: u32) -> Option<u64> {
        (value != 9).then(|| DATA + u64::from(value) * BLOCK)
    }
}

/// A map over these entries and no others.
fn with_entries(size: u64, file_len: Option<u64>, entries: &[u32]) -> Blocks<Disk> {
    let mut map = Blocks::new(Disk(size), file_len);
    assert!(matches!(map.lookup(0..size, &mut Vec::new()), Ok(Lookup::Wants(_))));
    let bytes: Vec<u8> = entries.iter().flat_map(|entry| entry.to_le_bytes()).collect();
    map.feed(TABLE, &bytes);
    map
}

fn lookup(map: &mut Blocks<Disk>, guest: Range<u64>) -> Vec<(u64, u64, Place)> {
    let mut out = Vec::new();
    assert_eq!(map.lookup(guest, &mut out), Ok(Lookup::Found));
    out.iter().map(|extent| (extent.guest.0, extent.len, extent.place)).collect()
}

fn data(host: u64) -> Place {
    Place::Data(HostOffset(host))
}

#[test]
fn entries_place_blocks_and_neighbours_are_joined() {
    let mut map = with_entries(7 * BLOCK, None, &[3, 4, 9, 9, 1, 0, 1]);
    let expected = [
        (0, 2 * BLOCK, data(DATA + 3 * BLOCK)),
        (2 * BLOCK, 2 * BLOCK, Place::Zero),
        (4 * BLOCK, BLOCK, data(DATA + BLOCK)),
        (5 * BLOCK, 2 * BLOCK, data(DATA)),
    ];
    assert_eq!(lookup(&mut map, 0..u64::MAX), expected);
}

#[test]
fn extents_are_cut_to_the_lookup_and_to_the_disk() {
    let mut map = with_entries(2 * BLOCK + 512, None, &[0, 9, 5]);
    assert_eq!(lookup(&mut map, 100..200), [(100, 100, data(DATA + 100))]);
    assert_eq!(lookup(&mut map, 4000..4200), [(4000, 96, data(DATA + 4000)), (4096, 104, Place::Zero)]);
    assert_eq!(lookup(&mut map, 2 * BLOCK + 100..u64::MAX), [(2 * BLOCK + 100, 412, data(DATA + 5 * BLOCK + 100))]);
    assert_eq!(lookup(&mut map, 2 * BLOCK + 512..u64::MAX), []);
    assert_eq!(lookup(&mut map, 50..50), []);
}

#[test]
fn the_table_is_wanted_in_parts_and_no_further_than_the_disk() {
    let part = 16384 * BLOCK;
    let mut map = Blocks::new(Disk(3 * part + 1), None);
    let mut wants = |guest| match map.lookup(guest, &mut Vec::new()) {
        Ok(Lookup::Wants(wants)) => wants,
        other => panic!("{other:?}"),
    };
    let of = |index: u64| TABLE + index * 65536..TABLE + (index + 1) * 65536;
    assert_eq!(wants(0..1), [of(0)]);
    assert_eq!(wants(part - 1..part + 1), [of(0), of(1)]);
    let last = TABLE + 3 * 65536;
    assert_eq!(wants(0..u64::MAX), [of(0), of(1), of(2), last..last + 4]);
}

#[test]
fn a_table_may_be_fed_in_pieces_and_is_dropped_once_it_is_passed() {
    let part = 16384 * BLOCK;
    let mut map = Blocks::new(Disk(2 * part), None);
    assert!(matches!(map.lookup(0..2 * part, &mut Vec::new()), Ok(Lookup::Wants(_))));
    map.feed(TABLE - 10, &[0; 1010]);
    map.feed(TABLE + 1000, &[0; 64536]);
    assert_eq!(lookup(&mut map, 0..1), [(0, 1, data(DATA))]);
    assert!((65536..66000).contains(&map.memory()), "{}", map.memory());
    map.release(part - 1);
    assert_eq!(lookup(&mut map, part - 1..part), [(part - 1, 1, data(DATA + BLOCK - 1))]);
    map.release(part);
    assert!(matches!(map.lookup(0..1, &mut Vec::new()), Ok(Lookup::Wants(_))));
    map.release(2 * part);
    assert_eq!(map.memory(), 0);
}

#[test]
fn a_block_must_be_in_the_file_as_far_as_the_disk_goes() {
    for (file_len, is_there) in [(DATA + BLOCK + 512, true), (DATA + BLOCK + 511, false)] {
        let mut map = with_entries(BLOCK + 512, Some(file_len), &[0, 1]);
        let mut out = vec![Extent { guest: GuestOffset(7), len: 7, place: Place::Zero }];
        assert_eq!(map.lookup(0..BLOCK, &mut out), Ok(Lookup::Found));
        let found = map.lookup(0..BLOCK + 1, &mut out).map_err(|error| (error.kind(), error.offset()));
        assert_eq!(found, if is_there { Ok(Lookup::Found) } else { Err((Kind::Truncated, Some(TABLE + 4))) });
        assert_eq!(out.len(), if is_there { 3 } else { 2 }, "a failed lookup appends nothing");
    }
}

#[test]
fn a_table_that_the_file_does_not_hold_is_named() {
    let mut map = Blocks::new(Disk(4 * BLOCK), Some(TABLE + 15));
    let error = map.lookup(0..1, &mut Vec::new()).expect_err("the table is cut");
    assert_eq!((error.kind(), error.offset()), (Kind::Truncated, Some(TABLE)));
    assert!(error.to_string().contains("test table"), "{error}");
}
