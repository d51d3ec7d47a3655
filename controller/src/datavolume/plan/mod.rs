//! What a DataVolume needs next.
//!
//! ```text
//! no claim     -> render it; through a prime claim: the VolumeImportSource, then the claim
//! a claim that
//!   is ours    -> follow it; once it is filled, the VolumeImportSource goes
//!   may be ours-> take it over as it is
//!   is not     -> say so
//! ```

use api::cdi::ContentType;
use api::cdi::{DataVolume, VolumeImportSource};
use api::phase::Phase;
use api::render::{self, ClassChoice, Cluster, Purpose};
use api::{annotation, label};
use contract::{Code, Failure};
use k8s_openapi::api::core::v1::{PersistentVolumeClaim, PersistentVolumeClaimSpec};
use k8s_openapi::api::storage::v1::StorageClass;
use kube::{Resource, ResourceExt};
use serde_json::{Value, json};

use super::build::{self, Path};
use super::observe::Observed;
use crate::import;
use crate::settings::Settings;

/// The next step.
#[derive(Debug, PartialEq)]
pub(crate) enum Plan {
    /// There is nothing to do, not even to say.
    Nothing,
    /// Make the claim, after what it is filled from.
    Create { source: Option<Box<VolumeImportSource>>, claim: Box<PersistentVolumeClaim> },
    /// Make an existing claim the DataVolume's.
    Adopt(Value),
    /// Nothing can be done until somebody else has changed something.
    Wait { failure: Failure, reason: &'static str },
    /// The claim is ours: show what it has come to.
    Follow(Finish),
}

/// What is left to do for a claim that is filled.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct Finish {
    /// A change of the claim.
    pub(crate) mark: Option<Value>,
    /// What it was filled from is not needed any more.
    pub(crate) delete_source: bool,
}

pub(crate) fn plan(observed: &Observed, settings: &Settings) -> Plan {
    let data_volume = &observed.data_volume;
    if data_volume.metadata.deletion_timestamp.is_some() {
        return Plan::Nothing;
    }
    match &observed.claim {
        None if data_volume.annotations().contains_key(annotation::PRE_POPULATED) => Plan::Follow(Finish::default()),
        None if is_over(observed) => Plan::Follow(Finish::default()),
        None => create(observed, settings),
        Some(claim) if claim.metadata.deletion_timestamp.is_some() => wait(
            Code::ClaimDeleted,
            format!("the claim {} is being deleted", claim.name_any()),
            "ErrResourceMarkedForDeletion",
        ),
        Some(claim) if is_ours(claim, data_volume) => Plan::Follow(finish(observed, claim)),
        Some(claim) if is_prepopulated(claim, data_volume) => Plan::Follow(Finish::default()),
        Some(claim) => take_over(observed, claim),
    }
}

/// A claim that went after it was lost is not made again.
fn is_over(observed: &Observed) -> bool {
    observed.data_volume.status.as_ref().is_some_and(|status| status.known_phase() == Phase::Failed)
}

fn wait(code: Code, what: String, reason: &'static str) -> Plan {
    Plan::Wait { failure: Failure::new(code, what), reason }
}

/// Whether the claim belongs to the DataVolume.
pub(crate) fn is_ours(claim: &PersistentVolumeClaim, data_volume: &DataVolume) -> bool {
    controller_of(claim).is_some_and(|uid| Some(uid) == data_volume.uid().as_deref())
}

fn controller_of(claim: &PersistentVolumeClaim) -> Option<&str> {
    let owner = claim.owner_references().iter().find(|owner| owner.controller == Some(true));
    owner.map(|owner| owner.uid.as_str())
}

/// Whether the claim is said to hold what the DataVolume asks for.
pub(crate) fn is_prepopulated(claim: &PersistentVolumeClaim, data_volume: &DataVolume) -> bool {
    let name = data_volume.name_any();
    claim.annotations().get(annotation::POPULATED_FOR) == Some(&name)
        || data_volume.annotations().get(annotation::PRE_POPULATED) == Some(&claim.name_any())
}

/// Whether the claim was there before the DataVolume and is taken as it is.
pub(crate) fn is_adopted(claim: &PersistentVolumeClaim, data_volume: &DataVolume) -> bool {
    is_ours(claim, data_volume)
        && claim.annotations().get(annotation::CREATED_FOR_DATA_VOLUME) != data_volume.uid().as_ref()
}

