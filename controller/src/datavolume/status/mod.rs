//! The status of a DataVolume: phase, progress, conditions, and what CDI does not give under `gantry` (cdi.md §2.3–2.6).
//! Computed from what was read and written, never from what was planned.

use std::time::Duration;

use api::annotation;
use api::cdi::{DataVolume, DataVolumeCondition, DataVolumeStatus, GantryStatus};
use api::condition::{self, BOUND, FALSE, READY, RUNNING, TRUE, UNKNOWN};
use api::phase::Phase;
use contract::pod::Worker;
use contract::{Code, Failure};
use k8s_openapi::api::core::v1::PersistentVolumeClaim;
use k8s_openapi::api::storage::v1::StorageClass;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::ResourceExt;

use super::observe::Observed;
use super::plan::{is_adopted, is_complete, is_filled, is_ours, is_prepopulated};
use crate::event::Event;
use crate::trouble::Trouble;
use crate::{import, live};

/// Why nothing could be done.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Hindrance {
    pub(crate) failure: Failure,
    /// CDI's reason of the event and of the condition Bound.
    pub(crate) reason: &'static str,
}

const NOT_KNOWN: &str = "N/A";
/// A claim that is pending for longer has a trouble.
const PATIENCE: Duration = Duration::from_secs(30);
/// What nothing tells us of is looked at again this much later.
const AGAIN: Duration = Duration::from_secs(10);
/// A complete volume has its claim within so little time.
const HAND_OVER: Duration = Duration::from_secs(5);

/// The status after this look.
pub(crate) fn of(observed: &Observed, hindrance: Option<&Hindrance>) -> DataVolumeStatus {
    let before = observed.data_volume.status.clone().unwrap_or_default();
    if before.known_phase() == Phase::ImportInProgress && is_being_handed_over(observed) {
        return before;
    }
    let phase = phase(observed, hindrance, &before);
    let claim = observed.claim.as_deref().filter(|claim| is_its(claim, observed));
    DataVolumeStatus {
        claim_name: Some(observed.data_volume.name_any()),
        phase: Some(phase.as_str().to_owned()),
        progress: Some(progress(phase, observed.worker.as_ref(), &before)),
        restart_count: Some(claim.map_or(0, |claim| import::restarts_of(claim.annotations()))),
        conditions: conditions(phase, claim, hindrance, &before, observed),
        gantry: gantry(phase, claim, hindrance, &before, observed),
    }
}

/// When to look again if nothing happens.
pub(crate) fn again(observed: &Observed, hindrance: Option<&Hindrance>) -> Option<Duration> {
    let pending = observed
        .claim
        .as_deref()
        .is_some_and(|claim| phase_of(claim) == Some("Pending") && !is_waiting(claim, observed));
    match hindrance {
        Some(_) => Some(AGAIN),
        _ if is_being_handed_over(observed) => Some(HAND_OVER),
        _ if pending => Some(PATIENCE),
        _ => None,
    }
}

/// Whether the importer has just ended and its volume is about to be the claim's: that the one is over and the other is there
/// is told as one step.
fn is_being_handed_over(observed: &Observed) -> bool {
    let is_handed = |claim: &PersistentVolumeClaim| phase_of(claim) == Some("Pending") && is_complete(claim);
    observed.claim.as_deref().is_some_and(is_handed) && observed.ended.is_some_and(|end| observed.now < end + HAND_OVER)
}

fn is_its(claim: &PersistentVolumeClaim, observed: &Observed) -> bool {
    is_ours(claim, &observed.data_volume) || is_prepopulated(claim, &observed.data_volume)
}

fn phase_of(claim: &PersistentVolumeClaim) -> Option<&str> {
    claim.status.as_ref()?.phase.as_deref()
}

/// A pod may run, or have ended, before anybody could look: that it was made, and that it ran, is told first, as somebody may
/// wait for that word.
fn phase(observed: &Observed, hindrance: Option<&Hindrance>, before: &DataVolumeStatus) -> Phase {
    let had_pod = observed.claim.as_deref().is_some_and(|claim| had_pod(claim, &observed.data_volume));
    match (before.known_phase(), reached(observed, hindrance, before)) {
        (told, Phase::ImportInProgress | Phase::Succeeded) if had_pod && told.is_before_workers() => {
            Phase::ImportScheduled
        }
        (Phase::ImportScheduled, Phase::Succeeded) if had_pod => Phase::ImportInProgress,
        (_, reached) => reached,
    }
}

/// Whether a pod was made to fill the claim for this DataVolume.
fn had_pod(claim: &PersistentVolumeClaim, data_volume: &DataVolume) -> bool {
    is_ours(claim, data_volume)
        && !is_adopted(claim, data_volume)
        && claim.annotations().contains_key(annotation::IMPORT_POD)
}

