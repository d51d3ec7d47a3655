//! The next step of a population.
//!
//! ```text
//!           source and class are there,
//!           a consumer is chosen or not needed
//! (nothing) ----------------------------------> prime is filled -> volume is handed over -> prime goes
//!                                               (controller import)  PV.claimRef := target    once the target has it
//! ```
//! What the import has come to stands on the target (controller import).
//!
//! The volume is handed over only to the very target it was made for (uid), which is not being deleted and which it fits;
//! the prime claim goes only after the volume has been seen to belong to the target.

use api::annotation;
use api::render::FILESYSTEM;
use api::volume::Volume;
use contract::{Code, Failure};
use k8s_openapi::api::core::v1::{ObjectReference, PersistentVolumeClaim};
use kube::ResourceExt;
use serde_json::{Value, json};

use super::build;
use super::observe::{Observed, is_bare};
use crate::event::Event;
use crate::import::{self, Annotations};
use crate::live;
use crate::settings::Settings;
use crate::storageprofile::NO_PROVISIONER;
use crate::trouble::Trouble;

/// What is to be written, in the order of the fields.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct Plan {
    /// The prime claim to create.
    pub(crate) create: Option<Box<PersistentVolumeClaim>>,
    /// Annotations of the target that change.
    pub(crate) annotations: Annotations,
    /// Change of the volume, which hands it over.
    pub(crate) hand_over: Option<Value>,
    /// The prime claim has done its work.
    pub(crate) delete_prime: bool,
    /// Events on the target.
    pub(crate) events: Vec<Event>,
}

/// How the names of provisioners begin that are Kubernetes' own code.
const IN_TREE: &str = "kubernetes.io/";

pub(crate) fn plan(observed: &Observed, settings: &Settings) -> Plan {
    let target = &observed.target;
    if target.metadata.deletion_timestamp.is_some() {
        return Plan::default();
    }
    if is_from_elsewhere(target) {
        // A source says which Secrets are read: nobody may use those of another namespace.
        let what = "an import is filled from a VolumeImportSource of the claim's own namespace";
        return refused(target, &Failure::new(Code::ClaimNotValid, what).at("spec.dataSourceRef.namespace"));
    }
    match &observed.prime {
        Some(prime) if is_bound(target) => clean_up(observed, prime),
        Some(prime) => follow(observed, prime),
        None if import::is_finished(target.annotations()) => finished(observed),
        None if is_undriven(observed) => undriven(target),
        None if is_bound(target) || !may_begin(observed) => Plan::default(),
        None => begin(observed, settings),
    }
}

fn phase_of(claim: &PersistentVolumeClaim) -> Option<&str> {
    claim.status.as_ref()?.phase.as_deref()
}

fn is_bound(claim: &PersistentVolumeClaim) -> bool {
    phase_of(claim) == Some("Bound")
}

/// Whether a claim has its volume, or had one that was handed over: that, too, Kubernetes warns of.
fn had_volume(claim: &PersistentVolumeClaim) -> bool {
    matches!(phase_of(claim), Some("Bound" | "Lost"))
}

/// Whether the claim names a source of another namespace.
fn is_from_elsewhere(claim: &PersistentVolumeClaim) -> bool {
    let source = claim.spec.as_ref().and_then(|spec| spec.data_source_ref.as_ref());
    source.is_some_and(|source| source.namespace.is_some() && source.namespace != claim.metadata.namespace)
}

/// Whether nobody heeds the claim's source: Kubernetes binds it to any volume that fits, before or after it has a consumer. Where
/// Kubernetes' own provisioner has given way to a CSI driver, the claim has the driver's name.
fn is_undriven(observed: &Observed) -> bool {
    let annotations = observed.target.annotations();
    observed.class.as_ref().is_some_and(|class| class.provisioner == NO_PROVISIONER)
        || annotations.get(annotation::STORAGE_PROVISIONER).is_some_and(|by| by.starts_with(IN_TREE))
            && !annotations.contains_key(annotation::MIGRATED_TO)
}

fn undriven(target: &PersistentVolumeClaim) -> Plan {
    let what = "no CSI driver is behind the claim's class: Kubernetes binds the claim to a volume that nobody fills";
    let remedy = "name a class of a CSI driver, or let a DataVolume without the annotation cdi.kubevirt.io/storage.usePopulator make the claim";
    refused(target, &Failure::new(Code::ClaimNotValid, what).at("spec.storageClassName").remedy(remedy))
}

