//! Entries and tables as numbers, and the extents and wants that follow from them.

use super::*;
use crate::{ClusterCodec, Map as _};

const L1: u64 = 0x10_0000;
const L2: u64 = 0x20_0000;
const HOST: u64 = 0x80_0000;

fn geometry(cluster_bits: u32, virtual_size: u64) -> Geometry {
    let codec = ClusterCodec::Deflate;
    Geometry { version: 3, cluster_bits, virtual_size, l1_offset: L1, extended_l2: false, codec }
}

fn map(geometry: Geometry, file_len: Option<u64>) -> Map {
    Map { geometry, file_len, l1: Tables::default(), l2: Tables::default() }
}

fn bytes(entries: &[u64], len: usize) -> Vec<u8> {
    let mut bytes: Vec<u8> = entries.iter().flat_map(|entry| entry.to_be_bytes()).collect();
    bytes.resize(len, 0);
    bytes
}

/// A map whose only L2 table begins with `entries`.
fn with_entries(geometry: Geometry, file_len: Option<u64>, entries: &[u64]) -> Map {
    let mut map = map(geometry, file_len);
    let mut out = Vec::new();
    let size = geometry.virtual_size;
    assert!(matches!(map.lookup(0..size, &mut out), Ok(Lookup::Wants(_))));
    map.feed(HostOffset(L1), &bytes(&[L2], 65536)).unwrap();
    assert!(matches!(map.lookup(0..size, &mut out), Ok(Lookup::Wants(_))));
    map.feed(HostOffset(L2), &bytes(entries, 1 << geometry.cluster_bits)).unwrap();
    map
}

fn lookup(map: &mut Map, guest: Range<u64>) -> Vec<(u64, u64, Place)> {
    let mut out = Vec::new();
    assert_eq!(map.lookup(guest, &mut out), Ok(Lookup::Found));
    out.iter().map(|extent| (extent.guest.0, extent.len, extent.place)).collect()
}

/// First bytes and ends of what is wanted.
fn wants(map: &mut Map, guest: Range<u64>) -> Vec<(u64, u64)> {
    match map.lookup(guest, &mut Vec::new()) {
        Ok(Lookup::Wants(wants)) => wants.into_iter().map(|want| (want.start, want.end)).collect(),
        other => panic!("{other:?}"),
    }
}

fn data(host: u64) -> Place {
    Place::Data(HostOffset(host))
}

#[test]
fn entries_place_clusters_and_neighbours_are_joined() {
    let copied = 1 << 63;
    let entries = [HOST | copied, HOST + 4096, HOST + 12288, 0, 1, HOST | 1, (HOST + 4096) | 1 | copied, copied, HOST];
    let mut map = with_entries(geometry(12, 9 * 4096), None, &entries);
    let expected = [
        (0, 8192, data(HOST)),
        (8192, 4096, data(HOST + 12288)),
        (12288, 5 * 4096, Place::Zero),
        (8 * 4096, 4096, data(HOST)),
    ];
    assert_eq!(lookup(&mut map, 0..9 * 4096), expected);
}

#[test]
fn plain_extents_are_cut_to_the_lookup_and_encoded_ones_are_not() {
    let encoded = 1 << 62 | HOST;
    let mut map = with_entries(geometry(12, 4 * 4096), None, &[HOST, encoded, 0, encoded + 100]);
    let place = |at| Place::Encoded {
        at: HostOffset(at),
        len: 512 - u32::try_from(at % 512).unwrap(),
        codec: ClusterCodec::Deflate,
    };
    assert_eq!(lookup(&mut map, 100..200), [(100, 100, data(HOST + 100))]);
    assert_eq!(lookup(&mut map, 5000..9000), [(4096, 4096, place(HOST)), (8192, 808, Place::Zero)]);
    assert_eq!(lookup(&mut map, 12000..12289), [(12000, 288, Place::Zero), (12288, 4096, place(HOST + 100))]);
}

#[test]
fn an_encoded_entry_divides_its_bits_by_the_cluster_size() {
    for cluster_bits in 9..=21 {
        let most = (1_u64 << (cluster_bits - 8)) - 1;
        let host = HOST + 700;
        for further in [0, 1, most] {
            let entry = 1 << 62 | further << (70 - cluster_bits) | host;
            let mut map = with_entries(geometry(cluster_bits, 1 << cluster_bits), None, &[entry]);
            let len = u32::try_from((further + 1) * 512 - (700 - 512)).unwrap();
            let place = Place::Encoded { at: HostOffset(host), len, codec: ClusterCodec::Deflate };
            assert_eq!(lookup(&mut map, 0..1), [(0, 1 << cluster_bits, place)], "{cluster_bits} {further}");
        }
    }
}

