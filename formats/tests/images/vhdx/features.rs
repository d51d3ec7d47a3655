//! Every feature of the format that qemu writes, one image each.

use formats::vhdx::Opener;
use formats::{Extent, GuestOffset, HostOffset, Kind, Open, Opening, Place};
use proptest::prelude::*;

use super::patch::{DISK_SIZE, FILE_PARAMETERS, LOGICAL_SECTOR, bat, get64, item, metadata, put32, put64, sign_all};
use super::{SIZE, VHDX, commands, file};
use crate::layouts::cases;
use crate::opened::{assert_same, check, create, io, lookup, open, read, read_by_qemu};
use crate::reader::Sizes;
use crate::tool::{Bench, img, run, text};

/// Writes out of order that cross blocks of 1 MiB and leave holes.
const WRITES: [&str; 7] = [
    "write -P 3 2500000 1600000",
    "write -P 1 0 70000",
    "write -P 2 1048576 4096",
    "write -P 4 500 12",
    "write -z 3300064 66048",
    "discard 1048576 1048576",
    "write -P 7 5242880 512",
];

#[test]
fn every_block_size_and_subformat_is_read_as_qemu_reads_it() {
    for options in [
        "",
        "block_size=1M",
        "block_size=2M,block_state_zero=off",
        "block_size=64M",
        "subformat=fixed",
        "subformat=fixed,block_size=1M",
        "log_size=3M,block_size=4M",
    ] {
        let bench = Bench::new();
        let image = create(&bench, VHDX, "image", options, SIZE);
        check(&bench, VHDX, &image, 1);
        io(VHDX, &image, &commands(&WRITES));
        let disk = check(&bench, VHDX, &image, 2);
        assert_eq!((disk[0], disk[500], disk[3_200_000], disk[5_242_880]), (1, 4, 3, 7), "{options}");
    }
}

#[test]
fn a_converted_image_is_read() {
    let bytes: Vec<u8> = (0..6_000_640_u32).map(|at| if at / 900_000 % 2 == 0 { 0 } else { (at / 7) as u8 }).collect();
    for options in ["subformat=dynamic,block_size=1M", "subformat=fixed", "block_state_zero=off,block_size=1M"] {
        let bench = Bench::new();
        let disk = bench.raw("disk", &bytes);
        let image = bench.path("image");
        run("qemu-img", &["convert", "-f", "raw", "-O", "vhdx", "-o", options, text(&disk), text(&image)]);
        assert_same(&check(&bench, VHDX, &image, 3), &bytes);
    }
}

#[test]
fn entries_of_sector_bitmaps_are_stepped_over() {
    // A chunk is 4096 blocks of 1 MiB, or 128 of 32 MiB: 4 GiB. qemu does not map this format, so the places are known
    // by what qemu wrote there.
    for options in ["block_size=1M", "block_size=32M"] {
        let bench = Bench::new();
        let image = create(&bench, VHDX, "image", options, 9000 << 20);
        let writes = ["write -P 1 4095M 1M", "write -P 2 4096M 1M", "write -P 3 8192M 64k", "write -P 4 8999M 1M"];
        io(VHDX, &image, &commands(&writes));
        let bytes = file(&image);
        let mut map = open(VHDX, &bytes).expect("the image opens");
        for (byte, start, len) in [(1, 4095, 1024), (2, 4096, 1024), (3, 8192, 64), (4, 8999, 1024)] {
            let guest = (start << 20)..(start << 20) + (len << 10);
            let extents = lookup(map.as_mut(), &bytes, guest.clone()).expect("it is mapped");
            let [Extent { guest: first, len, place: Place::Data(host) }] = extents[..] else { panic!("{extents:?}") };
            assert_eq!((first.0, len), (guest.start, guest.end - guest.start));
            assert!(bytes[host.0 as usize..][..len as usize].iter().all(|&found| found == byte));
        }
        for guest in [0..4000 << 20, 4200 << 20..8100 << 20, 8300 << 20..8950 << 20] {
            let extents = lookup(map.as_mut(), &bytes, guest.clone()).expect("it is mapped");
            let zeros = Extent { guest: GuestOffset(guest.start), len: guest.end - guest.start, place: Place::Zero };
            assert_eq!(extents, [zeros]);
        }
    }
}

#[test]
fn a_grown_image_is_read() {
    let bench = Bench::new();
    let image = create(&bench, VHDX, "image", "block_size=1M", SIZE);
    io(VHDX, &image, &commands(&WRITES));
    // qemu cannot resize VHDX: the size is patched, as a resize by its own software leaves it.
    let mut bytes = file(&image);
    let at = item(&bytes, DISK_SIZE);
    put64(&mut bytes, at, 9 << 20);
    std::fs::write(&image, &bytes).expect("the image can be written");
    io(VHDX, &image, &commands(&["write -P 9 8388608 1000"]));
    assert_eq!(check(&bench, VHDX, &image, 4)[8 << 20], 9);
}

