use std::sync::Arc;

use contract::pod::FailureWords;
use k8s_openapi::api::core::v1::PersistentVolumeClaim;
use serde_json::{Value, json};

use super::*;
use crate::import::Workload;
use crate::sample;

const HTTP: &[(&str, &str)] =
    &[(annotation::IMPORT_SOURCE, "http"), (annotation::IMPORT_ENDPOINT, "http://server/disk.qcow2")];
const BLANK: &[(&str, &str)] = &[(annotation::IMPORT_SOURCE, "none")];

fn observed(claim: PersistentVolumeClaim, status: Option<&Value>) -> Observed {
    Observed {
        claim: Arc::new(claim),
        pod: status.map(|status| Arc::new(sample::pod(status))),
        unmounted: None,
        users: Vec::new(),
        waits_for_consumer: false,
        honours_wait: true,
        workload: Workload { overhead: "0.06".into(), verbosity: 1, ..Workload::default() },
        now: "2026-01-01T00:00:00Z".parse().unwrap(),
    }
}

fn http(phase: &str, more: &[(&str, &str)]) -> PersistentVolumeClaim {
    sample::claim("disk", phase, &[HTTP, more].concat())
}

fn decided(observed: &Observed) -> Plan {
    plan(observed, &sample::settings())
}

fn annotated<'a>(plan: &'a Plan, key: &str) -> Option<&'a str> {
    plan.annotations.get(key).and_then(Option::as_deref)
}

#[test]
fn a_pod_starts_once_the_claim_is_bound_or_may_be_bound_by_it() {
    let at_once = [(annotation::BIND_IMMEDIATE, "")];
    let placed = [(annotation::BIND_IMMEDIATE, ""), (annotation::SELECTED_NODE, "node-1")];
    for (phase, annotations, waits, honours, starts) in [
        ("Bound", &[][..], false, true, true),
        ("Pending", &[], false, true, false),
        ("Pending", &[], true, true, false),
        ("Pending", &[], true, false, true),
        ("Pending", &at_once, true, true, true),
        ("Pending", &at_once, false, true, false),
        ("Pending", &placed, true, true, false),
        ("Bound", &placed, true, true, true),
    ] {
        let mut seen = observed(http(phase, annotations), None);
        (seen.waits_for_consumer, seen.honours_wait) = (waits, honours);
        let plan = decided(&seen);
        assert_eq!(plan.create.is_some(), starts, "{phase} {annotations:?} {waits} {honours}");
    }
}

#[test]
fn a_claim_in_use_waits_and_names_its_users_once() {
    let mut seen = observed(http("Bound", &[]), None);
    seen.users = vec!["vm-1".into()];
    let plan = decided(&seen);
    assert!(plan.create.is_none() && plan.again.is_some());
    assert!(
        plan.events[0].warning && plan.events[0].reason == "ImportTargetInUse" && plan.events[0].note.contains("vm-1")
    );
    let told =
        plan.annotations.iter().map(|(key, value)| (key.as_str(), value.as_deref().unwrap())).collect::<Vec<_>>();
    let mut again = observed(http("Bound", &told), None);
    again.users = seen.users;
    let plan = decided(&again);
    assert!(plan.events.is_empty() && plan.annotations.is_empty() && plan.again.is_some());
}

#[test]
fn a_running_pod_is_shown_and_shown_once() {
    let running = sample::container("Running", 1, &json!({"running": {}}), &Value::Null);
    let plan = decided(&observed(http("Bound", &[]), Some(&running)));
    assert_eq!(annotated(&plan, annotation::POD_PHASE), Some("Running"));
    assert_eq!(annotated(&plan, annotation::POD_RESTARTS), Some("1"));
    assert_eq!(annotated(&plan, annotation::RUNNING_CONDITION), Some("true"));
    let shown =
        plan.annotations.iter().map(|(key, value)| (key.as_str(), value.as_deref().unwrap())).collect::<Vec<_>>();
    assert_eq!(decided(&observed(http("Bound", &shown), Some(&running))), Plan::default());
}

