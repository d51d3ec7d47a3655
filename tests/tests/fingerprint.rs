//! The fingerprint is what `docs/fingerprint.md` says, by an implementation in another language.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Result;
use fixtures::command::{output, run};
use fixtures::device::LoopDevice;
use fixtures::images::{MIB, raw};
use tempfile::TempDir;
use tests::{binary, failed};

/// What `tests/verifier/gantry1.py` prints. Its one package is installed once, below target.
fn independent(disk: &Path) -> Result<String> {
    let packages = fixtures::cache::cached("python-blake3", "blake3", |folder| {
        run(Command::new("python3").args(["-m", "pip", "install", "--quiet", "blake3", "--target"]).arg(folder))
    })?;
    let verifier = Path::new(env!("CARGO_MANIFEST_DIR")).join("verifier/gantry1.py");
    let mut command = Command::new("python3");
    command.env("PYTHONPATH", packages).arg(verifier).arg(disk);
    Ok(output(&mut command)?.trim().to_owned())
}

fn gantry(arguments: &[&str], disk: &Path) -> Command {
    let mut command = Command::new(binary());
    command.arg(arguments[0]).arg(disk).args(&arguments[1..]);
    command
}

fn disks(folder: &Path) -> Result<Vec<PathBuf>> {
    let at = |name: &str| folder.join(name);
    std::fs::write(at("tiny"), b"one sector is not full")?;
    std::fs::write(at("odd"), vec![7; 3 * 65_536 + 17])?;
    Ok(vec![
        at("tiny"),
        at("odd"),
        raw::blank(&at("zeros"), 5 * MIB)?,
        raw::patterns(&at("patterns"), 70 * MIB, 3)?,
        raw::file_system(&at("ext4"), 200 * MIB)?,
    ])
}

#[test]
fn an_independent_implementation_computes_the_same() -> Result<()> {
    let folder = TempDir::new()?;
    for disk in disks(folder.path())? {
        let ours = output(&mut gantry(&["fingerprint"], &disk))?;
        assert_eq!(ours.trim(), independent(&disk)?, "{}", disk.display());
    }
    Ok(())
}

#[test]
fn a_grown_file_and_a_larger_device_verify_and_a_changed_bit_does_not() -> Result<()> {
    let folder = TempDir::new()?;
    let disk = raw::patterns(&folder.path().join("disk"), 6 * MIB, 9)?;
    let fingerprint = output(&mut gantry(&["fingerprint"], &disk))?.trim().to_owned();
    let file = std::fs::OpenOptions::new().write(true).open(&disk)?;
    file.set_len(9 * MIB)?;
    output(&mut gantry(&["verify", &fingerprint], &disk))?;
    output(&mut gantry(&["verify", &fingerprint], LoopDevice::on(&disk)?.path()))?;
    std::os::unix::fs::FileExt::write_all_at(&file, b"!", 5 * MIB + 5)?;
    let verified = gantry(&["verify", &fingerprint, "--json"], &disk).output()?;
    assert_eq!(failed(&verified)?, (5, "fingerprint-mismatch".to_owned()));
    Ok(())
}
