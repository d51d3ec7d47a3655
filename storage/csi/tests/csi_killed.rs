//! Killed at any moment of any call, with and without a power failure: what was acknowledged is there with its bytes, and the
//! call can be made again.

mod bed;

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use bed::{Bed, MIB, TOOLS, block, code, from_snapshot, from_volume, mounted};
use fixtures::images::noise::Noise;
use fixtures::soak::repeated;
use gantry_csi::spec::volume_capability::AccessType;
use rustix::process::{Pid, Signal, kill_process};
use tonic::{Code, Status};

/// Bytes at the start of each volume.
const CONTENT: usize = 256 << 10;

/// A volume that was acknowledged, with its content.
#[derive(Clone, Debug)]
struct Known {
    id: String,
    size: u64,
    access: AccessType,
    content: Vec<u8>,
}

/// The calls that are killed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Operation {
    Create,
    Delete,
    Snapshot,
    DeleteSnapshot,
    Clone,
    Restore,
    Expand,
    Stage,
    Publish,
    Unpublish,
    Unstage,
}

const OPERATIONS: [Operation; 11] = [
    Operation::Create,
    Operation::Delete,
    Operation::Snapshot,
    Operation::DeleteSnapshot,
    Operation::Clone,
    Operation::Restore,
    Operation::Expand,
    Operation::Stage,
    Operation::Publish,
    Operation::Unpublish,
    Operation::Unstage,
];

/// What the test knows to be acknowledged.
struct World {
    bed: Bed,
    noise: Noise,
    volumes: Vec<Known>,
    snapshots: Vec<Known>,
    next: u64,
    /// The volume that is to be attached, and how far it is.
    attached: Option<String>,
    /// The snapshot that this round deletes.
    doomed: Option<String>,
}

impl World {
    fn new(file_system: &str, seed: u64) -> Result<Self> {
        let bed = Bed::on_copyable(file_system, 1024)?;
        let mut world = Self {
            bed,
            noise: Noise::new(seed),
            volumes: Vec::new(),
            snapshots: Vec::new(),
            next: 0,
            attached: None,
            doomed: None,
        };
        world.replenish()?;
        Ok(world)
    }

    fn name(&mut self) -> String {
        self.next += 1;
        format!("thing-{}", self.next)
    }

    /// At least one written volume of each mode and one snapshot of each; not many more.
    fn replenish(&mut self) -> Result<()> {
        for access in [block(), mounted()] {
            while self.volumes.iter().filter(|known| known.access == access).count() > 2 {
                let at = self.volumes.iter().position(|known| known.access == access).context("there are some")?;
                let gone = self.volumes.remove(at);
                self.bed.delete(&gone.id)?;
            }
            if !self.volumes.iter().any(|known| known.access == access) {
                let name = self.name();
                let id = self.bed.create(&name, 32 * MIB, access.clone())?.volume_id;
                let content = self.noise.bytes(CONTENT);
                self.bed.write(&id, &access, &content)?;
                self.volumes.push(Known { id, size: 32 * MIB, access: access.clone(), content });
            }
        }
        while self.snapshots.len() > 3 {
            let gone = self.snapshots.remove(0);
            self.bed.delete_snapshot(&gone.id)?;
        }
        if self.snapshots.is_empty() {
            let (name, source) = (self.name(), self.volumes[0].clone());
            let id = self.bed.snapshot(&source.id, &name)?.snapshot_id;
            self.snapshots.push(Known { id, ..source });
        }
        Ok(())
    }

    /// One call, killed at a random moment; then everything is looked at, and the call is made again.
    fn round(&mut self, operation: Operation, power_fails: bool) -> Result<()> {
        self.replenish()?;
        let chosen = self.noise.below(self.volumes.len() as u64);
        let volume = self.volumes[usize::try_from(chosen)?].clone();
        self.doomed = self.snapshots.first().map(|known| known.id.clone());
        self.prepare(operation, &volume)?;
        let name = self.name();
        let first = self.killed(operation, &name, &volume)?;
        if power_fails {
            self.bed.lose_power()?;
            self.attached = None;
        }
        self.bed.start()?;
        self.bed.nothing_half_made()?;
        self.acknowledged_is_there(operation, &name, &volume)?;
        let repeatable =
            !power_fails || !matches!(operation, Operation::Publish | Operation::Unpublish | Operation::Unstage);
        if repeatable {
            let second = self.insist(operation, &name, &volume);
            let second = second.with_context(|| format!("made again after {first:?}"))?;
            self.learn(operation, &volume, second);
        }
        for id in self.attached.take().into_iter().chain([volume.id.clone()]) {
            if self.volumes.iter().any(|known| known.id == id) {
                self.bed.detach(&id)?;
            }
        }
        self.bed.nothing_left()?;
        self.contents_are_right()
    }

