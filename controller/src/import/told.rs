//! Where it is told what comes of an import: on the claim itself, or, of a prime claim, on its target, at which users look.
//! Nothing of it is written on the prime claim: that would be one request more for each state.

use std::collections::BTreeMap;
use std::sync::Arc;

use api::annotation;
use k8s_openapi::api::core::v1::PersistentVolumeClaim;
use kube::ResourceExt;
use kube::runtime::reflector::Store;

use super::plan::Plan;
use super::status::Annotations;
use crate::event::Event;
use crate::names;
use crate::watches::owner;

/// What an import has come to so far.
const TOLD: &[&str] = &[
    annotation::IMPORT_POD,
    annotation::POD_PHASE,
    annotation::POD_READY,
    annotation::POD_RESTARTS,
    annotation::POD_SCHEDULABLE,
    annotation::PREALLOCATION_APPLIED,
    annotation::REQUIRES_DIRECT_IO,
    annotation::RUNNING_CONDITION,
    annotation::RUNNING_CONDITION_MESSAGE,
    annotation::RUNNING_CONDITION_REASON,
    annotation::IMPORT_FATAL_ERROR,
    annotation::LAST_ERROR,
    annotation::FINGERPRINT,
];

/// The target of a prime claim.
pub(crate) fn target_of(
    claim: &PersistentVolumeClaim,
    claims: &Store<PersistentVolumeClaim>,
) -> Option<Arc<PersistentVolumeClaim>> {
    let target = claims.get(&owner::<_, PersistentVolumeClaim>(claim)?)?;
    // Its uid is part of the name.
    (claim.name_any() == names::prime(&target)).then_some(target)
}

/// The prime claim with what has come of it so far.
pub(super) fn as_told(prime: &PersistentVolumeClaim, target: &PersistentVolumeClaim) -> PersistentVolumeClaim {
    let mut prime = prime.clone();
    let annotations = prime.annotations_mut();
    annotations.retain(|key, _| !TOLD.contains(&key.as_str()));
    let told = target.annotations().iter().filter(|(key, _)| TOLD.contains(&key.as_str()));
    annotations.extend(told.map(|(key, value)| (key.clone(), value.clone())));
    prime
}

/// The change that lets an import of this target begin again. It waits for its next pod, as after any pod that failed: a
/// DataVolume's phase goes back no further than to that.
pub(crate) fn forgotten(target: &PersistentVolumeClaim) -> Annotations {
    let told = TOLD.iter().filter(|key| target.annotations().contains_key(**key));
    let mut change: Annotations = told.map(|key| ((*key).to_owned(), None)).collect();
    change.insert(annotation::POD_PHASE.to_owned(), Some("Pending".to_owned()));
    change
}

/// What a plan for a prime claim means for its target.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Told {
    pub(super) annotations: Annotations,
    pub(super) labels: BTreeMap<String, String>,
    pub(super) events: Vec<Event>,
}

/// What is told on the target of what is planned for its prime claim.
pub(super) fn on_target(plan: &Plan, prime: &PersistentVolumeClaim, target: &PersistentVolumeClaim) -> Told {
    let mut annotations = plan.annotations.clone();
    if !annotations.is_empty() {
        let preallocation = prime.annotations().get(annotation::PREALLOCATION_REQUESTED).cloned();
        let known = [
            (annotation::POPULATOR_PVC_PRIME, Some(prime.name_any())),
            (annotation::PREALLOCATION_REQUESTED, preallocation),
        ];
        let new = known.into_iter().filter(|(key, value)| target.annotations().get(*key) != value.as_ref());
        annotations.extend(new.map(|(key, value)| (key.to_owned(), value)));
    }
    let labels = plan.labels.iter().filter(|(key, _)| is_from_image(key) && !target.labels().contains_key(*key));
    Told {
        labels: labels.map(|(key, value)| (key.clone(), value.clone())).collect(),
        events: event(plan, prime).into_iter().collect(),
        annotations,
    }
}

fn event(plan: &Plan, prime: &PersistentVolumeClaim) -> Option<Event> {
    let changed = |key: &str| plan.annotations.get(key).and_then(Option::as_ref);
    if changed(annotation::LAST_ERROR).is_some() {
        let known = || prime.annotations().get(annotation::RUNNING_CONDITION_MESSAGE);
        let said = changed(annotation::RUNNING_CONDITION_MESSAGE).or_else(known);
        return Some(Event::warning("importFailed", said.map_or("", String::as_str)));
    }
    let is_done = changed(annotation::POD_PHASE).is_some_and(|phase| phase == "Succeeded");
    is_done.then(|| Event::normal("importSucceeded", "Import Successful"))
}

