//! `cargo xtask sizes`: the stops for files, functions and the lock file.
//!
//! They are stops, not aims: half of a stop is already long. Arguments per function are clippy's to count.

use std::fs;

use anyhow::{Result, bail};

use crate::cargo::root;
use crate::rust_source::{Source, files};

const FILE_LINES: usize = 800;
const FUNCTION_LINES: usize = 80;
const FUNCTIONS_PER_FILE: usize = 30;
const LOCKED_PACKAGES: usize = 720;

/// Checks every Rust file of the repository.
///
/// # Errors
/// With everything that is past a stop.
pub(crate) fn run() -> Result<()> {
    let sources = files(root(), "")?;
    let mut faults: Vec<String> = sources.iter().flat_map(faults_of).collect();
    let lock = fs::read_to_string(root().join("Cargo.lock"))?;
    let packages = lock.lines().filter(|line| *line == "[[package]]").count();
    if packages > LOCKED_PACKAGES {
        faults.push(format!("Cargo.lock has {packages} packages, at most {LOCKED_PACKAGES}"));
    }
    if !faults.is_empty() {
        bail!("too large:\n  {}", faults.join("\n  "));
    }
    eprintln!("sizes: {} files, {packages} locked packages", sources.len());
    Ok(())
}

fn faults_of(source: &Source) -> Vec<String> {
    let path = source.path.display();
    let mut faults = Vec::new();
    let lines = source.text.lines().count();
    if lines > FILE_LINES {
        faults.push(format!("{path} has {lines} lines, at most {FILE_LINES}"));
    }
    let functions = source.functions();
    for function in functions.iter().filter(|function| function.length > FUNCTION_LINES && !function.excused) {
        faults.push(format!(
            "{path}:{} {} has {} lines, at most {FUNCTION_LINES}",
            function.line, function.name, function.length
        ));
    }
    let count = functions.iter().filter(|function| !function.in_tests).count();
    if count > FUNCTIONS_PER_FILE {
        faults.push(format!("{path} has {count} functions, at most {FUNCTIONS_PER_FILE}"));
    }
    faults
}

#[cfg(test)]
mod tests {
    use super::*;

    fn faults(text: String) -> Vec<String> {
        faults_of(&Source { path: "a.rs".into(), text })
    }

    #[test]
    fn what_is_just_at_a_stop_passes_and_one_more_does_not() {
        let function = |lines: usize| format!("fn long() {{\n{}}}\n", "    x();\n".repeat(lines - 2));
        assert!(faults(function(80)).is_empty());
        assert_eq!(faults(function(81)).len(), 1);
        assert!(faults("fn f() {}\n".repeat(30)).is_empty());
        assert_eq!(faults("fn f() {}\n".repeat(31)).len(), 1);
        assert!(faults("x\n".repeat(800)).is_empty());
        assert_eq!(faults("x\n".repeat(801)).len(), 1);
    }
}
