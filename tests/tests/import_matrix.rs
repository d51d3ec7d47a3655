//! Every format, in every compression, by every route, onto every kind of target, gives the original disk.
//!
//! ```text
//! samples() × {PLAIN × RANDOM_ACCESS, GZIP × COMPRESSED, ZSTD × COMPRESSED, OTHER_CODECS × COMPRESSED}
//!           × {file, device of a former tenant}
//! ```

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Mutex, PoisonError};
use std::thread;

use anyhow::{Context, Result};
use fixtures::device::LoopDevice;
use fixtures::images::qcow2::{Clusters, Qcow2, qemu_img, qemu_io, to_raw};
use fixtures::images::{MIB, compare, compress, iso, raw};
use fixtures::nginx::{Nginx, Settings};
use serde_json::Value;
use tempfile::TempDir;
use tests::{Import, json, sha256};

/// An image and the raw disk it must become.
struct Sample {
    name: String,
    image: PathBuf,
    original: PathBuf,
}

/// qcow2 images by their options, each of a disk of patterns or of a file system.
fn variants() -> Vec<(String, Qcow2)> {
    let mut variants = Vec::new();
    for (clusters, kind) in [(Clusters::Plain, "plain"), (Clusters::Zlib, "zlib"), (Clusters::Zstd, "zstd")] {
        for version_2 in [false, true] {
            for cluster_size in [512, 4096, 65_536, 2_097_152] {
                let options = Qcow2 { clusters, version_2, cluster_size: Some(cluster_size), ..Qcow2::default() };
                variants.push((format!("qcow2-{kind}-v{}-{cluster_size}", 3 - u8::from(version_2)), options));
            }
        }
        variants.push((format!("qcow2-{kind}-extended-l2"), Qcow2 { clusters, extended_l2: true, ..Qcow2::default() }));
    }
    variants.retain(|(_, options)| !(options.version_2 && options.clusters == Clusters::Zstd));
    for bits in [1, 2, 4, 8, 16, 32, 64] {
        let options = Qcow2 { refcount_bits: Some(bits), lazy_refcounts: bits == 16, ..Qcow2::default() };
        variants.push((format!("qcow2-refcounts-{bits}"), options));
    }
    variants.push(("qcow2-preallocated".to_owned(), Qcow2 { metadata_preallocated: true, ..Qcow2::default() }));
    variants
}

/// Images of other formats: name, and what `qemu-img convert -O` is given.
const OTHERS: &[(&str, &[&str])] = &[
    ("vdi", &["vdi"]),
    ("vdi-static", &["vdi", "-o", "static=on"]),
    ("vhd", &["vpc", "-o", "force_size=on"]),
    ("vhd-geometry", &["vpc"]),
    ("vhd-fixed", &["vpc", "-o", "subformat=fixed,force_size=on"]),
    ("vhdx", &["vhdx"]),
    ("vhdx-fixed", &["vhdx", "-o", "subformat=fixed,block_size=1M"]),
    ("vmdk", &["vmdk"]),
    ("vmdk-stream", &["vmdk", "-o", "subformat=streamOptimized"]),
    ("qed", &["qed"]),
    ("qed-small", &["qed", "-o", "cluster_size=4k"]),
];

fn samples(folder: &Path) -> Result<Vec<Sample>> {
    let disk = raw::file_system(&folder.join("ext4.raw"), 12 * MIB)?;
    let patterns = raw::patterns(&folder.join("patterns.raw"), 5 * MIB, 5)?;
    let iso = iso::with_files(&folder.join("files.iso"), 1 << 20)?;
    let mut samples = Vec::new();
    let mut add = |name: &str, image: PathBuf, original: &Path| {
        samples.push(Sample { name: name.to_owned(), image, original: original.to_owned() });
    };
    add("raw", disk.clone(), &disk);
    add("raw-patterns", patterns.clone(), &patterns);
    add("iso", iso.clone(), &iso);
    for (name, options) in variants() {
        let original = if options.cluster_size.is_some() { &patterns } else { &disk };
        add(&name, options.convert(original, &folder.join(&name))?, original);
    }
    for (name, options) in OTHERS {
        let image = folder.join(name);
        qemu_img(&[&["convert", "-f", "raw", "-O"], *options, &[path(&disk), path(&image)]].concat())?;
        // qemu-img rounds the size of some up, so the disk is what it reads.
        let original = to_raw(&image, options[0], &folder.join(format!("{name}.original")))?;
        add(name, image, &original);
    }
    let lived_in = folder.join("lived-in.qcow2");
    qemu_img(&["convert", "-O", "qcow2", path(&disk), path(&lived_in)])?;
    qemu_img(&["snapshot", "-c", "before", path(&lived_in)])?;
    qemu_img(&["bitmap", "--add", path(&lived_in), "changes"])?;
    qemu_io(&lived_in, "qcow2", &["write -P 7 10M 1M", "write -P 9 1M 300k", "discard 8M 1M", "write -z 5M 1M"])?;
    qemu_img(&["resize", path(&lived_in), "20M"])?;
    qemu_io(&lived_in, "qcow2", &["write -P 3 19M 64k"])?;
    let original = to_raw(&lived_in, "qcow2", &folder.join("lived-in.raw"))?;
    add("lived-in", lived_in, &original);
    Ok(samples)
}

