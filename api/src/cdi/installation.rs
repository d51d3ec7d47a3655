//! CDI: the product as it is installed.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{Affinity, Toleration};
use kube::CustomResource;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::cdiconfig::CdiConfigSpec;
use super::placement::NodePlacement;
use crate::condition::Condition;

/// How the product is to be installed.
#[derive(CustomResource, Clone, Debug, Default, PartialEq, Deserialize, Serialize, JsonSchema)]
#[kube(
    group = "cdi.kubevirt.io",
    version = "v1beta1",
    kind = "CDI",
    root = "Cdi",
    doc = "The product as it is installed. There is one.",
    plural = "cdis",
    singular = "cdi",
    schema = "disabled",
    status = "CdiStatus",
    derive = "Default",
    derive = "PartialEq",
    shortname = "cdi",
    shortname = "cdis",
    printcolumn = r#"{"name": "Age", "type": "date", "jsonPath": ".metadata.creationTimestamp"}"#,
    printcolumn = r#"{"name": "Phase", "type": "string", "jsonPath": ".status.phase", "description": "Whether the product is being installed, works or is being removed."}"#
)]
#[serde(rename_all = "camelCase", default)]
pub struct CdiSpec {
    /// When images of the product are pulled.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(extend("enum" = ["Always", "IfNotPresent", "Never"]))]
    pub image_pull_policy: Option<String>,
    /// Whether the product can be removed while there are DataVolumes.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(extend("enum" = ["RemoveWorkloads", "BlockUninstallIfWorkloadsExist"]))]
    pub uninstall_strategy: Option<String>,
    /// Nodes and replicas of the product's own pods.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub infra: Option<Infra>,
    /// Nodes of worker pods.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub workload: Option<NodePlacement>,
    /// Changes to the objects that the product is made of.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub customize_components: Option<CustomizeComponents>,
    /// How volumes are cloned, whatever their StorageProfile says.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(extend("enum" = ["copy", "snapshot", "csi-clone"]))]
    pub clone_strategy_override: Option<String>,
    /// The settings, copied to CDIConfig while the annotation `cdi.kubevirt.io/configAuthority` is set.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub config: Option<CdiConfigSpec>,
    /// Lifetimes of the product's certificates.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cert_config: Option<CertConfig>,
    /// Priority class of the product's own pods.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub priority_class: Option<String>,
}

/// Nodes and replicas of the product's own pods.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct Infra {
    /// Labels that a node must have.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub node_selector: BTreeMap<String, String>,
    /// Nodes and pods to be near to or far from.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub affinity: Option<Affinity>,
    /// Taints of nodes that do not matter.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub tolerations: Vec<Toleration>,
    /// Replicas of the controller.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub deployment_replicas: Option<i32>,
    /// Replicas of the API server.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub api_server_replicas: Option<i32>,
    /// Replicas of the upload proxy.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub upload_proxy_replicas: Option<i32>,
}

/// Changes to the objects that the product is made of.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct CustomizeComponents {
    /// Patches, applied in their order.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(extend("x-kubernetes-list-type" = "atomic"))]
    pub patches: Vec<Patch>,
    /// Arguments of the product's programs, instead of the usual ones.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub flags: Option<ComponentFlags>,
}

/// A change to objects that the product is made of.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct Patch {
    /// Name of the object; `*` for all.
    #[schemars(extend("minLength" = 1))]
    pub resource_name: String,
    /// Kind of the object; `*` for all.
    #[schemars(extend("minLength" = 1))]
    pub resource_type: String,
    /// The patch, as JSON.
    pub patch: String,
    /// `json`, `merge` or `strategic`.
    #[serde(rename = "type")]
    pub type_: String,
}

/// Arguments of the product's programs by name, without their dashes.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct ComponentFlags {
    /// Arguments of the API server.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub api: BTreeMap<String, String>,
    /// Arguments of the controller.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub controller: BTreeMap<String, String>,
    /// Arguments of the upload proxy.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub upload_proxy: BTreeMap<String, String>,
}

/// Lifetimes of the product's certificates.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct CertConfig {
    /// Certificate authorities.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ca: Option<CertLifetime>,
    /// Certificates of servers.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub server: Option<CertLifetime>,
    /// Certificates of clients.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub client: Option<CertLifetime>,
}

/// How long a certificate lives.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct CertLifetime {
    /// How long it is valid, for example `24h`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub duration: Option<String>,
    /// How long before its end it is replaced, for example `12h`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub renew_before: Option<String>,
}

/// What became of the installation.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct CdiStatus {
    /// Whether the product is being installed, works or is being removed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub phase: Option<String>,
    /// Available, Progressing and Degraded.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub conditions: Vec<Condition>,
    /// Version of the operator.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub operator_version: Option<String>,
    /// Version that is being installed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub target_version: Option<String>,
    /// Version that is installed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub observed_version: Option<String>,
}
