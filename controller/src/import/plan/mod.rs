//! What an import needs next.
//!
//! ```text
//!              claim can be bound            pod ends with 0
//!   (nothing) --------------------> pod ------------------------> Succeeded -> pod goes
//!                                  ^   | killed for its memory, evicted, drained; or it has failed or cannot run, and
//!                                  |   | would be made otherwise by now
//!                                  +---+ a successor goes on where the volume is complete
//! ```

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use api::annotation;
use contract::pod::Termination;
use contract::{Code, Failure};
use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt;

use super::build;
use super::observe::{Observed, is_running};
use super::request::{Request, Source};
use super::status::{self, Annotations, End};
use crate::caches::has_ended;
use crate::event::Event;
use crate::settings::Settings;
use crate::trouble::Trouble;

/// What is to be written, in the order of the fields.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct Plan {
    /// A pod to create.
    pub(crate) create: Option<Box<Pod>>,
    /// The pod is to go.
    pub(crate) delete: bool,
    /// Annotations of the claim that change.
    pub(crate) annotations: Annotations,
    /// Labels that the image asks for; those that the claim has win.
    pub(crate) labels: BTreeMap<String, String>,
    /// Events on the claim.
    pub(crate) events: Vec<Event>,
    /// When to look again if nothing happens.
    pub(crate) again: Option<Duration>,
}

/// A claim that is used by others is looked at again this much later, though their end wakes it, too.
const LOOK_AGAIN: Duration = Duration::from_secs(10);

pub(crate) fn plan(observed: &Observed, settings: &Settings) -> Plan {
    settled(decide(observed, settings), observed)
}

fn decide(observed: &Observed, settings: &Settings) -> Plan {
    let annotations = observed.claim.annotations();
    // A claim is kept by the pods that use it.
    if observed.claim.metadata.deletion_timestamp.is_some() {
        return let_go(observed);
    }
    let retained = annotations.get(annotation::RETAIN_AFTER_COMPLETION).is_some_and(|value| value == "true");
    if is_finished(annotations) {
        return Plan { delete: !retained && has_pod_to_go(observed), ..Plan::default() };
    }
    let request = match Request::of(&observed.claim) {
        Ok(request) => request,
        Err(failure) => return refused(&failure, "ErrClaimNotValid"),
    };
    if needs_no_pod(observed, &request) {
        return if is_bound(observed) { empty_as_it_comes() } else { Plan::default() };
    }
    match &observed.pod {
        Some(pod) if is_outdated(pod, observed, &request, settings) => replaced(pod),
        Some(pod) => follow(pod, observed, &request),
        None if !may_start(observed) => Plan::default(),
        None if !observed.users.is_empty() => in_use(observed),
        None => start(observed, &request, settings),
    }
}

/// A claim is kept as long as there is a pod that names it, ended or not (Kubernetes' protection of claims). One whose container
/// has ended is given a moment to end, too: it then goes at once.
fn let_go(observed: &Observed) -> Plan {
    let holds_it = |pod: &&Arc<Pod>| pod.metadata.deletion_timestamp.is_none();
    let Some(pod) = observed.pod.as_ref().filter(holds_it) else { return Plan::default() };
    let is_ending = status::finished_at(pod).is_some_and(|finished| observed.now < finished + LOOK_AGAIN);
    if is_ending && !has_ended(pod) {
        Plan { again: Some(LOOK_AGAIN), ..Plan::default() }
    } else {
        Plan { delete: true, ..Plan::default() }
    }
}

/// The pod of a prime claim goes with it.
fn has_pod_to_go(observed: &Observed) -> bool {
    let is_prime = observed.claim.owner_references().iter().any(|owner| owner.kind == "PersistentVolumeClaim");
    !is_prime && observed.pod.as_ref().is_some_and(|pod| pod.metadata.deletion_timestamp.is_none())
}

/// Whether nothing is left to do for the claim.
pub(crate) fn is_finished(annotations: &BTreeMap<String, String>) -> bool {
    annotations.get(annotation::POD_PHASE).is_some_and(|phase| phase == "Succeeded")
        || annotations.get(annotation::IMPORT_FATAL_ERROR).is_some_and(|fatal| fatal == "true")
}

/// A block volume that was made for its claim is empty as it comes; where nothing else would bind it, the importer does.
fn needs_no_pod(observed: &Observed, request: &Request) -> bool {
    let empty = request.source == Source::Blank && build::is_block(&observed.claim) && !request.preallocation;
    empty && if is_bound(observed) { !observed.workload.is_used } else { !may_start(observed) }
}

pub(crate) fn is_bound(observed: &Observed) -> bool {
    observed.claim.status.as_ref().and_then(|status| status.phase.as_deref()) == Some("Bound")
}

/// A claim whose class waits for a consumer is bound by the importer itself, where it may be one. Where a node is chosen the
/// volume is made there without it; the scheduler then finds the volume's nodes, and heeds cordons and taints, which a pod
/// that names its node would not.
fn may_start(observed: &Observed) -> bool {
    let has = |key: &str| observed.claim.annotations().contains_key(key);
    let at_once = has(annotation::BIND_IMMEDIATE) || !observed.honours_wait;
    is_bound(observed) || (observed.waits_for_consumer && at_once && !has(annotation::SELECTED_NODE))
}

/// What has come of the pod is written when it is seen.
fn start(observed: &Observed, request: &Request, settings: &Settings) -> Plan {
    let pod = build::pod(&observed.claim, request, &observed.workload, settings);
    Plan { create: Some(Box::new(pod)), ..Plan::default() }
}

