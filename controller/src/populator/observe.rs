//! What is read before a target's population is planned: caches only.

use std::sync::Arc;

use api::cdi::{DataVolume, VolumeImportSource};
use api::volume::Volume;
use contract::pod::Worker;
use k8s_openapi::api::core::v1::{PersistentVolumeClaim, Pod};
use k8s_openapi::api::storage::v1::StorageClass;
use kube::runtime::reflector::ObjectRef;
use kube::{Resource, ResourceExt};

use crate::{Context, import, names, workload};

/// A target and everything that its population depends on.
#[derive(Clone, Debug)]
pub(crate) struct Observed {
    pub(crate) target: Arc<PersistentVolumeClaim>,
    /// What to fill it with, once it is there.
    pub(crate) source: Option<Arc<VolumeImportSource>>,
    pub(crate) class: Option<Arc<StorageClass>>,
    /// The claim that is filled in its place.
    pub(crate) prime: Option<Arc<PersistentVolumeClaim>>,
    /// The volume of the prime claim, or of the target once it is handed over.
    pub(crate) volume: Option<Arc<Volume>>,
    /// Why the prime claim gets no volume, if somebody said so.
    pub(crate) unserved: Option<String>,
    /// Whether the installation wants disks preallocated that do not say.
    pub(crate) preallocation: bool,
    /// The importer that fills it, while there is one.
    pub(crate) importer: Option<Arc<Pod>>,
    /// What the importer last said; of a DataVolume's claim it is shown there.
    pub(crate) worker: Option<Worker>,
}

pub(super) fn observe(target: Arc<PersistentVolumeClaim>, source: &str, context: &Context) -> Observed {
    let namespace = target.namespace().unwrap_or_default();
    let caches = &context.caches;
    let prime = caches.claims.get(&ObjectRef::new(&names::prime(&target)).within(&namespace));
    let prime =
        prime.filter(|prime| prime.owner_references().iter().any(|owner| Some(&owner.uid) == target.uid().as_ref()));
    let volume = [prime.as_deref(), Some(target.as_ref())]
        .into_iter()
        .flatten()
        .find_map(|claim| claim.spec.as_ref()?.volume_name.as_deref())
        .and_then(|name| caches.volumes.get(&ObjectRef::new(name)));
    let importer = prime.as_deref().map(|prime| names::importer(&prime.name_any()));
    Observed {
        source: caches.import_sources.get(&ObjectRef::new(source).within(&namespace)),
        class: import::class_of(&target, context),
        preallocation: workload::config(context).preallocation.unwrap_or(false),
        importer: importer.as_ref().and_then(|name| caches.pods.get(&ObjectRef::new(name).within(&namespace))),
        worker: importer.filter(|_| is_bare(&target)).and_then(|name| context.live.shown(&namespace, &name)),
        unserved: prime.as_ref().and_then(|prime| caches.warning_of(prime.uid().as_deref())),
        target,
        prime,
        volume,
    }
}

/// Whether no DataVolume stands for the claim, so that its population is shown on itself.
pub(crate) fn is_bare(claim: &PersistentVolumeClaim) -> bool {
    !claim.owner_references().iter().any(|owner| owner.kind == DataVolume::kind(&()))
}
