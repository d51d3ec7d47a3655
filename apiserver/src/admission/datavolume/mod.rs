//! The rules of DataVolumes.

#[cfg(test)]
mod tests;

use api::annotation;
use api::cdi::{DataVolume, DataVolumeSpec, SourceRef};
use k8s_openapi::api::core::v1::PersistentVolumeClaim;
use kube::ResourceExt;

use super::external::External;
use super::source::{Source, foreign_name, not_yet};
use super::unchanged::is_unchanged;
use super::{Cause, LONGEST_NAME, long_name, target};

/// What has to be read before a DataVolume can be created.
#[derive(Clone, Debug, Default)]
pub struct Observed {
    /// The claim that has the name of the DataVolume.
    pub claim: Option<PersistentVolumeClaim>,
    /// Whether the feature gate DataVolumeClaimAdoption is on.
    pub adopts_claims: bool,
}

/// What is wrong with a new DataVolume.
#[must_use]
pub fn create(volume: &DataVolume, observed: &Observed) -> Vec<Cause> {
    let mut causes: Vec<_> =
        long_name(volume.metadata.name.as_deref(), LONGEST_NAME, "metadata.name").into_iter().collect();
    causes.extend(taken(volume, observed));
    causes.extend(target::causes(&volume.spec));
    causes.extend(content(&volume.spec));
    causes.extend(origin(&volume.spec));
    causes.extend(service_account(&volume.spec));
    if !is_filled(volume, observed) {
        causes.extend(static_volume(volume));
        causes.extend(unserved(&volume.spec));
    }
    causes
}

/// What is wrong with a change to a DataVolume. Metadata may change at any time, and so may DataVolumes with sources that this
/// release cannot import: they may be there from another installation.
#[must_use]
pub fn update(new: &DataVolume, old: &DataVolume) -> Vec<Cause> {
    if new.metadata.deletion_timestamp.is_some()
        || is_unchanged(&new.spec, &old.spec)
        || is_next_stage(&new.spec, &old.spec)
    {
        return Vec::new();
    }
    vec![Cause::duplicate("spec", "Cannot update DataVolume Spec")]
}

/// Whether nothing but the stages of an import in stages changes.
fn is_next_stage(new: &DataVolumeSpec, old: &DataVolumeSpec) -> bool {
    let sources = new.source.as_ref().map(Source::of_data_volume).unwrap_or_default();
    let without_stages =
        |spec: &DataVolumeSpec| DataVolumeSpec { checkpoints: Vec::new(), final_checkpoint: None, ..spec.clone() };
    let has_stages = sources.iter().any(|source| source.has_stages()) && !new.checkpoints.is_empty();
    has_stages && is_unchanged(&without_stages(new), &without_stages(old))
}

/// That the claim's name is taken by a claim that is not for this DataVolume.
fn taken(volume: &DataVolume, observed: &Observed) -> Option<Cause> {
    let claim = observed.claim.as_ref()?;
    if is_populated_for(claim, volume) || is_owned_by(claim, volume) || adopts(volume, observed) {
        return None;
    }
    let namespace = volume.namespace().unwrap_or_default();
    let message = format!("Destination PVC {namespace}/{} already exists", claim.name_any());
    Some(Cause::duplicate("metadata.name", message))
}

fn is_populated_for(claim: &PersistentVolumeClaim, volume: &DataVolume) -> bool {
    claim.annotations().get(annotation::POPULATED_FOR) == volume.metadata.name.as_ref()
}

/// The claim may be left over from a DataVolume of that name that has just gone, and goes too.
fn is_owned_by(claim: &PersistentVolumeClaim, volume: &DataVolume) -> bool {
    let owners = claim.owner_references().iter();
    owners
        .filter(|owner| owner.controller == Some(true))
        .any(|owner| owner.kind == "DataVolume" && owner.name == volume.name_any())
}

/// The annotation of the DataVolume wins over the feature gate.
fn adopts(volume: &DataVolume, observed: &Observed) -> bool {
    match volume.annotations().get(annotation::ALLOW_CLAIM_ADOPTION) {
        Some(text) => annotation::is_true(text),
        None => observed.adopts_claims,
    }
}

