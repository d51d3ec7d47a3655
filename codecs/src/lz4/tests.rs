use proptest::prelude::*;

use super::*;
use crate::outside::{Decoded, Pieces, decode, run, sample};

const LARGE: usize = 1 << 20;

fn unlz4(input: &[u8]) -> Result<Decoded, Error> {
    decode(&mut Lz4Decoder::new(), input, &Pieces::of(LARGE, LARGE))
}

fn lz4(arguments: &[&str], data: &[u8]) -> Vec<u8> {
    run("lz4", &[&["-q", "-z", "-c"], arguments].concat(), data)
}

/// Compresses a file, so that the writer knows its size.
fn lz4_file(arguments: &[&str], data: &[u8]) -> Vec<u8> {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("data");
    std::fs::write(&path, data).unwrap();
    run("lz4", &[&["-q", "-z", "-c"], arguments, &[path.to_str().unwrap()]].concat(), b"")
}

fn legacy(data: &[u8]) -> Vec<u8> {
    lz4(&["-l"], data)
}

/// A frame of another program's data, put together by hand.
fn skippable(content: &[u8]) -> Vec<u8> {
    [&b"\x5a\x2a\x4d\x18"[..], &u32::try_from(content.len()).unwrap().to_le_bytes(), content].concat()
}

/// A frame with these flags and block size and without further fields, put together by hand.
fn frame(flags: u8, sizes: u8, blocks: &[u8]) -> Vec<u8> {
    let sum = XxHash32::oneshot(0, &[flags, sizes]).to_le_bytes()[1];
    [&b"\x04\x22\x4d\x18"[..], &[flags, sizes, sum], blocks].concat()
}

/// A block that is stored as it is.
fn stored(data: &[u8]) -> Vec<u8> {
    [&(u32::try_from(data.len()).unwrap() | STORED).to_le_bytes()[..], data].concat()
}

const END: [u8; 4] = [0; 4];

#[test]
fn what_lz4_writes_with_any_option_is_read() {
    let data = sample(9_500_000);
    let mut written = vec![("-l".to_owned(), legacy(&data))];
    for level in ["-1", "-9", "--fast=9"] {
        for size in ["-B4", "-B5", "-B6", "-B7"] {
            for more in [&[][..], &["-BD"], &["-BX"], &["-BD", "-BX", "--no-frame-crc"], &["--no-frame-crc"]] {
                // The slow levels are no other format: one size is enough.
                if level == "-9" && size != "-B5" {
                    continue;
                }
                let arguments = [&[level, size], more].concat();
                written.push((arguments.join(" "), lz4(&arguments, &data)));
            }
        }
    }
    for more in [&["--content-size"][..], &["--content-size", "-BD", "-B4", "-BX"]] {
        written.push((more.join(" "), lz4_file(more, &data)));
    }
    for (writer, file) in written {
        let decoded = unlz4(&file).unwrap_or_else(|error| panic!("{writer}: {error}"));
        assert!(decoded.bytes == data, "{writer}");
    }
}

#[test]
fn the_options_of_the_writer_reach_the_header() {
    let data = sample(300_000);
    let head = |file: Vec<u8>| match header::parse(&file[..LONGEST]) {
        Ok(Some(Header::Frame(frame))) => frame,
        other => panic!("{other:?}"),
    };
    let linked = head(lz4(&["-BD", "-B4", "-BX"], &data));
    assert!(!linked.independent && linked.block_checksum && linked.content_checksum);
    assert_eq!((linked.block_limit, linked.content), (64 << 10, None));
    // A file that fits in a smaller block gets one.
    let single = head(lz4_file(&["-B7", "--content-size", "--no-frame-crc"], &sample(1_100_000)));
    assert!(single.independent && !single.block_checksum && !single.content_checksum);
    assert_eq!((single.block_limit, single.content), (4 << 20, Some(1_100_000)));
    assert_eq!(head(lz4(&["-B5"], &data)).block_limit, 256 << 10);
    assert_eq!(head(lz4(&["-B6"], &data)).block_limit, 1 << 20);
    assert!(head(legacy(&data)).legacy);
}