#[test]
fn the_end_of_the_disk_cuts_the_last_extent() {
    let mut map = with_entries(geometry(12, 4096 + 512), None, &[HOST, HOST + 4096]);
    assert_eq!(lookup(&mut map, 0..u64::MAX), [(0, 4608, data(HOST))]);
    let mut map = with_entries(geometry(12, 4096 + 512), None, &[HOST, 1 << 62 | HOST]);
    assert_eq!(lookup(&mut map, 4096..4608)[0].1, 512);
    assert_eq!(lookup(&mut map, 4608..9000), []);
    assert_eq!(lookup(&mut map, 9000..u64::MAX), []);
}

#[test]
fn the_end_of_the_file_cuts_what_begins_before_it() {
    let end = Some(HOST + 1000);
    let mut map = with_entries(geometry(12, 4096), end, &[HOST]);
    assert_eq!(lookup(&mut map, 0..4096), [(0, 1000, data(HOST)), (1000, 3096, Place::Zero)]);
    assert_eq!(lookup(&mut map, 2000..3000), [(2000, 1000, Place::Zero)]);
    let mut map = with_entries(geometry(12, 4096), end, &[1 << 62 | 1 << 58 | (HOST + 600)]);
    let place = Place::Encoded { at: HostOffset(HOST + 600), len: 400, codec: ClusterCodec::Deflate };
    assert_eq!(lookup(&mut map, 0..4096), [(0, 4096, place)]);
    for entry in [HOST + 4096, 1 << 62 | (HOST + 1000)] {
        let mut map = with_entries(geometry(12, 4096), end, &[entry]);
        let error = map.lookup(0..4096, &mut Vec::new()).expect_err("the cluster is not in the file");
        assert_eq!((error.kind(), error.offset()), (Kind::Truncated, Some(L2)));
    }
    // A cluster that reads as zeros need not be there.
    let mut map = with_entries(geometry(12, 4096), end, &[(HOST + 4096) | 1]);
    assert_eq!(lookup(&mut map, 0..4096), [(0, 4096, Place::Zero)]);
}

#[test]
fn subclusters_are_placed_one_by_one_and_joined() {
    let extended = Geometry { extended_l2: true, ..geometry(14, 3 << 14) };
    let bitmaps = [HOST, 0x8000_0000_0000_0007, HOST, 0xffff_fff0_0000_000f, HOST + (1 << 14), 0xffff_ffff];
    let mut map = with_entries(extended, None, &bitmaps);
    let expected = [
        (0, 3 * 512, data(HOST)),
        (3 * 512, 29 * 512, Place::Zero),
        (1 << 14, 2048, data(HOST)),
        ((1 << 14) + 2048, (1 << 14) - 2048, Place::Zero),
        (2 << 14, 1 << 14, data(HOST + (1 << 14))),
    ];
    assert_eq!(lookup(&mut map, 0..3 << 14), expected);
    assert_eq!(lookup(&mut map, 700..1600), [(700, 836, data(HOST + 700)), (1536, 64, Place::Zero)]);
}

#[test]
fn the_l1_table_is_wanted_in_parts_of_64_kib() {
    // 16 KiB clusters: one L1 part describes 256 GiB.
    let mut large = map(geometry(14, 1 << 40), None);
    assert_eq!(wants(&mut large, 0..1), [(L1, L1 + 65536)]);
    assert_eq!(wants(&mut large, (1 << 38) - 1..(1 << 38) + 1), [(L1, L1 + 65536), (L1 + 65536, L1 + 131_072)]);
    let mut short = map(geometry(14, 10 << 25), None);
    assert_eq!(wants(&mut short, 0..1), [(L1, L1 + 80)], "no more than the disk needs");
}

