//! The prime claim: filled in the target's place, then its volume is handed over (cdi.md §2.7).

use std::collections::BTreeMap;

use api::cdi::VolumeImportSource;
use api::{annotation, label};
use k8s_openapi::api::core::v1::{PersistentVolumeClaim, PersistentVolumeClaimSpec};
use kube::core::ObjectMeta;
use kube::{Resource, ResourceExt};

use crate::settings::Settings;
use crate::{import, names};

/// Annotations of a target that its prime claim and so its importer pod follow.
const PASSED_ON: &[&str] = &[
    annotation::SELECTED_NODE,
    annotation::RETAIN_AFTER_COMPLETION,
    annotation::PRIORITY_CLASS_NAME,
    annotation::SERVICE_ACCOUNT_NAME,
    annotation::POD_NETWORKS,
    annotation::POD_DEFAULT_NETWORK,
    annotation::ISTIO_INJECT,
    annotation::LINKERD_INJECT,
];

/// The prime claim of `target`; nothing if the source is one that no importer serves.
pub(crate) fn prime(
    target: &PersistentVolumeClaim,
    source: &VolumeImportSource,
    preallocation: bool,
    settings: &Settings,
) -> Option<PersistentVolumeClaim> {
    let spec = &source.spec;
    let from = spec.source.as_ref()?;
    let mut annotations = import::annotations(from.http.as_ref(), from.blank.as_ref())?;
    annotations.extend(import::content(spec.content_type.as_deref(), spec.preallocation.unwrap_or(preallocation)));
    annotations.insert(annotation::BIND_IMMEDIATE.into(), String::new());
    annotations.insert(annotation::POD_RESTARTS.into(), "0".into());
    for key in PASSED_ON {
        if let Some(value) = target.annotations().get(*key) {
            annotations.insert((*key).to_owned(), value.clone());
        }
    }
    Some(PersistentVolumeClaim {
        metadata: ObjectMeta {
            name: Some(names::prime(target)),
            namespace: target.namespace(),
            annotations: Some(annotations),
            labels: Some(labels(target, settings)),
            owner_references: target.controller_owner_ref(&()).map(|owner| vec![owner]),
            ..ObjectMeta::default()
        },
        spec: target.spec.clone().map(|spec| PersistentVolumeClaimSpec {
            data_source: None,
            data_source_ref: None,
            ..spec
        }),
        status: None,
    })
}

fn labels(target: &PersistentVolumeClaim, settings: &Settings) -> BTreeMap<String, String> {
    let mut labels = target.labels().clone();
    labels.remove(label::APPLY_STORAGE_PROFILE);
    labels.extend(settings.labels());
    labels.insert(label::VELERO_EXCLUDE.into(), "true".into());
    labels
}
