//! The kinds of machines that the product runs on, and how its programs are made for them: linked statically with musl, so that
//! their images have no libraries in them.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::{env, fs};

use anyhow::{Context, Result};
use fixtures::cache::cached;
use fixtures::command::{output, run};
use fixtures::kubernetes::Binaries;
use fixtures::packages::{self, Package};

use crate::cargo::{DEV, command, folder_of, root, show_and_run, target};
use crate::platforms::ensure_target;

/// The crates whose programs are in images.
const PACKAGES: [&str; 4] = ["importer", "controller", "apiserver", "gantry-csi"];

/// A kind of machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Machine {
    /// As OCI and Debian call it.
    pub(crate) architecture: &'static str,
    target: &'static str,
    /// Of Debian, besides what every image needs.
    packages: &'static [Package],
    compiler: &'static str,
    strip: &'static str,
    /// What is told to cargo and to build scripts besides the compiler; if there is any, musl's headers are, too.
    tools: &'static [(&'static str, &'static str)],
}

/// The machine of a developer, and of CI.
pub(crate) const AMD64: Machine = Machine {
    architecture: "amd64",
    target: "x86_64-unknown-linux-musl",
    packages: &[],
    compiler: "musl-gcc",
    strip: "strip",
    tools: &[],
};

/// Debian has a compiler for it that knows glibc, and musl's headers in a package for such machines. Rust brings musl itself.
pub(crate) const ARM64: Machine = Machine {
    architecture: "arm64",
    target: "aarch64-unknown-linux-musl",
    packages: packages::ARM64,
    compiler: "aarch64-linux-gnu-gcc",
    strip: "aarch64-linux-gnu-strip",
    tools: &[
        ("AR_aarch64_unknown_linux_musl", "aarch64-linux-gnu-ar"),
        ("CARGO_TARGET_AARCH64_UNKNOWN_LINUX_MUSL_LINKER", "aarch64-linux-gnu-gcc"),
    ],
};

/// Builds the product's programs in `profile`.
///
/// # Errors
/// When something cannot be installed, or the build fails.
pub(crate) fn build(machine: Machine, profile: &str) -> Result<Binaries> {
    packages::ensure(packages::BUILD)?;
    packages::ensure(packages::IMAGE)?;
    packages::ensure(machine.packages)?;
    ensure_target(machine.target)?;
    let mut build = command(&["build", "--locked", "--bins", "--profile", profile, "--target", machine.target]);
    build.args(PACKAGES.iter().flat_map(|name| ["--package", name]));
    build.envs(machine.tools.iter().copied());
    if profile != DEV {
        build.env("RUSTFLAGS", without_paths()?);
    }
    let target_name = machine.target.replace('-', "_");
    build.env(format!("CC_{target_name}"), machine.compiler);
    if !machine.tools.is_empty() {
        build.env(format!("CFLAGS_{target_name}"), machine.headers()?);
    }
    show_and_run(&mut build)?;
    let folder = target().join(machine.target).join(folder_of(profile));
    Ok(Binaries { folder, strip: machine.strip, architecture: machine.architecture })
}

impl Machine {
    /// The options by which its compiler sees musl's headers instead of glibc's.
    fn headers(self) -> Result<String> {
        let musl = musl(self.architecture)?.join("usr/include").join(self.target.replace("-unknown", ""));
        let own = output(Command::new(self.compiler).arg("-print-file-name=include"))?;
        Ok(format!("-nostdinc -isystem {} -isystem {}", musl.display(), own.trim()))
    }
}

/// A folder with what is in Debian's package `musl-dev` for another kind of machine, which need not be known to this one's dpkg.
fn musl(architecture: &str) -> Result<PathBuf> {
    cached(&format!("musl-{architecture}"), "1", |to| {
        let state = to.join("apt");
        for name in ["lists/partial", "cache/archives/partial"] {
            fs::create_dir_all(state.join(name))?;
        }
        apt(architecture, &state, &["update"])?;
        apt(architecture, &state, &["download", "musl-dev"])?;
        let mut found = fs::read_dir(&state)?.filter_map(|entry| Some(entry.ok()?.path()));
        let package = found.find(|path| path.extension().is_some_and(|kind| kind == "deb"));
        run(Command::new("dpkg-deb").arg("--extract").arg(package.context("apt-get downloaded nothing")?).arg(to))?;
        Ok(fs::remove_dir_all(state)?)
    })
}

/// Calls apt-get in `state`, with lists of its own there.
fn apt(architecture: &str, state: &Path, words: &[&str]) -> Result<()> {
    let folder = state.display();
    let mut apt = Command::new("apt-get");
    apt.current_dir(state).arg("--quiet=2");
    for option in [
        format!("APT::Architecture={architecture}"),
        format!("APT::Architectures={architecture}"),
        format!("Dir::State::Lists={folder}/lists"),
        format!("Dir::Cache={folder}/cache"),
        // Nothing is installed of that kind.
        "Dir::State::status=/dev/null".to_owned(),
        "APT::Sandbox::User=root".to_owned(),
    ] {
        apt.arg("--option").arg(option);
    }
    run(apt.args(words))
}

/// Programs name the files that they were made of; where these lay on this machine is no part of the product.
fn without_paths() -> Result<String> {
    let home = env::var_os("CARGO_HOME").map(PathBuf::from).or_else(|| Some(env::home_dir()?.join(".cargo")));
    let home = home.context("there is no home folder")?;
    Ok(format!("--remap-path-prefix={}=/gantry --remap-path-prefix={}=/cargo", root().display(), home.display()))
}
