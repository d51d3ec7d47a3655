//! Many volumes and snapshots: nothing grows that must not.

mod bed;

use std::fs::{self, File};
use std::io::Write;
use std::os::unix::fs::FileExt;
use std::time::{Duration, Instant};

use anyhow::Result;
use bed::{Bed, MIB, block, from_volume};
use fixtures::images::noise::Noise;
use fixtures::measure;
use gantry_csi::spec::{ListVolumesRequest, ListVolumesResponse};

/// Bytes that the driver may have resident, whatever it has to do with.
const RESIDENT: u64 = 48 * MIB;

fn free(bed: &Bed) -> Result<u64> {
    let file_system = File::open(bed.mount.path())?;
    rustix::fs::syncfs(&file_system)?;
    let space = rustix::fs::statvfs(bed.mount.path())?;
    Ok(space.f_bfree * space.f_frsize)
}

#[test]
fn a_clone_takes_no_data_blocks() -> Result<()> {
    for name in ["xfs", "btrfs"] {
        let bed = Bed::new(name, 60 << 10)?;
        let source = bed.create("source", 20 << 30, block())?.volume_id;
        let target = bed.attach(&source, &block())?;
        let file = File::options().write(true).open(&target)?;
        let mut noise = Noise::new(7);
        for part in 0..16_u64 {
            // Spread over the disk, as a guest's file system does.
            file.write_all_at(&noise.bytes(64 << 20), part * (1 << 30))?;
        }
        file.sync_all()?;
        drop(file);
        let before = free(&bed)?;
        let mut took = Vec::new();
        for number in 0..3 {
            let start = Instant::now();
            let clone = bed.create_from(&format!("clone{number}"), 0, block(), from_volume(&source))?;
            took.push(start.elapsed());
            assert_eq!(clone.capacity_bytes, 20 << 30);
            bed.delete(&clone.volume_id)?;
        }
        let clone = bed.create_from("clone", 0, block(), from_volume(&source))?;
        let taken = before.saturating_sub(free(&bed)?);
        println!("{name}: a clone of 20 GiB with 1 GiB of data, attached, took {taken} bytes and {took:?}");
        assert!(taken < 8 * MIB, "{taken} bytes of 1 GiB");
        bed.delete(&clone.volume_id)?;
        bed.detach(&source)?;
    }
    Ok(())
}

#[test]
fn a_thousand_volumes_and_a_thousand_snapshots_leave_the_driver_small() -> Result<()> {
    const COUNT: usize = 1000;
    const STEP: usize = 250;
    let mut bed = Bed::new("xfs", 16 << 10)?;
    let (mut volumes, mut snapshots) = (Vec::new(), Vec::new());
    let mut out = std::io::stdout();
    for step in 0..COUNT / STEP {
        let start = Instant::now();
        for number in 0..STEP {
            volumes.push(bed.create(&format!("v{step}-{number}"), MIB, block())?.volume_id);
        }
        let created = start.elapsed();
        let start = Instant::now();
        for volume in &volumes[step * STEP..] {
            snapshots.push(bed.snapshot(volume, &format!("s-{volume}"))?.snapshot_id);
        }
        let snapped = start.elapsed();
        let start = Instant::now();
        let request = ListVolumesRequest { max_entries: 100, starting_token: String::new() };
        let page: ListVolumesResponse = bed.call("Controller/ListVolumes", request)?;
        let listed = start.elapsed();
        assert_eq!(page.entries.len(), 100);
        let each = |time: Duration| time / u32::try_from(STEP).unwrap_or(1);
        writeln!(
            out,
            "{} of each: create {:?}, snapshot {:?} each; a page of 100 {listed:?}",
            volumes.len(),
            each(created),
            each(snapped)
        )?;
    }
    assert_eq!((bed.volumes()?.len(), bed.snapshots()?.len()), (COUNT, COUNT));
    let resident = measure::so_far(bed.pid())?.peak_resident;
    writeln!(out, "peak RSS {} KiB", resident / 1024)?;
    assert!(resident <= RESIDENT, "{resident} bytes resident");

    bed.kill()?;
    let start = Instant::now();
    bed.start()?;
    writeln!(out, "started again in {:?}", start.elapsed())?;
    assert_eq!((bed.volumes()?.len(), bed.snapshots()?.len()), (COUNT, COUNT));
    for step in 0..COUNT / STEP {
        let start = Instant::now();
        for number in step * STEP..(step + 1) * STEP {
            bed.delete(&volumes[number])?;
            bed.delete_snapshot(&snapshots[number])?;
        }
        let each = start.elapsed() / u32::try_from(2 * STEP)?;
        writeln!(out, "{} of each left: delete {each:?} each", COUNT - (step + 1) * STEP)?;
    }
    for folder in ["volumes", "snapshots"] {
        assert_eq!(fs::read_dir(bed.pool().join(folder))?.count(), 0);
    }
    let resident = measure::so_far(bed.pid())?.peak_resident;
    assert!(resident <= RESIDENT, "{resident} bytes resident");
    bed.nothing_half_made()
}
