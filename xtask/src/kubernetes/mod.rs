//! `cargo xtask kubernetes`: a real Kubernetes of one node, and the tests that need one.

mod suites;

use anyhow::{Context, Result, bail};
use fixtures::command::output;
use fixtures::kubernetes::{Binaries, Cluster, Outcome};
use fixtures::{go, packages};

use crate::cargo::{DEV, root, show_and_run, target};
use crate::image::{AMD64, build};

pub(crate) use self::suites::PREFIX;

const USAGE: &str =
    "usage: cargo xtask kubernetes programs|up|down|install|test [FILE [NAME]]|specs [REGEX]|kubectl ...";

pub(crate) fn run(task: &[&str]) -> Result<()> {
    match task {
        ["programs"] => programs(),
        ["up"] => up(DEV).map(drop),
        ["down"] => Cluster::running()?.down(),
        ["install"] => again(&Cluster::running()?, DEV),
        ["kubectl", arguments @ ..] => show_and_run(Cluster::running()?.kubectl().args(arguments)),
        ["test"] => test(None, None),
        ["test", file] => test(Some(file), None),
        ["test", file, name] => test(Some(file), Some(name)),
        ["specs"] => specs(""),
        ["specs", focus] => specs(focus),
        _ => bail!("{USAGE}"),
    }
}

/// Builds Kubernetes' own programs, which takes a quarter of an hour the first time.
fn programs() -> Result<()> {
    go::kubernetes()?;
    go::coredns().map(drop)
}

/// Starts it with the product in it, built in `profile`. What starts stays up even if the product does not come up, so that one can look why.
pub(crate) fn up(profile: &str) -> Result<Cluster> {
    start(&Cluster::chosen(), profile)
}

fn start(name: &str, profile: &str) -> Result<Cluster> {
    packages::ensure(packages::KUBERNETES)?;
    let cluster = Cluster::up(name, &binaries(profile)?)?;
    install(&cluster)?;
    eprintln!("{}", output(cluster.kubectl().args(["get", "nodes,pods", "--all-namespaces", "--output", "wide"]))?);
    Ok(cluster)
}

/// Puts the product as it is now, built in `profile`, into the cluster that is up.
pub(crate) fn again(cluster: &Cluster, profile: &str) -> Result<()> {
    cluster.load_product(&binaries(profile)?)?;
    install(cluster)
}

/// Installs the product as a user does, who has nothing of it yet, not even its kinds.
fn install(cluster: &Cluster) -> Result<()> {
    cluster.install(&root().join("deploy/gantry.yaml"))
}

/// Runs the tests in the cluster that is up; if none is, all of them in two, or one file in one, which end after the tests.
fn test(file: Option<&str>, name: Option<&str>) -> Result<()> {
    suites::run(&suites::named(file)?, name, 1, file.is_none() && Cluster::running().is_err())
}

/// Runs these files with `times` the iterations, in the cluster that is up or in one that is ended afterwards.
pub(crate) fn soak(files: &[String], times: u32) -> Result<()> {
    suites::run(files, None, times, false)
}

/// Does something in the cluster of this name if it is up, or in one that is ended afterwards, however that went.
fn in_cluster<T>(name: &str, act: impl FnOnce() -> Result<T>) -> Result<T> {
    if Cluster::called(name).is_ok() {
        return act();
    }
    let acted = start(name, DEV).and_then(|_| act());
    // None is up if it did not start.
    let ended = Cluster::called(name).map_or(Ok(()), Cluster::down);
    acted.and_then(|acted| ended.map(|()| acted))
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

fn binaries(profile: &str) -> Result<Binaries> {
    build(AMD64, profile).context("the product's programs cannot be built")
}
