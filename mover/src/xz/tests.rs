//! The decoder beside the sequential one, on what the real `xz` writes and on what becomes of it by damage.

use std::io::Write as _;
use std::process::{Command, Stdio};
use std::sync::Weak;
use std::time::{Duration, Instant};

use codecs::XzDecoder;

use super::*;

const LIMIT: u64 = 64 << 20;
const MIB: usize = 1 << 20;

fn xz(options: &[&str], data: &[u8]) -> Vec<u8> {
    let mut command = Command::new("xz");
    command.args(["-q", "-z", "-c"]).args(options).stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut child = command.spawn().expect("xz is needed by this test");
    let mut stdin = child.stdin.take().unwrap();
    let output = std::thread::scope(|scope| {
        scope.spawn(move || stdin.write_all(data).unwrap());
        child.wait_with_output().unwrap()
    });
    assert!(output.status.success(), "xz {options:?}");
    output.stdout
}

struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    fn below(&mut self, limit: usize) -> usize {
        (self.next() % limit as u64) as usize
    }
}

/// `length` bytes of noise, zeros and text by turns.
fn sample(length: usize, seed: u64) -> Vec<u8> {
    let mut random = Random(seed | 1);
    let mut bytes = Vec::with_capacity(length + 20_000);
    while bytes.len() < length {
        for _ in 0..random.below(500) {
            bytes.extend(random.next().to_le_bytes());
        }
        bytes.resize(bytes.len() + random.below(9_000), 0);
        let number = random.next();
        bytes.extend((0..random.below(300)).flat_map(|line| format!("line {line} of {number}\n").into_bytes()));
    }
    bytes.truncate(length);
    bytes
}

/// What came of a file.
#[derive(Debug, PartialEq, Eq)]
struct Decoded {
    bytes: Vec<u8>,
    /// Where streams ended, in the input and in the output.
    boundaries: Vec<(usize, usize)>,
    end: Result<(), Error>,
}

/// Decodes `file`, offered and taken in pieces of up to so many bytes.
fn decode(decoder: &mut dyn StreamDecoder, file: &[u8], mut piece: impl FnMut() -> (usize, usize)) -> Decoded {
    let (mut used, mut output) = (0, Vec::new());
    let mut decoded = Decoded { bytes: Vec::new(), boundaries: Vec::new(), end: Ok(()) };
    loop {
        let (offered, room) = piece();
        let input = &file[used..file.len().min(used + offered)];
        output.resize(room, 0);
        let step = match decoder.step(input, &mut output) {
            Ok(step) => step,
            Err(error) => return Decoded { end: Err(error), ..decoded },
        };
        used += step.consumed;
        decoded.bytes.extend_from_slice(&output[..step.produced]);
        if step.boundary {
            decoded.boundaries.push((used, decoded.bytes.len()));
        } else if step.consumed == 0 && step.produced == 0 {
            assert!(input.is_empty(), "a step with input and room did not move at byte {used}");
            return Decoded { end: decoder.finish(), ..decoded };
        }
    }
}

fn side_by_side() -> SideBySide {
    SideBySide::walking(Blocks::new(), LIMIT, 2).unwrap()
}

fn at_once(file: &[u8]) -> Decoded {
    decode(&mut side_by_side(), file, || (256 << 10, 512 << 10))
}

fn by_one(file: &[u8]) -> Decoded {
    decode(&mut XzDecoder::new(LIMIT), file, || (256 << 10, 512 << 10))
}

/// Several streams and blocks, sizes stated and not, padding between and behind.
fn mixture(seed: u64) -> (Vec<u8>, Vec<u8>) {
    let data = sample(60_000, seed);
    let file = [
        xz(&["-T2", "-1", "--block-size=8KiB"], &data),
        vec![0; 12],
        xz(&["-T1", "-1", "--block-size=8KiB", "--check=sha256"], &data[..40_000]),
        xz(&["-0", "--check=none"], b""),
        xz(&["-0", "-T2", "--check=crc32"], &data[..2_000]),
        vec![0; 4],
    ];
    (file.concat(), [&data[..], &data[..40_000], &data[..2_000]].concat())
}

