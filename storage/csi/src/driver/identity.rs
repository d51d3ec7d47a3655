//! The identity service.

use tonic::Status;

use super::Driver;
use crate::spec::plugin_capability::{ExpansionType, Service, ServiceType, Type, VolumeExpansion};
use crate::spec::{
    GetPluginCapabilitiesRequest, GetPluginCapabilitiesResponse, GetPluginInfoRequest, GetPluginInfoResponse, Map,
    PluginCapability, ProbeRequest, ProbeResponse,
};

impl Driver {
    pub(crate) fn get_plugin_info(&self, _: &GetPluginInfoRequest) -> Result<GetPluginInfoResponse, Status> {
        Ok(GetPluginInfoResponse {
            name: self.name.clone(),
            vendor_version: env!("CARGO_PKG_VERSION").to_owned(),
            manifest: Map::new(),
        })
    }

    pub(crate) fn get_plugin_capabilities(
        &self,
        _: &GetPluginCapabilitiesRequest,
    ) -> Result<GetPluginCapabilitiesResponse, Status> {
        let service = |service: ServiceType| Type::Service(Service { r#type: service.into() });
        let all = [
            service(ServiceType::ControllerService),
            service(ServiceType::VolumeAccessibilityConstraints),
            Type::VolumeExpansion(VolumeExpansion { r#type: ExpansionType::Online.into() }),
        ];
        Ok(GetPluginCapabilitiesResponse { capabilities: all.map(|it| PluginCapability { r#type: Some(it) }).into() })
    }

    /// Ready as long as the pool's file system answers.
    pub(crate) fn probe(&self, _: &ProbeRequest) -> Result<ProbeResponse, Status> {
        match self.pool.capacity() {
            Ok(_) => Ok(ProbeResponse { ready: Some(true) }),
            Err(error) => Err(Status::failed_precondition(super::text_of(&error))),
        }
    }
}