#[test]
fn a_finished_pod_leaves_its_words_and_then_goes_unless_it_is_to_stay() {
    let words =
        r#"{"message":"Import Complete","preallocationApplied":true,"labels":{"a":"b"},"fingerprint":"gantry1:1:ff"}"#;
    let done = sample::container("Succeeded", 1, &sample::ended(0, "Completed", words), &Value::Null);
    let plan = decided(&observed(http("Bound", &[]), Some(&done)));
    assert_eq!(annotated(&plan, annotation::POD_PHASE), Some("Succeeded"));
    assert_eq!(annotated(&plan, annotation::POD_RESTARTS), Some("1"), "nobody has seen it before");
    assert_eq!(annotated(&plan, annotation::PREALLOCATION_APPLIED), Some("true"));
    assert_eq!(annotated(&plan, annotation::FINGERPRINT), Some("gantry1:1:ff"));
    assert_eq!(annotated(&plan, annotation::RUNNING_CONDITION_MESSAGE), Some("Import Complete"));
    assert_eq!(plan.labels, [("a".to_owned(), "b".to_owned())].into());
    assert!(!plan.delete, "before it is known to be finished the pod stays");
    let finished = [(annotation::POD_PHASE, "Succeeded")];
    let kept = [(annotation::POD_PHASE, "Succeeded"), (annotation::RETAIN_AFTER_COMPLETION, "true")];
    for (annotations, goes) in [(&finished[..], true), (&kept, false)] {
        let plan = decided(&observed(http("Bound", annotations), Some(&done)));
        assert_eq!(plan, Plan { delete: goes, ..Plan::default() });
    }
}

#[test]
fn a_wrong_checksum_ends_the_import_for_good() {
    let words = r#"{"message":"checksum mismatch: sha256 is other"}"#;
    let done = sample::container("Succeeded", 0, &sample::ended(0, "Completed", words), &Value::Null);
    let plan = decided(&observed(http("Bound", &[]), Some(&done)));
    assert_eq!(annotated(&plan, annotation::IMPORT_FATAL_ERROR), Some("true"));
    assert_eq!(annotated(&plan, annotation::RUNNING_CONDITION_REASON), Some("ChecksumError"));
    let trouble = Trouble::from_json(annotated(&plan, annotation::LAST_ERROR).unwrap()).unwrap();
    assert_eq!((trouble.code.as_str(), trouble.retried), ("checksum-mismatch", false));
    let over = decided(&observed(http("Bound", &[(annotation::IMPORT_FATAL_ERROR, "true")]), None));
    assert_eq!(over, Plan::default(), "nothing is tried again");
}

#[test]
fn a_failure_is_told_with_its_code_and_its_remedy() {
    let words = FailureWords {
        words: "Unable to connect to http data source: 404".into(),
        code: Code::SourceNotFound,
        remedy: "check the address or the path".into(),
    };
    let waiting = json!({"waiting": {"reason": "CrashLoopBackOff", "message": "back-off"}});
    let failed = sample::container("Running", 2, &waiting, &sample::ended(1, "Error", &words.to_string()));
    let plan = decided(&observed(http("Bound", &[]), Some(&failed)));
    let trouble = Trouble::from_json(annotated(&plan, annotation::LAST_ERROR).unwrap()).unwrap();
    assert_eq!(
        (trouble.code.as_str(), trouble.cause.as_str(), trouble.remedy.as_str(), trouble.retried),
        ("source-not-found", words.words.as_str(), words.remedy.as_str(), true)
    );
    assert_eq!(annotated(&plan, annotation::RUNNING_CONDITION_REASON), Some("Error"));
    assert_eq!((plan.events.len(), plan.events[0].reason.as_str()), (1, "ErrImportFailed"));
}

fn waiting(reason: &str) -> Value {
    json!({"waiting": {"reason": reason, "message": "why"}})
}

#[test]
fn what_keeps_a_pod_from_running_has_its_own_code() {
    for (reason, code, shown) in [
        ("ErrImagePull", "pod-image", "ImagePullFailed"),
        ("ImagePullBackOff", "pod-image", "ImagePullFailed"),
        ("CreateContainerConfigError", "pod-config", "CreateContainerConfigError"),
    ] {
        let status = sample::container("Pending", 0, &waiting(reason), &Value::Null);
        let plan = decided(&observed(http("Bound", &[]), Some(&status)));
        let trouble = Trouble::from_json(annotated(&plan, annotation::LAST_ERROR).unwrap()).unwrap();
        assert_eq!(
            (trouble.code.as_str(), annotated(&plan, annotation::RUNNING_CONDITION_REASON)),
            (code, Some(shown))
        );
    }
    let unschedulable = json!({"phase": "Pending", "conditions": [
        {"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": "0/1 nodes"}]});
    let plan = decided(&observed(http("Bound", &[]), Some(&unschedulable)));
    assert_eq!(annotated(&plan, annotation::POD_SCHEDULABLE), Some("false"));
    assert!(annotated(&plan, annotation::LAST_ERROR).unwrap().contains("pod-unschedulable"));
}

