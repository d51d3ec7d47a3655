//! DataSource: a name for content that DataVolumes are cloned from.

use kube::CustomResource;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::source::{PvcSource, SnapshotSource};
use crate::condition::Condition;

/// What the name stands for.
#[derive(CustomResource, Clone, Debug, Default, PartialEq, Deserialize, Serialize, JsonSchema)]
#[kube(
    group = "cdi.kubevirt.io",
    version = "v1beta1",
    kind = "DataSource",
    doc = "A name for content that DataVolumes are cloned from.",
    plural = "datasources",
    namespaced,
    schema = "disabled",
    status = "DataSourceStatus",
    derive = "Default",
    derive = "PartialEq",
    shortname = "das",
    category = "all"
)]
#[serde(rename_all = "camelCase", default)]
pub struct DataSourceSpec {
    /// The content; exactly one field is set.
    pub source: DataSourceSource,
}

/// The content that a DataSource stands for.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct DataSourceSource {
    /// A PersistentVolumeClaim.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pvc: Option<PvcSource>,
    /// A VolumeSnapshot.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub snapshot: Option<SnapshotSource>,
    /// Another DataSource of the same namespace, which must not refer to a third.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub data_source: Option<DataSourceRef>,
}

/// Another DataSource.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct DataSourceRef {
    /// Namespace of the DataSource.
    pub namespace: String,
    /// Name of the DataSource.
    pub name: String,
}

/// What the name stands for at the moment.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct DataSourceStatus {
    /// The content with references followed; absent while it is not ready.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub source: Option<DataSourceSource>,
    /// Ready.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub conditions: Vec<Condition>,
}
