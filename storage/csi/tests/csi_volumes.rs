//! Volumes through the driver: bytes, modes, sizes, capacity, and what is refused with which code.

mod bed;

use std::fs::{self, File};
use std::io::{Seek, SeekFrom};
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result};
use bed::{Bed, MIB, block, capability, code, file_system, from_volume, mounted, range};
use fixtures::command::{output, run};
use fixtures::device::may_grow_mounted;
use fixtures::images::noise::Noise;
use gantry_csi::spec::volume_capability::{AccessType, Mode, MountVolume};
use gantry_csi::spec::{
    CapacityRange, ControllerGetCapabilitiesRequest, ControllerGetCapabilitiesResponse, ControllerRpcType,
    CreateVolumeRequest, CreateVolumeResponse, Map, NodeExpandVolumeRequest, NodeExpandVolumeResponse, Topology,
    TopologyRequirement,
};
use tonic::{Code, Status};

const FILE_SYSTEMS: [&str; 3] = ["xfs", "btrfs", "ext4"];

#[test]
fn what_is_written_to_a_volume_is_there_when_it_is_attached_again_and_after_a_restart() -> Result<()> {
    for name in FILE_SYSTEMS {
        let mut bed = Bed::new(name, 1024)?;
        for access in [block(), mounted()] {
            let volume = bed.create(&format!("v-{access:?}"), 64 * MIB, access.clone())?;
            let bytes = Noise::new(1).bytes(8 << 20);
            bed.write(&volume.volume_id, &access, &bytes)?;
            bed.kill()?;
            bed.start()?;
            assert!(bed.read(&volume.volume_id, &access, bytes.len())? == bytes, "{name} {access:?}");
            bed.delete(&volume.volume_id)?;
        }
        bed.nothing_left()?;
        bed.nothing_half_made()?;
        assert_eq!(bed.volumes()?, []);
    }
    Ok(())
}

#[test]
fn a_name_is_never_a_path_and_may_not_be_long_or_hold_control_characters() -> Result<()> {
    let bed = Bed::new("xfs", 400)?;
    for name in ["../../escape", "a/b", "..", ".", "größe"] {
        let volume = bed.create(name, MIB, block())?;
        assert!(bed.pool().join("volumes").join(&volume.volume_id).is_dir());
        assert!(bed.snapshot(&volume.volume_id, name).is_ok());
    }
    assert!(!bed.mount.path().join("escape").exists() && !bed.folder.path().join("escape").exists());
    for name in ["", "a\0b", "line\nbreak", &"x".repeat(1000)] {
        assert_eq!(code(bed.create(name, MIB, block())), Code::InvalidArgument, "{name:?}");
    }
    for id in ["../volumes", "vol-/../../x", "a\0b", &"x".repeat(1000)] {
        assert_eq!(code(bed.delete(id)), Code::Ok, "{id:?}");
        assert_eq!(code(bed.expand(id, MIB)), Code::NotFound, "{id:?}");
        assert_eq!(code(bed.stage(&"x".repeat(20), block())), Code::NotFound);
    }
    assert_eq!(bed.volumes()?.len(), 5);
    Ok(())
}

fn create(bed: &Bed, change: impl Fn(&mut CreateVolumeRequest)) -> Result<CreateVolumeResponse, Status> {
    let mut request = CreateVolumeRequest {
        name: "asked".to_owned(),
        capacity_range: Some(range(MIB)),
        volume_capabilities: vec![capability(block(), Mode::SingleNodeWriter)],
        ..CreateVolumeRequest::default()
    };
    change(&mut request);
    bed.call("Controller/CreateVolume", request)
}

#[test]
fn a_size_that_cannot_be_is_refused_with_the_code_that_says_why() -> Result<()> {
    let bed = Bed::new("xfs", 400)?;
    let sized = |required_bytes, limit_bytes| {
        code(create(&bed, |request| request.capacity_range = Some(CapacityRange { required_bytes, limit_bytes })))
    };
    assert_eq!(sized(0, 0), Code::InvalidArgument);
    assert_eq!(sized(-1, 0), Code::InvalidArgument);
    assert_eq!(sized(i64::MIN, i64::MIN), Code::InvalidArgument);
    assert_eq!(sized(2, 1), Code::InvalidArgument);
    assert_eq!(sized(1, 1), Code::OutOfRange, "no volume is as small as one byte");
    assert_eq!(sized(i64::MAX, 0), Code::OutOfRange);
    assert_eq!(sized(1 << 40, 0), Code::OutOfRange, "more than the pool could ever hold");
    let left = bed.capacity()?;
    bed.create("most", left - 20 * MIB, block())?;
    assert_eq!(sized(64 << 20, 0), Code::ResourceExhausted, "more than is left");
    assert_eq!(bed.volumes()?.len(), 1);
    bed.nothing_half_made()
}

