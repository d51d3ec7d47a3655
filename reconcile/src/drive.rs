//! The driver of one controller: takes objects from its queue and reconciles each, several at a time, none twice at a time.

use std::collections::HashMap;
use std::fmt::Debug;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use futures::StreamExt;
use kube::Resource;
use kube::runtime::applier;
use kube::runtime::controller::{self, Action, Config};
use kube::runtime::reflector::{ObjectRef, Store};

use crate::echo::{Echoes, Owed, noted};
use crate::{Error, Metrics, Queue};

/// Reconciles at a time, as in CDI's controllers.
const CONCURRENCY: u16 = 3;
/// The first and the longest delay before an object that failed is looked at again.
const FIRST_DELAY: Duration = Duration::from_millis(500);
const LONGEST_DELAY: Duration = Duration::from_secs(60);

/// Delays after failures in a row, by object.
struct Delays<T: Resource<DynamicType = ()> + 'static>(Mutex<HashMap<ObjectRef<T>, (u32, Instant)>>);

impl<T: Resource<DynamicType = ()> + 'static> Delays<T> {
    fn next(&self, object: ObjectRef<T>) -> Duration {
        let mut delays = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        // An object that went is not heard of again.
        delays.retain(|_, (_, last)| last.elapsed() < 2 * LONGEST_DELAY);
        let entry = delays.entry(object).or_insert((0, now()));
        let delay = FIRST_DELAY.saturating_mul(1 << entry.0.min(10)).min(LONGEST_DELAY);
        *entry = (entry.0 + 1, now());
        delay
    }

    fn forget(&self, object: &ObjectRef<T>) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(object);
    }
}

fn now() -> Instant {
    Instant::now()
}

/// Drives the controllers of a process.
pub struct Driver {
    /// Where it counts what they do.
    pub metrics: Metrics,
    /// What caches show: a reconcile begins when that has all that the last one of its object wrote.
    pub echoes: Echoes,
}

impl Driver {
    /// Runs the controller called `name` until dropped: first on every object of its cache, then on those that are woken.
    ///
    /// # Cancellation
    /// A reconcile that is cut short is taken up by the next process, which looks at every object first.
    pub async fn drive<T, C, F>(
        &self,
        name: &'static str,
        queue: Queue<T>,
        store: Store<T>,
        reconcile: impl Fn(Arc<T>, Arc<C>) -> F,
        context: Arc<C>,
    ) where
        T: Resource<DynamicType = ()> + Clone + Debug + Send + Sync + 'static,
        C: Send + Sync + 'static,
        F: Future<Output = Result<Action, Error>> + Send + 'static,
    {
        let delays = Arc::new(Delays(Mutex::new(HashMap::new())));
        let on_failure = {
            let (delays, metrics) = (Arc::clone(&delays), self.metrics.clone());
            move |object: Arc<T>, error: &Error, _: Arc<C>| {
                let object = ObjectRef::from_obj(object.as_ref());
                let delay = delays.next(object.clone());
                metrics.failed(name);
                tracing::warn!(controller = name, %object, error = %Chain(error), delay = delay.as_secs_f64(), "reconcile failed");
                Action::requeue(delay)
            }
        };
        let handle = queue.handle();
        let config = Config::default().concurrency(CONCURRENCY).debounce(queue.debounce);
        let requests = queue.open(self.metrics.depth(name));
        store.state().iter().for_each(|object| handle.wake(ObjectRef::from_obj(object.as_ref())));
        let (begin, cache, owed) = (handle.clone(), store.clone(), Owed::default());
        let done = applier(
            |object: Arc<T>, context: Arc<C>| {
                let (begin, cache, owed, reconcile) = (&begin, &cache, &owed, &reconcile);
                Box::pin(async move {
                    let name = ObjectRef::from_obj(object.as_ref());
                    self.echoes.heard(owed.take(&name)).await;
                    begin.begin(&name);
                    let Some(object) = cache.get(&name) else { return Ok(Action::await_change()) };
                    let (ended, writes) = noted(reconcile(object, context)).await;
                    owed.put(name, writes, &self.echoes);
                    ended
                })
            },
            on_failure,
            context,
            store,
            requests,
            config,
        );
        let mut done = std::pin::pin!(done);
        while let Some(outcome) = done.next().await {
            match outcome {
                Ok((object, _)) => {
                    delays.forget(&object);
                    self.metrics.reconciled(name);
                }
                Err(controller::Error::ObjectNotFound(object)) => {
                    let named = ObjectRef::new(&object.name);
                    handle.begin(&match &object.namespace {
                        Some(namespace) => named.within(namespace),
                        None => named,
                    });
                }
                // The failure of a reconcile, which is told where it is delayed.
                Err(_) => {}
            }
        }
    }
}

/// An error with its causes.
struct Chain<'a>(&'a dyn std::error::Error);

impl std::fmt::Display for Chain<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}", self.0)?;
        let mut cause = self.0.source();
        let mut said = self.0.to_string();
        while let Some(error) = cause {
            let text = error.to_string();
            // Some libraries repeat the cause in their own words.
            if !said.contains(&text) {
                write!(f, ": {text}")?;
            }
            said = text;
            cause = error.source();
        }
        Ok(())
    }
}
