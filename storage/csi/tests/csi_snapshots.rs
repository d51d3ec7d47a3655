//! Snapshots and clones through the driver: their content, their moment, their cost, and where they are refused.

mod bed;

use std::fs::{self, File};
use std::io::Read;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use bed::{Bed, MIB, block, code, from_snapshot, from_volume, mounted};
use fixtures::images::noise::Noise;
use gantry_csi::spec::volume_capability::AccessType;
use gantry_csi::spec::{ListSnapshotsRequest, ListSnapshotsResponse};
use rustix::fs::{Mode, OFlags};
use tonic::Code;

#[test]
fn snapshots_and_clones_keep_their_content_whatever_becomes_of_their_source() -> Result<()> {
    for name in ["xfs", "btrfs", "ext4"] {
        let bed = Bed::new(name, 1536)?;
        for access in [block(), mounted()] {
            let tag = if access == block() { "block" } else { "mounted" };
            let [first, second] = [1, 2].map(|seed| Noise::new(seed).bytes(4 << 20));
            let source = bed.create(&format!("source-{tag}"), 64 * MIB, access.clone())?.volume_id;
            bed.write(&source, &access, &first)?;
            let snapshot = bed.snapshot(&source, &format!("s-{tag}"))?;
            assert_eq!(bed.snapshot(&source, &format!("s-{tag}"))?, snapshot, "asked twice, taken once");
            let clone = bed.create_from(&format!("clone-{tag}"), 0, access.clone(), from_volume(&source))?.volume_id;
            bed.write(&source, &access, &second)?;
            let restored = bed.create_from(
                &format!("restored-{tag}"),
                96 * MIB,
                access.clone(),
                from_snapshot(&snapshot.snapshot_id),
            )?;
            assert_eq!(restored.capacity_bytes, 96 << 20);
            assert!(bed.read(&source, &access, second.len())? == second, "{name} {tag}");
            bed.delete(&source)?;
            bed.delete_snapshot(&snapshot.snapshot_id)?;
            for id in [&clone, &restored.volume_id] {
                assert!(bed.read(id, &access, first.len())? == first, "{name} {tag}");
                bed.write(id, &access, &second)?;
                assert!(bed.read(id, &access, second.len())? == second, "{name} {tag}");
            }
        }
        bed.nothing_left()?;
        bed.nothing_half_made()?;
    }
    Ok(())
}

#[test]
fn a_restored_volume_may_be_larger_than_its_source_and_not_smaller() -> Result<()> {
    let bed = Bed::new("xfs", 1024)?;
    let source = bed.create("v", 64 * MIB, mounted())?.volume_id;
    bed.write(&source, &mounted(), b"kept")?;
    let snapshot = bed.snapshot(&source, "s")?.snapshot_id;
    assert_eq!(code(bed.create_from("small", 32 * MIB, mounted(), from_snapshot(&snapshot))), Code::OutOfRange);
    let large = bed.create_from("large", 256 * MIB, mounted(), from_snapshot(&snapshot))?.volume_id;
    let target = bed.attach(&large, &mounted())?;
    let space = rustix::fs::statvfs(&target)?;
    assert!(space.f_blocks * space.f_frsize > 200 * MIB, "its file system has grown with it");
    assert_eq!(fs::read(target.join("disk.img"))?, b"kept");
    assert_eq!(code(bed.create_from("x", 0, block(), from_snapshot("snap-none"))), Code::NotFound);
    let raw = bed.create("raw", MIB, block())?.volume_id;
    assert_eq!(code(bed.create_from("x", 0, mounted(), from_volume(&raw))), Code::InvalidArgument);
    Ok(())
}

#[test]
fn without_shared_blocks_an_attached_volume_is_refused_by_name_and_a_detached_one_is_copied_with_its_holes()
-> Result<()> {
    let bed = Bed::new("ext4", 1024)?;
    for access in [block(), mounted()] {
        let id = bed.create(&format!("v-{access:?}"), 256 * MIB, access.clone())?.volume_id;
        bed.attach(&id, &access)?;
        for status in [
            bed.snapshot(&id, "refused").map(drop).unwrap_err(),
            bed.create_from("refused", 0, access.clone(), from_volume(&id)).map(drop).unwrap_err(),
        ] {
            assert_eq!(status.code(), Code::FailedPrecondition);
            assert!(status.message().contains("attached") && status.message().contains("ext4"), "{status}");
        }
        bed.detach(&id)?;
        bed.write(&id, &access, &[7; 1 << 20])?;
        let snapshot = bed.snapshot(&id, &format!("s-{access:?}"))?.snapshot_id;
        let disk = bed.pool().join("snapshots").join(&snapshot).join("disk");
        let allocated = fs::metadata(disk)?.blocks() * 512;
        assert!((MIB..64 * MIB).contains(&allocated), "{allocated} bytes of 256 MiB with 1 MiB of data");
    }
    bed.nothing_half_made()
}

