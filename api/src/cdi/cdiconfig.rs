//! CDIConfig: the settings of the product, and what they came to.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{LocalObjectReference, ResourceRequirements};
use kube::CustomResource;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::gantry::GantryConfig;
use super::tls::TlsSecurityProfile;

/// The settings; a CDI object with the annotation `cdi.kubevirt.io/configAuthority` rules over them.
#[derive(CustomResource, Clone, Debug, Default, PartialEq, Deserialize, Serialize, JsonSchema)]
#[kube(
    group = "cdi.kubevirt.io",
    version = "v1beta1",
    kind = "CDIConfig",
    root = "CdiConfig",
    doc = "The settings of the product, and what they came to. There is one, named `config`.",
    plural = "cdiconfigs",
    singular = "cdiconfig",
    schema = "disabled",
    status = "CdiConfigStatus",
    derive = "Default",
    derive = "PartialEq"
)]
#[serde(rename_all = "camelCase", default)]
pub struct CdiConfigSpec {
    /// Address of the upload proxy that clients are told; wins over what is found.
    #[serde(rename = "uploadProxyURLOverride", skip_serializing_if = "Option::is_none")]
    pub upload_proxy_url_override: Option<String>,
    /// Proxy that imports go through.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub import_proxy: Option<ImportProxy>,
    /// StorageClass of scratch space. Imports need none; the setting is kept for clients that read it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub scratch_space_storage_class: Option<String>,
    /// Resources of worker pods.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pod_resource_requirements: Option<ResourceRequirements>,
    /// Features that are switched on.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub feature_gates: Vec<String>,
    /// `Disabled` removes the webhook that completes claims; `Enabled` is the default.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub webhook_pvc_rendering: Option<String>,
    /// Share of a file system that its own structures take.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub filesystem_overhead: Option<FilesystemOverhead>,
    /// Whether all space of volumes is allocated from the start.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub preallocation: Option<bool>,
    /// Registries, `HOST` or `HOST:PORT`, whose certificates are not checked.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub insecure_registries: Vec<String>,
    /// Seconds after which finished DataVolumes were removed. Has no effect: they are kept.
    #[serde(rename = "dataVolumeTTLSeconds", skip_serializing_if = "Option::is_none")]
    pub data_volume_ttl_seconds: Option<i32>,
    /// Versions and ciphers of TLS that servers of the product take.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tls_security_profile: Option<TlsSecurityProfile>,
    /// Secrets that worker pods pull their images with.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub image_pull_secrets: Vec<LocalObjectReference>,
    /// How much is logged; 1 is the default.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub log_verbosity: Option<i32>,
    /// Settings that CDI does not have.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub gantry: Option<GantryConfig>,
}

/// Proxy that imports go through.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct ImportProxy {
    /// Proxy for http addresses.
    #[serde(rename = "HTTPProxy", skip_serializing_if = "Option::is_none")]
    pub http_proxy: Option<String>,
    /// Proxy for https addresses.
    #[serde(rename = "HTTPSProxy", skip_serializing_if = "Option::is_none")]
    pub https_proxy: Option<String>,
    /// Hosts and networks that are reached without a proxy, separated by commas.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub no_proxy: Option<String>,
    /// ConfigMap of the product's namespace with the proxy's certificate authorities.
    #[serde(rename = "trustedCAProxy", skip_serializing_if = "Option::is_none")]
    pub trusted_ca_proxy: Option<String>,
}

/// Share of a file system that its own structures take, between 0 and 1, for example `0.06`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct FilesystemOverhead {
    /// Share where nothing else is said.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(extend("pattern" = r"^(0(?:\.\d{1,3})?|1)$"))]
    pub global: Option<String>,
    /// Share by name of the StorageClass.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(schema_with = "crate::crd::percent_by_class")]
    pub storage_class: BTreeMap<String, String>,
}

/// What the settings came to.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct CdiConfigStatus {
    /// Address of the upload proxy.
    #[serde(rename = "uploadProxyURL", skip_serializing_if = "Option::is_none")]
    pub upload_proxy_url: Option<String>,
    /// Certificate authority of the upload proxy.
    #[serde(rename = "uploadProxyCA", skip_serializing_if = "Option::is_none")]
    pub upload_proxy_ca: Option<String>,
    /// Proxy that imports go through.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub import_proxy: Option<ImportProxy>,
    /// StorageClass of scratch space.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub scratch_space_storage_class: Option<String>,
    /// Resources of worker pods.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub default_pod_resource_requirements: Option<ResourceRequirements>,
    /// Share of a file system that its own structures take, for every StorageClass.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub filesystem_overhead: Option<FilesystemOverhead>,
    /// Whether all space of volumes is allocated from the start.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub preallocation: Option<bool>,
    /// Secrets that worker pods pull their images with.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub image_pull_secrets: Vec<LocalObjectReference>,
}