fn take_over(observed: &Observed, claim: &PersistentVolumeClaim) -> Plan {
    let data_volume = &observed.data_volume;
    let made_for_it = claim.annotations().get(annotation::CREATED_FOR_DATA_VOLUME) == data_volume.uid().as_ref();
    let said = data_volume.annotations().get(annotation::ALLOW_CLAIM_ADOPTION);
    let allowed = said.map_or(observed.features.claim_adoption, |value| annotation::is_true(value));
    if controller_of(claim).is_some() || !(allowed || made_for_it) {
        let name = claim.name_any();
        return wait(
            Code::ClaimExists,
            format!("Resource \"{name}\" already exists and is not managed by DataVolume"),
            "ErrResourceExists",
        );
    }
    let mut owners = claim.owner_references().to_vec();
    owners.extend(data_volume.controller_owner_ref(&()));
    Plan::Adopt(json!({"metadata": {"ownerReferences": owners}}))
}

fn finish(observed: &Observed, claim: &PersistentVolumeClaim) -> Finish {
    let data_volume = &observed.data_volume;
    if !is_filled(claim) || is_adopted(claim, data_volume) {
        return Finish::default();
    }
    let name = data_volume.name_any();
    let marked = claim.annotations().get(annotation::POPULATED_FOR) == Some(&name);
    Finish {
        mark: (!marked).then(|| json!({"metadata": {"annotations": {annotation::POPULATED_FOR: name}}})),
        delete_source: observed.source.as_ref().is_some_and(|source| source.metadata.deletion_timestamp.is_none()),
    }
}

/// Whether the claim is bound and holds all it is to hold.
pub(crate) fn is_filled(claim: &PersistentVolumeClaim) -> bool {
    claim.status.as_ref().and_then(|status| status.phase.as_deref()) == Some("Bound") && is_complete(claim)
}

/// Whether the claim holds all it is to hold, or will once it is bound.
pub(crate) fn is_complete(claim: &PersistentVolumeClaim) -> bool {
    let annotations = claim.annotations();
    let is = |key: &str, value: &str| annotations.get(key).is_some_and(|found| found == value);
    (is(annotation::POD_PHASE, "Succeeded") || is(annotation::EXTERNAL_POPULATION, "true"))
        && !is(annotation::IMPORT_FATAL_ERROR, "true")
}

fn create(observed: &Observed, settings: &Settings) -> Plan {
    let Choice { claim, class, path, preallocation, .. } = match choose(observed) {
        Ok(choice) => choice,
        Err(failure) => return Plan::Wait { failure, reason: render::EVENT_REASON },
    };
    if path == Path::External
        && let Some(failure) = undriven(observed, class)
    {
        return Plan::Wait { failure, reason: "NoCSIDriverForExternalPopulation" };
    }
    let data_volume = &observed.data_volume;
    let source = (path == Path::Populator).then(|| Box::new(build::source(data_volume, preallocation, settings)));
    Plan::Create { source, claim: Box::new(build::claim(data_volume, claim, path, preallocation, settings)) }
}

/// That nobody would read the data source of a claim of this class: it would be bound to an empty volume.
fn undriven(observed: &Observed, class: Chosen<'_>) -> Option<Failure> {
    let what = match class {
        Some((class, _)) if observed.drivers.contains(&class.provisioner) => return None,
        Some((class, _)) => format!("no CSI driver is installed for the class {}", class.name_any()),
        None => "there is no class, and so no CSI driver".to_owned(),
    };
    let failure = Failure::new(Code::ClaimNoClass, format!("{what}, which would read the data source"));
    Some(failure.at("spec").remedy("name a class whose CSI driver is installed"))
}

/// What claim a DataVolume gets, how it is filled, and why so.
pub(crate) struct Choice<'a> {
    claim: PersistentVolumeClaimSpec,
    /// The class it will be of.
    pub(crate) class: Chosen<'a>,
    pub(crate) path: Path,
    pub(crate) reason: Reason,
    preallocation: bool,
}

/// Why a claim is filled the way it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    /// The annotation `cdi.kubevirt.io/storage.usePopulator` says so.
    Asked,
    /// The class has a CSI driver.
    Driver,
    /// The class has no CSI driver.
    NoDriver,
    /// There is no class.
    NoClass,
    /// The claim names its volume, which Kubernetes gives it at once, whatever else is to fill it.
    OwnVolume,
    /// The claim names what fills it by itself.
    OwnSource,
}