    /// Brings the volume to where `operation` begins.
    fn prepare(&mut self, operation: Operation, volume: &Known) -> Result<()> {
        let (id, access) = (&volume.id, &volume.access);
        match operation {
            Operation::Publish => self.bed.stage(id, access.clone())?,
            Operation::Unpublish => drop(self.bed.attach(id, access)?),
            Operation::Unstage => {
                self.bed.attach(id, access)?;
                self.bed.unpublish(id)?;
            }
            // Of volumes in use, too, where blocks can be shared.
            Operation::Snapshot | Operation::Clone | Operation::Expand if self.noise.below(2) == 0 => {
                self.bed.attach(id, access)?;
                if code(self.bed.snapshot(id, "probe")) == Code::FailedPrecondition {
                    self.bed.detach(id)?;
                    return Ok(());
                }
                let probe = self.bed.snapshot(id, "probe")?.snapshot_id;
                self.bed.delete_snapshot(&probe)?;
                self.attached = Some(id.clone());
            }
            _ => {}
        }
        Ok(())
    }

    /// Makes the call while another thread kills the driver within 30 ms.
    fn killed(&mut self, operation: Operation, name: &str, volume: &Known) -> Result<Result<Option<Known>, Status>> {
        let pid = Pid::from_raw(i32::try_from(self.bed.pid())?).context("a pid")?;
        // Most calls take a few milliseconds, so most kills come early.
        let longest = [1_000, 5_000, 30_000][usize::try_from(self.noise.below(3))?];
        let microseconds = self.noise.below(longest);
        let killer = thread::spawn(move || {
            thread::sleep(Duration::from_micros(microseconds));
            kill_process(pid, Signal::KILL)
        });
        let result = self.perform(operation, name, volume);
        killer.join().expect("no panic")?;
        self.bed.kill()?;
        if let Ok(known) = &result {
            self.learn(operation, volume, known.clone());
        }
        Ok(result)
    }

    /// Makes the call again as long as it is told to: a check that outlived the driver may still be at the device.
    fn insist(&self, operation: Operation, name: &str, volume: &Known) -> Result<Option<Known>, Status> {
        for _ in 0..250 {
            match self.perform(operation, name, volume) {
                Err(status) if status.code() == Code::Aborted => thread::sleep(Duration::from_millis(20)),
                result => return result,
            }
        }
        self.perform(operation, name, volume)
    }

    /// The call itself; what it made, if it made something.
    fn perform(&self, operation: Operation, name: &str, volume: &Known) -> Result<Option<Known>, Status> {
        let (bed, id, access) = (&self.bed, &volume.id, &volume.access);
        let of = |known: &Known, id: String| Some(Known { id, ..known.clone() });
        match operation {
            Operation::Create => {
                let size = 48 * MIB;
                let id = bed.create(name, size, access.clone())?.volume_id;
                Ok(Some(Known { id, size, access: access.clone(), content: Vec::new() }))
            }
            Operation::Delete => bed.delete(id).map(|()| None),
            Operation::Snapshot => Ok(of(volume, bed.snapshot(id, name)?.snapshot_id)),
            Operation::DeleteSnapshot => bed.delete_snapshot(self.doomed.as_deref().unwrap_or_default()).map(|()| None),
            Operation::Clone => Ok(of(volume, bed.create_from(name, 0, access.clone(), from_volume(id))?.volume_id)),
            Operation::Restore => {
                let from = &self.snapshots[0];
                Ok(of(from, bed.create_from(name, 0, from.access.clone(), from_snapshot(&from.id))?.volume_id))
            }
            Operation::Expand => bed.expand(id, volume.size + 16 * MIB).map(|_| None),
            Operation::Stage => bed.stage(id, access.clone()).map(|()| None),
            Operation::Publish => bed.publish(id, access.clone()).map(|_| None),
            Operation::Unpublish => bed.unpublish(id).map(|()| None),
            Operation::Unstage => bed.unstage(id).map(|()| None),
        }
    }

    /// Takes over what an answered call has changed.
    fn learn(&mut self, operation: Operation, volume: &Known, made: Option<Known>) {
        match (operation, made) {
            (Operation::Delete, _) => self.volumes.retain(|known| known.id != volume.id),
            (Operation::DeleteSnapshot, _) => self.snapshots.retain(|known| Some(&known.id) != self.doomed.as_ref()),
            (Operation::Snapshot, Some(made)) => push_new(&mut self.snapshots, made),
            (_, Some(made)) => push_new(&mut self.volumes, made),
            (Operation::Expand, None) => {
                let grown = volume.size + 16 * MIB;
                self.volumes.iter_mut().filter(|known| known.id == volume.id).for_each(|known| known.size = grown);
            }
            _ => {}
        }
    }

