//! DataImportCron: imports an image again whenever it changed.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, Time};
use kube::CustomResource;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::datavolume::{DataVolumeSpec, DataVolumeStatus};
use super::source::PvcSource;
use crate::condition::Condition;

/// What to import, and when to look for changes.
#[derive(CustomResource, Clone, Debug, Default, PartialEq, Deserialize, Serialize, JsonSchema)]
#[kube(
    group = "cdi.kubevirt.io",
    version = "v1beta1",
    kind = "DataImportCron",
    doc = "Imports an image again whenever it changed, and points a DataSource to the newest.",
    plural = "dataimportcrons",
    namespaced,
    schema = "disabled",
    status = "DataImportCronStatus",
    derive = "Default",
    derive = "PartialEq",
    shortname = "dic",
    shortname = "dics",
    category = "all",
    printcolumn = r#"{"name": "Format", "type": "string", "jsonPath": ".status.sourceFormat", "description": "What imports are kept as."}"#
)]
#[serde(rename_all = "camelCase", default)]
pub struct DataImportCronSpec {
    /// The DataVolume to make for each import; its source is `registry` or `pvc`.
    pub template: DataVolumeTemplate,
    /// When to look for changes, in cron's notation; empty if something else tells of them.
    pub schedule: String,
    /// Name of the DataSource of the same namespace that points to the newest import.
    pub managed_data_source: String,
    /// Which older imports are removed: `Outdated` (the default) or `Never`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub garbage_collect: Option<String>,
    /// How many imports are kept; 3 without it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub imports_to_keep: Option<i32>,
    /// What stays when the cron is removed: `All` (the default) or `None`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub retention_policy: Option<String>,
    /// Service account whose rights decide whether a claim of another namespace may be imported.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(extend("minLength" = 1))]
    pub service_account_name: Option<String>,
}

/// A DataVolume to be made.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct DataVolumeTemplate {
    /// Version of the kind; of no meaning here.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub api_version: Option<String>,
    /// Name of the kind; of no meaning here.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kind: Option<String>,
    /// Labels and annotations of the DataVolume.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "crate::crd::embedded_metadata")]
    pub metadata: Option<ObjectMeta>,
    /// The DataVolume itself.
    pub spec: DataVolumeSpec,
    /// Of no meaning here.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub status: Option<DataVolumeStatus>,
}

/// What a cron imported.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct DataImportCronStatus {
    /// Imports under way or finished, newest first.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub current_imports: Vec<ImportStatus>,
    /// The claim that was imported last.
    #[serde(rename = "lastImportedPVC", skip_serializing_if = "Option::is_none")]
    pub last_imported_pvc: Option<PvcSource>,
    /// When the cron last looked for changes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_execution_timestamp: Option<Time>,
    /// When an import last finished.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_import_timestamp: Option<Time>,
    /// What imports are kept as: `pvc` or `snapshot`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub source_format: Option<String>,
    /// Progressing and UpToDate.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub conditions: Vec<Condition>,
}

/// One import of a cron. Its keys begin with capitals, unlike all others.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "PascalCase", default)]
pub struct ImportStatus {
    /// The DataVolume of the import.
    pub data_volume_name: String,
    /// Digest of the image.
    pub digest: String,
}
