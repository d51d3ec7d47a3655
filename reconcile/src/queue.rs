//! Objects of one controller that have to be looked at.
//!
//! ```text
//! closed --drive--> open      every object of the cache is in it; from now on those that are woken
//! ```
//!
//! A replica that does not lead has its queues closed: nothing gathers in them that nobody takes out.

use std::collections::HashSet;
use std::convert::Infallible;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures::channel::mpsc;
use futures::{Stream, StreamExt};
use kube::Resource;
use kube::runtime::controller::{ReconcileReason, ReconcileRequest};
use kube::runtime::reflector::ObjectRef;
use prometheus_client::metrics::gauge::Gauge;

/// Changes that come together are looked at together.
const DEBOUNCE: Duration = Duration::from_millis(30);

/// A queue that nobody works on yet.
pub struct Queue<T: Resource<DynamicType = ()> + 'static> {
    /// How long an object has to be left alone before it is looked at.
    pub(crate) debounce: Duration,
    handle: Handle<T>,
    receiver: mpsc::UnboundedReceiver<ObjectRef<T>>,
}

/// Wakes objects of one controller.
pub struct Handle<T: Resource<DynamicType = ()> + 'static> {
    sender: mpsc::UnboundedSender<ObjectRef<T>>,
    waiting: Arc<Mutex<Option<Waiting<T>>>>,
}

/// Objects whose reconcile has not begun since they were woken, each once however often that was.
struct Waiting<T: Resource<DynamicType = ()> + 'static> {
    objects: HashSet<ObjectRef<T>>,
    depth: Gauge,
}

impl<T: Resource<DynamicType = ()> + 'static> Default for Queue<T> {
    fn default() -> Self {
        Self::patient(DEBOUNCE)
    }
}

impl<T: Resource<DynamicType = ()> + 'static> Queue<T> {
    /// A queue whose objects are looked at when nobody has woken them for so long: of several steps that follow one another, only
    /// the last is seen.
    #[must_use]
    pub fn patient(debounce: Duration) -> Self {
        let (sender, receiver) = mpsc::unbounded();
        Self { debounce, handle: Handle { sender, waiting: Arc::default() }, receiver }
    }

    /// The end that objects are put into.
    #[must_use]
    pub fn handle(&self) -> Handle<T> {
        self.handle.clone()
    }

    /// From now on objects wait in it; `depth` says how many. Returned is where they come out: one may come out several times for
    /// one reconcile, which `kube::runtime::applier` sees to.
    pub(crate) fn open(self, depth: Gauge) -> impl Stream<Item = Result<ReconcileRequest<T>, Infallible>> + Send {
        *self.handle.waiting() = Some(Waiting { objects: HashSet::new(), depth });
        self.receiver.map(|object| Ok(ReconcileRequest { obj_ref: object, reason: ReconcileReason::Unknown }))
    }
}

impl<T: Resource<DynamicType = ()> + 'static> Clone for Handle<T> {
    fn clone(&self) -> Self {
        Self { sender: self.sender.clone(), waiting: Arc::clone(&self.waiting) }
    }
}

impl<T: Resource<DynamicType = ()> + 'static> Handle<T> {
    /// Has the object looked at soon, if somebody works on the queue. One that is not in the cache is left out.
    pub fn wake(&self, object: ObjectRef<T>) {
        if let Some(waiting) = self.waiting().as_mut() {
            waiting.objects.insert(object.clone());
            waiting.count();
            // The queue ends with the process only.
            let _ = self.sender.unbounded_send(object);
        }
    }

    /// The object waits no more: its reconcile begins, or there is none to begin.
    pub(crate) fn begin(&self, object: &ObjectRef<T>) {
        if let Some(waiting) = self.waiting().as_mut() {
            waiting.objects.remove(object);
            waiting.count();
        }
    }

    fn waiting(&self) -> MutexGuard<'_, Option<Waiting<T>>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<T: Resource<DynamicType = ()> + 'static> Waiting<T> {
    fn count(&self) {
        self.depth.set(i64::try_from(self.objects.len()).unwrap_or(i64::MAX));
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt;
    use k8s_openapi::api::core::v1::ConfigMap;

    use super::*;

    fn object(name: &str) -> ObjectRef<ConfigMap> {
        ObjectRef::new(name).within("home")
    }

    #[test]
    fn nothing_gathers_in_a_queue_that_nobody_works_on() {
        let queue = Queue::<ConfigMap>::default();
        let (handle, depth) = (queue.handle(), Gauge::default());
        handle.wake(object("before"));
        let mut requests = std::pin::pin!(queue.open(depth.clone()));
        assert!(requests.next().now_or_never().is_none());
        handle.wake(object("after"));
        let Some(Some(Ok(request))) = requests.next().now_or_never() else { unreachable!("one was woken") };
        assert_eq!((request.obj_ref, depth.get()), (object("after"), 1));
    }

    #[test]
    fn the_depth_counts_an_object_once_until_its_reconcile_begins() {
        let queue = Queue::<ConfigMap>::default();
        let (handle, depth) = (queue.handle(), Gauge::default());
        let _requests = queue.open(depth.clone());
        for name in ["one", "two", "one"] {
            handle.wake(object(name));
        }
        assert_eq!(depth.get(), 2);
        handle.begin(&object("one"));
        handle.begin(&object("one"));
        assert_eq!(depth.get(), 1);
        handle.wake(object("one"));
        assert_eq!(depth.get(), 2);
    }
}
