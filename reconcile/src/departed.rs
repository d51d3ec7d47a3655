//! What objects were when they went, where that is still of use: the last word of one may come in the moment it goes.

use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock};

use kube::Resource;
use kube::runtime::reflector::ObjectRef;

use crate::index::Follow;

/// Objects of the kind `K` that have gone from a cache, by their names.
pub struct Departed<K: Resource<DynamicType = ()>> {
    matters: Arc<Matters<K>>,
    kept: Arc<RwLock<HashMap<ObjectRef<K>, Arc<K>>>>,
}

type Matters<K> = dyn Fn(&K) -> bool + Send + Sync;

impl<K: Resource<DynamicType = ()>> Clone for Departed<K> {
    fn clone(&self) -> Self {
        Self { matters: Arc::clone(&self.matters), kept: Arc::clone(&self.kept) }
    }
}

impl<K: Resource<DynamicType = ()>> Departed<K> {
    /// Keeps those only, and for as long only, of which `matters` is true.
    pub(crate) fn new(matters: impl Fn(&K) -> bool + Send + Sync + 'static) -> Self {
        Self { matters: Arc::new(matters), kept: Arc::default() }
    }

    /// The last of this name, unless there is one again.
    #[must_use]
    pub fn get(&self, name: &ObjectRef<K>) -> Option<Arc<K>> {
        let kept = self.kept.read().unwrap_or_else(PoisonError::into_inner);
        kept.get(name).filter(|object| (self.matters)(object)).cloned()
    }

    fn keep(&self, object: &Arc<K>) {
        let mut kept = self.kept.write().unwrap_or_else(PoisonError::into_inner);
        kept.insert(ObjectRef::from_obj(object.as_ref()), Arc::clone(object));
        kept.retain(|_, object| (self.matters)(object));
    }

    fn forget(&self, object: &K) {
        self.kept.write().unwrap_or_else(PoisonError::into_inner).remove(&ObjectRef::from_obj(object));
    }
}

impl<K: Resource<DynamicType = ()> + Send + Sync> Follow<K> for Departed<K> {
    fn changed(&self, before: Option<&Arc<K>>, now: Option<&Arc<K>>) {
        match (before, now) {
            (_, Some(now)) => self.forget(now),
            (Some(before), None) => self.keep(before),
            (None, None) => {}
        }
    }

    fn replaced(&self, before: &[Arc<K>], all: &[Arc<K>]) {
        before.iter().for_each(|object| self.keep(object));
        all.iter().for_each(|object| self.forget(object));
    }
}

#[cfg(test)]
mod tests {
    use k8s_openapi::api::core::v1::ConfigMap;
    use kube::core::ObjectMeta;
    use kube::runtime::watcher::Event;

    use super::*;
    use crate::Watch;

    fn object(name: &str, version: &str) -> ConfigMap {
        let data = [("version".to_owned(), version.to_owned())].into();
        let metadata = ObjectMeta { name: Some(name.into()), ..ObjectMeta::default() };
        ConfigMap { metadata, data: Some(data), ..ConfigMap::default() }
    }

    fn version(object: &ConfigMap) -> &str {
        &object.data.as_ref().unwrap()["version"]
    }

    fn found(departed: &Departed<ConfigMap>, name: &str) -> Option<String> {
        departed.get(&ObjectRef::new(name)).map(|object| version(&object).to_owned())
    }

    #[test]
    fn what_has_gone_is_known_as_it_was_until_there_is_one_again() {
        let mut watch = Watch::<ConfigMap>::default();
        let departed = watch.departed(|_| true);
        watch.take(Event::Apply(object("one", "1")));
        watch.take(Event::Apply(object("one", "2")));
        assert_eq!(found(&departed, "one"), None);
        watch.take(Event::Delete(object("one", "2")));
        assert_eq!(found(&departed, "one"), Some("2".into()));
        watch.take(Event::Apply(object("one", "3")));
        assert_eq!(found(&departed, "one"), None);
        watch.take(Event::Delete(object("never", "1")));
        assert_eq!(found(&departed, "never"), None, "nothing is known of what was never seen");
    }

    #[test]
    fn what_went_while_the_watch_was_broken_is_known_too() {
        let mut watch = Watch::<ConfigMap>::default();
        let departed = watch.departed(|_| true);
        for name in ["gone", "stays"] {
            watch.take(Event::Apply(object(name, "1")));
        }
        for event in [Event::Init, Event::InitApply(object("stays", "2")), Event::InitDone] {
            watch.take(event);
        }
        assert_eq!((found(&departed, "gone"), found(&departed, "stays")), (Some("1".into()), None));
    }

    #[test]
    fn what_does_not_matter_or_no_longer_does_is_forgotten() {
        let mut watch = Watch::<ConfigMap>::default();
        let over = Arc::new(RwLock::new(false));
        let is_over = Arc::clone(&over);
        let departed = watch.departed(move |object| version(object) == "2" && !*is_over.read().unwrap());
        for (name, version) in [("one", "1"), ("two", "2")] {
            watch.take(Event::Apply(object(name, version)));
            watch.take(Event::Delete(object(name, version)));
        }
        assert_eq!((found(&departed, "one"), found(&departed, "two")), (None, Some("2".into())));
        *over.write().unwrap() = true;
        assert_eq!(found(&departed, "two"), None);
        watch.take(Event::Apply(object("three", "1")));
        watch.take(Event::Delete(object("three", "1")));
        assert!(departed.kept.read().unwrap().is_empty(), "nothing is kept for nothing");
    }

    #[test]
    fn a_successor_that_went_without_a_word_takes_its_predecessors_with_it() {
        let mut watch = Watch::<ConfigMap>::default();
        let departed = watch.departed(|object| version(object) == "done");
        for version in ["done", "begun"] {
            watch.take(Event::Apply(object("one", version)));
            watch.take(Event::Delete(object("one", version)));
        }
        assert_eq!(found(&departed, "one"), None);
    }
}
