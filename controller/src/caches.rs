//! The caches that reconciles read. Nothing is listed or asked for in a reconcile.

use api::cdi::{Cdi, CdiConfig, DataVolume, StorageProfile, VolumeImportSource};
use k8s_openapi::api::core::v1::{Event, PersistentVolume, PersistentVolumeClaim, Pod};
use k8s_openapi::api::storage::v1::{CSIDriver, StorageClass};
use kube::ResourceExt;
use kube::api::DynamicObject;
use kube::runtime::reflector::Store;

/// One cache for each kind.
#[derive(Clone)]
pub(crate) struct Caches {
    pub(crate) classes: Store<StorageClass>,
    pub(crate) drivers: Store<CSIDriver>,
    pub(crate) volumes: Store<PersistentVolume>,
    pub(crate) claims: Store<PersistentVolumeClaim>,
    pub(crate) pods: Store<Pod>,
    pub(crate) data_volumes: Store<DataVolume>,
    pub(crate) profiles: Store<StorageProfile>,
    pub(crate) configs: Store<CdiConfig>,
    pub(crate) cdis: Store<Cdi>,
    pub(crate) import_sources: Store<VolumeImportSource>,
    /// Volumes that a kubelet could not give to a pod, and claims that could not be served.
    pub(crate) warnings: [Store<Event>; 2],
    /// Absent where the cluster has no snapshots.
    pub(crate) snapshot_classes: Option<Store<DynamicObject>>,
}

impl Caches {
    /// The last warning about the object with this uid.
    pub(crate) fn warning_of(&self, uid: Option<&str>) -> Option<String> {
        let about = |event: &Event| event.involved_object.uid.as_deref() == uid;
        let all = self.warnings.iter().flat_map(Store::state).filter(|event| about(event));
        all.max_by_key(|event| event.metadata.creation_timestamp.clone()).and_then(|event| event.message.clone())
    }

    /// Names of the pods that use a claim and have not ended.
    pub(crate) fn users_of(&self, claim: &PersistentVolumeClaim) -> Vec<String> {
        let name = claim.name_any();
        let uses =
            |pod: &Pod| pod.metadata.namespace == claim.metadata.namespace && claims_of(pod).any(|used| used.0 == name);
        self.pods.state().iter().filter(|pod| !has_ended(pod) && uses(pod)).map(|pod| pod.name_any()).collect()
    }
}

/// Whether all containers of a pod have ended for good.
pub(crate) fn has_ended(pod: &Pod) -> bool {
    let phase = pod.status.as_ref().and_then(|status| status.phase.as_deref());
    matches!(phase, Some("Succeeded" | "Failed"))
}

/// Claims that a pod uses, and whether only for reading.
pub(crate) fn claims_of(pod: &Pod) -> impl Iterator<Item = (&str, bool)> {
    let volumes = pod.spec.iter().filter_map(|spec| spec.volumes.as_ref()).flatten();
    volumes.filter_map(|volume| {
        let claim = volume.persistent_volume_claim.as_ref()?;
        Some((claim.claim_name.as_str(), claim.read_only == Some(true)))
    })
}

/// Drops what no reconcile reads: a cluster has more pods than anything else.
pub(crate) fn trim_pod(pod: &mut Pod) {
    let Some(spec) = &mut pod.spec else { return };
    let ours = pod.metadata.labels.as_ref().is_some_and(|labels| {
        labels.get(api::label::COMPONENT).is_some_and(|component| component == api::label::COMPONENT_IMPORTER)
    });
    spec.containers.clear();
    spec.init_containers = None;
    spec.affinity = None;
    spec.tolerations = None;
    if let Some(volumes) = &mut spec.volumes {
        volumes.retain(|volume| volume.persistent_volume_claim.is_some());
    }
    if !ours {
        pod.metadata.annotations = None;
        pod.metadata.labels = None;
        if let Some(status) = &mut pod.status {
            status.container_statuses = None;
            status.init_container_statuses = None;
            status.conditions = None;
        }
    }
}