/// Chooses for a DataVolume that has no claim yet.
///
/// # Errors
/// No claim can be made of it, or no controller serves its source.
pub(crate) fn choose(observed: &Observed) -> Result<Choice<'_>, Failure> {
    let (claim, class) = rendered(observed)?;
    let preallocation = observed.data_volume.spec.preallocation.or(observed.config.preallocation).unwrap_or(false);
    let (path, reason) = path(observed, &claim, class.map(|(class, _)| class), preallocation)
        .ok_or_else(|| Failure::new(Code::SourceUnserved, "this release imports from http and blank"))?;
    Ok(Choice { claim, class, path, reason, preallocation })
}

/// A class, and why it is this one.
type Chosen<'a> = Option<(&'a StorageClass, ClassChoice)>;

/// The specification of the claim, and the class it will be of.
fn rendered(observed: &Observed) -> Result<(PersistentVolumeClaimSpec, Chosen<'_>), Failure> {
    let spec = &observed.data_volume.spec;
    let content = spec.known_content_type().unwrap_or_default();
    let classes: Vec<&StorageClass> = observed.classes.iter().map(AsRef::as_ref).collect();
    let chosen = |name: Option<&str>, content| render::choose_class(name, content, &classes);
    if let Some(claim) = &spec.pvc {
        return Ok((claim.clone(), chosen(claim.storage_class_name.as_deref(), ContentType::Archive)));
    }
    let storage = spec
        .storage
        .as_ref()
        .ok_or_else(|| Failure::new(Code::ClaimNotValid, "there is neither a pvc nor a storage").at("spec"))?;
    let class = chosen(storage.storage_class_name.as_deref(), content);
    let by_webhook =
        observed.data_volume.labels().get(label::APPLY_STORAGE_PROFILE).is_some_and(|value| value == "true");
    if by_webhook && observed.webhook_renders {
        let mut claim = render::as_claim(storage);
        claim.volume_mode.get_or_insert_with(|| render::FROM_STORAGE_PROFILE.to_owned());
        // Before the webhook the API server fills in its own default, which may be another than that for virtual machines.
        if claim.storage_class_name.is_none() {
            claim.storage_class_name = class.and_then(|(class, _)| class.metadata.name.clone());
        }
        return Ok((claim, class));
    }
    let cluster = Cluster {
        classes,
        profiles: observed.profiles.iter().map(AsRef::as_ref).collect(),
        volumes: observed.volumes.iter().map(AsRef::as_ref).collect(),
        config: Some(&observed.config),
    };
    let claim = render::from_storage(storage, Purpose { content, clone: false }, &cluster).map_err(|refusal| {
        let code = if refusal == render::Refusal::NoClass { Code::ClaimNoClass } else { Code::ClaimNotValid };
        Failure::new(code, refusal.to_string()).at("spec.storage")
    })?;
    Ok((claim, class))
}

/// How the claim is filled, and why so; nothing if no controller serves its source.
fn path(
    observed: &Observed,
    claim: &PersistentVolumeClaimSpec,
    class: Option<&StorageClass>,
    preallocation: bool,
) -> Option<(Path, Reason)> {
    let data_volume = &observed.data_volume;
    let Some(source) = &data_volume.spec.source else {
        let external = claim.data_source.is_some() || claim.data_source_ref.is_some();
        return external.then_some((Path::External, Reason::OwnSource));
    };
    if source.http.is_none() && source.blank.is_none() {
        return None;
    }
    let said = data_volume.annotations().get(annotation::USE_POPULATOR).map(|value| annotation::is_true(value));
    let has_driver = class.is_some_and(|class| observed.drivers.contains(&class.provisioner));
    let has_volume = claim.volume_name.is_some();
    let at_once = data_volume.annotations().contains_key(annotation::BIND_IMMEDIATE);
    // A new volume is an empty disk already: nothing has to be handed over.
    let empty = source.blank.is_some()
        && !preallocation
        && claim.volume_mode.as_deref() == Some("Block")
        && !(at_once && class.is_some_and(import::waits_for_consumer));
    let path = match !has_volume && said.unwrap_or(has_driver) {
        false => Path::Direct,
        true if empty => Path::Empty,
        true => Path::Populator,
    };
    let reason = match (said, class) {
        _ if has_volume => Reason::OwnVolume,
        (Some(_), _) => Reason::Asked,
        (None, None) => Reason::NoClass,
        (None, Some(_)) if has_driver => Reason::Driver,
        (None, Some(_)) => Reason::NoDriver,
    };
    Some((path, reason))
}

#[cfg(test)]
pub(super) mod tests;
