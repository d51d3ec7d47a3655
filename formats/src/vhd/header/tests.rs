//! One valid pair of footer and header, and each field with values that must be refused.

use super::*;

fn seal(bytes: &mut [u8], field: usize) {
    bytes[field..field + 4].fill(0);
    let sum: u32 = bytes.iter().map(|&byte| u32::from(byte)).sum();
    bytes[field..field + 4].copy_from_slice(&(!sum).to_be_bytes());
}

/// A disk of 3 MiB in blocks of 2 MiB, with `edits` at offsets in the file.
fn head(edits: &[(usize, &[u8])]) -> Vec<u8> {
    let mut head = vec![0; 2048];
    head[..8].copy_from_slice(b"conectix");
    head[13] = 1;
    head[22] = 2;
    head[28..32].copy_from_slice(b"qem2");
    head[48..56].copy_from_slice(&(3_u64 << 20).to_be_bytes());
    head[63] = 3;
    head[512..520].copy_from_slice(COOKIE);
    head[512 + 16..][..8].copy_from_slice(&1536_u64.to_be_bytes());
    head[512 + 25] = 1;
    head[512 + 31] = 2;
    head[512 + 32..][..4].copy_from_slice(&(2_u32 << 20).to_be_bytes());
    for (at, bytes) in edits {
        head[*at..at + bytes.len()].copy_from_slice(bytes);
    }
    seal(&mut head[..512], 64);
    seal(&mut head[512..1536], 36);
    head
}

fn refusal(edits: &[(usize, &[u8])]) -> (Kind, Option<u64>, String) {
    let error = Header::decode(&head(edits)).expect_err("the image is refused");
    (error.kind(), error.offset(), error.to_string())
}

#[test]
fn a_valid_header_places_blocks_behind_their_bitmaps() {
    let header = Header::decode(&head(&[])).expect("the header is valid");
    assert_eq!((header.block_size(), header.table(), header.facts().virtual_size), (2 << 20, 1536, 3 << 20));
    assert_eq!(header.host(4), Some(2048 + 512));
    assert_eq!(header.host(0xffff_fffe), Some(0xffff_fffe * 512 + 512));
    assert_eq!(header.host(0xffff_ffff), None);
}

#[test]
fn a_bitmap_takes_whole_sectors() {
    for (block, entries, bitmap) in [(4096_u32, 768_u32, 512), (4 << 20, 1, 1024), (1 << 31, 1, 1 << 19)] {
        let edits: [(usize, &[u8]); 2] = [(544, &block.to_be_bytes()), (540, &entries.to_be_bytes())];
        let header = Header::decode(&head(&edits)).expect("the header is valid");
        assert_eq!(header.host(8), Some(4096 + bitmap), "{block}");
    }
}

#[test]
fn fields_out_of_range_are_refused_with_their_kind_and_offset() {
    let far = (i64::MAX as u64 - 7).to_be_bytes();
    for (at, bytes, kind, offset) in [
        (16, &[0; 8][..], Kind::Malformed, 16),
        (16, &[0xff; 8], Kind::Malformed, 16),
        (16, &511_u64.to_be_bytes(), Kind::Malformed, 16),
        (16, &far, Kind::Malformed, 16),
        (16, &(1_u64 << 40).to_be_bytes(), Kind::Truncated, 16),
        (16, &600_u64.to_be_bytes(), Kind::Malformed, 600),
        (63, &[2], Kind::Malformed, 60),
        (512, b"cxsparsf", Kind::Malformed, 512),
        (512 + 24, &[0, 2, 0, 0], Kind::Unsupported, 512 + 24),
        (512 + 28, &[0, 0, 0, 1], Kind::Malformed, 512 + 28),
        (512 + 28, &[0x20, 0, 0, 0], Kind::Malformed, 512 + 28),
        (512 + 32, &[0; 4], Kind::Malformed, 512 + 32),
        (512 + 32, &1000_u32.to_be_bytes(), Kind::Malformed, 512 + 32),
        (512 + 32, &256_u32.to_be_bytes(), Kind::Malformed, 512 + 32),
        (512 + 32, &2048_u32.to_be_bytes(), Kind::Unsupported, 512 + 32),
        (512 + 16, &[0; 8], Kind::Malformed, 512 + 16),
        (512 + 16, &[0xff; 8], Kind::Malformed, 512 + 16),
        (512 + 16, &1535_u64.to_be_bytes(), Kind::Malformed, 512 + 16),
        (512 + 16, &far, Kind::Malformed, 512 + 16),
    ] {
        let (refused, place, what) = refusal(&[(at, bytes)]);
        assert_eq!((refused, place), (kind, Some(offset)), "{what}");
    }
}

#[test]
fn a_wrong_checksum_of_the_header_is_refused() {
    let mut wrong = head(&[]);
    wrong[512 + 700] ^= 1;
    let error = Header::decode(&wrong).expect_err("a byte is wrong");
    assert_eq!((error.kind(), error.offset()), (Kind::Malformed, Some(512 + 36)), "{error}");
}

#[test]
fn a_differencing_image_is_refused_by_the_name_of_its_parent() {
    let (kind, offset, what) =
        refusal(&[(63, &[4]), (512 + 64, &[0, b'b', 0, b'a', 0x20, 0xac, 0xd8, 0, 0, 0, 0, b'x'])]);
    assert_eq!((kind, offset), (Kind::BackingFile, Some(60)));
    assert!(what.contains("\"ba\u{20ac}\u{fffd}\""), "{what}");
}

#[test]
fn a_file_that_ends_in_its_headers_is_truncated() {
    for len in [0, 510, 512, 1535] {
        let error = Header::decode(&head(&[])[..len]).expect_err("the file is short");
        assert_eq!(error.kind(), Kind::Truncated, "{len}: {error}");
    }
    assert!(Header::decode(&head(&[])[..1536]).is_ok());
    // A header that may be there, only not in front, is another matter.
    let mut far = head(&[(16, &65536_u64.to_be_bytes())]);
    far.resize(probe::HEAD, 0);
    assert_eq!(Header::decode(&far).map_err(|error| error.kind()), Err(Kind::Unsupported));
}