#[test]
fn an_empty_file_compressed_is_one_boundary_and_no_byte() {
    for arguments in [&[][..], &["-BD"], &["--no-frame-crc"]] {
        let file = lz4(arguments, b"");
        let decoded = unlz4(&file).unwrap();
        assert_eq!((decoded.bytes.len(), decoded.boundaries), (0, vec![(file.len(), 0)]));
    }
    let decoded = unlz4(&legacy(b"")).unwrap();
    assert_eq!((decoded.bytes.len(), decoded.boundaries.len()), (0, 0));
}

#[test]
fn the_end_of_each_frame_is_a_boundary_where_a_fresh_decoder_goes_on() {
    let data = sample(200_000);
    let (a, b) = data.split_at(70_000);
    let frames = [(lz4(&["-B4", "-BD"], a), a), (skippable(b"other data"), &[][..]), (lz4(&["-B4"], b), b)];
    let file = frames.iter().flat_map(|(frame, _)| frame.clone()).collect::<Vec<_>>();
    let mut ends = Vec::new();
    let (mut at_input, mut at_output) = (0, 0);
    for (frame, part) in &frames {
        at_input += frame.len();
        at_output += part.len();
        ends.push((at_input, at_output));
    }
    assert_eq!(unlz4(&file).unwrap().boundaries, ends);
    for (input, output) in ends {
        let rest = decode(&mut Lz4Decoder::at_boundary(), &file[input..], &Pieces::of(1000, 1000)).unwrap();
        assert!(rest.bytes == data[output..]);
    }
}

#[test]
fn a_legacy_frame_ends_where_another_frame_begins_or_the_file_ends() {
    let data = sample(20_000);
    let others = [lz4(&["-BD"], &data), legacy(&data), skippable(b"data")];
    for other in others {
        let file = [legacy(&data), other.clone(), legacy(&data)].concat();
        let decoded = unlz4(&file).unwrap();
        let middle = unlz4(&other).unwrap();
        assert!(decoded.bytes == [&data[..], &middle.bytes, &data].concat());
        // No byte says that a legacy frame ends, so only the frame between has a boundary.
        assert_eq!(decoded.boundaries.len(), middle.boundaries.len());
    }
    let error = unlz4(&[legacy(&data), b"garbage".to_vec()].concat()).unwrap_err();
    assert_eq!(error.kind(), Kind::Corrupt);
}

#[test]
fn every_size_of_pieces_gives_the_same() {
    let data = sample(150_000);
    let linked = lz4(&["-B4", "-BD", "-BX"], &data);
    let file = [linked, skippable(&[3; 40]), legacy(&data[..9_000]), lz4(&["-B4"], &data[..5_000])].concat();
    let whole = unlz4(&file).unwrap();
    for size in (1..60).chain([1021]) {
        for pieces in [Pieces::of(size, LARGE), Pieces::of(LARGE, size), Pieces::of(size, size)] {
            let decoded = decode(&mut Lz4Decoder::new(), &file, &pieces).unwrap();
            assert!(decoded.bytes == whole.bytes && decoded.boundaries == whole.boundaries, "{pieces:?}");
        }
    }
}

#[test]
fn random_pieces_give_the_same() {
    let data = sample(400_000);
    let file = [lz4(&["-B4", "-BD"], &data), lz4_file(&["--content-size"], &data)].concat();
    let size = || prop_oneof![1..20_usize, 1..5_000_usize, 1..100_000_usize];
    let lists = (prop::collection::vec(size(), 1..20), prop::collection::vec(size(), 1..20));
    let whole = unlz4(&file).unwrap();
    proptest!(ProptestConfig::with_cases(48), |((input, output) in lists)| {
        let decoded = decode(&mut Lz4Decoder::new(), &file, &Pieces { input, output }).unwrap();
        prop_assert!(decoded.bytes == whole.bytes && decoded.boundaries == whole.boundaries);
    });
}

#[test]
fn a_flipped_bit_is_an_error_or_changes_no_byte() {
    let data = sample(3_000);
    for file in [lz4(&["-B4"], &data), lz4(&["-B4", "-BD", "-BX"], &data), lz4_file(&["--content-size"], &data)] {
        let mut accepted = 0;
        for bit in 0..file.len() * 8 {
            let mut damaged = file.clone();
            damaged[bit / 8] ^= 1 << (bit % 8);
            if let Ok(decoded) = unlz4(&damaged) {
                assert!(decoded.bytes == data, "bit {bit} gave other data");
                accepted += 1;
            }
        }
        // Only an offset may change unseen, within a run of equal bytes; a block's checksum sees that too.
        let most = if file[4] & 0x10 != 0 { 0 } else { file.len() * 8 / 50 };
        assert!(accepted <= most, "{accepted} of {} flips accepted", file.len() * 8);
    }
}