#[test]
fn a_volume_that_a_kubelet_cannot_give_is_told_until_it_is_at_what_comes_after_it() {
    let missing = "configmap \"authorities\" not found";
    let passing =
        "persistentvolumeclaims \"disk\" is forbidden: no relationship found between node 'a' and this object";
    let running = json!({"running": {}});
    for (state, why, told) in [
        (waiting("ContainerCreating"), missing, Some("pod-config")),
        (waiting("ContainerCreating"), passing, Some("pod-failed")),
        (waiting("ErrImagePull"), passing, Some("pod-image")),
        (running, missing, None),
    ] {
        let mut seen = observed(http("Bound", &[]), Some(&sample::container("Pending", 0, &state, &Value::Null)));
        seen.unmounted = Some(why.into());
        let plan = decided(&seen);
        let trouble = annotated(&plan, annotation::LAST_ERROR).and_then(Trouble::from_json);
        assert_eq!(trouble.as_ref().map(|trouble| trouble.code.as_str()), told, "{state}");
        assert_eq!(trouble.is_some_and(|trouble| trouble.cause.contains(why)), state == waiting("ContainerCreating"));
    }
}

#[test]
fn a_pod_that_is_gone_for_good_makes_room_for_its_successor() {
    let evicted = json!({"phase": "Failed", "reason": "Evicted", "message": "The node was low on resource"});
    let plan = decided(&observed(http("Bound", &[(annotation::POD_RESTARTS, "3")]), Some(&evicted)));
    assert!(plan.delete);
    assert_eq!(annotated(&plan, annotation::POD_RESTARTS), Some("4"));
    assert!(annotated(&plan, annotation::LAST_ERROR).unwrap().contains("pod-evicted"));
}

#[test]
fn a_pod_killed_for_its_memory_is_made_again_without_the_page_cache() {
    let killed = sample::container("Running", 0, &sample::ended(137, "OOMKilled", ""), &Value::Null);
    let plan = decided(&observed(http("Bound", &[]), Some(&killed)));
    assert!(plan.delete && annotated(&plan, annotation::REQUIRES_DIRECT_IO) == Some("true"));
    let again = decided(&observed(http("Bound", &[(annotation::REQUIRES_DIRECT_IO, "true")]), Some(&killed)));
    assert!(!again.delete, "once is enough; the kubelet goes on");
    // The kubelet may start it again before it goes.
    let shown: Vec<_> = plan.annotations.iter().map(|(key, value)| (key.as_str(), value.as_deref().unwrap())).collect();
    let running = sample::container("Running", 1, &json!({"running": {}}), &Value::Null);
    let mut going = observed(http("Bound", &shown), Some(&running));
    Arc::make_mut(going.pod.as_mut().unwrap()).metadata.deletion_timestamp =
        Some(k8s_openapi::apimachinery::pkg::apis::meta::v1::Time(jiff::Timestamp::UNIX_EPOCH));
    assert_eq!(decided(&going), Plan::default(), "what it was killed for stays told");
    let successor = decided(&observed(http("Bound", &[(annotation::REQUIRES_DIRECT_IO, "true")]), None));
    let environment = successor.create.unwrap().spec.unwrap().containers[0].env.clone().unwrap();
    assert!(environment.iter().any(|one| one.name == "CACHE_MODE" && one.value.as_deref() == Some("TRYNONE")));
}

#[test]
fn an_empty_block_volume_needs_no_pod_but_to_be_bound() {
    let block = |phase: &str, more: &[(&str, &str)]| {
        let mut claim = sample::claim("disk", phase, &[BLANK, more].concat());
        claim.spec.as_mut().unwrap().volume_mode = Some("Block".into());
        claim
    };
    let plan = decided(&observed(block("Bound", &[]), None));
    assert_eq!((annotated(&plan, annotation::POD_PHASE), &plan.create), (Some("Succeeded"), &None));
    let mut used = observed(block("Bound", &[]), None);
    used.workload.is_used = true;
    let environment = decided(&used).create.unwrap().spec.unwrap().containers[0].env.clone().unwrap();
    assert!(environment.iter().any(|one| one.name == "GANTRY_USED_VOLUME"), "it is made empty");
    assert_eq!(decided(&observed(block("Pending", &[]), None)), Plan::default());
    let mut waiting = observed(block("Pending", &[(annotation::BIND_IMMEDIATE, "")]), None);
    waiting.waits_for_consumer = true;
    assert!(decided(&waiting).create.is_some(), "nothing else would bind it");
    let full = decided(&observed(block("Bound", &[(annotation::PREALLOCATION_REQUESTED, "true")]), None));
    assert!(full.create.is_some(), "its zeros have to be written");
}

