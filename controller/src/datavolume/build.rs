//! Objects that a DataVolume owns: its claim, and what the claim is filled from.

use std::collections::BTreeMap;

use api::cdi::{DataVolume, ImportSource, VolumeImportSource, VolumeImportSourceSpec};
use api::{annotation, label};
use k8s_openapi::api::core::v1::{PersistentVolumeClaim, PersistentVolumeClaimSpec, TypedObjectReference};
use kube::core::ObjectMeta;
use kube::{Resource, ResourceExt};

use crate::settings::Settings;
use crate::{import, names};

/// Annotations of a DataVolume that its claim does not get: kubectl's memory of what was applied, and what the controllers say of
/// a claim that they fill, which nobody says for them.
const NOT_PASSED_ON: &[&str] = &[
    "kubectl.kubernetes.io/last-applied-configuration",
    annotation::POPULATED_FOR,
    annotation::POD_PHASE,
    annotation::IMPORT_POD,
    annotation::IMPORT_FATAL_ERROR,
    annotation::FINGERPRINT,
    annotation::LAST_ERROR,
];

/// How the claim gets its content.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Path {
    /// Through a prime claim.
    Populator,
    /// The importer works on the claim itself.
    Direct,
    /// A new volume is what is asked for: where there is a populator, nothing has to be handed over.
    Empty,
    /// Somebody else's populator fills it.
    External,
}

/// The claim of `data_volume` with this specification.
pub(crate) fn claim(
    data_volume: &DataVolume,
    spec: PersistentVolumeClaimSpec,
    path: Path,
    preallocation: bool,
    settings: &Settings,
) -> PersistentVolumeClaim {
    let mut spec = spec;
    if path == Path::Populator {
        spec.data_source_ref = Some(TypedObjectReference {
            api_group: Some("cdi.kubevirt.io".into()),
            kind: "VolumeImportSource".into(),
            name: names::import_source(&data_volume.uid().unwrap_or_default()),
            namespace: None,
        });
    }
    PersistentVolumeClaim {
        metadata: ObjectMeta {
            name: Some(data_volume.name_any()),
            namespace: data_volume.namespace(),
            labels: Some(labels(data_volume, &spec, settings)),
            annotations: Some(annotations(data_volume, path, preallocation)),
            owner_references: data_volume.controller_owner_ref(&()).map(|owner| vec![owner]),
            ..ObjectMeta::default()
        },
        spec: Some(spec),
        status: None,
    }
}

fn labels(data_volume: &DataVolume, spec: &PersistentVolumeClaimSpec, settings: &Settings) -> BTreeMap<String, String> {
    let mut labels = data_volume.labels().clone();
    labels.extend(settings.labels());
    if spec.volume_mode.as_deref() != Some("Block") {
        labels.insert(label::PVC_FILLING_UP_ALERT.into(), "disabled".into());
    }
    labels
}

fn annotations(data_volume: &DataVolume, path: Path, preallocation: bool) -> BTreeMap<String, String> {
    let mut all = data_volume.annotations().clone();
    all.retain(|key, _| !NOT_PASSED_ON.contains(&key.as_str()));
    let spec = &data_volume.spec;
    all.insert(annotation::POD_RESTARTS.into(), "0".into());
    all.insert(annotation::CREATED_FOR_DATA_VOLUME.into(), data_volume.uid().unwrap_or_default());
    all.extend(import::content(spec.content_type.as_deref(), preallocation));
    let named = [
        (annotation::PRIORITY_CLASS_NAME, &spec.priority_class_name),
        (annotation::SERVICE_ACCOUNT_NAME, &spec.service_account_name),
    ];
    all.extend(named.into_iter().filter_map(|(key, value)| Some((key.to_owned(), value.clone()?))));
    all.insert(annotation::USE_POPULATOR.into(), (path != Path::Direct).to_string());
    match path {
        Path::Direct | Path::Empty => {
            let source = spec.source.as_ref();
            let http = source.and_then(|source| source.http.as_ref());
            let blank = source.and_then(|source| source.blank.as_ref());
            all.extend(import::annotations(http, blank).unwrap_or_default());
        }
        Path::External => {
            all.insert(annotation::EXTERNAL_POPULATION.into(), "true".into());
        }
        Path::Populator => {}
    }
    all
}

/// What the claim is filled from on the path through a prime claim.
pub(crate) fn source(data_volume: &DataVolume, preallocation: bool, settings: &Settings) -> VolumeImportSource {
    let spec = &data_volume.spec;
    let from = spec.source.clone().unwrap_or_default();
    let mut source = VolumeImportSource::new(
        &names::import_source(&data_volume.uid().unwrap_or_default()),
        VolumeImportSourceSpec {
            source: Some(ImportSource { http: from.http, blank: from.blank, ..ImportSource::default() }),
            preallocation: Some(preallocation),
            content_type: spec.content_type.clone(),
            ..VolumeImportSourceSpec::default()
        },
    );
    source.metadata.namespace = data_volume.namespace();
    source.metadata.labels = Some(settings.labels());
    source.metadata.owner_references = data_volume.controller_owner_ref(&()).map(|owner| vec![owner]);
    source
}
