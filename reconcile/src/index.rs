//! Objects of a cache by something that is in them: what a reconcile would otherwise look for among all of them.
//!
//! ```text
//! Watch<K> --event--> Store<K>      before: the object as it was kept, if it was
//!                \--> Index<K, X>   before leaves its keys, now enters its own; after a relist all is indexed anew
//! ```
//!
//! An index follows its store within the same event, so whoever the event wakes finds both up to date.

use std::borrow::Borrow;
use std::collections::{HashMap, HashSet};
use std::hash::{Hash, Hasher};
use std::sync::{Arc, PoisonError, RwLock};

/// What a [`Watch`](crate::Watch) tells those that follow its cache.
pub(crate) trait Follow<K>: Send + Sync {
    /// The cache had `before` and has `now` in its place.
    fn changed(&self, before: Option<&Arc<K>>, now: Option<&Arc<K>>);
    /// The cache had the objects `before` and has `all` in their place.
    fn replaced(&self, before: &[Arc<K>], all: &[Arc<K>]);
}

/// Objects of the kind `K` by keys of the type `X`.
pub struct Index<K, X> {
    keys: Arc<Keys<K, X>>,
    entries: Arc<RwLock<Entries<K, X>>>,
}

type Keys<K, X> = dyn Fn(&K) -> Vec<X> + Send + Sync;
type Entries<K, X> = HashMap<X, HashSet<Same<K>>>;

impl<K, X> Clone for Index<K, X> {
    fn clone(&self) -> Self {
        Self { keys: Arc::clone(&self.keys), entries: Arc::clone(&self.entries) }
    }
}

impl<K, X: Eq + Hash> Index<K, X> {
    /// An empty index by what `keys` finds in an object.
    pub(crate) fn new<I: IntoIterator<Item = X>>(keys: impl Fn(&K) -> I + Send + Sync + 'static) -> Self {
        Self { keys: Arc::new(move |object| keys(object).into_iter().collect()), entries: Arc::default() }
    }

    /// The objects that have this key, in no order.
    #[must_use]
    pub fn get<Q>(&self, key: &Q) -> Vec<Arc<K>>
    where
        X: Borrow<Q>,
        Q: Eq + Hash + ?Sized,
    {
        let entries = self.entries.read().unwrap_or_else(PoisonError::into_inner);
        entries.get(key).into_iter().flatten().map(|object| Arc::clone(&object.0)).collect()
    }
}

impl<K: Send + Sync, X: Eq + Hash + Send + Sync> Follow<K> for Index<K, X> {
    fn changed(&self, before: Option<&Arc<K>>, now: Option<&Arc<K>>) {
        let mut entries = self.entries.write().unwrap_or_else(PoisonError::into_inner);
        if let Some(before) = before {
            (self.keys)(before).iter().for_each(|key| leave(&mut entries, key, before));
        }
        if let Some(now) = now {
            (self.keys)(now).into_iter().for_each(|key| enter(&mut entries, key, now));
        }
    }

    fn replaced(&self, _: &[Arc<K>], all: &[Arc<K>]) {
        let mut entries = Entries::new();
        for object in all {
            (self.keys)(object).into_iter().for_each(|key| enter(&mut entries, key, object));
        }
        *self.entries.write().unwrap_or_else(PoisonError::into_inner) = entries;
    }
}

fn enter<K, X: Eq + Hash>(entries: &mut Entries<K, X>, key: X, object: &Arc<K>) {
    entries.entry(key).or_default().insert(Same(Arc::clone(object)));
}

/// A key that nothing has any more goes, too: most keys are names, and names come and go.
fn leave<K, X: Eq + Hash>(entries: &mut Entries<K, X>, key: &X, object: &Arc<K>) {
    if let Some(objects) = entries.get_mut(key) {
        objects.remove(&Same(Arc::clone(object)));
        if objects.is_empty() {
            entries.remove(key);
        }
    }
}

/// An object that is equal to itself only: each version in a cache has a place of its own.
struct Same<K>(Arc<K>);