#[test]
fn what_the_driver_does_not_have_is_refused_by_its_name() -> Result<()> {
    let bed = Bed::new("xfs", 400)?;
    let refused = |change: &dyn Fn(&mut CreateVolumeRequest), name: &str| {
        let status = create(&bed, change).expect_err(name);
        assert!(status.code() == Code::InvalidArgument && status.message().contains(name), "{status}");
    };
    refused(&|request| request.parameters = Map::from([("replicas".to_owned(), "3".to_owned())]), "replicas");
    refused(&|request| request.mutable_parameters = Map::from([("iops".to_owned(), "3".to_owned())]), "iops");
    let xfs = || AccessType::Mount(MountVolume { fs_type: "xfs".to_owned(), mount_flags: Vec::new() });
    refused(&|request| request.volume_capabilities = vec![capability(xfs(), Mode::SingleNodeWriter)], "xfs");
    refused(
        &|request| request.volume_capabilities = vec![capability(mounted(), Mode::MultiNodeMultiWriter)],
        "MultiNode",
    );
    refused(&|request| request.volume_capabilities.clear(), "volume_capabilities");
    let node = |name: &str| Topology { segments: Map::from([("csi.gantry.dev/node".to_owned(), name.to_owned())]) };
    let placed = |name: &str| {
        let requisite = vec![node(name)];
        create(&bed, |request| {
            request.accessibility_requirements =
                Some(TopologyRequirement { requisite: requisite.clone(), preferred: Vec::new() });
        })
    };
    assert_eq!(code(placed("another-node")), Code::ResourceExhausted);
    assert_eq!(placed(bed::NODE)?.volume.map(|volume| volume.accessible_topology), Some(vec![node(bed::NODE)]));
    let extra = Map::from([("csi.storage.k8s.io/pvc/name".to_owned(), "claim".to_owned())]);
    assert_eq!(code(create(&bed, |request| request.parameters = extra.clone())), Code::Ok);
    Ok(())
}

#[test]
fn the_same_request_gives_the_same_volume_and_another_one_by_that_name_is_refused() -> Result<()> {
    let bed = Bed::new("xfs", 800)?;
    let first = bed.create("v", 32 * MIB, block())?;
    assert_eq!(bed.create("v", 32 * MIB, block())?, first);
    assert_eq!(code(bed.create("v", 33 * MIB, block())), Code::AlreadyExists);
    assert_eq!(code(bed.create("v", 32 * MIB, mounted())), Code::AlreadyExists);
    assert_eq!(code(bed.create_from("v", 32 * MIB, block(), from_volume(&first.volume_id))), Code::AlreadyExists);
    bed.delete(&first.volume_id)?;
    bed.delete(&first.volume_id)?;
    assert_ne!(bed.create("v", 32 * MIB, block())?.volume_id, first.volume_id, "identifiers are never used again");
    Ok(())
}

