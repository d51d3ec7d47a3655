//! ObjectTransfer: moves a DataVolume or claim to another name or namespace. Deprecated.

use std::collections::BTreeMap;

use kube::CustomResource;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::condition::Condition;

/// What to move where.
#[derive(CustomResource, Clone, Debug, Default, PartialEq, Deserialize, Serialize, JsonSchema)]
#[kube(
    group = "cdi.kubevirt.io",
    version = "v1beta1",
    kind = "ObjectTransfer",
    doc = "Moves a DataVolume or claim to another name or namespace. Deprecated.",
    plural = "objecttransfers",
    schema = "disabled",
    status = "ObjectTransferStatus",
    derive = "Default",
    derive = "PartialEq",
    shortname = "ot",
    shortname = "ots",
    printcolumn = r#"{"name": "Age", "type": "date", "jsonPath": ".metadata.creationTimestamp"}"#,
    printcolumn = r#"{"name": "Phase", "type": "string", "jsonPath": ".status.phase", "description": "Where the transfer is on its way."}"#
)]
#[serde(rename_all = "camelCase", default)]
pub struct ObjectTransferSpec {
    /// The object to move.
    pub source: TransferSource,
    /// Where to move it; at least one field is set.
    pub target: TransferTarget,
    /// ObjectTransfer that this one is a part of.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub parent_name: Option<String>,
}

/// The object to move.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct TransferSource {
    /// Version of the object's kind.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub api_version: Option<String>,
    /// Kind of the object: `DataVolume` or `PersistentVolumeClaim`.
    pub kind: String,
    /// Namespace of the object.
    pub namespace: String,
    /// Name of the object.
    pub name: String,
    /// Annotations that the object must have before it is moved.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub required_annotations: BTreeMap<String, String>,
}

/// Where to move an object.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct TransferTarget {
    /// Namespace; without it the same.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub namespace: Option<String>,
    /// Name; without it the same.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
}

/// What became of a transfer.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct ObjectTransferStatus {
    /// Notes that the transfer keeps for its next step.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub data: BTreeMap<String, String>,
    /// Where the transfer is on its way.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub phase: Option<String>,
    /// Complete.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub conditions: Vec<Condition>,
}
