//! Tables of metadata, the items they name, and those that cannot be.

use super::*;

const REGION: Range<u64> = 0x20_0000..0x30_0000;

/// Entries: identifier, offset, length, flags.
fn table(entries: &[(Guid, u32, u32, u32)]) -> Vec<u8> {
    let mut table = vec![0; 64 << 10];
    table[..8].copy_from_slice(SIGNATURE);
    table[10..12].copy_from_slice(&u16::try_from(entries.len()).unwrap().to_le_bytes());
    for (entry, (guid, offset, len, flags)) in table[FIRST..].chunks_exact_mut(ENTRY).zip(entries) {
        entry[..16].copy_from_slice(&guid.0);
        for (at, value) in [(16, offset), (20, len), (24, flags)] {
            entry[at..at + 4].copy_from_slice(&value.to_le_bytes());
        }
    }
    table
}

/// The five items, 64 bytes apart.
fn usual() -> Vec<(Guid, u32, u32, u32)> {
    let offset = |number: usize| 0x1_0000 + u32::try_from(number).unwrap() * 64;
    let entry = |(number, item): (usize, &Item)| (item.guid(), offset(number), item.len().unwrap(), IS_REQUIRED);
    Item::ALL[..5].iter().enumerate().map(entry).collect()
}

fn with(number: usize, change: impl Fn(&mut (Guid, u32, u32, u32))) -> Vec<(Guid, u32, u32, u32)> {
    let mut entries = usual();
    change(&mut entries[number]);
    entries
}

#[track_caller]
fn refused(entries: &[(Guid, u32, u32, u32)], kind: Kind, offset: u64, words: &str) {
    let error = Table::decode(&table(entries), &REGION).expect_err("the table is refused");
    assert_eq!((error.kind(), error.offset()), (kind, Some(REGION.start + offset)), "{error}");
    assert!(error.to_string().contains(words), "{error}");
}

struct Items {
    parameters: (u32, u32),
    size: u64,
    sectors: (u32, u32),
}

const ITEMS: Items = Items { parameters: (1 << 20, 0), size: 10 << 30, sectors: (512, 4096) };

fn facts(items: &Items) -> Result<Facts, Error> {
    let table = Table::decode(&table(&usual()), &REGION).unwrap();
    table.facts(true, |place| match (place.start - REGION.start - 0x1_0000) / 64 {
        0 => [items.parameters.0.to_le_bytes(), items.parameters.1.to_le_bytes()].concat(),
        1 => items.size.to_le_bytes().to_vec(),
        2 => vec![0; 16],
        3 => items.sectors.0.to_le_bytes().to_vec(),
        _ => items.sectors.1.to_le_bytes().to_vec(),
    })
}

#[test]
fn items_say_what_they_say() {
    let expected = Facts {
        virtual_size: 10 << 30,
        block_size: 1 << 20,
        logical_sector: 512,
        physical_sector: 4096,
        fixed: false,
        has_log: true,
    };
    assert_eq!(facts(&ITEMS), Ok(expected.clone()));
    let fixed = Items { parameters: (1 << 20, 1), ..ITEMS };
    assert_eq!(facts(&fixed), Ok(Facts { fixed: true, ..expected }));
}

#[test]
fn items_that_no_image_has_are_refused_at_their_place() {
    let table = [
        (Items { parameters: (0, 0), ..ITEMS }, 0, "block size 0"),
        (Items { parameters: (1 << 19, 0), ..ITEMS }, 0, "block size 524288"),
        (Items { parameters: (3 << 20, 0), ..ITEMS }, 0, "block size 3145728"),
        (Items { parameters: (1 << 29, 0), ..ITEMS }, 0, "block size 536870912"),
        (Items { size: 1000, ..ITEMS }, 64, "virtual disk size 1000"),
        (Items { size: (64 << 40) + 512, ..ITEMS }, 64, "up to 70368744177664"),
        (Items { size: u64::MAX - 511, ..ITEMS }, 64, "virtual disk size"),
        (Items { size: 512, sectors: (4096, 512), ..ITEMS }, 64, "no multiple of 4096"),
        (Items { sectors: (0, 512), ..ITEMS }, 192, "logical sector size 0"),
        (Items { sectors: (1024, 512), ..ITEMS }, 192, "logical sector size 1024"),
        (Items { sectors: (512, 8192), ..ITEMS }, 256, "physical sector size 8192"),
    ];
    for (items, offset, words) in table {
        let error = facts(&items).expect_err(words);
        assert_eq!(
            (error.kind(), error.offset()),
            (Kind::Malformed, Some(REGION.start + 0x1_0000 + offset)),
            "{error}"
        );
        assert!(error.to_string().contains(words), "{error}");
    }
    assert!(facts(&Items { size: 64 << 40, ..ITEMS }).is_ok());
    assert!(facts(&Items { size: 0, ..ITEMS }).is_ok());
}

