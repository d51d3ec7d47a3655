//! What the controllers would do with a DataVolume that is not there yet, by the very functions by which they do it.
//!
//! ```text
//! DataVolume ---- first ----> claim, way, reasons ---- filling ----> prime claim, importer pod, when they come
//!                (datavolume)         |                (populator, import)
//!                                     the API server may have completed the claim in between
//! ```
//! Pure: who calls it has read the cluster.

use std::sync::Arc;

use api::cdi::{Cdi, CdiConfig, DataVolume, StorageProfile, VolumeImportSource};
use api::render::ClassChoice;
use api::volume::Volume;
use contract::{Code, Failure};
use jiff::Timestamp;
use k8s_openapi::api::core::v1::{PersistentVolumeClaim, PersistentVolumeClaimStatus, Pod};
use k8s_openapi::api::storage::v1::StorageClass;
use kube::ResourceExt;

pub use crate::datavolume::build::Path as Way;
pub use crate::datavolume::plan::Reason;
pub use reconcile::Kind as Refused;

use crate::datavolume::plan::{Plan, choose, plan};
use crate::settings::Settings;
use crate::{datavolume, import, names, populator, workload};

/// What has been read from the cluster.
#[derive(Clone, Debug, Default)]
pub struct Cluster {
    /// All storage classes.
    pub classes: Vec<Arc<StorageClass>>,
    /// All storage profiles.
    pub profiles: Vec<Arc<StorageProfile>>,
    /// The volumes; looked at only where a class is named that does not exist.
    pub volumes: Vec<Arc<Volume>>,
    /// Names of the CSI drivers.
    pub drivers: Vec<String>,
    /// The settings, once they are made.
    pub config: Option<CdiConfig>,
    /// The installation's objects.
    pub cdis: Vec<Cdi>,
    /// The claim that has the DataVolume's name, if there is one.
    pub claim: Option<PersistentVolumeClaim>,
}

/// What comes of a new DataVolume at first.
#[derive(Debug)]
pub enum First {
    /// A claim is made for it.
    Makes(Box<Made>),
    /// The claim of its name becomes its own, as it is.
    Adopts,
    /// The claim of its name holds what it asks for, or will be brought by somebody else.
    Populated,
    /// Nothing can be done until somebody changes something.
    Waits(Failure),
}

/// The claim that is made, and how it is filled.
#[derive(Debug)]
pub struct Made {
    /// The claim.
    pub claim: PersistentVolumeClaim,
    /// What it is filled from, on the way through a prime claim.
    pub source: Option<VolumeImportSource>,
    /// The class it will be of, and why it is this one.
    pub class: Option<(StorageClass, ClassChoice)>,
    /// How it is filled.
    pub way: Way,
    /// Why so.
    pub reason: Reason,
}

/// When a claim begins to be filled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Start {
    /// At once.
    Now,
    /// When it has its volume.
    Bound,
    /// When a pod or a virtual machine that uses it is given a node.
    Consumer,
    /// When there is a class of the name that it asks for.
    Class,
}

/// How a claim is filled.
#[derive(Debug)]
pub struct Filling {
    /// When it begins.
    pub start: Start,
    /// The claim that is filled in its place.
    pub prime: Option<PersistentVolumeClaim>,
    /// The pod that fills it, or the prime claim; none where the volume is right as it comes.
    pub pod: Option<Pod>,
    /// ConfigMap of the installation that is copied beside the pod, and the name of its copy.
    pub authorities: Option<(String, String)>,
}

/// What comes of `data_volume` at first.
#[must_use]
pub fn first(data_volume: &DataVolume, cluster: &Cluster, settings: &Settings) -> First {
    let observed = observed(data_volume, cluster);
    match plan(&observed, settings) {
        Plan::Create { source, claim } => match choose(&observed) {
            Ok(choice) => First::Makes(Box::new(Made {
                claim: *claim,
                source: source.map(|source| *source),
                class: choice.class.map(|(class, why)| (class.clone(), why)),
                way: choice.path,
                reason: choice.reason,
            })),
            Err(failure) => First::Waits(failure),
        },
        Plan::Adopt(_) => First::Adopts,
        Plan::Wait { failure, .. } => First::Waits(failure),
        Plan::Follow(_) | Plan::Nothing => First::Populated,
    }
}

fn observed(data_volume: &DataVolume, cluster: &Cluster) -> datavolume::observe::Observed {
    let config = cluster.config.as_ref();
    datavolume::observe::Observed {
        data_volume: Arc::new(data_volume.clone()),
        claim: cluster.claim.clone().map(Arc::new),
        source: None,
        classes: cluster.classes.clone(),
        profiles: cluster.profiles.clone(),
        volumes: cluster.volumes.clone(),
        drivers: cluster.drivers.clone(),
        config: workload::in_force(config),
        unserved: None,
        webhook_renders: workload::renders_by_webhook(config),
        features: workload::open_gates(config),
        worker: None,
        ended: None,
        // Only a status says when.
        now: Timestamp::UNIX_EPOCH,
    }
}

