//! What must not happen does not: existing targets, wrong names, full disks, wrong digests, broken images.

use std::fs;
use std::os::unix::fs::symlink;

use anyhow::Result;
use fixtures::device::{Failures, FaultyFile, LoopDevice, Mount};
use fixtures::images::qcow2::{Clusters, Qcow2, qemu_img};
use fixtures::images::{MIB, compare, compress, raw};
use tempfile::TempDir;
use tests::{Import, number};

fn import(source: &std::path::Path, target: &std::path::Path, folder: &TempDir) -> Import {
    Import::new(source, target, &folder.path().join("state"))
}

#[test]
fn nothing_is_overwritten_by_mistake() -> Result<()> {
    let folder = TempDir::new()?;
    let at = |name: &str| folder.path().join(name);
    let disk = raw::patterns(&at("disk.raw"), 4 * MIB, 1)?;
    fs::write(at("precious.img"), "precious")?;
    symlink(at("precious.img"), at("link.img"))?;
    for (target, exit, code) in [
        ("precious.img", 6, "target-exists"),
        ("link.img", 6, "target-symlink"),
        ("disk.qcow2", 6, "target-format"),
        (".", 6, "target-unsupported"),
    ] {
        assert_eq!(import(&disk, &at(target), &folder).fail()?, (exit, code.to_owned()), "{target}");
    }
    assert_eq!(fs::read(at("precious.img"))?, b"precious");
    import(&disk, &at("precious.img"), &folder).with("--force").succeed()?;
    compare::same_disk(&disk, &at("precious.img"))?;

    let mount = Mount::ext4(64)?;
    let device = LoopDevice::on(&raw::file_system(&at("ext4.raw"), 16 * MIB)?)?;
    assert_eq!(import(&disk, device.path(), &folder).fail()?, (6, "target-signature".to_owned()));
    assert!(mount.path().exists());
    let small = LoopDevice::filled(2 * MIB)?;
    assert_eq!(import(&disk, small.path(), &folder).fail()?, (6, "target-too-small".to_owned()));
    Ok(())
}

#[test]
fn a_full_file_system_keeps_what_was_written_for_the_next_run() -> Result<()> {
    let folder = TempDir::new()?;
    let disk = raw::dense(&folder.path().join("disk.raw"), 120 * MIB, 3)?;
    let mount = Mount::ext4(160)?;
    let ballast = mount.path().join("ballast");
    fs::write(&ballast, vec![1; 64 << 20])?;
    let target = mount.path().join("disk.img");
    let import = import(&disk, &target, &folder);
    assert_eq!(import.fail()?, (6, "target-no-space".to_owned()));
    assert!(!target.exists());
    fs::remove_file(ballast)?;
    let report = import.succeed()?;
    assert!(number(&report, "resumed") > 0, "{report}");
    compare::same_disk(&disk, &target)
}

#[test]
fn a_device_that_fails_never_holds_a_disk() -> Result<()> {
    let folder = TempDir::new()?;
    let disk = raw::dense(&folder.path().join("disk.raw"), 48 * MIB, 3)?;
    let faulty = FaultyFile::start(64 * MIB, &Failures { reads: 0.0, writes: 0.02, flushes: false })?;
    let device = LoopDevice::on(&faulty.path())?;
    faulty.break_now()?;
    let (exit, _) = import(&disk, device.path(), &folder).fail()?;
    assert_eq!(exit, 6);
    Ok(())
}

#[test]
fn a_wrong_checksum_leaves_nothing() -> Result<()> {
    let folder = TempDir::new()?;
    let disk = raw::patterns(&folder.path().join("disk.raw"), 4 * MIB, 1)?;
    let packed = compress::zstd(&disk, &folder.path().join("disk.zst"), &[])?;
    let target = folder.path().join("disk.img");
    for source in [&disk, &packed] {
        let wrong = import(source, &target, &folder).with(format!("--checksum=sha256:{}", "0".repeat(64)));
        assert_eq!(wrong.fail()?, (5, "checksum-mismatch".to_owned()));
        let left: Vec<_> = fs::read_dir(folder.path())?.filter_map(Result::ok).map(|entry| entry.file_name()).collect();
        assert!(left.iter().all(|name| !name.to_string_lossy().contains("disk.img")), "{left:?}");
    }
    Ok(())
}

#[test]
fn a_broken_image_is_refused_by_name() -> Result<()> {
    let folder = TempDir::new()?;
    let at = |name: &str| folder.path().join(name);
    let disk = raw::patterns(&at("disk.raw"), 8 * MIB, 1)?;
    let plain = Qcow2::default().convert(&disk, &at("plain.qcow2"))?;
    let zlib = Qcow2 { clusters: Clusters::Zlib, ..Qcow2::default() }.convert(&disk, &at("zlib.qcow2"))?;
    let gzip = compress::gzip(&disk, &at("disk.gz"), 6)?;
    let base = at("overlay.qcow2");
    let (plain_path, base_path) = (plain.to_string_lossy(), base.to_string_lossy());
    qemu_img(&["create", "-q", "-f", "qcow2", "-F", "qcow2", "-b", &plain_path, &base_path])?;

    let changed = |source: &std::path::Path, name: &str, change: &dyn Fn(&mut Vec<u8>)| -> Result<std::path::PathBuf> {
        let mut bytes = fs::read(source)?;
        change(&mut bytes);
        fs::write(at(name), bytes)?;
        Ok(at(name))
    };
    let table = [
        (base.clone(), "image-backing-file"),
        (changed(&plain, "encrypted", &|bytes| bytes[35] = 2)?, "image-encrypted"),
        (changed(&plain, "cluster-bits", &|bytes| bytes[23] = 64)?, "image-malformed"),
        (changed(&plain, "cut", &|bytes| bytes.truncate(bytes.len() / 2))?, "image-truncated"),
        (
            changed(&zlib, "garbage", &|bytes| {
                let half = bytes.len() / 2;
                bytes[half..].fill(0xff);
            })?,
            "image-corrupt",
        ),
        (
            changed(&gzip, "flipped", &|bytes| {
                let half = bytes.len() / 2;
                bytes[half] ^= 1;
            })?,
            "image-corrupt",
        ),
        (changed(&gzip, "cut.gz", &|bytes| bytes.truncate(bytes.len() - 9))?, "image-truncated"),
        (changed(&disk, "vmdk", &|bytes| bytes[..4].copy_from_slice(b"KDMV"))?, "image-unsupported"),
        (compress::zstd(&gzip, &at("nested.zst"), &[])?, "image-nesting"),
    ];
    for (image, code) in table {
        let target = at("refused.img");
        assert_eq!(import(&image, &target, &folder).fail()?, (4, code.to_owned()), "{}", image.display());
        assert!(!target.exists() && !at(".refused.img.gantry-partial").exists(), "{}", image.display());
    }
    Ok(())
}
