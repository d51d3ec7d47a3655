//! `gantry fingerprint` and `gantry verify`.

use std::path::Path;

use contract::{Code, Failure, SCHEMA};
use formats::probe::{self, Format, Probe};
use mover::cancel::Cancel;
use mover::fingerprint::{Fingerprint, scan};
use mover::progress::{Progress, Step};
use serde_json::json;

use crate::arguments::{FingerprintOf, Verify};
use crate::show;

/// Prints a raw disk's fingerprint.
///
/// # Errors
/// It cannot be read, or is an image of another format.
pub(crate) fn print(arguments: &FingerprintOf, cancel: &Cancel) -> Result<(), Failure> {
    refuse_images(&arguments.disk)?;
    let fingerprint = read(&arguments.disk, arguments.size, arguments.json, cancel)?;
    if arguments.json {
        return show::json(&json!({ "schema": SCHEMA, "fingerprint": fingerprint.to_string() }));
    }
    show::line(&fingerprint.to_string())
}

/// Compares a raw disk with a fingerprint.
///
/// # Errors
/// It cannot be read, or its content is another.
pub(crate) fn verify(arguments: &Verify, cancel: &Cancel) -> Result<(), Failure> {
    let expected = arguments.fingerprint;
    let found = read(&arguments.disk, Some(expected.size), arguments.json, cancel)?;
    if found.root != expected.root {
        let what = format!("the disk's first {} bytes have the fingerprint {found}, not {expected}", expected.size);
        return Err(Failure::new(Code::FingerprintMismatch, what).at(arguments.disk.display().to_string()));
    }
    if arguments.json {
        return show::json(&json!({ "schema": SCHEMA, "verified": true, "fingerprint": found.to_string() }));
    }
    show::line(&format!("verified: {} has the content of {expected}", arguments.disk.display()))
}

fn read(disk: &Path, size: Option<u64>, json: bool, cancel: &Cancel) -> Result<Fingerprint, Failure> {
    let progress = Progress::default();
    progress.enter(Step::Checking);
    show::while_running(&progress, json, || scan(disk, size, cancel, &progress.at))
}

/// A fingerprint is over the disk, and an image in a file is not the disk.
fn refuse_images(disk: &Path) -> Result<(), Failure> {
    let mut head = Vec::new();
    let read = std::fs::File::open(disk).and_then(|file| {
        use std::io::Read;
        file.take(probe::HEAD as u64).read_to_end(&mut head)
    });
    read.map_err(|error| {
        Failure::new(Code::SourceRead, format!("cannot read the disk: {error}")).at(disk.display().to_string())
    })?;
    match probe::probe(&head) {
        Probe::Disk(Format::Raw | Format::Iso) => Ok(()),
        other => {
            let what = format!("the file is {}, and a fingerprint is of a raw disk", other.name());
            let failure = Failure::new(Code::ImageUnsupported, what).at(disk.display().to_string());
            Err(failure.remedy("import it; the import prints the fingerprint"))
        }
    }
}
