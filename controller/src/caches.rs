//! The caches that reconciles read. Nothing is listed or asked for in a reconcile, and where there may be many objects nothing
//! is searched for either: an index leads to them.

use std::hash::Hash;
use std::sync::Arc;

use api::cdi::{Cdi, CdiConfig, DataVolume, StorageProfile, VolumeImportSource};
use api::volume::Volume;
use k8s_openapi::api::core::v1::{Event, ObjectReference, PersistentVolumeClaim, Pod};
use k8s_openapi::api::storage::v1::{CSIDriver, StorageClass};
use kube::ResourceExt;
use kube::api::{DynamicObject, ObjectMeta};
use kube::runtime::reflector::{self, ObjectRef, Store};
use reconcile::{Departed, Index};

use crate::names;

/// One cache for each kind.
#[derive(Clone)]
pub(crate) struct Caches {
    pub(crate) classes: Store<StorageClass>,
    pub(crate) drivers: Store<CSIDriver>,
    pub(crate) volumes: Store<Volume>,
    pub(crate) claims: Store<PersistentVolumeClaim>,
    pub(crate) pods: Store<Pod>,
    /// Importer pods that have gone before their claim said what they came to.
    pub(crate) departed: Departed<Pod>,
    pub(crate) data_volumes: Store<DataVolume>,
    pub(crate) profiles: Store<StorageProfile>,
    pub(crate) configs: Store<CdiConfig>,
    pub(crate) cdis: Store<Cdi>,
    pub(crate) import_sources: Store<VolumeImportSource>,
    /// Volumes that a kubelet could not give to a pod, and claims that could not be served.
    pub(crate) warnings: [Store<Event>; 2],
    pub(crate) indexes: Indexes,
    /// Empty where the cluster has no snapshots.
    pub(crate) snapshot_classes: Store<DynamicObject>,
}

/// What leads from one object to others that name it.
#[derive(Clone)]
pub(crate) struct Indexes {
    /// Pods that have not ended, by the claims that they use.
    pub(crate) users: Index<Pod, ObjectRef<PersistentVolumeClaim>>,
    /// Importer pods that run.
    pub(crate) importers: Index<Pod, ()>,
    /// Volumes by their class.
    pub(crate) volumes: Index<Volume, String>,
    /// Claims by what they are filled from.
    pub(crate) filled: Index<PersistentVolumeClaim, ObjectRef<VolumeImportSource>>,
    /// Claims that wait to be filled, by their class.
    pub(crate) unfilled: Index<PersistentVolumeClaim, String>,
    /// Claims whose import has a pod and is not over.
    pub(crate) importing: Index<PersistentVolumeClaim, ()>,
    /// DataVolumes that a class or a profile may help on.
    pub(crate) waiting: Index<DataVolume, ()>,
    /// The warnings by the uid of what they are about.
    pub(crate) warnings: [Index<Event, String>; 2],
}

impl Caches {
    /// The last warning about the object with this uid.
    pub(crate) fn warning_of(&self, uid: Option<&str>) -> Option<String> {
        let uid = uid?;
        let about = self.indexes.warnings.iter().flat_map(|warnings| warnings.get(uid));
        about.max_by_key(|event| event.metadata.creation_timestamp.clone()).and_then(|event| event.message.clone())
    }

    /// Waits until every cache knows all there is, that of the classes of snapshots where the cluster has them.
    pub(crate) async fn filled(&self, snapshots: bool) {
        async fn one<K: reflector::Lookup + Clone + 'static>(store: &Store<K>)
        where
            K::DynamicType: Eq + Hash + Clone,
        {
            // It fails only where the watch is gone, and then the process ends.
            let _ = store.wait_until_ready().await;
        }
        one(&self.classes).await;
        one(&self.drivers).await;
        one(&self.volumes).await;
        one(&self.claims).await;
        one(&self.pods).await;
        one(&self.data_volumes).await;
        one(&self.profiles).await;
        one(&self.configs).await;
        one(&self.cdis).await;
        one(&self.import_sources).await;
        for warnings in &self.warnings {
            one(warnings).await;
        }
        if snapshots {
            one(&self.snapshot_classes).await;
        }
    }

