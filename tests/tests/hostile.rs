//! Files made to hurt: each is refused by the real binary, by name, inside 96 MiB with its page cache, and leaves no disk.
//!
//! Archives that are unpacked are in `archive.rs`, those with a disk in `mover/src/container/tests`, and each class by format,
//! with counters, in `formats/tests/images`.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};
use fixtures::command::run;
use fixtures::device::LoopDevice;
use fixtures::images::qcow2::{qemu_img, qemu_io};
use fixtures::images::{MIB, compress, raw};
use tempfile::TempDir;
use tests::Import;

#[expect(dead_code, reason = "the suite of the format uses the rest")]
#[path = "../../formats/tests/images/vhdx/patch.rs"]
mod vhdx;

struct House {
    folder: TempDir,
}

impl House {
    fn new() -> Result<Self> {
        Ok(Self { folder: TempDir::new()? })
    }

    fn at(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn import(&self, source: impl AsRef<std::ffi::OsStr>, target: &Path) -> Import {
        Import::new(source, target, &self.at("state"))
    }

    /// An image by qemu-img, of 2 MiB with some data, changed.
    fn image(&self, format: &str, options: &str, change: impl Fn(&mut [u8])) -> Result<PathBuf> {
        let path = self.at("image");
        let mut arguments = vec!["create", "-q", "-f", format];
        if !options.is_empty() {
            arguments.extend(["-o", options]);
        }
        let text = path.to_string_lossy();
        arguments.extend([&*text, "2M"]);
        qemu_img(&arguments)?;
        qemu_io(&path, format, &["write -P 1 0 1M"])?;
        let mut bytes = fs::read(&path)?;
        change(&mut bytes);
        fs::write(&path, bytes)?;
        Ok(path)
    }
}

/// 256 MiB of zeros in each compression, by its own tool.
fn zeros(house: &House) -> Result<Vec<(&'static str, Vec<u8>)>> {
    let zeros = raw::blank(&house.at("zeros"), 256 * MIB)?;
    let tools: [(&str, &[&str]); 6] = [
        ("gzip", &["gzip", "-1", "-c"]),
        ("zstd", &["zstd", "-q", "-c"]),
        ("xz", &["xz", "-0", "-c"]),
        ("xz in blocks", &["xz", "-0", "-T2", "--block-size=16MiB", "-c"]),
        ("bzip2", &["bzip2", "-c"]),
        ("lz4", &["lz4", "-q", "-c"]),
    ];
    let pack = |(name, words): (&'static str, &[&str])| {
        let path = compress::filter(Command::new(words[0]).args(&words[1..]), &zeros, &house.at("packed"))?;
        Ok((name, fs::read(path)?))
    };
    tools.into_iter().map(pack).collect()
}

#[test]
fn a_bomb_of_zeros_is_refused_by_the_size_of_its_target() -> Result<()> {
    let house = House::new()?;
    let device = LoopDevice::filled(4 * MIB)?;
    let (file, bomb) = (house.at("disk.img"), house.at("bomb"));
    for (name, once) in zeros(&house)? {
        // A TiB where that takes no more than 64 MiB; a pipe has no end at all.
        fs::write(&bomb, once.repeat(((64 << 20) / once.len()).min(4096)))?;
        let too_small = (6, "target-too-small".to_owned());
        let onto_device = house.import(&bomb, device.path()).with("--force");
        assert_eq!(onto_device.refused().context(name)?, too_small, "{name}");
        let endless = house.import("-", device.path()).with("--force");
        assert_eq!(endless.refused_while_fed(&[], &once).context(name)?, too_small, "{name}");
        let into_file = house.import("-", &file).with("--size=4Mi").with("--force");
        assert_eq!(into_file.refused_while_fed(&[], &once).context(name)?, too_small, "{name}");
        assert!(!file.exists(), "{name}");
    }
    Ok(())
}

#[test]
fn a_stream_as_large_as_its_target_is_no_bomb() -> Result<()> {
    let house = House::new()?;
    let zeros = raw::blank(&house.at("zeros"), 128 * MIB)?;
    let device = LoopDevice::filled(128 * MIB)?;
    let packed = compress::gzip(&zeros, &house.at("zeros.gz"), 1)?;
    house.import(&packed, device.path()).with("--force").succeed()?;
    fixtures::images::compare::same_disk(&zeros, device.path())?;
    let larger = compress::gzip(&raw::blank(&zeros, 128 * MIB + 512)?, &house.at("larger.gz"), 1)?;
    let import = house.import(&larger, device.path()).with("--force");
    assert_eq!(import.fail()?, (6, "target-too-small".to_owned()));
    Ok(())
}

/// A member of a zip file that states its size or leaves it for later, and what deflate makes of a MiB of zeros.
fn member(size: Option<u32>) -> Result<(Vec<u8>, Vec<u8>)> {
    let (flags, size) = (if size.is_none() { 8 } else { 0_u16 }, size.unwrap_or(0));
    let packed = if flags == 0 { u32::MAX - 1 } else { 0 };
    let mut header = b"PK\x03\x04\x14\0".to_vec();
    header.extend(flags.to_le_bytes());
    // Deflate; neither time nor CRC-32.
    header.extend([8, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
    header.extend([packed, size].map(u32::to_le_bytes).concat());
    header.extend(b"\x08\0\0\0disk.raw");
    let script = "import sys, zlib; c = zlib.compressobj(9, zlib.DEFLATED, -15); \
                  sys.stdout.buffer.write(c.compress(bytes(1 << 20)) + c.flush(zlib.Z_FULL_FLUSH))";
    let output = Command::new("python3").args(["-c", script]).output()?;
    ensure!(output.status.success(), "python3");
    Ok((header, output.stdout))
}

#[test]
fn a_bomb_in_an_archive_is_refused_by_its_own_size_or_that_of_its_target() -> Result<()> {
    let house = House::new()?;
    let device = LoopDevice::filled(4 * MIB)?;
    let endless = house.import("-", device.path()).with("--force");
    let (unsized_member, zeros) = member(None)?;
    assert_eq!(endless.refused_while_fed(&unsized_member, &zeros)?, (6, "target-too-small".to_owned()));
    let (small_member, zeros) = member(Some(4 << 20))?;
    assert_eq!(endless.refused_while_fed(&small_member, &zeros)?, (4, "image-corrupt".to_owned()));
    Ok(())
}

#[test]
fn zeros_behind_an_archive_with_a_disk_are_not_followed_for_ever() -> Result<()> {
    let house = House::new()?;
    raw::patterns(&house.at("disk.raw"), 2 * MIB, 1)?;
    run(Command::new("tar").arg("-C").arg(house.folder.path()).arg("-czf").arg(house.at("tar.gz")).arg("disk.raw"))?;
    let (archive, (_, zeros)) = (fs::read(house.at("tar.gz"))?, zeros(&house)?.swap_remove(0));
    let target = house.at("disk.img");
    let import = house.import("-", &target);
    assert_eq!(import.refused_while_fed(&archive, &zeros)?, (4, "image-too-large".to_owned()));
    assert!(!target.exists() && tests::leftovers(&target)?.is_empty());
    Ok(())
}

fn put(file: &mut [u8], at: usize, bytes: &[u8]) {
    file[at..at + bytes.len()].copy_from_slice(bytes);
}

/// Eight bytes as a big-endian number.
fn get(file: &[u8], at: usize) -> usize {
    u64::from_be_bytes(file[at..at + 8].try_into().expect("eight bytes")) as usize
}

/// Far past the end of any test's file, and a whole number of clusters.
const FAR: u64 = 1 << 45;

/// A change of an image's bytes.
type Change = fn(&mut [u8]);

/// Format, options of `qemu-img create`, what is done to it, and the code.
const DAMAGED: &[(&str, &str, Change, &str)] = &[
    ("qcow2", "", |file| put(file, 40, &FAR.to_be_bytes()), "image-truncated"),
    (
        "qcow2",
        "",
        |file| {
            let table = get(file, 40);
            put(file, table, &FAR.to_be_bytes());
        },
        "image-truncated",
    ),
    ("qcow2", "", |file| put(file, 24, &(1_u64 << 62).to_be_bytes()), "image-malformed"),
    (
        "qcow2",
        "cluster_size=2M",
        |file| {
            put(file, 24, &(1_u64 << 47).to_be_bytes());
            put(file, 36, &512_u32.to_be_bytes());
        },
        "image-too-large",
    ),
    ("vdi", "", |file| put(file, 512, &0x00ff_ffff_u32.to_le_bytes()), "image-truncated"),
    ("vdi", "", |file| put(file, 0x4c, &4_u32.to_le_bytes()), "image-backing-file"),
    ("vpc", "", |file| put(file, 1536, &0x00ff_ffff_u32.to_be_bytes()), "image-truncated"),
    ("vpc", "", |file| put(file, 512 + 24, &[0xff]), "image-malformed"),
    ("qed", "", |file| put(file, 40, &FAR.to_le_bytes()), "image-truncated"),
    ("qed", "", |file| put(file, 48, &(1_u64 << 63).to_le_bytes()), "image-malformed"),
    ("vmdk", "subformat=monolithicSparse", |file| put(file, 56, &(FAR >> 9).to_le_bytes()), "image-truncated"),
    ("vmdk", "subformat=monolithicSparse", |file| put(file, 12, &u64::MAX.to_le_bytes()), "image-malformed"),
    ("vhdx", "", log_without_end, "image-malformed"),
    ("vhdx", "", blocks_past_the_end, "image-truncated"),
];

/// Every sector of the log claims to begin an entry as long as the ring.
fn log_without_end(file: &mut [u8]) {
    let (start, len) = vhdx::log(file);
    vhdx::announce(file, vhdx::GUID);
    let mut claim = vhdx::Entry::alone(file.len(), vec![]).bytes();
    vhdx::put32(&mut claim, 8, len as u32);
    for at in (start..start + len).step_by(vhdx::SECTOR) {
        put(file, at, &claim);
    }
}

fn blocks_past_the_end(file: &mut [u8]) {
    let table = vhdx::bat(file);
    put(file, table, &(FAR | 6).to_le_bytes());
}

#[test]
fn a_damaged_image_of_each_format_is_refused_on_both_routes() -> Result<()> {
    let house = House::new()?;
    for (number, (format, options, change, code)) in DAMAGED.iter().enumerate() {
        let image = house.image(format, options, change)?;
        let packed = compress::gzip(&image, &house.at("image.gz"), 1)?;
        for source in [&image, &packed] {
            let target = house.at("disk.img");
            let name = if *format == "vpc" { "vhd" } else { format };
            let import = house.import(source, &target).with(format!("--format={name}"));
            let found = import.refused().with_context(|| format!("{number} {format}"))?;
            assert_eq!(found, (4, (*code).to_owned()), "{number} {format} {}", source.display());
            assert!(!target.exists() && tests::leftovers(&target)?.is_empty(), "{number} {format}");
        }
    }
    Ok(())
}

#[test]
fn other_files_that_an_image_names_are_never_opened() -> Result<()> {
    let house = House::new()?;
    let secret = house.at("secret");
    fs::write(&secret, vec![7; 1 << 20])?;
    let secret_text = secret.to_string_lossy().into_owned();
    let descriptor = |kind: &str, line: &str| {
        format!("# Disk DescriptorFile\nversion=1\nCID=1\nparentCID=ffffffff\ncreateType=\"{kind}\"\n{line}\n")
    };
    let flat = |path: &str| descriptor("monolithicFlat", &format!("RW 2048 FLAT \"{path}\" 0"));
    let texts = [
        (flat(&secret_text), "image-external-data"),
        (flat("../../../../etc/passwd"), "image-external-data"),
        (flat("secret"), "image-external-data"),
        (descriptor("fullDevice", "RW 2048 FLAT \"/dev/sda\" 0"), "image-external-data"),
        (descriptor("twoGbMaxExtentSparse", &format!("RW 2048 SPARSE \"{secret_text}\"")), "image-external-data"),
    ];
    let target = house.at("disk.img");
    let check = |image: &Path, code: &str, what: &str| -> Result<()> {
        assert_eq!(house.import(image, &target).refused()?, (4, code.to_owned()), "{what}");
        assert!(!target.exists() && tests::leftovers(&target)?.is_empty(), "{what}");
        Ok(())
    };
    for (text, code) in texts {
        let image = house.at("text.vmdk");
        fs::write(&image, &text)?;
        check(&image, code, &text)?;
    }
    for (format, backing) in [("qcow2", "raw"), ("qed", "raw"), ("vmdk", "vmdk")] {
        let (base, image) = (house.at("base"), house.at("child"));
        let (base_text, image_text) = (base.to_string_lossy(), image.to_string_lossy());
        qemu_img(&["create", "-q", "-f", backing, &base_text, "1M"])?;
        qemu_img(&["create", "-q", "-f", format, "-b", &base_text, "-F", backing, &image_text])?;
        check(&image, "image-backing-file", format)?;
    }
    let image = house.at("outside.qcow2");
    let option = format!("data_file={secret_text},data_file_raw=on");
    qemu_img(&["create", "-q", "-f", "qcow2", "-o", &option, &image.to_string_lossy(), "1M"])?;
    check(&image, "image-external-data", "an external data file")
}

#[test]
fn markers_of_a_vmdk_that_lie_are_refused_as_it_flows() -> Result<()> {
    let house = House::new()?;
    let disk = raw::patterns(&house.at("disk.raw"), 2 * MIB, 1)?;
    let image = house.at("image.vmdk");
    let (disk_text, image_text) = (disk.to_string_lossy(), image.to_string_lossy());
    qemu_img(&["convert", "-O", "vmdk", "-o", "subformat=streamOptimized", &disk_text, &image_text])?;
    let intact = fs::read(&image)?;
    let overhead = u64::from_le_bytes(intact[64..72].try_into()?) as usize * 512;
    for (what, at, bytes) in [
        ("a place past the disk", overhead, &(1_u64 << 40).to_le_bytes()[..]),
        ("another grain's place", overhead, &(5 * 128_u64).to_le_bytes()[..]),
        ("a size past the file", overhead + 8, &u32::MAX.to_le_bytes()[..]),
        ("a size inside the stream", overhead + 8, &1_u32.to_le_bytes()[..]),
    ] {
        let mut file = intact.clone();
        put(&mut file, at, bytes);
        fs::write(&image, file)?;
        let packed = compress::gzip(&image, &house.at("image.gz"), 1)?;
        let target = house.at("disk.img");
        let (exit, code) = house.import(&packed, &target).refused().context(what)?;
        assert!(exit == 4 && code.starts_with("image-"), "{what}: {code}");
        assert!(!target.exists() && tests::leftovers(&target)?.is_empty(), "{what}");
    }
    Ok(())
}
