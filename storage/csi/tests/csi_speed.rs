//! `cargo xtask bench storage`: writing inside a volume, beside writing to a loop device made by hand on the same file system.

mod bed;

use std::fs::File;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result};
use bed::{Bed, MIB, block};
use fixtures::command::{output, run};

/// Rounds, each of both sides one after the other, by turns first. The median of their ratios counts: what a machine does
/// besides changes from minute to minute, and less within a round.
const ROUNDS: usize = 7;

/// What is asked of a volume: at least this part of the speed by hand.
const FLOOR: f64 = 0.85;

const JOBS: [(&str, &[&str]); 4] = [
    (
        "4 KiB random writes, direct, 16 at once",
        &["--rw=randwrite", "--bs=4k", "--ioengine=libaio", "--iodepth=16", "--direct=1"],
    ),
    ("4 KiB writes, each with fsync", &["--rw=randwrite", "--bs=4k", "--ioengine=psync", "--fsync=1", "--direct=0"]),
    ("1 MiB sequential writes, direct", &["--rw=write", "--bs=1M", "--ioengine=libaio", "--iodepth=4", "--direct=1"]),
    (
        "4 KiB random reads, direct, 16 at once",
        &["--rw=randread", "--bs=4k", "--ioengine=libaio", "--iodepth=16", "--direct=1"],
    ),
];

/// Bytes per second.
fn speed(device: &Path, job: &[&str]) -> Result<f64> {
    let said = output(
        Command::new("fio")
            .args([
                "--name=job",
                "--size=256M",
                "--runtime=4",
                "--time_based",
                "--output-format=terse",
                "--terse-version=3",
            ])
            .args(["--randrepeat=1", "--end_fsync=1"])
            .arg(format!("--filename={}", device.display()))
            .args(job),
    )?;
    // Fields of terse version 3: bandwidth in KiB/s of reads is the 7th, of writes the 48th.
    let fields: Vec<&str> =
        said.lines().find(|line| line.starts_with("3;")).context("fio said nothing")?.split(';').collect();
    let kib: f64 = [6, 47].iter().filter_map(|at| fields.get(*at)?.parse::<f64>().ok()).sum();
    Ok(kib * 1024.0)
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

#[test]
#[ignore = "a measurement: cargo xtask bench storage"]
fn a_volume_is_as_fast_as_a_loop_device_made_by_hand() -> Result<()> {
    let mut slow = Vec::new();
    for name in ["xfs", "btrfs"] {
        let bed = Bed::new(name, 4096)?;
        let id = bed.create("volume", 256 * MIB, block())?.volume_id;
        let volume = bed.attach(&id, &block())?;
        let file = bed.mount.path().join("by-hand");
        File::create(&file)?.set_len(256 * MIB)?;
        let sector = output(Command::new("blockdev").arg("--getss").arg(&volume))?;
        let by_hand = output(
            Command::new("/usr/sbin/losetup")
                .args(["--find", "--show", "--direct-io=on", "--sector-size", sector.trim()])
                .arg(&file),
        )?;
        let by_hand = Path::new(by_hand.trim());
        for device in [volume.as_path(), by_hand] {
            run(Command::new("dd")
                .args(["if=/dev/urandom", "bs=1M", "count=256", "oflag=direct", "status=none"])
                .arg(format!("of={}", device.display())))?;
        }
        for (what, job) in JOBS {
            let (mut ours, mut theirs) = (Vec::new(), Vec::new());
            for round in 0..ROUNDS {
                if round % 2 == 0 {
                    ours.push(speed(&volume, job)?);
                }
                theirs.push(speed(by_hand, job)?);
                if round % 2 == 1 {
                    ours.push(speed(&volume, job)?);
                }
            }
            let ratio = median(ours.iter().zip(&theirs).map(|(ours, theirs)| ours / theirs).collect());
            let (ours, theirs) = (median(ours), median(theirs));
            println!(
                "{name}: {what}: {:.1} MiB/s in a volume, {:.1} by hand: {ratio:.2} (floor {FLOOR})",
                ours / 1048576.0,
                theirs / 1048576.0
            );
            if ratio < FLOOR {
                slow.push(format!("{name}: {what}: {ratio:.2}"));
            }
        }
        run(Command::new("/usr/sbin/losetup").arg("--detach").arg(by_hand))?;
        bed.detach(&id)?;
    }
    // A command that a person reads, not a suite: the floor is its answer.
    anyhow::ensure!(slow.is_empty(), "below the floor: {slow:?}");
    Ok(())
}
