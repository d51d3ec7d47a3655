//! Every feature of the format that qemu writes, one image each.

use std::path::Path;
use std::process::Command;

use formats::qcow2::Header;
use formats::{ClusterCodec, Kind};

use crate::reader::{Sizes, Streamed, check, check_places, head, read_mapped, read_streamed};
use crate::tool::{Bench, img, io, map, run};

/// What reading an image must give, by both readers and by `qemu-img map`.
fn check_image(bench: &Bench, image: &Path) -> Streamed {
    let file = std::fs::read(image).expect("the image can be read");
    check_places(&file, &map(image));
    check(&file, &bench.read(image), file.len() as u64)
}

fn commands(list: &[&str]) -> Vec<String> {
    list.iter().map(|&command| command.to_owned()).collect()
}

/// Writes that leave data, zeros, discarded clusters and holes, and cross clusters of every size.
const WRITES: [&str; 9] = [
    "write -P 1 0 70000",
    "write -P 2 1048576 4096",
    "write -P 3 2097152 1600000",
    "write -P 4 500 12",
    "write -z 2200064 66048",
    "write -P 5 3900000 100000",
    "discard 2621440 262144",
    "write -P 6 700000 3",
    "write -P 7 4194304 512",
];

/// No multiple of any cluster size but 512.
const SIZE: u64 = (4 << 20) + 512;

/// Bytes of which some compress well, some not at all, and some are zeros.
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

fn versions(cluster_bits: u32) -> impl Iterator<Item = &'static str> {
    let extended = (cluster_bits >= 14).then_some("compat=1.1,extended_l2=on");
    ["compat=0.10", "compat=1.1"].into_iter().chain(extended)
}

#[test]
fn every_cluster_size_and_version_is_read_as_qemu_reads_it() {
    for bits in 9..=21 {
        for version in versions(bits) {
            let bench = Bench::new();
            let image = bench.create("image", &format!("{version},cluster_size={}", 1 << bits), SIZE);
            io(&image, &commands(&WRITES));
            check_image(&bench, &image);
        }
    }
}

#[test]
fn a_converted_image_of_every_cluster_size_is_placed_on_the_fly() {
    for bits in 9..=21 {
        for version in versions(bits) {
            let bench = Bench::new();
            let disk = bench.raw("disk", &mixed(SIZE as usize));
            let options = format!("{version},cluster_size={}", 1 << bits);
            let image = bench.convert(&disk, "image", &["-o", &options]);
            assert_eq!(check_image(&bench, &image), Streamed::Placed, "{options}");
        }
    }
}

#[test]
fn encoded_clusters_of_every_size_are_placed_on_the_fly() {
    for bits in 9..=21 {
        for (version, codec) in [("compat=0.10", "zlib"), ("compat=1.1", "zstd"), ("compat=1.1,extended_l2=on", "zlib")]
        {
            if version.ends_with("on") && bits < 14 {
                continue;
            }
            let bench = Bench::new();
            let disk = bench.raw("disk", &mixed(SIZE as usize));
            let kind = if codec == "zstd" { ",compression_type=zstd" } else { "" };
            let options = format!("{version},cluster_size={}{kind}", 1 << bits);
            let image = bench.convert(&disk, "image", &["-c", "-o", &options]);
            assert_eq!(check_image(&bench, &image), Streamed::Placed, "{options}");
        }
    }
}

#[test]
fn conversions_in_parallel_and_out_of_order_are_placed_on_the_fly() {
    for flags in [&["-W", "-m", "16"][..], &["-c", "-W", "-m", "16"], &["-S", "0"]] {
        let bench = Bench::new();
        let disk = bench.raw("disk", &mixed(24 << 20));
        let image = bench.convert(&disk, "image", flags);
        assert_eq!(check_image(&bench, &image), Streamed::Placed, "{flags:?}");
    }
}

#[test]
fn encoded_clusters_of_several_sparse_regions_in_one_cluster_are_placed_on_the_fly() {
    let bench = Bench::new();
    let disk = bench.path("disk");
    run("truncate", &["-s", "9G", crate::tool::text(&disk)]);
    // One small encoded cluster in each of twelve L2 tables.
    let writes: Vec<String> = (0..12).map(|region| format!("write -P {} {}M 4096", region + 1, region * 700)).collect();
    run(
        "qemu-io",
        &[
            &["-f", "raw"][..],
            &writes.iter().flat_map(|write| ["-c", write]).collect::<Vec<_>>(),
            &[crate::tool::text(&disk)],
        ]
        .concat(),
    );
    let image = bench.convert(&disk, "image", &["-c"]);
    let file = std::fs::read(&image).expect("the image can be read");
    check_places(&file[..], &map(&image));
    let header = Header::decode(head(&file)).expect("the header is valid");
    let mut stream = formats::qcow2::Stream::new(&header);
    let mut pieces = Vec::new();
    formats::Stream::push(&mut stream, &file, true, &mut pieces).expect("all regions are placed");
    let guests: Vec<u64> = pieces.iter().map(|piece| piece.guest.0).collect();
    assert_eq!(guests, (0..12).map(|region| (region * 700) << 20).collect::<Vec<_>>());
}

