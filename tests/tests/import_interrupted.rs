//! Killed at any moment: nothing looks finished, and the next run goes on and gives the original.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use anyhow::Result;
use fixtures::device::LoopDevice;
use fixtures::images::noise::Noise;
use fixtures::images::qcow2::Qcow2;
use fixtures::images::{MIB, compare, compress, raw};
use tempfile::TempDir;
use tests::{Import, number, sha256};

/// Kills per kind of import; `GANTRY_SOAK` multiplies them.
const KILLS: u64 = 6;

fn kills() -> u64 {
    let factor = std::env::var("GANTRY_SOAK").ok().and_then(|factor| factor.parse().ok()).unwrap_or(1);
    KILLS * factor
}

struct Images {
    folder: TempDir,
    disk: PathBuf,
    qcow2: PathBuf,
    gzip: PathBuf,
}

impl Images {
    fn new() -> Result<Self> {
        let folder = TempDir::new()?;
        let disk = raw::dense(&folder.path().join("disk.raw"), 160 * MIB, 11)?;
        let qcow2 = Qcow2::default().convert(&disk, &folder.path().join("disk.qcow2"))?;
        let gzip = compress::gzip(&disk, &folder.path().join("disk.gz"), 1)?;
        Ok(Self { folder, disk, qcow2, gzip })
    }

    /// The three routes, slow enough to be killed anywhere.
    fn imports(&self, target: &Path) -> Result<[Import; 3]> {
        let state = self.folder.path().join("state");
        let import = |source: &Path| Import::new(source, target, &state).with("--rate-limit=200M");
        let checked = import(&self.qcow2).with(format!("--checksum={}", sha256(&self.qcow2)?));
        Ok([import(&self.qcow2), checked, import(&self.gzip)])
    }
}

/// Starts the import and kills it after a while; returns whether it was still running.
fn kill(import: &Import, after: Duration) -> Result<bool> {
    let mut child = import.command().stdout(Stdio::null()).stderr(Stdio::null()).spawn()?;
    // The moment is what is random here; nothing is waited for.
    std::thread::sleep(after);
    let running = child.try_wait()?.is_none();
    child.kill()?;
    child.wait()?;
    Ok(running)
}

#[test]
fn a_killed_import_into_a_file_is_finished_by_the_next_run() -> Result<()> {
    let images = Images::new()?;
    let mut moments = Noise::new(1);
    for import in images.imports(&images.folder.path().join("disk.img"))? {
        let target = images.folder.path().join("disk.img");
        for _ in 0..kills() {
            let _ = std::fs::remove_file(&target);
            while kill(&import, Duration::from_millis(moments.below(900)))? {
                assert!(!target.exists(), "a killed import left a finished-looking file");
                if moments.below(2) == 0 {
                    break;
                }
            }
            if !target.exists() {
                import.succeed()?;
            }
            compare::same_disk(&images.disk, &target)?;
        }
    }
    Ok(())
}

#[test]
fn a_killed_import_onto_a_device_is_finished_by_the_next_run() -> Result<()> {
    let images = Images::new()?;
    let device = LoopDevice::filled(176 * MIB)?;
    let mut moments = Noise::new(2);
    for import in images.imports(device.path())? {
        for _ in 0..kills() {
            let import = import.clone().with("--force");
            if kill(&import, Duration::from_millis(moments.below(900)))? {
                let head = std::fs::read(device.path()).map(|device| device[..8192].to_vec())?;
                let unfinished = head.chunks(4096).any(|block| block.starts_with(b"GANTRYJ1"));
                let untouched = head == std::fs::read(&images.disk)?[..8192] || head.iter().all(|&byte| byte == 0xa5);
                assert!(unfinished || untouched, "the device looks like something: {:x?}", &head[..16]);
                import.succeed()?;
            }
            compare::same_disk(&images.disk, device.path())?;
            compare::zeros_from(device.path(), 160 * MIB)?;
        }
    }
    Ok(())
}

#[test]
fn what_was_durable_is_not_fetched_again() -> Result<()> {
    let images = Images::new()?;
    let target = images.folder.path().join("disk.img");
    for import in &images.imports(&target)?[..2] {
        let _ = std::fs::remove_file(&target);
        // At 200 MiB/s a record is written about every 0.16 s, and 160 MiB take 0.8 s.
        assert!(kill(import, Duration::from_millis(600))?);
        let report = import.succeed()?;
        assert!(number(&report, "resumed") > 0, "{report}");
        assert!(number(&report, "fetched") < 160 * MIB, "{report}");
        compare::same_disk(&images.disk, &target)?;
    }
    Ok(())
}
