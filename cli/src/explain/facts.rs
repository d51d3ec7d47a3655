//! What is read of the cluster before anything is decided, and what could not be.

use std::sync::Arc;

use api::cdi::{Cdi, CdiConfig, StorageProfile};
use api::volume::Volume;
use contract::Failure;
use controller::Settings;
use controller::preview::Cluster;
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::{LimitRange, PersistentVolumeClaim, ResourceQuota};
use k8s_openapi::api::storage::v1::{CSIDriver, CSIStorageCapacity, StorageClass};
use kube::api::{Api, ListParams};
use kube::{Client, Resource, ResourceExt};
use serde::de::DeserializeOwned;

use crate::kubernetes::failure;

/// Name of the Deployment of the controllers.
const CONTROLLERS: &str = "cdi-deployment";
/// Name of the only CDIConfig.
const CONFIG: &str = "config";
/// Stands for an image that cannot be known.
const NO_IMAGE: &str = "unknown";

/// What a cluster has.
#[derive(Debug)]
pub(super) struct Facts {
    pub(super) cluster: Cluster,
    /// What the controllers are told; nothing if it cannot be read.
    pub(super) settings: Option<Settings>,
    pub(super) drivers: Vec<CSIDriver>,
    /// Whether all storage classes are known.
    pub(super) classes_known: bool,
    pub(super) notes: Vec<String>,
}

/// Reads objects, and remembers what may not be read.
pub(super) struct Reader<'a> {
    client: &'a Client,
    notes: Vec<String>,
}

impl<'a> Reader<'a> {
    pub(super) fn new(client: &'a Client) -> Self {
        Self { client, notes: Vec::new() }
    }

    pub(super) fn into_notes(self) -> Vec<String> {
        self.notes
    }

    /// All objects of a kind; nothing if the user may not list them.
    ///
    /// # Errors
    /// The cluster cannot be had.
    async fn all<K>(&mut self, api: Api<K>, without: &str) -> Result<Option<Vec<K>>, Failure>
    where
        K: Resource<DynamicType = ()> + Clone + DeserializeOwned + std::fmt::Debug,
    {
        let listed = api.list(&ListParams::default()).await;
        self.seen(listed.map(|list| list.items), &K::kind(&()), without)
    }

    /// One object; nothing if it is not there, or the user may not read it.
    async fn one<K>(&mut self, api: Api<K>, name: &str, without: &str) -> Result<Option<K>, Failure>
    where
        K: Resource<DynamicType = ()> + Clone + DeserializeOwned + std::fmt::Debug,
    {
        let found = api.get_opt(name).await;
        Ok(self.seen(found, &format!("{} {name}", K::kind(&())), without)?.flatten())
    }

    fn seen<T>(&mut self, answer: kube::Result<T>, what: &str, without: &str) -> Result<Option<T>, Failure> {
        match answer {
            Ok(found) => Ok(Some(found)),
            Err(kube::Error::Api(status)) if matches!(status.code, 403 | 404) => {
                self.notes.push(format!("{what} cannot be read, so {without}: {}", status.message));
                Ok(None)
            }
            Err(error) => Err(failure(&error)),
        }
    }

    fn everywhere<K: Resource<DynamicType = ()>>(&self) -> Api<K> {
        Api::all(self.client.clone())
    }

    fn within<K>(&self, namespace: &str) -> Api<K>
    where
        K: Resource<DynamicType = (), Scope = kube::core::NamespaceResourceScope>,
    {
        Api::namespaced(self.client.clone(), namespace)
    }

    /// The claim of a DataVolume's name.
    ///
    /// # Errors
    /// The cluster cannot be had.
    pub(super) async fn claim(
        &mut self,
        namespace: &str,
        name: &str,
    ) -> Result<Option<PersistentVolumeClaim>, Failure> {
        let api = self.within(namespace);
        self.one(api, name, "none is taken to be there").await
    }

    /// What limits the namespace.
    ///
    /// # Errors
    /// The cluster cannot be had.
    pub(super) async fn limits(&mut self, namespace: &str) -> Result<(Vec<ResourceQuota>, Vec<LimitRange>), Failure> {
        let (quotas, ranges) = (self.within(namespace), self.within(namespace));
        let quotas = self.all(quotas, "only the API server's answers say whether they allow it").await?;
        let ranges = self.all(ranges, "they are not shown").await?;
        Ok((quotas.unwrap_or_default(), ranges.unwrap_or_default()))
    }

