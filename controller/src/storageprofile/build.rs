//! The profile of a class, without its status.

use std::collections::BTreeMap;

use api::annotation::{
    MINIMUM_SUPPORTED_PVC_SIZE, SNAPSHOT_CLASS_FOR_DATA_IMPORT_CRON, USE_READ_WRITE_ONCE_FOR_DATA_IMPORT_CRON,
};
use api::cdi::{StorageProfile, StorageProfileSpec};
use api::label;
use k8s_openapi::api::storage::v1::StorageClass;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;
use kube::core::ObjectMeta;
use kube::{Resource, ResourceExt};

use super::capabilities::Known;
use super::observe::{Observed, SnapshotClass};
use super::table;

/// The profile of a class that has none.
pub(crate) fn profile(observed: &Observed) -> StorageProfile {
    StorageProfile {
        metadata: ObjectMeta {
            name: Some(observed.class.name_any()),
            labels: Some(labels(observed)),
            annotations: Some(annotations(observed)).filter(|annotations| !annotations.is_empty()),
            owner_references: Some(vec![owner(&observed.class)]),
            ..ObjectMeta::default()
        },
        spec: StorageProfileSpec::default(),
        status: None,
    }
}

/// Labels that a profile has.
pub(crate) fn labels(observed: &Observed) -> BTreeMap<String, String> {
    let mut labels = observed.labels.clone();
    labels.insert(label::COMPONENT.into(), String::new());
    labels
}

/// Annotations that a profile gets if it has none of these keys.
pub(crate) fn annotations(observed: &Observed) -> BTreeMap<String, String> {
    let Some(known) = known(observed) else { return BTreeMap::new() };
    [
        known.minimum.map(|size| (MINIMUM_SUPPORTED_PVC_SIZE, size)),
        known.cron_once.then_some((USE_READ_WRITE_ONCE_FOR_DATA_IMPORT_CRON, "true")),
        cron_snapshot_class(known, &observed.snapshot_classes).map(|name| (SNAPSHOT_CLASS_FOR_DATA_IMPORT_CRON, name)),
    ]
    .into_iter()
    .flatten()
    .map(|(key, value)| (key.to_owned(), value.to_owned()))
    .collect()
}

/// Whether the table says which VolumeSnapshotClass crons' snapshots take.
pub(crate) fn chooses_cron_snapshots(observed: &Observed) -> bool {
    known(observed).is_some_and(|known| known.cron_snapshot.is_some())
}

fn known(observed: &Observed) -> Option<&'static Known> {
    let parameters = observed.class.parameters.clone().unwrap_or_default();
    table::find(&observed.class.provisioner, &parameters).known()
}

fn cron_snapshot_class<'a>(known: &Known, classes: &'a [SnapshotClass]) -> Option<&'a str> {
    let (parameter, value) = known.cron_snapshot?;
    let wanted = |class: &&SnapshotClass| class.parameters.get(parameter).is_some_and(|found| found == value);
    let mut fitting = classes.iter().filter(wanted);
    let default = fitting.clone().find(|class| class.default);
    default.or_else(|| fitting.next()).map(|class| class.name.as_str())
}

/// The class as owner of its profile.
pub(crate) fn owner(class: &StorageClass) -> OwnerReference {
    OwnerReference {
        api_version: StorageClass::api_version(&()).into_owned(),
        kind: StorageClass::kind(&()).into_owned(),
        name: class.name_any(),
        uid: class.uid().unwrap_or_default(),
        ..OwnerReference::default()
    }
}
