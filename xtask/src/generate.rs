//! `cargo xtask generate`: manifests and tables that come from the types of the crate `api`.
//!
//! An example program of that crate prints them, so that xtask itself links no Kubernetes.

use std::collections::BTreeMap;
use std::fs;
use std::process::Command;

use anyhow::{Context, Result, bail};
use fixtures::command::output;

use crate::cargo::{DEV, command, folder_of, root, show_and_run, target};

/// Writes what has changed.
///
/// # Errors
/// When the program fails or a file cannot be written.
pub(crate) fn run() -> Result<()> {
    for (path, text) in generated()? {
        if current(&path) != text {
            fs::write(root().join(&path), text).with_context(|| format!("could not write {path}"))?;
            eprintln!("generate: {path}");
        }
    }
    Ok(())
}

/// Compares what would be written with what is there.
///
/// # Errors
/// With every file that differs.
pub(crate) fn check() -> Result<()> {
    let generated = generated()?;
    let stale: Vec<&str> =
        generated.iter().filter(|(path, text)| current(path) != **text).map(|(path, _)| path.as_str()).collect();
    if !stale.is_empty() {
        bail!("run cargo xtask generate, it changes:\n  {}", stale.join("\n  "));
    }
    eprintln!("generate: {} files are as generated", generated.len());
    Ok(())
}

/// Path and content of each file.
fn generated() -> Result<BTreeMap<String, String>> {
    // Of all packages: alone, the crate's dependencies would have fewer features and be compiled once more.
    show_and_run(&mut command(&["build", "--workspace", "--example", "manifests", "--locked", "--quiet"]))?;
    let text = output(&mut Command::new(target().join(folder_of(DEV)).join("examples/manifests")))?;
    Ok(serde_json::from_str(&text)?)
}

/// What a file holds now; nothing if it is not there.
fn current(path: &str) -> String {
    fs::read_to_string(root().join(path)).unwrap_or_default()
}