/// Where the blocks of a file are.
fn blocks(file: &[u8]) -> Vec<std::ops::Range<usize>> {
    let (mut walk, mut used, mut found) = (Blocks::new(), 0, Vec::new());
    while used < file.len() {
        let (taken, event) = walk.step(&file[used..]).unwrap();
        used += taken;
        if let Event::Block(block) = event {
            found.push(used - block.length as usize..used);
        }
    }
    found
}

/// Waits until no thread holds the line any more.
fn assert_threads_end(line: &Weak<Line>) {
    let start = Instant::now();
    while line.strong_count() > 0 {
        assert!(start.elapsed() < Duration::from_secs(20), "the threads have not ended");
        std::thread::sleep(Duration::from_millis(5));
    }
}

#[test]
fn every_preset_gives_the_data() {
    let data = sample(2 * MIB + 12_345, 1);
    for preset in 0..=9 {
        for options in [&["-T2", "--block-size=300KiB"][..], &["-T1", "--block-size=900KiB"]] {
            let preset = format!("-{preset}");
            let options = [&[preset.as_str()], options].concat();
            let decoded = at_once(&xz(&options, &data));
            assert!(decoded.bytes == data && decoded.end.is_ok(), "{options:?}: {:?}", decoded.end);
        }
    }
}

#[test]
fn every_check_filter_and_kind_of_block_gives_the_data() {
    let data = [std::fs::read("/bin/sh").unwrap(), sample(2 * MIB, 2)].concat();
    let options: [&[&str]; 10] = [
        &["-T0", "-1", "--block-size=16KiB"],
        &["-T2", "-1", "--block-size=300KiB", "--check=none"],
        &["-T2", "-1", "--block-size=300KiB", "--check=crc32"],
        &["-T2", "-1", "--block-size=300KiB", "--check=crc64"],
        &["-T2", "-1", "--block-size=300KiB", "--check=sha256"],
        &["-T1", "-1", "--block-list=1KiB,300KiB,7,0"],
        &["-T2", "--x86", "--lzma2=preset=1", "--block-size=500KiB"],
        &["-T2", "--delta=dist=4", "--lzma2=preset=1", "--block-size=500KiB"],
        &["-T2", "--arm64", "--delta=dist=2", "--powerpc", "--lzma2=preset=1", "--block-size=500KiB"],
        // Dictionaries of which two, and only one, may be in use.
        &["-T2", "--lzma2=preset=0,dict=16MiB", "--block-size=500KiB"],
    ];
    for options in options {
        let decoded = at_once(&xz(options, &data));
        assert!(decoded.bytes == data && decoded.end.is_ok(), "{options:?}: {:?}", decoded.end);
    }
}

#[test]
fn pieces_of_any_size_give_what_the_sequential_decoder_makes() {
    for seed in 0..24 {
        let (file, data) = mixture(seed);
        let mut random = Random(seed * 2 + 1);
        let most = [3, 300, 20_000][seed as usize % 3];
        let decoded = decode(&mut side_by_side(), &file, || (1 + random.below(most), 1 + random.below(most)));
        assert!(decoded == by_one(&file) && decoded.bytes == data, "seed {seed}: {:?}", decoded.end);
    }
}

#[test]
fn the_end_of_each_stream_is_a_boundary_where_a_fresh_decoder_goes_on() {
    let (file, data) = mixture(7);
    let boundaries = at_once(&file).boundaries;
    assert_eq!(boundaries.len(), 4);
    for (input, output) in boundaries {
        let mut rest = SideBySide::at_boundary(LIMIT).unwrap();
        let decoded = decode(&mut rest, &file[input..], || (1000, 1000));
        assert!(decoded.bytes == data[output..] && decoded.end.is_ok());
    }
}

