//! What is measured: one function per row, in the order of the table.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result};
use fixtures::cache::cached;
use fixtures::debian_disk::{DebianDisk, FULL};
use fixtures::images::{Clusters, MIB, Qcow2, raw};
use fixtures::proxy::Proxy;
use fixtures::synthetic_disk::{self, DENSE, DENSE_LARGE, HUGE, SMALL};

use super::job::Job;
use super::setup::Setup;
use crate::images::OTHER_IMAGES;

/// Added to every round trip in the delayed rows.
pub(super) const ROUND_TRIP: Duration = Duration::from_millis(50);

/// What a row has to reach.
#[derive(Clone, Copy, Debug)]
pub(super) enum Floor {
    /// Peer's median time over ours, at least.
    Ratio(f64),
    /// Our median may exceed the peer's by that many round trips of [`ROUND_TRIP`].
    RoundTrips(u32),
    /// Our median may exceed the peer's by a part of it, or by a time, whichever is more.
    Excess(f64, Duration),
}

/// One row, ready to run.
#[derive(Debug)]
pub(super) struct Row {
    /// What is done, in words.
    pub(super) work: String,
    /// Our side.
    pub(super) ours: Job,
    /// The other side.
    pub(super) peer: Job,
    /// The other side's name.
    pub(super) peer_name: &'static str,
    /// What has to be reached.
    pub(super) floor: Floor,
    /// Files to be warm in the page cache.
    pub(super) sources: Vec<PathBuf>,
    /// What our first result is compared with, and its format.
    pub(super) original: Option<(PathBuf, &'static str)>,
    /// Bytes that our side may fetch.
    pub(super) may_fetch: Option<u64>,
    /// Fewest runs of each side whose median says something.
    pub(super) least_rounds: usize,
    /// Kept while the row runs.
    pub(super) _proxies: Vec<Proxy>,
}

type Build = fn(&Setup) -> Result<Row>;

/// All rows; those called `quick-` are run by `--quick` only.
pub(super) const ROWS: &[(&str, Build)] = &[
    ("local-qcow2", |_| local(Clusters::Plain, 1.0)),
    ("local-zlib", |_| local(Clusters::Zlib, 2.5)),
    ("local-zstd", |_| local(Clusters::Zstd, 1.4)),
    ("local-dense", |_| local_dense()),
    ("local-stream.vmdk", |_| local_other(0, 4.0)),
    ("local-vmdk", |_| local_other(1, 1.0)),
    ("local-vdi", |_| local_other(2, 1.0)),
    ("local-vhd", |_| local_other(3, 1.0)),
    ("local-vhdx", |_| local_other(4, 1.0)),
    ("local-qed", |_| local_other(5, 1.0)),
    ("http-qcow2", |setup| http(setup, Clusters::Plain, 1.4)),
    ("http-zlib", |setup| http(setup, Clusters::Zlib, 2.5)),
    ("http-sha256", http_checked),
    ("delay-qcow2", |setup| delayed(setup, Clusters::Plain)),
    ("delay-zlib", |setup| delayed(setup, Clusters::Zlib)),
    ("http-gzip", http_gzip),
    ("http-zstd", http_zstd),
    ("http-xz", http_xz),
    ("http-raw", http_raw_sparse),
    ("http-dense", http_raw_dense),
    ("sparse-8tib", sparse),
    ("memory-96mib", limited_memory),
    ("quick-local", |_| quick_local()),
    ("quick-http", quick_http),
];

const QEMU_IMG: &str = "qemu-img convert -f qcow2 -W -m 16 -O raw \"$SOURCE\" \"$TARGET\"; sync \"$TARGET\"";

fn gantry(source: impl Into<String>) -> Job {
    Job::Gantry { source: source.into(), options: Vec::new(), memory: None }
}

fn shell(line: impl Into<String>, source: impl Into<String>) -> Job {
    Job::Shell { line: line.into(), source: source.into() }
}

fn path_text(path: &Path) -> String {
    path.display().to_string()
}

/// Nothing compared, nothing bounded.
fn row(work: impl Into<String>, ours: Job, (peer_name, peer): (&'static str, Job), floor: Floor) -> Row {
    Row {
        work: work.into(),
        ours,
        peer,
        peer_name,
        floor,
        sources: Vec::new(),
        original: None,
        may_fetch: None,
        least_rounds: 1,
        _proxies: Vec::new(),
    }
}

impl Row {
    /// Reads `source` once beforehand and compares the first result with `original`.
    fn of(mut self, source: &Path, original: PathBuf, format: &'static str) -> Self {
        self.sources = vec![source.to_owned()];
        self.original = Some((original, format));
        self
    }

    /// A mapped import: at most the file as `qemu-img convert` wrote it (nothing in it is free) and 1 % or 1 MiB.
    fn mapped(mut self, source: &Path) -> Result<Self> {
        let length = fs::metadata(source)?.len();
        self.may_fetch = Some(length + (length / 100).max(MIB));
        Ok(self)
    }
}

fn name_of(clusters: Clusters) -> &'static str {
    match clusters {
        Clusters::Plain => "qcow2",
        Clusters::Zlib => "zlib qcow2",
        Clusters::Zstd => "zstd qcow2",
    }
}

fn local(clusters: Clusters, floor: f64) -> Result<Row> {
    let disk = DebianDisk::get(FULL)?;
    let image = disk.qcow2(clusters)?;
    let peer = ("qemu-img convert -W -m 16, fsync", shell(QEMU_IMG, path_text(&image)));
    row(format!("local {} → raw, Debian", name_of(clusters)), gantry(path_text(&image)), peer, Floor::Ratio(floor))
        .of(&image, disk.raw(), "raw")
        .mapped(&image)
}

/// An image of another format, by its place in the list.
fn local_other(index: usize, floor: f64) -> Result<Row> {
    let (name, format, options) = OTHER_IMAGES[index];
    let disk = DebianDisk::get(FULL)?;
    let image = disk.image(name, format, options)?;
    let line = format!("qemu-img convert -f {format} -W -m 16 -O raw \"$SOURCE\" \"$TARGET\"; sync \"$TARGET\"");
    let peer = ("qemu-img convert -W -m 16, fsync", shell(line, path_text(&image)));
    let work = format!("local {name} → raw, Debian");
    Ok(row(work, gantry(path_text(&image)), peer, Floor::Ratio(floor)).of(&image, disk.raw(), "raw"))
}

fn local_dense() -> Result<Row> {
    let (disk, image) = synthetic_disk::dense(DENSE)?;
    let peer = ("qemu-img convert -W -m 16, fsync", shell(QEMU_IMG, path_text(&image)));
    row("local qcow2 → raw, dense", gantry(path_text(&image)), peer, Floor::Ratio(1.0))
        .of(&image, disk, "raw")
        .mapped(&image)
}

fn http(setup: &Setup, clusters: Clusters, floor: f64) -> Result<Row> {
    let disk = DebianDisk::get(FULL)?;
    let image = disk.qcow2(clusters)?;
    let url = setup.url(&image)?;
    let peer = ("nbdkit curl + qemu-img convert -W -m 16, fsync", Job::NbdCurl { url: url.clone() });
    row(format!("{} over HTTP", name_of(clusters)), gantry(url), peer, Floor::Ratio(floor))
        .of(&image, disk.raw(), "raw")
        .mapped(&image)
}

fn http_checked(setup: &Setup) -> Result<Row> {
    let disk = DebianDisk::get(FULL)?;
    let image = disk.qcow2(Clusters::Zlib)?;
    let url = setup.url(&image)?;
    let said = fixtures::command::output(std::process::Command::new("sha256sum").arg(&image))?;
    let digest = said.split_whitespace().next().context("sha256sum printed nothing")?;
    let ours = Job::Gantry {
        source: url.clone(),
        options: vec!["--checksum".to_owned(), format!("sha256:{digest}")],
        memory: None,
    };
    let peer = ("Gantry without the checksum", gantry(url));
    row("zlib qcow2 over HTTP with sha256", ours, peer, Floor::Ratio(0.85)).of(&image, disk.raw(), "raw").mapped(&image)
}

/// Both sides go through a proxy, so that only the delay differs.
fn delayed(setup: &Setup, clusters: Clusters) -> Result<Row> {
    let disk = DebianDisk::get(FULL)?;
    let image = disk.qcow2(clusters)?;
    let path = setup.path_on_server(&image)?;
    let slow = Proxy::delaying(setup.server.address(), ROUND_TRIP)?;
    let near = Proxy::delaying(setup.server.address(), Duration::ZERO)?;
    let peer = ("Gantry at 0 ms, same proxy", gantry(near.url(&path)));
    let mut row =
        row(format!("{} over HTTP at 50 ms", name_of(clusters)), gantry(slow.url(&path)), peer, Floor::RoundTrips(30))
            .of(&image, disk.raw(), "raw")
            .mapped(&image)?;
    row._proxies = vec![slow, near];
    Ok(row)
}

fn http_gzip(setup: &Setup) -> Result<Row> {
    let disk = DebianDisk::get(FULL)?;
    let file = disk.gzip()?;
    let peer = ("igzip -dc to /dev/null", shell("igzip -dc \"$SOURCE\" > /dev/null", path_text(&file)));
    Ok(row("raw.gz over HTTP", gantry(setup.url(&file)?), peer, Floor::Ratio(1.0)).of(&file, disk.raw(), "raw"))
}

fn http_zstd(setup: &Setup) -> Result<Row> {
    let disk = DebianDisk::get(FULL)?;
    let file = disk.zstd()?;
    let peer = ("zstd -dc to /dev/null", shell("zstd -dcq \"$SOURCE\" > /dev/null", path_text(&file)));
    Ok(row("raw.zst over HTTP", gantry(setup.url(&file)?), peer, Floor::Ratio(0.87)).of(&file, disk.raw(), "raw"))
}

fn http_xz(setup: &Setup) -> Result<Row> {
    let disk = DebianDisk::get(FULL)?;
    let file = disk.xz()?;
    let peer = ("xz -dc -T2 to /dev/null", shell("xz -dc -T2 \"$SOURCE\" > /dev/null", path_text(&file)));
    Ok(row("raw.xz over HTTP", gantry(setup.url(&file)?), peer, Floor::Ratio(0.85)).of(&file, disk.raw(), "raw"))
}

fn http_raw_sparse(setup: &Setup) -> Result<Row> {
    let disk = DebianDisk::get(FULL)?;
    let url = setup.url(&disk.raw())?;
    let line = "curl -sS -o \"$TARGET.full\" \"$SOURCE\"; sync \"$TARGET.full\"; \
                cp --sparse=always \"$TARGET.full\" \"$TARGET\"; sync \"$TARGET\"";
    let peer = ("curl -o, fsync, cp --sparse=always, fsync", shell(line, url.clone()));
    Ok(row("raw over HTTP, sparse", gantry(url), peer, Floor::Ratio(1.0)).of(&disk.raw(), disk.raw(), "raw"))
}

fn http_raw_dense(setup: &Setup) -> Result<Row> {
    let (disk, _) = synthetic_disk::dense(DENSE)?;
    let url = setup.url(&disk)?;
    let line = "curl -sS -o \"$TARGET\" \"$SOURCE\"; sync \"$TARGET\"";
    let peer = ("curl -o, fsync", shell(line, url.clone()));
    Ok(row("raw over HTTP, dense", gantry(url), peer, Floor::Ratio(1.0)).of(&disk, disk.clone(), "raw"))
}

fn sparse(setup: &Setup) -> Result<Row> {
    let (small, huge) = (synthetic_disk::sparse(SMALL)?, synthetic_disk::sparse(HUGE)?);
    let peer = ("Gantry on 1 GiB virtual, 100 MiB allocated", gantry(setup.url(&small)?));
    let floor = Floor::Excess(0.20, Duration::from_millis(50));
    let work = "qcow2 over HTTP, 8 TiB virtual, 100 MiB allocated";
    let mut row = row(work, gantry(setup.url(&huge)?), peer, floor).of(&huge, huge.clone(), "qcow2").mapped(&huge)?;
    row.sources.push(small);
    row.least_rounds = 20;
    Ok(row)
}

fn limited_memory(setup: &Setup) -> Result<Row> {
    let (disk, image) = synthetic_disk::dense(DENSE_LARGE)?;
    let url = setup.url(&image)?;
    let ours = Job::Gantry { source: url.clone(), options: Vec::new(), memory: Some(96 * MIB) };
    let peer = ("Gantry without a limit", gantry(url));
    row("qcow2 over HTTP, 4.25 GiB allocated, 96 MiB memory cgroup", ours, peer, Floor::Ratio(0.9))
        .of(&image, disk, "raw")
        .mapped(&image)
}

/// 512 MiB of ext4 and its zlib qcow2, made without an installation.
fn quick_disk() -> Result<(PathBuf, PathBuf)> {
    let folder = cached("quick", "1\n", |folder| {
        let disk = raw::file_system(&folder.join("disk.raw"), 512 * MIB)?;
        let options = Qcow2 { clusters: Clusters::Zlib, ..Qcow2::default() };
        options.convert(&disk, &folder.join("zlib.qcow2"))?;
        Ok(())
    })?;
    Ok((folder.join("disk.raw"), folder.join("zlib.qcow2")))
}

fn quick_local() -> Result<Row> {
    let (disk, image) = quick_disk()?;
    let peer = ("qemu-img convert -W -m 16, fsync", shell(QEMU_IMG, path_text(&image)));
    row("local zlib qcow2 → raw, small", gantry(path_text(&image)), peer, Floor::Ratio(1.0))
        .of(&image, disk, "raw")
        .mapped(&image)
}

fn quick_http(setup: &Setup) -> Result<Row> {
    let (disk, image) = quick_disk()?;
    let url = setup.url(&image)?;
    let peer = ("nbdkit curl + qemu-img convert -W -m 16, fsync", Job::NbdCurl { url: url.clone() });
    row("zlib qcow2 over HTTP, small", gantry(url), peer, Floor::Ratio(1.0)).of(&image, disk, "raw").mapped(&image)
}