/// Whether nothing has to be imported, because the volume is there with its content: a restored backup names its old source.
fn is_filled(volume: &DataVolume, observed: &Observed) -> bool {
    let is_there = |claim| is_populated_for(claim, volume) || adopts(volume, observed);
    volume.annotations().contains_key(annotation::PRE_POPULATED) || observed.claim.as_ref().is_some_and(is_there)
}

fn content(spec: &DataVolumeSpec) -> Option<Cause> {
    let is_known = spec.known_content_type().is_some();
    (!is_known).then(|| Cause::invalid("spec.contentType", "ContentType not one of: kubevirt, archive"))
}

/// Where the content comes from: a source, a reference to one, or something else that fills the volume.
fn origin(spec: &DataVolumeSpec) -> Vec<Cause> {
    let external = External::of(spec);
    let has_none = spec.source.is_none() && spec.source_ref.is_none() && external.is_none();
    if has_none || (spec.source.is_some() && spec.source_ref.is_some()) {
        let message = "Data volume should have either Source or SourceRef, or be externally populated";
        return vec![Cause::invalid("spec.source", message)];
    }
    let mut causes = external.map(|external| external.causes(spec)).unwrap_or_default();
    causes.extend(spec.source_ref.as_ref().map(reference).unwrap_or_default());
    let Some(source) = &spec.source else { return causes };
    match Source::of_data_volume(source).as_slice() {
        [] => causes.push(Cause::required("spec.source", "Missing Data volume source")),
        [source] => {
            causes.extend(source.causes(spec.known_content_type().unwrap_or_default()));
            causes.extend(stages(*source, spec));
        }
        [_, _, ..] => causes.push(Cause::invalid("spec.source", "Multiple Data volume sources")),
    }
    causes
}

/// Stages where there can be none would be passed over in silence.
fn stages(source: Source<'_>, spec: &DataVolumeSpec) -> Option<Cause> {
    let asks = !spec.checkpoints.is_empty() || spec.final_checkpoint == Some(true);
    let message = || format!("{} is not imported in stages, only imageio and vddk are", source.field());
    (asks && !source.has_stages()).then(|| Cause::invalid("spec.checkpoints", message()))
}

fn reference(reference: &SourceRef) -> Vec<Cause> {
    let mut causes = Vec::new();
    match reference.kind.as_str() {
        "" => causes.push(Cause::required("spec.sourceRef.kind", "Missing sourceRef kind")),
        "DataSource" => {}
        kind => {
            let message = format!("Unsupported sourceRef kind {kind}, currently only DataSource is supported");
            causes.push(Cause::invalid("spec.sourceRef.kind", message));
        }
    }
    if reference.name.is_empty() {
        causes.push(Cause::required("spec.sourceRef.name", "Missing sourceRef name"));
    }
    causes
}

fn service_account(spec: &DataVolumeSpec) -> Option<Cause> {
    foreign_name("spec.serviceAccountName", spec.service_account_name.as_deref()?)
}

/// A volume that is there with its content would be written over by whoever does not look for it.
fn static_volume(volume: &DataVolume) -> Option<Cause> {
    let field = || format!("metadata.annotations[{}]", annotation::CHECK_STATIC_VOLUME);
    let message = "this release does not look for volumes that are reserved for the claim; name the claim that has the volume in \
                   cdi.kubevirt.io/storage.prePopulated, or have it adopted with cdi.kubevirt.io/allowClaimAdoption";
    volume.annotations().contains_key(annotation::CHECK_STATIC_VOLUME).then(|| Cause::invalid(field(), message))
}

/// That this release has no controller for where the content comes from.
fn unserved(spec: &DataVolumeSpec) -> Vec<Cause> {
    let sources = spec.source.as_ref().map(Source::of_data_volume).unwrap_or_default();
    let of_reference = spec.source_ref.as_ref().map(|_| not_yet("spec.sourceRef"));
    sources.into_iter().filter_map(Source::unserved).chain(of_reference).collect()
}
