//! One watch of one kind: fills the cache, then tells the queues which objects to look at.

use std::fmt::Debug;
use std::hash::Hash;
use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt;
use kube::Resource;
use kube::api::{Api, ObjectMeta};
use kube::runtime::reflector::store::Writer;
use kube::runtime::reflector::{Lookup, ObjectRef, Store};
use kube::runtime::{WatchStreamExt, watcher};
use serde::de::DeserializeOwned;

use crate::Queue;
use crate::departed::Departed;
use crate::echo::{Echoes, Shown};
use crate::index::{Follow, Index};

/// kubectl's memory of what was applied is as large as the object and says nothing to a controller.
const LAST_APPLIED: &str = "kubectl.kubernetes.io/last-applied-configuration";

type Route<K> = Box<dyn Fn(&K) + Send + Sync>;
type Trim<K> = Box<dyn Fn(&mut K) + Send + Sync>;

/// A watch that is not running yet.
pub struct Watch<K>
where
    K: Resource + Clone + 'static,
    K::DynamicType: Eq + Hash + Clone,
{
    kind: K::DynamicType,
    writer: Writer<K>,
    routes: Vec<Route<K>>,
    trim: Vec<Trim<K>>,
    followers: Vec<Box<dyn Follow<K>>>,
    shown: Option<Shown>,
}

impl<K> Default for Watch<K>
where
    K: Resource<DynamicType = ()> + Clone + 'static,
{
    fn default() -> Self {
        Self::of(())
    }
}

impl<K> Watch<K>
where
    K: Resource + Clone + 'static,
    K::DynamicType: Debug + Eq + Hash + Clone,
{
    /// A watch of a kind that is known at run time only.
    #[must_use]
    pub fn of(kind: K::DynamicType) -> Self {
        Self {
            writer: Writer::new(kind.clone()),
            kind,
            routes: Vec::new(),
            trim: Vec::new(),
            followers: Vec::new(),
            shown: None,
        }
    }
}

impl<K> Watch<K>
where
    K: Resource + Clone + DeserializeOwned + Debug + Send + Sync + 'static,
    K::DynamicType: Debug + Eq + Hash + Clone + Send + Sync,
{
    /// The cache that it fills.
    #[must_use]
    pub fn store(&self) -> Store<K> {
        self.writer.as_reader()
    }

    /// What `keys` finds in an object leads to it.
    #[must_use]
    pub fn index<X, I>(&mut self, keys: impl Fn(&K) -> I + Send + Sync + 'static) -> Index<K, X>
    where
        X: Eq + Hash + Send + Sync + 'static,
        I: IntoIterator<Item = X>,
    {
        let index = Index::new(keys);
        self.followers.push(Box::new(index.clone()));
        index
    }

    /// Drops from each object what nobody reads, before it is kept.
    #[must_use]
    pub fn trimmed(mut self, trim: impl Fn(&mut K) + Send + Sync + 'static) -> Self {
        self.trim.push(Box::new(trim));
        self
    }

    /// Reconciles wait until this cache shows what this process wrote.
    #[must_use]
    pub fn echoes(mut self, echoes: &Echoes) -> Self {
        self.shown = Some(echoes.of::<K>());
        self
    }

    /// Whenever an object of this kind appears, changes or goes, the objects that `map` names are looked at.
    #[must_use]
    pub fn wakes<T, I>(mut self, queue: &Queue<T>, map: impl Fn(&K) -> I + Send + Sync + 'static) -> Self
    where
        T: Resource<DynamicType = ()> + 'static,
        I: IntoIterator<Item = ObjectRef<T>>,
    {
        let queue = queue.handle();
        self.routes.push(Box::new(move |object| map(object).into_iter().for_each(|object| queue.wake(object))));
        self
    }

    /// Watches until it is dropped. A broken watch is taken up again with a growing delay, from where it broke.
    pub async fn run(self, api: Api<K>) {
        self.run_selected(api, "").await;
    }

    /// As [`Watch::run`], of the objects only whose fields are as `fields` says, such as `reason=FailedMount`.
    pub async fn run_selected(mut self, api: Api<K>, fields: &str) {
        let events = watcher(api, watcher::Config::default().fields(fields).streaming_lists()).default_backoff();
        let mut events = std::pin::pin!(events);
        while let Some(event) = events.next().await {
            match event {
                Ok(event) => self.take(event),
                Err(error) => {
                    tracing::warn!(kind = %K::kind(&self.kind), %error, "the watch broke and is taken up again");
                    tokio::time::sleep(Duration::from_millis(100)).await;
                }
            }
        }
    }

    /// Takes one event to the cache, then to its indexes, then to the queues: who is woken finds all up to date.
    pub(crate) fn take(&mut self, mut event: watcher::Event<K>) {
        if let watcher::Event::Apply(object) | watcher::Event::InitApply(object) = &mut event {
            let metadata = object.meta_mut();
            metadata.managed_fields = None;
            if let Some(annotations) = &mut metadata.annotations {
                annotations.remove(LAST_APPLIED);
            }
            self.trim.iter().for_each(|trim| trim(object));
        }
        let store = self.store();
        match &event {
            watcher::Event::Apply(object) | watcher::Event::Delete(object) => {
                let name = object.to_object_ref(self.kind.clone());
                let before = store.get(&name);
                self.writer.apply_watcher_event(&event);
                let now = store.get(&name);
                self.followers.iter().for_each(|follower| follower.changed(before.as_ref(), now.as_ref()));
                self.show([object.meta()]);
                self.tell(object);
            }
            watcher::Event::InitDone => {
                // What went while the watch was broken is only known by comparing.
                let before = store.state();
                self.writer.apply_watcher_event(&event);
                let all = store.state();
                self.followers.iter().for_each(|follower| follower.replaced(&before, &all));
                self.show(all.iter().map(|object| object.meta()));
                self.tell_all(&before, &all);
            }
            watcher::Event::Init | watcher::Event::InitApply(_) => self.writer.apply_watcher_event(&event),
        }
    }

    fn show<'a>(&self, objects: impl IntoIterator<Item = &'a ObjectMeta>) {
        let Some(shown) = &self.shown else { return };
        objects.into_iter().for_each(|object| shown.up_to(object.resource_version.as_deref()));
    }

    fn tell(&self, object: &K) {
        self.routes.iter().for_each(|route| route(object));
    }

    fn tell_all(&self, before: &[Arc<K>], all: &[Arc<K>]) {
        let store = self.store();
        all.iter().for_each(|object| self.tell(object));
        let is_gone = |object: &&Arc<K>| store.get(&object.to_object_ref(self.kind.clone())).is_none();
        before.iter().filter(is_gone).for_each(|object| self.tell(object));
    }
}

impl<K> Watch<K>
where
    K: Resource<DynamicType = ()> + Clone + DeserializeOwned + Debug + Send + Sync + 'static,
{
    /// Objects that have gone, as they were, for as long as they matter.
    #[must_use]
    pub fn departed(&mut self, matters: impl Fn(&K) -> bool + Send + Sync + 'static) -> Departed<K> {
        let departed = Departed::new(matters);
        self.followers.push(Box::new(departed.clone()));
        departed
    }

    /// As [`Watch::wakes`], for the objects of this kind themselves.
    #[must_use]
    pub fn wakes_itself(self, queue: &Queue<K>) -> Self {
        self.wakes(queue, |object| [ObjectRef::from_obj(object)])
    }
}
