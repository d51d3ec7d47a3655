mod blocks;
mod damage;

use proptest::prelude::*;

use super::*;
use crate::outside::{Decoded, Pieces, decode, python, run, sample};

const LARGE: usize = 1 << 20;
const LIMIT: u64 = 64 << 20;

fn unxz(input: &[u8]) -> Result<Decoded, Error> {
    decode(&mut XzDecoder::new(LIMIT), input, &Pieces::of(LARGE, LARGE))
}

fn xz(arguments: &[&str], data: &[u8]) -> Vec<u8> {
    run("xz", &[&["-q", "-z", "-c"], arguments].concat(), data)
}

#[test]
fn what_xz_writes_with_any_option_is_read() {
    let data = sample(1_500_000);
    let options: [&[&str]; 16] = [
        &["-T1", "-6"],
        &["-T1", "-0"],
        &["-T1", "-9e", "--lzma2=preset=9e,dict=8MiB"],
        &["-T2", "-1", "--block-size=400KiB"],
        &["-T1", "-1", "--block-size=400KiB"],
        &["-T1", "-1", "--block-list=1KiB,300KiB,7,0"],
        &["-T1", "-1", "--flush-timeout=1"],
        &["-1", "--check=none"],
        &["-1", "--check=crc32"],
        &["-1", "--check=crc64"],
        &["-T2", "-1", "--block-size=400KiB", "--check=sha256"],
        &["--x86", "--lzma2=preset=1"],
        &["--delta=dist=4", "--lzma2=preset=1"],
        &["--arm64", "--delta=dist=2", "--powerpc", "--lzma2=preset=1"],
        &["--lzma2=preset=0,lc=0,lp=4,pb=0,dict=4KiB"],
        &["--lzma2=preset=1,mf=hc4,mode=fast,nice=2"],
    ];
    for arguments in options {
        let decoded = unxz(&xz(arguments, &data)).unwrap_or_else(|error| panic!("{arguments:?}: {error}"));
        assert!(decoded.bytes == data, "{arguments:?}");
    }
    let file = python("import lzma\nout(lzma.compress(data, preset=1))", &data);
    assert!(unxz(&file).unwrap().bytes == data);
}

#[test]
fn an_empty_file_compressed_is_one_boundary_and_no_byte() {
    for arguments in [&["-T1"][..], &["-T2"], &["--check=none"]] {
        let file = xz(arguments, b"");
        let decoded = unxz(&file).unwrap();
        assert_eq!((decoded.bytes.len(), decoded.boundaries), (0, vec![(file.len(), 0)]));
    }
}

#[test]
fn the_end_of_each_stream_is_a_boundary_where_a_fresh_decoder_goes_on() {
    let parts = [sample(100_000), Vec::new(), sample(3), sample(70_000)];
    let (mut file, mut ends, mut at_output) = (Vec::new(), Vec::new(), 0);
    for (part, padding) in parts.iter().zip([0, 4, 1000, 8]) {
        file.extend(xz(&["-1", "--block-size=30000"], part));
        at_output += part.len();
        ends.push((file.len(), at_output));
        file.resize(file.len() + padding, 0);
    }
    assert_eq!(unxz(&file).unwrap().boundaries, ends);
    for (input, output) in ends {
        let rest = decode(&mut XzDecoder::at_boundary(LIMIT), &file[input..], &Pieces::of(1000, 1000)).unwrap();
        assert!(rest.bytes == parts.concat()[output..]);
    }
}

/// Several streams and blocks, sizes stated and not, padding between and behind.
fn mixture() -> (Vec<u8>, Vec<u8>) {
    let data = sample(30_000);
    let file = [
        xz(&["-T2", "-1", "--block-size=8KiB"], &data),
        vec![0; 12],
        xz(&["-T1", "-1", "--block-size=8KiB", "--check=sha256"], &data[..20_000]),
        xz(&["-0", "--check=none"], b""),
        xz(&["-0", "--check=crc32"], &data[..2_000]),
        vec![0; 4],
    ];
    (file.concat(), [&data[..], &data[..20_000], &data[..2_000]].concat())
}