    /// The importer of a claim, while it is there.
    pub(crate) fn importer_of(&self, claim: &PersistentVolumeClaim) -> Option<Arc<Pod>> {
        self.pods.get(&importer_of(claim)).filter(|pod| is_of(pod.as_ref(), claim))
    }

    /// The importer of a claim that has gone before the claim said what it came to.
    pub(crate) fn departed_importer_of(&self, claim: &PersistentVolumeClaim) -> Option<Arc<Pod>> {
        self.departed.get(&importer_of(claim)).filter(|pod| is_of(pod.as_ref(), claim))
    }

    /// Names of the pods that use a claim and have not ended.
    pub(crate) fn users_of(&self, claim: &PersistentVolumeClaim) -> Vec<String> {
        self.indexes.users.get(&ObjectRef::from_obj(claim)).iter().map(|pod| pod.name_any()).collect()
    }
}

fn importer_of(claim: &PersistentVolumeClaim) -> ObjectRef<Pod> {
    ObjectRef::new(&names::importer(&claim.name_any())).within(&claim.namespace().unwrap_or_default())
}

/// Whether an object was made for a claim: another's of the same name is not ours to touch.
pub(crate) fn is_of(object: &impl ResourceExt, claim: &PersistentVolumeClaim) -> bool {
    object.owner_references().iter().any(|owner| Some(&owner.uid) == claim.metadata.uid.as_ref())
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

/// The claims that a pod uses, until it has ended.
pub(crate) fn claims_in_use(pod: &Pod) -> Vec<ObjectRef<PersistentVolumeClaim>> {
    let namespace = pod.namespace().unwrap_or_default();
    let claims = claims_of(pod).filter(|_| !has_ended(pod));
    claims.map(|(name, _)| ObjectRef::new(name).within(&namespace)).collect()
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

/// Drops all but what is said of which object, and when.
pub(crate) fn trim_event(event: &mut Event) {
    let about = std::mem::take(&mut event.involved_object);
    let metadata = std::mem::take(&mut event.metadata);
    *event = Event {
        involved_object: ObjectReference {
            name: about.name,
            namespace: about.namespace,
            uid: about.uid,
            ..Default::default()
        },
        message: event.message.take(),
        metadata: ObjectMeta {
            name: metadata.name,
            namespace: metadata.namespace,
            uid: metadata.uid,
            creation_timestamp: metadata.creation_timestamp,
            ..ObjectMeta::default()
        },
        ..Event::default()
    };
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_pod_uses_its_claims_until_it_has_ended() {
        for (phase, expected) in [("Pending", 2), ("Running", 2), ("Succeeded", 0), ("Failed", 0)] {
            let claim = |name: &str| json!({"name": name, "persistentVolumeClaim": {"claimName": name}});
            let pod: Pod = serde_json::from_value(json!({
                "metadata": {"name": "p", "namespace": "home"},
                "spec": {"containers": [], "volumes": [claim("one"), {"name": "none", "emptyDir": {}}, claim("two")]},
                "status": {"phase": phase},
            }))
            .unwrap();
            let used = claims_in_use(&pod);
            assert_eq!(used.len(), expected, "{phase}");
            assert!(used.iter().all(|claim| claim.namespace.as_deref() == Some("home")));
        }
    }

    #[test]
    fn a_trimmed_event_says_what_was_said_of_which_object_and_when() {
        let about = json!({"kind": "Pod", "name": "p", "namespace": "home", "uid": "u", "fieldPath": "spec"});
        let metadata = json!({"name": "e", "namespace": "home", "creationTimestamp": "2026-01-01T00:00:00Z"});
        let mut event: Event = serde_json::from_value(json!({
            "metadata": metadata, "involvedObject": about, "message": "no such secret", "reason": "FailedMount",
            "source": {"component": "kubelet"}, "count": 3,
        }))
        .unwrap();
        trim_event(&mut event);
        let about = json!({"name": "p", "namespace": "home", "uid": "u"});
        let kept = json!({"apiVersion": "v1", "kind": "Event", "metadata": metadata, "involvedObject": about, "message": "no such secret"});
        assert_eq!(serde_json::to_value(&event).unwrap(), kept);
    }
}