#[test]
fn all_l2_parts_are_wanted_at_once_in_order_and_each_once() {
    let mut map = map(geometry(12, 8 << 21), None);
    assert_eq!(wants(&mut map, 0..8 << 21), [(L1, L1 + 64)]);
    // Neighbours are joined, the third entry shares a table, the fourth has none.
    let tables = [L2 + 4096, L2, L2, 0, L2 + 0x10000, L2 + 0x2000, L2 + 0xf000, L2];
    map.feed(HostOffset(L1), &bytes(&tables, 64)).unwrap();
    assert_eq!(wants(&mut map, 0..8 << 21), [(L2, L2 + 0x3000), (L2 + 0xf000, L2 + 0x11000)]);
    assert_eq!(wants(&mut map, 3 << 21..5 << 21), [(L2 + 0x10000, L2 + 0x11000)]);
    map.feed(HostOffset(L2), &[0; 0x3000]).unwrap();
    assert_eq!(wants(&mut map, 0..8 << 21), [(L2 + 0xf000, L2 + 0x11000)], "what is there is not wanted again");
}

#[test]
fn a_run_of_small_tables_is_wanted_in_ranges_of_64_kib() {
    let mut map = map(geometry(9, 300 << 15), None);
    assert_eq!(wants(&mut map, 0..300 << 15), [(L1, L1 + 2400)]);
    let tables: Vec<u64> = (0..300).map(|table| L2 + table * 512).collect();
    map.feed(HostOffset(L1), &bytes(&tables, 2400)).unwrap();
    let all = [(L2, L2 + 65536), (L2 + 65536, L2 + 131_072), (L2 + 131_072, L2 + 153_600)];
    assert_eq!(wants(&mut map, 0..300 << 15), all);
}

#[test]
fn of_a_large_l2_table_only_the_part_that_describes_the_lookup_is_wanted() {
    // 2 MiB clusters: 64 KiB of the table describe 16 GiB.
    let mut map = map(geometry(21, 512 << 30), None);
    assert_eq!(wants(&mut map, 20 << 30..21 << 30), [(L1, L1 + 8)]);
    map.feed(HostOffset(L1), &L2.to_be_bytes()).unwrap();
    assert_eq!(wants(&mut map, 20 << 30..21 << 30), [(L2 + 65536, L2 + 131_072)]);
}

#[test]
fn tables_may_be_fed_in_pieces_and_with_other_bytes() {
    let mut map = map(geometry(12, 4096), None);
    assert_eq!(wants(&mut map, 0..4096), [(L1, L1 + 8)]);
    let around = [bytes(&[u64::MAX], 8), bytes(&[L2], 8), bytes(&[u64::MAX], 8)].concat();
    map.feed(HostOffset(L1 - 8), &around[..11]).unwrap();
    map.feed(HostOffset(L1 + 5), &around[13..]).unwrap();
    assert_eq!(wants(&mut map, 0..4096), [(L1, L1 + 8)], "the bytes between are missing");
    map.feed(HostOffset(L1 + 3), &around[11..]).unwrap();
    assert_eq!(wants(&mut map, 0..4096), [(L2, L2 + 4096)]);
}

#[test]
fn released_tables_free_their_memory_and_are_wanted_again() {
    let mut map = with_entries(geometry(12, 4 << 21), None, &[HOST]);
    assert!((4096 + 32..6000).contains(&map.memory()), "{}", map.memory());
    map.release(GuestOffset((1 << 21) - 1));
    assert_eq!(lookup(&mut map, 0..4096), [(0, 4096, data(HOST))]);
    map.release(GuestOffset(1 << 21));
    assert_eq!(wants(&mut map, 0..4096), [(L2, L2 + 4096)]);
    map.release(GuestOffset(4 << 21));
    assert_eq!(map.memory(), 0);
}

#[test]
fn a_table_that_the_file_does_not_hold_is_named() {
    let mut short = map(geometry(12, 8 << 21), Some(L1 + 63));
    let error = short.lookup(0..1, &mut Vec::new()).expect_err("the L1 table is cut");
    assert_eq!((error.kind(), error.offset()), (Kind::Truncated, Some(L1)));
    let mut longer = map(geometry(12, 8 << 21), Some(L2 + 4095));
    assert_eq!(wants(&mut longer, 0..1), [(L1, L1 + 64)]);
    longer.feed(HostOffset(L1), &bytes(&[0, L2], 64)).unwrap();
    let error = longer.lookup(1 << 21..4 << 21, &mut Vec::new()).expect_err("the L2 table is cut");
    assert_eq!(error.kind(), Kind::Truncated);
    assert!(error.to_string().contains("the L2 table of L1 entry 1"), "{error}");
}
