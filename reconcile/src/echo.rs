//! What a reconcile has written and the caches do not show yet.
//!
//! ```text
//! reconcile of X --Writer--> Writes --> Owed, until X is looked at again
//!                 Watch<K> --shown--> Echoes --heard--> that begins
//! ```
//!
//! The watch's word of a first write wakes an object before that of a second one is there. A reconcile that began in between
//! would decide again what has been decided, and ask the API server for it once more.

use std::any::TypeId;
use std::cell::RefCell;
use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::timeout;

/// A watch that broke may never tell of a write whose object has gone since.
const LONGEST: Duration = Duration::from_secs(1);

/// The newest version of each kind that something wrote. Resource versions of a kind are compared as numbers, which is what they
/// are (KEP-5504); others are left out.
#[derive(Debug, Default)]
pub(crate) struct Writes(HashMap<TypeId, u64>);

tokio::task_local! {
    static WRITES: RefCell<Writes>;
}

/// The reconcile that this is part of, if it is part of one, has written this version of an object.
pub(crate) fn wrote<K: 'static>(version: Option<&str>) {
    let Some(version) = number(version) else { return };
    // Outside of reconciles nobody waits.
    let _ = WRITES.try_with(|writes| {
        let mut writes = writes.borrow_mut();
        let newest = writes.0.entry(TypeId::of::<K>()).or_default();
        *newest = version.max(*newest);
    });
}

/// What a reconcile comes to, and what it has written.
pub(crate) async fn noted<T>(reconcile: impl Future<Output = T>) -> (T, Writes) {
    let noted = async {
        let ended = reconcile.await;
        (ended, WRITES.with(RefCell::take))
    };
    WRITES.scope(RefCell::default(), noted).await
}

/// What caches show, by kind.
#[derive(Clone, Default)]
pub struct Echoes(Arc<Mutex<HashMap<TypeId, watch::Sender<u64>>>>);

/// Where the watch of a kind says what its cache shows.
pub(crate) struct Shown(watch::Sender<u64>);

impl Shown {
    /// The cache shows all that happened to its kind up to this version.
    pub(crate) fn up_to(&self, version: Option<&str>) {
        if let Some(version) = number(version) {
            self.0.send_if_modified(|shown| std::mem::replace(shown, version.max(*shown)) < version);
        }
    }
}

impl Echoes {
    /// The cache of this kind will say what it shows; those of others are not waited for.
    pub(crate) fn of<K: 'static>(&self) -> Shown {
        let mut kinds = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        Shown(kinds.entry(TypeId::of::<K>()).or_default().clone())
    }

    /// Waits until the caches show all of this, or for a second.
    pub(crate) async fn heard(&self, writes: Writes) {
        let all = async {
            for (version, mut shown) in self.awaited(&writes) {
                // The other end is kept here: it does not go.
                let _ = shown.wait_for(|shown| *shown >= version).await;
            }
        };
        let _ = timeout(LONGEST, all).await;
    }

    /// The versions that are not shown yet, and where each will be.
    fn awaited(&self, writes: &Writes) -> Vec<(u64, watch::Receiver<u64>)> {
        let kinds = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let known = writes.0.iter().filter_map(|(kind, version)| Some((*version, kinds.get(kind)?.subscribe())));
        known.filter(|(version, shown)| *shown.borrow() < *version).collect()
    }
}

/// What reconciles have written that are over, by their objects, until it is shown.
pub(crate) struct Owed<T>(Mutex<HashMap<T, Writes>>);

impl<T> Default for Owed<T> {
    fn default() -> Self {
        Self(Mutex::default())
    }
}

impl<T: Eq + Hash> Owed<T> {
    /// The last reconcile of an object has written this.
    pub(crate) fn put(&self, object: T, writes: Writes, echoes: &Echoes) {
        let mut owed = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        // An object that nothing wakes again is not heard of.
        owed.retain(|_, writes| !echoes.awaited(writes).is_empty());
        owed.insert(object, writes);
    }

    /// What the last reconcile of an object has written.
    pub(crate) fn take(&self, object: &T) -> Writes {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(object).unwrap_or_default()
    }
}

fn number(version: Option<&str>) -> Option<u64> {
    version?.parse().ok()
}

#[cfg(test)]
mod tests {
    use futures::FutureExt;
    use k8s_openapi::api::core::v1::{ConfigMap, Secret};
    use tokio::time::Instant;

    use super::*;

    /// What a reconcile notes that writes these versions of a ConfigMap, and one of a kind that has no watch.
    async fn writes(versions: &[&str]) -> Writes {
        let reconcile = async {
            wrote::<Secret>(Some("9"));
            versions.iter().for_each(|version| wrote::<ConfigMap>(Some(version)));
        };
        noted(reconcile).await.1
    }

    #[tokio::test]
    async fn a_write_is_waited_for_until_its_cache_shows_it() {
        let echoes = Echoes::default();
        let shown = echoes.of::<ConfigMap>();
        let mut heard = std::pin::pin!(echoes.heard(writes(&["7", "6", "opaque"]).await));
        for (version, is_heard) in [(Some("6"), false), (None, false), (Some("opaque"), false), (Some("8"), true)] {
            shown.up_to(version);
            assert_eq!(heard.as_mut().now_or_never().is_some(), is_heard, "{version:?}");
        }
        // What is older than the cache has been shown.
        assert!(echoes.heard(writes(&["8"]).await).now_or_never().is_some());
    }

    #[tokio::test]
    async fn what_has_no_watch_or_no_number_is_not_waited_for() {
        let echoes = Echoes::default();
        let _shown = echoes.of::<ConfigMap>();
        assert!(echoes.heard(writes(&["opaque"]).await).now_or_never().is_some());
        // Nobody notes it.
        wrote::<ConfigMap>(Some("7"));
    }

    #[tokio::test]
    async fn an_echo_that_never_comes_is_waited_for_a_second() {
        let echoes = Echoes::default();
        let _shown = echoes.of::<ConfigMap>();
        let begin = Instant::now();
        echoes.heard(writes(&["7"]).await).await;
        assert!(begin.elapsed() >= LONGEST);
    }

    #[tokio::test]
    async fn what_is_owed_goes_to_its_object_and_is_forgotten_once_it_is_shown() {
        let (echoes, owed) = (Echoes::default(), Owed::default());
        let shown = echoes.of::<ConfigMap>();
        owed.put("a", writes(&["7"]).await, &echoes);
        assert!(echoes.heard(owed.take(&"b")).now_or_never().is_some());
        assert!(echoes.heard(owed.take(&"a")).now_or_never().is_none());
        owed.put("a", writes(&["7"]).await, &echoes);
        shown.up_to(Some("7"));
        owed.put("b", writes(&["8"]).await, &echoes);
        assert_eq!(owed.0.lock().unwrap().keys().collect::<Vec<_>>(), [&"b"]);
    }
}
