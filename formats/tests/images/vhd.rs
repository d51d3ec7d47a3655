//! VHD as qemu writes it, fixed and dynamic, and as it must not be.

use formats::probe::{Format, Probe, TAIL, probe, probe_tail};
use formats::{Kind, vhd};
use proptest::prelude::*;

use crate::layouts::cases;
use crate::plain::{
    Mutator, Tally, check, check_mutant, create, io, mixed, open, read_by_qemu, read_mapped, read_streamed, writes,
};
use crate::reader::Sizes;
use crate::tool::{Bench, run, text};

const VHD: Format = Format::Vhd;
const MIB: u64 = 1 << 20;

/// Both kinds, with the size of the geometry and with the size that was asked for.
const KINDS: [&str; 4] =
    ["subformat=dynamic", "subformat=fixed", "subformat=dynamic,force_size=on", "subformat=fixed,force_size=on"];

/// Blocks out of order, one of them half zeros, and a hole.
const WRITES: [&str; 4] =
    ["write -P 1 5M 70000", "write -P 2 0 4096", "write -P 3 4600000 512", "write -z 5300000 50000"];

fn image(bench: &Bench, options: &str, size: u64) -> Vec<u8> {
    let path = create(bench, VHD, options, size);
    io(VHD, &path, &WRITES.map(str::to_owned));
    std::fs::read(path).expect("the image can be read")
}

fn seal(bytes: &mut [u8], field: usize) {
    bytes[field..field + 4].fill(0);
    let sum = bytes.iter().fold(0_u32, |sum, &byte| sum + u32::from(byte));
    bytes[field..field + 4].copy_from_slice(&(!sum).to_be_bytes());
}

/// The image with bytes replaced, and all checksums right again.
fn with(file: &[u8], edits: &[(usize, &[u8])]) -> Vec<u8> {
    let mut file = file.to_vec();
    for (at, bytes) in edits {
        file[*at..at + bytes.len()].copy_from_slice(bytes);
    }
    sealed(file)
}

fn sealed(mut file: Vec<u8>) -> Vec<u8> {
    let end = file.len();
    if file.starts_with(b"conectix") {
        seal(&mut file[..512], 64);
        seal(&mut file[512..1536], 36);
    } else {
        seal(&mut file[end - 512..], 64);
    }
    file
}

fn kinds(file: &[u8]) -> (Kind, Kind) {
    let mapped = read_mapped(VHD, file, &mut Sizes::new(1, 3 << 20)).expect_err("the map refuses");
    let streamed = read_streamed(VHD, file, &mut Sizes::new(1, 50_000)).expect_err("the stream refuses");
    (mapped.kind(), streamed.kind())
}

#[test]
fn both_kinds_and_both_rules_of_size_are_read_as_qemu_reads_them() {
    for options in KINDS {
        for size in [6 * MIB, 6 * MIB + 512, 10_000_384] {
            let bench = Bench::new();
            let path = create(&bench, VHD, options, size);
            check(&bench, VHD, &path, 1);
            io(VHD, &path, &WRITES.map(str::to_owned));
            let disk = check(&bench, VHD, &path, 2);
            assert_eq!((disk[0], disk[5 << 20]), (2, 1));
            let is_exact = options.ends_with("on");
            assert_eq!(is_exact, disk.len() as u64 == size, "a geometry has whole cylinders");
        }
    }
}

#[test]
fn disks_without_a_byte_or_with_one_sector_are_read() {
    for options in KINDS {
        for size in [0, 512, 1024, MIB] {
            // Of a fixed image without a byte the footer is all there is, and is taken for the copy in front: qemu and
            // this reader refuse it.
            if size == 0 && options.contains("fixed") {
                continue;
            }
            let bench = Bench::new();
            let path = create(&bench, VHD, options, size);
            check(&bench, VHD, &path, 1);
        }
    }
    let bench = Bench::new();
    let path = create(&bench, VHD, "subformat=fixed", 0);
    let file = std::fs::read(&path).expect("the image can be read");
    assert_eq!(kinds(&file), (Kind::Malformed, Kind::Malformed));
    assert!(read_by_qemu(&bench, VHD, &path).is_err());
}

#[test]
fn sizes_up_to_the_largest_are_those_that_qemu_says() {
    for options in ["subformat=dynamic", "subformat=dynamic,force_size=on"] {
        for gib in [1, 127, 128, 200, 2040] {
            let bench = Bench::new();
            let path = create(&bench, VHD, options, gib << 30);
            let file = std::fs::read(&path).expect("the image can be read");
            let said = run("qemu-img", &["info", "-f", "vpc", "--output=json", text(&path)]);
            let info: serde_json::Value = serde_json::from_str(&said).expect("qemu-img info prints JSON");
            let size = open(VHD, &file).expect("the image is read").virtual_size();
            assert_eq!(Some(size), info["virtual-size"].as_u64(), "{gib} {options}");
            let stream = VHD.stream(&file[..65536.min(file.len())], None).expect("the image is read");
            assert_eq!(stream.virtual_size(), Some(size));
        }
    }
}

