//! What a request asks for, read and checked.

use std::path::PathBuf;

use storage::{Access, FileSystem, VolumeId};
use tonic::Status;

use super::status;
use crate::spec::volume_capability::{AccessType, Mode};
use crate::spec::{CapacityRange, Map, VolumeCapability};

/// A capability that we have.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Asked {
    pub(super) access: Access,
    /// By its access mode.
    pub(super) read_only: bool,
    /// Its access mode allows one target only.
    pub(super) alone: bool,
}

impl Asked {
    pub(super) fn file_system(&self) -> Option<FileSystem> {
        match self.access {
            Access::Block => None,
            Access::FileSystem { .. } => Some(FileSystem::Ext4),
        }
    }
}

/// Reads one capability.
pub(super) fn capability(capability: Option<&VolumeCapability>) -> Result<Asked, Status> {
    let capability = capability.ok_or_else(|| missing("volume_capability"))?;
    let mode = capability.access_mode.ok_or_else(|| missing("access_mode"))?.mode;
    let mode = Mode::try_from(mode).ok().filter(|mode| *mode != Mode::Unknown);
    let mode = mode.ok_or_else(|| Status::invalid_argument("access_mode is none that this driver knows"))?;
    let access = match capability.access_type.as_ref().ok_or_else(|| missing("access_type"))? {
        AccessType::Block(_) => Access::Block,
        AccessType::Mount(mount) if ["", "ext4"].contains(&mount.fs_type.as_str()) => {
            Access::FileSystem { options: mount.mount_flags.clone() }
        }
        AccessType::Mount(mount) => {
            let text =
                format!("file system {:?} is not made by this driver; leave fsType out, or use ext4", mount.fs_type);
            return Err(Status::invalid_argument(text));
        }
    };
    let is_multi_node =
        matches!(mode, Mode::MultiNodeReaderOnly | Mode::MultiNodeSingleWriter | Mode::MultiNodeMultiWriter);
    if is_multi_node && access != Access::Block {
        return Err(Status::invalid_argument(format!(
            "access mode {mode:?} is for block volumes only; a local file system is mounted on one node (ReadWriteOnce)"
        )));
    }
    Ok(Asked {
        access,
        read_only: matches!(mode, Mode::SingleNodeReaderOnly | Mode::MultiNodeReaderOnly),
        alone: mode == Mode::SingleNodeSingleWriter,
    })
}

/// Reads all capabilities of a volume; there is at least one.
pub(super) fn capabilities(all: &[VolumeCapability]) -> Result<Vec<Asked>, Status> {
    if all.is_empty() {
        return Err(missing("volume_capabilities"));
    }
    all.iter().map(|one| capability(Some(one))).collect()
}

/// The least and the greatest size asked for, in bytes.
pub(super) fn sizes(range: Option<&CapacityRange>) -> Result<(Option<u64>, Option<u64>), Status> {
    let Some(range) = range else { return Ok((None, None)) };
    let size = |name: &str, bytes: i64| match u64::try_from(bytes) {
        Ok(0) => Ok(None),
        Ok(bytes) => Ok(Some(bytes)),
        Err(_) => Err(Status::invalid_argument(format!("{name} of {bytes} is negative"))),
    };
    let (required, limit) = (size("required_bytes", range.required_bytes)?, size("limit_bytes", range.limit_bytes)?);
    match (required, limit) {
        (None, None) => {
            Err(Status::invalid_argument("capacity_range asks for 0 bytes; ask for at least one, or leave it out"))
        }
        (Some(required), Some(limit)) if required > limit => {
            Err(Status::invalid_argument(format!("required_bytes {required} is above limit_bytes {limit}")))
        }
        sizes => Ok(sizes),
    }
}

/// Refuses parameters: there are none, and one that is ignored would mislead. What the sidecars add about their objects is theirs.
pub(super) fn no_parameters(parameters: &Map, of: &str) -> Result<(), Status> {
    match parameters.keys().find(|key| !key.starts_with("csi.storage.k8s.io/")) {
        None => Ok(()),
        Some(key) => Err(Status::invalid_argument(format!(
            "{of} has the parameter {key:?}, which this driver does not have; remove it"
        ))),
    }
}

