//! What is read before a target's population is planned: caches only.

use std::sync::Arc;

use api::cdi::{DataVolume, VolumeImportSource};
use api::volume::Volume;
use contract::pod::Worker;
use k8s_openapi::api::core::v1::{PersistentVolumeClaim, Pod};
use k8s_openapi::api::storage::v1::StorageClass;
use kube::runtime::reflector::ObjectRef;
use kube::{Resource, ResourceExt};

use crate::caches::is_of;
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
    let prime = prime.filter(|prime| is_of(prime.as_ref(), &target));
    let volume = [prime.as_deref(), Some(target.as_ref())]
        .into_iter()
        .flatten()
        .find_map(|claim| claim.spec.as_ref()?.volume_name.as_deref())
        .and_then(|name| caches.volumes.get(&ObjectRef::new(name)))
        .or_else(|| if prime.is_none() { kept_for(&target, context) } else { None });
    let of_bare = prime.as_deref().filter(|_| is_bare(&target));
    Observed {
        source: caches.import_sources.get(&ObjectRef::new(source).within(&namespace)),
        class: import::class_of(&target, context),
        preallocation: workload::config(context).preallocation.unwrap_or(false),
        importer: prime.as_deref().and_then(|prime| caches.importer_of(prime)),
        worker: of_bare.and_then(|prime| context.live.shown(&namespace, &names::importer(&prime.name_any()))),
        unserved: prime.as_ref().and_then(|prime| caches.warning_of(prime.uid().as_deref())),
        target,
        prime,
        volume,
    }
}

/// The volume that has been handed over to a target, which does not know of it yet. It is looked for where an import is finished.
fn kept_for(target: &PersistentVolumeClaim, context: &Context) -> Option<Arc<Volume>> {
    let class = target.spec.as_ref()?.storage_class_name.as_ref()?;
    let is_kept =
        |volume: &Volume| volume.spec.claim_ref.as_ref().is_some_and(|claim| claim.uid == target.metadata.uid);
    let volumes = import::is_finished(target.annotations()).then(|| context.caches.indexes.volumes.get(class))?;
    volumes.into_iter().find(|volume| is_kept(volume))
}

/// Whether no DataVolume stands for the claim, so that its population is shown on itself.
pub(crate) fn is_bare(claim: &PersistentVolumeClaim) -> bool {
    !claim.owner_references().iter().any(|owner| owner.kind == DataVolume::kind(&()))
}