#[test]
fn the_size_goes_by_creator_as_qemu_decides() {
    let bench = Bench::new();
    let file = image(&bench, "", 6 * MIB);
    let current = (6 * MIB).to_be_bytes();
    for creator in [b"vpc ", b"qemu", b"qem2", b"win ", b"d2v ", b"tap\0", b"CTXS"] {
        let edited = with(&file, &[(28, creator), (48, &current)]);
        let path = bench.raw("image", &edited);
        check(&bench, VHD, &path, 5);
    }
    // Of creators that it does not know (Azure's is "wa") qemu 7.2 takes the geometry and cuts the disk; qemu 10.0 takes
    // the size, as this reader does.
    let azure = with(&file, &[(28, b"wa\0\0"), (48, &current), (56, &[0, 90, 4, 17])]);
    let path = bench.raw("image", &azure);
    let disk = read_mapped(VHD, &azure, &mut Sizes::new(1, 3 << 20)).expect("the image is read");
    let cut = read_by_qemu(&bench, VHD, &path).expect("qemu reads the image");
    assert_eq!((disk.len() as u64, cut.len()), (6 * MIB, 90 * 4 * 17 * 512));
    assert!(disk.starts_with(&cut));
}

#[test]
fn converted_images_are_placed_on_the_fly_whatever_their_order() {
    for options in KINDS {
        for flags in [&[][..], &["-W", "-m", "16"], &["-S", "0"]] {
            let bench = Bench::new();
            let disk = bench.raw("disk", &mixed(20 << 20));
            let path = bench.path("image");
            let format = ["convert", "-O", "vpc", "-o", options];
            run("qemu-img", &[&format[..], flags, &[text(&disk), text(&path)]].concat());
            check(&bench, VHD, &path, 9);
        }
    }
}

#[test]
fn a_dynamic_image_is_known_by_its_beginning_and_a_fixed_one_by_its_end() {
    let bench = Bench::new();
    let dynamic = image(&bench, "", 6 * MIB);
    assert_eq!(probe(&dynamic[..65536]), Probe::Disk(VHD));
    let fixed = image(&bench, "subformat=fixed", 6 * MIB);
    assert_eq!(probe(&fixed[..65536]), Probe::Disk(Format::Raw));
    let tail = &fixed[fixed.len() - TAIL..];
    assert_eq!(probe_tail(tail), Some(Probe::Disk(VHD)));
    let facts = *vhd::Fixed::decode(tail, fixed.len() as u64).expect("the footer is valid").facts();
    assert_eq!((facts.is_fixed, facts.creator, facts.virtual_size), (true, *b"qemu", fixed.len() as u64 - 512));
}

#[test]
fn a_footer_of_511_bytes_is_read_as_qemu_reads_it() {
    let bench = Bench::new();
    let mut file = image(&bench, "subformat=fixed", 6 * MIB);
    let disk = file[..file.len() - 512].to_vec();
    file.pop();
    let path = bench.raw("image", &file);
    assert!(check(&bench, VHD, &path, 4) == disk);
}

#[test]
fn bitmaps_of_a_dynamic_image_are_not_looked_at_as_qemu_does_not() {
    let bench = Bench::new();
    let mut file = image(&bench, "", 6 * MIB);
    let entry = u32::from_be_bytes(file[1536..1540].try_into().expect("four bytes"));
    file[entry as usize * 512..][..512].fill(0);
    let path = bench.raw("image", &file);
    assert_eq!(check(&bench, VHD, &path, 3)[0], 2);
}

#[test]
fn wrong_checksums_are_refused() {
    let bench = Bench::new();
    let dynamic = image(&bench, "", 6 * MIB);
    for at in [100, 512 + 700] {
        let mut file = dynamic.clone();
        file[at] ^= 1;
        assert_eq!(kinds(&file), (Kind::Malformed, Kind::Malformed));
        // qemu does not look at the header's.
        let path = bench.raw("image", &file);
        assert_eq!(read_by_qemu(&bench, VHD, &path).is_ok(), at > 512);
    }
    let mut fixed = image(&bench, "subformat=fixed", 6 * MIB);
    let at = fixed.len() - 100;
    fixed[at] ^= 1;
    assert_eq!(kinds(&fixed), (Kind::Malformed, Kind::Malformed));
}

#[test]
fn differencing_images_are_refused_by_name_though_qemu_reads_their_own_blocks() {
    let bench = Bench::new();
    let file = with(&image(&bench, "", 6 * MIB), &[(63, &[4]), (512 + 64, b"\0b\0a\0s\0e")]);
    let error = open(VHD, &file).map(|_| ()).expect_err("the image is refused");
    assert_eq!(error.kind(), Kind::BackingFile);
    assert!(error.to_string().contains("\"base\""), "{error}");
    assert_eq!(kinds(&file), (Kind::BackingFile, Kind::BackingFile));
}

