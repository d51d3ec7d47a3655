//! The kinds that only the CDIConfig depends on, each with a watch of its own. OpenShift's are looked for once; where they
//! are absent nothing waits for them.

use api::cdi::CdiConfig;
use futures::future::{BoxFuture, FutureExt, join_all};
use k8s_openapi::api::core::v1::ConfigMap;
use k8s_openapi::api::networking::v1::Ingress;
use kube::api::Api;
use kube::core::GroupVersionKind;
use kube::error::DiscoveryError;
use kube::runtime::reflector::Store;
use kube::{Client, Error, Resource, discovery};
use reconcile::{Queue, Watch};
use serde::de::DeserializeOwned;

use super::authorities;
use super::openshift::{Proxy, Route};

/// What is known of ways to the upload proxy and of the cluster's own proxy.
pub(crate) struct Feeds {
    /// Ingresses of the product's namespace.
    pub(crate) ingresses: Store<Ingress>,
    /// Routes of the product's namespace, on OpenShift.
    pub(crate) routes: Option<Store<Route>>,
    /// Proxies of the cluster, on OpenShift.
    pub(crate) proxies: Option<Store<Proxy>>,
    /// Certificate authorities of the cluster's proxy, on OpenShift.
    pub(crate) authorities: Option<Store<ConfigMap>>,
}

impl Feeds {
    /// The caches, and the watches that fill them and wake the CDIConfig: to be run until the process ends.
    ///
    /// # Errors
    /// When the API server cannot say whether it has OpenShift's kinds.
    pub(crate) async fn begin(
        client: &Client,
        namespace: &str,
        queue: &Queue<CdiConfig>,
    ) -> Result<(Self, BoxFuture<'static, ()>), Error> {
        let ingresses = watch::<Ingress>(queue);
        let routes = is_there::<Route>(client).await?.then(|| watch::<Route>(queue));
        let proxies = is_there::<Proxy>(client).await?.then(|| watch::<Proxy>(queue));
        let authorities = proxies.is_some().then(|| watch::<ConfigMap>(queue));
        let feeds = Self {
            ingresses: ingresses.store(),
            routes: routes.as_ref().map(Watch::store),
            proxies: proxies.as_ref().map(Watch::store),
            authorities: authorities.as_ref().map(Watch::store),
        };
        let bundle = format!("metadata.name={}", authorities::BUNDLE);
        let running = [
            Some(ingresses.run(Api::namespaced(client.clone(), namespace)).boxed()),
            routes.map(|watch| watch.run(Api::namespaced(client.clone(), namespace)).boxed()),
            proxies.map(|watch| watch.run(Api::all(client.clone())).boxed()),
            authorities.map(|watch| {
                let place = Api::namespaced(client.clone(), authorities::NAMESPACE);
                async move { watch.run_selected(place, &bundle).await }.boxed()
            }),
        ];
        Ok((feeds, join_all(running.into_iter().flatten()).map(drop).boxed()))
    }

    /// Waits until all is known; before that a status would say too little.
    pub(crate) async fn filled(&self) {
        filled(Some(&self.ingresses)).await;
        filled(self.routes.as_ref()).await;
        filled(self.proxies.as_ref()).await;
        filled(self.authorities.as_ref()).await;
    }
}

fn watch<K>(queue: &Queue<CdiConfig>) -> Watch<K>
where
    K: Resource<DynamicType = ()> + Clone + DeserializeOwned + std::fmt::Debug + Send + Sync + 'static,
{
    Watch::default().wakes(queue, |_| [super::only()])
}

async fn filled<K>(store: Option<&Store<K>>)
where
    K: Resource<DynamicType = ()> + Clone + 'static,
{
    // The writer goes only when the process ends.
    if let Some(store) = store {
        let _ = store.wait_until_ready().await;
    }
}

/// Whether the API server has this kind.
async fn is_there<K: Resource<DynamicType = ()>>(client: &Client) -> Result<bool, Error> {
    let kind = GroupVersionKind::gvk(&K::group(&()), &K::version(&()), &K::kind(&()));
    match discovery::pinned_kind(client, &kind).await {
        Ok(_) => Ok(true),
        Err(Error::Discovery(DiscoveryError::MissingKind(_) | DiscoveryError::MissingApiGroup(_))) => Ok(false),
        // A group that is not there is answered with a text, not with a status.
        Err(Error::Api(status)) if status.code == 404 => Ok(false),
        Err(error) => Err(error),
    }
}
