//! The files of tests that need a cluster: which may run at the same time, and running them.
//!
//! Nearly all of a test's time is waiting for a kubelet, a sidecar or a pod, so files run at the same time, and tests of a file
//! too. Those that change or count what all have in common have the cluster to themselves, one test at a time, after the others.

use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};
use std::thread;
use std::time::Instant;

use anyhow::{Context, Result, anyhow, ensure};

use crate::cargo::{build_tests, command, list, metadata, text};
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
    for file in alone {
        failed.extend(run_alone(file, test(file))?);
    }
    // Once more, since what the others said afterwards is long, and what shows a log may cut it in its middle.
    for (file, said) in &failed {
        eprintln!("{file} failed:{}", &said[said.find(FAILURES).unwrap_or(said.len())..]);
    }
    ensure!(failed.is_empty(), "failed: {}", failed.iter().map(|(file, _)| *file).collect::<Vec<_>>().join(", "));
    Ok(())
}

/// Where a test program tells why tests failed.
const FAILURES: &str = "\nfailures:\n";

/// A file whose tests failed, and all that it said on its standard output.
type Failed<'a> = (&'a str, String);

fn is_alone(file: &str) -> bool {
    ALONE.contains(&file)
}

/// Runs a file that has the cluster to itself. What it has to say is printed as it says it.
fn run_alone<'a>(file: &'a str, mut test: Command) -> Result<Option<Failed<'a>>> {
    eprintln!("{file}");
    let start = Instant::now();
    let mut running =
        test.stdout(Stdio::piped()).spawn().with_context(|| format!("could not start the tests of {file}"))?;
    let mut said = String::new();
    for line in running.stdout.take().into_iter().flat_map(|output| BufReader::new(output).lines()) {
        let line = line?;
        println!("{line}");
        said += &format!("{line}\n");
    }
    let passed = running.wait()?.success();
    eprintln!("{file}, {} s\n", start.elapsed().as_secs());
    Ok((!passed).then_some((file, said)))
}

/// Runs files at the same time, and returns those that failed. What each has to say is printed at its end.
fn run_together<'a>(files: &[&'a str], test: impl Fn(&str) -> Command + Sync) -> Result<Vec<Failed<'a>>> {
    let run = |file: &'a str| -> Result<Option<Failed<'a>>> {
        let start = Instant::now();
        let ended = test(file).output().with_context(|| format!("could not start the tests of {file}"))?;
        let [said, besides] = [ended.stdout, ended.stderr].map(|said| String::from_utf8_lossy(&said).into_owned());
        eprintln!("{file}, {} s\n{said}{besides}", start.elapsed().as_secs());
        Ok((!ended.status.success()).then_some((file, said)))
    };
    thread::scope(|scope| {
        let running: Vec<_> = files.iter().map(|&file| (file, scope.spawn(move || run(file)))).collect();
        let mut failed = Vec::new();
        for (file, running) in running {
            failed.extend(running.join().map_err(|_| anyhow!("the thread of {file} panicked"))??);
        }
        Ok(failed)
    })
}
