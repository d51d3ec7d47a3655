use std::sync::Arc;

use api::cdi::VolumeImportSource;
use k8s_openapi::api::storage::v1::StorageClass;

use super::*;
use crate::sample;

const SOURCE: &str = "
apiVersion: cdi.kubevirt.io/v1beta1
kind: VolumeImportSource
metadata: {name: source, namespace: home}
spec: {source: {http: {url: 'http://server/disk', checksum: 'sha256:00'}}, preallocation: true}
";

/// A target called `disk` in this phase, of a class that binds as said, with a source.
fn observed(phase: &str, binding: &str, annotations: &[(&str, &str)]) -> Observed {
    Observed {
        target: Arc::new(sample::claim("disk", phase, annotations)),
        source: Some(Arc::new(sample::yaml::<VolumeImportSource>(SOURCE))),
        class: Some(Arc::new(sample::class(binding))),
        prime: None,
        volume: None,
        unserved: None,
        preallocation: false,
        importer: None,
        worker: None,
    }
}

/// With a prime claim in this phase, and its volume; these annotations say on the target what the import has come to.
fn with_prime(phase: &str, annotations: &[(&str, &str)]) -> Observed {
    let mut observed = observed("Pending", "Immediate", annotations);
    observed.prime = Some(Arc::new(sample::claim("prime-uid-of-disk", phase, &[])));
    observed.volume = (phase == "Bound").then(|| Arc::new(sample::volume_of("prime-uid-of-disk")));
    observed
}

fn decided(observed: &Observed) -> Plan {
    plan(observed, &sample::settings())
}

#[test]
fn the_prime_claim_is_made_once_the_target_may_be_bound() {
    for (binding, annotations, begins) in [
        ("Immediate", &[][..], true),
        ("WaitForFirstConsumer", &[], false),
        ("WaitForFirstConsumer", &[(annotation::SELECTED_NODE, "node-1")], true),
        ("WaitForFirstConsumer", &[(annotation::BIND_IMMEDIATE, "")], true),
    ] {
        let plan = decided(&observed("Pending", binding, annotations));
        assert_eq!(plan.create.is_some(), begins, "{binding} {annotations:?}");
    }
    for missing in ["source", "class"] {
        let mut seen = observed("Pending", "Immediate", &[]);
        if missing == "source" {
            seen.source = None;
        } else {
            seen.class = None;
        }
        assert_eq!(decided(&seen), Plan::default(), "{missing}");
    }
}

#[test]
fn the_prime_claim_asks_for_the_same_volume_and_for_the_import() {
    let mut seen = observed("Pending", "WaitForFirstConsumer", &[(annotation::SELECTED_NODE, "node-1")]);
    let mut target = (*seen.target).clone();
    target.metadata.labels = Some([("team".to_owned(), "blue".to_owned())].into());
    target.spec.as_mut().unwrap().data_source_ref = Some(Default::default());
    seen.target = Arc::new(target);
    let prime = *decided(&seen).create.unwrap();
    let annotations = prime.annotations().clone();
    for (key, value) in [
        (annotation::IMPORT_ENDPOINT, "http://server/disk"),
        (annotation::IMPORT_CHECKSUM, "sha256:00"),
        (annotation::PREALLOCATION_REQUESTED, "true"),
        (annotation::SELECTED_NODE, "node-1"),
        (annotation::BIND_IMMEDIATE, ""),
    ] {
        assert_eq!(annotations.get(key).map(String::as_str), Some(value), "{key}");
    }
    assert_eq!(prime.labels().get("team").map(String::as_str), Some("blue"));
    let (spec, of_target) = (prime.spec.clone().unwrap(), seen.target.spec.clone().unwrap());
    assert_eq!((spec.data_source_ref, spec.resources), (None, of_target.resources));
    let owner = &prime.owner_references()[0];
    assert_eq!((owner.uid.as_str(), owner.controller), ("uid-of-disk", Some(true)));
}

#[test]
fn what_keeps_the_prime_claim_from_a_volume_is_told_on_the_target_until_it_has_one() {
    for (phase, told) in [("Pending", true), ("Bound", false), ("Lost", false)] {
        let mut seen = with_prime(phase, &[]);
        seen.unserved = Some("the pool is full".into());
        let plan = decided(&seen);
        let said = plan.annotations.get(annotation::BOUND_CONDITION_MESSAGE).cloned().flatten();
        assert_eq!(said.is_some_and(|said| said == "[prime-uid-of-disk] : the pool is full"), told);
        assert_eq!(plan.events.len(), usize::from(told));
    }
}

#[test]
fn what_is_over_is_not_told_any_more_and_the_importers_troubles_are_its_own() {
    let code_of = |code| Trouble::of(&Failure::new(code, "why"), true).to_json();
    for (code, goes) in [
        (Code::ClaimPending, true),
        (Code::QuotaExceeded, true),
        (Code::SourceNotFound, false),
        (Code::PodUnschedulable, false),
    ] {
        let said = [(annotation::BOUND_CONDITION_REASON, "Pending"), (annotation::LAST_ERROR, &*code_of(code))];
        let plan = decided(&with_prime("Bound", &said));
        assert_eq!(plan.annotations.get(annotation::BOUND_CONDITION_REASON), Some(&None));
        assert_eq!(plan.annotations.contains_key(annotation::LAST_ERROR), goes, "{code:?}");
    }
    let plan = decided(&with_prime("Bound", &[(annotation::LAST_ERROR, &*code_of(Code::QuotaExceeded))]));
    assert_eq!(plan, Plan::default(), "nothing of ours is told: it is the importer's quota");
}

