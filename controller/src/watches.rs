//! The watches of all kinds: which cache each fills, and whom its changes concern.

use std::sync::Arc;
use std::time::Duration;

use api::cdi::{Cdi, CdiConfig, DataVolume, StorageProfile, VolumeImportSource};
use api::volume::Volume;
use futures::future::{BoxFuture, FutureExt, join_all};
use k8s_openapi::api::core::v1::{Event, PersistentVolumeClaim, Pod};
use k8s_openapi::api::storage::v1::{CSIDriver, StorageClass};
use kube::api::{Api, DynamicObject};
use kube::core::NamespaceResourceScope;
use kube::runtime::reflector::{ObjectRef, Store};
use kube::{Client, Resource, ResourceExt};
use reconcile::{Departed, Echoes, Index, Queue, Watch};

use crate::caches::{Caches, Indexes, claims_in_use, claims_of, trim_event, trim_pod};
use crate::live::is_running_importer;
use crate::{cdiconfig, import, populator, snapshots, storageprofile};

/// Events that say what nothing else says: why a pod does not get its volumes, and why a claim does not get one.
const UNMOUNTED: &str = "involvedObject.kind=Pod,reason=FailedMount";
const UNSERVED: &str = "involvedObject.kind=PersistentVolumeClaim,type=Warning";
/// A DataVolume shows what others do. Of what follows within so little time, the end of its pod and the hand-over of its volume
/// above all, it shows the last: each state costs a request.
const SHOWN: Duration = Duration::from_millis(150);

/// Queues of all controllers.
pub(crate) struct Queues {
    pub(crate) data_volumes: Queue<DataVolume>,
    pub(crate) populations: Queue<PersistentVolumeClaim>,
    pub(crate) imports: Queue<PersistentVolumeClaim>,
    pub(crate) consumed: Queue<PersistentVolumeClaim>,
    pub(crate) classes: Queue<StorageClass>,
    pub(crate) configs: Queue<CdiConfig>,
}

impl Default for Queues {
    fn default() -> Self {
        Self {
            data_volumes: Queue::patient(SHOWN),
            populations: Queue::default(),
            imports: Queue::default(),
            consumed: Queue::default(),
            classes: Queue::default(),
            configs: Queue::default(),
        }
    }
}

/// One watch for each kind.
pub(crate) struct Watches {
    data_volumes: Watch<DataVolume>,
    claims: Watch<PersistentVolumeClaim>,
    pods: Watch<Pod>,
    departed: Departed<Pod>,
    sources: Watch<VolumeImportSource>,
    classes: Watch<StorageClass>,
    profiles: Watch<StorageProfile>,
    volumes: Watch<Volume>,
    drivers: Watch<CSIDriver>,
    configs: Watch<CdiConfig>,
    cdis: Watch<Cdi>,
    unmounted: Watch<Event>,
    unserved: Watch<Event>,
    snapshot_classes: Watch<DynamicObject>,
    indexes: Indexes,
}

impl Watches {
    /// The watches, which wake who is concerned, those of kinds that are written with their echo.
    pub(crate) fn new(queues: &Queues, echoes: &Echoes) -> Self {
        let mut data_volumes = data_volumes(queues).echoes(echoes);
        let (mut claims, mut pods) = (claims(queues).echoes(echoes), pods(queues).echoes(echoes));
        let (mut unmounted, mut unserved) = (unmounted(queues, pods.store()), unserved(queues, claims.store()));
        let classes = Watch::<StorageClass>::default();
        let mut volumes = volumes(queues, classes.store()).echoes(echoes);
        let of_departed = claims.store();
        let indexes = Indexes {
            users: pods.index(claims_in_use),
            importers: pods.index(|pod| is_running_importer(pod).then_some(())),
            volumes: volumes.index(|volume| volume.spec.storage_class_name.clone()),
            filled: claims.index(|claim| populator::source_of(claim).map(|name| namespaced(claim, name))),
            unfilled: claims.index(waits_for_class),
            importing: claims.index(|claim| is_importing(claim).then_some(())),
            waiting: data_volumes.index(|data_volume| waits(data_volume).then_some(())),
            warnings: [&mut unmounted, &mut unserved]
                .map(|warnings| warnings.index(|event| event.involved_object.uid.clone())),
        };
        Self {
            sources: sources(queues, indexes.filled.clone()).echoes(echoes),
            profiles: profiles(queues, indexes.waiting.clone()).echoes(echoes),
            snapshot_classes: snapshots::watch(&queues.classes, classes.store()),
            classes: of_classes(classes, queues, &indexes),
            drivers: drivers(queues, indexes.waiting.clone()),
            configs: configs(queues, indexes.importing.clone()).echoes(echoes),
            cdis: cdis(queues, indexes.importing.clone()),
            data_volumes,
            claims,
            volumes,
            unmounted,
            departed: pods.departed(move |pod| has_last_word(pod, &of_departed)),
            pods,
            unserved,
            indexes,
        }
    }

