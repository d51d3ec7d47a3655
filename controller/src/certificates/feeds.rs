//! Watches of what certificates are kept in and told to, one for each object: so the right to watch can be narrowed to these.

use std::fmt::Debug;
use std::sync::Arc;

use api::rights::{MUTATING_WEBHOOKS, VALIDATING_WEBHOOKS};
use futures::stream::{BoxStream, SelectAll, select_all};
use futures::{FutureExt, StreamExt};
use k8s_openapi::api::admissionregistration::v1::{MutatingWebhookConfiguration, ValidatingWebhookConfiguration};
use k8s_openapi::api::core::v1::{ConfigMap, Secret};
use kube::api::Api;
use kube::core::ClusterResourceScope;
use kube::runtime::reflector::{self, Store};
use kube::runtime::{WatchStreamExt, watcher};
use kube::{Client, Resource};
use serde::de::DeserializeOwned;

use super::{BUNDLE, SERVER, SIGNER};

/// The caches.
pub(crate) struct Feeds {
    pub(crate) signer: One<Secret>,
    pub(crate) bundle: One<ConfigMap>,
    pub(crate) server: One<Secret>,
    pub(crate) validating: Vec<One<ValidatingWebhookConfiguration>>,
    pub(crate) mutating: Vec<One<MutatingWebhookConfiguration>>,
}

/// A cache of one object.
pub(crate) struct One<K: Resource<DynamicType = ()> + Clone + 'static>(Store<K>);

/// One item for each change. The caches are filled while it is asked for the next.
pub(crate) type Changes = SelectAll<BoxStream<'static, ()>>;

impl Feeds {
    /// Caches that are still empty, and what fills them.
    pub(crate) fn begin(client: &Client, namespace: &str) -> (Self, Changes) {
        let mut changes = Vec::new();
        let secrets = Api::namespaced(client.clone(), namespace);
        let feeds = Self {
            signer: follow(&secrets, SIGNER, &mut changes),
            server: follow(&secrets, SERVER, &mut changes),
            bundle: follow(&Api::namespaced(client.clone(), namespace), BUNDLE, &mut changes),
            validating: follow_all(client, VALIDATING_WEBHOOKS, &mut changes),
            mutating: follow_all(client, MUTATING_WEBHOOKS, &mut changes),
        };
        (feeds, select_all(changes))
    }

    /// Whether everything was looked for once.
    pub(crate) fn are_filled(&self) -> bool {
        self.signer.is_filled()
            && self.server.is_filled()
            && self.bundle.is_filled()
            && self.validating.iter().all(One::is_filled)
            && self.mutating.iter().all(One::is_filled)
    }
}

impl<K: Resource<DynamicType = ()> + Clone + 'static> One<K> {
    /// The object, if there is one.
    pub(crate) fn get(&self) -> Option<Arc<K>> {
        self.0.state().into_iter().next()
    }

    fn is_filled(&self) -> bool {
        self.0.wait_until_ready().now_or_never().is_some()
    }
}

fn follow_all<K>(client: &Client, names: &[&str], changes: &mut Vec<BoxStream<'static, ()>>) -> Vec<One<K>>
where
    K: Resource<DynamicType = (), Scope = ClusterResourceScope>
        + Clone
        + DeserializeOwned
        + Debug
        + Send
        + Sync
        + 'static,
{
    let api = Api::all(client.clone());
    names.iter().map(|name| follow(&api, name, changes)).collect()
}

fn follow<K>(api: &Api<K>, name: &str, changes: &mut Vec<BoxStream<'static, ()>>) -> One<K>
where
    K: Resource<DynamicType = ()> + Clone + DeserializeOwned + Debug + Send + Sync + 'static,
{
    let only = watcher::Config::default().fields(&format!("metadata.name={name}")).streaming_lists();
    let events = watcher(api.clone(), only).default_backoff().modify(|object| object.meta_mut().managed_fields = None);
    let (store, writer) = reflector::store();
    let events = reflector::reflector(writer, events).map(|event| {
        if let Err(error) = event {
            tracing::warn!(kind = %K::kind(&()), %error, "the watch broke and is taken up again");
        }
    });
    changes.push(events.boxed());
    One(store)
}
