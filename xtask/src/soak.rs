//! `cargo xtask soak [N]`: the tests that kill, cut and break at random, with many more iterations.

use std::fs;

use anyhow::{Result, bail};
use fixtures::packages;

use crate::cargo::{build_tests, command, root, show_and_run};
use crate::kubernetes;

/// Where such a test's multiplier comes from ...
pub(crate) const TIMES: &str = "GANTRY_SOAK";
/// ... and how it takes it.
const CALL: &str = "repeated(";

/// Where tests with the real binaries lie.
const FOLDERS: [&str; 2] = ["tests/tests", "storage/csi/tests"];
/// A round in a cluster takes about a minute: there are so many times fewer.
const SLOWER: u32 = 5;

/// Runs every file of them that takes the multiplier, with `times`; then those that need a cluster, with a fifth of it.
///
/// # Errors
/// When there is no such file, or a test fails.
pub(crate) fn run(times: u32) -> Result<()> {
    packages::ensure(packages::TEST)?;
    let gantry = build_tests()?;
    for name in files()?.iter().filter(|name| !name.starts_with(kubernetes::PREFIX)) {
        show_and_run(
            command(&["test", "--workspace", "--test", name]).env(TIMES, times.to_string()).env("GANTRY_BIN", &gantry),
        )?;
    }
    in_cluster(times.div_ceil(SLOWER))
}

/// Runs those that need a cluster, with `times`: in the one that is up, or in one that is ended afterwards.
///
/// # Errors
/// As [`run`].
pub(crate) fn in_cluster(times: u32) -> Result<()> {
    let mut files = files()?;
    files.retain(|name| name.starts_with(kubernetes::PREFIX));
    kubernetes::soak(&files, times)
}

/// Names of the files that take the multiplier.
fn files() -> Result<Vec<String>> {
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
    Ok(names)
}