#[test]
fn pages_of_a_list_follow_each_other_while_snapshots_come_and_go() -> Result<()> {
    let bed = Bed::new("xfs", 400)?;
    let volumes = [bed.create("a", MIB, block())?.volume_id, bed.create("b", MIB, block())?.volume_id];
    let mut all = Vec::new();
    for number in 0..10 {
        all.push(bed.snapshot(&volumes[number % 2], &format!("s{number}"))?.snapshot_id);
    }
    let list = |max_entries, starting_token: &str, source_volume_id: &str, snapshot_id: &str| {
        let request = ListSnapshotsRequest {
            max_entries,
            starting_token: starting_token.to_owned(),
            source_volume_id: source_volume_id.to_owned(),
            snapshot_id: snapshot_id.to_owned(),
        };
        bed.call::<_, ListSnapshotsResponse>("Controller/ListSnapshots", request)
    };
    let ids = |page: &ListSnapshotsResponse| -> Vec<String> {
        page.entries.iter().filter_map(|entry| Some(entry.snapshot.as_ref()?.snapshot_id.clone())).collect()
    };
    let first = list(4, "", "", "")?;
    // The last of the page, whose identifier is the token, goes.
    bed.delete_snapshot(ids(&first).last().context("four of ten")?)?;
    let second = list(4, &first.next_token, "", "")?;
    let third = list(4, &second.next_token, "", "")?;
    let mut seen = [ids(&first), ids(&second), ids(&third)].concat();
    assert_eq!((third.entries.len(), third.next_token.as_str()), (2, ""));
    seen.sort_unstable();
    all.sort_unstable();
    assert_eq!(seen, all);
    let of_one = list(0, "", &volumes[0], "")?;
    assert!(of_one.entries.iter().flat_map(|it| &it.snapshot).all(|it| it.source_volume_id == volumes[0]));
    assert_eq!(list(0, "", "", &seen[0])?.entries.len() + list(0, "", "", "snap-none")?.entries.len(), 1);
    assert_eq!(code(list(0, "no token", "", "")), Code::Aborted);
    assert_eq!(code(list(-1, "", "", "")), Code::InvalidArgument);
    Ok(())
}

#[test]
fn many_clones_of_one_volume_can_be_made_at_once() -> Result<()> {
    let bed = Bed::new("xfs", 1024)?;
    let source = bed.create("golden", 16 * MIB, block())?.volume_id;
    bed.write(&source, &block(), &[9; 4096])?;
    let socket = bed.socket();
    let made = thread::scope(|scope| {
        let clones: Vec<_> = (0..8)
            .map(|number| {
                let (socket, source) = (&socket, &source);
                scope.spawn(move || bed::create_clone(socket, &format!("clone{number}"), source))
            })
            .collect();
        clones.into_iter().map(|clone| clone.join().expect("no panic")).collect::<Result<Vec<_>>>()
    })?;
    for volume in made {
        assert_eq!(bed.read(&volume, &block(), 4096)?, [9; 4096]);
    }
    Ok(())
}

/// One write of the chain.
const LINK: usize = 4096;

/// Link `number` of the chain: its number, the check value of the link before, and its own.
fn link(number: u64, before: u64) -> (Vec<u8>, u64) {
    let mut bytes = vec![0; LINK];
    bytes[..8].copy_from_slice(&(number + 1).to_le_bytes());
    bytes[8..16].copy_from_slice(&before.to_le_bytes());
    let mut check = 0xcbf2_9ce4_8422_2325_u64;
    for byte in &bytes[..16] {
        check = (check ^ u64::from(*byte)).wrapping_mul(0x100_0000_01b3);
    }
    bytes[16..24].copy_from_slice(&check.to_le_bytes());
    (bytes, check)
}

