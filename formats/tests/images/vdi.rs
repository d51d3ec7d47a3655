//! VDI as qemu writes it, and as it must not be.

use formats::Kind;
use formats::probe::{Format, Probe, probe};
use proptest::prelude::*;

use crate::layouts::cases;
use crate::plain::{Mutator, Tally, check, check_mutant, create, io, mixed, open, read_mapped, read_streamed, writes};
use crate::reader::Sizes;
use crate::tool::{Bench, run, text};

const VDI: Format = Format::Vdi;
const MIB: u64 = 1 << 20;

fn commands(list: &[&str]) -> Vec<String> {
    list.iter().map(|&command| command.to_owned()).collect()
}

/// Blocks out of order, one of them half zeros, and a hole.
const WRITES: [&str; 4] =
    ["write -P 1 3M 70000", "write -P 2 0 4096", "write -P 3 2600000 100", "write -z 3200000 50000"];

fn image(bench: &Bench, options: &str, size: u64) -> Vec<u8> {
    let path = create(bench, VDI, options, size);
    io(VDI, &path, &commands(&WRITES));
    std::fs::read(path).expect("the image can be read")
}

fn put32(file: &mut [u8], at: usize, value: u32) {
    file[at..at + 4].copy_from_slice(&value.to_le_bytes());
}

#[test]
fn dynamic_and_static_images_are_read_as_qemu_reads_them() {
    for options in ["", "static=on"] {
        for size in [4 * MIB, 4 * MIB + 512, 5 * MIB - 512] {
            let bench = Bench::new();
            let path = create(&bench, VDI, options, size);
            check(&bench, VDI, &path, 1);
            io(VDI, &path, &commands(&WRITES));
            let disk = check(&bench, VDI, &path, 2);
            assert_eq!((disk.len() as u64, disk[0], disk[3 << 20]), (size, 2, 1));
        }
    }
}

#[test]
fn empty_disks_and_odd_sizes_are_read_as_qemu_reads_them() {
    for size in [0, 1, 511, 512, 1_000_000] {
        let bench = Bench::new();
        let path = create(&bench, VDI, "", size);
        check(&bench, VDI, &path, 1);
    }
    // VirtualBox makes sizes inside a sector.
    let bench = Bench::new();
    let path = create(&bench, VDI, "", 2 * MIB);
    io(VDI, &path, &commands(&["write -P 7 0 2M"]));
    let mut file = std::fs::read(&path).expect("the image can be read");
    put32(&mut file, 0x170, 2 * MIB as u32 - 100);
    std::fs::write(&path, &file).expect("the image can be written");
    assert_eq!(check(&bench, VDI, &path, 3).len() as u64, 2 * MIB);
}

#[test]
fn converted_images_are_placed_on_the_fly_whatever_their_order() {
    for flags in [&[][..], &["-W", "-m", "16"], &["-S", "0"], &["-o", "static=on"]] {
        let bench = Bench::new();
        let disk = bench.raw("disk", &mixed(20 << 20));
        let path = bench.path("image");
        run("qemu-img", &[&["convert", "-O", "vdi"][..], flags, &[text(&disk), text(&path)]].concat());
        check(&bench, VDI, &path, 9);
    }
}

#[test]
fn the_magic_of_an_image_is_known() {
    let bench = Bench::new();
    let file = image(&bench, "", 4 * MIB);
    assert_eq!(probe(&file[..1024]), Probe::Disk(VDI));
}

#[test]
fn smaller_and_larger_blocks_are_read_though_qemu_refuses_them() {
    // Two blocks of 4 KiB in the other order, between them zeros.
    let bench = Bench::new();
    let mut file = image(&bench, "", 4 * MIB)[..1024].to_vec();
    put32(&mut file, 0x178, 4096);
    put32(&mut file, 0x170, 3 * 4096 - 512);
    for (entry, value) in [1, 0xffff_fffe, 0, 0xffff_ffff].into_iter().enumerate() {
        put32(&mut file, 512 + entry * 4, value);
    }
    file.extend([[1; 4096], [2; 4096]].concat());
    let disk = [[2; 4096], [0; 4096], [1; 4096]].concat()[..3 * 4096 - 512].to_vec();
    assert_eq!(read_mapped(VDI, &file, &mut Sizes::new(1, 5000)), Ok(disk.clone()));
    assert_eq!(read_streamed(VDI, &file, &mut Sizes::new(1, 700)), Ok(disk));
}

