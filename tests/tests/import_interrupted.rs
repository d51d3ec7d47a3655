//! Killed at any moment: nothing looks finished, and the next run goes on and gives the original.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::Result;
use fixtures::device::LoopDevice;
use fixtures::images::noise::Noise;
use fixtures::images::qcow2::Qcow2;
use fixtures::images::{MIB, compare, compress, raw};
use tempfile::TempDir;
use tests::{Import, leftovers, repeated, sha256};

struct Images {
    folder: TempDir,
    disk: PathBuf,
    qcow2: PathBuf,
    gzip: PathBuf,
}

impl Images {
    fn new(size: u64) -> Result<Self> {
        let folder = TempDir::new()?;
        let disk = raw::dense(&folder.path().join("disk.raw"), size, 11)?;
        let qcow2 = Qcow2::default().convert(&disk, &folder.path().join("disk.qcow2"))?;
        let gzip = compress::gzip_members(&disk, &folder.path().join("disk.gz"), size / 16)?;
        Ok(Self { folder, disk, qcow2, gzip })
    }

    fn target(&self) -> PathBuf {
        self.folder.path().join("disk.img")
    }

    /// The three routes.
    fn imports(&self, target: &Path) -> Result<[Import; 3]> {
        let state = self.folder.path().join("state");
        let import = |source: &Path| Import::new(source, target, &state);
        let checked = import(&self.qcow2).with(format!("--checksum={}", sha256(&self.qcow2)?));
        Ok([import(&self.qcow2), checked, import(&self.gzip)])
    }
}

/// Kills the import at a random moment; returns whether it was still running.
fn kill(import: &Import, moments: &mut Noise) -> Result<bool> {
    let end = Instant::now() + Duration::from_millis(moments.below(900));
    import.clone().with("--rate-limit=200M").killed_when(|| Instant::now() >= end)
}

#[test]
fn a_killed_import_into_a_file_is_finished_by_the_next_run() -> Result<()> {
    let images = Images::new(160 * MIB)?;
    let target = images.target();
    let mut moments = Noise::new(1);
    for import in images.imports(&target)? {
        for _ in 0..repeated(4) {
            let _ = std::fs::remove_file(&target);
            while kill(&import, &mut moments)? && !target.exists() && moments.below(2) == 0 {}
            if !target.exists() {
                import.succeed()?;
            }
            compare::same_disk(&images.disk, &target)?;
        }
    }
    Ok(())
}

/// Whether one of the first two blocks is a record; then the device is no disk.
fn is_unfinished(device: &Path) -> Result<bool> {
    let mut head = [0; 8192];
    File::open(device)?.read_exact_at(&mut head, 0)?;
    Ok(head.chunks(4096).any(|block| block.starts_with(b"GANTRYJ1")))
}

#[test]
fn a_killed_import_onto_a_device_is_finished_by_the_next_run() -> Result<()> {
    let images = Images::new(160 * MIB)?;
    let device = LoopDevice::filled(176 * MIB)?;
    let mut moments = Noise::new(2);
    for import in images.imports(device.path())? {
        let import = import.with("--force");
        for _ in 0..repeated(4) {
            if kill(&import, &mut moments)? {
                let is_disk = compare::same_disk(&images.disk, device.path()).is_ok();
                let is_untouched = compare::filled(device.path(), fixtures::device::FORMER_TENANT).is_ok();
                assert!(is_unfinished(device.path())? || is_disk || is_untouched);
                import.succeed()?;
            }
            compare::same_disk(&images.disk, device.path())?;
            compare::zeros_from(device.path(), 160 * MIB)?;
        }
    }
    Ok(())
}

#[test]
fn a_device_whose_import_is_killed_at_any_step_of_its_beginning_or_its_end_is_no_disk_until_it_is_whole() -> Result<()>
{
    let images = Images::new(6 * MIB)?;
    for (route, import) in images.imports(Path::new("/"))?.into_iter().enumerate() {
        for call in ["pwrite64", "fdatasync", "fallocate"] {
            for number in 1.. {
                let device = LoopDevice::filled(8 * MIB)?;
                let import = import.clone().onto(device.path());
                let killed = import.killed_at(call, number)?;
                let is_disk = compare::same_disk(&images.disk, device.path()).is_ok();
                let is_untouched = compare::filled(device.path(), fixtures::device::FORMER_TENANT).is_ok();
                assert!(is_unfinished(device.path())? || is_disk || is_untouched, "route {route}, {call} {number}");
                if killed {
                    import.with("--force").succeed()?;
                }
                compare::same_disk(&images.disk, device.path())?;
                compare::zeros_from(device.path(), 6 * MIB)?;
                if !killed {
                    assert!(number > 1, "{call} is never made");
                    break;
                }
            }
        }
    }
    Ok(())
}

#[test]
fn a_file_whose_import_is_killed_at_any_step_of_its_beginning_or_its_end_has_no_name_until_it_is_whole() -> Result<()> {
    let images = Images::new(6 * MIB)?;
    let target = images.target();
    for import in images.imports(&target)? {
        for call in ["pwrite64", "fdatasync", "fsync", "ftruncate", "renameat2", "unlinkat"] {
            for number in 1.. {
                let killed = import.killed_at(call, number)?;
                if target.exists() {
                    compare::same_disk(&images.disk, &target)?;
                }
                if killed {
                    import.clone().with("--force").succeed()?;
                }
                compare::same_disk(&images.disk, &target)?;
                assert_eq!(leftovers(&target)?, Vec::<String>::new());
                std::fs::remove_file(&target)?;
                if !killed {
                    assert!(number > 1, "{call} is never made");
                    break;
                }
            }
        }
    }
    Ok(())
}