#[test]
fn a_volume_is_used_in_one_mode_and_by_as_many_as_its_access_mode_allows() -> Result<()> {
    let bed = Bed::new("xfs", 800)?;
    let id = bed.create("v", 64 * MIB, mounted())?.volume_id;
    let target = bed.attach(&id, &mounted())?;
    assert_eq!(code(bed.stage(&id, block())), Code::FailedPrecondition);
    assert_eq!(
        code(bed.publish_at(&id, block(), Mode::SingleNodeWriter, &bed.path("other"), false)),
        Code::FailedPrecondition
    );
    assert_eq!(code(bed.publish_at(&id, mounted(), Mode::SingleNodeWriter, &target, true)), Code::AlreadyExists);
    assert_eq!(
        code(bed.publish_at(&id, mounted(), Mode::SingleNodeSingleWriter, &bed.path("other"), false)),
        Code::FailedPrecondition
    );
    assert_eq!(code(bed.unstage(&id)), Code::FailedPrecondition, "it is still published");
    assert_eq!(code(bed.delete(&id)), Code::FailedPrecondition, "it is published");
    bed.publish_at(&id, mounted(), Mode::SingleNodeMultiWriter, &bed.path("other"), true)?;
    fs::write(target.join("file"), "shared")?;
    assert_eq!(fs::read_to_string(bed.path("other").join("file"))?, "shared");
    assert_eq!(
        fs::write(bed.path("other").join("file"), "x").unwrap_err().kind(),
        std::io::ErrorKind::ReadOnlyFilesystem
    );
    bed.unpublish_at(&id, &bed.path("other"))?;
    bed.detach(&id)?;
    bed.stage(&id, block())?;
    assert_eq!(code(bed.stage(&id, mounted())), Code::FailedPrecondition);
    bed.detach(&id)?;

    let id = bed.create("raw", 64 * MIB, block())?.volume_id;
    assert_eq!(code(bed.stage(&id, mounted())), Code::FailedPrecondition, "it has no file system");
    assert_eq!(code(bed.publish(&id, block())), Code::FailedPrecondition, "it is not staged");
    let target = bed.attach(&id, &block())?;
    bed.publish_at(&id, block(), Mode::MultiNodeMultiWriter, &bed.path("second"), false)?;
    bed.publish_at(&id, block(), Mode::SingleNodeReaderOnly, &bed.path("reader"), false)?;
    File::options().write(true).open(&target)?.write_all_at(&[7; 4096], 0)?;
    // Some kernels refuse the opening, some the writing.
    let written = File::options().write(true).open(bed.path("reader")).and_then(|file| {
        file.write_all_at(&[8; 4096], 0)?;
        file.sync_all()
    });
    assert!(written.is_err(), "a reader's device takes no writes");
    File::open(&target)?.sync_all()?;
    let mut read = [0; 4096];
    File::open(bed.path("reader"))?.read_exact_at(&mut read, 0)?;
    assert_eq!(read, [7; 4096]);
    for path in ["second", "reader"] {
        bed.unpublish_at(&id, &bed.path(path))?;
        assert!(!bed.path(path).exists());
    }
    bed.detach(&id)?;
    bed.nothing_left()
}

#[test]
fn a_volume_that_a_kubelet_forgot_can_be_deleted_and_one_that_is_used_cannot() -> Result<()> {
    let bed = Bed::new("xfs", 800)?;
    let raw = bed.create("raw", 64 * MIB, block())?.volume_id;
    let open = File::open(bed.attach(&raw, &block())?)?;
    assert!(bed.delete(&raw).is_err(), "somebody reads it");
    drop(open);
    let files = bed.create("files", 64 * MIB, mounted())?.volume_id;
    bed.attach(&files, &mounted())?;
    assert_eq!(code(bed.delete(&files)), Code::FailedPrecondition, "it is published");
    bed.unpublish(&files)?;
    let open = File::create(bed.staging(&files).join("file"))?;
    assert!(bed.delete(&files).is_err(), "somebody writes to it");
    drop(open);
    for id in [&raw, &files] {
        bed.delete(id)?;
        // What was on its way meanwhile comes too late.
        bed.unpublish(id)?;
        bed.unstage(id)?;
        assert!(!bed.target(id).exists());
    }
    assert!(bed.volumes()?.is_empty());
    bed.nothing_left()
}

#[test]
fn a_target_that_holds_something_else_is_left_alone() -> Result<()> {
    let bed = Bed::new("xfs", 400)?;
    let id = bed.create("v", MIB, block())?.volume_id;
    fs::write(bed.target(&id), "someone's file")?;
    assert_eq!(code(bed.unpublish(&id)), Code::AlreadyExists);
    assert_eq!(fs::read_to_string(bed.target(&id))?, "someone's file");
    Ok(())
}

