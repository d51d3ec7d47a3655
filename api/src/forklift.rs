//! The group `forklift.cdi.kubevirt.io`: volumes filled from other virtualisation platforms.

use kube::CustomResource;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The group of these kinds.
pub const GROUP: &str = "forklift.cdi.kubevirt.io";

/// Which disk of an oVirt engine to import.
#[derive(CustomResource, Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[kube(
    group = "forklift.cdi.kubevirt.io",
    version = "v1beta1",
    kind = "OvirtVolumePopulator",
    doc = "A disk of an oVirt engine that claims name as their data source.",
    plural = "ovirtvolumepopulators",
    namespaced,
    schema = "disabled",
    status = "OvirtVolumePopulatorStatus",
    derive = "Default",
    derive = "PartialEq",
    shortname = "ovvp",
    shortname = "ovvps"
)]
#[serde(rename_all = "camelCase", default)]
pub struct OvirtVolumePopulatorSpec {
    /// Address of the engine's API.
    pub engine_url: String,
    /// Secret of the same namespace with the engine's credentials.
    pub secret_ref: String,
    /// Identity of the disk.
    pub disk_id: String,
    /// Network that the data takes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub transfer_network: Option<String>,
}

/// How far the import is.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct OvirtVolumePopulatorStatus {
    /// Percent of the disk that is written.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub progress: Option<String>,
}

/// Which image of an OpenStack installation to import.
#[derive(CustomResource, Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[kube(
    group = "forklift.cdi.kubevirt.io",
    version = "v1beta1",
    kind = "OpenstackVolumePopulator",
    doc = "An image of an OpenStack installation that claims name as their data source.",
    plural = "openstackvolumepopulators",
    namespaced,
    schema = "disabled",
    status = "OpenstackVolumePopulatorStatus",
    derive = "Default",
    derive = "PartialEq",
    shortname = "osvp",
    shortname = "osvps"
)]
#[serde(rename_all = "camelCase", default)]
pub struct OpenstackVolumePopulatorSpec {
    /// Address of the identity service.
    pub identity_url: String,
    /// Secret of the same namespace with the credentials.
    pub secret_ref: String,
    /// Identity of the image.
    pub image_id: String,
    /// Network that the data takes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub transfer_network: Option<String>,
}

/// How far the import is.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct OpenstackVolumePopulatorStatus {
    /// Percent of the image that is written.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub progress: Option<String>,
}
