//! `cargo xtask check`: everything that is decided without running the product.

use anyhow::Result;
use fixtures::packages;

use crate::cargo::{command, show_and_run};
use crate::{arrows, deny, fuzz, generate, platforms, sizes};

/// Seconds per fuzz target: enough to replay the corpus and to notice a parser that falls over at once.
const FUZZ_SECONDS: u64 = 10;

/// Runs every check, the quick ones first.
///
/// # Errors
/// At the first that fails.
pub(crate) fn run() -> Result<()> {
    lint()?;
    others()
}

/// Runs those that read our own source.
///
/// # Errors
/// At the first that fails.
pub(crate) fn lint() -> Result<()> {
    packages::ensure(packages::BUILD)?;
    show_and_run(&mut command(&["fmt", "--all", "--check"]))?;
    sizes::run()?;
    arrows::run()?;
    show_and_run(&mut command(&["clippy", "--workspace", "--all-targets", "--locked", "--", "-D", "warnings"]))?;
    // With the examples, because their dependencies have the features that clippy has seen them with.
    let mut doc = command(&["doc", "--workspace", "--no-deps", "--lib", "--bins", "--examples", "--locked"]);
    show_and_run(doc.env("RUSTDOCFLAGS", "-D warnings"))?;
    generate::check()?;
    platforms::arm64()
}

/// Runs those that compile much besides what is tested, for a verdict that nothing else waits for.
///
/// # Errors
/// At the first that fails.
pub(crate) fn others() -> Result<()> {
    deny::run()?;
    fuzz::run(FUZZ_SECONDS)
}
