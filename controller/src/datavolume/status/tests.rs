use std::borrow::Cow;
use std::sync::Arc;

use contract::pod::LastError;
use kube::Resource;

use super::super::plan::tests::observed as seen;
use super::*;
use crate::sample;

const MANIFEST: &str = "
apiVersion: cdi.kubevirt.io/v1beta1
kind: DataVolume
metadata: {name: disk, namespace: home, uid: uid-of-dv}
spec: {source: {http: {url: 'http://server/disk'}}, storage: {resources: {requests: {storage: 1Gi}}}}
";

/// A DataVolume whose own claim is in this phase and has these annotations.
fn observed(phase: &str, annotations: &[(&str, &str)]) -> Observed {
    let mut observed = seen(MANIFEST);
    let mut claim = sample::claim("disk", phase, annotations);
    claim.metadata.owner_references = Some(vec![observed.data_volume.controller_owner_ref(&()).unwrap()]);
    let made_for_it = (annotation::CREATED_FOR_DATA_VOLUME.to_owned(), "uid-of-dv".to_owned());
    claim.metadata.annotations.get_or_insert_default().extend([made_for_it]);
    observed.claim = Some(Arc::new(claim));
    observed
}

fn worker(at: u64, total: u64) -> Worker {
    Worker {
        schema: Cow::Borrowed(contract::SCHEMA),
        step: Cow::Borrowed("importing"),
        attempt: 2,
        at,
        total,
        fetched: at,
        written: at,
        rate: 1e6,
        eta: Some(1.5),
        last_error: None,
    }
}

fn condition<'a>(status: &'a DataVolumeStatus, type_: &str) -> (&'a str, &'a str, &'a str) {
    let found = api::condition::find(&status.conditions, type_).unwrap();
    (&found.status, found.reason.as_deref().unwrap_or_default(), found.message.as_deref().unwrap_or_default())
}

#[test]
fn the_phase_follows_the_claim_and_its_worker() {
    let populator = (annotation::USE_POPULATOR, "true");
    for (phase, binding, annotations, expected) in [
        ("Pending", "Immediate", &[][..], "Pending"),
        ("Pending", "WaitForFirstConsumer", &[], "WaitForFirstConsumer"),
        ("Pending", "WaitForFirstConsumer", &[populator], "PendingPopulation"),
        ("Pending", "WaitForFirstConsumer", &[populator, (annotation::SELECTED_NODE, "n")], "Pending"),
        ("Pending", "WaitForFirstConsumer", &[populator, (annotation::BIND_IMMEDIATE, "")], "Pending"),
        ("Bound", "Immediate", &[], "PVCBound"),
        ("Pending", "Immediate", &[(annotation::POD_PHASE, "Pending")], "ImportScheduled"),
        ("Bound", "Immediate", &[(annotation::POD_PHASE, "Running")], "ImportInProgress"),
        ("Pending", "Immediate", &[(annotation::POD_PHASE, "Succeeded")], "ImportInProgress"),
        ("Bound", "Immediate", &[(annotation::POD_PHASE, "Succeeded")], "Succeeded"),
        ("Bound", "Immediate", &[(annotation::EXTERNAL_POPULATION, "true")], "Succeeded"),
        ("Bound", "Immediate", &[(annotation::IMPORT_FATAL_ERROR, "true")], "Failed"),
        ("Lost", "Immediate", &[], "Failed"),
        ("Strange", "Immediate", &[], "Unknown"),
    ] {
        let mut seen = observed(phase, annotations);
        seen.classes = vec![Arc::new(sample::class(binding))];
        assert_eq!(of(&seen, None).phase.as_deref(), Some(expected), "{phase} {binding} {annotations:?}");
    }
}

