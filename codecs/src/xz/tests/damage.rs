//! Headers, footers and indexes put together by hand; what is damaged is named.

use super::*;

/// A block header with these flags and fields, filled up, with its CRC.
fn block_header(flags: u8, fields: &[u8]) -> Vec<u8> {
    let mut header = [&[0, flags], fields].concat();
    header.resize(header.len().next_multiple_of(4), 0);
    header[0] = u8::try_from(header.len() / 4).unwrap();
    header.extend(crc32fast::hash(&header).to_le_bytes());
    header
}

/// A file of one block without a check: header, these chunks, and what must follow from `block`'s sizes.
fn file(header: &[u8], chunks: &[u8]) -> Vec<u8> {
    let mut file = [&header::encode_stream_header(Check::None)[..], header, chunks].concat();
    file.resize(file.len().next_multiple_of(4), 0);
    file
}

/// The refusal of the first step that refuses.
fn refusal(file: &[u8]) -> Error {
    unxz(file).unwrap_err()
}

/// Id, length and properties of LZMA2 with a dictionary of 4 KiB.
const LZMA2: [u8; 3] = [0x21, 1, 0];
/// An uncompressed chunk of four bytes that resets the dictionary, and the end.
const CHUNKS: &[u8] = b"\x01\0\x03data\0";

#[test]
fn a_block_header_out_of_range_is_refused_by_name() {
    let longest = [0xff; 8];
    let cases: [(u8, &[&[u8]], Kind, &str); 17] = [
        (0x04, &[&LZMA2], Kind::Unsupported, "block flags 0x04"),
        (0x20, &[&LZMA2], Kind::Unsupported, "block flags 0x20"),
        (0x40, &[&[0], &LZMA2], Kind::Corrupt, "compressed size of 0"),
        (0x40, &[&longest, &[0xff], &LZMA2], Kind::Corrupt, "number above"),
        (0x80, &[&[0x80, 0], &LZMA2], Kind::Corrupt, "longer form"),
        (0x00, &[&[0x21, 1, 41]], Kind::Unsupported, "dictionary size [29]"),
        (0x00, &[&[0x21, 0]], Kind::Unsupported, "dictionary size []"),
        (0x00, &[&[0x21, 2, 0, 0]], Kind::Unsupported, "dictionary size [00, 00]"),
        (0x00, &[&[0x21, 200, 1]], Kind::Corrupt, "ends inside a field"),
        (0x00, &[&[0x21, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x40]], Kind::Corrupt, "inside a field"),
        (0x01, &[&LZMA2, &LZMA2], Kind::Unsupported, "filter 0x21 cannot be number 1 of 2"),
        (0x00, &[&[4, 0]], Kind::Unsupported, "filter 0x4 cannot be number 1 of 1"),
        (0x01, &[&[3, 1, 0], &[3, 1, 0]], Kind::Unsupported, "filter 0x3 cannot be number 2 of 2"),
        (0x00, &[&[0x22, 0]], Kind::Unsupported, "filter 0x22 is not known"),
        (0x01, &[&[0x0c, 0], &LZMA2], Kind::Unsupported, "filter 0xc is not known"),
        (0x00, &[&LZMA2, &[1]], Kind::Unsupported, "fields behind its filters"),
        (0x03, &[&[3, 1, 0], &LZMA2], Kind::Unsupported, "filter 0x21 cannot be number 2 of 4"),
    ];
    for (flags, fields, kind, name) in cases {
        let error = refusal(&file(&block_header(flags, &fields.concat()), CHUNKS));
        assert_eq!(error.kind(), kind, "{name}: {error}");
        assert!(error.to_string().contains(name), "{name}: {error}");
    }
    let mut header = block_header(0, &LZMA2);
    header[5] = 1;
    assert!(refusal(&file(&header, CHUNKS)).to_string().contains("block header has CRC-32"));
}

#[test]
fn the_largest_dictionary_is_4_gib_less_one_and_named() {
    let error = refusal(&file(&block_header(0, &[0x21, 1, 40]), CHUNKS));
    assert_eq!(error.kind(), Kind::Memory);
    assert!(error.to_string().contains("4294967295 bytes, the limit is 67108864"), "{error}");
    let error = refusal(&file(&block_header(0, &[0x21, 1, 39]), CHUNKS));
    assert!(error.to_string().contains("3221225472 bytes"), "{error}");
}

#[test]
fn stated_sizes_that_are_not_those_of_the_chunks_are_refused_by_name() {
    let cases: [(u8, &[u8], &str); 5] = [
        (0x40, &[7], "compressed size 7 in its header and 8"),
        (0x40, &[9], "compressed size 9 in its header and 8 by"),
        (0x80, &[3], "uncompressed size 3 in its header and 4"),
        (0x80, &[5], "uncompressed size 5 in its header and 4 by"),
        (0xc0, &[8, 0], "uncompressed size 0 in its header and 4"),
    ];
    for (flags, sizes, name) in cases {
        let error = refusal(&file(&block_header(flags, &[sizes, &LZMA2].concat()), CHUNKS));
        assert_eq!(error.kind(), Kind::Corrupt, "{name}");
        assert!(error.to_string().contains(name), "{name}: {error}");
    }
}

