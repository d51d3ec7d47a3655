//! Tables as numbers, and the extents and wants that follow from them.

use super::*;
use crate::Map as _;

const L1: u64 = 0x1_0000;
const L2: u64 = 0x10_0000;
const HOST: u64 = 0x80_0000;
const CLUSTER: u64 = 4096;

/// Clusters of 4 KiB, tables of two: an L1 entry describes 4 MiB.
const GEOMETRY: Geometry =
    Geometry { cluster_bits: 12, table_clusters: 2, header_end: 4096, l1_offset: L1, virtual_size: 16 << 20 };

fn map(geometry: Geometry, file_len: Option<u64>) -> Map {
    let clusters_end = file_len.map(|len| len - len % geometry.cluster());
    Map { geometry, clusters_end, l1: Tables::default(), l2: Tables::default() }
}

fn bytes(entries: &[u64], len: usize) -> Vec<u8> {
    let mut bytes: Vec<u8> = entries.iter().flat_map(|entry| entry.to_le_bytes()).collect();
    bytes.resize(len, 0);
    bytes
}

/// A map with these L1 entries, and these at the beginning of the L2 table at [`L2`].
fn with_entries(file_len: Option<u64>, l1: &[u64], l2: &[u64]) -> Map {
    let mut map = map(GEOMETRY, file_len);
    let mut out = Vec::new();
    assert!(matches!(map.lookup(0..1, &mut out), Ok(Lookup::Wants(_))));
    map.feed(HostOffset(L1), &bytes(l1, 32)).unwrap();
    let _ = map.lookup(0..1, &mut out);
    map.feed(HostOffset(L2), &bytes(l2, 8192)).unwrap();
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
fn refused(map: &mut Map, kind: Kind, offset: u64, words: &str) {
    let mut out = Vec::new();
    let error = map.lookup(0..CLUSTER, &mut out).expect_err("the table is refused");
    assert_eq!((error.kind(), error.offset()), (kind, Some(offset)), "{error}");
    assert!(error.to_string().contains(words), "{error}");
    assert!(out.is_empty());
}

#[test]
fn entries_place_clusters_and_neighbours_are_joined() {
    let mut map = with_entries(None, &[L2], &[HOST, HOST + CLUSTER, 0, 1, 0, HOST]);
    let expected = [
        (0, 2 * CLUSTER, data(HOST)),
        (2 * CLUSTER, 3 * CLUSTER, Place::Zero),
        (5 * CLUSTER, CLUSTER, data(HOST)),
        (6 * CLUSTER, (4 << 20) - 6 * CLUSTER, Place::Zero),
    ];
    assert_eq!(lookup(&mut map, 0..4 << 20), expected);
    assert_eq!(lookup(&mut map, 100..5000), [(100, 4900, data(HOST + 100))]);
    assert_eq!(lookup(&mut map, 4 << 20..u64::MAX), [(4 << 20, 12 << 20, Place::Zero)]);
    assert_eq!(lookup(&mut map, 16 << 20..u64::MAX), []);
}

#[test]
fn tables_are_wanted_level_by_level_and_in_parts() {
    let mut small = map(GEOMETRY, None);
    assert_eq!(wants(&mut small, 0..16 << 20), [(L1, L1 + 32)], "no more than the disk needs");
    small.feed(HostOffset(L1), &bytes(&[L2, 0, L2 + 0x4000, L2], 32)).unwrap();
    assert_eq!(wants(&mut small, 0..16 << 20), [(L2, L2 + 0x2000), (L2 + 0x4000, L2 + 0x6000)]);
    // 1 MiB clusters, tables of 16: 64 KiB of an L2 table describe 8 GiB, an L1 entry 2 TiB.
    let large =
        Geometry { cluster_bits: 20, table_clusters: 16, l1_offset: 1 << 20, virtual_size: 1 << 60, ..GEOMETRY };
    let mut large = map(large, None);
    assert_eq!(wants(&mut large, 20 << 30..21 << 30), [(1 << 20, (1 << 20) + 65536)]);
    large.feed(HostOffset(1 << 20), &bytes(&[1 << 30], 65536)).unwrap();
    assert_eq!(wants(&mut large, 20 << 30..21 << 30), [((1 << 30) + 2 * 65536, (1 << 30) + 3 * 65536)]);
    // The 8192nd L1 entry is in the second part.
    assert_eq!(wants(&mut large, 8192 << 41..(8192 << 41) + 1), [((1 << 20) + 65536, (1 << 20) + 131_072)]);
}

#[test]
fn offsets_that_no_cluster_has_are_refused_at_their_entry() {
    let far = u64::MAX - 4095;
    for (entry, words) in [(HOST + 512, "boundary"), (2, "boundary"), (far, "behind the end of any file")] {
        refused(&mut with_entries(None, &[L2], &[entry]), Kind::Malformed, L2, words);
    }
    for (entry, words) in [(L2 + 512, "boundary"), (1, "boundary"), (far, "behind the end of any file")] {
        refused(&mut with_entries(None, &[entry], &[]), Kind::Malformed, L1, words);
    }
    let mut map = with_entries(None, &[L2], &[4096]);
    map.geometry.header_end = 8192;
    refused(&mut map, Kind::Malformed, L2, "lies in the header, which ends at 0x2000");
}

#[test]
fn what_the_file_does_not_hold_is_truncated() {
    refused(&mut with_entries(Some(HOST + 4095), &[L2], &[HOST]), Kind::Truncated, L2, "guest offset 0x0");
    assert_eq!(lookup(&mut with_entries(Some(HOST + 4096), &[L2], &[HOST]), 0..CLUSTER), [(0, CLUSTER, data(HOST))]);
    refused(&mut with_entries(Some(L2 + 8191), &[L2], &[]), Kind::Truncated, L1, "L2 table of L1 entry 0");
    refused(&mut map(GEOMETRY, Some(L1 + 8191)), Kind::Truncated, L1, "the L1 table");
}

#[test]
fn tables_that_point_at_tables_end_after_two_levels() {
    let mut map = with_entries(None, &[L2], &[L2, L1]);
    assert_eq!(lookup(&mut map, 0..2 * CLUSTER), [(0, CLUSTER, data(L2)), (CLUSTER, CLUSTER, data(L1))]);
    let mut own = with_entries(None, &[L1], &[]);
    own.feed(HostOffset(L1), &bytes(&[L1], 8192)).unwrap();
    assert_eq!(lookup(&mut own, 0..CLUSTER), [(0, CLUSTER, data(L1))]);
}

#[test]
fn tables_that_overlap_are_read_once() {
    let mut map = map(GEOMETRY, None);
    assert_eq!(wants(&mut map, 0..16 << 20), [(L1, L1 + 32)]);
    map.feed(HostOffset(L1), &bytes(&[L2, L2 + 0x1000, L2 + 0xf000, L2 + 0x10000], 32)).unwrap();
    let all = [(L2, L2 + 0x3000), (L2 + 0xf000, L2 + 0x12000)];
    assert_eq!(wants(&mut map, 0..16 << 20), all);
    for (start, end) in all {
        map.feed(HostOffset(start), &vec![0; saturated(end - start)]).unwrap();
    }
    assert_eq!(lookup(&mut map, 0..16 << 20), [(0, 16 << 20, Place::Zero)]);
}

#[test]
fn released_tables_free_their_memory_and_are_wanted_again() {
    let mut map = with_entries(None, &[L2], &[HOST]);
    assert!((8192 + 32..10_000).contains(&map.memory()), "{}", map.memory());
    map.release(GuestOffset((4 << 20) - 1));
    assert_eq!(lookup(&mut map, 0..CLUSTER), [(0, CLUSTER, data(HOST))]);
    map.release(GuestOffset(4 << 20));
    assert_eq!(wants(&mut map, 0..CLUSTER), [(L2, L2 + 8192)]);
    map.release(GuestOffset(16 << 20));
    assert_eq!(map.memory(), 0);
}
