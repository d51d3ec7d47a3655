//! `cargo xtask test [SUITE]`: installs what the tests need, builds once, then runs suite by suite with plain `cargo test`.
//!
//! Every suite is run over the whole workspace with one kind of target chosen, because choosing packages instead would change
//! the features of shared dependencies and compile them again for each suite.

use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use fixtures::packages;

use crate::cargo::{build_tests, command, list, metadata, root, show_and_run, target, text};

/// Seconds that a suite may take on two cores; more is a warning, since a slow machine is not a wrong program.
const BUDGETS: &[(&str, u64)] =
    &[("unit", 120), ("doc", 60), (ORACLES, 60), ("import_matrix", 300), ("csi_sanity", 240), ("csi_volumes", 180)];
/// The budget of an end-to-end file that the list does not name.
const END_TO_END_BUDGET: u64 = 120;

/// The suite of `tests/oracles`, a workspace of its own.
const ORACLES: &str = "oracles";

struct Suite {
    name: String,
    selection: Vec<String>,
    budget: Duration,
}

/// Runs all suites, or the one called `only`.
///
/// The paths of the binaries go to the tests in `GANTRY_BIN`. The last lines are cargo's own.
///
/// # Errors
/// When something needed cannot be installed or built, `only` is unknown, or a test fails; all suites are run first.
pub(crate) fn run(only: Option<&str>) -> Result<()> {
    let suites: Vec<Suite> = suites()?.into_iter().filter(|suite| only.is_none_or(|name| suite.name == name)).collect();
    if suites.is_empty() {
        bail!(
            "there is no suite {:?}; a suite is unit, doc, oracles or a file of tests/tests or storage/csi/tests",
            only.unwrap_or_default()
        );
    }
    packages::ensure(packages::BUILD)?;
    packages::ensure(packages::TEST)?;
    let gantry = build_tests()?;
    let mut failed = Vec::new();
    for suite in &suites {
        eprintln!("suite {}: budget {} s", suite.name, suite.budget.as_secs());
        let start = Instant::now();
        if show_and_run(&mut suite.command(&gantry)).is_err() {
            failed.push(suite.name.as_str());
        }
        let took = start.elapsed();
        if took > suite.budget {
            eprintln!("warning: suite {} took {} s", suite.name, took.as_secs());
        }
    }
    if !failed.is_empty() {
        bail!("failed suites: {}", failed.join(", "));
    }
    Ok(())
}

impl Suite {
    fn command(&self, gantry: &PathBuf) -> Command {
        let mut command = command(&["test", "--no-fail-fast"]);
        command.args(&self.selection).env("GANTRY_BIN", gantry);
        if self.name == ORACLES {
            as_oracles(&mut command);
        }
        command
    }
}

/// Makes a command one of the workspace of the oracles, with products of its own.
pub(crate) fn as_oracles(command: &mut Command) -> &mut Command {
    command.current_dir(root().join("tests/oracles")).env("CARGO_TARGET_DIR", target().join("oracles"))
}

/// `doc`, `unit`, the oracles, then each end-to-end file by its name.
fn suites() -> Result<Vec<Suite>> {
    let graph = metadata(&["--no-deps"])?;
    let mut files: Vec<&str> = list(&graph, "packages")
        .flat_map(|package| list(package, "targets"))
        .filter(|target| list(target, "kind").any(|kind| kind == "test"))
        .map(|target| text(target, "name"))
        .collect();
    files.sort_unstable();
    let workspace = |rest: &[&'static str]| [&["--workspace"], rest].concat();
    let fixed =
        [("doc", workspace(&["--doc"])), ("unit", workspace(&["--lib", "--bins"])), (ORACLES, vec!["--locked"])];
    let of_files = files.into_iter().map(|name| (name, vec!["--workspace", "--test", name]));
    Ok(fixed
        .into_iter()
        .chain(of_files)
        .map(|(name, selection)| Suite {
            name: name.to_owned(),
            selection: selection.into_iter().map(str::to_owned).collect(),
            budget: Duration::from_secs(budget(name)),
        })
        .collect())
}

fn budget(name: &str) -> u64 {
    BUDGETS.iter().find(|(known, _)| *known == name).map_or(END_TO_END_BUDGET, |(_, seconds)| *seconds)
}