#[test]
fn a_file_cut_anywhere_but_at_a_boundary_is_truncated() {
    let data = sample(2_000);
    let first = lz4_file(&["-BX", "--content-size"], &data);
    let second = [first.clone(), skippable(b"data")].concat();
    let file = [second.clone(), lz4(&["-BD"], &data[..500])].concat();
    for end in 0..file.len() {
        let outcome = unlz4(&file[..end]);
        if end == first.len() || end == second.len() {
            assert!(outcome.unwrap().bytes == data);
        } else {
            assert_eq!(outcome.unwrap_err().kind(), Kind::Truncated, "cut at {end}");
        }
    }
}

#[test]
fn a_legacy_file_cut_inside_a_block_is_truncated() {
    let data = sample(2_000);
    let file = legacy(&data);
    for end in 0..file.len() {
        match unlz4(&file[..end]) {
            Ok(decoded) => assert!(end == 4 && decoded.bytes.is_empty(), "cut at {end}"),
            Err(error) => assert_eq!(error.kind(), Kind::Truncated, "cut at {end}"),
        }
    }
}

#[test]
fn anything_but_a_frame_is_refused_at_its_first_wrong_byte() {
    assert_eq!(unlz4(b"").unwrap_err().kind(), Kind::Truncated);
    for head in [&b"q"[..], b"\x04\x21", b"\x04\x22\x4d\x19", b"\x02\x21\x4c\x19", b"\x60\x2a\x4d\x18", &[0; 100]] {
        assert_eq!(unlz4(head).unwrap_err().kind(), Kind::Corrupt, "{head:02x?}");
        let error = unlz4(&[&lz4(&[], b"data")[..], head].concat()).unwrap_err();
        assert_eq!(error.kind(), Kind::Corrupt);
        assert!(error.to_string().contains("garbage after the last frame"), "{error}");
    }
}

#[test]
fn a_decoder_at_a_boundary_accepts_the_end() {
    decode(&mut Lz4Decoder::at_boundary(), b"", &Pieces::of(1, 1)).unwrap();
}

#[test]
fn reserved_values_of_the_header_are_unsupported_by_name() {
    let cases = [
        (0x00, 0x40, "version 0"),
        (0xc0, 0x40, "version 3"),
        (0x42, 0x40, "flags 0x42"),
        (0x40, 0x41, "0x41 are reserved"),
        (0x40, 0xc0, "0xc0 are reserved"),
        (0x40, 0x30, "block size 3"),
        (0x40, 0x00, "block size 0"),
    ];
    for (flags, sizes, name) in cases {
        let error = unlz4(&frame(flags, sizes, &END)).unwrap_err();
        assert_eq!(error.kind(), Kind::Unsupported, "{name}");
        assert!(error.to_string().contains(name), "{error}");
    }
    assert_eq!(unlz4(&frame(0x40, 0x40, &END)).unwrap().bytes, b"");
}

#[test]
fn a_frame_that_needs_a_dictionary_is_refused() {
    // The tool does not write the number of a dictionary, a library's caller may.
    let descriptor = [0x41, 0x40, 7, 0, 0, 0];
    let sum = XxHash32::oneshot(0, &descriptor).to_le_bytes()[1];
    let error = unlz4(&[&b"\x04\x22\x4d\x18"[..], &descriptor, &[sum], &END].concat()).unwrap_err();
    assert_eq!(error.kind(), Kind::Unsupported);
    assert!(error.to_string().contains("dictionary 7"), "{error}");

    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("dictionary");
    std::fs::write(&path, sample(50_000)).unwrap();
    let file = lz4(&["-9", "-D", path.to_str().unwrap()], &sample(40_000));
    let error = unlz4(&file).unwrap_err();
    assert_eq!(error.kind(), Kind::Corrupt);
    assert!(error.to_string().contains("dictionary"), "{error}");
}

