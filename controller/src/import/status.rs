//! What an importer pod has come to, as annotations of its claim (cdi.md §2.4, §2.9, §4.7).

use std::collections::BTreeMap;

use api::annotation;
use contract::pod::{FailureWords, IMPORT_COMPLETE, Termination};
use contract::{Code, Failure};
use jiff::Timestamp;
use k8s_openapi::api::core::v1::{ContainerState, ContainerStateTerminated, ContainerStatus, Pod};
use kube::ResourceExt;

use crate::trouble::Trouble;

/// A change of annotations; `None` takes one away.
pub(crate) type Annotations = BTreeMap<String, Option<String>>;

/// Reason of a pod that runs.
const RUNNING: &str = "Pod is running";
/// Reasons of a container that waits for nothing but its turn.
const STARTING: [&str; 2] = ["ContainerCreating", "PodInitializing"];
const IMAGE_PULL_FAILED: &str = "ImagePullFailed";
/// What a disk that does not fit is told as; tests of CDI and interfaces look for it.
const TOO_SMALL: &str = "DataVolume too small to contain image";

/// How the importer's container ended.
#[derive(Debug, PartialEq)]
pub(crate) enum End {
    /// The disk is complete.
    Complete(Termination),
    /// Trying again is of no use.
    Fatal(Trouble, String),
    /// It ran out of memory.
    OutOfMemory,
    /// It failed; the kubelet starts it again.
    Failed(Trouble, String),
}

/// The container's status, once the kubelet has said something about it.
pub(crate) fn container(pod: &Pod) -> Option<&ContainerStatus> {
    pod.status.as_ref()?.container_statuses.as_ref()?.first()
}

/// How the container ended, now or the last time.
pub(crate) fn ended(pod: &Pod) -> Option<End> {
    let status = container(pod)?;
    let terminated = |state: Option<&ContainerState>| state?.terminated.as_ref().map(end_of);
    terminated(status.state.as_ref()).or_else(|| terminated(status.last_state.as_ref()))
}

/// Whether nothing is left to do for a pod, now or ever.
pub(crate) fn is_over(pod: &Pod) -> bool {
    matches!(ended(pod), Some(End::Complete(_) | End::Fatal(..)))
}

/// When the container ended, unless it was started again.
pub(crate) fn finished_at(pod: &Pod) -> Option<Timestamp> {
    Some(container(pod)?.state.as_ref()?.terminated.as_ref()?.finished_at.as_ref()?.0)
}

fn end_of(terminated: &ContainerStateTerminated) -> End {
    let said = terminated.message.as_deref().unwrap_or_default().trim();
    if terminated.reason.as_deref() == Some("OOMKilled") {
        return End::OutOfMemory;
    }
    if terminated.exit_code != 0 {
        let trouble = match FailureWords::parse(said) {
            Some(words) => Trouble::of_words(&words, true),
            None => Trouble::of(&Failure::new(Code::PodFailed, first_of(said, terminated)), true),
        };
        return End::Failed(trouble, said.to_owned());
    }
    let words: Termination = serde_json::from_str(said).unwrap_or_default();
    match &words.message {
        Some(message) if message.contains("checksum mismatch") => {
            End::Fatal(Trouble::of(&Failure::new(Code::ChecksumMismatch, message.clone()), false), message.clone())
        }
        _ => End::Complete(words),
    }
}

/// What a container that left no words of ours is told with.
fn first_of(said: &str, terminated: &ContainerStateTerminated) -> String {
    let reason = terminated.reason.as_deref().unwrap_or("Error");
    match said.lines().last() {
        Some(line) => format!("the importer ended with {} ({reason}): {line}", terminated.exit_code),
        None => format!("the importer ended with {} ({reason})", terminated.exit_code),
    }
}

/// Whether the kubelet may still be at the pod's volumes: they come first, then its image, then its container.
pub(crate) fn is_without_volumes(pod: &Pod) -> bool {
    let waits = |status: &ContainerStatus| status.state.as_ref().is_some_and(|state| state.waiting.is_some());
    let has_begun = container(pod).is_some_and(|status| !waits(status) || status.restart_count > 0);
    !has_begun && hindered(pod).is_none()
}

/// The trouble of a pod that a kubelet cannot give its volumes, in the kubelet's words.
pub(crate) fn unmounted(why: &str) -> Trouble {
    let failure = if ["configmap ", "secret "].iter().any(|kind| why.contains(kind)) {
        Failure::new(Code::PodConfig, why)
    } else {
        let remedy = "wait, the kubelet tries again; if it stays, look at what the message names: the volume's CSI driver, the node";
        Failure::new(Code::PodFailed, why).remedy(remedy)
    };
    Trouble::of(&failure, true)
}

/// The trouble of a pod that does not get to run, if it has one.
pub(crate) fn hindered(pod: &Pod) -> Option<Trouble> {
    if let Some(message) = unschedulable(pod) {
        return Some(Trouble::of(&Failure::new(Code::PodUnschedulable, message), true));
    }
    let waiting = container(pod)?.state.as_ref()?.waiting.as_ref()?;
    let message = waiting.message.clone().unwrap_or_default();
    let code = match waiting.reason.as_deref()? {
        "ErrImagePull" | "ImagePullBackOff" | "InvalidImageName" | "ErrImageNeverPull" => Code::PodImage,
        "CreateContainerConfigError" => Code::PodConfig,
        "CreateContainerError" | "RunContainerError" => Code::PodFailed,
        _ => return None,
    };
    Some(Trouble::of(&Failure::new(code, message), true))
}

