//! Memory and bytes fetched stay within what is promised, whatever the image.

use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, Result};
use fixtures::cgroup::MemoryGroup;
use fixtures::images::qcow2::{Clusters, Qcow2, qemu_io};
use fixtures::images::{MIB, compare, compress, raw};
use fixtures::measure;
use fixtures::nginx::{Nginx, Settings};
use tempfile::TempDir;
use tests::{Import, number, sha256};

/// Bytes that may be resident at any time.
const RESIDENT: u64 = 64 * MIB;

/// A disk, its images, and servers of them.
struct House {
    folder: TempDir,
    disk: PathBuf,
    ranged: Nginx,
    plain: Nginx,
}

impl House {
    fn new() -> Result<Self> {
        let folder = TempDir::new()?;
        let disk = raw::dense(&folder.path().join("disk.raw"), 160 * MIB, 7)?;
        let ranged = Nginx::serve(folder.path())?;
        let plain = Settings::new(folder.path()).without_ranges().start()?;
        Ok(Self { folder, disk, ranged, plain })
    }

    fn at(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Every route and codec, by URL.
    fn imports(&self) -> Result<Vec<(&'static str, Import)>> {
        let zlib = Qcow2 { clusters: Clusters::Zlib, ..Qcow2::default() };
        Qcow2::default().convert(&self.disk, &self.at("plain.qcow2"))?;
        zlib.convert(&self.disk, &self.at("zlib.qcow2"))?;
        Qcow2 { cluster_size: Some(2 * MIB), ..zlib }.convert(&self.disk, &self.at("large.qcow2"))?;
        compress::gzip(&self.disk, &self.at("disk.gz"), 1)?;
        compress::zstd(&self.disk, &self.at("disk.zst"), &["-1"])?;
        compress::filter(Command::new("lz4").args(["-q", "-B7", "-c"]), &self.disk, &self.at("disk.lz4"))?;
        compress::filter(Command::new("xz").args(["-0", "-T2", "-c"]), &self.disk, &self.at("disk.xz"))?;
        let import = |url: String| Import::new(url, &self.at("disk.img"), &self.at("state")).with("--force");
        let checked = |name: &str, import: Import| -> Result<Import> {
            Ok(import.with(format!("--checksum={}", sha256(&self.at(name))?)))
        };
        Ok(vec![
            ("mapped", import(self.ranged.url("plain.qcow2"))),
            ("mapped, zlib", import(self.ranged.url("zlib.qcow2"))),
            ("mapped, clusters of 2 MiB", import(self.ranged.url("large.qcow2"))),
            ("hashed", checked("zlib.qcow2", import(self.ranged.url("zlib.qcow2")))?),
            ("streamed", import(self.plain.url("zlib.qcow2"))),
            ("streamed, clusters of 2 MiB", import(self.plain.url("large.qcow2"))),
            ("gzip", checked("disk.gz", import(self.ranged.url("disk.gz")))?),
            ("zstd", checked("disk.zst", import(self.ranged.url("disk.zst")))?),
            ("lz4", import(self.ranged.url("disk.lz4"))),
            ("xz", import(self.plain.url("disk.xz"))),
            ("raw", import(self.ranged.url("disk.raw"))),
        ])
    }
}

#[test]
fn every_route_fits_in_64_mib_and_in_a_cgroup_of_96_mib_with_its_page_cache() -> Result<()> {
    let house = House::new()?;
    for (name, import) in house.imports()? {
        let group = MemoryGroup::with_limit(96 * MIB)?;
        let measured = measure::run(&group.confine(&import.command())).context(name)?;
        let resident = measured.usage.peak_resident;
        assert!(resident <= RESIDENT, "{name}: {resident}");
        assert_eq!(group.counts()?.kills, 0, "{name}");
        compare::by_cmp(&house.disk, &house.at("disk.img")).context(name)?;
    }
    Ok(())
}

#[test]
fn a_mapped_import_fetches_what_is_allocated_and_little_more() -> Result<()> {
    let folder = TempDir::new()?;
    let at = |name: &str| folder.path().join(name);
    let nginx = Nginx::serve(folder.path())?;
    let size = 64 << 30;
    let image = Qcow2::default().create(&at("sparse.qcow2"), size)?;
    let writes: Vec<String> =
        (0..400).map(|index| format!("write -P {} {} 64k", index % 255 + 1, index * 157 * MIB)).collect();
    qemu_io(&image, "qcow2", &writes.iter().map(String::as_str).collect::<Vec<_>>())?;
    let discards: Vec<String> = (0..200).map(|index| format!("discard {} 64k", index * 314 * MIB)).collect();
    qemu_io(&image, "qcow2", &discards.iter().map(String::as_str).collect::<Vec<_>>())?;
    let report = Import::new(nginx.url("sparse.qcow2"), &at("disk.img"), &at("state")).succeed()?;
    let (data, tables) = (200 * (64 << 10), 128 * (64 << 10) + (size >> 29) * 8);
    let allowed = data + tables + ((data + tables) / 100).max(MIB);
    assert!(nginx.bytes_served()? <= allowed, "{} of {allowed}: {report}", nginx.bytes_served()?);
    assert!(number(&report, "fetched") <= allowed, "{report}");
    let compared = Command::new("qemu-img").args(["compare", "-F", "raw"]).args([&image, &at("disk.img")]).status()?;
    assert!(compared.success());
    Ok(())
}
