//! DataVolume: a volume and what it is to be filled with.

use k8s_openapi::api::core::v1::{
    PersistentVolumeClaimSpec, TypedLocalObjectReference, TypedObjectReference, VolumeResourceRequirements,
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use kube::CustomResource;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::gantry::GantryStatus;
use super::source::DataVolumeSource;
use crate::condition::Condition;
use crate::phase::Phase;

/// What volume is wanted, and what is to be in it.
#[derive(CustomResource, Clone, Debug, Default, PartialEq, Deserialize, Serialize, JsonSchema)]
#[kube(
    group = "cdi.kubevirt.io",
    version = "v1beta1",
    kind = "DataVolume",
    doc = "A volume and what it is to be filled with.",
    plural = "datavolumes",
    namespaced,
    schema = "disabled",
    status = "DataVolumeStatus",
    derive = "Default",
    derive = "PartialEq",
    shortname = "dv",
    shortname = "dvs",
    category = "all",
    printcolumn = r#"{"name": "Phase", "type": "string", "jsonPath": ".status.phase", "description": "Where the DataVolume is on its way."}"#,
    printcolumn = r#"{"name": "Progress", "type": "string", "jsonPath": ".status.progress", "description": "How much of the content is written."}"#,
    printcolumn = r#"{"name": "Restarts", "type": "integer", "jsonPath": ".status.restartCount", "description": "How often the worker was started again."}"#,
    printcolumn = r#"{"name": "Age", "type": "date", "jsonPath": ".metadata.creationTimestamp"}"#
)]
#[serde(rename_all = "camelCase", default)]
pub struct DataVolumeSpec {
    /// Where the content comes from; not together with `sourceRef`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub source: Option<DataVolumeSource>,
    /// An object that says where the content comes from; not together with `source`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub source_ref: Option<SourceRef>,
    /// The PersistentVolumeClaim to make, word for word; not together with `storage`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pvc: Option<PersistentVolumeClaimSpec>,
    /// The volume that is wanted, completed from the StorageProfile of its class; not together with `pvc`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub storage: Option<StorageSpec>,
    /// What the content is: `kubevirt`, a disk image (the default), or `archive`, files of a tar archive.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(extend("enum" = ["kubevirt", "archive"]))]
    pub content_type: Option<String>,
    /// Priority class of the worker pods.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub priority_class_name: Option<String>,
    /// Service account of the worker pods.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub service_account_name: Option<String>,
    /// Whether all space is allocated from the start; without it CDIConfig decides.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub preallocation: Option<bool>,
    /// Stages of an import that follows a running machine, oldest first.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub checkpoints: Vec<Checkpoint>,
    /// Whether the last of the checkpoints ends the import.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub final_checkpoint: Option<bool>,
}

impl DataVolumeSpec {
    /// The content type, if it is a known one.
    #[must_use]
    pub fn known_content_type(&self) -> Option<ContentType> {
        ContentType::of(self.content_type.as_deref())
    }
}

/// What the content of a volume is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ContentType {
    /// A disk image.
    #[default]
    Kubevirt,
    /// Files of a tar archive.
    Archive,
}

impl ContentType {
    /// The content type of a word, the default of none or an empty one, nothing of an unknown one.
    #[must_use]
    pub fn of(word: Option<&str>) -> Option<Self> {
        match word {
            None | Some("" | "kubevirt") => Some(Self::Kubevirt),
            Some("archive") => Some(Self::Archive),
            Some(_) => None,
        }
    }

    /// The word in `contentType`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Kubevirt => "kubevirt",
            Self::Archive => "archive",
        }
    }
}

/// An object that says where the content comes from.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct SourceRef {
    /// Kind of the object: `DataSource`.
    pub kind: String,
    /// Namespace of the object; without it the DataVolume's own.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub namespace: Option<String>,
    /// Name of the object.
    pub name: String,
}

/// A volume of which only what matters is said; the rest comes from the StorageProfile of its class.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct StorageSpec {
    /// Ways to mount the volume; without them those that the profile prefers.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub access_modes: Option<Vec<String>>,
    /// Labels of the persistent volumes that may be taken.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub selector: Option<LabelSelector>,
    /// Size of the disk; a file system's own needs are added to it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub resources: Option<VolumeResourceRequirements>,
    /// Name of the persistent volume to take.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub volume_name: Option<String>,
    /// Class of the volume; without it the default for virtual machines' disks, else the cluster's.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub storage_class_name: Option<String>,
    /// `Block` or `Filesystem`; without it the one that the profile prefers.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub volume_mode: Option<String>,
    /// PersistentVolumeClaim or VolumeSnapshot that the storage itself fills the volume from.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub data_source: Option<TypedLocalObjectReference>,
    /// Any object that a volume populator fills the volume from.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub data_source_ref: Option<TypedObjectReference>,
}

/// One stage of an import that follows a running machine.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct Checkpoint {
    /// Snapshot the stage begins at; empty for the first one.
    pub previous: String,
    /// Snapshot the stage ends at.
    pub current: String,
}

/// What became of a DataVolume.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct DataVolumeStatus {
    /// Name of the PersistentVolumeClaim.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub claim_name: Option<String>,
    /// Where the DataVolume is on its way, for example `ImportInProgress` or `Succeeded`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub phase: Option<String>,
    /// How much of the content is written, for example `12.34%`; `N/A` where nobody knows.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub progress: Option<String>,
    /// How often the worker was started again.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub restart_count: Option<i32>,
    /// Ready, Bound and Running.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub conditions: Vec<Condition>,
    /// What the worker does, how fast, and what went wrong.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub gantry: Option<GantryStatus>,
}

impl DataVolumeStatus {
    /// The phase, [`Phase::Unknown`] if this version does not know its word.
    #[must_use]
    pub fn known_phase(&self) -> Phase {
        self.phase.as_deref().map_or(Phase::Unset, Phase::of)
    }
}