#[test]
fn each_wrong_checksum_is_named() {
    let file = lz4(&["-BX"], &sample(1_000));
    let sum_of_block = file.len() - 4 - 4 - 1;
    for (at, name) in [(6, "header checksum"), (sum_of_block, "block checksum"), (file.len() - 1, "content checksum")] {
        let mut damaged = file.clone();
        damaged[at] ^= 0x40;
        let error = unlz4(&damaged).unwrap_err();
        assert_eq!(error.kind(), Kind::Corrupt, "{name}");
        assert!(error.to_string().contains(name), "{error}");
    }
}

#[test]
fn a_content_size_that_is_not_that_of_the_blocks_is_refused() {
    for (stated, accepted) in [(4, true), (3, false), (5, false), (0, false), (u64::MAX, false)] {
        let descriptor = [&[0x48, 0x40][..], &u64::to_le_bytes(stated)].concat();
        let sum = XxHash32::oneshot(0, &descriptor).to_le_bytes()[1];
        let file = [&b"\x04\x22\x4d\x18"[..], &descriptor, &[sum], &stored(b"data"), &END].concat();
        match unlz4(&file) {
            Ok(decoded) => assert!(accepted && decoded.bytes == b"data"),
            Err(error) => {
                assert!(!accepted && error.kind() == Kind::Corrupt);
                assert!(error.to_string().contains(&format!("content size is {stated}")), "{error}");
            }
        }
    }
}

#[test]
fn a_block_may_have_and_decode_to_as_much_as_its_frame_allows_and_no_more() {
    const LIMIT: usize = 64 << 10;
    let sized = |length: usize| frame(0x60, 0x40, &[stored(&vec![1; length]), END.to_vec()].concat());
    assert_eq!(unlz4(&sized(LIMIT)).unwrap().bytes.len(), LIMIT);
    assert!(unlz4(&sized(LIMIT + 1)).unwrap_err().to_string().contains("its frame allows 65536"));
    // A legacy block takes 8 MiB in one piece, of which a frame of 64 KiB makes one that is too large.
    let bytes = vec![0; LIMIT + 1];
    let block = &legacy(&bytes)[4..];
    let error = unlz4(&frame(0x60, 0x40, &[block, &END].concat())).unwrap_err();
    assert_eq!(error.kind(), Kind::Corrupt);
    assert!(error.to_string().contains("decodes to more than 65536"), "{error}");
    let block = &legacy(&bytes[1..])[4..];
    assert!(unlz4(&frame(0x60, 0x40, &[block, &END].concat())).unwrap().bytes == bytes[1..]);
}

#[test]
fn each_way_a_block_is_damaged_is_named() {
    let cases: [(&[u8], &str); 5] = [
        (b"\x10", "ends inside a sequence"),
        (b"\xf0", "ends inside a sequence"),
        (b"\x10a\0\0", "offset 0"),
        (b"\x10a\x02\0\0", "before the first byte"),
        (b"\x10a\x01\0", "ends inside a sequence"),
    ];
    for (block, name) in cases {
        let size = u32::try_from(block.len()).unwrap().to_le_bytes();
        let error = unlz4(&frame(0x60, 0x40, &[&size, block, &END].concat())).unwrap_err();
        assert_eq!(error.kind(), Kind::Corrupt, "{block:02x?}");
        assert!(error.to_string().contains(name), "{block:02x?}: {error}");
    }
    let empty = [&b"\x02\x21\x4c\x18"[..], &END].concat();
    assert!(unlz4(&empty).unwrap_err().to_string().contains("no bytes"));
    let long = [&b"\x02\x21\x4c\x18"[..], &u32::try_from(LONGEST_LEGACY_BLOCK + 1).unwrap().to_le_bytes()].concat();
    assert!(unlz4(&long).unwrap_err().to_string().contains("allows 8421520"));
}

#[test]
fn a_block_refers_to_those_before_it_only_if_its_frame_says_so() {
    // One literal, then 5 bytes from 3 back, which the block before holds.
    let block = [&5_u32.to_le_bytes()[..], b"\x11d\x03\0\x00"].concat();
    let blocks = [stored(b"abc"), block, END.to_vec()].concat();
    assert_eq!(unlz4(&frame(0x40, 0x40, &blocks)).unwrap().bytes, b"abcdbcdbc");
    assert_eq!(unlz4(&frame(0x60, 0x40, &blocks)).unwrap_err().kind(), Kind::Corrupt);
    // Nor does it reach into a frame before.
    let file = [frame(0x40, 0x40, &[stored(b"abc"), END.to_vec()].concat()), frame(0x40, 0x40, &blocks[7..])].concat();
    assert_eq!(unlz4(&file).unwrap_err().kind(), Kind::Corrupt);
}