fn unschedulable(pod: &Pod) -> Option<String> {
    let conditions = pod.status.as_ref()?.conditions.as_ref()?;
    let scheduled = conditions.iter().find(|condition| condition.type_ == "PodScheduled")?;
    let stuck = scheduled.status == "False" && scheduled.reason.as_deref() == Some("Unschedulable");
    stuck.then(|| scheduled.message.clone().unwrap_or_default())
}

/// Annotations for a pod that is there; `before` are the claim's.
pub(crate) fn of_pod(pod: &Pod, before: &BTreeMap<String, String>) -> Annotations {
    let mut all = Annotations::new();
    let mut put = |key: &str, value: String| {
        all.insert(key.to_owned(), Some(value));
    };
    let phase = pod.status.as_ref().and_then(|status| status.phase.clone()).unwrap_or_else(|| "Pending".into());
    put(annotation::IMPORT_POD, pod.name_any());
    put(annotation::POD_PHASE, phase);
    let restarts = container(pod).map_or(0, |status| status.restart_count).max(restarts_of(before));
    put(annotation::POD_RESTARTS, restarts.to_string());
    if unschedulable(pod).is_some() {
        put(annotation::POD_SCHEDULABLE, "false".into());
    } else if before.contains_key(annotation::POD_SCHEDULABLE) {
        all.insert(annotation::POD_SCHEDULABLE.into(), None);
    }
    all.extend(running(pod));
    all.extend(last_error(pod));
    all
}

/// Restarts that the claim knows of.
pub(crate) fn restarts_of(annotations: &BTreeMap<String, String>) -> i32 {
    annotations.get(annotation::POD_RESTARTS).and_then(|count| count.parse().ok()).unwrap_or(0)
}

fn last_error(pod: &Pod) -> Option<(String, Option<String>)> {
    let value = match ended(pod) {
        Some(End::Failed(trouble, _) | End::Fatal(trouble, _)) => Some(trouble),
        Some(End::OutOfMemory) => Some(out_of_memory()),
        // What had gone wrong before is of no interest any more.
        Some(End::Complete(_)) => return Some((annotation::LAST_ERROR.into(), None)),
        None => hindered(pod),
    };
    value.map(|trouble| (annotation::LAST_ERROR.into(), Some(trouble.to_json())))
}

/// The trouble of a container that was killed for its memory.
pub(crate) fn out_of_memory() -> Trouble {
    Trouble::of(&Failure::new(Code::PodMemory, "the importer was killed for lack of memory"), true)
}

/// The condition Running, as CDI words it.
fn running(pod: &Pod) -> Annotations {
    let state = container(pod).and_then(|status| status.state.as_ref());
    if let Some(message) = unschedulable(pod) {
        return condition(false, "Unschedulable", &format!("Importer pod cannot be scheduled: {message}"));
    }
    let Some(state) = state else { return Annotations::new() };
    if state.running.is_some() {
        return condition(true, RUNNING, "");
    }
    if let Some(waiting) = &state.waiting {
        // Between two attempts the last end says more than the waiting.
        if let Some(End::Failed(_, said)) = ended(pod) {
            return condition(false, "Error", &simplified(&said));
        }
        // That a container is about to be started is what the pod's phase says.
        let Some(reason) = waiting.reason.as_deref().filter(|reason| !STARTING.contains(reason)) else {
            return Annotations::new();
        };
        let message = waiting.message.as_deref().unwrap_or_default();
        return if matches!(reason, "ErrImagePull" | "ImagePullBackOff" | "ErrImageNeverPull" | "InvalidImageName") {
            condition(false, IMAGE_PULL_FAILED, &format!("failed to pull image: {message}"))
        } else {
            condition(false, reason, message)
        };
    }
    match ended(pod) {
        Some(End::Complete(words)) => {
            condition(false, "Completed", words.message.as_deref().unwrap_or(IMPORT_COMPLETE))
        }
        Some(End::Fatal(_, message)) => condition(false, "ChecksumError", &message),
        Some(End::OutOfMemory) => condition(false, "OOMKilled", "the importer was killed for lack of memory"),
        Some(End::Failed(_, said)) => condition(false, "Error", &simplified(&said)),
        None => Annotations::new(),
    }
}

/// The three annotations of the condition Running.
pub(crate) fn condition(running: bool, reason: &str, message: &str) -> Annotations {
    [
        (annotation::RUNNING_CONDITION, running.to_string()),
        (annotation::RUNNING_CONDITION_REASON, reason.to_owned()),
        (annotation::RUNNING_CONDITION_MESSAGE, message.to_owned()),
    ]
    .map(|(key, value)| (key.to_owned(), Some(value)))
    .into()
}

fn simplified(said: &str) -> String {
    const SMALL: [&str; 5] = [
        "is larger than the reported available",
        "no space left on device",
        "file largest block is bigger than maxblock",
        "disk quota exceeded",
        "A larger PVC is required",
    ];
    let lower = said.to_lowercase();
    if SMALL.iter().any(|part| lower.contains(&part.to_lowercase())) {
        return TOO_SMALL.to_owned();
    }
    said.to_owned()
}

/// Annotations of a claim whose disk is complete.
pub(crate) fn complete(words: &Termination, preallocation_requested: bool) -> Annotations {
    let mut all = condition(false, "Completed", words.message.as_deref().unwrap_or(IMPORT_COMPLETE));
    all.insert(annotation::POD_PHASE.into(), Some("Succeeded".into()));
    all.insert(annotation::LAST_ERROR.into(), None);
    if preallocation_requested || words.preallocation_applied.is_some() {
        let applied = words.preallocation_applied.unwrap_or(false);
        all.insert(annotation::PREALLOCATION_APPLIED.into(), Some(applied.to_string()));
    }
    if let Some(fingerprint) = &words.fingerprint {
        all.insert(annotation::FINGERPRINT.into(), Some(fingerprint.clone()));
    }
    all
}
