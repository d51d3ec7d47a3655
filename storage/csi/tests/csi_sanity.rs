//! The conformance tests that Kubernetes' storage group keeps for all CSI drivers, in both volume modes on each file system.

mod bed;

use std::process::Command;

use anyhow::Result;
use bed::Bed;
use fixtures::command::output;
use fixtures::go::csi_sanity;

fn conforms(file_system: &str, access: &str) -> Result<()> {
    let bed = Bed::new(file_system, 16 << 10)?;
    let said = output(
        Command::new(csi_sanity()?)
            .arg(format!("--csi.endpoint=unix://{}", bed.socket().display()))
            .arg(format!("--csi.mountdir={}", bed.path("mount").display()))
            .arg(format!("--csi.stagingdir={}", bed.path("staging").display()))
            .arg(format!("--csi.testvolumeaccesstype={access}"))
            .args(["--csi.testvolumesize=268435456", "--csi.testvolumeexpandsize=536870912", "--ginkgo.no-color"]),
    )?;
    let summary = said.lines().rev().find(|line| line.contains(" Passed ")).unwrap_or_default().to_owned();
    println!("csi-sanity on {file_system}, {access}: {summary}");
    // A run in which everything was skipped would pass too.
    let passed: u32 = summary.split_whitespace().take_while(|word| *word != "Passed").last().unwrap_or("0").parse()?;
    assert!(passed >= 70, "{summary}");
    bed.nothing_left()?;
    bed.nothing_half_made()
}

#[test]
fn on_xfs_with_file_systems() -> Result<()> {
    conforms("xfs", "mount")
}

#[test]
fn on_xfs_with_block_devices() -> Result<()> {
    conforms("xfs", "block")
}

#[test]
fn on_btrfs_with_file_systems() -> Result<()> {
    conforms("btrfs", "mount")
}

#[test]
fn on_btrfs_with_block_devices() -> Result<()> {
    conforms("btrfs", "block")
}

#[test]
fn on_ext4_with_file_systems() -> Result<()> {
    conforms("ext4", "mount")
}

#[test]
fn on_ext4_with_block_devices() -> Result<()> {
    conforms("ext4", "block")
}
