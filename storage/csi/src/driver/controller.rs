//! Volumes in the controller service.

use storage::{Name, NewVolume, SnapshotId, Source, Volume, VolumeId};
use tonic::Status;

use super::ask::{self, Asked, signed};
use super::{Driver, status};
use crate::spec;
use crate::spec::volume_content_source::{SnapshotSource, Type, VolumeSource};
use crate::spec::{
    Confirmed, ControllerExpandVolumeRequest, ControllerExpandVolumeResponse, ControllerGetCapabilitiesRequest,
    ControllerGetCapabilitiesResponse, ControllerGetVolumeRequest, ControllerGetVolumeResponse, ControllerRpc,
    ControllerRpcType, ControllerServiceCapability, CreateVolumeRequest, CreateVolumeResponse, DeleteVolumeRequest,
    DeleteVolumeResponse, GetCapacityRequest, GetCapacityResponse, ListVolumesRequest, ListVolumesResponse, Map,
    TopologyRequirement, ValidateVolumeCapabilitiesRequest, ValidateVolumeCapabilitiesResponse, VolumeCondition,
    VolumeContentSource, VolumeEntry, VolumeStatus,
};

impl Driver {
    pub(crate) fn controller_get_capabilities(
        &self,
        _: &ControllerGetCapabilitiesRequest,
    ) -> Result<ControllerGetCapabilitiesResponse, Status> {
        use ControllerRpcType as Rpc;
        let mut all = vec![
            Rpc::CreateDeleteVolume,
            Rpc::ListVolumes,
            Rpc::GetCapacity,
            Rpc::CreateDeleteSnapshot,
            Rpc::ListSnapshots,
            Rpc::CloneVolume,
            Rpc::VolumeCondition,
            Rpc::GetVolume,
            Rpc::SingleNodeMultiWriter,
            Rpc::GetSnapshot,
        ];
        // Without it, the resizer leaves the whole work to the kubelet of the volume's node.
        if !self.expand_on_node {
            all.push(Rpc::ExpandVolume);
        }
        let capability = |rpc: Rpc| ControllerServiceCapability { rpc: Some(ControllerRpc { r#type: rpc.into() }) };
        Ok(ControllerGetCapabilitiesResponse { capabilities: all.into_iter().map(capability).collect() })
    }

    pub(crate) fn create_volume(&self, request: &CreateVolumeRequest) -> Result<CreateVolumeResponse, Status> {
        let name = name(&request.name)?;
        let asked = ask::capabilities(&request.volume_capabilities)?;
        ask::no_parameters(&request.parameters, "the storage class")?;
        ask::no_parameters(&request.mutable_parameters, "the volume attributes class")?;
        let (required, limit) = ask::sizes(request.capacity_range.as_ref())?;
        self.reachable_from(request.accessibility_requirements.as_ref())?;
        let source = request.volume_content_source.as_ref().map(source).transpose()?;
        let file_system = asked.iter().find_map(Asked::file_system);
        let wanted = NewVolume { name, required, limit, file_system, source };
        let volume = self.pool.create(&wanted).map_err(|error| status(&error))?;
        Ok(CreateVolumeResponse { volume: Some(self.shown(&volume)) })
    }

    pub(crate) fn delete_volume(&self, request: &DeleteVolumeRequest) -> Result<DeleteVolumeResponse, Status> {
        if request.volume_id.is_empty() {
            return Err(ask::missing("volume_id"));
        }
        // What has not the form of our identifiers is certainly not there any more.
        if let Ok(id) = VolumeId::new(&request.volume_id) {
            self.pool.delete(&id).map_err(|error| status(&error))?;
        }
        Ok(DeleteVolumeResponse {})
    }

    pub(crate) fn validate_volume_capabilities(
        &self,
        request: &ValidateVolumeCapabilitiesRequest,
    ) -> Result<ValidateVolumeCapabilitiesResponse, Status> {
        let id = ask::volume(&request.volume_id)?;
        if request.volume_capabilities.is_empty() {
            return Err(ask::missing("volume_capabilities"));
        }
        let volume = self.pool.volume(&id).map_err(|error| status(&error))?;
        let refusal = match ask::capabilities(&request.volume_capabilities) {
            Err(refusal) => Some(refusal.message().to_owned()),
            Ok(asked) if volume.file_system.is_none() && asked.iter().any(|it| it.file_system().is_some()) => {
                Some("it is a block volume and has no file system".to_owned())
            }
            Ok(_) => ask::no_parameters(&request.parameters, "the request").err().map(|it| it.message().to_owned()),
        };
        let confirmed = refusal.is_none().then(|| Confirmed {
            volume_context: request.volume_context.clone(),
            volume_capabilities: request.volume_capabilities.clone(),
            parameters: request.parameters.clone(),
            mutable_parameters: request.mutable_parameters.clone(),
        });
        Ok(ValidateVolumeCapabilitiesResponse { confirmed, message: refusal.unwrap_or_default() })
    }

    /// A page's token is the identifier of its last volume, so it stays good whatever is made or deleted meanwhile.
    pub(crate) fn list_volumes(&self, request: &ListVolumesRequest) -> Result<ListVolumesResponse, Status> {
        let count = ask::page(request.max_entries)?;
        let after = token(&request.starting_token, VolumeId::new)?;
        let mut volumes = self.pool.volumes(after.as_ref(), count + 1);
        let next_token = next(&mut volumes, count, |volume| volume.id.to_string());
        let ids: Vec<VolumeId> = volumes.iter().map(|volume| volume.id.clone()).collect();
        let troubles = self.pool.troubles(&ids).map_err(|error| status(&error))?;
        let entries = volumes.iter().map(|volume| VolumeEntry {
            volume: Some(self.shown(volume)),
            status: Some(condition(troubles.get(&volume.id))),
        });
        let entries = entries.collect();
        Ok(ListVolumesResponse { entries, next_token })
    }

    pub(crate) fn controller_get_volume(
        &self,
        request: &ControllerGetVolumeRequest,
    ) -> Result<ControllerGetVolumeResponse, Status> {
        let volume = self.pool.volume(&ask::volume(&request.volume_id)?).map_err(|error| status(&error))?;
        let trouble = self.pool.trouble(&volume.id).map_err(|error| status(&error))?;
        let status = Some(condition(trouble.as_ref()));
        Ok(ControllerGetVolumeResponse { volume: Some(self.shown(&volume)), status })
    }

    pub(crate) fn get_capacity(&self, request: &GetCapacityRequest) -> Result<GetCapacityResponse, Status> {
        let is_ours = request.accessible_topology.as_ref().is_none_or(|topology| self.is_here(topology))
            && request.volume_capabilities.iter().all(|it| ask::capability(Some(it)).is_ok())
            && ask::no_parameters(&request.parameters, "the request").is_ok();
        let available = if is_ours { self.pool.capacity().map_err(|error| status(&error))?.available } else { 0 };
        Ok(GetCapacityResponse {
            available_capacity: signed(available),
            maximum_volume_size: Some(signed(available)),
            minimum_volume_size: None,
        })
    }

    pub(crate) fn controller_expand_volume(
        &self,
        request: &ControllerExpandVolumeRequest,
    ) -> Result<ControllerExpandVolumeResponse, Status> {
        let id = ask::volume(&request.volume_id)?;
        let range = request.capacity_range.as_ref().ok_or_else(|| ask::missing("capacity_range"))?;
        let (required, limit) = ask::sizes(Some(range))?;
        let volume = self.pool.grow(&id, required.unwrap_or(0), limit).map_err(|error| status(&error))?;
        let is_block = request
            .volume_capability
            .as_ref()
            .is_some_and(|it| ask::capability(Some(it)).is_ok_and(|it| it.file_system().is_none()));
        Ok(ControllerExpandVolumeResponse {
            capacity_bytes: signed(volume.size),
            node_expansion_required: volume.file_system.is_some() && !is_block,
        })
    }

    /// Whether a volume here satisfies `requirement`.
    fn reachable_from(&self, requirement: Option<&TopologyRequirement>) -> Result<(), Status> {
        match requirement {
            Some(asked) if !asked.requisite.is_empty() && !asked.requisite.iter().any(|it| self.is_here(it)) => {
                Err(Status::resource_exhausted(format!("this driver makes volumes on node {} only", self.node)))
            }
            _ => Ok(()),
        }
    }

    fn shown(&self, volume: &Volume) -> spec::Volume {
        let content_source = volume.source.as_ref().map(|source| VolumeContentSource {
            r#type: Some(match source {
                Source::Snapshot(id) => Type::Snapshot(SnapshotSource { snapshot_id: id.to_string() }),
                Source::Volume(id) => Type::Volume(VolumeSource { volume_id: id.to_string() }),
            }),
        });
        spec::Volume {
            capacity_bytes: signed(volume.size),
            volume_id: volume.id.to_string(),
            volume_context: Map::new(),
            content_source,
            accessible_topology: vec![self.topology()],
        }
    }
}

/// The state of a volume that is published to no node by a controller.
fn condition(trouble: Option<&String>) -> VolumeStatus {
    VolumeStatus { published_node_ids: Vec::new(), volume_condition: Some(shown_condition(trouble)) }
}

pub(super) fn shown_condition(trouble: Option<&String>) -> VolumeCondition {
    let message = trouble.cloned().unwrap_or_else(|| "well".to_owned());
    VolumeCondition { abnormal: trouble.is_some(), message }
}

/// A name that must be given.
pub(super) fn name(text: &str) -> Result<Name, Status> {
    Name::new(text).map_err(|error| status(&error))
}

fn source(source: &VolumeContentSource) -> Result<Source, Status> {
    match source.r#type.as_ref().ok_or_else(|| ask::missing("volume_content_source.type"))? {
        Type::Snapshot(snapshot) => SnapshotId::new(&snapshot.snapshot_id).map(Source::Snapshot),
        Type::Volume(volume) => VolumeId::new(&volume.volume_id).map(Source::Volume),
    }
    .map_err(|error| status(&error))
}

/// Where a list goes on. The specification wants ABORTED for a token that is none.
pub(super) fn token<I, E>(token: &str, read: fn(&str) -> Result<I, E>) -> Result<Option<I>, Status> {
    if token.is_empty() {
        return Ok(None);
    }
    read(token).map(Some).map_err(|_| {
        Status::aborted(format!("starting_token {token:?} is none that a list has returned; begin without one"))
    })
}

/// Cuts `found` to `count` entries and returns the token for the rest, if there is one.
pub(super) fn next<T>(found: &mut Vec<T>, count: usize, id: fn(&T) -> String) -> String {
    if found.len() <= count {
        return String::new();
    }
    found.truncate(count);
    found.last().map(id).unwrap_or_default()
}