fn path(path: &Path) -> &str {
    path.to_str().expect("a test's paths are UTF-8")
}

struct House {
    folder: TempDir,
    ranged: Nginx,
    plain: Nginx,
    /// Of files that stay as they are.
    digests: Mutex<HashMap<PathBuf, String>>,
}

impl House {
    fn new() -> Result<Self> {
        let folder = TempDir::new()?;
        let ranged = Nginx::serve(folder.path())?;
        let plain = Settings::new(folder.path()).without_ranges().start()?;
        Ok(Self { folder, ranged, plain, digests: Mutex::default() })
    }

    fn import(&self, source: impl AsRef<std::ffi::OsStr>, name: &str) -> Import {
        let target = self.folder.path().join(format!("{name}.img"));
        let _ = std::fs::remove_file(&target);
        Import::new(source, &target, &self.folder.path().join("state"))
    }

    fn digest(&self, file: &Path) -> Result<String> {
        let known = || self.digests.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(digest) = known().get(file) {
            return Ok(digest.clone());
        }
        let digest = sha256(file)?;
        known().insert(file.to_owned(), digest.clone());
        Ok(digest)
    }

    fn result(&self, name: &str) -> PathBuf {
        self.folder.path().join(format!("{name}.img"))
    }
}

/// A codec around the image, or none.
type Pack = (Option<&'static str>, fn(&Path, &Path) -> Result<PathBuf>);

const PLAIN: &[Pack] = &[(None, |image, _| Ok(image.to_owned()))];
const GZIP: &[Pack] = &[
    (Some("gzip"), |image, path| compress::gzip(image, path, 6)),
    (Some("gzip"), |image, path| compress::gzip_members(image, path, 3 * MIB)),
];
const ZSTD: &[Pack] = &[
    (Some("zstd"), |image, path| compress::zstd(image, path, &["--long=27", "-T2"])),
    (Some("zstd"), |image, path| compress::zstd_frames(image, path, 3 * MIB)),
];

const OTHER_CODECS: &[Pack] = &[
    (Some("xz"), |image, path| compress::filter(Command::new("xz").args(["-1", "-T2", "-c"]), image, path)),
    (Some("bzip2"), |image, path| compress::filter(Command::new("bzip2").arg("-c"), image, path)),
    (Some("lz4"), |image, path| compress::filter(Command::new("lz4").args(["-q", "-c"]), image, path)),
];

/// A way to the source and what it is to be: the route, whether by HTTP, with ranges, with which checksum.
struct Way {
    route: &'static str,
    server: Option<Served>,
    checksum: Option<Of>,
}

#[derive(Clone, Copy, PartialEq)]
enum Served {
    Ranged,
    Plain,
}

#[derive(Clone, Copy)]
enum Of {
    File,
    Image,
    Disk,
}

const fn way(route: &'static str, server: Option<Served>, checksum: Option<Of>) -> Way {
    Way { route, server, checksum }
}

const RANDOM_ACCESS: &[Way] = &[
    way("mapped", None, None),
    way("mapped", Some(Served::Ranged), None),
    way("hashed", Some(Served::Ranged), Some(Of::File)),
    way("hashed", None, Some(Of::Disk)),
    way("streamed", Some(Served::Plain), None),
    way("streamed", Some(Served::Plain), Some(Of::File)),
];
const COMPRESSED: &[Way] = &[
    way("streamed", None, Some(Of::Image)),
    way("streamed", Some(Served::Ranged), None),
    way("streamed", Some(Served::Plain), Some(Of::File)),
];

/// What a sample is packed into, and the ways by which that comes.
const PRODUCT: &[(&[Pack], &[Way])] =
    &[(PLAIN, RANDOM_ACCESS), (GZIP, COMPRESSED), (ZSTD, COMPRESSED), (OTHER_CODECS, COMPRESSED.split_at(2).0)];

impl House {
    /// One cell of the product: `sample` packed into `file`, by `way`, onto a new file or onto a device that holds a
    /// former tenant's bytes. Returns the fingerprint.
    fn cell(&self, sample: &Sample, file: &Path, way: &Way, onto_device: bool) -> Result<String> {
        // More than the disk, so that there is an end to be cleaned.
        let size = sample.original.metadata()?.len().next_multiple_of(MIB) + 3 * MIB;
        let device = onto_device.then(|| LoopDevice::filled(size)).transpose()?;
        let target = device.as_ref().map_or(self.result(&sample.name), |device| device.path().to_owned());
        let name = file.file_name().context("an image has a name")?.to_string_lossy().into_owned();
        let source = match way.server {
            None => file.display().to_string(),
            Some(Served::Ranged) => self.ranged.url(&name),
            Some(Served::Plain) => self.plain.url(&name),
        };
        let mut import = Import::new(source, &target, &self.folder.path().join("state")).with("--force");
        let digest_of = |of: Of| match of {
            Of::File => file,
            Of::Image => &sample.image,
            Of::Disk => &sample.original,
        };
        if let Some(of) = way.checksum {
            import = import.with(format!("--checksum={}", self.digest(digest_of(of))?));
        }
        if onto_device {
            // What an image that was lived in brings before its tables; a file has room beside itself.
            import = import.with(format!("--scratch={}", self.folder.path().display()));
        }
        let report = import.succeed()?;
        assert_eq!(report["route"], way.route);
        compare::by_cmp(&sample.original, &target)?;
        if !onto_device {
            std::fs::remove_file(target)?;
        }
        Ok(text(&report, "fingerprint"))
    }

    /// The cells of one sample, whose fingerprint is the same in all.
    fn cells(&self, sample: &Sample) -> Result<()> {
        let mut fingerprint = None;
        for (packs, ways) in PRODUCT {
            for (index, (codec, pack)) in packs.iter().enumerate() {
                let packed = self.folder.path().join(format!("{}.{}{index}", sample.name, codec.unwrap_or("plain")));
                let file = pack(&sample.image, &packed)?;
                for (way, onto_device) in ways.iter().flat_map(|way| [(way, false), (way, true)]) {
                    let place = format!("{} in {codec:?} {index}, {}, device {onto_device}", sample.name, way.route);
                    let found = self.cell(sample, &file, way, onto_device).context(place.clone())?;
                    assert_eq!(fingerprint.get_or_insert(found.clone()), &found, "{place}");
                }
            }
        }
        Ok(())
    }
}

fn text(report: &Value, name: &str) -> String {
    report[name].as_str().unwrap_or_default().to_owned()
}

#[test]
fn every_format_in_every_codec_becomes_its_disk_by_every_route_on_every_target() -> Result<()> {
    let house = House::new()?;
    let samples = samples(house.folder.path())?;
    let left = Mutex::new(samples.iter());
    let next = || left.lock().unwrap_or_else(PoisonError::into_inner).next();
    let work = || std::iter::from_fn(next).try_for_each(|sample| house.cells(sample));
    thread::scope(|scope| {
        // One more than there are processors, since each waits for disks.
        let workers = [scope.spawn(work), scope.spawn(work), scope.spawn(work)];
        workers.into_iter().try_for_each(|worker| worker.join().expect("a worker does not panic but by an assertion"))
    })
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
fn a_named_format_is_believed_whatever_the_first_bytes_say() -> Result<()> {
    let house = House::new()?;
    let at = |name: &str| house.folder.path().join(name);
    let disk = raw::patterns(&at("p.raw"), 5 * MIB, 3)?;
    let image = Qcow2::default().convert(&disk, &at("p.qcow2"))?;
    let packed = compress::gzip(&image, &at("p.qcow2.gz"), 6)?;
    // A guest can write the header of any format, or of a compression, into its raw disk.
    for (source, options, is) in [
        (&image, vec!["--format=raw"], &image),
        (&packed, vec!["--format=raw"], &image),
        (&packed, vec!["--format=raw", "--no-decompress"], &packed),
        (&image, vec![], &disk),
    ] {
        let import = options.iter().fold(house.import(source, "disk"), |import, option| import.with(*option));
        import.succeed()?;
        compare::by_cmp(is, &house.result("disk"))?;
    }
    Ok(())
}
