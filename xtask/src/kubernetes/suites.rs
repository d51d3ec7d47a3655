//! The files of tests that need a cluster: which may run at the same time, in which cluster, and running them.
//!
//! Nearly all of a test's time is waiting for a kubelet, a sidecar or a pod, so files run at the same time, and tests of a file
//! too. Those that change or count what all have in common have the cluster to themselves, one test at a time: after the others,
//! or meanwhile in a second cluster.

use std::process::Command;
use std::thread;
use std::time::Instant;

use anyhow::{Context, Result, anyhow, ensure};
use fixtures::kubernetes::{CHOICE, Cluster};

use super::in_cluster;
use crate::cargo::{build_tests, command, list, metadata, show_and_run, text};
use crate::soak::TIMES;

/// Files of tests that need a cluster begin with this; each of their tests says so by being ignored elsewhere.
pub(crate) const PREFIX: &str = "kubernetes_";
/// What the tests of the cluster itself are called here; they are beside its code.
const BED: &str = "bed";
/// They kill parts, set what holds for the whole installation, or compare all that there is before and after, so they run one
/// after another, those of the second line in a second cluster: more than two keep each other from a processor. What was asked of
/// the API server is looked at when most has been asked, and before it is killed.
const ALONE: [&[&str]; 2] = [
    &["kubernetes_installation", "kubernetes_deleted", RIGHTS],
    &["kubernetes_settings", RIGHTS, "kubernetes_requests", "kubernetes_faults", BED],
];
/// What it says is of the cluster that it runs in, so it runs in both.
const RIGHTS: &str = "kubernetes_rights";
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

/// Runs these files, or the tests in them whose names have `name` in them, random ones with `times` the iterations, in the cluster
/// that is meant, or in that and a second one. All are run before it says that one has failed.
///
/// # Errors
/// When something cannot be built, a cluster does not come up, or a test fails.
pub(super) fn run(files: &[String], name: Option<&str>, times: u32, in_two: bool) -> Result<()> {
    let gantry = build_tests()?;
    let test = &|file: &str, cluster: &str| {
        let target: &[&str] = if file == BED { &["--lib"] } else { &["--test", file] };
        // Of all packages, as what is built.
        let mut test = command(&["test", "--workspace"]);
        test.args(target).args(["--", "--ignored", "--test-threads", if is_alone(file) { "1" } else { AT_ONCE }]);
        test.args(name).env("GANTRY_BIN", &gantry).env(TIMES, times.to_string()).env(CHOICE, cluster);
        if times > 1 {
            // Seeds and what happened are of interest then.
            test.arg("--nocapture");
        }
        test
    };
    // What is repeated takes so long that one wants to see how it goes.
    let shown = times > 1;
    let chosen = Cluster::chosen();
    let clusters = [chosen.clone(), format!("{chosen}-2")];
    let running = courses(files, in_two)
        .into_iter()
        .zip(clusters)
        .map(|(course, cluster)| move || in_cluster(&cluster, || course.run(|file| test(file, &cluster), shown)));
    let failed = at_once(running)?.concat();
    // Once more, since what the others said afterwards is long, and what shows a log may cut it in its middle.
    for (file, said) in &failed {
        eprintln!("{file} failed:{}", &said[said.find(FAILURES).unwrap_or(said.len())..]);
    }
    ensure!(failed.is_empty(), "failed: {}", failed.iter().map(|(file, _)| *file).collect::<Vec<_>>().join(", "));
    Ok(())
}

fn is_alone(file: &str) -> bool {
    ALONE.concat().contains(&file)
}

/// Where a test program tells why tests failed.
const FAILURES: &str = "\nfailures:\n";

/// A file whose tests failed, and all that it said on its standard output.
type Failed<'a> = (&'a str, String);

/// What is run in one cluster.
struct Course<'a> {
    /// At the same time ...
    together: Vec<&'a str>,
    /// ... and then one after another.
    alone: Vec<&'a str>,
}

/// These files, as they are run in one cluster or in two.
fn courses(files: &[String], in_two: bool) -> Vec<Course<'_>> {
    let files: Vec<&str> = files.iter().map(String::as_str).collect();
    let together = files.iter().copied().filter(|file| !is_alone(file)).collect();
    let wanted = |alone: &[&str]| -> Vec<&str> {
        alone.iter().filter_map(|alone| files.iter().copied().find(|file| file == alone)).collect()
    };
    if in_two {
        let [first, second] = ALONE.map(wanted);
        vec![Course { together, alone: first }, Course { together: Vec::new(), alone: second }]
    } else {
        vec![Course { together, alone: wanted(&ALONE.concat()) }]
    }
}

impl<'a> Course<'a> {
    /// Runs all, and returns those that failed.
    fn run(&self, test: impl Fn(&str) -> Command + Copy + Send, shown: bool) -> Result<Vec<Failed<'a>>> {
        let mut ended = at_once(self.together.iter().map(|&file| move || run_file(file, test(file), shown)))?;
        for file in &self.alone {
            ended.push(run_file(file, test(file), shown)?);
        }
        Ok(ended.into_iter().flatten().collect())
    }
}

/// Runs a file, and returns it if it failed. What it has to say is printed at its end, unless it is shown as it says it.
fn run_file(file: &str, mut test: Command, shown: bool) -> Result<Option<Failed<'_>>> {
    if shown {
        return Ok(show_and_run(&mut test).is_err().then(|| (file, String::new())));
    }
    let start = Instant::now();
    let ended = test.output().with_context(|| format!("could not start the tests of {file}"))?;
    let [said, besides] = [ended.stdout, ended.stderr].map(|said| String::from_utf8_lossy(&said).into_owned());
    eprintln!("{file}, {} s\n{said}{besides}", start.elapsed().as_secs());
    Ok((!ended.status.success()).then_some((file, said)))
}

/// Does all of this at the same time.
fn at_once<T: Send>(tasks: impl Iterator<Item = impl FnOnce() -> Result<T> + Send>) -> Result<Vec<T>> {
    thread::scope(|scope| {
        let running: Vec<_> = tasks.map(|task| scope.spawn(task)).collect();
        running.into_iter().map(|task| task.join().map_err(|_| anyhow!("a thread panicked"))?).collect()
    })
}