/// What can never be filled is told once.
fn refused(target: &PersistentVolumeClaim, failure: &Failure) -> Plan {
    let trouble = Trouble::of(failure, false).to_json();
    if target.annotations().get(annotation::LAST_ERROR) == Some(&trouble) {
        return Plan::default();
    }
    Plan {
        annotations: [(annotation::LAST_ERROR.to_owned(), Some(trouble))].into(),
        events: vec![Event::warning("ErrClaimNotValid", &failure.to_string())],
        ..Plan::default()
    }
}

/// What was complete has been handed over, or its prime claim was deleted before that, and its volume with it. A claim that
/// names its volume, such as one that was restored, has or gets that.
fn finished(observed: &Observed) -> Plan {
    let target = &observed.target;
    let names_volume = target.spec.as_ref().is_some_and(|spec| spec.volume_name.is_some());
    if had_volume(target) || names_volume || observed.volume.is_some() {
        return Plan::default();
    }
    let why =
        "the claim that was filled is gone and its volume with it, before that was handed over: it is filled again";
    Plan {
        annotations: import::forgotten(target),
        events: vec![Event::warning("ErrIncompatiblePVC", why)],
        ..Plan::default()
    }
}

fn may_begin(observed: &Observed) -> bool {
    let Some(class) = &observed.class else { return false };
    let has = |key: &str| observed.target.annotations().contains_key(key);
    observed.source.is_some()
        && (!import::waits_for_consumer(class) || has(annotation::SELECTED_NODE) || has(annotation::BIND_IMMEDIATE))
}

fn begin(observed: &Observed, settings: &Settings) -> Plan {
    let Some(source) = &observed.source else { return Plan::default() };
    let Some(prime) = build::prime(&observed.target, source, observed.preallocation, settings) else {
        return Plan::default();
    };
    let events = vec![Event::normal("CreatedPVCPrimeSuccessfully", "PVC Prime created successfully")];
    Plan { create: Some(Box::new(prime)), events, ..Plan::default() }
}

fn follow(observed: &Observed, prime: &PersistentVolumeClaim) -> Plan {
    let mut plan = Plan { annotations: progress(observed).into_iter().collect(), ..Plan::default() };
    if let Some(why) = observed.unserved.as_ref().filter(|_| !had_volume(prime)) {
        unserved(&mut plan, observed, prime, why);
    } else {
        served(&mut plan, &observed.target);
    }
    if let Some(volume) = observed.volume.as_deref().filter(|_| is_filled(observed) && is_bound(prime)) {
        match hand_over(volume, prime, &observed.target) {
            Ok(change) => {
                plan.events.extend(change.as_ref().filter(|_| is_retained(observed)).map(|_| retained(prime)));
                plan.hand_over = change;
            }
            Err(why) => incompatible(&mut plan, observed, &why),
        }
    }
    plan
}

/// Whether the import has said that it is complete, and no importer is at work that would make that untrue.
fn is_filled(observed: &Observed) -> bool {
    let said = observed.target.annotations().get(annotation::POD_PHASE).is_some_and(|phase| phase == "Succeeded");
    said && observed.importer.as_deref().is_none_or(import::is_over)
}

/// Nobody looks at a prime claim: what keeps it from its volume is told on the target.
fn unserved(plan: &mut Plan, observed: &Observed, prime: &PersistentVolumeClaim, why: &str) {
    let message = format!("[{}] : {why}", prime.name_any());
    if observed.target.annotations().get(annotation::BOUND_CONDITION_MESSAGE) == Some(&message) {
        return;
    }
    let trouble = Trouble::of(&Failure::new(Code::ClaimPending, why), true);
    let said = [
        (annotation::BOUND_CONDITION, "false".to_owned()),
        (annotation::BOUND_CONDITION_REASON, "Pending".to_owned()),
        (annotation::BOUND_CONDITION_MESSAGE, message.clone()),
        (annotation::LAST_ERROR, trouble.to_json()),
    ];
    plan.annotations.extend(said.map(|(key, value)| (key.to_owned(), Some(value))));
    plan.events.push(Event::warning("ProvisioningFailed", &message));
}