#[test]
fn damaged_state_and_foreign_files_are_reported_and_nothing_of_them_is_lost() -> Result<()> {
    let mut bed = Bed::new("xfs", 400)?;
    let damaged = bed.create("damaged", MIB, block())?.volume_id;
    let short = bed.create("short", MIB, block())?.volume_id;
    let sound = bed.create("sound", MIB, block())?.volume_id;
    bed.kill()?;
    let volumes = bed.pool().join("volumes");
    let state = volumes.join(&damaged).join("state");
    let changed = fs::read_to_string(&state)?.replace("1048576", "2097152");
    fs::write(&state, &changed)?;
    File::options().write(true).open(volumes.join(&short).join("disk"))?.set_len(4096)?;
    for foreign in ["README", "volumes/notes.txt", "making/notes.txt", "trash/keep"] {
        fs::write(bed.pool().join(foreign), "someone's file")?;
    }
    bed.start()?;
    for (id, name) in [(&damaged, "damaged"), (&short, "short")] {
        assert_eq!(code(bed.stage(id, block())), Code::DataLoss);
        assert_eq!(code(bed.expand(id, 2 * MIB)), Code::DataLoss);
        assert_eq!(code(bed.snapshot(id, "s")), Code::DataLoss);
        assert_eq!(code(bed.delete(id)), Code::DataLoss);
        assert_eq!(
            code(bed.create(name, MIB, block())),
            Code::DataLoss,
            "an empty one by that name would hide the loss"
        );
        assert!(bed.log().contains(id.as_str()), "the log names it");
    }
    assert_eq!(fs::read_to_string(&state)?, changed);
    for foreign in ["README", "volumes/notes.txt", "making/notes.txt", "trash/keep"] {
        assert_eq!(fs::read_to_string(bed.pool().join(foreign))?, "someone's file");
        assert!(bed.log().contains(foreign), "the log names it");
    }
    assert_eq!(bed.volumes()?.iter().map(|volume| &volume.volume_id).collect::<Vec<_>>(), [&sound]);
    bed.write(&sound, &block(), b"works")
}

#[test]
fn a_folder_that_is_no_pool_and_a_pool_in_use_are_refused() -> Result<()> {
    let bed = Bed::new("xfs", 400)?;
    let refused = |pool: &Path| -> Result<String> {
        let mut command = bed.command()?;
        command.arg("--pool").arg(pool).args(["--endpoint", "/nowhere/csi.sock"]);
        let output = Command::new(command.get_program())
            .args(["--node", "n", "--endpoint", "/nowhere/csi.sock", "--pool"])
            .arg(pool)
            .output()?;
        assert!(!output.status.success());
        Ok(String::from_utf8_lossy(&output.stderr).into_owned())
    };
    let used = bed.path("used");
    fs::create_dir(&used)?;
    fs::write(used.join("precious"), "data")?;
    assert!(refused(&used)?.contains("precious"));
    assert_eq!(fs::read_dir(&used)?.count(), 1, "nothing was added");
    assert!(refused(&bed.pool())?.contains("another process"));
    fs::write(bed.pool().join("pool"), "gantry-pool 2 crc32:00000000\n{}\n")?;
    assert!(refused(&bed.pool())?.contains("format 2"));
    Ok(())
}

#[test]
fn a_pool_filled_by_others_refuses_new_volumes_and_leaves_nothing_half_made() -> Result<()> {
    for name in FILE_SYSTEMS {
        let bed = Bed::new(name, 400)?;
        let sound = bed.create("sound", 32 * MIB, block())?.volume_id;
        bed.write(&sound, &block(), &[1; 8 << 20])?;
        // By a process of its own, as anyone's would.
        let filler = bed.mount.path().join("filler");
        let filled = output(Command::new("dd").args(["if=/dev/zero", "bs=1M", &format!("of={}", filler.display())]));
        assert!(filled.is_err(), "the file system gets full");
        for number in 0..3 {
            assert_eq!(code(bed.create(&format!("n{number}"), 32 * MIB, mounted())), Code::ResourceExhausted, "{name}");
            assert_eq!(code(bed.snapshot(&sound, &format!("n{number}"))), Code::ResourceExhausted, "{name}");
        }
        bed.nothing_half_made()?;
        fs::remove_file(filler)?;
        assert_eq!(bed.read(&sound, &block(), 4096)?, [1; 4096]);
        assert_eq!(bed.volumes()?.len(), 1);
    }
    Ok(())
}

