//! Every format, in every compression, by every route, onto every kind of target, gives the original disk.

use std::path::{Path, PathBuf};
use std::process::Stdio;

use anyhow::{Context, Result};
use fixtures::device::LoopDevice;
use fixtures::images::qcow2::{Clusters, Qcow2, qemu_img, qemu_io, to_raw};
use fixtures::images::{MIB, compare, compress, iso, raw};
use fixtures::nginx::{Nginx, Settings};
use tempfile::TempDir;
use tests::{Import, json, sha256};

/// An image and the raw disk it must become.
struct Sample {
    name: String,
    image: PathBuf,
    original: PathBuf,
    /// Whether tables come before the data they place, as `qemu-img convert` writes them.
    flows: bool,
}

fn samples(folder: &Path) -> Result<Vec<Sample>> {
    let disk = raw::file_system(&folder.join("ext4.raw"), 24 * MIB)?;
    let patterns = raw::patterns(&folder.join("patterns.raw"), 9 * MIB, 5)?;
    let iso = iso::with_files(&folder.join("files.iso"), 1 << 20)?;
    let mut samples = Vec::new();
    let mut add = |name: &str, image: PathBuf, original: &Path, flows| {
        samples.push(Sample { name: name.to_owned(), image, original: original.to_owned(), flows });
    };
    add("raw", disk.clone(), &disk, true);
    add("raw-patterns", patterns.clone(), &patterns, true);
    add("iso", iso.clone(), &iso, true);
    for (clusters, kind) in [(Clusters::Plain, "plain"), (Clusters::Zlib, "zlib"), (Clusters::Zstd, "zstd")] {
        for cluster_size in [512, 4096, 65_536, 2_097_152] {
            let name = format!("qcow2-{kind}-{cluster_size}");
            let image = Qcow2 { clusters, cluster_size: Some(cluster_size), ..Qcow2::default() };
            add(&name, image.convert(&patterns, &folder.join(&name))?, &patterns, cluster_size >= 65_536);
        }
    }
    for bits in [1, 2, 4, 8, 16, 32, 64] {
        let name = format!("qcow2-refcounts-{bits}");
        let image = Qcow2 { refcount_bits: Some(bits), lazy_refcounts: bits == 16, ..Qcow2::default() };
        add(&name, image.convert(&disk, &folder.join(&name))?, &disk, true);
    }
    for (name, option) in [("v2", "compat=0.10"), ("extended-l2", "extended_l2=on,cluster_size=64k")] {
        let image = folder.join(name);
        qemu_img(&["convert", "-O", "qcow2", "-o", option, path(&disk), path(&image)])?;
        add(name, image, &disk, true);
    }
    let lived_in = folder.join("lived-in.qcow2");
    qemu_img(&["convert", "-O", "qcow2", path(&disk), path(&lived_in)])?;
    qemu_img(&["snapshot", "-c", "before", path(&lived_in)])?;
    qemu_img(&["bitmap", "--add", path(&lived_in), "changes"])?;
    qemu_io(&lived_in, "qcow2", &["write -P 7 20M 1M", "write -P 9 1M 300k", "discard 8M 2M", "write -z 5M 1M"])?;
    qemu_img(&["resize", path(&lived_in), "40M"])?;
    qemu_io(&lived_in, "qcow2", &["write -P 3 39M 64k"])?;
    let original = to_raw(&lived_in, "qcow2", &folder.join("lived-in.raw"))?;
    add("lived-in", lived_in, &original, false);
    Ok(samples)
}

fn path(path: &Path) -> &str {
    path.to_str().expect("a test's paths are UTF-8")
}

struct House {
    folder: TempDir,
    ranged: Nginx,
    plain: Nginx,
}

impl House {
    fn new() -> Result<Self> {
        let folder = TempDir::new()?;
        let ranged = Nginx::serve(folder.path())?;
        let plain = Settings::new(folder.path()).without_ranges().start()?;
        Ok(Self { folder, ranged, plain })
    }

    fn import(&self, source: impl AsRef<std::ffi::OsStr>, name: &str) -> Import {
        let target = self.folder.path().join(format!("{name}.img"));
        let _ = std::fs::remove_file(&target);
        Import::new(source, &target, &self.folder.path().join("state"))
    }

    fn result(&self, name: &str) -> PathBuf {
        self.folder.path().join(format!("{name}.img"))
    }
}