/// What kept the prime claim from being made, or from its volume, is over. Of the importer's troubles the importer says so.
fn served(plan: &mut Plan, target: &PersistentVolumeClaim) {
    const OURS: [Code; 3] = [Code::ClaimPending, Code::QuotaExceeded, Code::ClaimNotValid];
    if !target.annotations().contains_key(annotation::BOUND_CONDITION_REASON) {
        return;
    }
    let said = [annotation::BOUND_CONDITION, annotation::BOUND_CONDITION_REASON, annotation::BOUND_CONDITION_MESSAGE];
    let trouble = target.annotations().get(annotation::LAST_ERROR).and_then(|text| Trouble::from_json(text));
    let is_ours = trouble.is_some_and(|trouble| OURS.iter().any(|code| code.name() == trouble.code));
    let over = said.into_iter().chain(is_ours.then_some(annotation::LAST_ERROR));
    plan.annotations.extend(over.map(|key| (key.to_owned(), None)));
}

/// A complete volume that cannot be handed over is told once.
fn incompatible(plan: &mut Plan, observed: &Observed, why: &str) {
    let failure = Failure::new(Code::ClaimNotValid, why).remedy("delete the claim and make it again");
    let trouble = Trouble::of(&failure, true).to_json();
    if observed.target.annotations().get(annotation::LAST_ERROR) != Some(&trouble) {
        plan.annotations.insert(annotation::LAST_ERROR.into(), Some(trouble));
        plan.events.push(Event::warning("ErrIncompatiblePVC", why));
    }
}

/// How far the population of a claim is that no DataVolume stands for, if that is news.
fn progress(observed: &Observed) -> Option<(String, Option<String>)> {
    if !is_bare(&observed.target) {
        return None;
    }
    let now =
        if is_filled(observed) { Some(live::ALL.to_owned()) } else { observed.worker.as_ref().and_then(live::percent) };
    let before = observed.target.annotations().get(annotation::POPULATOR_PROGRESS);
    (now.is_some() && now.as_ref() != before).then(|| (annotation::POPULATOR_PROGRESS.to_owned(), now))
}

/// The change of `volume` that makes it the target's; nothing if it is already.
///
/// # Errors
/// Why it must not be.
fn hand_over(
    volume: &Volume,
    prime: &PersistentVolumeClaim,
    target: &PersistentVolumeClaim,
) -> Result<Option<Value>, String> {
    let held_by = volume.spec.claim_ref.as_ref().and_then(|claim| claim.uid.clone());
    if held_by == target.uid() {
        return Ok(None);
    }
    if held_by != prime.uid() {
        return Err(format!("the volume {} belongs to another claim by now", volume.name_any()));
    }
    if !fits(volume, target) {
        return Err(format!("the volume {} does not fit the claim any more", volume.name_any()));
    }
    let claim = ObjectReference {
        api_version: Some("v1".into()),
        kind: Some("PersistentVolumeClaim".into()),
        namespace: target.namespace(),
        name: Some(target.name_any()),
        uid: target.uid(),
        resource_version: target.resource_version(),
        field_path: None,
    };
    Ok(Some(json!({"spec": {"claimRef": claim}})))
}

/// Whether the volume has what the target asks for.
fn fits(volume: &Volume, target: &PersistentVolumeClaim) -> bool {
    let (volume, Some(claim)) = (&volume.spec, &target.spec) else { return false };
    let bytes = |size: &str| contract::quantity::parse(size).ok();
    let capacity = volume.capacity.get("storage").and_then(|size| bytes(&size.0));
    let wanted = claim.resources.as_ref().and_then(|all| bytes(&all.requests.as_ref()?.get("storage")?.0));
    let modes = claim.access_modes.iter().flatten();
    volume.mode() == claim.volume_mode.as_deref().unwrap_or(FILESYSTEM)
        && volume.storage_class_name == claim.storage_class_name
        && modes.clone().all(|mode| volume.access_modes.contains(mode))
        && capacity.zip(wanted).is_some_and(|(capacity, wanted)| capacity >= wanted)
}

/// Whether prime claim and importer pod are to stay, so that one can look at them.
fn is_retained(observed: &Observed) -> bool {
    observed.target.annotations().get(annotation::RETAIN_AFTER_COMPLETION).is_some_and(|value| value == "true")
}

fn retained(prime: &PersistentVolumeClaim) -> Event {
    Event::normal("RetainedPVCPrime", &format!("PVC Prime {} is kept for debugging", prime.name_any()))
}

fn clean_up(observed: &Observed, prime: &PersistentVolumeClaim) -> Plan {
    let holder = observed.volume.as_ref().and_then(|volume| volume.spec.claim_ref.as_ref()?.uid.clone());
    if holder != observed.target.uid() || prime.metadata.deletion_timestamp.is_some() {
        return Plan::default();
    }
    Plan { delete_prime: !is_retained(observed), ..Plan::default() }
}

#[cfg(test)]
mod tests;