    /// The caches that they fill.
    pub(crate) fn caches(&self) -> Caches {
        Caches {
            classes: self.classes.store(),
            drivers: self.drivers.store(),
            volumes: self.volumes.store(),
            claims: self.claims.store(),
            pods: self.pods.store(),
            departed: self.departed.clone(),
            data_volumes: self.data_volumes.store(),
            profiles: self.profiles.store(),
            configs: self.configs.store(),
            cdis: self.cdis.store(),
            import_sources: self.sources.store(),
            warnings: [self.unmounted.store(), self.unserved.store()],
            indexes: self.indexes.clone(),
            snapshot_classes: self.snapshot_classes.store(),
        }
    }

    /// Watches until the process ends.
    pub(crate) async fn run(self, client: &Client) {
        fn all<K: Resource<DynamicType = ()>>(client: &Client) -> Api<K> {
            Api::all(client.clone())
        }
        let running: Vec<BoxFuture<'_, ()>> = vec![
            self.data_volumes.run(all(client)).boxed(),
            self.claims.run(all(client)).boxed(),
            self.pods.run(all(client)).boxed(),
            self.sources.run(all(client)).boxed(),
            self.classes.run(all(client)).boxed(),
            self.profiles.run(all(client)).boxed(),
            self.volumes.run(all(client)).boxed(),
            self.drivers.run(all(client)).boxed(),
            self.configs.run(all(client)).boxed(),
            self.cdis.run(all(client)).boxed(),
            self.unmounted.run_selected(all(client), UNMOUNTED).boxed(),
            self.unserved.run_selected(all(client), UNSERVED).boxed(),
            snapshots::run(self.snapshot_classes, client.clone(), snapshots::LOOK).boxed(),
        ];
        join_all(running).await;
    }
}

fn data_volumes(queues: &Queues) -> Watch<DataVolume> {
    Watch::<DataVolume>::default()
        .wakes_itself(&queues.data_volumes)
        .wakes(&queues.consumed, |data_volume| [namespaced(data_volume, &data_volume.name_any())])
}

fn claims(queues: &Queues) -> Watch<PersistentVolumeClaim> {
    Watch::<PersistentVolumeClaim>::default()
        .wakes_itself(&queues.populations)
        .wakes_itself(&queues.imports)
        .wakes_itself(&queues.consumed)
        .wakes(&queues.populations, owner::<_, PersistentVolumeClaim>)
        .wakes(&queues.data_volumes, |claim| [namespaced(claim, &claim.name_any())])
}

fn pods(queues: &Queues) -> Watch<Pod> {
    Watch::<Pod>::default()
        .trimmed(trim_pod)
        .wakes(&queues.imports, owner::<_, PersistentVolumeClaim>)
        .wakes(&queues.imports, used_claims)
        .wakes(&queues.consumed, used_claims)
}

fn sources(
    queues: &Queues,
    filled: Index<PersistentVolumeClaim, ObjectRef<VolumeImportSource>>,
) -> Watch<VolumeImportSource> {
    Watch::<VolumeImportSource>::default()
        .wakes(&queues.data_volumes, owner::<_, DataVolume>)
        .wakes(&queues.populations, move |source| all(&filled.get(&ObjectRef::from_obj(source))))
}

fn of_classes(classes: Watch<StorageClass>, queues: &Queues, indexes: &Indexes) -> Watch<StorageClass> {
    let (waiting, unfilled) = (indexes.waiting.clone(), indexes.unfilled.clone());
    classes
        .wakes_itself(&queues.classes)
        .wakes(&queues.data_volumes, move |_| all(&waiting.get(&())))
        .wakes(&queues.configs, |_| [cdiconfig::only()])
        .wakes(&queues.populations, move |class| all(&unfilled.get(&class.name_any())))
}

fn profiles(queues: &Queues, waiting: Index<DataVolume, ()>) -> Watch<StorageProfile> {
    Watch::<StorageProfile>::default()
        .wakes(&queues.classes, storageprofile::class_of_profile)
        .wakes(&queues.data_volumes, move |_| all(&waiting.get(&())))
}

fn volumes(queues: &Queues, classes: Store<StorageClass>) -> Watch<Volume> {
    Watch::<Volume>::default()
        .trimmed(|volume| volume.metadata.annotations = None)
        .wakes(&queues.populations, held_by)
        .wakes(&queues.classes, move |volume| storageprofile::class_of_volume(volume, &classes))
}