/// Writes a device from end to end, past the page cache, with bytes that no file system can squeeze.
fn fill(target: &Path, seed: u64) -> Result<()> {
    let source = tempfile::NamedTempFile::new()?;
    let size = File::open(target)?.seek(SeekFrom::End(0))?;
    let mut left = usize::try_from(size)?;
    let mut noise = Noise::new(seed);
    let mut at = 0;
    while left > 0 {
        let bytes = noise.bytes(left.min(4 << 20));
        source.as_file().write_all_at(&bytes, at)?;
        at += bytes.len() as u64;
        left -= bytes.len();
    }
    let paths = [format!("if={}", source.path().display()), format!("of={}", target.display())];
    run(Command::new("dd").args(paths).args(["bs=4M", "oflag=direct", "conv=nocreat,fsync"]))
}

#[test]
fn all_that_a_pool_promises_can_be_written_at_the_same_time() -> Result<()> {
    for name in FILE_SYSTEMS {
        let bed = Bed::new(name, 1024)?;
        // Volumes with a snapshot each that keeps all their first blocks, then whatever else the pool promises.
        let mut volumes: Vec<String> = Vec::new();
        for number in 0..2 {
            let id = bed.create(&format!("old{number}"), 128 * MIB, block())?.volume_id;
            fill(&bed.attach(&id, &block())?, number)?;
            bed.detach(&id)?;
            bed.snapshot(&id, &format!("s{number}"))?;
            volumes.push(id);
        }
        let left = bed.capacity()? / MIB;
        for (number, size) in [left / 2, left - left / 2].into_iter().enumerate() {
            volumes.push(bed.create(&format!("new{number}"), size * MIB, block())?.volume_id);
        }
        assert!(bed.capacity()? < MIB, "{name}: all is promised");
        assert_eq!(code(bed.create("more", 2 * MIB, block())), Code::ResourceExhausted);
        for (number, id) in volumes.iter().enumerate() {
            fill(&bed.attach(id, &block())?, 100 + number as u64)?;
        }
        volumes.iter().try_for_each(|id| bed.detach(id))?;
    }
    Ok(())
}

#[test]
fn a_ratio_above_one_promises_more_than_there_is() -> Result<()> {
    let plain = Bed::new("xfs", 400)?.capacity()?;
    let bed = Bed::with(file_system("xfs", 400)?, &["--over-commit", "3"])?;
    assert_eq!(bed.capacity()? / MIB, 3 * plain / MIB);
    bed.create("large", 2 * plain, block())?;
    Ok(())
}

#[test]
fn a_volume_grows_attached_or_not_and_never_shrinks() -> Result<()> {
    let bed = Bed::new("xfs", 1024)?;
    let id = bed.create("raw", 32 * MIB, block())?.volume_id;
    let target = bed.attach(&id, &block())?;
    assert_eq!(bed.expand(&id, 64 * MIB)?, 64 * MIB);
    assert_eq!(File::open(&target)?.seek(SeekFrom::End(0))?, 64 * MIB, "the attached device has the new size");
    assert_eq!(bed.expand(&id, 32 * MIB)?, 64 * MIB);
    assert_eq!(code(bed.expand(&id, 1 << 40)), Code::OutOfRange);
    bed.detach(&id)?;

    let id = bed.create("files", 64 * MIB, mounted())?.volume_id;
    bed.write(&id, &mounted(), b"kept")?;
    bed.expand(&id, 256 * MIB)?;
    let target = bed.attach(&id, &mounted())?;
    let space = rustix::fs::statvfs(&target)?;
    assert!(space.f_blocks * space.f_frsize > 200 * MIB, "the file system was grown when it was staged");
    assert_eq!(fs::read(target.join("disk.img"))?, b"kept");
    Ok(())
}