/// Where the claim and its worker are.
fn reached(observed: &Observed, hindrance: Option<&Hindrance>, before: &DataVolumeStatus) -> Phase {
    let Some(claim) = observed.claim.as_deref().filter(|_| hindrance.is_none()) else {
        let over = before.known_phase().is_final() && hindrance.is_none();
        return if over { before.known_phase() } else { Phase::Pending };
    };
    let is = |key: &str| claim.annotations().get(key).map(String::as_str);
    let data_volume = &observed.data_volume;
    if phase_of(claim) == Some("Lost") || is(annotation::IMPORT_FATAL_ERROR) == Some("true") {
        return Phase::Failed;
    }
    if is_filled(claim) || is_adopted(claim, data_volume) || is_prepopulated(claim, data_volume) {
        return Phase::Succeeded;
    }
    match (is(annotation::POD_PHASE), phase_of(claim)) {
        (Some("Running" | "Succeeded"), _) => Phase::ImportInProgress,
        (Some("Pending" | "Failed"), _) => Phase::ImportScheduled,
        (_, Some("Bound")) if is(annotation::EXTERNAL_POPULATION).is_none() => Phase::PvcBound,
        (_, Some("Pending") | None) if is_waiting(claim, observed) => waiting_phase(claim),
        (_, Some("Pending") | None) => Phase::Pending,
        _ => Phase::Unknown,
    }
}

fn waiting_phase(claim: &PersistentVolumeClaim) -> Phase {
    if is_populated(claim) { Phase::PendingPopulation } else { Phase::WaitForFirstConsumer }
}

fn is_populated(claim: &PersistentVolumeClaim) -> bool {
    claim.annotations().get(annotation::USE_POPULATOR).is_some_and(|value| value == "true")
}

/// Whether the claim's class waits for a consumer, and there is none, and nobody asked to go on without one.
fn is_waiting(claim: &PersistentVolumeClaim, observed: &Observed) -> bool {
    let has = |key: &str| claim.annotations().contains_key(key);
    let name = claim.spec.as_ref().and_then(|spec| spec.storage_class_name.as_deref());
    let class: Option<&StorageClass> =
        observed.classes.iter().map(AsRef::as_ref).find(|class: &&StorageClass| class.metadata.name.as_deref() == name);
    class.is_some_and(import::waits_for_consumer)
        // The gate is of the direct path; a populator always waits.
        && (observed.features.honour_wait_for_first_consumer || is_populated(claim))
        && phase_of(claim) != Some("Bound")
        && !has(annotation::SELECTED_NODE)
        && !has(annotation::BIND_IMMEDIATE)
}

fn progress(phase: Phase, worker: Option<&Worker>, before: &DataVolumeStatus) -> String {
    if phase == Phase::Succeeded {
        return live::ALL.to_owned();
    }
    match worker.and_then(live::percent) {
        Some(percent) => percent,
        None if phase == Phase::ImportInProgress => before.progress.clone().unwrap_or_else(|| NOT_KNOWN.to_owned()),
        None => NOT_KNOWN.to_owned(),
    }
}

fn conditions(
    phase: Phase,
    claim: Option<&PersistentVolumeClaim>,
    hindrance: Option<&Hindrance>,
    before: &DataVolumeStatus,
    observed: &Observed,
) -> Vec<DataVolumeCondition> {
    let running = running(phase, claim);
    let now = [bound(claim, hindrance), ready(phase, &running), running];
    now.into_iter().map(|new| with_times(new, &before.conditions, observed)).collect()
}

fn with_times(new: DataVolumeCondition, before: &[DataVolumeCondition], observed: &Observed) -> DataVolumeCondition {
    let old = condition::find(before, &new.type_);
    let now = || Some(Time(observed.now));
    let same = |old: &DataVolumeCondition| {
        (&old.status, &old.reason, &old.message) == (&new.status, &new.reason, &new.message)
    };
    if let Some(old) = old.filter(|old| same(old)) {
        return old.clone();
    }
    let turned = old.is_none_or(|old| old.status != new.status);
    let last_transition_time = if turned { now() } else { old.and_then(|old| old.last_transition_time.clone()) };
    DataVolumeCondition { last_transition_time, last_heartbeat_time: now(), ..new }
}

fn condition_of(type_: &str, status: &str, reason: &str, message: &str) -> DataVolumeCondition {
    let set = |text: &str| (!text.is_empty()).then(|| text.to_owned());
    DataVolumeCondition {
        type_: type_.to_owned(),
        status: status.to_owned(),
        reason: set(reason),
        message: set(message),
        last_transition_time: None,
        last_heartbeat_time: None,
    }
}

