//! Access modes and volume mode from the StorageProfile of the class.

use crate::cdi::{ClaimPropertySet, StorageProfile};
use k8s_openapi::api::core::v1::PersistentVolumeClaimSpec;
use k8s_openapi::api::storage::v1::StorageClass;

use super::{Cluster, Refusal};

/// Names the class, and fills in the modes that are not given.
pub(super) fn fill(
    claim: &mut PersistentVolumeClaimSpec,
    class: &StorageClass,
    cluster: &Cluster<'_>,
) -> Result<(), Refusal> {
    let name = class.metadata.name.clone().unwrap_or_default();
    claim.storage_class_name = Some(name.clone());
    if claim.access_modes.is_some() && claim.volume_mode.is_some() {
        return Ok(());
    }
    let profile = profile_of(&name, cluster).ok_or_else(|| Refusal::NoProfile { class: name.clone() })?;
    let sets = profile.status.as_ref().map(|status| status.claim_property_sets.as_slice()).unwrap_or_default();
    let set = choose(sets, claim);
    if claim.access_modes.is_none() {
        claim.access_modes = Some(set.ok_or(Refusal::NoAccessMode { class: name })?.access_modes.clone());
    }
    if claim.volume_mode.is_none() {
        // Where the profile names none, Kubernetes takes its own default.
        claim.volume_mode = set.map(|set| set.volume_mode.clone());
    }
    Ok(())
}

/// The profile of a class.
pub(super) fn profile_of<'a>(class: &str, cluster: &Cluster<'a>) -> Option<&'a StorageProfile> {
    cluster.profiles.iter().copied().find(|profile| profile.metadata.name.as_deref() == Some(class))
}

/// The first set that agrees with the mode that is given, else the first: somebody who insists on a mode that the profile does
/// not know gets it.
fn choose<'a>(sets: &'a [ClaimPropertySet], claim: &PersistentVolumeClaimSpec) -> Option<&'a ClaimPropertySet> {
    let mut sets = sets.iter().filter(|set| !set.access_modes.is_empty());
    let first = sets.clone().next();
    let agrees = |set: &&ClaimPropertySet| match (&claim.volume_mode, &claim.access_modes) {
        (Some(mode), _) => set.volume_mode == *mode,
        (None, Some(modes)) => set.access_modes.iter().any(|mode| modes.contains(mode)),
        (None, None) => true,
    };
    sets.find(agrees).or(first)
}
