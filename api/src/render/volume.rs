//! Modes from a volume that is there already, where the named class does not exist.

use k8s_openapi::api::core::v1::PersistentVolumeClaimSpec;

use super::{Cluster, Refusal, bytes_of};
use crate::volume::Volume;

/// Fills in the modes of the smallest volume that satisfies the claim. Without one the claim stays as it is, as long as it
/// names its access modes: then it may wait for a volume.
pub(super) fn fill(claim: &mut PersistentVolumeClaimSpec, cluster: &Cluster<'_>) -> Result<(), Refusal> {
    let fitting = cluster.volumes.iter().filter_map(|volume| fits(volume, claim).map(|size| (size, *volume)));
    let smallest = fitting.min_by_key(|(size, volume)| (*size, volume.metadata.name.clone()));
    if let Some((_, Volume { spec, .. })) = smallest {
        claim.volume_mode = Some(spec.mode().to_owned());
        if claim.access_modes.is_none() && !spec.access_modes.is_empty() {
            claim.access_modes = Some(spec.access_modes.clone());
        }
    }
    if claim.access_modes.is_none() { Err(Refusal::NoClass) } else { Ok(()) }
}

/// The size of `volume`, if Kubernetes could bind it to the claim.
fn fits(volume: &Volume, claim: &PersistentVolumeClaimSpec) -> Option<u64> {
    let spec = &volume.spec;
    let is_available = volume.status.phase.as_deref() == Some("Available");
    let same_class = spec.storage_class_name.as_deref().unwrap_or_default() == claim.storage_class_name.as_deref()?;
    let same_mode = claim.volume_mode.as_deref().is_none_or(|mode| mode == spec.mode());
    let offers_modes = claim.access_modes.iter().flatten().all(|mode| spec.access_modes.contains(mode));
    if !is_available || !same_class || !same_mode || !offers_modes {
        return None;
    }
    let size = bytes_of(spec.capacity.get("storage")?, "capacity").ok()?;
    let requests = claim.resources.as_ref().and_then(|resources| resources.requests.as_ref());
    let asked = requests.and_then(|requests| requests.get("storage")).and_then(|size| bytes_of(size, "size").ok());
    (size >= asked.unwrap_or(0)).then_some(size)
}
