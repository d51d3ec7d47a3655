//! Calls cargo, and knows where this workspace and its products are.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};
use fixtures::command::output;
use serde_json::Value;

/// The root of the workspace.
pub(crate) fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap_or(Path::new("."))
}

/// The folder of build products.
pub(crate) fn target() -> PathBuf {
    std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root().join("target"), PathBuf::from)
}

/// The command `cargo ARGUMENTS` at the root.
pub(crate) fn command(arguments: &[&str]) -> Command {
    let mut command = Command::new("cargo");
    command.args(arguments).current_dir(root());
    command
}

/// Shows a command and runs it with its output on the terminal.
///
/// # Errors
/// When it cannot be started or fails.
pub(crate) fn show_and_run(command: &mut Command) -> Result<()> {
    let words: Vec<_> = command.get_args().map(|word| word.to_string_lossy()).collect();
    let line = format!("{} {}", command.get_program().display(), words.join(" "));
    eprintln!("$ {line}");
    let status = command.status().with_context(|| format!("could not start {line}"))?;
    if !status.success() {
        bail!("{line}: {status}");
    }
    Ok(())
}

/// The profile of a day's work and of tests.
pub(crate) const DEV: &str = "dev";
/// The profile of what users have.
pub(crate) const RELEASE: &str = "release";

/// Builds the `gantry` command as it is released, and returns its path.
///
/// # Errors
/// When the build fails.
pub(crate) fn build_gantry() -> Result<PathBuf> {
    show_and_run(&mut command(&["build", "--package", "gantry", "--release"]))?;
    gantry(RELEASE)
}

/// Builds all tests and the programs that they run, and returns the path of the `gantry` command.
///
/// All in one go: a program that is built without the tests has other features in what both depend on, which is then compiled
/// twice.
///
/// # Errors
/// When the build fails.
pub(crate) fn build_tests() -> Result<PathBuf> {
    show_and_run(&mut command(&["build", "--workspace", "--bins", "--tests", "--quiet"]))?;
    gantry(DEV)
}

fn gantry(profile: &str) -> Result<PathBuf> {
    let binary = target().join(folder_of(profile)).join("gantry");
    if !binary.is_file() {
        bail!("the build left no {}", binary.display());
    }
    Ok(binary)
}

/// The folder of what is built in `profile`, below that of all products.
pub(crate) fn folder_of(profile: &str) -> &str {
    // Cargo's one exception.
    if profile == DEV { "debug" } else { profile }
}

/// `cargo metadata` with the given further arguments.
///
/// # Errors
/// When cargo fails.
pub(crate) fn metadata(arguments: &[&str]) -> Result<Value> {
    let text = output(command(&["metadata", "--format-version", "1"]).args(arguments))?;
    Ok(serde_json::from_str(&text)?)
}

/// The elements of the array `key` of a JSON object, none if it is absent.
pub(crate) fn list<'a>(value: &'a Value, key: &str) -> impl Iterator<Item = &'a Value> {
    value[key].as_array().into_iter().flatten()
}

/// The text `key` of a JSON object, empty if it is absent.
pub(crate) fn text<'a>(value: &'a Value, key: &str) -> &'a str {
    value[key].as_str().unwrap_or_default()
}