#[test]
fn every_refcount_width_is_read() {
    for order in 0..=6 {
        let bench = Bench::new();
        let image = bench.create("image", &format!("refcount_bits={}", 1 << order), SIZE);
        io(&image, &commands(&WRITES));
        check_image(&bench, &image);
        let file = std::fs::read(&image).expect("the image can be read");
        let header = Header::decode(head(&file)).expect("the header is valid");
        assert_eq!(header.facts().refcount_bits, 1 << order);
    }
}

#[test]
fn a_header_says_what_the_image_was_made_with() {
    let bench = Bench::new();
    let options = "cluster_size=131072,extended_l2=on,lazy_refcounts=on,compression_type=zstd,refcount_bits=32";
    let image = bench.create("image", options, 10_000_384);
    img(&["bitmap", "--add"], &image, &["one"]);
    img(&["bitmap", "--add"], &image, &["two"]);
    img(&["snapshot", "-c", "before"], &image, &[]);
    let file = std::fs::read(&image).expect("the image can be read");
    let facts = Header::decode(head(&file)).expect("the header is valid").facts().clone();
    assert_eq!((facts.version, facts.cluster_size, facts.virtual_size), (3, 131_072, 10_000_384));
    assert_eq!((facts.compression, facts.refcount_bits), (ClusterCodec::Zstd, 32));
    assert_eq!((facts.snapshots, facts.bitmaps), (1, 2));
    assert!(facts.extended_l2 && facts.lazy_refcounts && !facts.dirty && !facts.corrupt);
}

#[test]
fn snapshots_and_bitmaps_do_not_change_what_is_read() {
    let bench = Bench::new();
    let image = bench.create("image", "cluster_size=4096", SIZE);
    io(&image, &commands(&WRITES[..4]));
    img(&["snapshot", "-c", "first"], &image, &[]);
    img(&["bitmap", "--add"], &image, &["changes"]);
    io(&image, &commands(&WRITES[4..]));
    img(&["snapshot", "-c", "second"], &image, &[]);
    io(&image, &commands(&["write -P 99 0 300000", "write -z 1048576 65536"]));
    check_image(&bench, &image);
    img(&["bitmap", "--remove"], &image, &["changes"]);
    img(&["snapshot", "-a", "first"], &image, &[]);
    check_image(&bench, &image);
    img(&["snapshot", "-d", "second"], &image, &[]);
    check_image(&bench, &image);
}

#[test]
fn a_dirty_image_is_read_as_it_is() {
    let bench = Bench::new();
    let image = bench.create("image", "lazy_refcounts=on", SIZE);
    let arguments =
        ["-f", "qcow2", "-c", "write -P 5 0 200000", "-c", "flush", "-c", "abort", crate::tool::text(&image)];
    let status = std::process::Command::new("qemu-io").args(arguments).output().expect("qemu-io runs").status;
    assert!(!status.success(), "qemu-io died with the image open");
    let file = std::fs::read(&image).expect("the image can be read");
    assert!(Header::decode(head(&file)).expect("the header is valid").facts().dirty);
    let disk = bench.read(&image);
    assert_eq!(disk[199_999..200_001], [5, 0]);
    check(&file, &disk, 3);
}

#[test]
fn a_corrupt_mark_is_told_and_the_image_read() {
    let bench = Bench::new();
    let image = bench.create("image", "", SIZE);
    io(&image, &commands(&WRITES));
    let mut file = std::fs::read(&image).expect("the image can be read");
    file[79] |= 2;
    std::fs::write(&image, &file).expect("the image can be written");
    assert!(Header::decode(head(&file)).expect("the header is valid").facts().corrupt);
    check(&file, &bench.read(&image), 3);
}

#[test]
fn resized_images_are_read() {
    for cluster_size in [512, 65536] {
        let bench = Bench::new();
        let image = bench.create("image", &format!("cluster_size={cluster_size}"), SIZE);
        io(&image, &commands(&WRITES));
        img(&["resize", "-q"], &image, &["9000448"]);
        io(&image, &commands(&["write -P 77 8900000 100000"]));
        check_image(&bench, &image);
        img(&["resize", "-q", "--shrink"], &image, &["2100224"]);
        check_image(&bench, &image);
        img(&["resize", "-q", "--preallocation=full"], &image, &["3000320"]);
        check_image(&bench, &image);
    }
}

