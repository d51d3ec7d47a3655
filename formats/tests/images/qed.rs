//! QED images made and changed by qemu's tools are read as qemu reads them; damaged ones too, or they are refused.

use std::path::Path;

use formats::Kind;
use formats::probe::Format;
use formats::qed::Header;
use proptest::prelude::*;

use crate::layouts::cases;
use crate::opened::{assert_same, check, create, io, read, read_by_qemu};
use crate::reader::{Sizes, head};
use crate::tool::{Bench, img, run, text};

const QED: Format = Format::Qed;
/// No multiple of any cluster size.
const SIZE: u64 = (4 << 20) + 512;

fn commands(list: &[&str]) -> Vec<String> {
    list.iter().map(|&command| command.to_owned()).collect()
}

/// Writes out of order that leave data, zeros, and holes.
const WRITES: [&str; 7] = [
    "write -P 3 2097152 1600000",
    "write -P 1 0 70000",
    "write -P 2 1048576 4096",
    "write -P 4 500 12",
    "write -z 2200064 66048",
    "write -P 5 3900000 100000",
    "write -P 7 4194304 512",
];

fn file(image: &Path) -> Vec<u8> {
    std::fs::read(image).expect("the image can be read")
}

#[test]
fn every_cluster_and_table_size_is_read_as_qemu_reads_it() {
    for bits in [12, 13, 16, 18, 21] {
        for table_size in [2, 4, 16] {
            // qemu multiplies sizes in 64 bits, and cannot make tables that describe more.
            if bits == 21 && table_size == 16 {
                continue;
            }
            let bench = Bench::new();
            let options = format!("cluster_size={},table_size={table_size}", 1 << bits);
            let image = create(&bench, QED, "image", &options, SIZE);
            io(QED, &image, &commands(&WRITES));
            let disk = check(&bench, QED, &image, bits);
            assert_eq!((disk[0], disk[500], disk[2_100_000], disk[4_194_304]), (1, 4, 3, 7));
            let facts = Header::decode(head(&file(&image))).expect("the header is valid").facts().clone();
            assert_eq!((facts.cluster_size, facts.table_clusters), (1 << bits, table_size));
            assert_eq!((facts.virtual_size, facts.need_check), (SIZE, false));
        }
    }
}

#[test]
fn a_converted_image_is_read() {
    let bench = Bench::new();
    let bytes: Vec<u8> = (0..3_000_320_u32).map(|at| if at / 100_000 % 2 == 0 { 0 } else { (at / 7) as u8 }).collect();
    let disk = bench.raw("disk", &bytes);
    let image = bench.path("image");
    run("qemu-img", &["convert", "-f", "raw", "-O", "qed", "-o", "cluster_size=4096", text(&disk), text(&image)]);
    assert_same(&check(&bench, QED, &image, 5), &bytes);
}

#[test]
fn a_resized_image_is_read() {
    let bench = Bench::new();
    let image = create(&bench, QED, "image", "cluster_size=4096,table_size=2", SIZE);
    io(QED, &image, &commands(&WRITES));
    img(&["resize", "-q", "-f", "qed"], &image, &["256M"]);
    io(QED, &image, &commands(&["write -P 77 250000000 100000"]));
    check(&bench, QED, &image, 1);
}

#[test]
fn an_image_that_was_not_closed_says_so_and_is_read_as_it_is() {
    let bench = Bench::new();
    let image = create(&bench, QED, "image", "cluster_size=4096", SIZE);
    let arguments = ["-f", "qed", "-c", "write -P 5 0 200000", "-c", "flush", "-c", "abort", text(&image)];
    let status = std::process::Command::new("qemu-io").args(arguments).output().expect("qemu-io runs").status;
    assert!(!status.success(), "qemu-io died with the image open");
    assert!(Header::decode(head(&file(&image))).expect("the header is valid").facts().need_check);
    let disk = check(&bench, QED, &image, 2);
    assert_eq!(disk[199_999..200_001], [5, 0]);
}

#[test]
fn a_table_of_one_cluster_is_read_though_qemu_cannot_open_it() {
    let bench = Bench::new();
    let image = create(&bench, QED, "image", "cluster_size=4096,table_size=2", 100 * 4096);
    io(QED, &image, &commands(&["write -P 9 8192 4096"]));
    let disk = check(&bench, QED, &image, 2);
    // The entries in use are all in the first cluster of each table.
    let mut bytes = file(&image);
    bytes[8] = 1;
    std::fs::write(&image, &bytes).expect("the image can be written");
    assert_same(&read(QED, &bytes, &mut Sizes::new(1, 100_000)).expect("the map reads the image"), &disk);
    assert!(read_by_qemu(&bench, QED, &image).is_none());
}