#[test]
fn a_cut_file_gives_what_is_there_and_the_sequential_decoders_refusal() {
    let (file, data) = mixture(3);
    let ends = blocks(&file).into_iter().flat_map(|block| block.start.saturating_sub(2)..block.start + 30);
    let end = file.len();
    for cut in (0..end).step_by(211).chain(0..40).chain(ends).chain(end - 80..end) {
        let decoded = at_once(&file[..cut]);
        assert_eq!(decoded, by_one(&file[..cut]), "cut at {cut}");
        assert!(data.starts_with(&decoded.bytes), "cut at {cut}");
        let kind = decoded.end.map_err(|error| error.kind());
        assert!(matches!(kind, Ok(()) | Err(Kind::Truncated)), "cut at {cut}: {kind:?}");
    }
}

#[test]
fn a_changed_byte_is_refused_as_by_the_sequential_decoder() {
    let (file, _) = mixture(4);
    for at in (0..file.len()).step_by(97).chain(0..60).chain(file.len() - 60..file.len()) {
        let mut changed = file.clone();
        changed[at] ^= 0x41;
        let (decoded, expected) = (at_once(&changed), by_one(&changed));
        let kind = |decoded: &Decoded| decoded.end.as_ref().map_err(Error::kind).copied();
        assert_eq!(kind(&decoded), kind(&expected), "byte {at}: {:?}, {:?}", decoded.end, expected.end);
        assert!(decoded.end.is_err(), "byte {at}");
        assert!(decoded.bytes.starts_with(&expected.bytes), "byte {at}: less was handed out");
    }
}

#[test]
fn damage_is_named_by_its_block_and_the_first_of_several_is_the_one() {
    let data = sample(2 * MIB, 5);
    for options in [["-1", "-T2", "--block-size=64KiB"], ["-1", "-T1", "--block-size=64KiB"]] {
        let file = xz(&options, &data);
        let (blocks, length) = (blocks(&file), file.len());
        for (index, block) in blocks.iter().enumerate().step_by(3) {
            // Data, and the check value.
            for at in [block.start + 5_000, block.end - 1] {
                let mut damaged = file.clone();
                damaged[at] ^= 0x55;
                // Later damage, which is found first.
                damaged[length - 1] ^= 1;
                let decoded = at_once(&damaged);
                let error = decoded.end.unwrap_err();
                let offset = error.offset().unwrap() as usize;
                assert!(error.kind() == Kind::Corrupt && block.contains(&offset), "block {index}: {error}");
                assert!(error.to_string().contains(&format!("stream 1, after {index} blocks")), "{error}");
                assert!(decoded.bytes.starts_with(&data[..index * (64 << 10)]), "block {index}: {error}");
            }
        }
        let mut damaged = file.clone();
        damaged[length - 1] ^= 1;
        let decoded = at_once(&damaged);
        assert!(decoded.bytes == data && decoded.end == by_one(&damaged).end);
    }
}

#[test]
fn a_header_that_lies_about_sizes_is_refused() {
    let file = xz(&["-1", "-T2", "--block-size=64KiB"], &sample(300_000, 6));
    let header = blocks(&file)[2].start;
    let length = (usize::from(file[header]) + 1) * 4;
    // The sizes stand behind the flags; their lowest bits are first.
    for (at, bit) in [(2, 1), (2, 64), (5, 1), (5, 64)] {
        let mut lying = file.clone();
        lying[header + at] ^= bit;
        let crc = crc32fast::hash(&lying[header..header + length - 4]);
        lying[header + length - 4..header + length].copy_from_slice(&crc.to_le_bytes());
        let error = at_once(&lying).end.unwrap_err();
        assert!(error.kind() == Kind::Corrupt && error.to_string().contains("size"), "{error}");
    }
}

#[test]
fn a_dictionary_above_the_limit_is_refused_behind_what_is_before_it() {
    let data = sample(MIB, 8);
    let file = [xz(&["-1", "-T2"], &data), xz(&["-1", "--lzma2=dict=96MiB"], &data)].concat();
    let decoded = at_once(&file);
    let error = decoded.end.unwrap_err();
    assert!(decoded.bytes == data && error.kind() == Kind::Memory);
    assert!(error.to_string().contains("xz stream 2, after 0 blocks") && error.to_string().contains("100663296"));
}