#[test]
fn an_image_says_what_it_was_made_with() {
    for (options, fixed) in [("block_size=4M", false), ("block_size=4M,subformat=fixed", true)] {
        let bench = Bench::new();
        let image = create(&bench, VHDX, "image", options, SIZE);
        let bytes = file(&image);
        let mut opener = Opener::new(&bytes, bytes.len() as u64).expect("it begins as it should");
        assert_eq!(opener.facts(), None);
        while let Opening::Wants(wants) = opener.step().expect("the image opens") {
            for want in wants {
                let piece = &bytes[want.start as usize..want.end as usize];
                opener.feed(HostOffset(want.start), piece).expect("it is read");
            }
        }
        let facts = opener.facts().expect("the image is open");
        assert_eq!((facts.virtual_size, facts.block_size, facts.logical_sector), (SIZE, 4 << 20, 512));
        assert_eq!((facts.physical_sector, facts.fixed, facts.has_log), (512, fixed, false));
    }
}

#[test]
fn every_state_of_a_block_is_read_or_refused_as_qemu_does() {
    let bench = Bench::new();
    let image = create(&bench, VHDX, "image", "block_size=1M", SIZE);
    io(VHDX, &image, &commands(&["write -P 1 0 5M"]));
    let intact = file(&image);
    let entry = bat(&intact) + 8;
    for state in 0..8 {
        for offset in [0, get64(&intact, entry) & !7] {
            let mut bytes = intact.clone();
            put64(&mut bytes, entry, offset | state);
            std::fs::write(&image, &bytes).expect("the image can be written");
            let theirs = read_by_qemu(&bench, VHDX, &image);
            match read(VHDX, &bytes, &mut Sizes::new(1, 3 << 20)) {
                Ok(ours) => assert_same(&ours, &theirs.expect("qemu reads it too")),
                // qemu takes the block for one in the headers.
                Err(error) if state == 6 => assert_eq!((offset, error.kind()), (0, Kind::Malformed)),
                Err(error) => assert_eq!((theirs.is_none(), error.kind()), (true, Kind::Malformed), "{state}: {error}"),
            }
        }
    }
}

#[test]
fn a_disk_of_large_sectors_is_read_though_qemu_refuses_it() {
    let bench = Bench::new();
    let image = create(&bench, VHDX, "image", "block_size=1M", 4 << 20);
    io(VHDX, &image, &commands(&WRITES[..3]));
    let disk = check(&bench, VHDX, &image, 1);
    let mut bytes = file(&image);
    let at = item(&bytes, LOGICAL_SECTOR);
    put32(&mut bytes, at, 4096);
    assert_same(&read(VHDX, &bytes, &mut Sizes::new(1, 3 << 20)).expect("the map reads the image"), &disk);
    assert!(read_by_qemu(&bench, VHDX, &bench.raw("large", &bytes)).is_none());
}

#[test]
fn a_last_block_that_is_not_written_out_is_read() {
    let bench = Bench::new();
    let image = create(&bench, VHDX, "image", "block_size=1M", SIZE);
    io(VHDX, &image, &commands(&["write -P 1 5M 512"]));
    let mut bytes = file(&image);
    // qemu fills up the last sector of a file with zeros, and so takes one with a byte of it for whole.
    for (cut, ours, qemu) in [(512, true, true), (511, false, true), (0, false, false)] {
        bytes = file(&image);
        bytes.truncate(bytes.len() - (1 << 20) + cut);
        let path = bench.raw("cut", &bytes);
        assert_eq!(read_by_qemu(&bench, VHDX, &path).is_some(), qemu, "{cut}");
        if ours {
            check(&bench, VHDX, &path, 1);
        } else {
            let error = read(VHDX, &bytes, &mut Sizes::new(1, 3 << 20)).expect_err("a byte is missing");
            assert_eq!(error.kind(), Kind::Truncated, "{error}");
        }
    }
    bytes.truncate(100);
    let error = read(VHDX, &bytes, &mut Sizes::new(1, 3 << 20)).expect_err("nothing is there");
    assert_eq!(error.kind(), Kind::Truncated, "{error}");
}

