//! Images with bytes changed at random: refused, or read as qemu reads them, and never a panic.

use super::patch::{HEADERS, REGIONS, bat, metadata, sign_all};
use super::{VHDX, commands, file};
use crate::opened::{assert_same, create, io, read, read_by_qemu};
use crate::reader::Sizes;
use crate::tool::Bench;

/// Places where a change matters, each once, and a few where it does not.
fn places(file: &[u8]) -> Vec<usize> {
    let headers = HEADERS.into_iter().flat_map(|at| (at..at + 96).chain([at + 200]));
    let regions = REGIONS.into_iter().flat_map(|at| (at..at + 96).chain([at + 500]));
    let (bat, metadata) = (bat(file), metadata(file));
    let items = metadata + (64 << 10);
    (0..12)
        .chain(headers)
        .chain(regions)
        .chain(bat..bat + 40)
        .chain(metadata..metadata + 192)
        .chain(items..items + 48)
        .collect()
}

/// One change of a byte: a bit, any value, or one of the extremes.
fn change(byte: u8, chance: &mut Sizes) -> u8 {
    match chance.next() % 3 {
        0 => byte ^ 1 << (chance.next() % 8),
        1 => chance.next() as u8,
        _ => [0, 0xff][chance.next() as usize % 2],
    }
}

/// What only we read, although qemu refuses it:
/// - an image whose first region table is damaged, from the second one;
/// - a disk of no bytes, for which qemu wants a BAT of 2^20 entries.
#[test]
fn a_damaged_image_is_refused_or_read_as_qemu_reads_it() {
    let bench = Bench::new();
    let image = create(&bench, VHDX, "image", "block_size=1M", 3 << 20);
    io(VHDX, &image, &commands(&["write -P 1 0 70000", "write -P 2 2M 500000"]));
    let intact = file(&image);
    let places = places(&intact);
    let mut chance = Sizes::new(2024, u64::MAX >> 33);
    let (mut refused, mut same, mut second_table, mut empty) = (0, 0, 0, 0);
    for round in 0..1000 {
        let mut damaged = intact.clone();
        for _ in 0..chance.next() % 3 + 1 {
            let at = places[chance.next() as usize % places.len()];
            damaged[at] = change(damaged[at], &mut chance);
        }
        // Half of the time with checksums that hold, so that what is behind them is looked at.
        if round % 2 == 0 {
            sign_all(&mut damaged);
        }
        // A disk of some size, so that a wrong one costs no time.
        let Ok(ours) = read_small(&damaged) else {
            refused += 1;
            continue;
        };
        std::fs::write(&image, &damaged).expect("the image can be written");
        match read_by_qemu(&bench, VHDX, &image) {
            Some(theirs) => {
                assert_same(&ours, &theirs);
                same += 1;
            }
            None if ours.is_empty() => empty += 1,
            None => {
                damaged.copy_within(REGIONS[1]..REGIONS[1] + (64 << 10), REGIONS[0]);
                std::fs::write(&image, &damaged).expect("the image can be written");
                assert_same(&ours, &read_by_qemu(&bench, VHDX, &image).expect("qemu has nothing more to refuse"));
                second_table += 1;
            }
        }
    }
    println!("{refused} refused, {same} same, {second_table} second table, {empty} empty");
    assert!(refused > 250 && same > 150 && second_table > 10, "{refused} {same}");
}

/// The disk, unless it is larger than the test wants to read.
fn read_small(file: &[u8]) -> Result<Vec<u8>, String> {
    let map = crate::opened::open(VHDX, file).map_err(|error| error.to_string())?;
    if map.virtual_size() > 64 << 20 {
        return Err("too large for a test".to_owned());
    }
    read(VHDX, file, &mut Sizes::new(3, 1 << 20)).map_err(|error| error.to_string())
}
