//! What is read before an import is planned: caches, and the clock.

use std::sync::Arc;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{PersistentVolumeClaim, Pod};
use k8s_openapi::api::storage::v1::StorageClass;
use kube::ResourceExt;
use kube::runtime::reflector::ObjectRef;

use super::build::Workload;
use crate::{Context, names, workload};

/// The claim and everything that its import depends on.
#[derive(Clone, Debug)]
pub(crate) struct Observed {
    pub(crate) claim: Arc<PersistentVolumeClaim>,
    /// Its importer pod, once there is one; the last one if that is gone and its end was not seen.
    pub(crate) pod: Option<Arc<Pod>>,
    /// Why the pod does not get its volumes, if a kubelet said so.
    pub(crate) unmounted: Option<String>,
    /// Other pods that use the claim and have not ended.
    pub(crate) users: Vec<String>,
    /// Its class waits for a first consumer.
    pub(crate) waits_for_consumer: bool,
    /// The installation honours that (feature gate HonorWaitForFirstConsumer).
    pub(crate) honours_wait: bool,
    pub(crate) workload: Workload,
    pub(crate) now: Timestamp,
}

pub(super) fn observe(claim: Arc<PersistentVolumeClaim>, context: &Context) -> Observed {
    let caches = &context.caches;
    let pod = caches.importer_of(&claim).or_else(|| caches.departed_importer_of(&claim));
    let class = class_of(&claim, context);
    Observed {
        unmounted: pod.as_ref().and_then(|pod| caches.warning_of(pod.uid().as_deref())),
        users: if pod.is_none() { users(&claim, context) } else { Vec::new() },
        pod,
        waits_for_consumer: class.as_deref().is_some_and(waits_for_consumer),
        honours_wait: workload::features(context).honour_wait_for_first_consumer,
        workload: workload::of(&claim, class.as_deref(), context),
        claim,
        now: Timestamp::now(),
    }
}

/// The class of a claim, if there is one.
pub(crate) fn class_of(claim: &PersistentVolumeClaim, context: &Context) -> Option<Arc<StorageClass>> {
    let name = claim.spec.as_ref()?.storage_class_name.as_deref()?;
    context.caches.classes.get(&ObjectRef::new(name))
}

/// Whether volumes of a class are made when a pod uses them.
pub(crate) fn waits_for_consumer(class: &StorageClass) -> bool {
    class.volume_binding_mode.as_deref() == Some("WaitForFirstConsumer")
}

/// Names of pods that use the claim, have not ended, and are not its importer.
pub(crate) fn users(claim: &PersistentVolumeClaim, context: &Context) -> Vec<String> {
    let importer = names::importer(&claim.name_any());
    let mut users: Vec<String> = context.caches.users_of(claim).into_iter().filter(|name| *name != importer).collect();
    users.sort();
    users
}

/// Whether the container of an importer pod runs.
pub(crate) fn is_running(pod: &Pod) -> bool {
    let state = super::status::container(pod).and_then(|status| status.state.as_ref());
    state.is_some_and(|state| state.running.is_some())
}
