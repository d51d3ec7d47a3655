//! What the driver's tests share: a file system with a pool, the real `gantry-csi` on it, and a client.

#![allow(dead_code, reason = "each test program uses a part of this")]

use std::fs::{self, File};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use fixtures::command::{output, run};
use fixtures::device::Mount;
use fixtures::namespace::own_mounts;
use gantry_csi::spec::volume_capability::{AccessMode, AccessType, BlockVolume, Mode, MountVolume};
use gantry_csi::spec::volume_content_source::{SnapshotSource, Type, VolumeSource};
use gantry_csi::spec::{
    CapacityRange, ControllerExpandVolumeRequest, ControllerExpandVolumeResponse, CreateSnapshotRequest,
    CreateSnapshotResponse, CreateVolumeRequest, CreateVolumeResponse, DeleteSnapshotRequest, DeleteSnapshotResponse,
    DeleteVolumeRequest, DeleteVolumeResponse, GetCapacityRequest, GetCapacityResponse, ListSnapshotsRequest,
    ListSnapshotsResponse, ListVolumesRequest, ListVolumesResponse, Map, NodePublishVolumeRequest,
    NodePublishVolumeResponse, NodeStageVolumeRequest, NodeStageVolumeResponse, NodeUnpublishVolumeRequest,
    NodeUnpublishVolumeResponse, NodeUnstageVolumeRequest, NodeUnstageVolumeResponse, Snapshot, Volume,
    VolumeCapability, VolumeContentSource,
};
use tempfile::TempDir;
use tokio::runtime::Runtime;
use tonic::client::Grpc;
use tonic::codegen::http::uri::PathAndQuery;
use tonic::transport::{Channel, Endpoint};
use tonic::{Code, Request, Status};
use tonic_prost::ProstCodec;

pub(crate) const MIB: u64 = 1 << 20;

/// Programs in this folder of a bed are run instead of the machine's.
pub(crate) const TOOLS: &str = "tools";

/// The node's name.
pub(crate) const NODE: &str = "node-1";

/// A pool on a file system of its own, and the driver on it. All mounts are in a namespace of this thread's own.
pub(crate) struct Bed {
    runtime: Runtime,
    channel: Option<Channel>,
    driver: Option<Child>,
    options: Vec<String>,
    /// Sockets, targets, logs.
    pub(crate) folder: TempDir,
    /// Of the pool. Dropped after all above has been let go of.
    pub(crate) mount: Mount,
    /// What the pool's file system lies on.
    _below: Option<Mount>,
}

/// The file systems a pool can be on.
pub(crate) fn file_system(name: &str, mib: u64) -> Result<Mount> {
    own_mounts()?;
    Mount::below(&fixtures::cache::folder()?, name, mib)
}

impl Bed {
    /// A driver on a new pool of `mib` MiB.
    pub(crate) fn new(file_system_name: &str, mib: u64) -> Result<Self> {
        Self::with(file_system(file_system_name, mib)?, &[])
    }

    /// A driver on a pool whose file system can be copied at one moment, as [`Bed::lose_power`] does.
    pub(crate) fn on_copyable(file_system_name: &str, mib: u64) -> Result<Self> {
        let below = file_system("xfs", 4 * mib)?;
        let mut bed = Self::with(Mount::below(&below.path(), file_system_name, mib)?, &[])?;
        bed._below = Some(below);
        Ok(bed)
    }

