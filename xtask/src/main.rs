//! `cargo xtask TASK`: what a developer and CI run, one file per task.

use std::process::ExitCode;

use anyhow::{Result, bail};

mod arrows;
mod bench;
mod bench_scale;
mod bench_storage;
mod cargo;
mod check;
mod demo;
mod deny;
mod differential;
mod fuzz;
mod generate;
mod image;
mod images;
mod kubernetes;
mod platforms;
mod rust_source;
mod sbom;
mod sizes;
mod soak;
mod test;

const USAGE: &str = "\
usage: cargo xtask TASK

  check             fmt, sizes, arrows, clippy, doc, generate --check, arm64; deny, and ten seconds of each fuzz target
  check lint, check others
                    what is before the semicolon alone, and what is after it
  test [SUITE]      install what the tests need, build, run every suite or one
  demo              make a real image, serve it, import it, compare
  bench [ROW ...]   measure against the peers; [--quick] [--rounds N] [--gantry BINARY]
                    [--write: the table into README.md and docs/performance.md]
  bench storage     writing inside volumes of gantry-csi, beside a loop device made by hand
  bench scale       thousands of blank DataVolumes on the cluster, pods and volumes stood in for: memory, requests, queues
                    [--at-once N] [--idle N] [--write: the table into docs/performance.md]
  generate [--check]
                    manifests and tables that come from the types of the API
  fuzz [SECONDS]    every fuzz target for that long (600)
  soak [N]          the kill and cut tests with N times (100) the iterations, a fifth of it in a cluster
  soak kubernetes [N]
                    those in a cluster alone, with N times (20) the iterations; GANTRY_SEED chooses the same again
  soak differential [N] [FORMAT]
                    N (10000) images of each format, intact and damaged, read by Gantry, qemu-img and others
  sbom [FILE]       what the binaries are made of, as CycloneDX (target/gantry.cdx.json)
  image [csi] [--arch amd64|arm64] [--output FILE]
                    the OCI image of the product, or of gantry-csi, made without a container engine
  kubernetes up     a real Kubernetes of one node with gantry-csi and the product, in namespaces of its own
  kubernetes kubectl ...
                    kubectl with an administrator's rights there
  kubernetes install
                    the product as it is now into the one that is up
  kubernetes test [FILE [NAME]]
                    start it, run its tests, end it; one that is up is used and stays
  kubernetes specs [REGEX]
                    upstream's specs of storage, against gantry-csi in the one that is up
  kubernetes down   end it; nothing is left
  images            make the big images of the bench ahead of time
  arrows, sizes, deny, arm64
                    one part of check alone
  big-endian        the parsers' and decoders' unit tests on an emulated s390x";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match run(&arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("xtask: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: &[String]) -> Result<()> {
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match words.as_slice() {
        ["check"] => check::run(),
        ["check", "lint"] => check::lint(),
        ["check", "others"] => check::others(),
        ["test"] => test::run(None),
        ["test", suite] => test::run(Some(suite)),
        ["demo"] => demo::run(),
        ["bench", "storage"] => bench_storage::run(),
        ["bench", "scale", options @ ..] => bench_scale::run(options),
        ["bench", options @ ..] => bench::run(options),
        ["generate"] => generate::run(),
        ["generate", "--check"] => generate::check(),
        ["fuzz"] => fuzz::run(600),
        ["fuzz", seconds] => fuzz::run(seconds.parse()?),
        ["soak", "differential", words @ ..] => differential::run(words),
        ["soak", "kubernetes"] => soak::in_cluster(20),
        ["soak", "kubernetes", times] => soak::in_cluster(times.parse()?),
        ["soak"] => soak::run(100),
        ["soak", times] => soak::run(times.parse()?),
        ["sbom"] => sbom::run(None),
        ["sbom", file] => sbom::run(Some(file)),
        ["image", words @ ..] => image::run(words),
        ["images"] => images::run(),
        ["kubernetes", task @ ..] => kubernetes::run(task),
        ["arrows"] => arrows::run(),
        ["sizes"] => sizes::run(),
        ["deny"] => deny::run(),
        ["arm64"] => platforms::arm64(),
        ["big-endian"] => platforms::big_endian(),
        _ => bail!("{USAGE}"),
    }
}
