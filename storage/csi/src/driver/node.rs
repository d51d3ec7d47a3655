//! The node service. Identifiers are looked at last: the specification wants a missing argument to be named first.

use storage::{Publication, Usage};
use tonic::Status;

use super::ask::{self, signed};
use super::controller::shown_condition;
use super::{Driver, status};
use crate::spec::{
    NodeExpandVolumeRequest, NodeExpandVolumeResponse, NodeGetCapabilitiesRequest, NodeGetCapabilitiesResponse,
    NodeGetInfoRequest, NodeGetInfoResponse, NodeGetVolumeStatsRequest, NodeGetVolumeStatsResponse,
    NodePublishVolumeRequest, NodePublishVolumeResponse, NodeRpc, NodeRpcType, NodeServiceCapability,
    NodeStageVolumeRequest, NodeStageVolumeResponse, NodeUnpublishVolumeRequest, NodeUnpublishVolumeResponse,
    NodeUnstageVolumeRequest, NodeUnstageVolumeResponse, Unit, VolumeUsage,
};

impl Driver {
    pub(crate) fn node_get_capabilities(
        &self,
        _: &NodeGetCapabilitiesRequest,
    ) -> Result<NodeGetCapabilitiesResponse, Status> {
        let all = [
            NodeRpcType::StageUnstageVolume,
            NodeRpcType::GetVolumeStats,
            NodeRpcType::ExpandVolume,
            NodeRpcType::VolumeCondition,
            NodeRpcType::SingleNodeMultiWriter,
        ];
        let capability = |rpc: NodeRpcType| NodeServiceCapability { rpc: Some(NodeRpc { r#type: rpc.into() }) };
        Ok(NodeGetCapabilitiesResponse { capabilities: all.map(capability).into() })
    }

    pub(crate) fn node_get_info(&self, _: &NodeGetInfoRequest) -> Result<NodeGetInfoResponse, Status> {
        Ok(NodeGetInfoResponse {
            node_id: self.node.clone(),
            max_volumes_per_node: 0,
            accessible_topology: Some(self.topology()),
        })
    }

    pub(crate) fn node_stage_volume(
        &self,
        request: &NodeStageVolumeRequest,
    ) -> Result<NodeStageVolumeResponse, Status> {
        let staging = ask::path("staging_target_path", &request.staging_target_path)?;
        let asked = ask::capability(request.volume_capability.as_ref())?;
        let id = ask::volume(&request.volume_id)?;
        self.pool.stage(&id, &asked.access, &staging).map_err(|error| status(&error))?;
        Ok(NodeStageVolumeResponse {})
    }

    pub(crate) fn node_unstage_volume(
        &self,
        request: &NodeUnstageVolumeRequest,
    ) -> Result<NodeUnstageVolumeResponse, Status> {
        let staging = ask::path("staging_target_path", &request.staging_target_path)?;
        let id = ask::volume(&request.volume_id)?;
        self.pool.unstage(&id, &staging).map_err(|error| status(&error))?;
        Ok(NodeUnstageVolumeResponse {})
    }

    pub(crate) fn node_publish_volume(
        &self,
        request: &NodePublishVolumeRequest,
    ) -> Result<NodePublishVolumeResponse, Status> {
        let target = ask::path("target_path", &request.target_path)?;
        let asked = ask::capability(request.volume_capability.as_ref())?;
        let staging = ask::path("staging_target_path", &request.staging_target_path)?;
        let id = ask::volume(&request.volume_id)?;
        let wanted = Publication {
            staging,
            target,
            access: asked.access,
            read_only: request.readonly || asked.read_only,
            alone: asked.alone,
        };
        self.pool.publish(&id, &wanted).map_err(|error| status(&error))?;
        Ok(NodePublishVolumeResponse {})
    }

    pub(crate) fn node_unpublish_volume(
        &self,
        request: &NodeUnpublishVolumeRequest,
    ) -> Result<NodeUnpublishVolumeResponse, Status> {
        let target = ask::path("target_path", &request.target_path)?;
        let id = ask::volume(&request.volume_id)?;
        self.pool.unpublish(&id, &target).map_err(|error| status(&error))?;
        Ok(NodeUnpublishVolumeResponse {})
    }

    pub(crate) fn node_get_volume_stats(
        &self,
        request: &NodeGetVolumeStatsRequest,
    ) -> Result<NodeGetVolumeStatsResponse, Status> {
        let path = ask::given_path("volume_path", &request.volume_path)?;
        let id = ask::volume(&request.volume_id)?;
        let usage = self.pool.usage(&id, &path).map_err(|error| status(&error))?;
        let trouble = self.pool.trouble(&id).map_err(|error| status(&error))?;
        Ok(NodeGetVolumeStatsResponse {
            usage: shown(&usage),
            volume_condition: Some(shown_condition(trouble.as_ref())),
        })
    }

    /// Grows the volume itself too where the controller service has not.
    pub(crate) fn node_expand_volume(
        &self,
        request: &NodeExpandVolumeRequest,
    ) -> Result<NodeExpandVolumeResponse, Status> {
        let path = ask::given_path("volume_path", &request.volume_path)?;
        let id = ask::volume(&request.volume_id)?;
        self.pool.usage(&id, &path).map_err(|error| status(&error))?;
        if request.capacity_range.is_some() {
            let (required, limit) = ask::sizes(request.capacity_range.as_ref())?;
            self.pool.grow(&id, required.unwrap_or(0), limit).map_err(|error| status(&error))?;
        }
        let size = self.pool.grow_file_system(&id).map_err(|error| status(&error))?;
        Ok(NodeExpandVolumeResponse { capacity_bytes: signed(size) })
    }
}

fn shown(usage: &Usage) -> Vec<VolumeUsage> {
    let bytes = [usage.total, usage.used, usage.available];
    let shown = |unit: Unit, [total, used, available]: [u64; 3]| VolumeUsage {
        available: signed(available),
        total: signed(total),
        used: signed(used),
        unit: unit.into(),
    };
    [shown(Unit::Bytes, bytes)].into_iter().chain(usage.inodes.map(|inodes| shown(Unit::Inodes, inodes))).collect()
}