/// Whether a pod that does not run would be made otherwise now. A setting that made it fail would make it fail for ever: the
/// kubelet starts it again as it was made.
fn is_outdated(pod: &Pod, observed: &Observed, request: &Request, settings: &Settings) -> bool {
    let wanted = || build::pod(&observed.claim, request, &observed.workload, settings);
    !status::is_over(pod) && !is_running(pod) && build::is_outdated(pod, &wanted())
}

/// What the pod came to stays told until its successor has something to say.
fn replaced(pod: &Pod) -> Plan {
    Plan { delete: pod.metadata.deletion_timestamp.is_none(), ..Plan::default() }
}

fn follow(pod: &Pod, observed: &Observed, request: &Request) -> Plan {
    if pod.metadata.deletion_timestamp.is_some() && !status::is_over(pod) {
        return gone(observed, "the importer pod is being deleted");
    }
    let phase = pod.status.as_ref().and_then(|status| status.phase.as_deref()).unwrap_or("Pending");
    match status::ended(pod) {
        Some(End::Complete(words)) => {
            let mut annotations = status::of_pod(pod, observed.claim.annotations());
            annotations.extend(status::complete(&words, request.preallocation));
            Plan { annotations, labels: words.labels, ..Plan::default() }
        }
        Some(End::Fatal(trouble, message)) => {
            let mut annotations = status::of_pod(pod, observed.claim.annotations());
            annotations.insert(annotation::IMPORT_FATAL_ERROR.into(), Some("true".into()));
            annotations.insert(annotation::LAST_ERROR.into(), Some(trouble.to_json()));
            Plan { annotations, events: vec![Event::warning("ErrImportFailed", &message)], ..Plan::default() }
        }
        Some(End::OutOfMemory) if !request.direct_io => {
            let mut annotations = status::of_pod(pod, observed.claim.annotations());
            annotations.insert(annotation::REQUIRES_DIRECT_IO.into(), Some("true".into()));
            annotations.extend(one_restart_more(observed));
            Plan { delete: true, annotations, ..Plan::default() }
        }
        // Evicted, its node drained or gone: the kubelet does not start it again.
        _ if phase == "Failed" => {
            let why = pod.status.as_ref().and_then(|status| status.message.clone().or_else(|| status.reason.clone()));
            Plan { delete: true, ..gone(observed, &why.unwrap_or_else(|| "the importer pod failed".into())) }
        }
        ended => {
            let mut annotations = status::of_pod(pod, observed.claim.annotations());
            if let Some(why) = observed.unmounted.as_ref().filter(|_| status::is_without_volumes(pod)) {
                annotations.insert(annotation::LAST_ERROR.into(), Some(status::unmounted(why).to_json()));
                annotations.extend(status::condition(false, "FailedMount", why));
            }
            let events = match ended {
                Some(End::Failed(_, said)) if is_new(&annotations, observed) => {
                    vec![Event::warning("ErrImportFailed", &said)]
                }
                _ => Vec::new(),
            };
            Plan { annotations, events, ..Plan::default() }
        }
    }
}

/// Whether the pod's last end is not in the claim's annotations yet.
fn is_new(annotations: &Annotations, observed: &Observed) -> bool {
    let before = observed.claim.annotations();
    [annotation::LAST_ERROR, annotation::POD_RESTARTS]
        .iter()
        .any(|key| annotations.get(*key).is_some_and(|value| before.get(*key) != value.as_ref()))
}

fn empty_as_it_comes() -> Plan {
    Plan { annotations: status::complete(&Termination::default(), false), ..Plan::default() }
}

/// The pod went before it was done; a successor is made when it is not there any more.
fn gone(observed: &Observed, why: &str) -> Plan {
    let before = observed.claim.annotations();
    // One that was killed for its memory is deleted by us; the kubelet may have started it again meanwhile.
    if before
        .get(annotation::RUNNING_CONDITION_REASON)
        .is_some_and(|reason| reason == "Evicted" || reason == "OOMKilled")
    {
        return Plan::default();
    }
    let mut annotations = status::condition(false, "Evicted", why);
    annotations.extend(one_restart_more(observed));
    annotations.insert(annotation::POD_PHASE.into(), Some("Pending".into()));
    let trouble = Trouble::of(&Failure::new(Code::PodEvicted, why), true);
    annotations.insert(annotation::LAST_ERROR.into(), Some(trouble.to_json()));
    Plan { annotations, ..Plan::default() }
}

fn one_restart_more(observed: &Observed) -> Annotations {
    let restarts = status::restarts_of(observed.claim.annotations()) + 1;
    [(annotation::POD_RESTARTS.to_owned(), Some(restarts.to_string()))].into()
}

fn in_use(observed: &Observed) -> Plan {
    let message = format!("pods use the claim: {}", observed.users.join(", "));
    let mut plan = refused(&Failure::new(Code::ClaimInUse, message), "ImportTargetInUse");
    plan.again = Some(LOOK_AGAIN);
    plan
}

/// The plan without what the claim says already.
pub(crate) fn settled(mut plan: Plan, observed: &Observed) -> Plan {
    let before = observed.claim.annotations();
    let had_annotations = !plan.annotations.is_empty();
    plan.annotations.retain(|key, value| before.get(key) != value.as_ref());
    plan.labels.retain(|key, _| !observed.claim.labels().contains_key(key));
    if had_annotations && plan.annotations.is_empty() {
        plan.events.clear();
    }
    plan
}

/// The import cannot begin; once the cause is gone it does.
pub(crate) fn refused(failure: &Failure, reason: &'static str) -> Plan {
    let message = failure.to_string();
    let mut annotations = status::condition(false, reason, &message);
    annotations.insert(annotation::LAST_ERROR.into(), Some(Trouble::of(failure, true).to_json()));
    Plan { annotations, events: vec![Event::warning(reason, &message)], ..Plan::default() }
}

#[cfg(test)]
mod tests;