#[test]
fn every_size_of_pieces_gives_the_same() {
    let (file, data) = mixture();
    let whole = unxz(&file).unwrap();
    assert!(whole.bytes == data && whole.boundaries.len() == 4);
    for size in (1..60).chain([1021]) {
        for pieces in [Pieces::of(size, LARGE), Pieces::of(LARGE, size), Pieces::of(size, size)] {
            let decoded = decode(&mut XzDecoder::new(LIMIT), &file, &pieces).unwrap();
            assert!(decoded.bytes == whole.bytes && decoded.boundaries == whole.boundaries, "{pieces:?}");
        }
    }
}

#[test]
fn random_pieces_give_the_same() {
    let (file, data) = mixture();
    let whole = unxz(&file).unwrap();
    let size = || prop_oneof![1..20_usize, 1..5_000_usize, 1..100_000_usize];
    let lists = (prop::collection::vec(size(), 1..20), prop::collection::vec(size(), 1..20));
    proptest!(ProptestConfig::with_cases(48), |((input, output) in lists)| {
        let decoded = decode(&mut XzDecoder::new(LIMIT), &file, &Pieces { input, output }).unwrap();
        prop_assert!(decoded.bytes == data && decoded.boundaries == whole.boundaries);
    });
}

#[test]
fn a_flipped_bit_is_an_error() {
    let data = sample(2_000);
    let checked = [xz(&["-1", "--check=crc64"], &data), xz(&["-T2", "-1", "--check=sha256"], &data)];
    for file in checked {
        let mut accepted = 0;
        for bit in 0..file.len() * 8 {
            let mut damaged = file.clone();
            damaged[bit / 8] ^= 1 << (bit % 8);
            match unxz(&damaged) {
                Ok(decoded) => {
                    assert!(decoded.bytes == data, "bit {bit} gave other data");
                    accepted += 1;
                }
                // Headers have CRCs, so damage is never taken for a large dictionary.
                Err(error) => assert_ne!(error.kind(), Kind::Memory, "bit {bit}"),
            }
        }
        assert_eq!(accepted, 0, "of {} flips", file.len() * 8);
    }
}

#[test]
fn a_file_cut_anywhere_but_at_a_boundary_is_truncated() {
    let data = sample(2_000);
    let first = xz(&["-1", "--block-size=900"], &data);
    let file = [first.clone(), vec![0; 8], xz(&["-T2", "--check=none"], &data[..300])].concat();
    for end in 0..file.len() {
        let outcome = unxz(&file[..end]);
        if [0, 4, 8].iter().any(|padding| end == first.len() + padding) {
            assert!(outcome.unwrap().bytes == data);
        } else {
            assert_eq!(outcome.unwrap_err().kind(), Kind::Truncated, "cut at {end}");
        }
    }
}

#[test]
fn only_zeros_in_fours_may_stand_behind_a_stream() {
    let file = xz(&["-1"], b"data");
    let after = |tail: &[u8]| unxz(&[file.clone(), tail.to_vec()].concat());
    for length in [0, 4, 512, 100_000] {
        assert_eq!(after(&vec![0; length]).unwrap().bytes, b"data");
    }
    for length in [1, 2, 3, 511] {
        let error = after(&vec![0; length]).unwrap_err();
        assert_eq!(error.kind(), Kind::Truncated, "{length} zeros");
        assert!(error.to_string().contains("multiple of 4"), "{error}");
        let error = after(&[vec![0; length], file.clone()].concat()).unwrap_err();
        assert_eq!(error.kind(), Kind::Corrupt, "{length} zeros before a stream");
    }
    for tail in [&b"x"[..], b"\0\0\0\0x", b"\xfd8", b"\xfd7zXZ\x01", b"\0\0x"] {
        let error = after(tail).unwrap_err();
        assert_eq!(error.kind(), Kind::Corrupt, "{tail:?}");
        assert!(error.to_string().contains("padding"), "{tail:?}: {error}");
    }
}

#[test]
fn no_xz_is_refused_at_its_first_wrong_byte_and_zeros_do_not_begin_a_file() {
    assert_eq!(unxz(b"").unwrap_err().kind(), Kind::Truncated);
    for head in [&b"Q"[..], b"\xfd8", b"\xfd7zXZ\x01", &[0; 100], b"\x5d\0\0\x80\0"] {
        assert_eq!(unxz(head).unwrap_err().kind(), Kind::Corrupt, "{head:?}");
    }
}

