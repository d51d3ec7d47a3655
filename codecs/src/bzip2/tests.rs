use proptest::prelude::*;

use super::*;
use crate::outside::{Decoded, Pieces, decode, python, run, sample};

const LARGE: usize = 1 << 20;

fn bunzip2(input: &[u8]) -> Result<Decoded, Error> {
    decode(&mut Bzip2Decoder::new(), input, &Pieces::of(LARGE, LARGE))
}

fn compress(arguments: &[&str], data: &[u8]) -> Vec<u8> {
    run("bzip2", &[&["-z", "-c"], arguments].concat(), data)
}

#[test]
fn what_bzip2_and_python_write_is_read() {
    let data = sample(1_500_000);
    let runs =
        [vec![7; 3], vec![8; 4], vec![9; 5], vec![1; 255], vec![2; 259], vec![3; 260], vec![0; 1_000_000]].concat();
    for data in [data, runs] {
        let written = [
            ("bzip2 -1", compress(&["-1"], &data)),
            ("bzip2 -5", compress(&["-5"], &data)),
            ("bzip2 -9", compress(&["-9"], &data)),
            ("python", python("import bz2\nout(bz2.compress(data, 3))", &data)),
            // What pbzip2 writes: a stream for each part.
            (
                "parts",
                python(
                    "import bz2\nfor at in range(0, len(data), 300000): out(bz2.compress(data[at:at + 300000]))",
                    &data,
                ),
            ),
        ];
        for (writer, file) in written {
            let decoded = bunzip2(&file).unwrap_or_else(|error| panic!("{writer}: {error}"));
            assert!(decoded.bytes == data, "{writer}");
        }
    }
}

#[test]
fn an_empty_file_compressed_is_one_boundary_and_no_byte() {
    let file = compress(&[], b"");
    let decoded = bunzip2(&file).unwrap();
    assert_eq!((decoded.bytes.len(), decoded.boundaries), (0, vec![(file.len(), 0)]));
}

#[test]
fn the_end_of_each_stream_is_a_boundary_where_a_fresh_decoder_goes_on() {
    let parts = [sample(100_000), Vec::new(), sample(3), sample(70_000)];
    let streams: Vec<_> = parts.iter().map(|part| compress(&[], part)).collect();
    let (file, data) = (streams.concat(), parts.concat());
    let mut ends = Vec::new();
    let (mut at_input, mut at_output) = (0, 0);
    for (stream, part) in streams.iter().zip(&parts) {
        at_input += stream.len();
        at_output += part.len();
        ends.push((at_input, at_output));
    }
    assert_eq!(bunzip2(&file).unwrap().boundaries, ends);
    for (input, output) in ends {
        let rest = decode(&mut Bzip2Decoder::at_boundary(), &file[input..], &Pieces::of(1000, 1000)).unwrap();
        assert!(rest.bytes == data[output..]);
    }
}

#[test]
fn every_size_of_pieces_gives_the_same() {
    let file =
        [compress(&["-1"], &sample(15_000)), compress(&[], b""), compress(&[], &[5; 3_000]), vec![0; 100]].concat();
    let whole = bunzip2(&file).unwrap();
    for size in (1..40).chain([1021]) {
        for pieces in [Pieces::of(size, LARGE), Pieces::of(LARGE, size), Pieces::of(size, size)] {
            let decoded = decode(&mut Bzip2Decoder::new(), &file, &pieces).unwrap();
            assert!(decoded.bytes == whole.bytes && decoded.boundaries == whole.boundaries, "{pieces:?}");
        }
    }
}

#[test]
fn random_pieces_give_the_same() {
    let data = sample(250_000);
    let file = [compress(&["-1"], &data), compress(&["-9"], &data)].concat();
    let size = || prop_oneof![1..20_usize, 1..5_000_usize, 1..100_000_usize];
    let lists = (prop::collection::vec(size(), 1..20), prop::collection::vec(size(), 1..20));
    let whole = bunzip2(&file).unwrap();
    proptest!(ProptestConfig::with_cases(24), |((input, output) in lists)| {
        let decoded = decode(&mut Bzip2Decoder::new(), &file, &Pieces { input, output }).unwrap();
        prop_assert!(decoded.bytes == whole.bytes && decoded.boundaries == whole.boundaries);
    });
}

