//! Sizes, overhead and preallocation: the disk has the size that was asked for, and the space that was asked for is there.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use anyhow::Result;
use fixtures::device::{LoopDevice, Mount};
use fixtures::images::qcow2::Qcow2;
use fixtures::images::{MIB, compare, compress, raw};
use tempfile::TempDir;
use tests::Import;

struct House {
    folder: TempDir,
    disk: PathBuf,
    image: PathBuf,
}

impl House {
    fn new() -> Result<Self> {
        let folder = TempDir::new()?;
        let disk = raw::file_system(&folder.path().join("disk.raw"), 32 * MIB)?;
        let image = Qcow2::default().convert(&disk, &folder.path().join("disk.qcow2"))?;
        Ok(Self { folder, disk, image })
    }

    fn import(&self, source: &Path, target: &Path) -> Import {
        Import::new(source, target, &self.folder.path().join("state"))
    }

    fn target(&self) -> PathBuf {
        self.folder.path().join("disk.img")
    }
}

fn allocated(path: &Path) -> Result<u64> {
    Ok(fs::metadata(path)?.blocks() * 512)
}

#[test]
fn a_file_has_the_space_that_was_asked_for() -> Result<()> {
    let house = House::new()?;
    let packed = compress::gzip(&house.disk, &house.folder.path().join("disk.gz"), 6)?;
    let target = house.target();
    for source in [&house.disk, &house.image, &packed] {
        for mode in ["none", "falloc", "full"] {
            let import = house.import(source, &target).with(format!("--preallocation={mode}"));
            if *source == packed && mode == "full" {
                // A stream does not tell the size that would have to be written first.
                assert_eq!(import.fail()?, (2, "usage".to_owned()));
                continue;
            }
            import.succeed()?;
            compare::same_disk(&house.disk, &target)?;
            assert_eq!(allocated(&target)? >= 32 * MIB, mode != "none", "{mode} {}", source.display());
            fs::remove_file(&target)?;
        }
    }
    Ok(())
}

#[test]
fn a_device_is_zeroed_in_every_mode() -> Result<()> {
    let house = House::new()?;
    for mode in ["none", "falloc", "full"] {
        let device = LoopDevice::filled(32 * MIB)?;
        house.import(&house.image, device.path()).with(format!("--preallocation={mode}")).succeed()?;
        compare::same_disk(&house.disk, device.path())?;
    }
    Ok(())
}

#[test]
fn space_that_is_not_there_is_refused_before_anything_is_written() -> Result<()> {
    let house = House::new()?;
    let mount = Mount::ext4(40)?;
    fs::write(mount.path().join("ballast"), vec![1; 12 << 20])?;
    let target = mount.path().join("disk.img");
    for mode in ["falloc", "full"] {
        let import = house.import(&house.image, &target).with(format!("--preallocation={mode}"));
        assert_eq!(import.fail()?, (6, "target-no-space".to_owned()));
        assert!(!target.exists());
    }
    // Without preallocation only what is allocated needs room.
    house.import(&house.image, &target).succeed()?;
    compare::same_disk(&house.disk, &target)
}

#[test]
fn a_disk_is_grown_to_the_size_asked_for_and_never_cut() -> Result<()> {
    let house = House::new()?;
    let target = house.target();
    for (options, size) in [
        (vec!["--size=100Mi"], 100 * MIB),
        (vec!["--size=33554432"], 32 * MIB),
        // floor to 1 MiB(ceil(100 MiB / 1.06)), as CDI computes it.
        (vec!["--size=100Mi", "--filesystem-overhead=0.06"], 94 * MIB),
        (vec!["--size=100Mi", "--filesystem-overhead=0"], 100 * MIB),
    ] {
        let import = options.iter().fold(house.import(&house.image, &target), |import, option| import.with(*option));
        import.succeed()?;
        assert_eq!(fs::metadata(&target)?.len(), size, "{options:?}");
        compare::by_cmp(&house.disk, &target)?;
        fs::remove_file(&target)?;
    }
    for options in [vec!["--size=31Mi"], vec!["--size=33Mi", "--filesystem-overhead=0.06"]] {
        let import = options.iter().fold(house.import(&house.image, &target), |import, option| import.with(*option));
        assert_eq!(import.fail()?, (6, "target-too-small".to_owned()), "{options:?}");
        assert!(!target.exists());
    }
    Ok(())
}

#[test]
fn without_a_size_the_overhead_is_of_the_free_space() -> Result<()> {
    let house = House::new()?;
    let mount = Mount::ext4(80)?;
    let free = mount.free()?;
    let target = mount.path().join("disk.img");
    house.import(&house.image, &target).with("--filesystem-overhead=0.1").succeed()?;
    let usable = (free * 10).div_ceil(11) / MIB * MIB;
    assert_eq!(fs::metadata(&target)?.len(), usable);
    compare::by_cmp(&house.disk, &target)
}