#[test]
fn every_format_becomes_its_disk_by_every_route() -> Result<()> {
    let house = House::new()?;
    for sample in samples(house.folder.path())? {
        let file = sample.image.file_name().context("an image has a name")?.to_string_lossy().into_owned();
        let check = |route: &str, import: Import| -> Result<String> {
            let report = import.succeed().with_context(|| format!("{} by {route}", sample.name))?;
            assert_eq!(report["route"], route, "{}", sample.name);
            compare::same_disk(&sample.original, &house.result("disk"))
                .with_context(|| format!("{} by {route}", sample.name))?;
            Ok(report["fingerprint"].to_string())
        };
        let mapped = check("mapped", house.import(&sample.image, "disk"))?;
        let url = house.ranged.url(&file);
        assert_eq!(check("mapped", house.import(&url, "disk"))?, mapped, "{}", sample.name);
        let digest = format!("--checksum={}", sha256(&sample.image)?);
        assert_eq!(check("hashed", house.import(&url, "disk").with(digest))?, mapped, "{}", sample.name);
        let streamed = house.import(house.plain.url(&file), "disk");
        if sample.flows {
            assert_eq!(check("streamed", streamed)?, mapped, "{}", sample.name);
        } else if let Ok(failure) = streamed.fail() {
            assert_eq!(failure, (4, "image-unplaced".to_owned()), "{}", sample.name);
            assert!(!house.result("disk").exists(), "{}", sample.name);
        } else {
            compare::same_disk(&sample.original, &house.result("disk"))?;
        }
    }
    Ok(())
}

#[test]
fn compression_around_any_format_is_undone() -> Result<()> {
    let house = House::new()?;
    let folder = house.folder.path();
    let disk = raw::file_system(&folder.join("ext4.raw"), 16 * MIB)?;
    let qcow2 = Qcow2::default().convert(&disk, &folder.join("disk.qcow2"))?;
    for (inside, image) in [("raw", &disk), ("qcow2", &qcow2)] {
        let packed = [
            ("gzip", compress::gzip(image, &folder.join(format!("{inside}.gz")), 6)?),
            ("gzip", compress::gzip_members(image, &folder.join(format!("{inside}.members.gz")), 3 * MIB)?),
            ("zstd", compress::zstd(image, &folder.join(format!("{inside}.zst")), &["-3"])?),
            ("zstd", compress::zstd(image, &folder.join(format!("{inside}.long.zst")), &["--long=27", "-T2"])?),
            ("zstd", compress::zstd_frames(image, &folder.join(format!("{inside}.frames.zst")), 3 * MIB)?),
        ];
        for (codec, packed) in packed {
            for checksum in [None, Some(sha256(&packed)?), Some(sha256(image)?), Some(sha256(&disk)?)] {
                let mut import = house.import(&packed, "disk");
                if let Some(checksum) = &checksum {
                    import = import.with(format!("--checksum={checksum}"));
                }
                let report = import.succeed().with_context(|| format!("{inside} in {}", packed.display()))?;
                assert_eq!((&report["compression"], &report["format"]), (&codec.into(), &inside.into()));
                compare::same_disk(&disk, &house.result("disk"))?;
            }
        }
    }
    Ok(())
}

#[test]
fn standard_input_and_blank_disks_are_sources() -> Result<()> {
    let house = House::new()?;
    let disk = raw::patterns(&house.folder.path().join("p.raw"), 5 * MIB, 3)?;
    let image = Qcow2::default().convert(&disk, &house.folder.path().join("p.qcow2"))?;
    let mut command = house.import("-", "disk").command();
    let output = command.stdin(Stdio::from(std::fs::File::open(image)?)).output()?;
    assert_eq!(json(&output)?["route"], "streamed");
    compare::same_disk(&disk, &house.result("disk"))?;
    let report = house.import("blank:10Mi", "blank").succeed()?;
    assert_eq!((report["virtualSize"].as_u64(), report["written"].as_u64()), (Some(10 * MIB), Some(0)));
    compare::zeros_from(&house.result("blank"), 0)
}

#[test]
fn a_device_holds_the_disk_and_nothing_of_its_former_tenant() -> Result<()> {
    let house = House::new()?;
    let folder = house.folder.path();
    let disk = raw::file_system(&folder.join("ext4.raw"), 24 * MIB)?;
    let image = Qcow2 { clusters: Clusters::Zlib, ..Qcow2::default() }.convert(&disk, &folder.join("disk.qcow2"))?;
    let packed = compress::gzip(&disk, &folder.join("disk.gz"), 6)?;
    for size in [24 * MIB, 40 * MIB] {
        for source in [&image, &packed] {
            for checksum in [false, true] {
                let device = LoopDevice::filled(size)?;
                let mut import = Import::new(source, device.path(), &folder.join("state"));
                if checksum {
                    import = import.with(format!("--checksum={}", sha256(source)?));
                }
                import.succeed()?;
                compare::same_disk(&disk, device.path())?;
                compare::zeros_from(device.path(), 24 * MIB)?;
            }
        }
    }
    Ok(())
}
