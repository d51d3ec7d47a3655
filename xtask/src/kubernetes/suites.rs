//! The files of tests that need a cluster: which may run at the same time, and running them.
//!
//! Nearly all of a test's time is waiting for a kubelet, a sidecar or a pod, so files run at the same time, and tests of a file
//! too. Those that change or count what all have in common have the cluster to themselves, one test at a time, after the others.

use std::process::Command;
use std::thread;
use std::time::Instant;

use anyhow::{Context, Result, anyhow, ensure};

use crate::cargo::{build_tests, command, list, metadata, show_and_run, text};
use crate::soak::TIMES;

/// Files of tests that need a cluster begin with this; each of their tests says so by being ignored elsewhere.
pub(crate) const PREFIX: &str = "kubernetes_";
/// What the tests of the cluster itself are called here; they are beside its code.
const BED: &str = "bed";
/// They kill parts, set what holds for the whole installation, or compare all that there is before and after. They run in this
/// order: what was asked of the API server is looked at when most has been asked.
const ALONE: [&str; 6] = [
    "kubernetes_installation",
    "kubernetes_deleted",
    "kubernetes_settings",
    "kubernetes_requests",
    "kubernetes_faults",
    BED,
];
/// Tests of a file that run at the same time, in files that share the cluster.
const AT_ONCE: &str = "2";

/// All files, or the one that is called `wanted`.
///
/// # Errors
/// When there is none of that name.
pub(super) fn named(wanted: Option<&str>) -> Result<Vec<String>> {
    let graph = metadata(&["--no-deps"])?;
    let targets =
        list(&graph, "packages").flat_map(|package| list(package, "targets")).map(|target| text(target, "name"));
    // The bed is last, because its tests kill what the others stand on.
    let all = targets.filter(|name| name.starts_with(PREFIX)).chain([BED]);
    let files: Vec<String> =
        all.filter(|name| wanted.is_none_or(|wanted| *name == wanted)).map(str::to_owned).collect();
    ensure!(!files.is_empty(), "there is no file of tests called {}", wanted.unwrap_or_default());
    Ok(files)
}

/// Runs these files, or the tests in them whose names have `name` in them, random ones with `times` the iterations. All are
/// run before it says that one has failed.
///
/// # Errors
/// When something cannot be built, or a test fails.
pub(super) fn run(files: &[String], name: Option<&str>, times: u32) -> Result<()> {
    let gantry = build_tests()?;
    let test = |file: &str| {
        let target: &[&str] = if file == BED { &["--lib"] } else { &["--test", file] };
        // Of all packages, as what is built.
        let mut test = command(&["test", "--workspace"]);
        test.args(target).args(["--", "--ignored", "--test-threads", if is_alone(file) { "1" } else { AT_ONCE }]);
        test.args(name).env("GANTRY_BIN", &gantry).env(TIMES, times.to_string());
        if times > 1 {
            // Seeds and what happened are of interest then.
            test.arg("--nocapture");
        }
        test
    };
    let has_cluster = |file: &&str| files.len() == 1 || is_alone(file);
    let (mut alone, together): (Vec<&str>, Vec<&str>) = files.iter().map(String::as_str).partition(has_cluster);
    alone.sort_by_key(|file| ALONE.iter().position(|alone| alone == file));
    let mut failed = run_together(&together, test)?;
    failed.extend(alone.into_iter().filter(|file| show_and_run(&mut test(file)).is_err()));
    ensure!(failed.is_empty(), "failed: {}", failed.join(", "));
    Ok(())
}

fn is_alone(file: &str) -> bool {
    ALONE.contains(&file)
}

/// Runs files at the same time, and returns those that failed. What each has to say is printed at its end.
fn run_together<'a>(files: &[&'a str], test: impl Fn(&str) -> Command + Sync) -> Result<Vec<&'a str>> {
    let passed = |file: &str| -> Result<bool> {
        let start = Instant::now();
        let ended = test(file).output().with_context(|| format!("could not start the tests of {file}"))?;
        let said = [ended.stdout, ended.stderr].map(|said| String::from_utf8_lossy(&said).into_owned());
        eprintln!("{file}, {} s\n{}", start.elapsed().as_secs(), said.concat());
        Ok(ended.status.success())
    };
    thread::scope(|scope| {
        let running: Vec<_> = files.iter().map(|file| (*file, scope.spawn(|| passed(file)))).collect();
        let mut failed = Vec::new();
        for (file, running) in running {
            if !running.join().map_err(|_| anyhow!("the thread of {file} panicked"))?? {
                failed.push(file);
            }
        }
        Ok(failed)
    })
}
