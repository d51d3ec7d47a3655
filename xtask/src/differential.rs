//! `cargo xtask soak differential [N] [FORMAT]`: N images of each format, or of one, intact and damaged, read by Gantry, by
//! qemu-img and by libraries of other authors (`tests/oracles/tests/differential`).

use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result, bail};
use fixtures::packages;

use crate::cargo::{command, show_and_run};
use crate::test::as_oracles;

const FORMATS: [&str; 7] = ["qcow2", "vmdk", "vdi", "vhd", "vhdx", "qed", "raw"];
/// Images of each format.
const IMAGES: u64 = 10_000;
/// A seed to run again instead of a new one.
const SEED: &str = "GANTRY_SEED";

/// Runs the comparison; `words` are the number and the format, both optional.
///
/// # Errors
/// When a word is neither, or a disagreement has no name.
pub(crate) fn run(words: &[&str]) -> Result<()> {
    let (images, format) = match words {
        [] => (IMAGES, None),
        [format] if FORMATS.contains(format) => (IMAGES, Some(*format)),
        [number] => (parsed(number)?, None),
        [number, format] if FORMATS.contains(format) => (parsed(number)?, Some(*format)),
        _ => bail!("soak differential takes a number and one of {}", FORMATS.join(", ")),
    };
    packages::ensure(packages::TEST)?;
    let seed = match std::env::var(SEED) {
        Ok(seed) => seed,
        Err(_) => SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs().to_string(),
    };
    eprintln!("{SEED}={seed}: {images} images of {}", format.unwrap_or("each format"));
    let mut tests = command(&["test", "--locked", "--test", "differential"]);
    // Each test uses all cores by itself.
    tests.args(["--", "--nocapture", "--test-threads=1"]).args(format.map(|format| format!("{format}_")));
    tests.env(SEED, seed).env("GANTRY_DIFFERENTIAL", images.to_string());
    show_and_run(as_oracles(&mut tests))
}

fn parsed(number: &str) -> Result<u64> {
    number
        .parse()
        .with_context(|| format!("{number:?} is neither a number of images nor one of {}", FORMATS.join(", ")))
}
