//! Images made by qemu-img and qemu-io, each read as qemu-img reads it.

use std::path::{Path, PathBuf};
use std::process::Command;

use formats::vmdk::Header;
use formats::{Kind, Place};

use super::reader::{check, extents, read_mapped, read_streamed};
use crate::reader::{Sizes, head};
use crate::tool::{Bench, run, text};

pub(crate) fn create(bench: &Bench, name: &str, options: &str, size: u64) -> PathBuf {
    let path = bench.path(name);
    run("qemu-img", &["create", "-q", "-f", "vmdk", "-o", options, text(&path), &size.to_string()]);
    path
}

pub(crate) fn convert(bench: &Bench, disk: &Path, name: &str, options: &str) -> PathBuf {
    let path = bench.path(name);
    run("qemu-img", &["convert", "-f", "raw", "-O", "vmdk", "-o", options, text(disk), text(&path)]);
    path
}

pub(crate) fn io(image: &Path, commands: &[String]) {
    let mut arguments = vec!["-f", "vmdk", "-d", "unmap"];
    arguments.extend(commands.iter().flat_map(|command| ["-c", command.as_str()]));
    arguments.push(text(image));
    run("qemu-io", &arguments);
}

/// The disk as qemu reads it, if it does.
pub(crate) fn read(bench: &Bench, image: &Path) -> Option<Vec<u8>> {
    let raw = bench.path("read-by-qemu");
    let arguments = ["convert", "-f", "vmdk", "-O", "raw", text(image), text(&raw)];
    let output = Command::new("qemu-img").args(arguments).output().expect("qemu-utils is installed");
    output.status.success().then(|| std::fs::read(raw).expect("the converted disk can be read"))
}

fn check_image(bench: &Bench, image: &Path) -> Vec<u8> {
    let file = std::fs::read(image).expect("the image can be read");
    check(&file, &read(bench, image).expect("qemu reads its own image"), file.len() as u64);
    file
}

/// Bytes of which some compress well, some not at all, and some are zeros; never zero at the end.
fn mixed(len: usize) -> Vec<u8> {
    let mut noise = Sizes::new(7, 256);
    let mut bytes: Vec<u8> = (0..len)
        .map(|at| match at / 150_000 % 3 {
            0 => (at / 3000) as u8,
            1 => (noise.next() - 1) as u8,
            _ => 0,
        })
        .collect();
    if let Some(last) = bytes.last_mut() {
        *last = 9;
    }
    bytes
}

const FORMATS: [&str; 3] =
    ["subformat=monolithicSparse", "subformat=monolithicSparse,zeroed_grain=on", "subformat=streamOptimized"];

#[test]
fn converted_disks_of_odd_sizes_are_read_as_qemu_reads_them_and_placed_on_the_fly() {
    for options in FORMATS {
        for size in [512, 65_536, 65_536 + 512, (5 << 20) + 17 * 512, (33 << 20) + 65_536 - 512] {
            let bench = Bench::new();
            let disk = bench.raw("disk", &mixed(size));
            let file = check_image(&bench, &convert(&bench, &disk, "image", options));
            assert_eq!(read_mapped(&file, &mut Sizes::new(1, 1 << 20)), Ok(std::fs::read(&disk).unwrap()), "{options}");
        }
    }
}

#[test]
fn qemu_writes_only_the_part_of_the_last_grain_that_is_on_the_disk() {
    // What a map must not hope for: the last stream decodes to 512 bytes and not to a grain.
    let bench = Bench::new();
    let disk = bench.raw("disk", &[7; 65_536 + 512]);
    let file = std::fs::read(convert(&bench, &disk, "image", "subformat=streamOptimized")).unwrap();
    let (extents, _) = extents(&file, &mut Sizes::new(1, 1 << 20)).expect("the image is valid");
    let Place::Encoded { at, len, .. } = extents[1].place else { panic!("{extents:?}") };
    let mut out = vec![0; 65_536];
    let stream = &file[at.0 as usize..][..len as usize];
    let decode = |at_least, out: &mut [u8]| {
        codecs::ClusterDecoder::new().decode(codecs::ClusterCodec::Zlib { at_least }, stream, out)
    };
    assert!(decode(512, &mut out).is_ok());
    assert!(decode(513, &mut out).is_err());
}