#[test]
fn a_flipped_bit_is_an_error_or_changes_no_byte() {
    let data = sample(1_500);
    let file = compress(&["-1"], &data);
    let mut accepted = 0;
    for bit in 0..file.len() * 8 {
        let mut damaged = file.clone();
        damaged[bit / 8] ^= 1 << (bit % 8);
        if let Ok(decoded) = bunzip2(&damaged) {
            assert!(decoded.bytes == data, "bit {bit} gave other data");
            accepted += 1;
        }
    }
    // What may change unseen: the level, codes that no symbol uses, and the bits that fill the last byte.
    assert!(accepted < 80, "{accepted} of {} flips accepted", file.len() * 8);
}

#[test]
fn a_file_cut_anywhere_but_at_a_boundary_is_truncated() {
    let first = compress(&["-1"], &sample(1_000));
    let file = [first.clone(), compress(&["-1"], &sample(300))].concat();
    for end in 0..file.len() {
        let outcome = bunzip2(&file[..end]);
        if end == first.len() {
            assert!(outcome.unwrap().bytes == sample(1_000));
        } else {
            assert_eq!(outcome.unwrap_err().kind(), Kind::Truncated, "cut at {end}");
        }
    }
}

#[test]
fn zeros_after_the_last_stream_are_padding_and_anything_else_is_refused() {
    let file = compress(&[], b"data");
    let after = |tail: &[u8]| bunzip2(&[file.clone(), tail.to_vec()].concat());
    for length in [1, 2, 511, 100_000] {
        assert_eq!(after(&vec![0; length]).unwrap().bytes, b"data");
    }
    for tail in [&b"x"[..], b"\0x", b"Bx", b"BZx", b"BZh0", b"\0\0BZh9", b"\x1f\x8b"] {
        let error = after(tail).unwrap_err();
        assert_eq!(error.kind(), Kind::Corrupt, "{tail:?}");
        assert!(error.to_string().contains("no bzip2 stream begins here"), "{tail:?}: {error}");
    }
}

#[test]
fn a_decoder_at_a_boundary_accepts_the_end_and_padding() {
    for rest in [&b""[..], b"\0\0\0"] {
        decode(&mut Bzip2Decoder::at_boundary(), rest, &Pieces::of(1, 1)).unwrap();
    }
}

#[test]
fn no_bzip2_is_refused_at_its_first_wrong_byte() {
    assert_eq!(bunzip2(b"").unwrap_err().kind(), Kind::Truncated);
    for head in [&b"Q"[..], b"Bz", b"BZ0", b"BZh:", &[0; 100]] {
        assert_eq!(bunzip2(head).unwrap_err().kind(), Kind::Corrupt, "{head:?}");
    }
}

#[test]
fn a_wrong_crc_of_a_block_or_of_the_stream_is_refused() {
    let file = compress(&[], b"some data");
    // The CRC of the first block follows the stream's header and the block's magic; that of the stream ends it.
    for at in [10, 13, file.len() - 2] {
        let mut damaged = file.clone();
        damaged[at] ^= 0x40;
        let error = bunzip2(&damaged).unwrap_err();
        assert_eq!(error.kind(), Kind::Corrupt);
        assert!(error.to_string().contains("bzip2 stream 1"), "{error}");
    }
}

#[test]
fn a_bomb_comes_out_in_steps_of_the_callers_size() {
    let file = run("sh", &["-c", "head -c 100M /dev/zero | bzip2 -9 -c"], b"");
    let mut decoder = Bzip2Decoder::new();
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

#[test]
fn ten_thousand_empty_streams_are_ten_thousand_boundaries() {
    let file = compress(&[], b"").repeat(10_000);
    assert_eq!(bunzip2(&file).unwrap().boundaries.len(), 10_000);
}

proptest! {
    #[test]
    fn garbage_in_a_block_never_panics(garbage in prop::collection::vec(any::<u8>(), 0..3000), level in b'1'..=b'9') {
        let file = [b"BZh", &[level][..], b"1AY&SY", &garbage].concat();
        prop_assert!(bunzip2(&file).is_err());
    }

    #[test]
    fn an_altered_file_is_refused_or_decodes_to_the_same(
        at in any::<prop::sample::Index>(), with in prop::collection::vec(any::<u8>(), 1..6),
    ) {
        let data = sample(20_000);
        let mut file = compress(&["-1"], &data);
        let at = at.index(file.len());
        let end = file.len().min(at + with.len());
        file[at..end].copy_from_slice(&with[..end - at]);
        if let Ok(decoded) = bunzip2(&file) {
            prop_assert!(decoded.bytes == data);
        }
    }
}