/// A volume that must be named.
pub(super) fn volume(id: &str) -> Result<VolumeId, Status> {
    if id.is_empty() {
        return Err(missing("volume_id"));
    }
    VolumeId::new(id).map_err(|error| status(&error))
}

/// A path that must be given, and is only looked at.
pub(super) fn given_path(name: &str, text: &str) -> Result<PathBuf, Status> {
    if text.is_empty() { Err(missing(name)) } else { Ok(text.into()) }
}

/// A path that must be given, and is worked on.
pub(super) fn path(name: &str, text: &str) -> Result<PathBuf, Status> {
    let path = given_path(name, text)?;
    let is_plain =
        path.is_absolute() && !path.components().any(|part| part.as_os_str() == "..") && !text.contains('\0');
    if is_plain {
        Ok(path)
    } else {
        Err(Status::invalid_argument(format!("{name} {text:?} is not an absolute path without ..")))
    }
}

/// How many entries a page has.
pub(super) fn page(max_entries: i32) -> Result<usize, Status> {
    match usize::try_from(max_entries) {
        Ok(0) => Ok(usize::MAX - 1),
        Ok(count) => Ok(count),
        Err(_) => Err(Status::invalid_argument(format!("max_entries of {max_entries} is negative"))),
    }
}

pub(super) fn missing(name: &str) -> Status {
    Status::invalid_argument(format!("{name} is missing"))
}

/// Bytes as the specification has them.
pub(super) fn signed(bytes: u64) -> i64 {
    i64::try_from(bytes).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::spec::volume_capability::{AccessMode, BlockVolume, MountVolume};

    fn asked(access: AccessType, mode: Mode) -> Result<Asked, Status> {
        let access_mode = Some(AccessMode { mode: mode.into() });
        capability(Some(&VolumeCapability { access_type: Some(access), access_mode }))
    }

    #[test]
    fn a_file_system_is_for_one_node_and_a_block_device_for_any() {
        let mount = || AccessType::Mount(MountVolume::default());
        let block = || AccessType::Block(BlockVolume {});
        for mode in [
            Mode::SingleNodeWriter,
            Mode::SingleNodeReaderOnly,
            Mode::SingleNodeSingleWriter,
            Mode::SingleNodeMultiWriter,
        ] {
            assert!(asked(mount(), mode).is_ok() && asked(block(), mode).is_ok(), "{mode:?}");
        }
        for mode in [Mode::MultiNodeReaderOnly, Mode::MultiNodeSingleWriter, Mode::MultiNodeMultiWriter] {
            assert!(asked(mount(), mode).is_err() && asked(block(), mode).is_ok(), "{mode:?}");
        }
        assert!(asked(block(), Mode::Unknown).is_err());
        assert!(asked(block(), Mode::SingleNodeReaderOnly).unwrap().read_only);
        assert!(asked(block(), Mode::SingleNodeSingleWriter).unwrap().alone);
    }

    #[test]
    fn another_file_system_is_refused_by_its_name() {
        let xfs = MountVolume { fs_type: "xfs".to_owned(), mount_flags: Vec::new() };
        let refused = asked(AccessType::Mount(xfs), Mode::SingleNodeWriter).unwrap_err();
        assert!(refused.message().contains("xfs"), "{refused}");
    }

    #[test]
    fn sizes_are_positive_and_in_order() {
        let read = |required_bytes, limit_bytes| sizes(Some(&CapacityRange { required_bytes, limit_bytes }));
        assert_eq!(read(1, 0).unwrap(), (Some(1), None));
        assert_eq!(read(0, 2).unwrap(), (None, Some(2)));
        for (required, limit) in [(0, 0), (-1, 0), (0, -1), (2, 1), (i64::MIN, i64::MAX)] {
            assert!(read(required, limit).is_err(), "{required} {limit}");
        }
        assert_eq!(sizes(None).unwrap(), (None, None));
    }

    #[test]
    fn paths_are_absolute_and_plain() {
        assert!(path("p", "/a/b").is_ok());
        for bad in ["", "a", "/a/../b", "/a\0b"] {
            assert!(path("p", bad).is_err(), "{bad:?}");
        }
    }
}
