//! Snapshots in the controller service.

use storage::{Snapshot, SnapshotId, VolumeId};
use tonic::Status;

use super::ask::{self, signed};
use super::controller::{name, next, token};
use super::{Driver, status};
use crate::spec;
use crate::spec::{
    CreateSnapshotRequest, CreateSnapshotResponse, DeleteSnapshotRequest, DeleteSnapshotResponse, GetSnapshotRequest,
    GetSnapshotResponse, ListSnapshotsRequest, ListSnapshotsResponse, SnapshotEntry, Timestamp,
};

impl Driver {
    pub(crate) fn create_snapshot(&self, request: &CreateSnapshotRequest) -> Result<CreateSnapshotResponse, Status> {
        if request.source_volume_id.is_empty() {
            return Err(ask::missing("source_volume_id"));
        }
        let name = name(&request.name)?;
        ask::no_parameters(&request.parameters, "the volume snapshot class")?;
        let volume = ask::volume(&request.source_volume_id)?;
        let snapshot = self.pool.take_snapshot(&volume, &name).map_err(|error| status(&error))?;
        Ok(CreateSnapshotResponse { snapshot: Some(shown(&snapshot)) })
    }

    pub(crate) fn delete_snapshot(&self, request: &DeleteSnapshotRequest) -> Result<DeleteSnapshotResponse, Status> {
        if request.snapshot_id.is_empty() {
            return Err(ask::missing("snapshot_id"));
        }
        if let Ok(id) = SnapshotId::new(&request.snapshot_id) {
            self.pool.delete_snapshot(&id).map_err(|error| status(&error))?;
        }
        Ok(DeleteSnapshotResponse {})
    }

    /// All snapshots, those of one volume, or one; none where what is asked for does not exist.
    pub(crate) fn list_snapshots(&self, request: &ListSnapshotsRequest) -> Result<ListSnapshotsResponse, Status> {
        let count = ask::page(request.max_entries)?;
        let after = token(&request.starting_token, SnapshotId::new)?;
        let mut found = match (request.snapshot_id.as_str(), request.source_volume_id.as_str()) {
            ("", "") => self.pool.snapshots(None, after.as_ref(), count + 1),
            ("", volume) => match VolumeId::new(volume) {
                Ok(volume) => self.pool.snapshots(Some(&volume), after.as_ref(), count + 1),
                Err(_) => Vec::new(),
            },
            (id, volume) => {
                let one = SnapshotId::new(id).and_then(|id| self.pool.snapshot(&id)).ok();
                one.into_iter().filter(|it| volume.is_empty() || it.volume.to_string() == volume).collect()
            }
        };
        let next_token = next(&mut found, count, |snapshot| snapshot.id.to_string());
        let entries = found.iter().map(|it| SnapshotEntry { snapshot: Some(shown(it)) }).collect();
        Ok(ListSnapshotsResponse { entries, next_token })
    }

    pub(crate) fn get_snapshot(&self, request: &GetSnapshotRequest) -> Result<GetSnapshotResponse, Status> {
        if request.snapshot_id.is_empty() {
            return Err(ask::missing("snapshot_id"));
        }
        let snapshot = SnapshotId::new(&request.snapshot_id).and_then(|id| self.pool.snapshot(&id));
        Ok(GetSnapshotResponse { snapshot: Some(shown(&snapshot.map_err(|error| status(&error))?)) })
    }
}

fn shown(snapshot: &Snapshot) -> spec::Snapshot {
    const SECOND: u64 = 1_000_000_000;
    spec::Snapshot {
        size_bytes: signed(snapshot.size),
        snapshot_id: snapshot.id.to_string(),
        source_volume_id: snapshot.volume.to_string(),
        creation_time: Some(Timestamp {
            seconds: signed(snapshot.created / SECOND),
            nanos: i32::try_from(snapshot.created % SECOND).unwrap_or(0),
        }),
        ready_to_use: true,
    }
}
