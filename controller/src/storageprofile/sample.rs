//! Objects for the tests of this folder.

use std::collections::BTreeMap;
use std::sync::Arc;

use api::cdi::StorageProfile;
use jiff::Timestamp;
use k8s_openapi::api::storage::v1::StorageClass;
use kube::core::ObjectMeta;

use super::observe::{Observed, SnapshotClass};

/// A class called `fast`.
pub(crate) fn class(provisioner: &str, parameters: &[(&str, &str)]) -> StorageClass {
    StorageClass {
        metadata: ObjectMeta { name: Some("fast".into()), uid: Some("class-uid".into()), ..ObjectMeta::default() },
        provisioner: provisioner.into(),
        parameters: Some(entries(parameters)),
        ..StorageClass::default()
    }
}

/// A class with nothing beside it.
pub(crate) fn observed(class: StorageClass) -> Observed {
    Observed {
        class: Arc::new(class),
        profile: None,
        snapshot_classes: Vec::new(),
        volumes: Vec::new(),
        labels: entries(&[("app", "containerized-data-importer"), ("app.kubernetes.io/managed-by", "cdi-controller")]),
        now: Timestamp::from_second(1_764_000_000).unwrap(),
    }
}

/// The class's profile, changed.
pub(crate) fn profile(change: impl FnOnce(&mut StorageProfile)) -> Arc<StorageProfile> {
    let mut profile = StorageProfile::new("fast", api::cdi::StorageProfileSpec::default());
    change(&mut profile);
    Arc::new(profile)
}

/// A VolumeSnapshotClass of the class's driver.
pub(crate) fn snapshot_class(name: &str, default: bool) -> SnapshotClass {
    SnapshotClass { name: name.into(), default, parameters: BTreeMap::new() }
}

/// Text by key.
pub(crate) fn entries(entries: &[(&str, &str)]) -> BTreeMap<String, String> {
    entries.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
}