    /// A driver with further options on a pool on `mount`.
    pub(crate) fn with(mount: Mount, options: &[&str]) -> Result<Self> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let folder = tempfile::tempdir()?;
        fs::create_dir(mount.path().join("pool"))?;
        let options = options.iter().map(|&option| option.to_owned()).collect();
        let mut bed = Self { runtime, channel: None, driver: None, options, folder, mount, _below: None };
        bed.start()?;
        Ok(bed)
    }

    /// The pool's folder.
    pub(crate) fn pool(&self) -> PathBuf {
        self.mount.path().join("pool")
    }

    /// A path beside the sockets.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// The driver's socket.
    pub(crate) fn socket(&self) -> PathBuf {
        self.path("csi.sock")
    }

    /// Process id of the driver.
    pub(crate) fn pid(&self) -> u32 {
        self.driver.as_ref().expect("the driver runs").id()
    }

    /// The command that starts the driver.
    pub(crate) fn command(&self) -> Result<Command> {
        let mut command = Command::new(env!("CARGO_BIN_EXE_gantry-csi"));
        command.arg("--pool").arg(self.pool()).args(["--node", NODE, "--endpoint"]).arg(self.socket());
        command.args(&self.options).stdin(Stdio::null()).stdout(Stdio::null());
        let path = std::env::var("PATH").unwrap_or_default();
        command.env("PATH", format!("{}:{path}", self.path(TOOLS).display()));
        let log = File::options().create(true).append(true).open(self.path("log"))?;
        command.stderr(log);
        Ok(command)
    }

    /// Starts the driver and connects to it.
    pub(crate) fn start(&mut self) -> Result<()> {
        let _ = fs::remove_file(self.socket());
        let mut child = self.command()?.spawn()?;
        let end = Instant::now() + Duration::from_secs(20);
        loop {
            let endpoint = Endpoint::try_from(format!("unix://{}", self.socket().display()))?;
            if let Ok(channel) = self.runtime.block_on(endpoint.connect()) {
                self.channel = Some(channel);
                break;
            }
            if let Some(status) = child.try_wait()? {
                bail!("the driver ended with {status}: {}", self.log());
            }
            if Instant::now() > end {
                child.kill()?;
                bail!("the driver did not serve: {}", self.log());
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        self.driver = Some(child);
        Ok(())
    }

    /// What the driver has logged.
    pub(crate) fn log(&self) -> String {
        fs::read_to_string(self.path("log")).unwrap_or_default()
    }

    /// Ends the driver at once.
    pub(crate) fn kill(&mut self) -> Result<()> {
        self.channel = None;
        if let Some(mut driver) = self.driver.take() {
            driver.kill()?;
            driver.wait()?;
        }
        Ok(())
    }

    /// Kills the driver and takes the pool's file system as its device has it at that moment; what was in caches is lost, and
    /// with it all that was attached.
    pub(crate) fn lose_power(&mut self) -> Result<()> {
        self.kill()?;
        let (image, copy) = (self.mount.image(), self.mount.image().with_extension("copy"));
        run(Command::new("cp").arg("--reflink=always").args([&image, &copy]))?;
        for mount in self.mounts()?.iter().rev() {
            // What was frozen at that moment cannot be let go of; the copy above is not touched by this any more.
            let _ = run(Command::new("/usr/sbin/fsfreeze").args(["--unfreeze", mount]));
            unmount(mount)?;
        }
        for device in self.loops()? {
            // Some end by themselves meanwhile; one that does not keeps the file system below from being unmounted.
            let name = device.split_whitespace().next().unwrap_or_default().to_owned();
            let _ = run(Command::new("/usr/sbin/losetup").args(["--detach", &name]));
        }
        unmount(&text(&self.mount.path()))?;
        fs::rename(&copy, &image)?;
        run(Command::new("mount").args(["-o", "loop"]).arg(&image).arg(self.mount.path()))
    }

    /// Calls `SERVICE/METHOD` below `csi.v1`.
    pub(crate) fn call<A, B>(&self, method: &str, request: A) -> Result<B, Status>
    where
        A: prost::Message + Default + 'static,
        B: prost::Message + Default + 'static,
    {
        let channel = self.channel.clone().expect("the driver runs");
        self.call_on(channel, &format!("/csi.v1.{method}"), request)
    }

    /// Calls a path on another socket.
    pub(crate) fn call_at<A, B>(&self, socket: &Path, path: &str, request: A) -> Result<B>
    where
        A: prost::Message + Default + 'static,
        B: prost::Message + Default + 'static,
    {
        let endpoint = Endpoint::try_from(format!("unix://{}", socket.display()))?;
        let channel = self.runtime.block_on(endpoint.connect())?;
        Ok(self.call_on(channel, path, request)?)
    }

    fn call_on<A, B>(&self, channel: Channel, path: &str, request: A) -> Result<B, Status>
    where
        A: prost::Message + Default + 'static,
        B: prost::Message + Default + 'static,
    {
        let path: PathAndQuery = path.parse().expect("a path");
        self.runtime.block_on(async {
            let mut client = Grpc::new(channel);
            client.ready().await.map_err(|error| Status::unavailable(error.to_string()))?;
            let codec = ProstCodec::<A, B>::default();
            client.unary(Request::new(request), path, codec).await.map(tonic::Response::into_inner)
        })
    }

    // === the controller's calls ===

    pub(crate) fn create(&self, name: &str, size: u64, access: AccessType) -> Result<Volume, Status> {
        self.create_from(name, size, access, None)
    }

    pub(crate) fn create_from(
        &self,
        name: &str,
        size: u64,
        access: AccessType,
        from: Option<Type>,
    ) -> Result<Volume, Status> {
        let request = CreateVolumeRequest {
            name: name.to_owned(),
            capacity_range: (size > 0).then(|| range(size)),
            volume_capabilities: vec![capability(access, Mode::SingleNodeWriter)],
            volume_content_source: from.map(|from| VolumeContentSource { r#type: Some(from) }),
            ..CreateVolumeRequest::default()
        };
        let answer: CreateVolumeResponse = self.call("Controller/CreateVolume", request)?;
        answer.volume.ok_or_else(|| Status::internal("no volume in the answer"))
    }

    pub(crate) fn delete(&self, volume: &str) -> Result<(), Status> {
        let request = DeleteVolumeRequest { volume_id: volume.to_owned() };
        self.call("Controller/DeleteVolume", request).map(|DeleteVolumeResponse {}| ())
    }

    pub(crate) fn snapshot(&self, volume: &str, name: &str) -> Result<Snapshot, Status> {
        let request = CreateSnapshotRequest {
            source_volume_id: volume.to_owned(),
            name: name.to_owned(),
            parameters: Map::new(),
        };
        let answer: CreateSnapshotResponse = self.call("Controller/CreateSnapshot", request)?;
        answer.snapshot.ok_or_else(|| Status::internal("no snapshot in the answer"))
    }

    pub(crate) fn delete_snapshot(&self, snapshot: &str) -> Result<(), Status> {
        let request = DeleteSnapshotRequest { snapshot_id: snapshot.to_owned() };
        self.call("Controller/DeleteSnapshot", request).map(|DeleteSnapshotResponse {}| ())
    }

    pub(crate) fn expand(&self, volume: &str, size: u64) -> Result<u64, Status> {
        let request = ControllerExpandVolumeRequest {
            volume_id: volume.to_owned(),
            capacity_range: Some(range(size)),
            volume_capability: None,
        };
        let answer: ControllerExpandVolumeResponse = self.call("Controller/ControllerExpandVolume", request)?;
        Ok(u64::try_from(answer.capacity_bytes).expect("a size"))
    }

    pub(crate) fn capacity(&self) -> Result<u64, Status> {
        let answer: GetCapacityResponse = self.call("Controller/GetCapacity", GetCapacityRequest::default())?;
        Ok(u64::try_from(answer.available_capacity).expect("a size"))
    }

    pub(crate) fn volumes(&self) -> Result<Vec<Volume>, Status> {
        let answer: ListVolumesResponse = self.call("Controller/ListVolumes", ListVolumesRequest::default())?;
        Ok(answer.entries.into_iter().filter_map(|entry| entry.volume).collect())
    }

    pub(crate) fn snapshots(&self) -> Result<Vec<Snapshot>, Status> {
        let answer: ListSnapshotsResponse = self.call("Controller/ListSnapshots", ListSnapshotsRequest::default())?;
        Ok(answer.entries.into_iter().filter_map(|entry| entry.snapshot).collect())
    }

    // === the node's calls, with paths made from the volume's identifier as the kubelet does ===

    pub(crate) fn staging(&self, volume: &str) -> PathBuf {
        self.path(&format!("staging-{volume}"))
    }

    pub(crate) fn target(&self, volume: &str) -> PathBuf {
        self.path(&format!("target-{volume}"))
    }

    pub(crate) fn stage(&self, volume: &str, access: AccessType) -> Result<(), Status> {
        let staging = self.staging(volume);
        fs::create_dir_all(&staging).expect("the folder of the test is writable");
        let request = NodeStageVolumeRequest {
            volume_id: volume.to_owned(),
            staging_target_path: text(&staging),
            volume_capability: Some(capability(access, Mode::SingleNodeWriter)),
        };
        self.call("Node/NodeStageVolume", request).map(|NodeStageVolumeResponse {}| ())
    }

    pub(crate) fn publish(&self, volume: &str, access: AccessType) -> Result<PathBuf, Status> {
        let target = self.target(volume);
        self.publish_at(volume, access, Mode::SingleNodeWriter, &target, false)?;
        Ok(target)
    }

    pub(crate) fn publish_at(
        &self,
        volume: &str,
        access: AccessType,
        mode: Mode,
        target: &Path,
        readonly: bool,
    ) -> Result<(), Status> {
        let request = NodePublishVolumeRequest {
            volume_id: volume.to_owned(),
            staging_target_path: text(&self.staging(volume)),
            target_path: text(target),
            volume_capability: Some(capability(access, mode)),
            readonly,
        };
        self.call("Node/NodePublishVolume", request).map(|NodePublishVolumeResponse {}| ())
    }

    pub(crate) fn unpublish(&self, volume: &str) -> Result<(), Status> {
        self.unpublish_at(volume, &self.target(volume))
    }

    pub(crate) fn unpublish_at(&self, volume: &str, target: &Path) -> Result<(), Status> {
        let request = NodeUnpublishVolumeRequest { volume_id: volume.to_owned(), target_path: text(target) };
        self.call("Node/NodeUnpublishVolume", request).map(|NodeUnpublishVolumeResponse {}| ())
    }

    pub(crate) fn unstage(&self, volume: &str) -> Result<(), Status> {
        let request =
            NodeUnstageVolumeRequest { volume_id: volume.to_owned(), staging_target_path: text(&self.staging(volume)) };
        self.call("Node/NodeUnstageVolume", request).map(|NodeUnstageVolumeResponse {}| ())
    }

    /// Stages and publishes.
    pub(crate) fn attach(&self, volume: &str, access: &AccessType) -> Result<PathBuf, Status> {
        self.stage(volume, access.clone())?;
        self.publish(volume, access.clone())
    }

    /// Unpublishes and unstages.
    pub(crate) fn detach(&self, volume: &str) -> Result<(), Status> {
        self.unpublish(volume)?;
        self.unstage(volume)
    }

    /// Writes `bytes` at the start of a volume through the driver, and waits until they are on the disk.
    pub(crate) fn write(&self, volume: &str, access: &AccessType, bytes: &[u8]) -> Result<()> {
        let target = self.attach(volume, access)?;
        let file = match access {
            AccessType::Block(_) => File::options().write(true).open(&target)?,
            AccessType::Mount(_) => File::create(target.join("disk.img"))?,
        };
        file.write_all_at(bytes, 0)?;
        file.sync_all()?;
        if matches!(access, AccessType::Mount(_)) {
            File::open(&target)?.sync_all()?;
        }
        drop(file);
        Ok(self.detach(volume)?)
    }

    /// Reads `length` bytes at the start of a volume through the driver.
    pub(crate) fn read(&self, volume: &str, access: &AccessType, length: usize) -> Result<Vec<u8>> {
        let target = self.attach(volume, access)?;
        let path = if matches!(access, AccessType::Block(_)) { target } else { target.join("disk.img") };
        let mut bytes = vec![0; length];
        let file = File::open(&path).with_context(|| format!("no content in {volume}"))?;
        file.read_exact_at(&mut bytes, 0)?;
        drop(file);
        self.detach(volume)?;
        Ok(bytes)
    }

    // === what the kernel holds ===

    /// Loop devices whose file is in the pool.
    pub(crate) fn loops(&self) -> Result<Vec<String>> {
        let name = self.mount.path().parent().context("a mount has a parent")?.display().to_string();
        let listed =
            output(Command::new("/usr/sbin/losetup").args(["--list", "--noheadings", "--output", "NAME,BACK-FILE"]))?;
        let is_ours = |line: &&str| line.contains(&name) && !line.contains(&text(&self.mount.image()));
        Ok(listed.lines().filter(is_ours).map(str::to_owned).collect())
    }

    /// Mount points below the test's folder.
    pub(crate) fn mounts(&self) -> Result<Vec<String>> {
        let name = text(self.folder.path());
        let mounts = fs::read_to_string("/proc/thread-self/mountinfo")?;
        let points = mounts.lines().filter_map(|line| line.split(' ').nth(4));
        Ok(points.filter(|point| point.starts_with(&name)).map(str::to_owned).collect())
    }

    /// Fails if a device or a mount is left.
    pub(crate) fn nothing_left(&self) -> Result<()> {
        ensure!(self.loops()?.is_empty(), "loop devices are left: {:?}", self.loops()?);
        ensure!(self.mounts()?.is_empty(), "mounts are left: {:?}", self.mounts()?);
        Ok(())
    }

    /// Fails if anything half-made is in the pool.
    pub(crate) fn nothing_half_made(&self) -> Result<()> {
        for name in ["making", "trash"] {
            let left: Vec<_> = fs::read_dir(self.pool().join(name))?.collect();
            ensure!(left.is_empty(), "{name} holds {left:?}");
        }
        Ok(())
    }
}

impl Drop for Bed {
    fn drop(&mut self) {
        // A test that failed half-way must not leave devices behind; mounts go with the namespace.
        let _ = self.kill();
        for mount in self.mounts().unwrap_or_default().iter().rev() {
            let _ = Command::new("/usr/sbin/fsfreeze").args(["--unfreeze", mount]).stderr(Stdio::null()).status();
            let _ = Command::new("umount").arg(mount).status();
        }
        for device in self.loops().unwrap_or_default() {
            let name = device.split_whitespace().next().unwrap_or_default().to_owned();
            let _ = Command::new("/usr/sbin/losetup").args(["--detach", &name]).status();
        }
        if std::thread::panicking() {
            eprintln!("the driver's log:\n{}", self.log());
        }
    }
}

/// Unmounts as soon as the processes that a killed driver has left have ended.
fn unmount(point: &str) -> Result<()> {
    let end = Instant::now() + Duration::from_secs(10);
    loop {
        match run(Command::new("umount").arg(point)) {
            Err(error) if Instant::now() < end => {
                ensure!(error.to_string().contains("busy"), error);
                std::thread::sleep(Duration::from_millis(20));
            }
            result => return result,
        }
    }
}

pub(crate) fn block() -> AccessType {
    AccessType::Block(BlockVolume {})
}

pub(crate) fn mounted() -> AccessType {
    AccessType::Mount(MountVolume::default())
}

pub(crate) fn capability(access: AccessType, mode: Mode) -> VolumeCapability {
    VolumeCapability { access_type: Some(access), access_mode: Some(AccessMode { mode: mode.into() }) }
}

pub(crate) fn range(size: u64) -> CapacityRange {
    CapacityRange { required_bytes: i64::try_from(size).expect("a size"), limit_bytes: 0 }
}

pub(crate) fn from_snapshot(id: &str) -> Option<Type> {
    Some(Type::Snapshot(SnapshotSource { snapshot_id: id.to_owned() }))
}

pub(crate) fn from_volume(id: &str) -> Option<Type> {
    Some(Type::Volume(VolumeSource { volume_id: id.to_owned() }))
}

/// The code of a call that must fail.
pub(crate) fn code<T: std::fmt::Debug>(result: Result<T, Status>) -> Code {
    result.map_or_else(|status| status.code(), |_| Code::Ok)
}

fn text(path: &Path) -> String {
    path.display().to_string()
}

/// Clones a volume by a connection of its own, for calls from several threads.
pub(crate) fn create_clone(socket: &Path, name: &str, source: &str) -> Result<String> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let request = CreateVolumeRequest {
        name: name.to_owned(),
        volume_capabilities: vec![capability(block(), Mode::SingleNodeWriter)],
        volume_content_source: Some(VolumeContentSource { r#type: from_volume(source) }),
        ..CreateVolumeRequest::default()
    };
    runtime.block_on(async {
        let channel = Endpoint::try_from(format!("unix://{}", socket.display()))?.connect().await?;
        let mut client = Grpc::new(channel);
        client.ready().await?;
        let codec = ProstCodec::<CreateVolumeRequest, CreateVolumeResponse>::default();
        let path = PathAndQuery::from_static("/csi.v1.Controller/CreateVolume");
        let answer = client.unary(Request::new(request), path, codec).await?.into_inner();
        Ok(answer.volume.context("no volume in the answer")?.volume_id)
    })
}
