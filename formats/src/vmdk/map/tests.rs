//! Directories and tables as numbers, and the extents and wants that follow from them.

use super::*;
use crate::Map as _;

const GD: u64 = 0x10_0000;
const GT: u64 = 0x20_0000;
const HOST: u64 = 0x80_0000;
const GRAIN: u64 = 64 << 10;
const COVERAGE: u64 = 512 * GRAIN;

/// A map of `size` bytes with grains of 64 KiB.
fn map(encoding: Encoding, size: u64, file_len: Option<u64>) -> Map {
    let (flags, algorithm): (u32, u8) = match encoding {
        Encoding::Plain => (7, 0),
        Encoding::Bare => (0x1_0007, 1),
        Encoding::Marked => (0x3_0007, 1),
    };
    let mut head = vec![0; Header::WANTED];
    let text = format!(
        "# Disk DescriptorFile\nversion=1\nCID=1\nparentCID=ffffffff\ncreateType=\"monolithicSparse\"\nRW {} SPARSE \"x\"\n",
        size / 512
    );
    let fields: [(usize, &[u8]); 12] = [
        (0, b"KDMV"),
        (4, &3_u32.to_le_bytes()),
        (8, &flags.to_le_bytes()),
        (12, &(size / 512).to_le_bytes()),
        (20, &128_u64.to_le_bytes()),
        (28, &1_u64.to_le_bytes()),
        (36, &20_u64.to_le_bytes()),
        (44, &512_u32.to_le_bytes()),
        (56, &(GD / 512).to_le_bytes()),
        (73, b"\n \r\n"),
        (77, &[algorithm]),
        (512, text.as_bytes()),
    ];
    for (at, bytes) in fields {
        head[at..at + bytes.len()].copy_from_slice(bytes);
    }
    Map::new(&Header::decode(&head).unwrap(), file_len)
}

fn sector(host: u64) -> u32 {
    u32::try_from(host / 512).unwrap()
}

fn bytes(entries: &[u32], len: usize) -> Vec<u8> {
    let mut bytes: Vec<u8> = entries.iter().flat_map(|entry| entry.to_le_bytes()).collect();
    bytes.resize(len, 0);
    bytes
}

/// First bytes and ends of what is wanted.
fn wants(map: &mut Map, guest: Range<u64>) -> Vec<(u64, u64)> {
    match map.lookup(guest, &mut Vec::new()) {
        Ok(Lookup::Wants(wants)) => wants.into_iter().map(|want| (want.start, want.end)).collect(),
        other => panic!("{other:?}"),
    }
}

fn lookup(map: &mut Map, guest: Range<u64>) -> Vec<(u64, u64, Place)> {
    let mut out = Vec::new();
    assert_eq!(map.lookup(guest, &mut out), Ok(Lookup::Found));
    out.iter().map(|extent| (extent.guest.0, extent.len, extent.place)).collect()
}

/// A map whose only grain table begins with `entries`.
fn with_entries(encoding: Encoding, size: u64, file_len: Option<u64>, entries: &[u32]) -> Map {
    let mut map = map(encoding, size, file_len);
    assert_eq!(wants(&mut map, 0..1), [(GD, GD + size.div_ceil(COVERAGE) * 4)]);
    map.feed(HostOffset(GD), &bytes(&[sector(GT)], 4096)).unwrap();
    assert_eq!(wants(&mut map, 0..1), [(GT, GT + 2048)]);
    map.feed(HostOffset(GT), &bytes(entries, 2048)).unwrap();
    map
}

fn data(host: u64) -> Place {
    Place::Data(HostOffset(host))
}

fn encoded(at: u64, len: u64, at_least: u64) -> Place {
    let small = |value: u64| u32::try_from(value).unwrap();
    Place::Encoded { at: HostOffset(at), len: small(len), codec: ClusterCodec::Zlib { at_least: small(at_least) } }
}

#[test]
fn entries_place_grains_and_neighbours_are_joined() {
    let first = sector(HOST);
    let mut map = with_entries(Encoding::Plain, 7 * GRAIN, None, &[first, first + 128, 0, 1, first + 129, first]);
    let expected = [
        (0, 2 * GRAIN, data(HOST)),
        (2 * GRAIN, 2 * GRAIN, Place::Zero),
        (4 * GRAIN, GRAIN, data(HOST + 129 * 512)),
        (5 * GRAIN, GRAIN, data(HOST)),
        (6 * GRAIN, GRAIN, Place::Zero),
    ];
    assert_eq!(lookup(&mut map, 0..u64::MAX), expected);
    assert_eq!(lookup(&mut map, GRAIN + 5..GRAIN + 7), [(GRAIN + 5, 2, data(HOST + GRAIN + 5))]);
    assert_eq!(map.max_encoded(), 0);
}

