use proptest::prelude::*;

use super::*;
use crate::outside::{Decoded, Pieces, decode, run, sample};

const LARGE: usize = 1 << 20;
const LIMIT: u32 = 27;

fn unzstd(input: &[u8]) -> Result<Decoded, Error> {
    decode(&mut ZstdDecoder::new(LIMIT).unwrap(), input, &Pieces::of(LARGE, LARGE))
}

fn zstd(arguments: &[&str], data: &[u8]) -> Vec<u8> {
    run("zstd", &[&["-q", "-c"], arguments].concat(), data)
}

/// A frame of another program's data, put together by hand (RFC 8878 §3.1.2).
fn skippable(content: &[u8]) -> Vec<u8> {
    [&b"\x5a\x2a\x4d\x18"[..], &u32::try_from(content.len()).unwrap().to_le_bytes(), content].concat()
}

/// Compresses a file, so that the writer knows its size, and says what `zstd -lv` says of it.
fn zstd_file(arguments: &[&str], data: &[u8]) -> (Vec<u8>, String) {
    let directory = tempfile::tempdir().unwrap();
    let (raw, packed) = (directory.path().join("disk"), directory.path().join("disk.zst"));
    std::fs::write(&raw, data).unwrap();
    let paths = [raw.to_str().unwrap(), "-o", packed.to_str().unwrap()];
    run("zstd", &[&["-q"], arguments, &paths].concat(), b"");
    let listing = run("zstd", &["-lv", packed.to_str().unwrap()], b"");
    (std::fs::read(&packed).unwrap(), String::from_utf8(listing).unwrap())
}

/// The number of bytes in the line of `zstd -lv` that begins with `name`.
fn listed(listing: &str, name: &str) -> u64 {
    let line = listing.lines().find(|line| line.starts_with(name)).unwrap();
    line.rsplit('(').next().unwrap().split(' ').next().unwrap().parse().unwrap()
}

#[test]
fn what_zstd_and_pzstd_write_is_read() {
    let data = sample(3_000_000);
    let written = [
        ("-1", zstd(&["-1"], &data)),
        ("-19", zstd(&["-19"], &data)),
        ("--long=27", zstd(&["-3", "--long=27"], &data)),
        ("-T2", zstd(&["-T2", "-B524288"], &data)),
        ("--no-check", zstd(&["--no-check"], &data)),
        ("known size", zstd_file(&["-3"], &data).0),
        ("pzstd", run("pzstd", &["-q", "-p", "2", "-c"], &data)),
    ];
    for (writer, file) in written {
        let decoded = unzstd(&file).unwrap_or_else(|error| panic!("{writer}: {error}"));
        assert!(decoded.bytes == data, "{writer}");
    }
}

#[test]
fn the_end_of_each_frame_is_a_boundary_where_a_fresh_decoder_goes_on() {
    let parts = [sample(300_000), Vec::new(), Vec::new(), sample(3), sample(70_000)];
    let mut frames: Vec<_> = parts.iter().map(|part| zstd(&[], part)).collect();
    frames[2] = skippable(b"not of interest");
    let (file, data) = (frames.concat(), parts.concat());
    let mut ends = Vec::new();
    let (mut at_input, mut at_output) = (0, 0);
    for (frame, part) in frames.iter().zip(&parts) {
        at_input += frame.len();
        at_output += part.len();
        ends.push((at_input, at_output));
    }
    assert_eq!(unzstd(&file).unwrap().boundaries, ends);
    for (input, output) in ends {
        let mut decoder = ZstdDecoder::at_boundary(LIMIT).unwrap();
        let rest = decode(&mut decoder, &file[input..], &Pieces::of(1000, 1000)).unwrap();
        assert!(rest.bytes == data[output..]);
    }
}

#[test]
fn every_size_of_pieces_gives_the_same() {
    let file =
        [skippable(b""), zstd(&[], &sample(5_000)), skippable(&[1; 50]), zstd(&["--no-check"], &[0; 9_000])].concat();
    let whole = unzstd(&file).unwrap();
    assert_eq!(whole.boundaries.len(), 4);
    for size in 1..100 {
        for pieces in [Pieces::of(size, LARGE), Pieces::of(LARGE, size), Pieces::of(size, size)] {
            let decoded = decode(&mut ZstdDecoder::new(LIMIT).unwrap(), &file, &pieces).unwrap();
            assert!(decoded.bytes == whole.bytes && decoded.boundaries == whole.boundaries, "{pieces:?}");
        }
    }
}