/// Labels that an image brings along for virtual machines that use its disk.
fn is_from_image(key: &str) -> bool {
    key.contains("kubevirt.io/") && !key.starts_with("cdi.kubevirt.io") && !key.starts_with("prometheus.")
}

#[cfg(test)]
mod tests {
    use kube::Resource;
    use kube::runtime::{reflector, watcher};
    use serde_json::{Value, json};

    use super::*;
    use crate::import::observe::Observed;
    use crate::import::{Workload, plan};
    use crate::sample;

    const WORDS: &str = r#"{"labels": {"instancetype.kubevirt.io/default": "u1", "cdi.kubevirt.io/x": "y", "a": "b"}, "fingerprint": "gantry1:1:ff"}"#;

    fn prime() -> PersistentVolumeClaim {
        let request = [
            (annotation::IMPORT_SOURCE, "http"),
            (annotation::IMPORT_ENDPOINT, "http://server/disk"),
            (annotation::PREALLOCATION_REQUESTED, "false"),
            (annotation::POD_RESTARTS, "0"),
        ];
        sample::claim("prime-uid-of-disk", "Bound", &request)
    }

    /// What is told on the target, which says `said` so far, when the importer pod of its prime claim has this status.
    fn told(status: &Value, said: &[(&str, &str)]) -> Told {
        let target = sample::claim("disk", "Pending", said);
        let observed = Observed {
            claim: Arc::new(as_told(&prime(), &target)),
            pod: Some(Arc::new(sample::pod(status))),
            unmounted: None,
            users: Vec::new(),
            waits_for_consumer: false,
            honours_wait: true,
            workload: Workload::default(),
            now: jiff::Timestamp::UNIX_EPOCH,
        };
        on_target(&plan::plan(&observed, &sample::settings()), &observed.claim, &target)
    }

    fn running(restarts: i32) -> Value {
        sample::container("Running", restarts, &json!({"running": {}}), &Value::Null)
    }

    #[test]
    fn what_an_import_comes_to_is_told_on_the_target_and_told_once() {
        let first = told(&running(2), &[]);
        let said: Vec<_> =
            first.annotations.iter().filter_map(|(key, value)| Some((key.as_str(), value.as_deref()?))).collect();
        for expected in [
            (annotation::POD_PHASE, "Running"),
            (annotation::POD_RESTARTS, "2"),
            (annotation::POPULATOR_PVC_PRIME, "prime-uid-of-disk"),
            (annotation::PREALLOCATION_REQUESTED, "false"),
        ] {
            assert!(said.contains(&expected), "{expected:?} in {said:?}");
        }
        assert_eq!(first.events, []);
        assert_eq!(told(&running(2), &said), Told::default());
    }

    #[test]
    fn an_end_brings_its_words_an_event_and_the_labels_for_virtual_machines() {
        let done = sample::container("Succeeded", 0, &sample::ended(0, "Completed", WORDS), &Value::Null);
        let plan = told(&done, &[(annotation::LAST_ERROR, "{}")]);
        assert_eq!(plan.annotations[annotation::FINGERPRINT].as_deref(), Some("gantry1:1:ff"));
        assert_eq!(plan.annotations[annotation::LAST_ERROR], None, "it is over");
        assert_eq!(plan.labels, [("instancetype.kubevirt.io/default".to_owned(), "u1".to_owned())].into());
        assert_eq!(plan.events, [Event::normal("importSucceeded", "Import Successful")]);
    }

    #[test]
    fn a_failure_is_told_with_its_words() {
        let failed = sample::container("Running", 0, &sample::ended(1, "Error", "no route"), &Value::Null);
        assert_eq!(told(&failed, &[]).events, [Event::warning("importFailed", "no route")]);
    }

    #[test]
    fn a_prime_claim_is_known_by_the_uid_of_its_target() {
        let (target, mut prime) = (sample::claim("disk", "Pending", &[]), prime());
        let (claims, mut writer) = reflector::store();
        writer.apply_watcher_event(&watcher::Event::Apply(target.clone()));
        assert_eq!(target_of(&prime, &claims), None, "it has no owner");
        prime.metadata.owner_references = target.controller_owner_ref(&()).map(|owner| vec![owner]);
        assert_eq!(target_of(&prime, &claims).as_deref(), Some(&target));
        prime.metadata.name = Some("prime-uid-of-another".into());
        assert_eq!(target_of(&prime, &claims), None);
    }
}