#[test]
fn a_compressed_grain_ends_at_the_next_of_its_table_at_the_latest() {
    let first = sector(HOST);
    let entries = [first, first + 7, first + 3, 0, sector(GT) - 9];
    let mut map = with_entries(Encoding::Marked, 5 * GRAIN, None, &entries);
    let expected = [
        (0, GRAIN, encoded(HOST + 12, 3 * 512 - 12, GRAIN)),
        (GRAIN, GRAIN, encoded(HOST + 7 * 512 + 12, 2 * GRAIN, GRAIN)),
        (2 * GRAIN, GRAIN, encoded(HOST + 3 * 512 + 12, 4 * 512 - 12, GRAIN)),
        (3 * GRAIN, GRAIN, Place::Zero),
        (4 * GRAIN, GRAIN, encoded(GT - 9 * 512 + 12, 9 * 512 - 12, GRAIN)),
    ];
    assert_eq!(lookup(&mut map, 0..5 * GRAIN), expected);
    assert_eq!(lookup(&mut map, 5..7), expected[..1], "encoded grains are not cut");
    assert_eq!(map.max_encoded(), GRAIN);
    // Behind the end of the disk a table may hold anything.
    let mut map = with_entries(Encoding::Marked, GRAIN, None, &[first, first + 1]);
    assert_eq!(lookup(&mut map, 0..1), [(0, GRAIN, encoded(HOST + 12, 2 * GRAIN, GRAIN))]);
    let mut bare = with_entries(Encoding::Bare, GRAIN, Some(HOST + 100), &[first]);
    assert_eq!(lookup(&mut bare, 0..1), [(0, GRAIN, encoded(HOST, 100, GRAIN))], "there is no marker to skip");
}

#[test]
fn the_end_of_the_disk_cuts_the_last_grain() {
    let size = GRAIN + 1024;
    let mut map = with_entries(Encoding::Plain, size, Some(HOST + 1024), &[0, sector(HOST), 7, 7]);
    assert_eq!(lookup(&mut map, 0..u64::MAX), [(0, GRAIN, Place::Zero), (GRAIN, 1024, data(HOST))]);
    assert_eq!(lookup(&mut map, size..u64::MAX), []);
    let mut map = with_entries(Encoding::Marked, size, Some(HOST + 99), &[0, sector(HOST)]);
    assert_eq!(lookup(&mut map, GRAIN..size), [(GRAIN, 1024, encoded(HOST + 12, 87, 1024))]);
}

#[test]
fn a_grain_that_the_file_does_not_hold_is_truncated() {
    for (encoding, end) in [(Encoding::Plain, HOST + GRAIN - 1), (Encoding::Marked, HOST + 12), (Encoding::Bare, HOST)]
    {
        let mut map = with_entries(encoding, 2 * GRAIN, Some(end), &[0, sector(HOST)]);
        assert_eq!(lookup(&mut map, 0..GRAIN), [(0, GRAIN, Place::Zero)], "what comes before can be read");
        let mut out = Vec::new();
        let error = map.lookup(0..2 * GRAIN, &mut out).expect_err("the grain is not there");
        assert_eq!((error.kind(), error.offset(), out.len()), (Kind::Truncated, Some(GT + 4), 0), "{error}");
    }
}

#[test]
fn grains_and_tables_in_the_descriptor_are_malformed() {
    for value in [2, 20] {
        let mut map = with_entries(Encoding::Plain, GRAIN, None, &[value]);
        let error = map.lookup(0..1, &mut Vec::new()).expect_err("the grain is text");
        assert_eq!((error.kind(), error.offset()), (Kind::Malformed, Some(GT)), "{error}");
    }
    let mut map = map(Encoding::Plain, 2 * COVERAGE, None);
    assert_eq!(wants(&mut map, 0..1), [(GD, GD + 8)]);
    map.feed(HostOffset(GD), &bytes(&[0, 20], 8)).unwrap();
    assert_eq!(lookup(&mut map, 0..COVERAGE), [(0, COVERAGE, Place::Zero)]);
    let error = map.lookup(0..COVERAGE + 1, &mut Vec::new()).expect_err("the table is text");
    assert_eq!((error.kind(), error.offset()), (Kind::Malformed, Some(GD + 4)), "{error}");
}

#[test]
fn the_tables_of_8_gib_are_asked_for_in_eight_rounds_of_one_range() {
    let mut map = map(Encoding::Plain, 8 << 30, None);
    assert_eq!(wants(&mut map, 0..1), [(GD, GD + 1024)]);
    let tables: Vec<u32> = (0..256).map(|table| sector(GT) + table * 4).collect();
    map.feed(HostOffset(GD), &bytes(&tables, 1024)).unwrap();
    let mut asked = Vec::new();
    for window in 0..128 {
        let guest = window * 2 * COVERAGE..(window + 1) * 2 * COVERAGE;
        match map.lookup(guest.clone(), &mut Vec::new()) {
            Ok(Lookup::Wants(wants)) => asked.extend(wants),
            other => assert_eq!(other, Ok(Lookup::Found)),
        }
        for want in asked.iter().skip(asked.len().saturating_sub(1)) {
            map.feed(HostOffset(want.start), &[0; 65536]).unwrap();
        }
        assert_eq!(map.lookup(guest.clone(), &mut Vec::new()), Ok(Lookup::Found));
        map.release(GuestOffset(guest.end));
        assert!(map.memory() < 80_000, "{}", map.memory());
    }
    let all: Vec<_> = (0..8).map(|group| GT + group * 65536..GT + (group + 1) * 65536).collect();
    assert_eq!(asked, all);
    assert_eq!(map.memory(), 0);
}