#[test]
fn that_a_pod_was_made_and_ran_is_told_before_what_has_come_of_it() {
    let told = |before: &str, mut seen: Observed| {
        let status = DataVolumeStatus { phase: Some(before.into()), ..DataVolumeStatus::default() };
        seen.data_volume = Arc::new(DataVolume { status: Some(status), ..(*seen.data_volume).clone() });
        of(&seen, None).phase.unwrap_or_default()
    };
    for now in ["Running", "Succeeded"] {
        let with_pod = observed("Bound", &[(annotation::POD_PHASE, now), (annotation::IMPORT_POD, "importer-disk")]);
        let reached = if now == "Running" { "ImportInProgress" } else { "Succeeded" };
        for before in ["", "Pending", "PendingPopulation", "WaitForFirstConsumer", "PVCBound"] {
            assert_eq!(told(before, with_pod.clone()), "ImportScheduled", "{before} {now}");
        }
        assert_eq!(told("ImportScheduled", with_pod.clone()), "ImportInProgress");
        assert_eq!(told("ImportInProgress", with_pod.clone()), reached);
        let mut marked = with_pod.clone();
        let claim = Arc::make_mut(marked.claim.as_mut().unwrap());
        claim.metadata.annotations.as_mut().unwrap().insert(annotation::POPULATED_FOR.into(), "disk".into());
        assert_eq!(
            told("ImportScheduled", marked),
            "ImportInProgress",
            "that the claim is known to be filled is no matter"
        );
        let without = [(annotation::POD_PHASE, now), (annotation::POD_RESTARTS, "0")];
        assert_eq!(told("Pending", observed("Bound", &without)), reached, "without a pod");
        let mut adopted = with_pod;
        let claim = Arc::make_mut(adopted.claim.as_mut().unwrap());
        claim.metadata.annotations.as_mut().unwrap().remove(annotation::CREATED_FOR_DATA_VOLUME);
        assert_eq!(told("Pending", adopted), "Succeeded", "what an adopted claim went through is over");
    }
}

#[test]
fn the_end_of_the_import_and_the_claim_that_has_its_volume_are_one_step() {
    let running = [(annotation::POD_PHASE, "Running"), (annotation::RUNNING_CONDITION, "true")];
    let before = of(&observed("Pending", &running), None);
    let mut seen = observed("Pending", &[(annotation::POD_PHASE, "Succeeded"), (annotation::POD_RESTARTS, "0")]);
    seen.data_volume = Arc::new(DataVolume { status: Some(before.clone()), ..(*seen.data_volume).clone() });
    seen.ended = Some(seen.now);
    assert_eq!((of(&seen, None), again(&seen, None)), (before.clone(), Some(HAND_OVER)));
    seen.now += HAND_OVER;
    assert_ne!(of(&seen, None), before, "it takes long: that the importer has ended is told");
    assert_eq!(again(&seen, None), Some(PATIENCE));
    let mut failed =
        observed("Pending", &[(annotation::POD_PHASE, "Succeeded"), (annotation::IMPORT_FATAL_ERROR, "true")]);
    (failed.data_volume, failed.ended) = (seen.data_volume, Some(failed.now));
    assert_eq!(of(&failed, None).phase.as_deref(), Some("Failed"), "there is nothing to hand over");
}

#[test]
fn a_populator_waits_for_a_consumer_whatever_the_gate_says_and_all_that_waits_is_looked_at_again() {
    for (populated, phase) in [("true", "PendingPopulation"), ("false", "Pending")] {
        let mut seen = observed("Pending", &[(annotation::USE_POPULATOR, populated)]);
        seen.classes = vec![Arc::new(sample::class("WaitForFirstConsumer"))];
        seen.features.honour_wait_for_first_consumer = false;
        assert_eq!(of(&seen, None).phase.as_deref(), Some(phase));
    }
    let refused = Hindrance { failure: Failure::new(Code::ClaimNotValid, "too big"), reason: "ErrClaimNotValid" };
    assert_eq!(again(&seen(MANIFEST), Some(&refused)), Some(AGAIN));
}

#[test]
fn progress_is_the_workers_and_full_only_at_the_end() {
    let mut seen = observed("Bound", &[(annotation::POD_PHASE, "Running")]);
    assert_eq!(of(&seen, None).progress.as_deref(), Some("N/A"));
    seen.worker = Some(worker(1, 3));
    let status = of(&seen, None);
    assert_eq!(status.progress.as_deref(), Some("33.33%"));
    let gantry = status.gantry.unwrap();
    assert_eq!(
        (gantry.bytes_done, gantry.bytes_total, gantry.attempt, gantry.eta_seconds),
        (Some(1), Some(3), Some(2), Some(2))
    );
    seen.worker = Some(worker(3, 3));
    assert_eq!(of(&seen, None).progress.as_deref(), Some("99.99%"));
    let done = observed("Bound", &[(annotation::POD_PHASE, "Succeeded")]);
    assert_eq!(of(&done, None).progress.as_deref(), Some("100.0%"));
}