fn unmounted(queues: &Queues, pods: Store<Pod>) -> Watch<Event> {
    Watch::<Event>::default().trimmed(trim_event).wakes(&queues.imports, move |event| claims_about(event, &pods))
}

/// What keeps a prime claim from its volume is told on its target.
fn unserved(queues: &Queues, claims: Store<PersistentVolumeClaim>) -> Watch<Event> {
    let target = move |event: &Event| owner::<_, PersistentVolumeClaim>(claims.get(&about(event)?)?.as_ref());
    Watch::<Event>::default().trimmed(trim_event).wakes(&queues.populations, target).wakes(&queues.data_volumes, about)
}

fn drivers(queues: &Queues, waiting: Index<DataVolume, ()>) -> Watch<CSIDriver> {
    Watch::default().wakes(&queues.data_volumes, move |_: &CSIDriver| all(&waiting.get(&())))
}

/// A setting may keep the pods of imports from running.
fn configs(queues: &Queues, importing: Index<PersistentVolumeClaim, ()>) -> Watch<CdiConfig> {
    Watch::default().wakes_itself(&queues.configs).wakes(&queues.imports, move |_: &CdiConfig| all(&importing.get(&())))
}

fn cdis(queues: &Queues, importing: Index<PersistentVolumeClaim, ()>) -> Watch<Cdi> {
    Watch::default()
        .wakes(&queues.configs, |_: &Cdi| [cdiconfig::only()])
        .wakes(&queues.imports, move |_: &Cdi| all(&importing.get(&())))
}

/// The owner of an object, if it is of kind `T`.
pub(crate) fn owner<K, T>(object: &K) -> Option<ObjectRef<T>>
where
    K: Resource<DynamicType = ()>,
    T: Resource<DynamicType = (), Scope = NamespaceResourceScope>,
{
    let owner = object.owner_references().iter().find(|owner| owner.controller == Some(true))?;
    (owner.kind == T::kind(&())).then(|| namespaced(object, &owner.name))
}

/// An object in the same namespace.
fn namespaced<K, T>(beside: &K, name: &str) -> ObjectRef<T>
where
    K: Resource<DynamicType = ()>,
    T: Resource<DynamicType = ()>,
{
    ObjectRef::new(name).within(&beside.namespace().unwrap_or_default())
}

/// Claims that a pod uses.
fn used_claims(pod: &Pod) -> Vec<ObjectRef<PersistentVolumeClaim>> {
    claims_of(pod).map(|(name, _)| namespaced(pod, name)).collect()
}

/// The claims of the pod that an event is about.
fn claims_about(event: &Event, pods: &Store<Pod>) -> Vec<ObjectRef<PersistentVolumeClaim>> {
    let about = &event.involved_object;
    let (Some(name), Some(namespace)) = (&about.name, &about.namespace) else { return Vec::new() };
    let pod = pods.get(&ObjectRef::new(name).within(namespace));
    pod.map(|pod| used_claims(&pod)).unwrap_or_default()
}

/// The object that an event is about, or the one of its name.
fn about<T: Resource<DynamicType = ()>>(event: &Event) -> Option<ObjectRef<T>> {
    let about = &event.involved_object;
    Some(ObjectRef::new(about.name.as_deref()?).within(about.namespace.as_deref()?))
}

/// The claim that a volume belongs to, and the one whose prime claim it is.
fn held_by(volume: &Volume) -> Option<ObjectRef<PersistentVolumeClaim>> {
    let claim = volume.spec.claim_ref.as_ref()?;
    Some(ObjectRef::new(claim.name.as_deref()?).within(claim.namespace.as_deref()?))
}

/// All of these are concerned.
fn all<K: Resource<DynamicType = ()>>(objects: &[Arc<K>]) -> Vec<ObjectRef<K>> {
    objects.iter().map(|object| ObjectRef::from_obj(object.as_ref())).collect()
}

/// The class of a claim that waits to be filled.
fn waits_for_class(claim: &PersistentVolumeClaim) -> Option<String> {
    populator::source_of(claim)?;
    let spec = claim.spec.as_ref().filter(|spec| spec.volume_name.is_none())?;
    spec.storage_class_name.clone()
}

/// Whether a class or a profile may help it on.
fn waits(data_volume: &DataVolume) -> bool {
    let phase = data_volume.status.as_ref().and_then(|status| status.phase.as_deref());
    matches!(phase, None | Some("" | "Pending"))
}