#[test]
fn chunks_that_are_none_are_refused() {
    for control in [0x03_u8, 0x40, 0x7f] {
        let error = refusal(&file(&block_header(0, &LZMA2), &[control, 0, 0]));
        assert_eq!(error.kind(), Kind::Corrupt);
        assert!(error.to_string().contains(&format!("no LZMA2 chunk begins with {control:#04x}")), "{error}");
    }
    // The walk finds chunks here, and the library that the first one does not reset the dictionary.
    let error = refusal(&file(&block_header(0, &LZMA2), b"\x02\0\x03data\0"));
    assert_eq!(error.kind(), Kind::Corrupt);
    let with_padding = [&b"\x01\0\0d\0"[..], &[0, 1, 0]].concat();
    assert!(refusal(&file(&block_header(0, &LZMA2), &with_padding)).to_string().contains("padding of an xz block"));
}

/// The file of one block with an index and a footer that fit it, and where they begin.
fn complete() -> (Vec<u8>, usize, usize) {
    let header = block_header(0, &LZMA2);
    let mut file = file(&header, CHUNKS);
    let index = file.len();
    let mut bytes = vec![0, 1, u8::try_from(header.len() + CHUNKS.len()).unwrap(), 4];
    bytes.extend(crc32fast::hash(&bytes).to_le_bytes());
    file.extend(&bytes);
    let footer = file.len();
    file.extend(header::encode_stream_footer(Check::None, bytes.len() as u64).unwrap());
    (file, index, footer)
}

/// Overwrites bytes and makes the CRC-32 of what is now between `from` and `to` fit again, at `crc`.
fn alter(file: &mut [u8], (at, with): (usize, &[u8]), (from, to): (usize, usize), crc: usize) {
    file[at..at + with.len()].copy_from_slice(with);
    let sum = crc32fast::hash(&file[from..to]).to_le_bytes();
    file[crc..crc + 4].copy_from_slice(&sum);
}

#[test]
fn what_is_put_together_by_hand_is_a_file() {
    assert_eq!(unxz(&complete().0).unwrap().bytes, b"data");
}

#[test]
fn an_index_that_does_not_fit_the_blocks_is_refused_by_name() {
    let (whole, index, footer) = complete();
    let cases: [(usize, &[u8], &str); 4] = [
        (1, &[2], "number of blocks, 1"),
        (1, &[0], "number of blocks, 1"),
        (2, &[24], "sizes of the 1 blocks"),
        (3, &[5], "sizes of the 1 blocks"),
    ];
    for (at, with, name) in cases {
        let mut file = whole.clone();
        alter(&mut file, (index + at, with), (index, footer - 4), footer - 4);
        let error = refusal(&file);
        assert_eq!(error.kind(), Kind::Corrupt, "{name}");
        assert!(error.to_string().contains(name), "{name}: {error}");
    }
    let mut file = whole.clone();
    file[footer - 1] ^= 1;
    assert!(refusal(&file).to_string().contains("index has CRC-32"));
}

#[test]
fn a_footer_that_does_not_fit_the_stream_is_refused_by_name() {
    let (whole, _, footer) = complete();
    let cases: [(usize, &[u8], &str); 3] = [
        (4, &[2], "index has 12 bytes by the footer and 8"),
        (9, &[1], "0x01 in the footer and 0x00 0x00 before"),
        (10, b"Y\0", "not with YZ"),
    ];
    for (at, with, name) in cases {
        let mut file = whole.clone();
        alter(&mut file, (footer + at, with), (footer + 4, footer + 10), footer);
        let error = refusal(&file);
        assert_eq!(error.kind(), Kind::Corrupt, "{name}");
        assert!(error.to_string().contains(name), "{name}: {error}");
    }
    let mut file = whole;
    file[footer] ^= 1;
    assert!(refusal(&file).to_string().contains("stream footer has CRC-32"));
}

#[test]
fn stream_flags_that_are_reserved_are_unsupported_by_name() {
    for (flags, name) in [([1, 0], "0x01 0x00"), ([0, 0x10], "0x00 0x10"), ([0, 2], "check 2"), ([0, 15], "check 15")] {
        let mut file = complete().0;
        alter(&mut file, (6, &flags), (6, 8), 8);
        let error = refusal(&file);
        assert_eq!(error.kind(), Kind::Unsupported, "{name}");
        assert!(error.to_string().contains(name), "{name}: {error}");
    }
    let mut file = complete().0;
    file[9] ^= 1;
    assert!(refusal(&file).to_string().contains("stream header has CRC-32"));
}

#[test]
fn a_wrong_check_value_is_refused_for_each_check() {
    for check in ["crc32", "crc64", "sha256"] {
        let mut file = xz(&["-0", &format!("--check={check}")], b"some data");
        // The index of one block has 8 bytes, the footer 12; before them stands the check value.
        let at = file.len() - 21;
        file[at] ^= 1;
        let error = unxz(&file).unwrap_err();
        assert_eq!(error.kind(), Kind::Corrupt, "{check}");
        assert!(error.to_string().contains("check value"), "{error}");
    }
}
