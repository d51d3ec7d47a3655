//! StorageProfile: what a StorageClass can do, and how it is best used.

use kube::CustomResource;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::condition::Condition;

/// What an administrator says about a class; it wins over what is known of its provisioner.
#[derive(CustomResource, Clone, Debug, Default, PartialEq, Deserialize, Serialize, JsonSchema)]
#[kube(
    group = "cdi.kubevirt.io",
    version = "v1beta1",
    kind = "StorageProfile",
    doc = "What the StorageClass of the same name can do, and how it is best used.",
    plural = "storageprofiles",
    schema = "disabled",
    status = "StorageProfileStatus",
    derive = "Default",
    derive = "PartialEq"
)]
#[serde(rename_all = "camelCase", default)]
pub struct StorageProfileSpec {
    /// How volumes are cloned: `copy`, `snapshot` or `csi-clone`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub clone_strategy: Option<String>,
    /// Pairs of modes that volumes may have, the preferred first.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(extend("maxItems" = 8))]
    pub claim_property_sets: Vec<ClaimPropertySet>,
    /// What DataImportCrons keep: `snapshot` or `pvc`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub data_import_cron_source_format: Option<String>,
    /// VolumeSnapshotClass to use with this class.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub snapshot_class: Option<String>,
}

/// Modes that a volume may have together.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct ClaimPropertySet {
    /// Ways to mount the volume.
    #[schemars(extend(
        "maxItems" = 4,
        "x-kubernetes-validations" = [{
            "rule": "self.all(am, am in ['ReadWriteOnce', 'ReadOnlyMany', 'ReadWriteMany', 'ReadWriteOncePod'])",
            "message": "Illegal AccessMode"
        }]
    ))]
    pub access_modes: Vec<String>,
    /// `Block` or `Filesystem`.
    #[schemars(extend("enum" = ["Block", "Filesystem"]))]
    pub volume_mode: String,
}

/// What holds for the class: the specification, completed from what is known of its provisioner.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct StorageProfileStatus {
    /// Name of the StorageClass.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub storage_class: Option<String>,
    /// Provisioner of the StorageClass.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub provisioner: Option<String>,
    /// How volumes are cloned.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub clone_strategy: Option<String>,
    /// Pairs of modes that volumes may have, the preferred first.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(extend("maxItems" = 8))]
    pub claim_property_sets: Vec<ClaimPropertySet>,
    /// What DataImportCrons keep.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub data_import_cron_source_format: Option<String>,
    /// VolumeSnapshotClass that is used with this class.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub snapshot_class: Option<String>,
    /// Recognized.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub conditions: Vec<Condition>,
}