#[test]
fn a_damaged_header_or_region_table_is_made_up_for_by_its_copy() {
    let bench = Bench::new();
    let image = create(&bench, VHDX, "image", "block_size=1M", SIZE);
    io(VHDX, &image, &commands(&WRITES));
    let disk = check(&bench, VHDX, &image, 1);
    for (at, qemu_reads) in [(64 << 10, true), (128 << 10, true), (192 << 10, false), (256 << 10, true)] {
        let mut bytes = file(&image);
        bytes[at + 100] ^= 1;
        let path = bench.raw("damaged", &bytes);
        assert_same(&read(VHDX, &bytes, &mut Sizes::new(1, 1 << 20)).expect("the copy is read"), &disk);
        assert_eq!(read_by_qemu(&bench, VHDX, &path).is_some(), qemu_reads, "{at:#x}");
        // Both copies.
        bytes[at ^ (if at < 192 << 10 { 0x30000 } else { 0x70000 }) | 100] ^= 1;
        let error = read(VHDX, &bytes, &mut Sizes::new(1, 1 << 20)).expect_err("no copy is left");
        assert_eq!(error.kind(), Kind::Malformed, "{error}");
    }
}

#[test]
fn a_differencing_image_is_refused() {
    let bench = Bench::new();
    let image = create(&bench, VHDX, "image", "", SIZE);
    let mut bytes = file(&image);
    let at = item(&bytes, FILE_PARAMETERS);
    put32(&mut bytes, at + 4, 2);
    let error = read(VHDX, &bytes, &mut Sizes::new(1, 1 << 20)).expect_err("the parent is not opened");
    assert_eq!(error.kind(), Kind::BackingFile, "{error}");
}

#[test]
fn what_the_image_needs_and_nobody_knows_is_refused_by_its_identifier() {
    let bench = Bench::new();
    let image = create(&bench, VHDX, "image", "", SIZE);
    let intact = file(&image);
    // A third region and a sixth item, once as an option and once as a need.
    for need in [false, true] {
        let mut bytes = intact.clone();
        for table in super::patch::REGIONS {
            put32(&mut bytes, table + 8, 3);
            let entry = table + 16 + 2 * 32;
            bytes[entry..entry + 16].fill(0xab);
            put64(&mut bytes, entry + 16, 64 << 20);
            put32(&mut bytes, entry + 24, 1 << 20);
            put32(&mut bytes, entry + 28, need.into());
        }
        sign_all(&mut bytes);
        let mut other = intact.clone();
        let table = metadata(&other);
        super::patch::put16(&mut other, table + 10, 6);
        let entry = table + 32 + 5 * 32;
        other[entry..entry + 16].fill(0xcd);
        put32(&mut other, entry + 24, if need { 4 } else { 0 });
        for (bytes, name) in [(bytes, "region abababab-"), (other, "item cdcdcdcd-")] {
            let path = bench.raw("image", &bytes);
            match read(VHDX, &bytes, &mut Sizes::new(1, 1 << 20)) {
                Ok(ours) => assert_same(&ours, &read_by_qemu(&bench, VHDX, &path).expect("qemu reads it")),
                Err(error) => {
                    assert!(need, "{error}");
                    assert!(error.to_string().contains(name), "{error}");
                    assert_eq!(error.kind(), Kind::Unsupported);
                    assert!(read_by_qemu(&bench, VHDX, &path).is_none());
                }
            }
        }
    }
}

#[test]
fn snapshots_of_an_open_image_are_left_to_the_log() {
    // qemu replays its own log after every write, so that an image it was killed with is whole.
    let bench = Bench::new();
    let image = create(&bench, VHDX, "image", "block_size=1M", SIZE);
    let arguments = ["-f", "vhdx", "-c", "write -P 5 0 2000000", "-c", "flush", "-c", "abort", text(&image)];
    let status = std::process::Command::new("qemu-io").args(arguments).output().expect("qemu-io runs").status;
    assert!(!status.success(), "qemu-io died with the image open");
    assert_eq!(check(&bench, VHDX, &image, 2)[1_999_999..2_000_001], [5, 0]);
    img(&["check", "-q", "-f", "vhdx"], &image, &[]);
}

/// One step of a history; offsets and lengths are parts of 65536 of the disk.
fn step() -> impl Strategy<Value = String> {
    (0..4_u8, 1..=255_u8, any::<u16>(), 0..12000_u16).prop_map(|(kind, byte, at, len)| {
        let at = SIZE * u64::from(at) / 65536;
        let len = (SIZE * u64::from(len) / 65536).max(1).min(SIZE - at);
        match kind {
            0 => format!("write -z {at} {len}"),
            1 => format!("discard {at} {len}"),
            _ => format!("write -P {byte} {at} {len}"),
        }
    })
}

proptest! {
    #![proptest_config(cases(16))]
    #[test]
    fn any_history_is_read_as_qemu_reads_it(
        bits in 20..=24_u32,
        options in prop_oneof![Just(""), Just(",subformat=fixed"), Just(",block_state_zero=off")],
        steps in prop::collection::vec(step(), 1..24),
        seed in any::<u64>(),
    ) {
        let bench = Bench::new();
        let image = create(&bench, VHDX, "image", &format!("block_size={}{options}", 1_u64 << bits), SIZE);
        io(VHDX, &image, &steps);
        check(&bench, VHDX, &image, seed);
    }
}
