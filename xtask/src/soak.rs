//! `cargo xtask soak [N]`: the tests that kill, cut and break imports at random, with many more iterations.

use std::fs;

use anyhow::{Result, bail};
use fixtures::packages;

use crate::cargo::{build_gantry, command, root, show_and_run};

/// Where such a test's multiplier comes from ...
const VARIABLE: &str = "GANTRY_SOAK";
/// ... and how it takes it.
const CALL: &str = "repeated(";

/// Runs every file of `tests/tests` that takes the multiplier, with `times`.
///
/// # Errors
/// When there is no such file, or a test fails.
pub(crate) fn run(times: u32) -> Result<()> {
    packages::ensure(packages::TEST)?;
    let mut names = Vec::new();
    for entry in fs::read_dir(root().join("tests/tests"))? {
        let path = entry?.path();
        if path.is_file() && fs::read_to_string(&path)?.contains(CALL) {
            names.extend(path.file_stem().map(|stem| stem.to_string_lossy().into_owned()));
        }
    }
    if names.is_empty() {
        bail!("no file of tests/tests calls {CALL}…)");
    }
    names.sort();
    let gantry = build_gantry("dev")?;
    for name in names {
        show_and_run(
            command(&["test", "--workspace", "--test", &name])
                .env(VARIABLE, times.to_string())
                .env("GANTRY_BIN", &gantry),
        )?;
    }
    Ok(())
}