#[test]
fn random_pieces_give_the_same() {
    let data = sample(600_000);
    let file = [zstd(&[], &data), run("pzstd", &["-q", "-p", "2", "-c"], &data)].concat();
    let size = || prop_oneof![1..20_usize, 1..5_000_usize, 1..300_000_usize];
    let lists = (prop::collection::vec(size(), 1..20), prop::collection::vec(size(), 1..20));
    let whole = unzstd(&file).unwrap();
    proptest!(ProptestConfig::with_cases(48), |((input, output) in lists)| {
        let mut decoder = ZstdDecoder::new(LIMIT).unwrap();
        let decoded = decode(&mut decoder, &file, &Pieces { input, output }).unwrap();
        prop_assert!(decoded.bytes == whole.bytes && decoded.boundaries == whole.boundaries);
    });
}

#[test]
fn idle_steps_are_harmless_however_many() {
    let data = sample(10_000);
    let file = zstd(&[], &data);
    let mut decoder = ZstdDecoder::new(LIMIT).unwrap();
    let mut output = vec![0; data.len()];
    let (mut used, mut made) = (0, 0);
    while used < file.len() {
        for _ in 0..100 {
            assert_eq!(decoder.step(&[], &mut output[made..]).unwrap(), Step::default());
            decoder.step(&[], &mut []).unwrap();
        }
        let step = decoder.step(&file[used..file.len().min(used + 500)], &mut output[made..]).unwrap();
        used += step.consumed;
        made += step.produced;
    }
    decoder.finish().unwrap();
    assert!(output == data);
}

#[test]
fn a_flipped_bit_is_an_error_or_changes_no_byte() {
    let data = sample(3_000);
    let file = zstd(&["--check"], &data);
    for bit in 0..file.len() * 8 {
        let mut damaged = file.clone();
        damaged[bit / 8] ^= 1 << (bit % 8);
        match unzstd(&damaged) {
            Ok(decoded) => assert!(decoded.bytes == data, "bit {bit} gave other data"),
            Err(error) => assert_ne!(error.to_string(), ""),
        }
    }
    let mut damaged = file;
    *damaged.last_mut().unwrap() ^= 1;
    let error = unzstd(&damaged).unwrap_err();
    assert_eq!(error.kind(), Kind::Corrupt);
    assert!(error.to_string().contains("checksum"), "{error}");
}

#[test]
fn a_file_cut_anywhere_but_at_a_boundary_is_truncated() {
    let frames = [zstd(&[], &sample(2_000)), skippable(b"skipped"), zstd(&["--no-check"], &sample(500))];
    let file = frames.concat();
    let ends = [frames[0].len(), frames[0].len() + frames[1].len()];
    for end in 0..file.len() {
        let outcome = unzstd(&file[..end]);
        if ends.contains(&end) {
            assert!(outcome.unwrap().bytes == sample(2_000));
        } else {
            assert_eq!(outcome.unwrap_err().kind(), Kind::Truncated, "cut at {end}");
        }
    }
}

#[test]
fn garbage_is_refused_at_its_first_wrong_byte_also_after_a_frame() {
    let file = zstd(&[], b"data");
    for tail in [&b"x"[..], b"\0", b"\x28\xb5\x2f\xfe", b"\x50\x2b", &[0; 512]] {
        assert_eq!(unzstd(tail).unwrap_err().kind(), Kind::Corrupt, "{tail:?}");
        let error = unzstd(&[&file, tail].concat()).unwrap_err();
        assert_eq!(error.kind(), Kind::Corrupt, "{tail:?}");
        assert!(error.to_string().contains("after the last frame"), "{error}");
    }
    assert_eq!(unzstd(b"").unwrap_err().kind(), Kind::Truncated);
}

#[test]
fn a_window_above_the_limit_is_refused_with_both_numbers() {
    // From a pipe the writer does not know the size, so it announces the whole window.
    for (log, accepted) in [(27, true), (28, false), (31, false)] {
        let file = zstd(&["--ultra", "-3", &format!("--long={log}")], b"few bytes");
        assert_eq!(window_size(&file), Some(1 << log));
        match unzstd(&file) {
            Ok(decoded) => assert!(accepted && decoded.bytes == b"few bytes"),
            Err(error) => {
                assert!(!accepted, "{error}");
                assert_eq!(error.kind(), Kind::Memory);
                let text = error.to_string();
                assert!(text.contains(&(1_u64 << log).to_string()) && text.contains("134217728"), "{text}");
            }
        }
    }
}

