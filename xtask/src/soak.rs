//! `cargo xtask soak [N]`: the tests that kill, cut and break at random, with many more iterations.

use std::fs;

use anyhow::{Result, bail};
use fixtures::packages;

use crate::cargo::{build_gantry, command, root, show_and_run};

/// Where such a test's multiplier comes from ...
const VARIABLE: &str = "GANTRY_SOAK";
/// ... and how it takes it.
const CALL: &str = "repeated(";

/// Where tests with the real binaries lie.
const FOLDERS: [&str; 2] = ["tests/tests", "storage/csi/tests"];

/// Runs every file of them that takes the multiplier, with `times`.
///
/// # Errors
/// When there is no such file, or a test fails.
pub(crate) fn run(times: u32) -> Result<()> {
    packages::ensure(packages::TEST)?;
    let mut names = Vec::new();
    for folder in FOLDERS {
        for entry in fs::read_dir(root().join(folder))? {
            let path = entry?.path();
            if path.is_file() && fs::read_to_string(&path)?.contains(CALL) {
                names.extend(path.file_stem().map(|stem| stem.to_string_lossy().into_owned()));
            }
        }
    }
    if names.is_empty() {
        bail!("no file of {FOLDERS:?} calls {CALL}…)");
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
