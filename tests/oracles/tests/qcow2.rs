//! Images that qemu makes are read by our map, by qcow2-rs and by imago, and all see the same disk.
//!
//! Each library is only asked about what it reads: neither knows zstd, extended L2 entries or the dirty bit, and the table
//! slices of qcow2-rs 0.1.6 are larger than clusters below 4 KiB, which ends in an overflow.

use std::future::Future;
use std::path::Path;

use imago::file::File;
use imago::qcow2::Qcow2;
use imago::{FormatAccess, FormatDriverBuilder, PermissiveImplicitOpenGate};
use qcow2_rs::dev::{Qcow2Dev, Qcow2DevParams};
use qcow2_rs::helpers::Qcow2IoBuf;
use qcow2_rs::utils::qcow2_setup_dev_sync;

#[expect(dead_code, reason = "the suite of the crate itself uses the rest")]
#[path = "../../../formats/tests/images/reader.rs"]
mod reader;
#[path = "../../../formats/tests/images/tool.rs"]
mod tool;

use reader::{Sizes, check_places, read_mapped};
use tool::{Bench, img, io};

const SIZE: u64 = (5 << 20) + 4096;
const BLOCK: usize = 1 << 16;

/// Both libraries are asynchronous and not `Send`: one thread, one image.
fn wait<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().build().expect("a runtime can be made").block_on(future)
}

fn read_by_imago(path: &Path) -> Vec<u8> {
    wait(async {
        let image = Qcow2::<File>::builder_path(path)
            .open(PermissiveImplicitOpenGate::default())
            .await
            .expect("imago opens the image");
        let image = FormatAccess::new(image);
        let mut disk = vec![0; image.size() as usize];
        image.read(&mut disk[..], 0).await.expect("imago reads the image");
        disk
    })
}

fn read_by_qcow2_rs(path: &Path, size: u64) -> Vec<u8> {
    wait(async {
        let parameters = Qcow2DevParams::new(9, None, None, true, false);
        let device: Qcow2Dev<_> = qcow2_setup_dev_sync(path, &parameters).expect("qcow2-rs opens the image");
        device.qcow2_prep_io().await.expect("qcow2-rs loads the tables");
        let mut disk = Vec::new();
        // It reads into aligned buffers only.
        let mut buffer = Qcow2IoBuf::<u8>::new(BLOCK);
        while (disk.len() as u64) < size {
            let length = BLOCK.min((size - disk.len() as u64) as usize);
            let read = device.read_at(&mut buffer[..length], disk.len() as u64).await;
            assert_eq!(read.expect("qcow2-rs reads the image"), length);
            disk.extend(&buffer[..length]);
        }
        disk
    })
}

fn check(image: &Path, cluster_bits: u32) {
    let file = std::fs::read(image).expect("the image can be read");
    check_places(&file, &tool::map(image));
    let ours = read_mapped(&file, &mut Sizes::new(file.len() as u64, 3 << 20)).expect("the map reads the image");
    assert!(ours == read_by_imago(image), "imago sees another disk");
    if cluster_bits >= 12 {
        assert!(ours == read_by_qcow2_rs(image, ours.len() as u64), "qcow2-rs sees another disk");
    }
}

fn steps(commands: &[&str]) -> Vec<String> {
    commands.iter().map(|&command| command.to_owned()).collect()
}

const WRITES: [&str; 7] = [
    "write -P 1 0 70000",
    "write -P 2 1048576 4096",
    "write -P 3 2097152 1600000",
    "write -z 2200064 66048",
    "discard 2621440 262144",
    "write -P 5 3900000 100000",
    "write -P 6 5242880 4096",
];

#[test]
fn plain_images_of_every_cluster_size_are_the_same_disk_to_all() {
    for bits in 9..=21 {
        for version in ["compat=0.10", "compat=1.1"] {
            let bench = Bench::new();
            let image = bench.create("image", &format!("{version},cluster_size={}", 1 << bits), SIZE);
            io(&image, &steps(&WRITES));
            check(&image, bits);
        }
    }
}

#[test]
fn encoded_images_are_the_same_disk_to_all() {
    for bits in [12, 16, 18, 21] {
        let bench = Bench::new();
        let source = bench.create("source", "compat=1.1", SIZE);
        io(&source, &steps(&WRITES));
        let disk = bench.raw("disk", &bench.read(&source));
        let image = bench.convert(&disk, "image", &["-c", "-o", &format!("cluster_size={}", 1 << bits)]);
        check(&image, bits);
    }
}

#[test]
fn images_with_a_history_are_the_same_disk_to_all() {
    let bench = Bench::new();
    let image = bench.create("image", "cluster_size=4096", SIZE);
    io(&image, &steps(&WRITES[..4]));
    img(&["snapshot", "-c", "first"], &image, &[]);
    io(&image, &steps(&WRITES[4..]));
    img(&["resize", "-q"], &image, &["9437184"]);
    io(&image, &steps(&["write -P 9 9000000 100000", "discard 0 32768"]));
    check(&image, 12);
}
