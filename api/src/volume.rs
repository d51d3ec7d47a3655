//! PersistentVolumes, as far as they are read here.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::PersistentVolume;
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use kube::Resource;
use kube::core::ObjectMeta;
use serde::{Deserialize, Serialize};

use crate::render::FILESYSTEM;

/// A PersistentVolume without where it lies, which is its driver's affair: with all that Kubernetes knows to say of that, one
/// takes several KiB of memory, and a cluster has thousands.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize, Resource)]
#[resource(inherit = PersistentVolume)]
pub struct Volume {
    /// Its name, uid and version.
    pub metadata: ObjectMeta,
    /// What it is good for, and who has it.
    #[serde(default)]
    pub spec: VolumeSpec,
    /// Whether it can be had.
    #[serde(default)]
    pub status: VolumeStatus,
}

/// What a volume is good for, and who has it.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
#[serde(default, rename_all = "camelCase")]
pub struct VolumeSpec {
    /// How it can be mounted.
    pub access_modes: Vec<String>,
    /// Its size, by `storage`.
    pub capacity: BTreeMap<String, Quantity>,
    /// The claim that it belongs to.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub claim_ref: Option<Holder>,
    /// The class that it was made of.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub storage_class_name: Option<String>,
    /// `Block` or `Filesystem`; the latter where nothing is said.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub volume_mode: Option<String>,
}

/// The claim that a volume belongs to, or is kept for.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
#[serde(default)]
pub struct Holder {
    /// The claim's namespace.
    pub namespace: Option<String>,
    /// The claim's name.
    pub name: Option<String>,
    /// The claim's uid, once it has the volume.
    pub uid: Option<String>,
}

/// Whether a volume can be had.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
#[serde(default)]
pub struct VolumeStatus {
    /// `Available`, `Bound`, `Released` ...
    #[serde(skip_serializing_if = "Option::is_none")]
    pub phase: Option<String>,
}

impl VolumeSpec {
    /// `Block` or `Filesystem`.
    #[must_use]
    pub fn mode(&self) -> &str {
        self.volume_mode.as_deref().unwrap_or(FILESYSTEM)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_volume_is_the_kind_of_kubernetes_without_its_place() {
        let known: PersistentVolume = serde_json::from_value(json!({
            "metadata": {"name": "v", "uid": "u"},
            "spec": {
                "accessModes": ["ReadWriteOnce"],
                "capacity": {"storage": "1Gi"},
                "claimRef": {"kind": "PersistentVolumeClaim", "namespace": "home", "name": "disk", "uid": "c"},
                "csi": {"driver": "d", "volumeHandle": "h"},
                "storageClassName": "fast",
                "volumeMode": "Block",
            },
            "status": {"phase": "Bound"},
        }))
        .unwrap();
        let read: Volume = serde_json::from_value(serde_json::to_value(&known).unwrap()).unwrap();
        let expected = json!({
            "metadata": {"name": "v", "uid": "u"},
            "spec": {
                "accessModes": ["ReadWriteOnce"],
                "capacity": {"storage": "1Gi"},
                "claimRef": {"namespace": "home", "name": "disk", "uid": "c"},
                "storageClassName": "fast",
                "volumeMode": "Block",
            },
            "status": {"phase": "Bound"},
        });
        assert_eq!(serde_json::to_value(&read).unwrap(), expected);
        assert_eq!((Volume::url_path(&(), None), read.spec.mode()), (PersistentVolume::url_path(&(), None), "Block"));
        assert_eq!(serde_json::from_value::<Volume>(json!({"metadata": {}})).unwrap().spec.mode(), "Filesystem");
    }
}
