//! `cargo xtask arm64` and `cargo xtask big-endian`: the other machines that the code must hold on.
//!
//! arm64 is shipped, so all of the workspace is compiled for it. A big-endian machine is not; the parsers run on one, emulated,
//! because only there a number that was read in the machine's own byte order comes out wrong.

use std::process::Command;

use anyhow::Result;
use fixtures::command::{output, run};
use fixtures::packages;

use crate::cargo::{command, show_and_run};

const ARM64: &str = "aarch64-unknown-linux-gnu";
const BIG_ENDIAN: &str = "s390x-unknown-linux-gnu";
/// The pure crates: what reads bytes from outside.
const PARSERS: [&str; 3] = ["contract", "formats", "codecs"];

/// Compiles the workspace for arm64, the C libraries included, without linking.
///
/// # Errors
/// When something cannot be installed or does not compile.
pub(crate) fn arm64() -> Result<()> {
    packages::ensure(packages::ARM64)?;
    ensure_target(ARM64)?;
    show_and_run(&mut command(&["check", "--workspace", "--locked", "--target", ARM64]))
}

/// Runs the unit tests of every parser and decoder on an emulated big-endian machine.
///
/// # Errors
/// When something cannot be installed or built, or a test fails.
pub(crate) fn big_endian() -> Result<()> {
    packages::ensure(packages::BIG_ENDIAN)?;
    ensure_target(BIG_ENDIAN)?;
    let mut test = command(&["test", "--lib", "--locked", "--target", BIG_ENDIAN]);
    test.args(PARSERS.iter().flat_map(|name| ["--package", name]));
    test.env("CARGO_TARGET_S390X_UNKNOWN_LINUX_GNU_LINKER", "s390x-linux-gnu-gcc");
    test.env("CARGO_TARGET_S390X_UNKNOWN_LINUX_GNU_RUNNER", "qemu-s390x -L /usr/s390x-linux-gnu");
    // Tests start outside tools, and a fork of an emulated process with several threads hangs now and then.
    test.env("RUST_TEST_THREADS", "1");
    show_and_run(&mut test)
}

/// Installs the standard library for `target` where it is missing.
///
/// # Errors
/// When there is neither the library nor a way to it.
pub(crate) fn ensure_target(target: &str) -> Result<()> {
    let installed = output(Command::new("rustup").args(["target", "list", "--installed"]))?;
    if installed.lines().any(|line| line == target) {
        return Ok(());
    }
    run(Command::new("rustup").args(["target", "add", target]))
}