#[test]
fn a_backing_file_is_refused_by_name() {
    let bench = Bench::new();
    let base = create(&bench, QED, "base.qed", "", SIZE);
    let image = bench.path("image");
    run("qemu-img", &["create", "-q", "-f", "qed", "-b", text(&base), "-F", "qed", text(&image)]);
    let error = read(QED, &file(&image), &mut Sizes::new(1, 1 << 20)).expect_err("the base is not opened");
    assert_eq!(error.kind(), Kind::BackingFile);
    assert!(error.to_string().contains("base.qed"), "{error}");
}

/// One step of a history; offsets and lengths are parts of 65536 of the disk.
fn step() -> impl Strategy<Value = String> {
    let place = |at: u16, len: u16| {
        let at = SIZE * u64::from(at) / 65536;
        (at, (SIZE * u64::from(len) / 65536).max(1).min(SIZE - at))
    };
    (0..4_u8, 1..=255_u8, any::<u16>(), 0..12000_u16).prop_map(move |(kind, byte, at, len)| {
        let (at, len) = place(at, len);
        match kind {
            0 => format!("write -z {at} {len}"),
            1 => format!("write -z -u {at} {len}"),
            _ => format!("write -P {byte} {at} {len}"),
        }
    })
}

proptest! {
    #![proptest_config(cases(16))]
    #[test]
    fn any_history_is_read_as_qemu_reads_it(
        (bits, table) in (12..=18_u32, 1..=4_u32),
        steps in prop::collection::vec(step(), 1..24),
        seed in any::<u64>(),
    ) {
        let bench = Bench::new();
        let options = format!("cluster_size={},table_size={}", 1 << bits, 1 << table);
        let image = create(&bench, QED, "image", &options, SIZE);
        io(QED, &image, &steps);
        check(&bench, QED, &image, seed);
    }
}

/// A damaged image is refused, or read as qemu reads it. What only we read, and qemu refuses:
/// - tables of one cluster (see above);
/// - clusters that nothing reads, because the disk ends in front of them, and disks whose tables qemu's 64-bit product
///   of sizes takes for too small;
/// - entries of the header that name a file that the features do not use.
#[test]
fn a_damaged_image_is_refused_or_read_as_qemu_reads_it() {
    let bench = Bench::new();
    let image = create(&bench, QED, "image", "cluster_size=4096,table_size=2", 3 << 20);
    io(QED, &image, &commands(&["write -P 1 0 70000", "write -z 8192 4096", "write -P 2 150000 90000"]));
    let intact = file(&image);
    // The header, the first entries of the L1 table and those of the L2 table that are in use, and some that are not.
    let table = u64::from_le_bytes(intact[4096..4104].try_into().expect("eight bytes")) as usize;
    let used: Vec<usize> = (0..512).map(|at| table + at).filter(|&at| intact[at] != 0).collect();
    let places = [(4..64).collect(), (4096..4112).collect(), used, (table + 1000..table + 1064).collect()].concat();
    let mut sizes = Sizes::new(99, u64::MAX >> 33);
    let (mut refused, mut same, mut ours_only) = (0, 0, 0);
    for _ in 0..1000 {
        let mut damaged = intact.clone();
        for _ in 0..sizes.next() % 3 + 1 {
            let at = places[sizes.next() as usize % places.len()];
            damaged[at] = match sizes.next() % 3 {
                0 => damaged[at] ^ 1 << (sizes.next() % 8),
                1 => sizes.next() as u8,
                _ => [0, 0xff][sizes.next() as usize % 2],
            };
        }
        // A disk of some size, so that a wrong one costs no time.
        if u64::from_le_bytes(damaged[48..56].try_into().expect("eight bytes")) > 64 << 20 {
            damaged[48..56].copy_from_slice(&intact[48..56]);
        }
        let Ok(ours) = read(QED, &damaged, &mut Sizes::new(3, 1 << 20)) else {
            refused += 1;
            continue;
        };
        std::fs::write(&image, &damaged).expect("the image can be written");
        match read_by_qemu(&bench, QED, &image) {
            Some(theirs) => {
                assert_same(&ours, &theirs);
                same += 1;
            }
            None => {
                assert_eq!(damaged[8], 1, "qemu refuses more than tables of one cluster");
                ours_only += 1;
            }
        }
    }
    println!("{refused} refused, {same} the same, {ours_only} read by us only");
    assert!(refused > 150 && same > 150, "{refused} {same}");
}
