//! What must not happen does not: existing targets, wrong names, full disks, wrong digests, broken images.

use std::fs;
use std::os::unix::fs::symlink;
use std::process::Stdio;
use std::time::Duration;

use anyhow::Result;
use fixtures::device::{Failures, FaultyFile, LoopDevice, Mount};
use fixtures::images::qcow2::{Clusters, Qcow2, qemu_img};
use fixtures::images::{MIB, compare, compress, raw};
use tempfile::TempDir;
use tests::{Import, failed, number};

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

/// What fails, and from when on.
fn failures() -> [Failures; 2] {
    [Failures { writes: 1.0, ..Failures::default() }, Failures { flushes: true, ..Failures::default() }]
}

/// Runs an import that is under way when its target begins to fail, and returns what it says.
fn fail_midway(import: &Import, faulty: &FaultyFile) -> Result<(i32, String)> {
    let child =
        import.clone().with("--rate-limit=60M").command().stdout(Stdio::piped()).stderr(Stdio::null()).spawn()?;
    std::thread::sleep(Duration::from_millis(200));
    faulty.break_now()?;
    failed(&child.wait_with_output()?)
}

#[test]
fn a_device_that_begins_to_fail_never_holds_a_disk() -> Result<()> {
    let folder = TempDir::new()?;
    let disk = raw::dense(&folder.path().join("disk.raw"), 48 * MIB, 3)?;
    for failures in failures() {
        let faulty = FaultyFile::start(64 * MIB, &failures)?;
        let device = LoopDevice::on(&faulty.path())?;
        let import = import(&disk, device.path(), &folder);
        assert_eq!(fail_midway(&import, &faulty)?, (6, "target-io".to_owned()), "{failures:?}");
        assert!(compare::by_cmp(&disk, device.path()).is_err(), "{failures:?}");
    }
    Ok(())
}

#[test]
fn a_file_on_a_device_that_begins_to_fail_never_gets_its_name() -> Result<()> {
    let folder = TempDir::new()?;
    let disk = raw::dense(&folder.path().join("disk.raw"), 48 * MIB, 3)?;
    for failures in failures() {
        let faulty = FaultyFile::start(96 * MIB, &failures)?;
        let mount = Mount::ext4_on(LoopDevice::on(&faulty.path())?)?;
        let target = mount.path().join("disk.img");
        let import = import(&disk, &target, &folder);
        assert_eq!(fail_midway(&import, &faulty)?, (6, "target-io".to_owned()), "{failures:?}");
        assert!(!target.exists(), "{failures:?}");
    }
    Ok(())
}

#[test]
fn a_source_that_cannot_be_read_leaves_an_import_that_goes_on() -> Result<()> {
    let folder = TempDir::new()?;
    let faulty = FaultyFile::start(48 * MIB, &Failures { reads: 1.0, ..Failures::default() })?;
    let target = folder.path().join("disk.img");
    let import = import(&faulty.path(), &target, &folder);
    assert_eq!(fail_midway(&import, &faulty)?, (3, "source-read".to_owned()));
    assert!(!target.exists());
    Ok(())
}

#[test]
fn a_second_import_keeps_away_while_the_first_one_runs() -> Result<()> {
    let folder = TempDir::new()?;
    // Longer than a second import waits for the lock of one that may be ending.
    let disk = raw::dense(&folder.path().join("disk.raw"), 16 * MIB, 3)?;
    let device = LoopDevice::filled(16 * MIB)?;
    for target in [folder.path().join("disk.img"), device.path().to_owned()] {
        let import = import(&disk, &target, &folder);
        let mut first = import.clone().with("--rate-limit=3M").command().stdout(Stdio::null()).spawn()?;
        std::thread::sleep(Duration::from_millis(300));
        assert_eq!(import.fail()?, (6, "target-busy".to_owned()));
        assert!(first.wait()?.success());
        compare::same_disk(&disk, &target)?;
    }
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
        let device = LoopDevice::filled(4 * MIB)?;
        let wrong = wrong.onto(device.path());
        assert_eq!(wrong.fail()?, (5, "checksum-mismatch".to_owned()));
        let content = fs::read(device.path())?;
        assert!(content[..1 << 20].iter().chain(&content[3 << 20..]).all(|&byte| byte == 0), "first and last MiB");
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
        (changed(&disk, "7z", &|bytes| bytes[..6].copy_from_slice(b"7z\xbc\xaf\x27\x1c"))?, "image-unsupported"),
        (compress::zstd(&gzip, &at("nested.zst"), &[])?, "image-nesting"),
    ];
    for (image, code) in table {
        let target = at("refused.img");
        assert_eq!(import(&image, &target, &folder).fail()?, (4, code.to_owned()), "{}", image.display());
        assert!(!target.exists() && !at(".refused.img.gantry-partial").exists(), "{}", image.display());
    }
    Ok(())
}