#[test]
fn a_driver_that_grows_on_the_node_leaves_the_controller_out_and_does_all_of_it_for_the_kubelet() -> Result<()> {
    let offers = |bed: &Bed| -> Result<bool, Status> {
        let answer: ControllerGetCapabilitiesResponse =
            bed.call("Controller/ControllerGetCapabilities", ControllerGetCapabilitiesRequest {})?;
        let expand = i32::from(ControllerRpcType::ExpandVolume);
        Ok(answer.capabilities.iter().flat_map(|it| it.rpc).any(|rpc| rpc.r#type == expand))
    };
    assert!(offers(&Bed::new("xfs", 400)?)?);
    let bed = Bed::with(file_system("xfs", 400)?, &["--expand-on-node"])?;
    assert!(!offers(&bed)?);
    let id = bed.create("raw", 32 * MIB, block())?.volume_id;
    let target = bed.attach(&id, &block())?;
    let request = NodeExpandVolumeRequest {
        volume_id: id.clone(),
        volume_path: target.display().to_string(),
        capacity_range: Some(range(64 * MIB)),
        volume_capability: None,
    };
    let answer: NodeExpandVolumeResponse = bed.call("Node/NodeExpandVolume", request)?;
    assert_eq!(answer.capacity_bytes, 64 << 20);
    assert_eq!(File::open(&target)?.seek(SeekFrom::End(0))?, 64 * MIB);
    bed.detach(&id)?;
    Ok(())
}

#[test]
fn a_mounted_file_system_grows() -> Result<()> {
    if !may_grow_mounted()? {
        println!("skipped: growing a mounted ext4 needs CAP_SYS_RESOURCE, which this machine withholds");
        return Ok(());
    }
    let bed = Bed::new("xfs", 1024)?;
    let id = bed.create("files", 64 * MIB, mounted())?.volume_id;
    let target = bed.attach(&id, &mounted())?;
    bed.expand(&id, 256 * MIB)?;
    let request = NodeExpandVolumeRequest {
        volume_id: id,
        volume_path: target.display().to_string(),
        capacity_range: None,
        volume_capability: None,
    };
    let _: NodeExpandVolumeResponse = bed.call("Node/NodeExpandVolume", request)?;
    let space = rustix::fs::statvfs(&target)?;
    assert!(space.f_blocks * space.f_frsize > 200 * MIB);
    Ok(())
}

#[test]
fn a_driver_tells_the_kubelet_and_prometheus_what_it_is() -> Result<()> {
    let registration = tempfile::tempdir()?;
    let folder = registration.path().display().to_string();
    let port = std::net::TcpListener::bind("127.0.0.1:0")?.local_addr()?.port().to_string();
    let address = format!("127.0.0.1:{port}");
    let options =
        ["--registration-folder", &folder, "--kubelet-endpoint", "/seen/csi.sock", "--http-address", &address];
    let bed = Bed::with(file_system("xfs", 400)?, &options)?;
    let socket = fs::read_dir(registration.path())?.next().context("no socket")??.path();
    let get_info = "/pluginregistration.Registration/GetInfo";
    let info: gantry_csi::spec::PluginInfo = bed.call_at(&socket, get_info, gantry_csi::spec::InfoRequest {})?;
    assert_eq!(
        (info.r#type.as_str(), info.name.as_str(), info.endpoint.as_str()),
        ("CSIPlugin", "csi.gantry.dev", "/seen/csi.sock")
    );
    // As the kubelet asks: the authority is the socket's path as Go escapes it, the body an empty message of five bytes.
    let authority = format!("Host: {}", socket.display().to_string().replace('/', "%2F"));
    let empty = bed.path("empty");
    fs::write(&empty, [0; 5])?;
    let mut curl = Command::new("curl");
    curl.args([
        "-sS",
        "--fail",
        "--http2-prior-knowledge",
        "--header",
        &authority,
        "--header",
        "Content-Type: application/grpc",
    ]);
    curl.args(["--header", "TE: trailers", "--data-binary", &format!("@{}", empty.display()), "--unix-socket"]);
    let answer = output(curl.arg(&socket).arg(format!("http://localhost{get_info}")))?;
    assert!(answer.contains("CSIPlugin"), "{answer:?}");
    bed.create("v", 32 * MIB, block())?;
    let page = output(Command::new("curl").args(["-sS", "--fail", &format!("http://{address}/metrics")]))?;
    for line in [
        r#"gantry_csi_calls_total{method="CreateVolume",code="Ok"} 1"#,
        "gantry_csi_pool_promised_bytes 33554432",
        "gantry_csi_volumes 1",
        "gantry_csi_complaints 0",
    ] {
        assert!(page.contains(line), "{line} is not in {page}");
    }
    assert_eq!(output(Command::new("curl").args(["-sS", &format!("http://{address}/healthz")]))?, "ok\n");
    Ok(())
}