/// The DataVolume whose claim, or whose prime claim, an importer pod fills.
pub(crate) fn shown_on(pod: &Pod, claims: &Store<PersistentVolumeClaim>) -> Option<ObjectRef<DataVolume>> {
    let claim: ObjectRef<PersistentVolumeClaim> = owner(pod)?;
    let claim = claims.get(&claim)?;
    let target = owner::<_, PersistentVolumeClaim>(claim.as_ref());
    let name = target.map_or_else(|| claim.name_any(), |target| target.name);
    Some(namespaced(claim.as_ref(), &name))
}

/// The claim that no DataVolume stands for and whose prime claim an importer pod fills.
pub(crate) fn shown_on_claim(
    pod: &Pod,
    claims: &Store<PersistentVolumeClaim>,
) -> Option<ObjectRef<PersistentVolumeClaim>> {
    let prime = claims.get(&owner::<_, PersistentVolumeClaim>(pod)?)?;
    let target = owner::<_, PersistentVolumeClaim>(prime.as_ref())?;
    claims.get(&target).is_some_and(|target| populator::is_bare(&target)).then_some(target)
}

/// Whether a pod has done all there is to do for a claim of which that is not told yet.
fn has_last_word(pod: &Pod, claims: &Store<PersistentVolumeClaim>) -> bool {
    let claim = owner(pod).filter(|_| import::is_over(pod)).and_then(|claim| claims.get(&claim));
    claim.is_some_and(|claim| {
        let told_on = import::target_of(&claim, claims).unwrap_or_else(|| claim.clone());
        claim.metadata.deletion_timestamp.is_none() && !import::is_finished(told_on.annotations())
    })
}

/// Whether a claim asks for an import that is not over, as far as itself says.
fn is_importing(claim: &PersistentVolumeClaim) -> bool {
    import::Request::is_of(claim) && !import::is_finished(claim.annotations())
}

#[cfg(test)]
mod tests {
    use api::annotation;
    use kube::runtime::{reflector, watcher};
    use serde_json::Value;

    use super::*;
    use crate::sample;

    /// A pod with this status that belongs to `claim`.
    fn pod_of(claim: &PersistentVolumeClaim, status: &Value) -> Pod {
        let mut pod = sample::pod(status);
        pod.metadata.owner_references = claim.controller_owner_ref(&()).map(|owner| vec![owner]);
        pod
    }

    fn store(all: impl IntoIterator<Item = PersistentVolumeClaim>) -> Store<PersistentVolumeClaim> {
        let (claims, mut writer) = reflector::store();
        all.into_iter().for_each(|claim| writer.apply_watcher_event(&watcher::Event::Apply(claim)));
        claims
    }

    /// Whether a pod with this status is still of use when it has gone, while its claim has these annotations.
    fn matters(status: &Value, annotations: &[(&str, &str)], is_deleted: bool) -> bool {
        let mut claim = sample::claim("disk", "Bound", annotations);
        if is_deleted {
            claim.metadata.deletion_timestamp =
                Some(k8s_openapi::apimachinery::pkg::apis::meta::v1::Time(jiff::Timestamp::UNIX_EPOCH));
        }
        has_last_word(&pod_of(&claim, status), &store([claim]))
    }

    #[test]
    fn a_pod_that_has_gone_matters_until_its_claim_says_what_it_came_to() {
        let running = sample::container("Running", 0, &serde_json::json!({"running": {}}), &Value::Null);
        let done = sample::container("Succeeded", 0, &sample::ended(0, "Completed", "{}"), &Value::Null);
        let failed = sample::container("Failed", 0, &sample::ended(1, "Error", ""), &Value::Null);
        assert!(matters(&done, &[(annotation::POD_PHASE, "Running")], false));
        assert!(!matters(&done, &[(annotation::POD_PHASE, "Succeeded")], false), "it is told");
        assert!(!matters(&done, &[], true), "nobody wants to know");
        assert!(!matters(&running, &[], false) && !matters(&failed, &[], false), "a successor is needed");
    }

    #[test]
    fn a_pod_that_has_gone_matters_until_the_target_of_its_prime_claim_says_what_it_came_to() {
        let done = sample::container("Succeeded", 0, &sample::ended(0, "Completed", "{}"), &Value::Null);
        for (said, matters) in [("Running", true), ("Succeeded", false)] {
            let target = sample::claim("disk", "Pending", &[(annotation::POD_PHASE, said)]);
            let mut prime = sample::claim("prime-uid-of-disk", "Bound", &[]);
            prime.metadata.owner_references = target.controller_owner_ref(&()).map(|owner| vec![owner]);
            assert_eq!(has_last_word(&pod_of(&prime, &done), &store([target, prime])), matters, "{said}");
        }
    }
}