#[test]
fn conditions_say_what_cdi_says() {
    let nothing = seen(MANIFEST);
    let status = of(&nothing, None);
    assert_eq!(condition(&status, BOUND), ("False", "NotFound", "No PVC found"));
    let pending = of(&observed("Pending", &[]), None);
    assert_eq!(condition(&pending, BOUND), ("False", "Pending", "PVC disk Pending"));
    let running = [
        (annotation::POD_PHASE, "Running"),
        (annotation::RUNNING_CONDITION, "true"),
        (annotation::RUNNING_CONDITION_REASON, "Pod is running"),
    ];
    let running = of(&observed("Bound", &running), None);
    assert_eq!(condition(&running, BOUND), ("True", "Bound", "PVC disk Bound"));
    assert_eq!(condition(&running, RUNNING), ("True", "Pod is running", ""));
    assert_eq!(condition(&running, READY), ("False", "TransferRunning", ""));
    let done = [
        (annotation::POD_PHASE, "Succeeded"),
        (annotation::RUNNING_CONDITION, "false"),
        (annotation::RUNNING_CONDITION_REASON, "Completed"),
        (annotation::RUNNING_CONDITION_MESSAGE, "Import Complete"),
    ];
    let done = of(&observed("Bound", &done), None);
    assert_eq!(condition(&done, RUNNING), ("False", "Completed", "Import Complete"));
    assert_eq!(condition(&done, READY).0, "True");
}

#[test]
fn a_status_that_says_nothing_new_is_the_same() {
    let first = observed("Bound", &[(annotation::POD_PHASE, "Running")]);
    let status = of(&first, None);
    let mut second = first.clone();
    let with_status = DataVolume { status: Some(status.clone()), ..(*first.data_volume).clone() };
    second.data_volume = Arc::new(with_status);
    second.now = "2026-01-01T00:00:00Z".parse().unwrap();
    assert_eq!(of(&second, None), status, "times move with what they are of");
}

#[test]
fn the_trouble_that_is_nearest_is_told() {
    let code = |seen: &Observed, hindrance: Option<&Hindrance>| {
        of(seen, hindrance).gantry.and_then(|gantry| gantry.last_error).map(|error| error.code)
    };
    let stored = Trouble::of(&Failure::new(Code::PodImage, "no such image"), true).to_json();
    let mut seen = observed("Pending", &[(annotation::LAST_ERROR, &stored), (annotation::POD_PHASE, "Pending")]);
    assert_eq!(code(&seen, None).as_deref(), Some("pod-image"));
    let mut failing = worker(0, 0);
    failing.last_error = Some(LastError {
        code: Cow::Borrowed("source-unreachable"),
        cause: "no route".into(),
        remedy: "check".into(),
        retried: true,
    });
    seen.worker = Some(failing);
    assert_eq!(code(&seen, None).as_deref(), Some("source-unreachable"));
    let quota = Hindrance { failure: Failure::new(Code::QuotaExceeded, "exceeded quota"), reason: "ErrExceededQuota" };
    assert_eq!(code(&seen, Some(&quota)).as_deref(), Some("quota-exceeded"));
    assert_eq!(code(&observed("Lost", &[]), None).as_deref(), Some("claim-lost"));
    let done = observed("Bound", &[(annotation::POD_PHASE, "Succeeded"), (annotation::LAST_ERROR, &stored)]);
    assert_eq!(code(&done, None), None, "what succeeded has no trouble");
    let mut waiting = observed("Pending", &[]);
    waiting.classes = vec![Arc::new(sample::class("WaitForFirstConsumer"))];
    assert_eq!(code(&waiting, None).as_deref(), Some("claim-no-consumer"));
}

#[test]
fn a_change_of_phase_is_an_event_with_cdis_reason() {
    let reasons = |seen: &Observed| {
        let status = of(seen, None);
        let events = events(&seen.data_volume, &DataVolumeStatus::default(), &status);
        events.into_iter().map(|event| (event.reason, event.warning)).collect::<Vec<_>>()
    };
    let succeeded = reasons(&observed("Bound", &[(annotation::POD_PHASE, "Succeeded")]));
    assert_eq!(succeeded, [("ImportSucceeded".to_owned(), false), ("Bound".to_owned(), false)]);
    let mut external = observed("Bound", &[(annotation::EXTERNAL_POPULATION, "true")]);
    let mut data_volume = (*external.data_volume).clone();
    data_volume.spec.source = None;
    external.data_volume = Arc::new(data_volume);
    assert_eq!(reasons(&external)[0].0, "ExternalPopulationSucceeded");
    let lost = reasons(&observed("Lost", &[]));
    assert_eq!(lost, [("ErrClaimLost".to_owned(), true), ("ClaimLost".to_owned(), true)]);
    let running = reasons(&observed("Bound", &[(annotation::POD_PHASE, "Running")]));
    assert_eq!(running[0].0, "ImportInProgress");
}
