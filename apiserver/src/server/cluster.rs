//! Reads a real cluster: what is looked at for every claim comes from watches, the rest is asked for when it is needed.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use api::cdi::{CdiConfig, StorageProfile};
use api::volume::Volume;
use k8s_openapi::api::core::v1::PersistentVolumeClaim;
use k8s_openapi::api::storage::v1::StorageClass;
use kube::api::{Api, ListParams, ObjectList, PartialObjectMeta};
use kube::core::{ApiResource, DynamicObject, GroupVersionKind};
use kube::runtime::reflector::Store;
use kube::{Client, ResourceExt};
use reconcile::Watch;
use tracing::info;

use super::facts::{Facts, Objects, Storage, Unread};
use crate::admission::Count;

/// The API server waits 10 s for the webhook of claims, so one read may take less than that.
const PATIENCE: Duration = Duration::from_secs(5);
/// Objects are counted by their metadata, and no further than this: the number is for people.
const COUNTED: u32 = 500;
/// Name of the only CDIConfig.
const CONFIG: &str = "config";

/// The cluster that the process runs in.
pub struct Cluster {
    client: Client,
    classes: Store<StorageClass>,
    profiles: Store<StorageProfile>,
    configs: Store<CdiConfig>,
    filled: Arc<AtomicBool>,
}

impl Cluster {
    /// Starts the watches; must be called within a runtime.
    #[must_use]
    pub fn start(client: Client) -> Self {
        let classes = Watch::<StorageClass>::default();
        let profiles = Watch::<StorageProfile>::default();
        let configs = Watch::<CdiConfig>::default();
        let cluster = Self {
            classes: classes.store(),
            profiles: profiles.store(),
            configs: configs.store(),
            filled: Arc::default(),
            client: client.clone(),
        };
        tokio::spawn(classes.run(Api::all(client.clone())));
        tokio::spawn(profiles.run(Api::all(client.clone())));
        tokio::spawn(configs.run(Api::all(client)));
        cluster.tell_when_filled();
        cluster
    }

    fn tell_when_filled(&self) {
        let (classes, profiles, configs) = (self.classes.clone(), self.profiles.clone(), self.configs.clone());
        let filled = Arc::clone(&self.filled);
        tokio::spawn(async move {
            let all =
                (classes.wait_until_ready().await, profiles.wait_until_ready().await, configs.wait_until_ready().await);
            // A watch that is gone will never fill its cache: then the process is never ready.
            if let (Ok(()), Ok(()), Ok(())) = all {
                filled.store(true, Ordering::Release);
                info!("caches filled");
            }
        });
    }

    async fn list(&self, objects: &Objects) -> Result<ObjectList<PartialObjectMeta<DynamicObject>>, Unread> {
        let ours = &objects.ours;
        let kind = GroupVersionKind::gvk(&ours.group, &ours.version, &ours.kind);
        let resource = ApiResource::from_gvk_with_plural(&kind, &ours.plural);
        let api: Api<DynamicObject> = Api::all_with(self.client.clone(), &resource);
        let limited = ListParams::default().limit(COUNTED);
        let params = objects.selector.iter().fold(limited, |params, selector| params.labels(selector));
        asked(|| format!("{}.{}", ours.plural, ours.group), api.list_metadata(&params)).await
    }
}

impl Facts for Cluster {
    fn is_ready(&self) -> bool {
        self.filled.load(Ordering::Acquire)
    }

    fn storage(&self) -> Result<Storage, Unread> {
        if !self.is_ready() {
            let why = "the watches have not brought everything yet".to_owned();
            return Err(Unread { what: "StorageClasses, StorageProfiles and CDIConfig".to_owned(), why });
        }
        let config = self.configs.state().into_iter().find(|config| config.name_any() == CONFIG);
        Ok(Storage { classes: self.classes.state(), profiles: self.profiles.state(), config })
    }

    async fn claim(&self, namespace: &str, name: &str) -> Result<Option<PersistentVolumeClaim>, Unread> {
        let api: Api<PersistentVolumeClaim> = Api::namespaced(self.client.clone(), namespace);
        asked(|| format!("PersistentVolumeClaim {namespace}/{name}"), api.get_opt(name)).await
    }

    async fn volumes(&self) -> Result<Vec<Volume>, Unread> {
        let api: Api<Volume> = Api::all(self.client.clone());
        Ok(asked(|| "PersistentVolumes".to_owned(), api.list(&ListParams::default())).await?.items)
    }

    async fn count(&self, objects: &Objects) -> Result<Count, Unread> {
        let list = self.list(objects).await?;
        let seen = u64::try_from(list.items.len()).unwrap_or(u64::MAX);
        // The rest is told only where nothing is selected.
        let rest = list.metadata.remaining_item_count.and_then(|rest| u64::try_from(rest).ok());
        let is_cut = list.metadata.continue_.is_some_and(|more| !more.is_empty());
        Ok(Count { seen: seen + rest.unwrap_or(0), more: is_cut && rest.is_none() })
    }
}

/// The answer, if it comes in time.
async fn asked<T>(what: impl Fn() -> String, answer: impl Future<Output = kube::Result<T>>) -> Result<T, Unread> {
    let why = match tokio::time::timeout(PATIENCE, answer).await {
        Ok(Ok(answer)) => return Ok(answer),
        Ok(Err(error)) => error.to_string(),
        Err(_) => format!("no answer within {} s", PATIENCE.as_secs()),
    };
    Err(Unread { what: what(), why })
}