#[test]
fn a_parent_is_refused_by_either_sign_of_it() {
    let error = facts(&Items { parameters: (1 << 20, HAS_PARENT), ..ITEMS }).expect_err("it has a parent");
    assert_eq!(error.kind(), Kind::BackingFile);
    let entries = [usual(), vec![(Item::ParentLocator.guid(), 0x2_0000, 1 << 19, IS_REQUIRED)]].concat();
    let table = Table::decode(&table(&entries), &REGION).unwrap();
    assert!(table.wanted().all(|place| place.end - place.start <= LOCATOR), "no more of it than names the parent");
    assert_eq!(table.facts(false, |_| vec![0; 8]).map_err(|error| error.kind()), Err(Kind::BackingFile));
}

#[test]
fn entries_that_cannot_be_are_refused_at_their_place() {
    let entry = |number: u64| 32 + number * 32;
    refused(&with(1, |entry| entry.2 = 4), Kind::Malformed, entry(1) + 20, "virtual disk size has 4 bytes");
    refused(&with(1, |entry| entry.1 = 0xffff), Kind::Malformed, entry(1) + 16, "not inside the metadata");
    refused(&with(1, |entry| entry.1 = 0xf_fff9), Kind::Malformed, entry(1) + 16, "not inside the metadata");
    refused(&with(1, |entry| entry.1 = u32::MAX), Kind::Malformed, entry(1) + 16, "not inside the metadata");
    refused(&with(1, |entry| entry.1 = 0x1_0004), Kind::Malformed, 0, "overlaps");
    refused(&with(1, |entry| entry.3 = IS_USER), Kind::Malformed, entry(1) + 24, "a user's metadata");
    refused(&with(1, |entry| entry.0 = Item::VirtualDiskId.guid()), Kind::Malformed, entry(1) + 20, "id has 8 bytes");
}

#[test]
fn every_item_is_there_once() {
    for number in 0..5 {
        let mut fewer = usual();
        let missing = fewer.remove(number);
        refused(&fewer, Kind::Malformed, 0, &format!("have no {}", Item::ALL[number].name()));
        let twice = [usual(), vec![missing]].concat();
        refused(&twice, Kind::Malformed, 32 + 5 * 32, "is listed twice");
    }
}

#[test]
fn items_that_nobody_knows_may_be_there_unless_they_are_needed() {
    let with = |flags| [usual(), vec![(Guid([0xcd; 16]), 0, 0, flags)]].concat();
    assert!(Table::decode(&table(&with(IS_USER)), &REGION).is_ok());
    assert!(Table::decode(&table(&with(0)), &REGION).is_ok());
    refused(&with(IS_REQUIRED | IS_USER), Kind::Unsupported, 32 + 5 * 32, "item cdcdcdcd-");
}

#[test]
fn a_table_has_a_signature_and_at_most_2047_entries() {
    let mut unsigned = table(&usual());
    unsigned[0] = 0;
    let error = Table::decode(&unsigned, &REGION).expect_err("it is no table");
    assert_eq!((error.kind(), error.offset()), (Kind::Malformed, Some(REGION.start)));
    let mut more = table(&usual());
    more[10..12].copy_from_slice(&2048_u16.to_le_bytes());
    let error = Table::decode(&more, &REGION).expect_err("one too many");
    assert_eq!((error.kind(), error.offset()), (Kind::Malformed, Some(REGION.start + 10)));
    more[10..12].copy_from_slice(&2047_u16.to_le_bytes());
    assert!(Table::decode(&more, &REGION).is_ok());
}