#[test]
fn a_group_is_asked_for_from_where_the_lookup_begins() {
    let mut map = map(Encoding::Plain, 64 * COVERAGE, None);
    assert_eq!(wants(&mut map, 0..1), [(GD, GD + 256)]);
    let mut tables = vec![0; 64];
    // Scattered, one that no image has, and a shared one.
    (tables[29], tables[30], tables[31], tables[40]) = (sector(GT) + 100, 3, sector(GT), sector(GT));
    map.feed(HostOffset(GD), &bytes(&tables, 256)).unwrap();
    let scattered = [(GT, GT + 2048), (GT + 51_200, GT + 53_248)];
    assert_eq!(wants(&mut map, 5 * COVERAGE..6 * COVERAGE), scattered);
    assert_eq!(wants(&mut map, 31 * COVERAGE..31 * COVERAGE + 1), scattered[..1]);
    let error = map.lookup(30 * COVERAGE..31 * COVERAGE, &mut Vec::new()).expect_err("it is asked for itself");
    assert_eq!(error.offset(), Some(GD + 120));
}

#[test]
fn overlapping_tables_are_asked_for_once_and_in_one_round() {
    let mut map = map(Encoding::Plain, 4 * COVERAGE, None);
    assert_eq!(wants(&mut map, 0..1), [(GD, GD + 16)]);
    let tables = [sector(GT) + 2, sector(GT), sector(GT) + 1, sector(GT) + 100];
    map.feed(HostOffset(GD), &bytes(&tables, 16)).unwrap();
    assert_eq!(wants(&mut map, 0..4 * COVERAGE), [(GT, GT + 3072), (GT + 51_200, GT + 53_248)]);
    map.feed(HostOffset(GT), &[0; 3072]).unwrap();
    map.feed(HostOffset(GT + 51_200), &[0; 2048]).unwrap();
    assert_eq!(lookup(&mut map, 0..4 * COVERAGE), [(0, 4 * COVERAGE, Place::Zero)]);
}

#[test]
fn ranges_are_united_and_cut_at_64_kib() {
    let ranges = |wants: &[(u64, u64)]| united(wants.iter().map(|want| want.0..want.1).collect());
    assert_eq!(ranges(&[(10, 20), (0, 5), (5, 10), (30, 40), (32, 35)]), [0..20, 30..40]);
    assert_eq!(ranges(&[(0, 60_000), (50_000, 100_000)]), [0..65_536, 65_536..100_000]);
    assert_eq!(ranges(&[(0, 65_536), (65_536, 131_072)]), [0..65_536, 65_536..131_072]);
}

#[test]
fn the_directory_is_wanted_in_parts_of_64_kib() {
    let mut map = map(Encoding::Plain, 40_000 * COVERAGE, None);
    assert_eq!(wants(&mut map, 16_384 * COVERAGE..16_384 * COVERAGE + 1), [(GD + 65_536, GD + 131_072)]);
    assert_eq!(wants(&mut map, 39_999 * COVERAGE..u64::MAX), [(GD + 131_072, GD + 160_000)]);
}

#[test]
fn tables_that_the_file_does_not_hold_are_named_when_they_are_needed() {
    let mut short = map(Encoding::Plain, 8 * COVERAGE, Some(GD + 31));
    let error = short.lookup(0..1, &mut Vec::new()).expect_err("the directory is cut");
    assert_eq!((error.kind(), error.offset()), (Kind::Truncated, Some(GD)));
    let mut longer = map(Encoding::Plain, 8 * COVERAGE, Some(GT + 2047));
    assert_eq!(wants(&mut longer, 0..1), [(GD, GD + 32)]);
    longer.feed(HostOffset(GD), &bytes(&[0, sector(GT)], 32)).unwrap();
    assert_eq!(lookup(&mut longer, 0..COVERAGE), [(0, COVERAGE, Place::Zero)]);
    let error = longer.lookup(0..2 * COVERAGE, &mut Vec::new()).expect_err("the table is cut");
    assert_eq!((error.kind(), error.offset()), (Kind::Truncated, Some(GT)));
    assert!(error.to_string().contains("directory entry 1"), "{error}");
}

#[test]
fn released_tables_free_their_memory_and_are_wanted_again() {
    let mut map = with_entries(Encoding::Plain, 4 * COVERAGE, None, &[sector(HOST)]);
    map.release(GuestOffset(COVERAGE - 1));
    assert_eq!(lookup(&mut map, 0..4096), [(0, 4096, data(HOST))]);
    map.release(GuestOffset(COVERAGE));
    assert_eq!(wants(&mut map, 0..4096), [(GT, GT + 2048)]);
    map.release(GuestOffset(4 * COVERAGE));
    assert_eq!(map.memory(), 0);
}
