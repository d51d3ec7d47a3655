//! The watches of all kinds: which cache each fills, and whom its changes concern.

use api::cdi::{Cdi, CdiConfig, DataVolume, StorageProfile, VolumeImportSource};
use futures::future::{BoxFuture, FutureExt, join_all};
use k8s_openapi::api::core::v1::{Event, PersistentVolume, PersistentVolumeClaim, Pod};
use k8s_openapi::api::storage::v1::{CSIDriver, StorageClass};
use kube::api::{Api, DynamicObject};
use kube::core::{GroupVersionKind, NamespaceResourceScope};
use kube::discovery::pinned_kind;
use kube::runtime::reflector::{ObjectRef, Store};
use kube::{Client, Resource, ResourceExt};
use reconcile::{Queue, Watch};

use crate::caches::{Caches, claims_of, trim_pod};
use crate::{cdiconfig, populator, storageprofile};

/// Events that say what nothing else says: why a pod does not get its volumes, and why a claim does not get one.
const UNMOUNTED: &str = "involvedObject.kind=Pod,reason=FailedMount";
const UNSERVED: &str = "involvedObject.kind=PersistentVolumeClaim,type=Warning";
/// Queues of all controllers.
#[derive(Default)]
pub(crate) struct Queues {
    pub(crate) data_volumes: Queue<DataVolume>,
    pub(crate) populations: Queue<PersistentVolumeClaim>,
    pub(crate) imports: Queue<PersistentVolumeClaim>,
    pub(crate) consumed: Queue<PersistentVolumeClaim>,
    pub(crate) classes: Queue<StorageClass>,
    pub(crate) configs: Queue<CdiConfig>,
}

/// One watch for each kind.
pub(crate) struct Watches {
    data_volumes: Watch<DataVolume>,
    claims: Watch<PersistentVolumeClaim>,
    pods: Watch<Pod>,
    sources: Watch<VolumeImportSource>,
    classes: Watch<StorageClass>,
    profiles: Watch<StorageProfile>,
    volumes: Watch<PersistentVolume>,
    drivers: Watch<CSIDriver>,
    configs: Watch<CdiConfig>,
    cdis: Watch<Cdi>,
    unmounted: Watch<Event>,
    unserved: Watch<Event>,
}

/// Caches that are asked whom a change concerns.
struct Known {
    data_volumes: Store<DataVolume>,
    claims: Store<PersistentVolumeClaim>,
    pods: Store<Pod>,
    classes: Store<StorageClass>,
}

