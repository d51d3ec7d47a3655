//! Tables of regions, and the regions that cannot be.

use super::*;

const LOG: Range<u64> = MIB..2 * MIB;

fn table(entries: &[(Guid, u64, u32, u32)]) -> Vec<u8> {
    let mut table = vec![0; 64 << 10];
    table[..4].copy_from_slice(SIGNATURE);
    table[8..12].copy_from_slice(&u32::try_from(entries.len()).unwrap().to_le_bytes());
    for (entry, (guid, start, len, required)) in table[FIRST..].chunks_exact_mut(ENTRY).zip(entries) {
        entry[..16].copy_from_slice(&guid.0);
        entry[16..24].copy_from_slice(&start.to_le_bytes());
        entry[24..28].copy_from_slice(&len.to_le_bytes());
        entry[28..32].copy_from_slice(&required.to_le_bytes());
    }
    signed(table)
}

fn signed(mut table: Vec<u8>) -> Vec<u8> {
    let sum = crc32c::without(&table, 4);
    table[4..8].copy_from_slice(&sum.to_le_bytes());
    table
}

const ONE: u32 = 1 << 20;
const OTHER: Guid = Guid([0xab; 16]);

fn usual() -> Vec<(Guid, u64, u32, u32)> {
    vec![(BAT, 3 * MIB, 2 * ONE, 1), (METADATA, 2 * MIB, ONE, 1)]
}

fn decode(table: &[u8]) -> Result<Regions, Error> {
    Regions::decode([table, &[]], &LOG)
}

#[track_caller]
fn refused(entries: &[(Guid, u64, u32, u32)], kind: Kind, offset: u64, words: &str) {
    let error = decode(&table(entries)).expect_err("the table is refused");
    assert_eq!((error.kind(), error.offset()), (kind, Some(PLACES[0] + offset)), "{error}");
    assert!(error.to_string().contains(words), "{error}");
}

#[test]
fn regions_are_where_the_table_says() {
    let regions = decode(&table(&usual())).unwrap();
    assert_eq!((regions.bat.clone(), regions.metadata.clone()), (3 * MIB..5 * MIB, 2 * MIB..3 * MIB));
    assert_eq!(regions.taken, [LOG, 2 * MIB..3 * MIB, 3 * MIB..5 * MIB]);
}

#[test]
fn the_second_table_counts_where_the_first_is_damaged() {
    let good = table(&usual());
    let mut torn = table(&[]);
    torn[60_000] = 1;
    assert!(Regions::decode([&torn, &good], &LOG).is_ok());
    assert!(Regions::decode([&good, &torn], &LOG).is_ok());
    let error = Regions::decode([&torn, &torn], &LOG).expect_err("none is left");
    assert_eq!((error.kind(), error.offset()), (Kind::Malformed, Some(192 << 10)));
    // A valid first table is the one that is judged.
    assert!(Regions::decode([&table(&[]), &good], &LOG).is_err());
}

#[test]
fn regions_that_nobody_knows_may_be_there_unless_they_are_needed() {
    let with = |required| [usual(), vec![(OTHER, 9 * MIB, ONE, required)]].concat();
    assert_eq!(decode(&table(&with(0))).unwrap().taken.len(), 4);
    let words = "region abababab-abab-abab-abab-abababababab";
    refused(&with(1), Kind::Unsupported, 16 + 64, words);
}

#[test]
fn regions_that_cannot_be_are_refused() {
    let at = |start, len| vec![(METADATA, 2 * MIB, ONE, 1), (BAT, start, len, 1)];
    refused(&at(3 * MIB + 4096, ONE), Kind::Malformed, 16 + 32 + 16, "at 0x301000");
    refused(&at(0, ONE), Kind::Malformed, 16 + 32 + 16, "at 0x0");
    refused(&at(u64::MAX - (MIB - 1), ONE), Kind::Malformed, 16 + 32 + 16, "at 0xfffffffffff00000");
    refused(&at(1 << 63, 0), Kind::Malformed, 16 + 32 + 16, "at 0x8000000000000000");
    refused(&at(3 * MIB, 4096), Kind::Malformed, 16 + 32 + 24, "has 4096 bytes");
    refused(&at(MIB, ONE), Kind::Malformed, 0, "at 0x100000 overlaps one that ends at 0x200000");
    refused(&at(2 * MIB, 3 * ONE), Kind::Malformed, 0, "overlaps");
    refused(&usual()[..1], Kind::Malformed, 0, "no metadata region");
    refused(&usual()[1..], Kind::Malformed, 0, "no BAT region");
    refused(&[usual(), usual()].concat(), Kind::Malformed, 16 + 64, "is listed twice");
    // A region without a byte overlaps nothing.
    assert!(decode(&table(&at(2 * MIB, 0))).is_ok());
}

#[test]
fn a_table_has_at_most_2047_entries() {
    let entries = |count: u64| {
        let others = (0..count - 2).map(|number| (OTHER, (10 + number) * MIB, ONE, 0));
        usual().into_iter().chain(others).collect::<Vec<_>>()
    };
    assert_eq!(decode(&table(&entries(2047))).unwrap().taken.len(), 2048);
    let mut more = table(&entries(2047));
    more[8..12].copy_from_slice(&2048_u32.to_le_bytes());
    let error = decode(&signed(more)).expect_err("one too many");
    assert_eq!((error.kind(), error.offset()), (Kind::Malformed, Some(PLACES[0] + 8)));
}

#[test]
fn what_overlaps_a_region_is_told() {
    let regions = decode(&table(&usual())).unwrap();
    for (host, found) in [
        (5 * MIB..6 * MIB, None),
        (0..MIB, None),
        (0..MIB + 1, Some(LOG)),
        (4 * MIB..5 * MIB, Some(3 * MIB..5 * MIB)),
        (0..100 * MIB, Some(3 * MIB..5 * MIB)),
    ] {
        assert_eq!(regions.overlapped(&host), found.as_ref(), "{host:?}");
    }
}