impl<K> PartialEq for Same<K> {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

impl<K> Eq for Same<K> {}

impl<K> Hash for Same<K> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        Arc::as_ptr(&self.0).hash(state);
    }
}

#[cfg(test)]
mod tests {
    use k8s_openapi::api::core::v1::ConfigMap;
    use kube::ResourceExt;
    use kube::core::ObjectMeta;
    use kube::runtime::watcher::Event;

    use super::*;
    use crate::Watch;

    /// A map whose keys are words of its label.
    fn object(name: &str, words: &str) -> ConfigMap {
        let labels = [("words".to_owned(), words.to_owned())].into();
        let metadata = ObjectMeta { name: Some(name.into()), labels: Some(labels), ..ObjectMeta::default() };
        ConfigMap { metadata, ..ConfigMap::default() }
    }

    fn words(object: &ConfigMap) -> Vec<String> {
        object.labels()["words"].split_whitespace().map(str::to_owned).collect()
    }

    fn names(index: &Index<ConfigMap, String>, key: &str) -> Vec<String> {
        let mut names: Vec<_> = index.get(key).iter().map(|object| object.name_any()).collect();
        names.sort();
        names
    }

    #[test]
    fn an_object_is_found_by_each_of_its_keys_for_as_long_as_it_has_them() {
        let mut watch = Watch::<ConfigMap>::default();
        let index = watch.index(words);
        watch.take(Event::Apply(object("one", "red blue")));
        watch.take(Event::Apply(object("two", "blue blue")));
        assert_eq!(
            (names(&index, "red"), names(&index, "blue")),
            (vec!["one".into()], vec!["one".into(), "two".into()])
        );
        watch.take(Event::Apply(object("one", "green")));
        assert_eq!((names(&index, "red"), names(&index, "blue")), (vec![], vec!["two".into()]));
        assert_eq!(index.get("green")[0].labels()["words"], "green", "the object as it is now");
        watch.take(Event::Delete(object("two", "blue blue")));
        assert!(names(&index, "blue").is_empty());
        assert_eq!(index.entries.read().unwrap().len(), 1, "no key is kept for nothing");
    }

    #[test]
    fn one_that_is_told_gone_with_other_keys_than_it_had_leaves_those_it_had() {
        let mut watch = Watch::<ConfigMap>::default();
        let index = watch.index(words);
        watch.take(Event::Apply(object("one", "red")));
        watch.take(Event::Delete(object("one", "blue")));
        assert!(index.entries.read().unwrap().is_empty());
        watch.take(Event::Delete(object("never", "red")));
        assert!(index.entries.read().unwrap().is_empty());
    }

    #[test]
    fn until_a_relist_is_complete_the_index_is_as_before_and_then_has_nothing_of_it() {
        let mut watch = Watch::<ConfigMap>::default();
        let index = watch.index(words);
        for event in [Event::Init, Event::InitApply(object("one", "red")), Event::InitApply(object("two", "red"))] {
            watch.take(event);
            assert!(names(&index, "red").is_empty());
        }
        watch.take(Event::InitDone);
        assert_eq!(names(&index, "red"), ["one", "two"]);
        watch.take(Event::Init);
        watch.take(Event::InitApply(object("two", "blue")));
        assert_eq!(names(&index, "red"), ["one", "two"]);
        watch.take(Event::InitDone);
        assert_eq!((names(&index, "red"), names(&index, "blue")), (vec![], vec!["two".to_owned()]));
        watch.take(Event::Apply(object("two", "")));
        assert!(index.entries.read().unwrap().is_empty(), "what a relist brought goes like anything else");
    }

    #[test]
    fn an_index_has_the_very_objects_of_the_cache() {
        let mut watch = Watch::<ConfigMap>::default();
        let (index, store) = (watch.index(words), watch.store());
        watch.take(Event::Apply(object("one", "red")));
        assert!(Arc::ptr_eq(&index.get("red")[0], &store.state()[0]));
    }
}