#[test]
fn writes_in_any_order_and_discards_are_read_as_qemu_reads_them() {
    let commands: Vec<String> = [
        "write -P 2 3145728 70000",
        "write -P 1 0 70000",
        "write -P 3 40000000 512",
        "write -P 4 500 12",
        "write -z 65536 131072",
        "write -P 5 1048576 262144",
        "discard 1048576 131072",
        "write -z 1200000 1000",
        "write -P 6 41942528 1024",
    ]
    .map(str::to_owned)
    .to_vec();
    for options in &FORMATS[..2] {
        let bench = Bench::new();
        let image = create(&bench, "image", options, (40 << 20) + 512);
        io(&image, &commands);
        let file = check_image(&bench, &image);
        assert_eq!(Header::decode(head(&file)).unwrap().facts().zeroed_grains, options.contains("zeroed"));
    }
}

#[test]
fn compressed_grains_written_later_leave_padding_that_is_passed() {
    // Each time it opens the image qemu goes on at the next multiple of a grain.
    let bench = Bench::new();
    let image = create(&bench, "image", "subformat=streamOptimized", 40 << 20);
    for at in [0, 1, 5, 513, 639] {
        io(&image, &[format!("write -P {} {} 65536", at % 200 + 1, at * 65_536)]);
    }
    check_image(&bench, &image);
    // Out of order, a stream cannot tell a late grain from a second one; the map can.
    io(&image, &["write -P 9 1966080 65536".to_owned()]);
    let file = std::fs::read(&image).unwrap();
    let disk = read(&bench, &image).expect("qemu reads its own image");
    assert!(read_mapped(&file, &mut Sizes::new(5, 1 << 20)) == Ok(disk));
    let refusal = read_streamed(&file, &mut Sizes::new(5, 100_000)).expect_err("the order is not that of the disk");
    assert_eq!(refusal.error().kind(), Kind::Unplaced, "{refusal:?}");
}

#[test]
fn an_empty_disk_is_zeros_in_every_format() {
    for options in FORMATS {
        let bench = Bench::new();
        check_image(&bench, &create(&bench, "image", options, 3 << 20));
    }
}

#[test]
fn the_tables_of_a_large_image_cost_few_rounds() {
    let bench = Bench::new();
    let image = create(&bench, "image", "subformat=monolithicSparse", 8 << 30);
    let file = std::fs::read(&image).unwrap();
    let mut map = super::reader::map(&file).unwrap();
    let (mut rounds, mut bytes) = (0, 0);
    for window in 0..128 {
        let guest = window << 26..(window + 1) << 26;
        while let formats::Lookup::Wants(wants) = map.lookup(guest.clone(), &mut Vec::new()).unwrap() {
            rounds += 1;
            for want in wants {
                bytes += want.end - want.start;
                map.feed(formats::HostOffset(want.start), &file[want.start as usize..want.end as usize]).unwrap();
            }
        }
        map.release(formats::GuestOffset(guest.end));
    }
    assert_eq!((rounds, bytes), (9, 1024 + 256 * 2048));
}

#[test]
fn images_of_several_files_and_differences_are_refused_by_name() {
    let bench = Bench::new();
    let base = create(&bench, "base.vmdk", "subformat=monolithicSparse", 1 << 20);
    for (subformat, extent) in
        [("monolithicFlat", "-flat.vmdk"), ("twoGbMaxExtentSparse", "-s001.vmdk"), ("twoGbMaxExtentFlat", "-f001.vmdk")]
    {
        let image = create(&bench, &format!("{subformat}.vmdk"), &format!("subformat={subformat}"), 1 << 20);
        let error = Header::decode(head(&std::fs::read(&image).unwrap())).expect_err("the data is elsewhere");
        assert_eq!(error.kind(), Kind::ExternalData, "{error}");
        assert!(error.to_string().contains(subformat) && error.to_string().contains(extent), "{error}");
    }
    let part = std::fs::read(bench.path("twoGbMaxExtentSparse-s001.vmdk")).unwrap();
    let error = Header::decode(head(&part)).expect_err("one extent is no disk");
    assert_eq!(error.kind(), Kind::ExternalData, "{error}");
    let child = bench.path("child.vmdk");
    run("qemu-img", &["create", "-q", "-f", "vmdk", "-b", text(&base), "-F", "vmdk", text(&child)]);
    let error = Header::decode(head(&std::fs::read(&child).unwrap())).expect_err("there is a parent");
    assert_eq!(error.kind(), Kind::BackingFile, "{error}");
    assert!(error.to_string().contains("base.vmdk"), "{error}");
}
