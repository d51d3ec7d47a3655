//! What is read before a DataVolume is planned: caches only.

use std::sync::Arc;

use api::annotation;
use api::cdi::{CdiConfigStatus, DataVolume, StorageProfile, VolumeImportSource};
use api::volume::Volume;
use contract::pod::Worker;
use jiff::Timestamp;
use k8s_openapi::api::core::v1::PersistentVolumeClaim;
use k8s_openapi::api::storage::v1::StorageClass;
use kube::ResourceExt;
use kube::runtime::reflector::ObjectRef;

use crate::cdiconfig::Features;
use crate::{Context, import, names, workload};

/// A DataVolume and everything that its next step depends on.
#[derive(Clone, Debug)]
pub(crate) struct Observed {
    pub(crate) data_volume: Arc<DataVolume>,
    /// The claim of its name.
    pub(crate) claim: Option<Arc<PersistentVolumeClaim>>,
    /// What its claim is filled from.
    pub(crate) source: Option<Arc<VolumeImportSource>>,
    pub(crate) classes: Vec<Arc<StorageClass>>,
    pub(crate) profiles: Vec<Arc<StorageProfile>>,
    /// Volumes of its class, which were made by hand; empty unless the class does not exist.
    pub(crate) volumes: Vec<Arc<Volume>>,
    /// Names of the CSI drivers.
    pub(crate) drivers: Vec<String>,
    pub(crate) config: CdiConfigStatus,
    /// Why its claim gets no volume, if somebody said so.
    pub(crate) unserved: Option<String>,
    /// Whether the webhook completes claims.
    pub(crate) webhook_renders: bool,
    pub(crate) features: Features,
    /// What its importer last said.
    pub(crate) worker: Option<Worker>,
    /// When its importer's container ended, by the clock of its node.
    pub(crate) ended: Option<Timestamp>,
    pub(crate) now: Timestamp,
}

pub(super) fn observe(data_volume: Arc<DataVolume>, context: &Context) -> Observed {
    let namespace = data_volume.namespace().unwrap_or_default();
    let caches = &context.caches;
    let claim = caches.claims.get(&ObjectRef::new(&data_volume.name_any()).within(&namespace));
    let source = names::import_source(&data_volume.uid().unwrap_or_default());
    let classes = caches.classes.state();
    let importer = claim.as_deref().map(importer_of).unwrap_or_default();
    let pod = caches.pods.get(&ObjectRef::new(&importer).within(&namespace));
    let no_class = class_named(&data_volume).filter(|name| !classes.iter().any(|class| class.name_any() == *name));
    Observed {
        source: caches.import_sources.get(&ObjectRef::new(&source).within(&namespace)),
        profiles: caches.profiles.state(),
        volumes: no_class.map(|name| caches.indexes.volumes.get(name)).unwrap_or_default(),
        drivers: caches.drivers.state().iter().map(|driver| driver.name_any()).collect(),
        classes,
        config: workload::config(context),
        webhook_renders: workload::webhook_renders(context),
        features: workload::features(context),
        worker: context.live.shown(&namespace, &importer),
        ended: pod.as_deref().and_then(import::finished_at),
        unserved: claim.as_deref().and_then(|claim| caches.warning_of(claim.uid().as_deref())),
        claim,
        data_volume,
        now: Timestamp::now(),
    }
}

/// The class that a DataVolume names.
pub(super) fn class_named(data_volume: &DataVolume) -> Option<&str> {
    let of_pvc = data_volume.spec.pvc.as_ref().and_then(|claim| claim.storage_class_name.as_deref());
    of_pvc.or_else(|| data_volume.spec.storage.as_ref()?.storage_class_name.as_deref())
}

/// The importer that works on the claim itself, or on its prime claim.
fn importer_of(claim: &PersistentVolumeClaim) -> String {
    let prime = claim.annotations().get(annotation::POPULATOR_PVC_PRIME);
    names::importer(prime.unwrap_or(&claim.name_any()))
}