#[test]
fn a_window_limit_the_library_does_not_know_is_refused() {
    for log in [0, 9, 32, 200] {
        assert_eq!(ZstdDecoder::new(log).unwrap_err().kind(), Kind::Memory, "{log}");
    }
}

#[test]
fn window_and_content_size_are_what_zstd_lists() {
    for length in [1, 255, 256, 65_791, 65_792, 3_000_000] {
        let data = sample(length);
        for arguments in [&["-3"][..], &["-19"], &["--fast=5"], &["--long=21"]] {
            let (file, listing) = zstd_file(arguments, &data);
            let head = &file[..file.len().min(18)];
            assert_eq!(window_size(head), Some(listed(&listing, "Window Size")), "{arguments:?} {listing}");
            assert_eq!(content_size(head), Some(length as u64), "{arguments:?}");
            assert_eq!(listed(&listing, "Decompressed Size"), length as u64);
        }
    }
}

#[test]
fn a_head_that_does_not_say_gives_none() {
    let from_pipe = zstd(&[], &sample(100_000));
    assert_eq!(content_size(&from_pipe), None);
    assert!(window_size(&from_pipe).is_some());
    assert_eq!(window_size(&from_pipe[..5]), None);
    assert_eq!(window_size(b""), None);
    assert_eq!(window_size(b"QFI\xfb0123456789"), None);
}

#[test]
fn sizes_are_found_behind_skippable_frames_as_far_as_the_head_reaches() {
    let file = [skippable(&[7; 100]), skippable(b""), zstd_file(&[], &sample(5_000)).0].concat();
    assert_eq!(content_size(&file), Some(5_000));
    assert_eq!(content_size(&file[..100]), None);
}

#[test]
fn a_frame_that_needs_a_dictionary_is_unsupported() {
    let directory = tempfile::tempdir().unwrap();
    let path = |name: &str| directory.path().join(name).to_str().unwrap().to_owned();
    std::fs::write(path("samples"), sample(400_000)).unwrap();
    run("zstd", &["-q", "--train", &path("samples"), "-B1024", "--maxdict=8192", "-o", &path("dictionary")], b"");
    let file = zstd(&["-D", &path("dictionary")], b"data");
    let error = unzstd(&file).unwrap_err();
    assert_eq!(error.kind(), Kind::Unsupported);
    assert!(error.to_string().contains("dictionary"), "{error}");
}

#[test]
fn an_old_format_and_a_reserved_bit_are_unsupported() {
    let mut file = zstd(&[], b"data");
    file[4] |= 0b1000;
    assert_eq!(unzstd(&file).unwrap_err().kind(), Kind::Unsupported);
    assert_eq!(unzstd(b"\x25\xb5\x2f\xfd\0\0\0\0\0\0").unwrap_err().kind(), Kind::Unsupported);
}

#[test]
fn a_bomb_takes_its_window_and_comes_out_in_steps_of_the_callers_size() {
    let file = run("sh", &["-c", "head -c 200M /dev/zero | zstd -q -3 -c"], b"");
    let window = window_size(&file).unwrap();
    let mut decoder = ZstdDecoder::new(LIMIT).unwrap();
    let mut output = vec![0; 64 << 10];
    let (mut used, mut length, mut steps, mut most) = (0, 0, 0, 0);
    while used < file.len() || decoder.holds_output {
        let step = decoder.step(&file[used..], &mut output).unwrap();
        used += step.consumed;
        length += step.produced as u64;
        steps += 1;
        most = most.max(decoder.context.sizeof() as u64);
    }
    decoder.finish().unwrap();
    assert_eq!(length, 200 << 20);
    assert!(steps <= 3200 + 2, "{steps} steps of 64 KiB for 200 MiB");
    assert!(most <= window + MEMORY_BESIDE_WINDOW, "{most} bytes for a window of {window}");
}

proptest! {
    #[test]
    fn garbage_in_a_frame_never_panics(
        descriptor in any::<u8>(), garbage in prop::collection::vec(any::<u8>(), 0..3000), room in 1..5000_usize,
    ) {
        let file = [&b"\x28\xb5\x2f\xfd"[..], &[descriptor & !0b1000], &garbage].concat();
        let mut decoder = ZstdDecoder::new(20).unwrap();
        if let Ok(decoded) = decode(&mut decoder, &file, &Pieces::of(100, room)) {
            prop_assert!(decoded.bytes.len() <= file.len() * (128 << 10));
        }
    }
}