#[test]
fn a_decoder_at_a_boundary_accepts_the_end_and_padding() {
    for rest in [&b""[..], b"\0\0\0\0"] {
        decode(&mut XzDecoder::at_boundary(LIMIT), rest, &Pieces::of(1, 1)).unwrap();
    }
    let error = decode(&mut XzDecoder::at_boundary(LIMIT), b"\0\0\0", &Pieces::of(1, 1)).unwrap_err();
    assert_eq!(error.kind(), Kind::Truncated);
}

#[test]
fn a_dictionary_at_the_limit_is_taken_and_one_above_is_refused_with_both_numbers() {
    for size in [4096_u64, 6144, 65_536, 98_304, 1 << 20] {
        let file = xz(&[&format!("--lzma2=preset=1,dict={size}")], &sample(10_000));
        assert_eq!(dictionary_size(&file[..64]), Some(size));
        assert!(decode(&mut XzDecoder::new(size), &file, &Pieces::of(LARGE, LARGE)).is_ok());
        let error = decode(&mut XzDecoder::new(size - 1), &file, &Pieces::of(LARGE, LARGE)).unwrap_err();
        assert_eq!(error.kind(), Kind::Memory);
        for number in [size, size - 1] {
            assert!(error.to_string().contains(&number.to_string()), "{error}");
        }
    }
}

#[test]
fn a_chain_of_four_filters_stays_within_the_memory_stated() {
    // The library refuses by its own count what is above the sum of both.
    let chain = ["--x86", "--arm", "--delta=dist=256", "--lzma2=preset=1,dict=4KiB,lc=0,lp=4"];
    let data = sample(50_000);
    let decoded = decode(&mut XzDecoder::new(4096), &xz(&chain, &data), &Pieces::of(LARGE, LARGE)).unwrap();
    assert!(decoded.bytes == data);
}

#[test]
fn a_head_without_a_block_header_has_no_dictionary_size() {
    let file = xz(&["-6"], &sample(10_000));
    assert_eq!(dictionary_size(&file), Some(8 << 20));
    assert_eq!(dictionary_size(&file[..14]), None);
    assert_eq!(dictionary_size(b""), None);
    assert_eq!(dictionary_size(b"QFI\xfb0123456789"), None);
    assert_eq!(dictionary_size(&xz(&[], b"")), None);
    assert_eq!(dictionary_size(&[xz(&[], b""), vec![0; 4], file].concat()), Some(8 << 20));
}

#[test]
fn a_bomb_comes_out_in_steps_of_the_callers_size() {
    let file = run("sh", &["-c", "head -c 100M /dev/zero | xz -1 -c"], b"");
    let mut decoder = XzDecoder::new(LIMIT);
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
    let file = xz(&["-0"], b"").repeat(10_000);
    assert_eq!(unxz(&file).unwrap().boundaries.len(), 10_000);
}

proptest! {
    #[test]
    fn garbage_in_a_block_never_panics(garbage in prop::collection::vec(any::<u8>(), 0..3000), lzma in any::<bool>()) {
        // A first chunk that announces as much as it may, so that the garbage is read as LZMA data.
        let chunk: &[u8] = if lzma { b"\xff\xff\xff\xff\xff\x5d\0" } else { b"" };
        let head = &xz(&["-0", "--check=none"], b"data")[..24];
        prop_assert!(unxz(&[head, chunk, &garbage].concat()).is_err());
    }

    #[test]
    fn an_altered_file_is_refused_or_decodes_to_the_same(
        at in any::<prop::sample::Index>(), with in prop::collection::vec(any::<u8>(), 1..6),
    ) {
        let data = sample(20_000);
        let mut file = xz(&["-T2", "-0", "--block-size=8KiB"], &data);
        let at = at.index(file.len());
        let end = file.len().min(at + with.len());
        file[at..end].copy_from_slice(&with[..end - at]);
        if let Ok(decoded) = unxz(&file) {
            prop_assert!(decoded.bytes == data);
        }
    }
}
