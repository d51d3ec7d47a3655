//! What the data source of a PersistentVolumeClaim can be: an import, an upload or a clone.

use k8s_openapi::api::core::v1::TypedLocalObjectReference;
use kube::CustomResource;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::datavolume::{Checkpoint, ContentType};
use super::source::ImportSource;

/// What to import.
#[derive(CustomResource, Clone, Debug, Default, PartialEq, Deserialize, Serialize, JsonSchema)]
#[kube(
    group = "cdi.kubevirt.io",
    version = "v1beta1",
    kind = "VolumeImportSource",
    doc = "An import that claims name as their data source.",
    plural = "volumeimportsources",
    namespaced,
    schema = "disabled",
    status = "VolumeImportSourceStatus",
    derive = "Default",
    derive = "PartialEq"
)]
#[serde(rename_all = "camelCase", default)]
pub struct VolumeImportSourceSpec {
    /// Where the content comes from.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub source: Option<ImportSource>,
    /// Whether all space is allocated from the start; without it CDIConfig decides.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub preallocation: Option<bool>,
    /// What the content is: `kubevirt`, a disk image (the default), or `archive`, files of a tar archive.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub content_type: Option<String>,
    /// The only claim that may use a source with stages.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub target_claim: Option<String>,
    /// Stages of an import that follows a running machine, oldest first.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub checkpoints: Vec<Checkpoint>,
    /// Whether the last of the checkpoints ends the import.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub final_checkpoint: Option<bool>,
}

impl VolumeImportSourceSpec {
    /// The content type, if it is a known one.
    #[must_use]
    pub fn known_content_type(&self) -> Option<ContentType> {
        ContentType::of(self.content_type.as_deref())
    }
}

/// Nothing is reported here; claims carry the state.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(default)]
pub struct VolumeImportSourceStatus {}

/// What is uploaded.
#[derive(CustomResource, Clone, Debug, Default, PartialEq, Deserialize, Serialize, JsonSchema)]
#[kube(
    group = "cdi.kubevirt.io",
    version = "v1beta1",
    kind = "VolumeUploadSource",
    doc = "An upload that claims name as their data source.",
    plural = "volumeuploadsources",
    namespaced,
    schema = "disabled",
    status = "VolumeUploadSourceStatus",
    derive = "Default",
    derive = "PartialEq"
)]
#[serde(rename_all = "camelCase", default)]
pub struct VolumeUploadSourceSpec {
    /// What the content is: `kubevirt`, a disk image (the default), or `archive`, files of a tar archive.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub content_type: Option<String>,
    /// Whether all space is allocated from the start; without it CDIConfig decides.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub preallocation: Option<bool>,
}

/// Nothing is reported here; claims carry the state.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(default)]
pub struct VolumeUploadSourceStatus {}

/// What to clone.
#[derive(CustomResource, Clone, Debug, Default, PartialEq, Deserialize, Serialize, JsonSchema)]
#[kube(
    group = "cdi.kubevirt.io",
    version = "v1beta1",
    kind = "VolumeCloneSource",
    doc = "A clone that claims name as their data source.",
    plural = "volumeclonesources",
    namespaced,
    schema = "disabled",
    derive = "Default",
    derive = "PartialEq"
)]
#[serde(rename_all = "camelCase", default)]
pub struct VolumeCloneSourceSpec {
    /// The PersistentVolumeClaim or VolumeSnapshot of the same namespace to clone.
    pub source: TypedLocalObjectReference,
    /// Whether all space is allocated from the start; without it CDIConfig decides.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub preallocation: Option<bool>,
    /// Priority class of the worker pods.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub priority_class_name: Option<String>,
}
