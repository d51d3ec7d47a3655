//! `cargo xtask bench storage`: what a volume of `gantry-csi` costs, beside the same made by hand in the same run.

use anyhow::Result;
use fixtures::packages;

use crate::cargo::{command, show_and_run};

/// Runs the measurements of the driver's tests with their figures on the terminal.
///
/// # Errors
/// When fio cannot be installed, or a ratio is below its floor.
pub(crate) fn run() -> Result<()> {
    packages::ensure(packages::BUILD)?;
    packages::ensure(packages::TEST)?;
    packages::ensure(packages::BENCH_STORAGE)?;
    for (test, options) in [("csi_speed", &["--ignored", "--nocapture"][..]), ("csi_many", &["--nocapture"][..])] {
        show_and_run(command(&["test", "--package", "gantry-csi", "--test", test, "--"]).args(options))?;
    }
    Ok(())
}