    /// Lists what is there: all that is acknowledged, and beside it at most what the killed call was making or deleting.
    fn acknowledged_is_there(&self, operation: Operation, name: &str, volume: &Known) -> Result<()> {
        let volumes = self.bed.volumes()?;
        let snapshots = self.bed.snapshots()?;
        for known in &self.volumes {
            let found = volumes.iter().find(|found| found.volume_id == known.id);
            let may_be_gone = operation == Operation::Delete && known.id == volume.id;
            match found {
                Some(found) => ensure!(found.capacity_bytes >= i64::try_from(known.size)?, "{known:?} has shrunk"),
                None => ensure!(may_be_gone, "{} is lost", known.id),
            }
        }
        for known in &self.snapshots {
            let may_be_gone = operation == Operation::DeleteSnapshot && Some(&known.id) == self.doomed.as_ref();
            ensure!(may_be_gone || snapshots.iter().any(|found| found.snapshot_id == known.id), "{} is lost", known.id);
        }
        let unknown = volumes.len() + snapshots.len();
        ensure!(unknown <= self.volumes.len() + self.snapshots.len() + 1, "more than {name} has appeared");
        Ok(())
    }

    /// Reads every volume and every snapshot back.
    fn contents_are_right(&mut self) -> Result<()> {
        for known in &self.volumes {
            if !known.content.is_empty() {
                let found = self.bed.read(&known.id, &known.access, known.content.len())?;
                ensure!(found == known.content, "the bytes of {} have changed", known.id);
            }
        }
        let written: Vec<Known> = self.snapshots.iter().filter(|known| !known.content.is_empty()).cloned().collect();
        for (number, known) in written.into_iter().enumerate() {
            let name = format!("look-{}-{number}", self.next);
            let id = self.bed.create_from(&name, 0, known.access.clone(), from_snapshot(&known.id))?.volume_id;
            let found = self.bed.read(&id, &known.access, known.content.len())?;
            ensure!(found == known.content, "the bytes of {} have changed", known.id);
            self.bed.delete(&id)?;
        }
        Ok(())
    }
}

fn push_new(all: &mut Vec<Known>, made: Known) {
    if !all.iter().any(|known| known.id == made.id) {
        all.push(made);
    }
}

fn survives(file_system: &str, seed: u64) -> Result<()> {
    let mut world = World::new(file_system, seed)?;
    for round in 0..repeated(OPERATIONS.len() as u64) {
        let operation = OPERATIONS[usize::try_from(round)? % OPERATIONS.len()];
        let power_fails = world.noise.below(2) == 0;
        let context = format!("{file_system}, seed {seed}, round {round}: {operation:?}, power fails: {power_fails}");
        world.round(operation, power_fails).with_context(|| format!("{context}\n{}", world.bed.log()))?;
    }
    Ok(())
}

#[test]
fn nothing_acknowledged_is_lost_on_xfs() -> Result<()> {
    survives("xfs", 1)
}

#[test]
fn nothing_acknowledged_is_lost_on_btrfs() -> Result<()> {
    survives("btrfs", 2)
}

#[test]
fn nothing_acknowledged_is_lost_on_ext4() -> Result<()> {
    survives("ext4", 3)
}

#[test]
fn a_check_that_outlives_the_driver_keeps_the_device_that_it_was_given() -> Result<()> {
    let mut bed = Bed::new("xfs", 1024)?;
    let id = bed.create("volume", 32 * MIB, mounted())?.volume_id;
    let (check, go) = (bed.path(TOOLS).join("e2fsck"), bed.path("go"));
    fs::create_dir(bed.path(TOOLS))?;
    // It opens the device by its name, which without a driver could by then be the name of another disk.
    let text = "#!/bin/sh\nkill -9 $PPID\nwhile ! [ -e GO ]; do sleep 0.01; done\nexec /usr/sbin/e2fsck \"$@\"\n";
    fs::write(&check, text.replace("GO", &go.display().to_string()))?;
    fs::set_permissions(&check, fs::Permissions::from_mode(0o755))?;
    assert!(bed.stage(&id, mounted()).is_err());
    bed.kill()?;
    assert_eq!(bed.loops()?.len(), 1, "the device is free for others");
    bed.start()?;
    assert_eq!(code(bed.stage(&id, mounted())), Code::Aborted);
    fs::remove_file(&check)?;
    fs::write(go, "")?;
    for _ in 0..250 {
        if code(bed.stage(&id, mounted())) != Code::Aborted {
            break;
        }
        thread::sleep(Duration::from_millis(20));
    }
    assert_eq!(bed.mounts()?.len(), 1);
    bed.unstage(&id)?;
    bed.nothing_left()
}
