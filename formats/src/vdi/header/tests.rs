//! One valid header, and each field of it with every value that must be refused.

use super::*;

fn put32(head: &mut [u8], at: usize, value: u32) {
    head[at..at + 4].copy_from_slice(&value.to_le_bytes());
}

/// A dynamic image of three blocks of 1 MiB.
fn valid() -> Vec<u8> {
    let mut head = vec![0; Header::WANTED];
    for (at, value) in [
        (0x40, SIGNATURE),
        (0x44, VERSION),
        (0x48, 0x190),
        (0x4c, 1),
        (0x154, 512),
        (0x158, 1024),
        (0x168, 512),
        (0x170, 3_000_320),
        (0x178, 1 << 20),
        (0x180, 3),
    ] {
        put32(&mut head, at, value);
    }
    head
}

fn with(at: usize, value: u32) -> Result<Header, Error> {
    let mut head = valid();
    put32(&mut head, at, value);
    Header::decode(&head)
}

#[test]
fn a_valid_header_says_size_block_and_type() {
    let header = Header::decode(&valid()).expect("the header is valid");
    assert_eq!(*header.facts(), Facts { virtual_size: 3_000_320, block_size: 1 << 20, is_static: false });
    assert_eq!((header.bmap, header.data), (512, 1024));
    assert!(with(0x4c, 2).expect("a static image is read").facts().is_static);
}

#[test]
fn every_field_out_of_range_is_refused_with_its_kind_and_offset() {
    use Kind::{BackingFile, Malformed, Unsupported};
    for (at, value, kind) in [
        (0x40, 0, Malformed),
        (0x44, 0x0001_0000, Unsupported),
        (0x44, 0x0002_0001, Unsupported),
        (0x48, 0x17f, Malformed),
        (0x4c, 0, Malformed),
        (0x4c, 3, BackingFile),
        (0x4c, 4, BackingFile),
        (0x4c, 5, Malformed),
        (0x154, 0, Malformed),
        (0x154, 513, Malformed),
        (0x158, 512, Malformed),
        (0x158, 1025, Malformed),
        (0x168, 4096, Unsupported),
        (0x170, 3 * 1024 * 1024 + 1, Malformed),
        (0x174, u32::MAX, Malformed),
        (0x178, 0, Malformed),
        (0x178, 2048, Malformed),
        (0x178, 3 << 20, Malformed),
        (0x178, 128 << 20, Malformed),
        (0x17c, 512, Unsupported),
        (0x180, 2, Malformed),
        (0x180, MAX_BLOCKS + 1, Malformed),
        (0x1a8, 1, BackingFile),
        (0x1b4, 1, BackingFile),
        (0x1b8, 1, BackingFile),
        (0x1c4, 1 << 31, BackingFile),
    ] {
        let error = with(at, value).expect_err("the field is refused");
        assert_eq!(error.kind(), kind, "{at:#x}: {error}");
        let field = error.offset().expect("the field is named by its offset");
        // Sizes are judged together and a UUID has 16 bytes.
        let near = if at == 0x180 { 0x170..=0x180 } else { (at as u64).saturating_sub(12)..=at as u64 };
        assert!(near.contains(&field), "{at:#x} {field:#x}: {error}");
    }
}

#[test]
fn values_at_the_limits_are_accepted() {
    for (at, value) in [(0x48, 0x180), (0x48, 0x1b8), (0x178, 64 << 20), (0x180, 128), (0x1a0, 7), (0x184, 99)] {
        assert!(with(at, value).is_ok(), "{at:#x} {value}");
    }
    let mut small = valid();
    put32(&mut small, 0x170, 3 * 4096);
    put32(&mut small, 0x178, 4096);
    assert_eq!(Header::decode(&small).map(|header| header.facts().block_size), Ok(4096));
    let mut largest = valid();
    put32(&mut largest, 0x158, 512 + 4 * MAX_BLOCKS);
    put32(&mut largest, 0x180, MAX_BLOCKS);
    assert!(Header::decode(&largest).is_ok());
}

#[test]
fn a_size_inside_a_sector_is_rounded_up_as_qemu_rounds_it() {
    assert_eq!(with(0x170, 3_000_001).map(|header| header.facts().virtual_size), Ok(3_000_320));
    assert_eq!(with(0x170, 0).map(|header| header.facts().virtual_size), Ok(0));
    let mut huge = valid();
    huge[0x170..0x178].fill(0xff);
    assert_eq!(Header::decode(&huge).map_err(|error| error.kind()), Err(Kind::Malformed));
}

#[test]
fn a_parent_is_named_by_its_uuid_as_virtualbox_prints_it() {
    let mut head = valid();
    head[0x1a8..0x1b8].copy_from_slice(&[0x33, 0x22, 0x11, 0x00, 0x55, 0x44, 0x77, 0x66, 8, 9, 10, 11, 12, 13, 14, 15]);
    let error = Header::decode(&head).expect_err("the image has a parent");
    assert!(error.to_string().contains("00112233-4455-6677-0809-0a0b0c0d0e0f"), "{error}");
}

#[test]
fn a_file_shorter_than_a_header_is_truncated() {
    for len in [0, 0x44, 511] {
        assert_eq!(Header::decode(&valid()[..len]).map_err(|error| error.kind()), Err(Kind::Truncated));
    }
}

#[test]
fn entries_place_blocks_or_say_that_they_hold_nothing() {
    let header = Header::decode(&valid()).expect("the header is valid");
    assert_eq!(header.host(0), Some(1024));
    assert_eq!(header.host(2), Some(1024 + (2 << 20)));
    assert_eq!(header.host(0xffff_fffd), Some(1024 + (0xffff_fffd << 20)));
    assert_eq!([header.host(0xffff_fffe), header.host(0xffff_ffff)], [None, None]);
}