/// How many links `path` holds; an error if anything is behind the first that is missing.
fn links(path: &Path, limit: u64) -> Result<u64> {
    let mut file = File::open(path)?;
    let (mut count, mut before) = (0, 0);
    let mut bytes = vec![0; LINK];
    while count < limit && file.read_exact(&mut bytes).is_ok() {
        let (expected, check) = link(count, before);
        if bytes != expected {
            ensure!(bytes.iter().all(|byte| *byte == 0), "link {count} is torn");
            break;
        }
        (count, before) = (count + 1, check);
    }
    let mut rest = Vec::new();
    file.take(96 << 20).read_to_end(&mut rest)?;
    ensure!(rest.iter().all(|byte| *byte == 0), "something is behind link {count}");
    Ok(count)
}

/// Appends links one after the other, each complete before the next begins, until told to stop.
struct Writer {
    stop: Arc<AtomicBool>,
    done: Arc<AtomicU64>,
    thread: thread::JoinHandle<Result<()>>,
}

impl Writer {
    fn start(path: &Path, direct: bool, limit: u64) -> Result<Self> {
        let (stop, done) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
        let (stopped, count) = (Arc::clone(&stop), Arc::clone(&done));
        let flags = OFlags::WRONLY | OFlags::CREATE | if direct { OFlags::DIRECT } else { OFlags::empty() };
        let file = File::from(rustix::fs::open(path, flags, Mode::from_raw_mode(0o600))?);
        let thread = thread::spawn(move || {
            // Direct I/O wants an aligned address.
            let mut room = vec![0_u8; 2 * LINK];
            let start = room.as_ptr().align_offset(LINK);
            let mut before = 0;
            for number in 0..limit {
                if stopped.load(Ordering::Relaxed) {
                    break;
                }
                let (bytes, check) = link(number, before);
                room[start..start + LINK].copy_from_slice(&bytes);
                file.write_all_at(&room[start..start + LINK], number * LINK as u64)?;
                before = check;
                count.store(number + 1, Ordering::SeqCst);
                thread::sleep(Duration::from_micros(50));
            }
            Ok(())
        });
        Ok(Self { stop, done, thread })
    }

    fn done(&self) -> u64 {
        self.done.load(Ordering::SeqCst)
    }

    fn finish(self) -> Result<()> {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.join().expect("no panic")
    }
}

/// 20 snapshots under a writer: each holds every link that was written when the call began, none that was begun after it ended,
/// and nothing out of order.
fn point_in_time(file_system: &str, access: &AccessType) -> Result<()> {
    const LIMIT: u64 = 64 << 8;
    let bed = Bed::new(file_system, 4096)?;
    let id = bed.create("chain", 96 * MIB, access.clone())?.volume_id;
    let target = bed.attach(&id, access)?;
    let is_block = *access == block();
    let path = |target: &Path| if is_block { target.to_owned() } else { target.join("disk.img") };
    let writer = Writer::start(&path(&target), is_block, LIMIT)?;
    let mut snapshots = Vec::new();
    for number in 0..20 {
        let least = writer.done();
        let snapshot = bed.snapshot(&id, &format!("s{number}"))?.snapshot_id;
        snapshots.push((snapshot, least, writer.done() + 1));
        thread::sleep(Duration::from_millis(5));
    }
    let last = writer.done();
    writer.finish()?;
    ensure!(last > 20 && last < LIMIT, "the writer wrote {last} links, which shows nothing");
    for (number, (snapshot, least, most)) in snapshots.iter().enumerate() {
        let restored = bed.create_from(&format!("r{number}"), 0, access.clone(), from_snapshot(snapshot))?.volume_id;
        let target = bed.attach(&restored, access)?;
        let count = links(&path(&target), LIMIT).with_context(|| format!("snapshot {number}"))?;
        ensure!((*least..=*most).contains(&count), "snapshot {number} has {count} links, not {least} to {most}");
        bed.detach(&restored)?;
        bed.delete(&restored)?;
    }
    ensure!(snapshots.windows(2).any(|two| two[0].1 < two[1].1), "the writer stood still");
    bed.detach(&id)?;
    bed.nothing_left()
}

#[test]
fn a_snapshot_of_a_block_volume_is_of_one_point_in_time_on_xfs() -> Result<()> {
    point_in_time("xfs", &block())
}

#[test]
fn a_snapshot_of_a_mounted_volume_is_of_one_point_in_time_on_xfs() -> Result<()> {
    point_in_time("xfs", &mounted())
}

#[test]
fn a_snapshot_of_a_block_volume_is_of_one_point_in_time_on_btrfs() -> Result<()> {
    point_in_time("btrfs", &block())
}

#[test]
fn a_snapshot_of_a_mounted_volume_is_of_one_point_in_time_on_btrfs() -> Result<()> {
    point_in_time("btrfs", &mounted())
}