fn bound(claim: Option<&PersistentVolumeClaim>, hindrance: Option<&Hindrance>) -> DataVolumeCondition {
    if let Some(Hindrance { failure, reason }) = hindrance {
        return condition_of(BOUND, FALSE, reason, failure.what());
    }
    let Some(claim) = claim else { return condition_of(BOUND, FALSE, "NotFound", "No PVC found") };
    let name = claim.name_any();
    let of_prime = |key: &str| claim.annotations().get(key).cloned();
    match phase_of(claim) {
        Some("Bound") => condition_of(BOUND, TRUE, "Bound", &format!("PVC {name} Bound")),
        Some("Lost") => condition_of(BOUND, FALSE, "ClaimLost", "Claim Lost"),
        _ => match of_prime(annotation::BOUND_CONDITION_REASON) {
            Some(reason) => {
                let message = of_prime(annotation::BOUND_CONDITION_MESSAGE).unwrap_or_default();
                condition_of(BOUND, FALSE, &reason, &format!("target PVC {name} Pending and {message}"))
            }
            None => condition_of(BOUND, FALSE, "Pending", &format!("PVC {name} Pending")),
        },
    }
}

fn ready(phase: Phase, running: &DataVolumeCondition) -> DataVolumeCondition {
    match phase {
        Phase::Succeeded => condition_of(READY, TRUE, "", ""),
        Phase::Unknown => condition_of(READY, UNKNOWN, "", ""),
        _ if running.status == TRUE => condition_of(READY, FALSE, "TransferRunning", ""),
        _ => condition_of(READY, FALSE, "", ""),
    }
}

fn running(phase: Phase, claim: Option<&PersistentVolumeClaim>) -> DataVolumeCondition {
    let said = |key: &str| claim.and_then(|claim| claim.annotations().get(key)).cloned().unwrap_or_default();
    let reason = said(annotation::RUNNING_CONDITION_REASON);
    let message = said(annotation::RUNNING_CONDITION_MESSAGE);
    match said(annotation::RUNNING_CONDITION).as_str() {
        "true" if phase != Phase::Succeeded => condition_of(RUNNING, TRUE, &reason, &message),
        _ if phase == Phase::Succeeded && reason.is_empty() => condition_of(RUNNING, FALSE, "Completed", ""),
        _ => condition_of(RUNNING, FALSE, &reason, &message),
    }
}

fn gantry(
    phase: Phase,
    claim: Option<&PersistentVolumeClaim>,
    hindrance: Option<&Hindrance>,
    before: &DataVolumeStatus,
    observed: &Observed,
) -> Option<GantryStatus> {
    let before = before.gantry.clone().unwrap_or_default();
    let fingerprint = claim.and_then(|claim| claim.annotations().get(annotation::FINGERPRINT)).cloned();
    let trouble = (phase != Phase::Succeeded).then(|| trouble(claim, hindrance, observed)).flatten();
    let last_error = trouble.map(|trouble| {
        let mut error = trouble.in_status();
        let old = before.last_error.clone().filter(|old| (&old.code, &old.cause) == (&error.code, &error.cause));
        error.time = old.map_or(Some(Time(observed.now)), |old| old.time);
        error
    });
    let mut status = GantryStatus {
        // What the volume was populated with, though it is being written to by now.
        fingerprint: fingerprint.or(before.fingerprint.clone()),
        last_error,
        ..GantryStatus::default()
    };
    match &observed.worker {
        Some(worker) if !phase.is_final() => of_worker(&mut status, worker),
        _ if phase.is_final() => {
            status.attempt = before.attempt;
            status.bytes_total = before.bytes_total;
            status.bytes_done = if phase == Phase::Succeeded { before.bytes_total } else { before.bytes_done };
        }
        _ => {}
    }
    (status != GantryStatus::default()).then_some(status)
}

fn of_worker(status: &mut GantryStatus, worker: &Worker) {
    let number = |bytes: u64| Some(i64::try_from(bytes).unwrap_or(i64::MAX));
    status.step = Some(worker.step.to_string());
    status.attempt = (worker.attempt > 0).then_some(i64::from(worker.attempt));
    status.bytes_done = number(worker.at);
    status.bytes_total = (worker.total > 0).then_some(worker.total).and_then(number);
    status.bytes_per_second = number(worker.rate as u64);
    status.eta_seconds = worker.eta.map(|seconds| seconds.ceil() as i64);
}

