//! Conditions in a status, and the names of those we set.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// One observation about an object, with the time it last changed.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct Condition {
    /// What is observed, unique in the list.
    #[serde(rename = "type")]
    pub type_: String,
    /// True, False or Unknown.
    pub status: String,
    /// One word for programs: why the status is as it is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// A sentence for people.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
    /// When the status last changed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_transition_time: Option<Time>,
    /// When anything of this condition last changed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_heartbeat_time: Option<Time>,
}

/// DataVolume: the PVC is bound.
pub const BOUND: &str = "Bound";
/// DataVolume, DataSource: it can be used.
pub const READY: &str = "Ready";
/// DataVolume: a worker pod runs.
pub const RUNNING: &str = "Running";
/// StorageProfile: the provisioner is known.
pub const RECOGNIZED: &str = "Recognized";
/// DataImportCron: an import is under way.
pub const PROGRESSING: &str = "Progressing";
/// DataImportCron: the newest image is imported.
pub const UP_TO_DATE: &str = "UpToDate";
/// CDI: the product works.
pub const AVAILABLE: &str = "Available";
/// CDI: something of the product does not work.
pub const DEGRADED: &str = "Degraded";
/// ObjectTransfer: it is finished.
pub const COMPLETE: &str = "Complete";

/// Status of a condition that holds.
pub const TRUE: &str = "True";
/// Status of a condition that does not hold.
pub const FALSE: &str = "False";
/// Status of a condition that could not be observed.
pub const UNKNOWN: &str = "Unknown";

/// The condition of the given type.
#[must_use]
pub fn find<'a>(conditions: &'a [Condition], type_: &str) -> Option<&'a Condition> {
    conditions.iter().find(|condition| condition.type_ == type_)
}