/// A block that takes four bytes for each one of the disk, so that the compressed bytes that may wait are less than a chunk.
#[test]
fn a_block_that_hardly_gives_anything_is_handed_out_and_its_end_found_missing() {
    let head = xz(&["-0", "-T1", "--check=none", "--lzma2=dict=4KiB"], b"x");
    let header = &head[..12 + (usize::from(head[12]) + 1) * 4];
    let chunks: Vec<u8> =
        (0..6 * MIB).flat_map(|number| [if number == 0 { 1 } else { 2 }, 0, 0, number as u8]).collect();
    let decoded = at_once(&[header, &chunks].concat());
    assert!(decoded.bytes.iter().enumerate().all(|(number, &byte)| byte == number as u8));
    assert_eq!((decoded.bytes.len(), decoded.end.unwrap_err().kind()), (6 * MIB, Kind::Truncated));
}

#[test]
fn what_is_taken_and_not_handed_out_is_bounded() {
    for (options, data) in [
        (["-0", "-T2", "--block-size=1MiB"], sample(40 * MIB, 9)),
        (["-0", "-T2", "--block-size=64MiB"], vec![0; 64 * MIB]),
        (["-0", "-T2", "--block-size=16KiB"], sample(40 * MIB, 10)),
    ] {
        let file = xz(&options, &data);
        let (mut decoder, mut used) = (side_by_side(), 0);
        let mut stalled = Instant::now();
        while stalled.elapsed() < Duration::from_millis(500) {
            let step = decoder.step(&file[used..file.len().min(used + (256 << 10))], &mut []).unwrap();
            used += step.consumed;
            let (fed, made) = decoder.line.waiting();
            assert!(fed <= (6 << 20) + (256 << 10) && made <= 12 * MIB + 512 * 1024, "{fed} and {made} bytes wait");
            if step.consumed > 0 {
                stalled = Instant::now();
            }
            std::thread::sleep(Duration::from_millis(1));
        }
        let rest = decode(&mut decoder, &file[used..], || (256 << 10, MIB));
        assert!(rest.bytes == data && rest.end.is_ok(), "{options:?}: {:?}", rest.end);
    }
}

#[test]
fn dropping_it_at_any_place_does_not_wait_and_ends_the_threads() {
    let file = [
        xz(&["-0", "-T2", "--block-size=1MiB"], &sample(20 * MIB, 11)),
        xz(&["-6", "-T2", "--block-size=90MiB"], &vec![0; 180 * MIB]),
    ]
    .concat();
    let mut output = vec![0; MIB];
    for steps in [0, 1, 2, 3, 10, 25, 60, 200] {
        let (mut decoder, mut used) = (side_by_side(), 0);
        for _ in 0..steps {
            let piece = &file[used..file.len().min(used + (256 << 10))];
            used += decoder.step(piece, &mut output).unwrap().consumed;
        }
        let line = Arc::downgrade(&decoder.line);
        let start = Instant::now();
        drop(decoder);
        assert!(start.elapsed() < Duration::from_secs(2), "it waited");
        assert_threads_end(&line);
    }
}

#[test]
fn a_thread_that_is_gone_without_a_word_is_a_failure_of_its_block() {
    let data = sample(300_000, 12);
    let file = xz(&["-1", "-T2", "--block-size=64KiB"], &data);
    let mut decoder = SideBySide::walking(Blocks::new(), LIMIT, 0).unwrap();
    let line = Arc::clone(&decoder.line);
    let fails = std::thread::spawn(move || {
        let (number, _) = line.take_up().unwrap();
        let _present = thread::Present { line: &line, number };
        panic!("on purpose");
    });
    let decoded = decode(&mut decoder, &file, || (1000, 1000));
    assert!(fails.join().is_err() && decoded.bytes.is_empty());
    let error = decoded.end.unwrap_err();
    assert!(error.to_string().contains("after 0 blocks") && error.to_string().contains("has gone"), "{error}");
}