#[test]
fn an_l1_table_that_moved_behind_the_data_cannot_be_placed_on_the_fly() {
    let bench = Bench::new();
    let image = bench.create("image", "cluster_size=512", SIZE);
    io(&image, &commands(&["write -P 1 0 4M"]));
    img(&["resize", "-q"], &image, &["64M"]);
    assert_eq!(check_image(&bench, &image), Streamed::Unplaced);
}

#[test]
fn preallocated_images_are_read() {
    for preallocation in ["metadata", "falloc", "full"] {
        for layout in ["", ",extended_l2=on", ",cluster_size=4096"] {
            let bench = Bench::new();
            let image = bench.create("image", &format!("preallocation={preallocation}{layout}"), SIZE);
            io(&image, &commands(&WRITES));
            check_image(&bench, &image);
        }
    }
}

#[test]
fn a_last_cluster_that_qemu_did_not_write_out_is_read_as_zeros() {
    let bench = Bench::new();
    let image = bench.create("image", "extended_l2=on", 1_049_600);
    io(&image, &commands(&["write -P 7 70000 512"]));
    let file = std::fs::read(&image).expect("the image can be read");
    assert_ne!(file.len() % 65536, 0, "qemu leaves the file short");
    check_image(&bench, &image);
}

#[test]
fn an_image_without_a_byte_is_read() {
    let bench = Bench::new();
    let image = bench.create("image", "", 0);
    assert_eq!(check_image(&bench, &image), Streamed::Placed);
}

#[test]
fn a_size_that_is_no_multiple_of_a_sector_loses_the_rest_as_in_qemu() {
    let bench = Bench::new();
    let image = bench.create("image", "", 1 << 20);
    io(&image, &commands(&["write -P 7 0 1M"]));
    let mut file = std::fs::read(&image).expect("the image can be read");
    file[24..32].copy_from_slice(&1_048_476_u64.to_be_bytes());
    std::fs::write(&image, &file).expect("the image can be written");
    let disk = bench.read(&image);
    assert_eq!(disk.len(), 1_048_064);
    assert_eq!(check(&file, &disk, 3), Streamed::Placed);
}

#[test]
fn a_file_cut_at_a_cluster_is_refused_by_both_readers() {
    let bench = Bench::new();
    for (flags, cut) in [(&[][..], 65536), (&["-c"][..], 66000)] {
        let disk = bench.raw("disk", &mixed(SIZE as usize));
        let image = bench.convert(&disk, "image", flags);
        let mut file = std::fs::read(&image).expect("the image can be read");
        file.truncate(file.len() - cut);
        let mapped = read_mapped(&file, &mut Sizes::new(1, 1 << 20)).map_err(|error| error.kind());
        assert_eq!(mapped.err(), Some(Kind::Truncated), "{flags:?}");
        let streamed = read_streamed(&file, &mut Sizes::new(1, 1 << 20)).map_err(|error| error.kind());
        assert_eq!(streamed.err(), Some(Kind::Truncated), "{flags:?}");
    }
}

#[test]
fn images_that_need_another_file_or_a_key_are_refused_by_name() {
    let bench = Bench::new();
    let disk = bench.raw("disk.raw", &mixed(1 << 20));
    let (disk, data) = (crate::tool::text(&disk).to_owned(), bench.path("data.raw"));
    let backed = bench.path("backed");
    run("qemu-img", &["create", "-q", "-f", "qcow2", "-b", &disk, "-F", "raw", crate::tool::text(&backed)]);
    let external = bench.create("external", &format!("data_file={}", crate::tool::text(&data)), 1 << 20);
    let secret = ["--object", "secret,id=key,data=abc"];
    let mut encrypted = Vec::new();
    for (format, quick) in [("luks", ",encrypt.iter-time=10"), ("aes", "")] {
        let path = bench.path(format);
        let options = format!("encrypt.format={format},encrypt.key-secret=key{quick}");
        let arguments =
            [&["create", "-q"][..], &secret, &["-f", "qcow2", "-o", &options, crate::tool::text(&path), "1M"]].concat();
        // qemu-img times its key derivation, and gives up where another process was in its way.
        let made = || Command::new("qemu-img").args(&arguments).status().is_ok_and(|status| status.success());
        assert!((0..5).any(|_| made()), "qemu-img makes an encrypted image");
        encrypted.push(path);
    }
    let refusal = |path: &Path| {
        let file = std::fs::read(path).expect("the image can be read");
        Header::decode(head(&file)).expect_err("the image is refused")
    };
    assert_eq!(refusal(&backed).kind(), Kind::BackingFile);
    assert!(refusal(&backed).to_string().contains("disk.raw"), "{}", refusal(&backed));
    assert_eq!(refusal(&external).kind(), Kind::ExternalData);
    assert!(refusal(&external).to_string().contains("data.raw"), "{}", refusal(&external));
    for path in encrypted {
        assert_eq!(refusal(&path).kind(), Kind::Encrypted);
    }
}
