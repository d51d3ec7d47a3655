//! Images with bytes of their metadata changed at random are refused, or read as qemu reads them.
//!
//! Deliberate disagreements, all of them refusals by one side:
//!
//! - qemu reads on, and this refuses, where an image says two things: sizes in descriptor and header, algorithm and flag,
//!   header and footer; where a parent is named by its id alone, the type or the text of the descriptor is unknown, an
//!   incompatible flag is set, grains or tables lie in the descriptor, or the file ends before a plain grain does.
//! - qemu refuses, and the map reads, where the damage is in what the map does not need: the size in a marker, whose
//!   stream ends itself, the second copy of the tables, and where plain grains begin. With that repaired, qemu must read
//!   the same disk.
//! - A stream checks the markers against the tables, so it refuses more than the map; what it reads, the map reads alike.

use super::oracle::{convert, read};
use super::reader::{Refusal, read_mapped, read_streamed};
use super::written::{Content, Layout, Shape};
use crate::reader::Sizes;
use crate::tool::Bench;

/// Mutations of each image.
const ROUNDS: u64 = 1000;

/// What became of the mutations.
#[derive(Debug, Default)]
struct Counts {
    refused: u64,
    alike: u64,
    only_here: u64,
    streamed: u64,
}

/// Changes one to three fields of one to four bytes, most of them in `hot` ranges.
fn mutate(file: &mut [u8], hot: &[std::ops::Range<usize>], chance: &mut Sizes) {
    for _ in 0..chance.next() % 3 + 1 {
        let range = match chance.next() % 8 {
            0 => 0..file.len(),
            pick => hot[pick as usize % hot.len()].clone(),
        };
        let at = range.start + chance.next() as usize % range.len();
        let width = [1, 1, 2, 4][chance.next() as usize % 4].min(file.len() - at);
        for byte in &mut file[at..at + width] {
            *byte = match chance.next() % 4 {
                0 => *byte ^ (1 << (chance.next() % 8)),
                1 => byte.wrapping_add(1),
                2 => [0, 1, 0x7f, 0xff][chance.next() as usize % 4],
                _ => chance.next() as u8,
            };
        }
    }
}

/// What the map does not need: rgdOffset, overHead, and the sizes in markers.
fn spare(original: &[u8]) -> Vec<std::ops::Range<usize>> {
    let mut spare = vec![48..56, 64..72];
    let field = |at: usize| u32::from_le_bytes(original[at..at + 4].try_into().expect("four bytes")) as usize;
    let mut at = field(64) * 512;
    while field(76) >> 8 & 0xffff == 1 && at + 12 < original.len() && field(at + 8) != 0 {
        spare.push(at + 8..at + 12);
        at = (at + 12 + field(at + 8)).next_multiple_of(512);
    }
    spare
}

fn check(original: &[u8], hot: &[std::ops::Range<usize>], seed: u64) -> Counts {
    let bench = Bench::new();
    let mut counts = Counts::default();
    for round in 0..ROUNDS {
        let mut chance = Sizes::new(seed * 1_000_003 + round, 1 << 30);
        let mut file = original.to_vec();
        mutate(&mut file, hot, &mut chance);
        let mapped = read_mapped(&file, &mut Sizes::new(round, 200_000));
        let streamed = read_streamed(&file, &mut Sizes::new(round, 20_000));
        if let (Ok(streamed), mapped) = (&streamed, &mapped) {
            counts.streamed += 1;
            let same = mapped.as_ref() == Ok(streamed);
            assert!(same, "round {round}: the stream reads it, the map says {:?}", mapped.as_ref().map(Vec::len));
        }
        let Ok(mapped) = mapped else {
            counts.refused += u64::from(mapped != Err(Refusal::Large));
            continue;
        };
        match read(&bench, &bench.raw("mutated", &file)) {
            Some(theirs) => {
                counts.alike += 1;
                assert!(mapped == theirs, "round {round}: qemu reads another disk");
            }
            None => {
                counts.only_here += 1;
                for range in spare(original) {
                    file[range.clone()].copy_from_slice(&original[range]);
                }
                let theirs = read(&bench, &bench.raw("mutated", &file));
                assert!(theirs.as_ref() == Some(&mapped), "round {round}: qemu refuses it for another reason");
            }
        }
    }
    println!("{counts:?}");
    counts
}

/// Some grains of each kind.
fn grains() -> Vec<Content> {
    let mut grains = Layout::data(Shape::Sparse, 21).grains;
    (grains[3], grains[9], grains[10], grains[17]) = (Content::Absent, Content::Zero, Content::Absent, Content::Zero);
    grains
}

#[test]
fn a_mutated_image_of_any_layout_is_refused_or_read_as_qemu_reads_it() {
    for (seed, shape) in (1..).zip(Shape::ALL) {
        let layout = Layout::new(shape, grains());
        let image = layout.write();
        // Header, descriptor, and all that is not in the middle of a grain.
        let mut hot = vec![0..80, 512..800];
        for place in image.places.values() {
            hot.push(*place..(place + 64).min(image.file.len()));
        }
        hot.sort_unstable_by_key(|range| range.start);
        let counts = check(&image.file, &hot, seed);
        assert!(counts.refused > 100 && counts.alike > 50 && counts.streamed > 20, "{shape:?} {counts:?}");
    }
}

#[test]
fn a_mutated_image_of_qemu_is_refused_or_read_as_qemu_reads_it() {
    let sparse: Vec<u8> = (0..400_000_u32).map(|at| (at / 3000) as u8 & (at / 65_536 % 2 * 255) as u8).collect();
    let bench = Bench::new();
    let disk = bench.raw("disk", &sparse[..399_872]);
    for (seed, subformat) in [(11, "monolithicSparse"), (12, "streamOptimized")] {
        let path = convert(&bench, &disk, subformat, &format!("subformat={subformat}"));
        let file = std::fs::read(&path).unwrap();
        // Header, descriptor, both directories and tables, the first marker.
        let hot = [
            0..80,
            512..1024,
            21 * 512..21 * 512 + 8,
            22 * 512..22 * 512 + 40,
            26 * 512..26 * 512 + 8,
            27 * 512..27 * 512 + 40,
            65_536..65_600,
        ];
        let counts = check(&file, &hot, seed);
        assert!(counts.refused > 100 && counts.alike > 50 && counts.streamed > 20, "{subformat} {counts:?}");
    }
}
