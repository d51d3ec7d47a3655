//! `cargo xtask fuzz`: runs every target of `tests/fuzz` for a while; one failure fails all.
//!
//! The targets are libFuzzer programs, built here with the flags that cargo-fuzz would pass, so that nothing has to be installed
//! but a nightly compiler (for coverage instrumentation and the address sanitizer).

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Mutex;
use std::thread::{self, available_parallelism};

use anyhow::{Context, Result, anyhow, bail};
use fixtures::command::output;
use serde_json::Value;

use crate::cargo::{list, root, show_and_run, target, text};

const FLAGS: &str = "--cfg fuzzing -Zsanitizer=address -Cpasses=sancov-module \
    -Cllvm-args=-sanitizer-coverage-level=4 -Cllvm-args=-sanitizer-coverage-inline-8bit-counters \
    -Cllvm-args=-sanitizer-coverage-pc-table -Cllvm-args=-sanitizer-coverage-trace-compares \
    -Ccodegen-units=1 -Cdebug-assertions -Coverflow-checks";

/// MiB that a target may take; the decoders promise far less.
const MEMORY: u64 = 1024;
/// Seconds for one input: a hang is a failure too.
const ONE_INPUT: u64 = 20;

/// Fuzzes each target for `seconds`.
///
/// What libFuzzer finds interesting is kept in `target/fuzz/corpus`, what breaks a target in `target/fuzz/failures`; seeds
/// are read from `tests/fuzz/corpus/TARGET`.
///
/// # Errors
/// When a target does not build, or fails; the failing input's path is in libFuzzer's output.
pub(crate) fn run(seconds: u64) -> Result<()> {
    let folder = root().join("tests/fuzz");
    let targets = targets(&folder)?;
    if targets.is_empty() {
        bail!("{} has no targets", folder.display());
    }
    let programs = build(&folder)?;
    let waiting = Mutex::new(targets.iter());
    // A target uses one processor.
    let next = || waiting.lock().ok()?.next();
    let in_turn = || -> Result<()> {
        while let Some(name) = next() {
            fuzz_one(name, &programs.join(name), seconds)?;
        }
        Ok(())
    };
    let processors = available_parallelism().map_or(1, usize::from);
    thread::scope(|scope| {
        let workers: Vec<_> = (0..processors).map(|_| scope.spawn(in_turn)).collect();
        workers.into_iter().try_for_each(|worker| worker.join().map_err(|_| anyhow!("a fuzzing thread panicked"))?)
    })?;
    eprintln!("fuzz: {} targets, {seconds} s each, no failure", targets.len());
    Ok(())
}

/// A cargo of the nightly toolchain, which is installed if it is missing.
fn nightly(arguments: &[&str]) -> Result<Command> {
    let present = Command::new("rustup")
        .args(["run", "nightly", "cargo", "--version"])
        .output()
        .is_ok_and(|answer| answer.status.success());
    if !present {
        show_and_run(Command::new("rustup").args(["toolchain", "install", "nightly", "--profile", "minimal"]))?;
    }
    let mut command = Command::new("rustup");
    // Cargo sets these for its children; they would lead back to the stable compiler.
    command.env_remove("CARGO").env_remove("RUSTC").env_remove("RUSTUP_TOOLCHAIN");
    command.args(["run", "nightly", "cargo"]).args(arguments);
    Ok(command)
}

fn targets(folder: &Path) -> Result<Vec<String>> {
    let text_of = output(nightly(&["metadata", "--format-version", "1", "--no-deps"])?.current_dir(folder))?;
    let graph: Value = serde_json::from_str(&text_of)?;
    Ok(list(&graph, "packages")
        .flat_map(|package| list(package, "targets"))
        .filter(|target| list(target, "kind").any(|kind| kind == "bin"))
        .map(|target| text(target, "name").to_owned())
        .collect())
}

/// Builds all targets and returns their folder.
fn build(folder: &Path) -> Result<PathBuf> {
    let triple = format!("{}-unknown-linux-gnu", std::env::consts::ARCH);
    let products = target().join("fuzz");
    // With a named target the flags do not reach build scripts and macros, which must not be instrumented.
    show_and_run(
        nightly(&["build", "--release", "--bins", "--target", &triple])?
            .current_dir(folder)
            .env("RUSTFLAGS", FLAGS)
            .env("CARGO_TARGET_DIR", &products),
    )?;
    Ok(products.join(triple).join("release"))
}

fn fuzz_one(name: &str, program: &Path, seconds: u64) -> Result<()> {
    let corpus = target().join("fuzz/corpus").join(name);
    let failures = target().join("fuzz/failures").join(name);
    for folder in [&corpus, &failures] {
        fs::create_dir_all(folder).with_context(|| format!("could not make {}", folder.display()))?;
    }
    let mut command = Command::new(program);
    command
        .arg(format!("-max_total_time={seconds}"))
        .arg(format!("-timeout={ONE_INPUT}"))
        .arg(format!("-rss_limit_mb={MEMORY}"))
        .arg(format!("-artifact_prefix={}/", failures.display()))
        .args(["-print_final_stats=1", "-verbosity=0"])
        .arg(&corpus);
    let seeds = root().join("tests/fuzz/corpus").join(name);
    if seeds.is_dir() {
        command.arg(seeds);
    }
    show_and_run(&mut command)
}
