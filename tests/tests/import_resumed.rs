//! What an earlier attempt made durable is not fetched again, per route and codec as far as `docs/architecture.md` says.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use anyhow::Result;
use fixtures::device::LoopDevice;
use fixtures::images::noise::Noise;
use fixtures::images::qcow2::{Qcow2, qemu_img, qemu_io, to_raw};
use fixtures::images::{MIB, compare, compress, raw};
use fixtures::nginx::Nginx;
use tempfile::TempDir;
use tests::{Import, number, repeated, sha256};

/// Bytes that may be fetched twice for one kill.
const AGAIN: u64 = 128 * MIB;

/// Offset in the source's file from which the newest record could be taken up (`docs/architecture.md`, record, 112).
fn recorded(records: &Path) -> u64 {
    let Ok(file) = File::open(records) else { return 0 };
    let offset = |block: u64| {
        let mut bytes = [0; 8];
        // A journal that is just being made is shorter, and says nothing yet.
        file.read_exact_at(&mut bytes, block + 112).map_or(0, |()| u64::from_le_bytes(bytes))
    };
    offset(0).max(offset(4096))
}

/// Offset of the watermark in the newest record.
fn watermark(records: &Path) -> u64 {
    let Ok(file) = File::open(records) else { return 0 };
    let mark = |block: u64| {
        let mut bytes = [0; 8];
        file.read_exact_at(&mut bytes, block + 96).map_or(0, |()| u64::from_le_bytes(bytes))
    };
    mark(0).max(mark(4096))
}

#[test]
fn a_kill_costs_at_most_128_mib_of_fetching_again() -> Result<()> {
    let folder = TempDir::new()?;
    let at = |name: &str| folder.path().join(name);
    let size = 384 * MIB;
    let disk = raw::dense(&at("disk.raw"), size, 11)?;
    let image = Qcow2::default().convert(&disk, &at("disk.qcow2"))?;
    let nginx = Nginx::serve(folder.path())?;
    let device = LoopDevice::filled(size)?;
    let mut moments = Noise::new(3);
    for checksum in [None, Some(format!("--checksum={}", sha256(&image)?))] {
        for (target, records) in
            [(at("disk.img"), at(".disk.img.gantry-journal")), (device.path().into(), device.path().into())]
        {
            for _ in 0..repeated(1) {
                let _ = std::fs::remove_file(at("disk.img"));
                nginx.forget_requests()?;
                let import = Import::new(nginx.url("disk.qcow2"), &target, &at("state")).with("--force");
                let import = checksum.iter().fold(import, Import::with);
                let moment = 160 * MIB + moments.below(128 * MIB);
                let slow = import.clone().with("--rate-limit=400M");
                // What was on a device before is no watermark, and may be overwritten between two looks.
                assert!(slow.killed_when(|| (moment..=size).contains(&watermark(&records)))?);
                let report = import.succeed()?;
                assert!(number(&report, "resumed") >= moment - 1 && number(&report, "attempt") == 2, "{report}");
                assert!(nginx.bytes_served()? <= size + AGAIN, "{} {report}", nginx.bytes_served()?);
                compare::same_disk(&disk, &target)?;
            }
        }
    }
    Ok(())
}

/// The same disk compressed in parts, each a place where decoding can begin.
fn in_parts(disk: &Path, folder: &Path) -> Result<[PathBuf; 2]> {
    let part = 8 * MIB;
    Ok([
        compress::gzip_members(disk, &folder.join("disk.gz"), part)?,
        compress::zstd_frames(disk, &folder.join("disk.zst"), part)?,
    ])
}

#[test]
fn a_raw_disk_in_gzip_members_or_zstd_frames_is_taken_up_at_the_last_of_them_that_is_recorded() -> Result<()> {
    let folder = TempDir::new()?;
    let at = |name: &str| folder.path().join(name);
    let size = 200 * MIB;
    let disk = raw::dense(&at("disk.raw"), size, 11)?;
    let device = LoopDevice::filled(size + 8 * MIB)?;
    for packed in in_parts(&disk, folder.path())? {
        let length = std::fs::metadata(&packed)?.len();
        for (target, records) in
            [(at("disk.img"), at(".disk.img.gantry-journal")), (device.path().into(), device.path().into())]
        {
            for checksum in [None, Some(sha256(&packed)?), Some(sha256(&disk)?)] {
                let _ = std::fs::remove_file(at("disk.img"));
                let import = Import::new(&packed, &target, &at("state")).with("--force");
                let import = checksum.iter().fold(import, |import, sum| import.with(format!("--checksum={sum}")));
                let slow = import.clone().with("--rate-limit=50M");
                assert!(slow.killed_when(|| (1..=length).contains(&recorded(&records)))?, "{}", packed.display());
                let from = recorded(&records);
                let report = import.succeed()?;
                // A device's first MiB was only in memory, and is decoded again from the beginning.
                let again = if target == device.path() { 2 * MIB } else { 0 };
                assert!(number(&report, "fetched") <= length - from + again + MIB, "from {from} of {length}: {report}");
                compare::same_disk(&disk, &target)?;
            }
        }
    }
    Ok(())
}