    /// Room that drivers publish.
    ///
    /// # Errors
    /// The cluster cannot be had.
    pub(super) async fn capacities(&mut self) -> Result<Option<Vec<CSIStorageCapacity>>, Failure> {
        let api = self.everywhere();
        self.all(api, "nobody knows whether there is room").await
    }

    /// All volumes.
    ///
    /// # Errors
    /// The cluster cannot be had.
    pub(super) async fn volumes(&mut self) -> Result<Vec<Arc<Volume>>, Failure> {
        let api = self.everywhere();
        let volumes = self.all(api, "none is taken to fit").await?;
        Ok(volumes.unwrap_or_default().into_iter().map(Arc::new).collect())
    }
}

/// Reads what does not depend on the DataVolume.
///
/// # Errors
/// The cluster cannot be had.
pub(super) async fn read(client: &Client, installation: &str) -> Result<Facts, Failure> {
    let mut reader = Reader::new(client);
    let (classes, profiles, drivers) = (reader.everywhere(), reader.everywhere(), reader.everywhere());
    let classes: Option<Vec<StorageClass>> = reader.all(classes, "only what profiles say of classes is known").await?;
    let profiles = reader.all::<StorageProfile>(profiles, "modes that are not given are not known").await?;
    let profiles = profiles.unwrap_or_default();
    let drivers = reader.all::<CSIDriver>(drivers, "every class is taken to have a driver").await?;
    let (configs, cdis) = (reader.everywhere(), reader.everywhere());
    let config: Option<CdiConfig> = reader.one(configs, CONFIG, "defaults are taken").await?;
    let cdis: Option<Vec<Cdi>> = reader.all(cdis, "placement of pods is not known").await?;
    let settings = settings(&mut reader, installation).await?;
    let classes_known = classes.is_some();
    let classes = classes.unwrap_or_else(|| profiles.iter().map(stand_in).collect());
    let names = match &drivers {
        Some(drivers) => drivers.iter().map(ResourceExt::name_any).collect(),
        None => classes.iter().map(|class| class.provisioner.clone()).collect(),
    };
    Ok(Facts {
        cluster: Cluster {
            classes: classes.into_iter().map(Arc::new).collect(),
            profiles: profiles.into_iter().map(Arc::new).collect(),
            drivers: names,
            config,
            cdis: cdis.unwrap_or_default(),
            ..Cluster::default()
        },
        settings,
        drivers: drivers.unwrap_or_default(),
        classes_known,
        notes: reader.into_notes(),
    })
}

/// A class as far as its profile tells of it.
fn stand_in(profile: &StorageProfile) -> StorageClass {
    let mut class = StorageClass::default();
    class.metadata.name = profile.metadata.name.clone();
    let status = profile.status.as_ref();
    class.provisioner = status.and_then(|status| status.provisioner.clone()).unwrap_or_default();
    class
}

async fn settings(reader: &mut Reader<'_>, installation: &str) -> Result<Option<Settings>, Failure> {
    let api: Api<Deployment> = reader.within(installation);
    let Some(deployment) = reader.one(api, CONTROLLERS, "the importer's image is not known").await? else {
        return Ok(None);
    };
    let told = deployment.spec.template.spec.and_then(|spec| spec.containers.into_iter().next());
    match told.map(|container| Settings::of_container(&container, installation)) {
        Some(Ok(settings)) => Ok(Some(settings)),
        // Another program has that name: CDI's own.
        Some(Err(error)) => {
            let said = error.to_string();
            let said = said.lines().next().unwrap_or_default().to_owned();
            reader.notes.push(format!("the Deployment {CONTROLLERS} is not of this release: {said}"));
            Ok(None)
        }
        None => Ok(None),
    }
}

impl Facts {
    /// What the controllers are told, or what they are told by default.
    pub(super) fn settings(&self, installation: &str) -> Settings {
        self.settings.clone().unwrap_or_else(|| Settings::by_default(NO_IMAGE, installation))
    }
}
