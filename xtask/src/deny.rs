//! `cargo xtask deny`: licences, bans and sources by cargo-deny and `deny.toml`.

use anyhow::Result;

use crate::cargo::{command, show_and_run};

/// Runs cargo-deny, installed from source first where it is missing (two to four minutes on two cores).
///
/// # Errors
/// When it cannot be installed or finds fault.
pub(crate) fn run() -> Result<()> {
    let installed = command(&["deny", "--version"]).output().is_ok_and(|answer| answer.status.success());
    if !installed {
        // Unoptimised: it runs for a second and compiles in half the time.
        show_and_run(&mut command(&["install", "cargo-deny", "--locked", "--debug"]))?;
    }
    show_and_run(&mut command(&["deny", "--log-level", "error", "check", "licenses", "bans", "sources"]))
}
