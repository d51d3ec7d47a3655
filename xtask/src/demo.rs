//! `cargo xtask demo`: from a bare Debian machine with Rust to an imported, verified disk, by the user's own command.

use std::fs;
use std::process::Command;

use anyhow::Result;
use fixtures::debian_disk::{DebianDisk, SMALL};
use fixtures::images::{Clusters, GIB, MIB, compare};
use fixtures::nginx::Nginx;
use fixtures::packages;

use crate::cargo::{build_gantry, show_and_run, target};

/// Installs, builds, makes, serves, imports, compares.
///
/// # Errors
/// When a step fails, and above all when the imported disk is not the original.
pub(crate) fn run() -> Result<()> {
    say("What the demo needs: a C compiler, qemu-img, nginx, mmdebstrap");
    packages::ensure(packages::BUILD)?;
    packages::ensure(packages::DEMO)?;

    say("Building the gantry command");
    let gantry = build_gantry()?;

    say("A real disk: Debian, installed from this machine's own apt sources, as a compressed qcow2");
    let disk = DebianDisk::get(SMALL)?;
    let image = disk.qcow2(Clusters::Zlib)?;
    println!(
        "{}: {} MiB for {} MiB of data on a disk of {} GiB",
        image.display(),
        fs::metadata(&image)?.len() / MIB,
        disk.allocated()? / MIB,
        disk.virtual_size / GIB
    );

    say("Serving it by nginx on this machine");
    let server = Nginx::serve(disk.folder())?;
    let url = server.url("zlib.qcow2");
    println!("{url}");

    say("What is at that URL? Only the image's tables are read");
    show_and_run(Command::new(&gantry).args(["inspect", &url]))?;

    say("Importing it");
    let folder = target().join("demo");
    fs::create_dir_all(&folder)?;
    let imported = folder.join("disk.img");
    if imported.exists() {
        fs::remove_file(&imported)?;
    }
    show_and_run(Command::new(&gantry).args(["import", &url]).arg(&imported))?;

    say("Is it the disk that we started from? Two tools of others are asked");
    compare::same_disk(&disk.raw(), &imported)?;
    println!("qemu-img compare and cmp: yes, {} equals {}", imported.display(), disk.raw().display());
    Ok(())
}

fn say(what: &str) {
    println!("\n== {what}");
}
