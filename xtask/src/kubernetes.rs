//! `cargo xtask kubernetes`: a real Kubernetes of one node, and the tests that need one.

use anyhow::{Result, bail};
use fixtures::command::output;
use fixtures::kubernetes::{Binaries, Cluster};
use fixtures::packages;

use crate::cargo::{command, show_and_run, target};
use crate::platforms::ensure_target;

/// Programs for it depend on no library of a machine, so that their images have nothing else in them.
const STATIC: &str = "x86_64-unknown-linux-musl";

/// Tests that need a cluster say so by being ignored elsewhere.
const TESTS: &str = "kubernetes_volumes";

pub(crate) fn run(task: &[&str]) -> Result<()> {
    match task {
        ["up"] => up().map(drop),
        ["down"] => Cluster::running()?.down(),
        ["kubectl", arguments @ ..] => show_and_run(Cluster::running()?.kubectl().args(arguments)),
        ["test"] => test(),
        _ => bail!("usage: cargo xtask kubernetes up|down|test|kubectl"),
    }
}

fn up() -> Result<Cluster> {
    let cluster = Cluster::up(&binaries()?)?;
    eprintln!("{}", output(cluster.kubectl().args(["get", "nodes,pods", "--all-namespaces", "--output", "wide"]))?);
    Ok(cluster)
}

/// Ends the cluster after the tests, however they went.
fn test() -> Result<()> {
    let cluster = up()?;
    let tested = show_and_run(&mut command(&["test", "--package", "tests", "--test", TESTS, "--", "--ignored"]));
    cluster.down()?;
    tested
}

/// Builds the product's programs, linked statically.
fn binaries() -> Result<Binaries> {
    packages::ensure(packages::BUILD)?;
    packages::ensure(packages::KUBERNETES)?;
    ensure_target(STATIC)?;
    let mut build = command(&["build", "--locked", "--profile", "fast", "--target", STATIC]);
    build.args(["--package", "importer", "--package", "gantry-csi", "--bins"]);
    show_and_run(build.env("CC_x86_64_unknown_linux_musl", "musl-gcc"))?;
    let folder = target().join(STATIC).join("fast");
    Ok(Binaries { importer: folder.join("cdi-importer"), csi: folder.join("gantry-csi") })
}