#[test]
fn a_volume_that_an_importer_works_on_is_not_handed_over_whatever_is_said() {
    let mut seen = with_prime("Bound", &[(annotation::POD_PHASE, "Succeeded")]);
    let pod = |state: Value| Arc::new(sample::pod(&sample::container("Running", 0, &state, &Value::Null)));
    seen.importer = Some(pod(json!({"running": {}})));
    assert_eq!(decided(&seen).hand_over, None);
    seen.importer = Some(pod(sample::ended(0, "Completed", "{}")));
    assert!(decided(&seen).hand_over.is_some());
}

#[test]
fn the_volume_is_handed_over_when_it_is_complete() {
    assert_eq!(decided(&with_prime("Bound", &[(annotation::POD_PHASE, "Running")])).hand_over, None);
    let plan = decided(&with_prime("Bound", &[(annotation::POD_PHASE, "Succeeded")]));
    let claim = &plan.hand_over.unwrap()["spec"]["claimRef"];
    assert_eq!(
        (&claim["name"], &claim["uid"], &claim["namespace"]),
        (&json!("disk"), &json!("uid-of-disk"), &json!("home"))
    );
}

#[test]
fn a_volume_is_handed_over_to_nobody_else_and_only_once() {
    let complete = [(annotation::POD_PHASE, "Succeeded")];
    let changed = |change: &dyn Fn(&mut Observed)| {
        let mut seen = with_prime("Bound", &complete);
        change(&mut seen);
        decided(&seen)
    };
    let stolen = changed(&|seen| {
        let mut volume = sample::volume_of("prime-uid-of-disk");
        volume.spec.claim_ref.as_mut().unwrap().uid = Some("another".into());
        seen.volume = Some(Arc::new(volume));
    });
    assert_eq!((stolen.hand_over, stolen.events.last().unwrap().reason.as_str()), (None, "ErrIncompatiblePVC"));
    let told = stolen.annotations[annotation::LAST_ERROR].clone().unwrap();
    assert!(told.contains("claim-not-valid") && told.contains("belongs to another claim"), "{told}");
    let grown = changed(&|seen| {
        let mut target = (*seen.target).clone();
        let wanted = [("storage".to_owned(), k8s_openapi::apimachinery::pkg::api::resource::Quantity("2Gi".into()))];
        target.spec.as_mut().unwrap().resources.as_mut().unwrap().requests = Some(wanted.into());
        seen.target = Arc::new(target);
    });
    assert_eq!(grown.hand_over, None);
    let done = changed(&|seen| {
        let mut volume = sample::volume_of("disk");
        volume.metadata.name = Some("volume-of-prime-uid-of-disk".into());
        seen.volume = Some(Arc::new(volume));
    });
    assert_eq!(done.hand_over, None);
}

#[test]
fn the_prime_claim_goes_when_the_target_is_seen_to_have_the_volume() {
    for (holder, annotations, goes) in [
        ("disk", &[][..], true),
        ("prime-uid-of-disk", &[], false),
        ("disk", &[(annotation::RETAIN_AFTER_COMPLETION, "true")], false),
    ] {
        let mut seen = observed("Bound", "Immediate", annotations);
        seen.prime = Some(Arc::new(sample::claim("prime-uid-of-disk", "Lost", &[])));
        seen.volume = Some(Arc::new(sample::volume_of(holder)));
        assert_eq!(decided(&seen).delete_prime, goes, "{holder} {annotations:?}");
    }
}

#[test]
fn a_target_is_filled_again_where_its_complete_volume_went_before_it_was_handed_over() {
    let said = [(annotation::POD_PHASE, "Succeeded"), (annotation::FINGERPRINT, "gantry1:1:ff"), ("team/owner", "me")];
    let plan = decided(&observed("Pending", "Immediate", &said));
    let change = [(annotation::POD_PHASE, Some("Pending")), (annotation::FINGERPRINT, None)];
    let change = change.map(|(key, value)| (key.to_owned(), value.map(str::to_owned)));
    assert_eq!((plan.annotations, plan.events.len()), (change.into(), 1));
    assert!(decided(&observed("Pending", "Immediate", &[(annotation::POD_PHASE, "Pending")])).create.is_some());
    for phase in ["Bound", "Lost"] {
        assert_eq!(decided(&observed(phase, "Immediate", &said)), Plan::default(), "{phase}");
    }
    let mut handed_over = observed("Pending", "Immediate", &said);
    handed_over.volume = Some(Arc::new(sample::volume_of("disk")));
    assert_eq!(decided(&handed_over), Plan::default());
    let mut restored = observed("Pending", "Immediate", &said);
    let mut target = (*restored.target).clone();
    target.spec.as_mut().unwrap().volume_name = Some("volume".into());
    restored.target = Arc::new(target);
    assert_eq!(decided(&restored), Plan::default());
}