/// The one thing that keeps the DataVolume from being ready, if there is one.
fn trouble(
    claim: Option<&PersistentVolumeClaim>,
    hindrance: Option<&Hindrance>,
    observed: &Observed,
) -> Option<Trouble> {
    if let Some(hindrance) = hindrance {
        return Some(Trouble::of(&hindrance.failure, true));
    }
    if let Some(error) = observed.worker.as_ref().and_then(|worker| worker.last_error.as_ref()) {
        return Some(Trouble::of_worker(error));
    }
    let claim = claim?;
    if let Some(text) = claim.annotations().get(annotation::LAST_ERROR) {
        return Trouble::from_json(text);
    }
    let name = claim.name_any();
    match phase_of(claim) {
        Some("Lost") => {
            Some(Trouble::of(&Failure::new(Code::ClaimLost, format!("the claim {name} lost its volume")), false))
        }
        Some("Bound") => None,
        _ if is_waiting(claim, observed) => {
            let what = format!("the class of the claim {name} waits for a first consumer");
            Some(Trouble::of(&Failure::new(Code::ClaimNoConsumer, what), true))
        }
        _ if let Some(why) = &observed.unserved => {
            Some(Trouble::of(&Failure::new(Code::ClaimPending, why.clone()), true))
        }
        _ => is_late(claim, observed).then(|| {
            let what = format!("the claim {name} has been pending for more than {} s", PATIENCE.as_secs());
            Trouble::of(&Failure::new(Code::ClaimPending, what), true)
        }),
    }
}

fn is_late(claim: &PersistentVolumeClaim, observed: &Observed) -> bool {
    let filled = claim.annotations().contains_key(annotation::POD_PHASE);
    let created = claim.creation_timestamp().map(|time| time.0);
    let age = created.map_or(0, |created| observed.now.duration_since(created).as_secs());
    !filled && age >= PATIENCE.as_secs() as i64
}

/// What a change of the status is told as.
pub(crate) fn events(data_volume: &DataVolume, before: &DataVolumeStatus, now: &DataVolumeStatus) -> Vec<Event> {
    let mut events = Vec::new();
    let name = data_volume.name_any();
    if before.phase != now.phase {
        let is_external = data_volume.spec.source.is_none();
        events.extend(match now.known_phase() {
            Phase::Succeeded if is_external => {
                Some(Event::normal("ExternalPopulationSucceeded", &format!("Successfully populated PVC {name}")))
            }
            phase => of_phase(&name, phase, now),
        });
    }
    for type_ in [BOUND, RUNNING] {
        let (old, new) = (condition::find(&before.conditions, type_), condition::find(&now.conditions, type_));
        if let Some(new) = new.filter(|new| {
            old.is_none_or(|old| (&old.status, &old.reason, &old.message) != (&new.status, &new.reason, &new.message))
        }) {
            events.extend(of_condition(new));
        }
    }
    events
}

fn of_phase(name: &str, phase: Phase, now: &DataVolumeStatus) -> Option<Event> {
    Some(match phase {
        Phase::ImportScheduled => Event::normal("ImportScheduled", &format!("Import into {name} scheduled")),
        Phase::ImportInProgress => Event::normal("ImportInProgress", &format!("Import into {name} in progress")),
        Phase::Succeeded => Event::normal("ImportSucceeded", &format!("Successfully imported into PVC {name}")),
        Phase::Failed => {
            let lost = condition::find(&now.conditions, BOUND)
                .is_some_and(|bound| bound.reason.as_deref() == Some("ClaimLost"));
            if lost {
                Event::warning("ErrClaimLost", &format!("PVC {name} lost"))
            } else {
                Event::warning("ImportFailed", &format!("Failed to import into PVC {name}"))
            }
        }
        Phase::PendingPopulation => Event::normal("PendingPopulation", &format!("PVC {name} Pending Population")),
        Phase::WaitForFirstConsumer => {
            Event::normal("WaitForFirstConsumer", &format!("PVC {name} Waiting For First Consumer"))
        }
        _ => return None,
    })
}

fn of_condition(new: &DataVolumeCondition) -> Option<Event> {
    let (reason, message) = (new.reason.as_deref()?, new.message.as_deref().unwrap_or_default());
    match (new.type_.as_str(), new.status.as_str(), reason) {
        (BOUND, TRUE, _) => Some(Event::normal("Bound", message)),
        (BOUND, FALSE, "Pending" | "NotFound") => None,
        (BOUND, FALSE, _) => Some(Event::warning(reason, message)),
        (RUNNING, FALSE, "Completed" | "Pending" | "ContainerCreating") => None,
        (RUNNING, FALSE, _) => Some(Event::warning(reason, message)),
        _ => None,
    }
}

#[cfg(test)]
mod tests;