#[test]
fn a_block_behind_the_end_of_the_file_is_truncated_where_qemu_reads_zeros() {
    let bench = Bench::new();
    let file = image(&bench, "", 4 * MIB);
    for file in [&file[..file.len() - 1], &file[..file.len() - MIB as usize], &file[..600]] {
        for len in [2000, 1 << 20] {
            let mapped = read_mapped(VDI, file, &mut Sizes::new(1, 1 << 20)).map_err(|error| error.kind());
            let streamed = read_streamed(VDI, file, &mut Sizes::new(1, len)).map_err(|error| error.kind());
            assert_eq!((mapped.err(), streamed.err()), (Some(Kind::Truncated), Some(Kind::Truncated)));
        }
    }
    let mut far = file.clone();
    put32(&mut far, 512, 0xffff_fffd);
    let error = read_mapped(VDI, &far, &mut Sizes::new(1, 1 << 20)).expect_err("no file is as long");
    assert_eq!((error.kind(), error.offset()), (Kind::Truncated, Some(512)));
}

#[test]
fn a_block_that_two_entries_name_is_read_twice_as_in_qemu() {
    let bench = Bench::new();
    let mut file = image(&bench, "", 4 * MIB);
    put32(&mut file, 516, 0);
    let path = bench.raw("image", &file);
    let disk = check(&bench, VDI, &path, 4);
    assert_eq!(disk[MIB as usize..2 * MIB as usize], disk[3 * MIB as usize..]);
}

#[test]
fn images_that_differ_from_another_are_refused_by_name() {
    let bench = Bench::new();
    for (at, value, words) in [(0x4c, 3, "undo"), (0x4c, 4, "differencing"), (0x1a8, 7, "UUID"), (0x1b8, 7, "UUID")] {
        let mut file = image(&bench, "", 4 * MIB);
        put32(&mut file, at, value);
        let error = open(VDI, &file).map(|_| ()).expect_err("the image is refused");
        assert_eq!(error.kind(), Kind::BackingFile);
        assert!(error.to_string().contains(words), "{error}");
        assert_eq!(read_streamed(VDI, &file, &mut Sizes::new(1, 5000)), Err(error));
    }
}

#[test]
fn a_mutated_image_is_refused_or_read_as_qemu_reads_it() {
    let (bench, mut mutator, mut tally) = (Bench::new(), Mutator::new(11), Tally::default());
    let whole = image(&bench, "", 4 * MIB + 512);
    for _ in 0..1500 {
        let mut file = whole.clone();
        // Fields, the whole header, the table.
        mutator.mutate(&mut file, &[0x40..0x50, 0x154..0x1c8, 0..512, 512..536, 512..1024]);
        // qemu reads blocks of 1 MiB only.
        check_mutant(&bench, VDI, &file, &["block size"], &mut tally);
    }
    assert!(tally.read > 200 && tally.refused > 200, "{tally:?}");
}

proptest! {
    #![proptest_config(cases(16))]
    #[test]
    fn any_history_is_read_as_qemu_reads_it(
        (size, writes) in (1..=12_000_u64).prop_flat_map(|sectors| (Just(sectors * 512), writes(sectors * 512))),
        is_static in any::<bool>(),
        seed in any::<u64>(),
    ) {
        let bench = Bench::new();
        let path = create(&bench, VDI, if is_static { "static=on" } else { "" }, size);
        io(VDI, &path, &writes);
        check(&bench, VDI, &path, seed);
    }
}

/// A file of 4 KiB blocks, each full of its number plus one, and the disk that the entries make of it.
fn small_blocks(entries: &[Option<u8>], size: usize) -> (Vec<u8>, Vec<u8>) {
    let mut file = vec![0; 512];
    let last = entries.iter().flatten().max().map_or(0, |&last| u32::from(last) + 1);
    for (at, value) in [
        (0x40, 0xbeda_107f),
        (0x44, 0x0001_0001),
        (0x48, 0x180),
        (0x4c, 1),
        (0x154, 512),
        (0x158, 1024),
        (0x168, 512),
        (0x170, size as u32),
        (0x178, 4096),
        (0x180, entries.len() as u32),
    ] {
        put32(&mut file, at, value);
    }
    file.resize(1024, 0xee);
    let mut disk = Vec::new();
    for (index, entry) in entries.iter().enumerate() {
        put32(&mut file, 512 + index * 4, entry.map_or(u32::MAX - index as u32 % 2, u32::from));
        disk.resize(disk.len() + 4096, entry.map_or(0, |number| number + 1));
    }
    file.extend((0..last).flat_map(|number| [number as u8 + 1; 4096]));
    disk.truncate(size);
    (file, disk)
}

proptest! {
    #[test]
    fn any_order_of_blocks_is_read_as_the_model_says(
        entries in prop::collection::vec(prop::option::of(0..100_u8), 1..120),
        cut in 0..8_usize,
        seed in any::<u64>(),
    ) {
        let (file, disk) = small_blocks(&entries, entries.len() * 4096 - cut * 512);
        prop_assert!(read_mapped(VDI, &file, &mut Sizes::new(seed, 60_000)).as_ref() == Ok(&disk), "the map differs");
        for most in [1000, 60_000, 1 << 20] {
            let streamed = read_streamed(VDI, &file, &mut Sizes::new(seed, most));
            prop_assert!(streamed.as_ref() == Ok(&disk), "the stream differs: {:?}", streamed.err());
        }
    }
}