impl Watches {
    /// The watches, which wake who is concerned.
    pub(crate) fn new(queues: &Queues) -> Self {
        let data_volumes = Watch::<DataVolume>::default().wakes_itself(&queues.data_volumes);
        let (claims, pods, classes) = (claims(queues), pods(queues), Watch::<StorageClass>::default());
        let known = Known {
            data_volumes: data_volumes.store(),
            claims: claims.store(),
            pods: pods.store(),
            classes: classes.store(),
        };
        Self {
            data_volumes,
            claims,
            sources: sources(queues, &known),
            profiles: profiles(queues, &known),
            volumes: volumes(queues, &known),
            unmounted: unmounted(queues, &known),
            classes: of_classes(classes, queues, &known),
            pods,
            drivers: Watch::default(),
            configs: Watch::default().wakes_itself(&queues.configs),
            cdis: Watch::default().wakes(&queues.configs, |_: &Cdi| [cdiconfig::only()]),
            unserved: Watch::default()
                .wakes(&queues.populations, claim_about)
                .wakes(&queues.data_volumes, data_volume_about),
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
            data_volumes: self.data_volumes.store(),
            profiles: self.profiles.store(),
            configs: self.configs.store(),
            cdis: self.cdis.store(),
            import_sources: self.sources.store(),
            warnings: [self.unmounted.store(), self.unserved.store()],
            snapshot_classes: None,
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
        ];
        join_all(running).await;
    }
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

fn sources(queues: &Queues, known: &Known) -> Watch<VolumeImportSource> {
    let claims = known.claims.clone();
    Watch::<VolumeImportSource>::default()
        .wakes(&queues.data_volumes, owner::<_, DataVolume>)
        .wakes(&queues.populations, move |source| filled_from(source, &claims))
}

fn of_classes(classes: Watch<StorageClass>, queues: &Queues, known: &Known) -> Watch<StorageClass> {
    let (waiting, claims) = (known.data_volumes.clone(), known.claims.clone());
    classes
        .wakes_itself(&queues.classes)
        .wakes(&queues.data_volumes, move |_: &StorageClass| waiting_data_volumes(&waiting))
        .wakes(&queues.configs, |_: &StorageClass| [cdiconfig::only()])
        .wakes(&queues.populations, move |class| of_class(&class.name_any(), &claims))
}

fn profiles(queues: &Queues, known: &Known) -> Watch<StorageProfile> {
    let waiting = known.data_volumes.clone();
    Watch::<StorageProfile>::default()
        .wakes(&queues.classes, storageprofile::class_of_profile)
        .wakes(&queues.data_volumes, move |_: &StorageProfile| waiting_data_volumes(&waiting))
}

fn volumes(queues: &Queues, known: &Known) -> Watch<PersistentVolume> {
    let classes = known.classes.clone();
    Watch::<PersistentVolume>::default()
        .wakes(&queues.populations, held_by)
        .wakes(&queues.classes, move |volume| storageprofile::class_of_volume(volume, &classes))
}

fn unmounted(queues: &Queues, known: &Known) -> Watch<Event> {
    let pods = known.pods.clone();
    Watch::<Event>::default().wakes(&queues.imports, move |event| claims_about(event, &pods))
}

/// Snapshots are an addition to Kubernetes: where they are missing, nothing waits for them.
pub(crate) async fn watch_snapshot_classes(
    client: &Client,
    queues: &Queues,
    classes: &Store<StorageClass>,
) -> Result<(Option<Store<DynamicObject>>, BoxFuture<'static, ()>), kube::Error> {
    let kind = GroupVersionKind::gvk("snapshot.storage.k8s.io", "v1", "VolumeSnapshotClass");
    let resource = match pinned_kind(client, &kind).await {
        Ok((resource, _)) => resource,
        Err(kube::Error::Discovery(_)) => return Ok((None, std::future::pending().boxed())),
        Err(kube::Error::Api(status)) if status.code == 404 => return Ok((None, std::future::pending().boxed())),
        Err(error) => return Err(error),
    };
    let classes = classes.clone();
    let watch = Watch::<DynamicObject>::of(resource.clone())
        .wakes(&queues.classes, move |class| storageprofile::classes_of_snapshot_class(class, &classes));
    Ok((Some(watch.store()), watch.run(Api::all_with(client.clone(), &resource)).boxed()))
}

/// Waits until every cache knows all there is.
pub(crate) async fn filled(caches: &Caches) {
    async fn one<K: kube::runtime::reflector::Lookup + Clone + 'static>(store: &Store<K>)
    where
        K::DynamicType: Eq + std::hash::Hash + Clone,
    {
        // It fails only where the watch is gone, and then the process ends.
        let _ = store.wait_until_ready().await;
    }
    one(&caches.classes).await;
    one(&caches.drivers).await;
    one(&caches.volumes).await;
    one(&caches.claims).await;
    one(&caches.pods).await;
    one(&caches.data_volumes).await;
    one(&caches.profiles).await;
    one(&caches.configs).await;
    one(&caches.cdis).await;
    one(&caches.import_sources).await;
    for warnings in &caches.warnings {
        one(warnings).await;
    }
    if let Some(snapshot_classes) = &caches.snapshot_classes {
        one(snapshot_classes).await;
    }
}

/// The owner of an object, if it is of kind `T`.
fn owner<K, T>(object: &K) -> Option<ObjectRef<T>>
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

fn claim_about(event: &Event) -> Option<ObjectRef<PersistentVolumeClaim>> {
    let about = &event.involved_object;
    Some(ObjectRef::new(about.name.as_deref()?).within(about.namespace.as_deref()?))
}

fn data_volume_about(event: &Event) -> Option<ObjectRef<DataVolume>> {
    let about = &event.involved_object;
    Some(ObjectRef::new(about.name.as_deref()?).within(about.namespace.as_deref()?))
}

/// The claim that a volume belongs to, and the one whose prime claim it is.
fn held_by(volume: &PersistentVolume) -> Option<ObjectRef<PersistentVolumeClaim>> {
    let claim = volume.spec.as_ref()?.claim_ref.as_ref()?;
    Some(ObjectRef::new(claim.name.as_deref()?).within(claim.namespace.as_deref()?))
}

/// Claims that are filled from a source.
fn filled_from(
    source: &VolumeImportSource,
    claims: &Store<PersistentVolumeClaim>,
) -> Vec<ObjectRef<PersistentVolumeClaim>> {
    let name = source.name_any();
    let theirs = |claim: &PersistentVolumeClaim| {
        claim.metadata.namespace == source.metadata.namespace && populator::source_of(claim) == Some(name.as_str())
    };
    claims.state().iter().filter(|claim| theirs(claim)).map(|claim| ObjectRef::from_obj(claim.as_ref())).collect()
}

/// Claims of a class that are waiting to be filled.
fn of_class(class: &str, claims: &Store<PersistentVolumeClaim>) -> Vec<ObjectRef<PersistentVolumeClaim>> {
    let waits = |claim: &PersistentVolumeClaim| {
        claim
            .spec
            .as_ref()
            .is_some_and(|spec| spec.volume_name.is_none() && spec.storage_class_name.as_deref() == Some(class))
            && populator::source_of(claim).is_some()
    };
    claims.state().iter().filter(|claim| waits(claim)).map(|claim| ObjectRef::from_obj(claim.as_ref())).collect()
}

/// DataVolumes that a class or a profile may help on.
fn waiting_data_volumes(data_volumes: &Store<DataVolume>) -> Vec<ObjectRef<DataVolume>> {
    let waits = |data_volume: &DataVolume| {
        let phase = data_volume.status.as_ref().and_then(|status| status.phase.as_deref());
        matches!(phase, None | Some("" | "Pending"))
    };
    data_volumes.state().iter().filter(|all| waits(all)).map(|all| ObjectRef::from_obj(all.as_ref())).collect()
}

/// The DataVolume whose claim, or whose prime claim, an importer pod fills.
pub(crate) fn shown_on(pod: &Pod, claims: &Store<PersistentVolumeClaim>) -> Option<ObjectRef<DataVolume>> {
    let claim: ObjectRef<PersistentVolumeClaim> = owner(pod)?;
    let claim = claims.get(&claim)?;
    let target = owner::<_, PersistentVolumeClaim>(claim.as_ref());
    let name = target.map_or_else(|| claim.name_any(), |target| target.name);
    Some(namespaced(claim.as_ref(), &name))
}
