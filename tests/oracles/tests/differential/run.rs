//! Makes the images of one format on all cores, asks everyone, and counts.

use std::path::{Path, PathBuf};
use std::thread;

use formats::probe::Format;

use crate::bases::{Base, make};
use crate::chance::Chance;
use crate::classes::{Case, Verdict, verdict};
use crate::mutate::mutated;
use crate::ours::{Seen, mapped, streamed};
use crate::peers::{opinions, silence};
use crate::qemu;
use crate::tally::Tally;
use crate::tool::Bench;

/// Images made of one that is intact, itself included.
const FAMILY: u64 = 25;
/// What a run without other wishes does.
const IMAGES: u64 = 100;
const SEED: u64 = 2026;

/// A number that `cargo xtask soak` sets.
fn wished(name: &str, otherwise: u64) -> u64 {
    std::env::var(name).map_or(otherwise, |text| text.parse().expect("a number is wished"))
}

/// Reads the images of a format.
///
/// # Panics
/// When something disagrees and has no name.
pub(crate) fn images_of(format: Format) {
    let (images, seed) = (wished("GANTRY_DIFFERENTIAL", IMAGES), wished("GANTRY_SEED", SEED));
    silence();
    let workers = thread::available_parallelism().map_or(1, usize::from) as u64;
    let work = |worker: u64| {
        let mut tally = Tally::default();
        let families = images.div_ceil(FAMILY);
        for family in (worker..families).step_by(workers as usize) {
            let first = family * FAMILY;
            look_at_family(format, seed, first..images.min(first + FAMILY), &mut tally);
        }
        tally
    };
    let tally = thread::scope(|scope| {
        let workers: Vec<_> = (0..workers).map(|worker| scope.spawn(move || work(worker))).collect();
        let tallies = workers.into_iter().map(|worker| worker.join().expect("a worker ends"));
        tallies.reduce(Tally::join).unwrap_or_default()
    });
    println!("{format}: {images} images, seed {seed}\n{tally}");
    tally.assert_explained(images);
}

fn look_at_family(format: Format, seed: u64, numbers: std::ops::Range<u64>, tally: &mut Tally) {
    let bench = Bench::new();
    let first = numbers.start;
    let base = make(format, &bench, &mut Chance::new(seed, first));
    for number in numbers {
        let mut chance = Chance::new(!seed, number);
        let intact = number == first;
        let file = if intact { base.file.clone() } else { mutated(&base, &mut chance) };
        look_at(&Image { format, number, base: &base, file: &file, intact }, &bench, &mut chance, tally);
    }
}

/// One image of a run.
struct Image<'a> {
    format: Format,
    number: u64,
    base: &'a Base,
    file: &'a [u8],
    intact: bool,
}

fn look_at(image: &Image<'_>, bench: &Bench, chance: &mut Chance, tally: &mut Tally) {
    let &Image { format, number, file, intact, base } = image;
    let path = bench.raw("image", file);
    let ours = mapped(format, file, chance);
    let stream = streamed(format, file, chance);
    let theirs = match &ours {
        Ok(Seen::Large(_)) => qemu::opened(format, &path),
        _ => qemu::read(format, &path),
    };
    let again = |file: &[u8]| qemu::read(format, &bench.raw("repaired", file));
    let case =
        Case { format, file, original: &base.file, ours: &ours, stream: &stream, theirs: &theirs, again: &again };
    let verdict = verdict(&case);
    tally.streamed(&stream);
    let failed = matches!(verdict, Verdict::Unexplained(_)) || intact && verdict != Verdict::Equal;
    if failed {
        let kept = keep(format, number, file);
        tally.unexplained(format!("{}: {verdict:?}", kept.display()));
    }
    if let Ok(Seen::Disk(disk)) = &ours {
        for opinion in opinions(format, &path, file, intact) {
            if tally.opinion(&opinion, disk, &verdict, intact) {
                let kept = keep(format, number, file);
                tally.unexplained(format!("{}: {} sees another disk", kept.display(), opinion.library));
            }
        }
    }
    tally.count(verdict);
}

/// Leaves an image behind, to be looked at.
fn keep(format: Format, number: u64, file: &[u8]) -> PathBuf {
    let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("differential-{format}-{number}"));
    std::fs::write(&path, file).expect("the image can be kept");
    path
}
