//! One valid footer, its fields with values that must be refused, and the rule for the size of the disk.

use super::*;

const AT: u64 = 0x1000;

fn seal(footer: &mut [u8]) {
    footer[64..68].fill(0);
    let sum: u32 = footer.iter().map(|&byte| u32::from(byte)).sum();
    footer[64..68].copy_from_slice(&(!sum).to_be_bytes());
}

/// A dynamic image of 3 MiB and a geometry of 91 * 4 * 17 sectors.
fn with(at: usize, bytes: &[u8]) -> Vec<u8> {
    let mut footer = vec![0; 512];
    footer[..8].copy_from_slice(COOKIE);
    footer[12..16].copy_from_slice(&0x0001_0000_u32.to_be_bytes());
    footer[16..24].copy_from_slice(&512_u64.to_be_bytes());
    footer[28..32].copy_from_slice(b"qem2");
    footer[48..56].copy_from_slice(&(3_u64 << 20).to_be_bytes());
    footer[56..60].copy_from_slice(&[0, 91, 4, 17]);
    footer[63] = 3;
    footer[at..at + bytes.len()].copy_from_slice(bytes);
    seal(&mut footer);
    footer
}

fn size(creator: &[u8; 4], geometry: [u8; 4], current: u64) -> u64 {
    let mut footer = with(28, creator);
    footer[56..60].copy_from_slice(&geometry);
    footer[48..56].copy_from_slice(&current.to_be_bytes());
    seal(&mut footer);
    Footer::decode(&footer, AT).expect("the footer is valid").facts.virtual_size
}

#[test]
fn a_valid_footer_says_type_size_and_creator() {
    let footer = Footer::decode(&with(0, b""), AT).expect("the footer is valid");
    assert_eq!(footer.facts, Facts { virtual_size: 3 << 20, is_fixed: false, creator: *b"qem2" });
    assert_eq!((footer.disk_type, footer.data_offset), (DiskType::Dynamic, 512));
    let fixed = Footer::decode(&with(60, &[0, 0, 0, 2]), AT).expect("the footer is valid");
    assert!(fixed.facts.is_fixed);
    let differencing = Footer::decode(&with(60, &[0, 0, 0, 4]), AT).expect("the footer is valid");
    assert_eq!(differencing.disk_type, DiskType::Differencing);
}

#[test]
fn virtual_pc_and_qemu_go_by_the_geometry_and_all_others_by_the_size() {
    let (geometry, chs) = ([0, 91, 4, 17], 91 * 4 * 17 * 512);
    for creator in [b"vpc ", b"qemu"] {
        assert_eq!(size(creator, geometry, 3 << 20), chs);
    }
    for creator in [b"qem2", b"win ", b"d2v ", b"tap\0", b"CTXS", b"wa\0\0", b"vbox", b"\0\0\0\0"] {
        assert_eq!(size(creator, geometry, 3 << 20), 3 << 20);
    }
}

#[test]
fn the_largest_geometry_stands_for_the_size_whoever_made_it() {
    let largest = [0xff, 0xff, 16, 255];
    assert_eq!(size(b"vpc ", largest, 200 << 30), 200 << 30);
    assert_eq!(size(b"vpc ", [0xff, 0xff, 16, 254], 200 << 30), 65535 * 16 * 254 * 512);
}

#[test]
fn a_size_inside_a_sector_loses_the_rest_as_in_qemu() {
    assert_eq!(size(b"win ", [0; 4], 3_000_001), 2_999_808);
    assert_eq!(size(b"win ", [0; 4], 511), 0);
}

#[test]
fn fields_out_of_range_are_refused_with_their_kind_and_offset() {
    for (at, bytes, kind, offset) in [
        (0, &b"conectiy"[..], Kind::Malformed, 0),
        (12, &[0, 2, 0, 0], Kind::Unsupported, 12),
        (12, &[0, 0, 0, 0], Kind::Unsupported, 12),
        (60, &[0, 0, 0, 0], Kind::Malformed, 60),
        (60, &[0, 0, 0, 5], Kind::Malformed, 60),
        (60, &[1, 0, 0, 3], Kind::Malformed, 60),
        (48, &[0xff; 8], Kind::Malformed, 48),
        (48, &[0, 0, 1, 0xfe, 0, 0, 2, 0], Kind::Malformed, 48),
    ] {
        let error = Footer::decode(&with(at, bytes), AT).expect_err("the field is refused");
        assert_eq!((error.kind(), error.offset()), (kind, Some(AT + offset)), "{error}");
    }
    let largest = Footer::decode(&with(48, &[0, 0, 1, 0xfe, 0, 0, 0, 0]), AT).expect("2040 GiB are read");
    assert_eq!(largest.facts.virtual_size, 2040 << 30);
}

#[test]
fn a_wrong_checksum_is_refused_whatever_byte_is_wrong() {
    for at in (8..512).step_by(7) {
        let mut footer = with(0, b"");
        footer[at] ^= 0x10;
        let error = Footer::decode(&footer, AT).expect_err("a byte is wrong");
        assert_eq!((error.kind(), error.offset()), (Kind::Malformed, Some(AT + 64)), "{error}");
        assert!(error.to_string().contains("checksum"), "{error}");
    }
}

#[test]
fn a_footer_of_511_bytes_is_one_and_a_shorter_one_is_not() {
    let footer = with(0, b"");
    assert_eq!(Footer::decode(&footer[..511], AT), Footer::decode(&footer, AT));
    assert_eq!(Footer::decode(&footer[..510], AT).map_err(|error| error.kind()), Err(Kind::Truncated));
    assert_eq!(Footer::decode(&[], AT).map_err(|error| error.kind()), Err(Kind::Truncated));
}
