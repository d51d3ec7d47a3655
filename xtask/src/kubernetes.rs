//! `cargo xtask kubernetes`: a real Kubernetes of one node, and the tests that need one.

use anyhow::{Context, Result, bail, ensure};
use fixtures::command::output;
use fixtures::kubernetes::{Binaries, Cluster, Outcome};
use fixtures::packages;

use crate::cargo::{DEV, build_gantry, command, list, metadata, root, show_and_run, target, text};
use crate::image::{AMD64, build};
use crate::soak::TIMES;

/// Files of tests that need a cluster begin with this; each of their tests says so by being ignored elsewhere.
pub(crate) const TESTS: &str = "kubernetes_";
/// What the tests of the cluster itself are called here; they are beside its code.
const BED: &str = "bed";

const USAGE: &str = "usage: cargo xtask kubernetes up|down|install|test [FILE [NAME]]|specs [REGEX]|kubectl ...";

pub(crate) fn run(task: &[&str]) -> Result<()> {
    match task {
        ["up"] => up().map(drop),
        ["down"] => Cluster::running()?.down(),
        ["install"] => again(),
        ["kubectl", arguments @ ..] => show_and_run(Cluster::running()?.kubectl().args(arguments)),
        ["test"] => test(None, None),
        ["test", file] => test(Some(file), None),
        ["test", file, name] => test(Some(file), Some(name)),
        ["specs"] => specs(""),
        ["specs", focus] => specs(focus),
        _ => bail!("{USAGE}"),
    }
}

/// Starts it with the product in it. What starts stays up even if the product does not come up, so that one can look why.
fn up() -> Result<Cluster> {
    packages::ensure(packages::KUBERNETES)?;
    let cluster = Cluster::up(&binaries()?)?;
    install(&cluster)?;
    eprintln!("{}", output(cluster.kubectl().args(["get", "nodes,pods", "--all-namespaces", "--output", "wide"]))?);
    Ok(cluster)
}

/// Puts the product as it is now into the cluster that is up.
fn again() -> Result<()> {
    let cluster = Cluster::running()?;
    cluster.load_product(&binaries()?)?;
    install(&cluster)
}

/// Installs the product as a user does: the kinds first, which have a file of their own.
fn install(cluster: &Cluster) -> Result<()> {
    cluster.install(&["crds.yaml", "gantry.yaml"].map(|name| root().join("deploy").join(name)))
}

/// Runs the tests in the cluster that is up, or in one that is ended after the tests, however they went.
fn test(file: Option<&str>, name: Option<&str>) -> Result<()> {
    let files = files(file)?;
    in_cluster(|| run_tests(&files, name, 1))
}

/// Runs these files with `times` the iterations, in a cluster as [`test`] has it.
pub(crate) fn soak(files: &[String], times: u32) -> Result<()> {
    in_cluster(|| run_tests(files, None, times))
}

fn in_cluster(test: impl Fn() -> Result<()>) -> Result<()> {
    if Cluster::running().is_ok() {
        return test();
    }
    let tested = up().and_then(|_| test());
    // None is up if it did not start.
    Cluster::running().map_or(Ok(()), Cluster::down).and(tested)
}

/// Runs upstream's specs of storage in the cluster that is up, and says what came of them.
fn specs(focus: &str) -> Result<()> {
    let report = target().join("storage-specs.json");
    let ended = show_and_run(&mut Cluster::running()?.storage_specs(focus, &report)?);
    let outcome = Outcome::read(&report)?;
    for (why, names) in &outcome.skipped {
        println!("skipped: {}: {why}\n  {}", names.len(), names.join("\n  "));
    }
    for (name, why) in &outcome.failed {
        println!("failed: {name}: {why}");
    }
    println!("{} passed, {} failed", outcome.passed.len(), outcome.failed.len());
    ended
}

/// Runs all of them, random ones with `times` the iterations, before it says that one has failed.
fn run_tests(files: &[String], name: Option<&str>, times: u32) -> Result<()> {
    let gantry = build_gantry(DEV)?;
    let mut failed = Vec::new();
    for file in files {
        let mut test = if file == BED {
            command(&["test", "--package", "fixtures", "--lib", "--", "--ignored", "--test-threads", "1"])
        } else {
            command(&["test", "--package", "tests", "--test", file, "--", "--ignored", "--test-threads", "1"])
        };
        test.args(name).env("GANTRY_BIN", &gantry).env(TIMES, times.to_string());
        if times > 1 {
            // Seeds and what happened are of interest then.
            test.arg("--nocapture");
        }
        if show_and_run(&mut test).is_err() {
            failed.push(&**file);
        }
    }
    ensure!(failed.is_empty(), "failed: {}", failed.join(", "));
    Ok(())
}

/// All files of tests that need a cluster and the bed's own tests, or the one that is called `wanted`.
fn files(wanted: Option<&str>) -> Result<Vec<String>> {
    let graph = metadata(&["--no-deps"])?;
    let targets =
        list(&graph, "packages").flat_map(|package| list(package, "targets")).map(|target| text(target, "name"));
    // Last, because it kills what the others stand on.
    let all = targets.filter(|name| name.starts_with(TESTS)).chain([BED]);
    let files: Vec<String> =
        all.filter(|name| wanted.is_none_or(|wanted| *name == wanted)).map(str::to_owned).collect();
    ensure!(!files.is_empty(), "there is no file of tests called {}", wanted.unwrap_or_default());
    Ok(files)
}

/// Builds the product's programs as quickly as they can be.
fn binaries() -> Result<Binaries> {
    build(AMD64, "fast").context("the product's programs cannot be built")
}
