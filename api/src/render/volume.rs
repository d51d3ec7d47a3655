//! Modes from a volume that is there already, where the named class does not exist.

use k8s_openapi::api::core::v1::{PersistentVolume, PersistentVolumeClaimSpec, PersistentVolumeSpec};

use super::{Cluster, FILESYSTEM, Refusal, bytes_of};

/// Fills in the modes of the smallest volume that satisfies the claim. Without one the claim stays as it is, as long as it
/// names its access modes: then it may wait for a volume.
pub(super) fn fill(claim: &mut PersistentVolumeClaimSpec, cluster: &Cluster<'_>) -> Result<(), Refusal> {
    let fitting = cluster.volumes.iter().filter_map(|volume| fits(volume, claim).map(|size| (size, *volume)));
    let smallest = fitting.min_by_key(|(size, volume)| (*size, volume.metadata.name.clone()));
    if let Some(spec) = smallest.and_then(|(_, volume)| volume.spec.as_ref()) {
        claim.volume_mode = Some(mode_of(spec).to_owned());
        if claim.access_modes.is_none() {
            claim.access_modes = spec.access_modes.clone().filter(|modes| !modes.is_empty());
        }
    }
    if claim.access_modes.is_none() { Err(Refusal::NoClass) } else { Ok(()) }
}

/// The size of `volume`, if Kubernetes could bind it to the claim.
fn fits(volume: &PersistentVolume, claim: &PersistentVolumeClaimSpec) -> Option<u64> {
    let spec = volume.spec.as_ref()?;
    let is_available = volume.status.as_ref()?.phase.as_deref() == Some("Available");
    let same_class = spec.storage_class_name.as_deref().unwrap_or_default() == claim.storage_class_name.as_deref()?;
    let same_mode = claim.volume_mode.as_deref().is_none_or(|mode| mode == mode_of(spec));
    let offered = spec.access_modes.as_deref().unwrap_or_default();
    let offers_modes = claim.access_modes.iter().flatten().all(|mode| offered.contains(mode));
    if !is_available || !same_class || !same_mode || !offers_modes {
        return None;
    }
    let size = bytes_of(spec.capacity.as_ref()?.get("storage")?, "capacity").ok()?;
    let requests = claim.resources.as_ref().and_then(|resources| resources.requests.as_ref());
    let asked = requests.and_then(|requests| requests.get("storage")).and_then(|size| bytes_of(size, "size").ok());
    (size >= asked.unwrap_or(0)).then_some(size)
}

fn mode_of(volume: &PersistentVolumeSpec) -> &str {
    volume.volume_mode.as_deref().unwrap_or(FILESYSTEM)
}