#[test]
fn how_far_it_is_is_shown_on_a_claim_that_no_data_volume_stands_for() {
    let worker = |at: u64| contract::pod::Worker {
        schema: contract::SCHEMA.into(),
        step: "writing".into(),
        attempt: 1,
        at,
        total: 200,
        fetched: 0,
        written: 0,
        rate: 0.0,
        eta: None,
        last_error: None,
    };
    let told = |seen: &Observed| decided(seen).annotations.get(annotation::POPULATOR_PROGRESS).cloned().flatten();
    let mut seen = with_prime("Bound", &[(annotation::POD_PHASE, "Running")]);
    assert_eq!(told(&seen), None, "nothing is known");
    seen.worker = Some(worker(25));
    assert_eq!(told(&seen).as_deref(), Some("12.50%"));
    seen.worker = Some(worker(200));
    assert_eq!(told(&seen).as_deref(), Some("99.99%"), "all is only said of what is handed over");
    let mut done = with_prime("Bound", &[(annotation::POD_PHASE, "Succeeded")]);
    assert_eq!(told(&done).as_deref(), Some("100.0%"));
    let mut target = (*done.target).clone();
    target.metadata.owner_references = Some(vec![k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference {
        kind: "DataVolume".into(),
        ..Default::default()
    }]);
    done.target = Arc::new(target);
    assert_eq!(told(&done), None, "the DataVolume shows it");
}

#[test]
fn a_prime_claim_that_is_to_stay_is_told_when_its_volume_goes() {
    let mut seen = with_prime("Bound", &[(annotation::POD_PHASE, "Succeeded")]);
    let told = |seen: &Observed| decided(seen).events.iter().any(|event| event.reason == "RetainedPVCPrime");
    assert!(!told(&seen));
    let retained = [(annotation::POD_PHASE, "Succeeded"), (annotation::RETAIN_AFTER_COMPLETION, "true")];
    seen.target = Arc::new(sample::claim("disk", "Pending", &retained));
    assert!(told(&seen));
}

#[test]
fn a_source_of_another_namespace_is_refused_and_told_once() {
    let mut seen = observed("Pending", "Immediate", &[]);
    let mut target = (*seen.target).clone();
    let source =
        k8s_openapi::api::core::v1::TypedObjectReference { namespace: Some("another".into()), ..Default::default() };
    target.spec.as_mut().unwrap().data_source_ref = Some(source);
    seen.target = Arc::new(target.clone());
    let plan = decided(&seen);
    assert_eq!((plan.create, plan.events[0].reason.as_str()), (None, "ErrClaimNotValid"));
    let said = plan.annotations[annotation::LAST_ERROR].clone().unwrap();
    assert!(said.contains("claim-not-valid"));
    target.metadata.annotations = Some([(annotation::LAST_ERROR.to_owned(), said)].into());
    seen.target = Arc::new(target.clone());
    assert_eq!(decided(&seen), Plan::default());
    target.spec.as_mut().unwrap().data_source_ref.as_mut().unwrap().namespace = Some("home".into());
    seen.target = Arc::new(target);
    assert!(decided(&seen).create.is_some(), "its own namespace may be named");
}

#[test]
fn a_claim_whose_source_nobody_heeds_is_told_so_and_any_other_is_filled() {
    let by = |provisioner| (annotation::STORAGE_PROVISIONER, provisioner);
    let (in_tree, csi) = ("kubernetes.io/aws-ebs", "ebs.csi.aws.com");
    let at_once = (annotation::BIND_IMMEDIATE, "");
    let done = (annotation::POD_PHASE, "Succeeded");
    for (class, binding, phase, annotations, begins, told) in [
        (csi, "Immediate", "Pending", &[][..], true, false),
        (in_tree, "Immediate", "Pending", &[by(csi)], true, false),
        (in_tree, "WaitForFirstConsumer", "Pending", &[at_once], true, false),
        (in_tree, "Immediate", "Pending", &[by(in_tree), (annotation::MIGRATED_TO, csi)], true, false),
        (in_tree, "Immediate", "Pending", &[by(in_tree)], false, true),
        (NO_PROVISIONER, "Immediate", "Pending", &[], false, true),
        (NO_PROVISIONER, "WaitForFirstConsumer", "Pending", &[], false, true),
        (NO_PROVISIONER, "Immediate", "Bound", &[], false, true),
        (NO_PROVISIONER, "Immediate", "Bound", &[done], false, false),
    ] {
        let mut seen = observed(phase, binding, annotations);
        seen.class = Some(Arc::new(StorageClass { provisioner: class.into(), ..sample::class(binding) }));
        let plan = decided(&seen);
        assert_eq!(plan.create.is_some(), begins, "{class} {binding} {annotations:?}");
        assert_eq!(
            plan.annotations.contains_key(annotation::LAST_ERROR),
            told,
            "{class} {binding} {phase} {annotations:?}"
        );
    }
}