#[test]
fn a_match_reaches_64_kib_back_across_many_small_blocks() {
    let data: Vec<u8> = sample(65_535).into_iter().chain(sample(65_535)).collect();
    let small = data[..65_535].chunks(100).flat_map(stored).collect::<Vec<_>>();
    // A token of 1 literal and the longest short match, then the offset 65535, then an empty end: 19 bytes a block.
    let matches = (0..20).flat_map(|_| [&5_u32.to_le_bytes()[..], b"\x0e\xff\xff\x10z"].concat()).collect::<Vec<_>>();
    let decoded = unlz4(&frame(0x40, 0x40, &[small, matches, END.to_vec()].concat())).unwrap();
    let mut expected = data[..65_535].to_vec();
    for _ in 0..20 {
        let from = expected.len() - 65_535;
        expected.extend_from_within(from..from + 18);
        expected.push(b'z');
    }
    assert!(decoded.bytes == expected);
}

#[test]
fn many_blocks_and_frames_take_no_more_memory_than_the_largest() {
    let mut decoder = Lz4Decoder::new();
    let data = sample(6_000_000);
    let file = [lz4(&["-B7", "-BD"], &data), lz4(&["-B4", "-BD"], &data), lz4(&["-B7"], &data)].concat();
    decode(&mut decoder, &file, &Pieces::of(LARGE, LARGE)).unwrap();
    let most = 2 * (4 << 20) + (128 << 10) + CHECKSUM;
    assert!(decoder.window.memory() + decoder.block.capacity() <= most);
    decode(&mut decoder, &legacy(&data), &Pieces::of(LARGE, LARGE)).unwrap();
    assert!(decoder.window.memory() + decoder.block.capacity() <= LEGACY_BLOCK + LONGEST_LEGACY_BLOCK);
}

#[test]
fn a_bomb_comes_out_in_steps_of_the_callers_size() {
    for arguments in ["-9 -B7", "-l"] {
        let file = run("sh", &["-c", &format!("head -c 100M /dev/zero | lz4 -q -z -c {arguments}")], b"");
        let mut decoder = Lz4Decoder::new();
        let mut output = vec![0; 64 << 10];
        let (mut used, mut length, mut steps) = (0, 0, 0);
        loop {
            let step = decoder.step(&file[used..], &mut output).unwrap();
            if (step.consumed, step.produced) == (0, 0) {
                break;
            }
            used += step.consumed;
            length += step.produced;
            steps += 1;
        }
        decoder.finish().unwrap();
        assert_eq!(length, 100 << 20);
        assert!(steps <= 1600 + 2, "{steps} steps of 64 KiB for 100 MiB");
    }
}

#[test]
fn ten_thousand_empty_frames_are_ten_thousand_boundaries() {
    let file = lz4(&[], b"").repeat(10_000);
    assert_eq!(unlz4(&file).unwrap().boundaries.len(), 10_000);
}

proptest! {
    #[test]
    fn garbage_in_blocks_never_panics(
        garbage in prop::collection::vec(any::<u8>(), 0..3000), history in 0..70_000_usize, room in 1..5000_usize,
    ) {
        let head = stored(&sample(history.min(65_536)));
        let size = u32::try_from(garbage.len()).unwrap().to_le_bytes();
        let file = frame(0x40, 0x40, &[&head[..], &size, &garbage, &END].concat());
        if let Ok(decoded) = decode(&mut Lz4Decoder::new(), &file, &Pieces::of(100, room)) {
            prop_assert!(decoded.bytes.len() <= 2 * 65_536);
        }
    }

    #[test]
    fn an_altered_file_is_refused_or_decodes_to_the_same(
        at in any::<prop::sample::Index>(), with in prop::collection::vec(any::<u8>(), 1..6), linked in any::<bool>(),
    ) {
        let data = sample(40_000);
        let mut file = lz4(if linked { &["-BD", "-B4"] } else { &["-B4"] }, &data);
        let at = 7 + at.index(file.len() - 7);
        let end = file.len().min(at + with.len());
        file[at..end].copy_from_slice(&with[..end - at]);
        if let Ok(decoded) = unlz4(&file) {
            prop_assert!(decoded.bytes == data);
        }
    }
}