/// How `target` is filled, the claim that `made` came to.
///
/// # Errors
/// It asks for what no importer does.
pub fn filling(
    target: &PersistentVolumeClaim,
    made: &Made,
    cluster: &Cluster,
    settings: &Settings,
) -> Result<Option<Filling>, Failure> {
    match (made.way, &made.source) {
        (Way::External, _) => Ok(None),
        (Way::Populator, Some(source)) => through_prime(target, source, cluster, settings).map(Some),
        _ => in_place(target, cluster, settings).map(Some),
    }
}

fn through_prime(
    target: &PersistentVolumeClaim,
    source: &VolumeImportSource,
    cluster: &Cluster,
    settings: &Settings,
) -> Result<Filling, Failure> {
    let preallocation = workload::in_force(cluster.config.as_ref()).preallocation.unwrap_or(false);
    let class = class_of(target, cluster);
    let observed = populator::observe::Observed {
        target: Arc::new(target.clone()),
        source: Some(Arc::new(source.clone())),
        class: class.clone(),
        prime: None,
        volume: None,
        unserved: None,
        preallocation,
        importer: None,
        worker: None,
    };
    let start = match (populator::plan::plan(&observed, settings).create, class) {
        (Some(_), _) => Start::Now,
        (None, Some(_)) => Start::Consumer,
        (None, None) => Start::Class,
    };
    let prime = populator::build::prime(target, source, preallocation, settings)
        .ok_or_else(|| Failure::new(Code::SourceUnserved, "this release imports from http and blank"))?;
    let (pod, authorities) = pod(&bound(&prime), cluster, settings)?;
    Ok(Filling { start, prime: Some(prime), pod, authorities })
}

fn in_place(target: &PersistentVolumeClaim, cluster: &Cluster, settings: &Settings) -> Result<Filling, Failure> {
    let unbound = import_of(target, cluster);
    let start = if import::plan::plan(&unbound, settings).create.is_some() {
        Start::Now
    } else if unbound.waits_for_consumer {
        Start::Consumer
    } else {
        Start::Bound
    };
    let (pod, authorities) = pod(&bound(target), cluster, settings)?;
    Ok(Filling { start, prime: None, pod, authorities })
}

/// The pod that fills a claim once it has its volume, and what is copied beside it.
type Worker = (Option<Pod>, Option<(String, String)>);

fn pod(claim: &PersistentVolumeClaim, cluster: &Cluster, settings: &Settings) -> Result<Worker, Failure> {
    import::Request::of(claim)?;
    let observed = import_of(claim, cluster);
    let pod = import::plan::plan(&observed, settings).create.map(|pod| *pod);
    let original = observed.workload.proxy.certificates.filter(|_| pod.is_some());
    let copied = original.map(|original| (original, names::proxy_authorities(&claim.name_any())));
    Ok((pod, copied))
}

fn import_of(claim: &PersistentVolumeClaim, cluster: &Cluster) -> import::observe::Observed {
    let (config, class) = (cluster.config.as_ref(), class_of(claim, cluster));
    import::observe::Observed {
        pod: None,
        unmounted: None,
        users: Vec::new(),
        waits_for_consumer: class.as_deref().is_some_and(import::waits_for_consumer),
        honours_wait: workload::open_gates(config).honour_wait_for_first_consumer,
        workload: workload::for_claim(claim, class.as_deref(), config, cluster.cdis.iter()),
        claim: Arc::new(claim.clone()),
        now: Timestamp::UNIX_EPOCH,
    }
}

/// Share of a file system of this class that is kept for itself.
#[must_use]
pub fn overhead(cluster: &Cluster, class: &str) -> String {
    workload::overhead(&workload::in_force(cluster.config.as_ref()), class)
}

fn class_of(claim: &PersistentVolumeClaim, cluster: &Cluster) -> Option<Arc<StorageClass>> {
    let name = claim.spec.as_ref()?.storage_class_name.as_deref()?;
    cluster.classes.iter().find(|class| class.metadata.name.as_deref() == Some(name)).cloned()
}

fn bound(claim: &PersistentVolumeClaim) -> PersistentVolumeClaim {
    let status = PersistentVolumeClaimStatus { phase: Some("Bound".into()), ..PersistentVolumeClaimStatus::default() };
    PersistentVolumeClaim { status: Some(status), ..claim.clone() }
}

#[cfg(test)]
mod tests;