#[test]
fn a_stream_that_cannot_be_taken_up_is_decoded_again_and_written_once() -> Result<()> {
    let folder = TempDir::new()?;
    let at = |name: &str| folder.path().join(name);
    let disk = raw::dense(&at("disk.raw"), 200 * MIB, 11)?;
    let image = Qcow2::default().convert(&disk, &at("disk.qcow2"))?;
    let records = at(".disk.img.gantry-journal");
    for packed in
        [compress::gzip(&disk, &at("disk.gz"), 1)?, compress::zstd_frames(&image, &at("disk.qcow2.zst"), 8 * MIB)?]
    {
        let _ = std::fs::remove_file(at("disk.img"));
        let import = Import::new(&packed, &at("disk.img"), &at("state"));
        assert!(import.clone().with("--rate-limit=40M").killed_when(|| watermark(&records) > 0)?);
        let report = import.succeed()?;
        let length = std::fs::metadata(&packed)?.len();
        assert!(number(&report, "fetched") >= length, "{report}");
        assert!(number(&report, "written") < 200 * MIB, "{report}");
        compare::same_disk(&disk, &at("disk.img"))?;
    }
    Ok(())
}

#[test]
fn what_another_import_left_is_not_gone_on_with() -> Result<()> {
    let folder = TempDir::new()?;
    let at = |name: &str| folder.path().join(name);
    let [first, second] = [("first", 1), ("second", 2)].map(|(name, seed)| raw::dense(&at(name), 96 * MIB, seed));
    let (first, second) = (first?, second?);
    let target = at("disk.img");
    let begun = Import::new(&first, &target, &at("state")).with("--rate-limit=30M");
    assert!(begun.killed_when(|| watermark(&at(".disk.img.gantry-journal")) > 0)?);
    let report = Import::new(&second, &target, &at("state")).succeed()?;
    assert_eq!((number(&report, "attempt"), number(&report, "resumed")), (1, 0));
    assert!(report["warnings"].to_string().contains("started over"), "{report}");
    compare::same_disk(&second, &target)
}

#[test]
fn a_journal_without_its_data_is_not_believed() -> Result<()> {
    let folder = TempDir::new()?;
    let at = |name: &str| folder.path().join(name);
    let disk = raw::dense(&at("disk"), 96 * MIB, 1)?;
    let (target, journal) = (at("disk.img"), at(".disk.img.gantry-journal"));
    let import = Import::new(&disk, &target, &at("state"));
    let begun = import.clone().with("--rate-limit=30M");
    assert!(begun.killed_when(|| watermark(&journal) > 0)?);
    std::fs::remove_file(at(".disk.img.gantry-partial"))?;
    assert_eq!(number(&import.succeed()?, "resumed"), 0);
    compare::same_disk(&disk, &target)?;

    // The same by a kill: the disk has its name, the journal is still there, and the user removes the disk.
    std::fs::remove_file(&target)?;
    assert!(import.clone().with("--rate-limit=40M").killed_at("unlinkat", 1)?);
    assert!(target.exists() && watermark(&journal) > 0);
    std::fs::remove_file(&target)?;
    assert_eq!(number(&import.succeed()?, "resumed"), 0);
    compare::same_disk(&disk, &target)
}

/// An image of which some tables come after the data they place: those that were written to after a snapshot.
fn lived_in(disk: &Path, folder: &Path) -> Result<(PathBuf, PathBuf)> {
    let image = folder.join("lived-in.qcow2");
    Qcow2 { cluster_size: Some(4096), ..Qcow2::default() }.convert(disk, &image)?;
    let path = image.to_string_lossy().into_owned();
    qemu_img(&["snapshot", "-c", "before", &path])?;
    qemu_io(&image, "qcow2", &["write -P 9 5M 64k", "write -P 3 60M 1M", "write -P 4 110M 1M"])?;
    let original = to_raw(&image, "qcow2", &folder.join("lived-in.raw"))?;
    Ok((image, original))
}

#[test]
fn what_flows_past_before_its_table_is_placed_at_the_end_also_after_a_kill() -> Result<()> {
    let folder = TempDir::new()?;
    let at = |name: &str| folder.path().join(name);
    let disk = raw::dense(&at("disk.raw"), 120 * MIB, 11)?;
    let (image, original) = lived_in(&disk, folder.path())?;
    let packed = compress::zstd(&image, &at("lived-in.zst"), &["-1"])?;
    let import = Import::new(&packed, &at("disk.img"), &at("state"));
    let records = at(".disk.img.gantry-journal");
    assert!(import.clone().with("--rate-limit=10M").killed_when(|| watermark(&records) > 0)?);
    let report = import.succeed()?;
    assert_eq!(number(&report, "attempt"), 2, "{report}");
    compare::by_cmp(&original, &at("disk.img"))?;

    // A device has no room beside itself: it is refused by name, or the room is named.
    let device = LoopDevice::filled(120 * MIB)?;
    let import = import.onto(device.path());
    assert_eq!(import.fail()?, (4, "image-unplaced".to_owned()));
    import.with(format!("--scratch={}", folder.path().display())).succeed()?;
    compare::by_cmp(&original, device.path())?;
    let names: Vec<_> = std::fs::read_dir(folder.path())?.map(|entry| Ok(entry?.file_name())).collect::<Result<_>>()?;
    assert!(names.iter().all(|name| !name.to_string_lossy().contains("spill")), "{names:?}");
    Ok(())
}