#[test]
fn a_claim_that_is_deleted_loses_its_pod() {
    let running = sample::container("Running", 0, &json!({"running": {}}), &Value::Null);
    let mut seen = observed(http("Bound", &[]), Some(&running));
    let mut claim = (*seen.claim).clone();
    claim.metadata.deletion_timestamp =
        Some(k8s_openapi::apimachinery::pkg::apis::meta::v1::Time(jiff::Timestamp::UNIX_EPOCH));
    seen.claim = Arc::new(claim);
    assert_eq!(decided(&seen), Plan { delete: true, ..Plan::default() });
    // The kubelet takes a moment to call a pod ended whose container has.
    let mut ended = sample::ended(0, "Completed", "{}");
    ended["terminated"]["finishedAt"] = json!("2026-01-01T00:00:00Z");
    seen.pod = Some(Arc::new(sample::pod(&sample::container("Running", 0, &ended, &Value::Null))));
    assert_eq!(decided(&seen), Plan { again: Some(LOOK_AGAIN), ..Plan::default() });
    seen.now += LOOK_AGAIN;
    assert_eq!(decided(&seen), Plan { delete: true, ..Plan::default() });
    seen.now -= LOOK_AGAIN;
    seen.pod = Some(Arc::new(sample::pod(&sample::container("Succeeded", 0, &ended, &Value::Null))));
    assert_eq!(decided(&seen), Plan { delete: true, ..Plan::default() }, "it holds the claim as long as it is there");
}

#[test]
fn a_pod_that_does_not_run_is_made_anew_when_it_would_be_made_otherwise() {
    let made_from = |workload: &Workload| {
        let mut seen = observed(http("Bound", &[]), None);
        seen.workload = workload.clone();
        decided(&seen).create.unwrap().annotations()[annotation::MADE_FROM].clone()
    };
    let before = Workload { overhead: "0.06".into(), verbosity: 1, ..Workload::default() };
    let now = Workload { denied: "private".into(), ..before.clone() };
    let (old, new) = (made_from(&before), made_from(&now));
    assert_ne!(old, new);
    let failed = sample::container(
        "Running",
        3,
        &json!({"waiting": {"reason": "CrashLoopBackOff"}}),
        &sample::ended(1, "Error", ""),
    );
    let no_image = sample::container("Pending", 0, &json!({"waiting": {"reason": "ErrImagePull"}}), &Value::Null);
    let running = sample::container("Running", 0, &json!({"running": {}}), &Value::Null);
    let done = sample::container("Succeeded", 0, &sample::ended(0, "Completed", "{}"), &Value::Null);
    for (status, made_from, anew) in [
        (&failed, Some(&old), true),
        (&no_image, Some(&old), true),
        (&failed, Some(&new), false),
        (&running, Some(&old), false),
        (&done, Some(&old), false),
        (&failed, None, false),
    ] {
        let mut seen = observed(http("Bound", &[]), Some(status));
        seen.workload = now.clone();
        let mut pod = (**seen.pod.as_ref().unwrap()).clone();
        pod.metadata.annotations = made_from.map(|digest| [(annotation::MADE_FROM.to_owned(), digest.clone())].into());
        seen.pod = Some(Arc::new(pod.clone()));
        let plan = decided(&seen);
        assert_eq!(plan.delete, anew, "{status} {made_from:?}");
        assert_eq!(plan == Plan { delete: true, ..Plan::default() }, anew, "what is told stays told");
        if anew {
            pod.metadata.deletion_timestamp =
                Some(k8s_openapi::apimachinery::pkg::apis::meta::v1::Time(jiff::Timestamp::UNIX_EPOCH));
            seen.pod = Some(Arc::new(pod));
            assert_eq!(decided(&seen), Plan::default(), "it is not told as evicted while it goes");
        }
    }
}

#[test]
fn a_pod_that_is_deleted_when_it_is_done_is_done() {
    let deleted = |status: &Value| {
        let mut seen = observed(http("Bound", &[]), Some(status));
        let mut pod = (**seen.pod.as_ref().unwrap()).clone();
        pod.metadata.deletion_timestamp =
            Some(k8s_openapi::apimachinery::pkg::apis::meta::v1::Time(jiff::Timestamp::UNIX_EPOCH));
        seen.pod = Some(Arc::new(pod));
        decided(&seen)
    };
    let done = |words: &str| sample::container("Running", 0, &sample::ended(0, "Completed", words), &Value::Null);
    let plan = deleted(&done(r#"{"message":"Import Complete"}"#));
    assert_eq!(annotated(&plan, annotation::POD_PHASE), Some("Succeeded"));
    let plan = deleted(&done(r#"{"message":"checksum mismatch: sha256 is other"}"#));
    assert_eq!(annotated(&plan, annotation::IMPORT_FATAL_ERROR), Some("true"));
    let plan = deleted(&sample::container("Running", 0, &json!({"running": {}}), &Value::Null));
    assert_eq!(annotated(&plan, annotation::RUNNING_CONDITION_REASON), Some("Evicted"));
}