#[test]
fn a_file_that_ends_before_its_blocks_is_truncated_in_qemu_too() {
    let bench = Bench::new();
    let file = image(&bench, "", 6 * MIB);
    // qemu makes up the last bytes of a sector that is cut.
    assert_eq!(kinds(&file[..file.len() - 513]), (Kind::Truncated, Kind::Truncated));
    for len in [file.len() - 1024, file.len() - (2 << 20), 1600, 1539] {
        assert_eq!(kinds(&file[..len]), (Kind::Truncated, Kind::Truncated), "{len}");
        let path = bench.raw("image", &file[..len]);
        assert!(read_by_qemu(&bench, VHD, &path).is_err(), "{len}");
    }
    // The last block is needed as far as the disk goes, qemu wants all of it.
    let path = create(&bench, VHD, "force_size=on", 5 * MIB + 131_072);
    io(VHD, &path, &["write -P 2 0 4096".to_owned(), "write -P 1 5M 70000".to_owned()]);
    let forced = std::fs::read(&path).expect("the image can be read");
    let entry = u32::from_be_bytes(forced[1544..1548].try_into().expect("four bytes"));
    let needed = entry as usize * 512 + 512 + (MIB as usize + 131_072);
    assert!(read_mapped(VHD, &forced[..needed], &mut Sizes::new(1, 3 << 20)).is_ok());
    assert_eq!(kinds(&forced[..needed - 1]), (Kind::Truncated, Kind::Truncated));
    let mut cut = Sizes::new(1, 50_000);
    assert!(read_streamed(VHD, &forced[..needed], &mut cut).is_ok());
}

#[test]
fn blocks_of_other_sizes_are_read_as_qemu_reads_them() {
    let bench = Bench::new();
    let empty = std::fs::read(create(&bench, VHD, "force_size=on", 5 * 4096 + 512)).expect("the image can be read");
    let block = 4096_u32.to_be_bytes();
    let mut file = with(&empty[..2048], &[(512 + 28, &[0, 0, 0, 6]), (512 + 32, &block)]);
    for (index, sector) in [22_u32, u32::MAX, 4, 13, u32::MAX, 31].into_iter().enumerate() {
        file[1536 + index * 4..][..4].copy_from_slice(&sector.to_be_bytes());
    }
    file.extend(mixed(40 * 512));
    let path = bench.raw("image", &file);
    check(&bench, VHD, &path, 3);
}

#[test]
fn a_mutated_dynamic_image_is_refused_or_read_as_qemu_reads_it() {
    let (bench, mut mutator, mut tally) = (Bench::new(), Mutator::new(12), Tally::default());
    let whole = image(&bench, "", 6 * MIB + 512);
    for round in 0..1500 {
        let mut file = whole.clone();
        // Fields of the footer but the creator, of the header, and the table.
        let ranges = [0..28, 40..64, 60..64, 84..512, 512..552, 528..552, 552..1536, 1536..1556, 1536..2048];
        mutator.mutate(&mut file, &ranges);
        if round % 8 > 0 {
            file = sealed(file);
        }
        // qemu wants blocks whole, and those in the file that no guest byte needs.
        check_mutant(&bench, VHD, &file, &["has been truncated"], &mut tally);
    }
    assert!(tally.read > 200 && tally.refused > 200, "{tally:?}");
}

#[test]
fn a_mutated_fixed_image_is_refused_or_read_as_qemu_reads_it() {
    let (bench, mut mutator, mut tally) = (Bench::new(), Mutator::new(13), Tally::default());
    let whole = image(&bench, "subformat=fixed,force_size=on", 6 * MIB);
    let footer = whole.len() - 512;
    for round in 0..500 {
        let mut file = whole.clone();
        mutator.mutate(&mut file, &[footer..footer + 28, footer + 40..footer + 64, footer + 68..footer + 512]);
        if round % 8 > 0 {
            file = sealed(file);
        }
        check_mutant(&bench, VHD, &file, &[], &mut tally);
    }
    assert!(tally.read > 50 && tally.refused > 50, "{tally:?}");
}

proptest! {
    #![proptest_config(cases(16))]
    #[test]
    fn any_history_is_read_as_qemu_reads_it(
        (size, writes) in (1..=12_000_u64).prop_flat_map(|sectors| (Just(sectors * 512), writes(sectors * 512))),
        kind in 0..4_usize,
        seed in any::<u64>(),
    ) {
        let bench = Bench::new();
        let path = create(&bench, VHD, KINDS[kind], size);
        io(VHD, &path, &writes);
        check(&bench, VHD, &path, seed);
    }
}
