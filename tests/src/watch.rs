//! Every state that the DataVolumes of a namespace have been in, as the API server told it, and whether one that was called
//! finished was finished at that moment.
//!
//! The watch is begun again when the API server has gone; what happened meanwhile is then seen as one step.

use std::collections::BTreeMap;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use fixtures::kubernetes::Cluster;
use serde_json::Value;

use crate::api::{Objects, Watching, is_state};

/// How long a state may be waited for.
const PATIENCE: Duration = Duration::from_secs(180);
/// Seconds after which a watch begins again.
const HOURS: u64 = 3 * 3600;
/// Phases that an import passes, those of one line in any order.
const ORDER: [&[&str]; 5] = [
    &["", "Pending", "WaitForFirstConsumer", "PendingPopulation"],
    &["PVCBound"],
    &["ImportScheduled"],
    &["ImportInProgress"],
    &[FINISHED],
];
const FINISHED: &str = "Succeeded";

/// What is asked of a DataVolume at the moment when it is first called finished.
type Check = dyn Fn(&Value) -> Result<()> + Send + Sync;

/// A watch that goes on until it is dropped.
pub struct Watcher {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

struct Shared {
    cluster: Cluster,
    namespace: String,
    check: Box<Check>,
    seen: Mutex<Seen>,
    changed: Condvar,
}

#[derive(Default)]
struct Seen {
    states: BTreeMap<String, Vec<Value>>,
    /// What [`Check`] found.
    finished: BTreeMap<String, Result<(), String>>,
    watching: Option<Watching>,
    over: bool,
}

impl Watcher {
    /// Watches the DataVolumes of a namespace; `check` is asked about each when it is first called finished.
    #[must_use]
    pub fn start(
        cluster: &Cluster,
        namespace: &str,
        check: impl Fn(&Value) -> Result<()> + Send + Sync + 'static,
    ) -> Self {
        let shared = Arc::new(Shared {
            cluster: cluster.clone(),
            namespace: namespace.to_owned(),
            check: Box::new(check),
            seen: Mutex::default(),
            changed: Condvar::new(),
        });
        let followed = Arc::clone(&shared);
        let thread = thread::spawn(move || {
            while !followed.seen().over {
                // An API server that does not answer is what some tests bring about; the next watch tells what it came to.
                if followed.follow().is_err() {
                    thread::sleep(Duration::from_millis(200));
                }
            }
        });
        Self { shared, thread: Some(thread) }
    }

    /// Waits for a state in which `holds` is true; one that has passed counts.
    ///
    /// # Errors
    /// When there is none in time; the phases so far are part of the error.
    pub fn until(&self, name: &str, what: &str, holds: impl Fn(&Value) -> bool) -> Result<Value> {
        self.wait(&format!("{name} is not {what}"), name, |seen| {
            seen.states.get(name)?.iter().find(|state| holds(state)).cloned()
        })
    }

    /// Whether one of its states so far was at least as far as `phase`.
    #[must_use]
    pub fn has_come_to(&self, name: &str, phase: &str) -> bool {
        self.shared.seen().states.get(name).into_iter().flatten().any(|state| has_come_to(state, phase))
    }

    /// Waits until it has come as far as `phase`, or further.
    ///
    /// # Errors
    /// As [`Watcher::until`].
    pub fn until_come_to(&self, name: &str, phase: &str) -> Result<()> {
        self.until(name, phase, |state| has_come_to(state, phase)).map(drop)
    }

    /// Phases of a DataVolume that has finished, each once in a row.
    ///
    /// # Errors
    /// When it was not finished when it was called so, its phases went back in a way they may not, or its conditions were not
    /// those of its phase.
    pub fn history(&self, name: &str) -> Result<Vec<String>> {
        let finished =
            self.wait(&format!("{name} was not looked at"), name, |seen| seen.finished.get(name).cloned())?;
        let phases = self.phases(name);
        finished.map_err(|why| anyhow::anyhow!("{name} was called finished, but: {why}"))?;
        for pair in phases.windows(2) {
            ensure!(may_follow(&pair[0], &pair[1]), "{name} went from {} to {}: {phases:?}", pair[0], pair[1]);
        }
        for state in self.shared.seen().states.get(name).into_iter().flatten() {
            ensure!(agrees(&state["status"]), "the conditions are not those of the phase: {state:#}");
        }
        Ok(phases)
    }

    /// States that a condition was in, each once in a row, such as `False TransferRunning`.
    #[must_use]
    pub fn conditions(&self, name: &str, type_: &str) -> Vec<String> {
        let seen = self.shared.seen();
        let states = seen.states.get(name).into_iter().flatten().filter(|state| state["status"].is_object());
        let mut words: Vec<String> = states
            .map(|state| {
                let [status, reason] = condition(&state["status"], type_);
                format!("{status} {reason}").trim().to_owned()
            })
            .collect();
        words.dedup();
        words
    }

    /// Phases and progress so far, each pair once in a row.
    #[must_use]
    pub fn progress(&self, name: &str) -> Vec<(String, String)> {
        let text = |state: &Value, key: &str| state["status"][key].as_str().unwrap_or_default().to_owned();
        let seen = self.shared.seen();
        let states = seen.states.get(name).into_iter().flatten();
        let mut pairs: Vec<_> = states.map(|state| (text(state, "phase"), text(state, "progress"))).collect();
        pairs.dedup();
        pairs
    }

    fn phases(&self, name: &str) -> Vec<String> {
        let mut phases: Vec<String> = self.progress(name).into_iter().map(|(phase, _)| phase).collect();
        phases.dedup();
        phases
    }

    fn wait<T>(&self, what: &str, name: &str, found: impl Fn(&Seen) -> Option<T>) -> Result<T> {
        let end = Instant::now() + PATIENCE;
        let mut seen = self.shared.seen();
        loop {
            if let Some(found) = found(&seen) {
                return Ok(found);
            }
            let left = end.saturating_duration_since(Instant::now());
            if left.is_zero() {
                let last = seen.states.get(name).and_then(|states| states.last()).cloned().unwrap_or_default();
                drop(seen);
                anyhow::bail!("{what}: {:?}\n{last:#}\n{}", self.phases(name), self.shared.state());
            }
            seen = self.shared.changed.wait_timeout(seen, left).unwrap_or_else(PoisonError::into_inner).0;
        }
    }
}

impl Drop for Watcher {
    fn drop(&mut self) {
        self.shared.seen().over = true;
        self.shared.end();
        if let Some(thread) = self.thread.take() {
            // Its panic is its own message.
            let _ = thread.join();
        }
    }
}

impl Shared {
    fn seen(&self) -> MutexGuard<'_, Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// One watch, from its list to its end.
    fn follow(&self) -> Result<()> {
        let (cluster, namespace) = (&self.cluster, Some(&*self.namespace));
        let data_volumes = Objects { cluster, namespace, kind: "datavolumes", fields: "" };
        let (watching, events) = data_volumes.watch(None, HOURS)?;
        let over = {
            let mut seen = self.seen();
            seen.watching = Some(watching);
            seen.over
        };
        if over {
            self.end();
        }
        for mut event in events {
            if is_state(&event) {
                self.take(event["object"].take());
            }
        }
        self.end();
        anyhow::bail!("the watch has ended")
    }

    /// Remembers a state, and checks the first that is finished.
    fn take(&self, object: Value) {
        let name = object["metadata"]["name"].as_str().unwrap_or_default().to_owned();
        let is_first = object["status"]["phase"] == FINISHED && !self.seen().finished.contains_key(&name);
        let checked = is_first.then(|| (self.check)(&object).map_err(|error| format!("{error:#}")));
        let mut seen = self.seen();
        if let Some(checked) = checked {
            seen.finished.insert(name.clone(), checked);
        }
        seen.states.entry(name).or_default().push(object);
        drop(seen);
        self.changed.notify_all();
    }

    /// Ends the watch, and with it the reading of what it says.
    fn end(&self) {
        let watching = self.seen().watching.take();
        drop(watching);
    }

    /// What there is in the namespace, and what the controller said last.
    fn state(&self) -> String {
        let ask = |arguments: &[&str]| self.cluster.ask(arguments).unwrap_or_else(|error| format!("{error:#}"));
        let namespace = ["--namespace", &self.namespace];
        let kinds = ["get", "datavolumes,pvc,pods,volumeimportsources,events", "--output", "wide"];
        let logs = ["logs", "--namespace", "cdi", "deployment/cdi-deployment", "--tail", "40", "--all-pods"];
        format!("{}\n{}", ask(&[&namespace[..], &kinds].concat()), ask(&logs))
    }
}

/// Status and reason of a condition.
fn condition<'a>(status: &'a Value, type_: &str) -> [&'a str; 2] {
    let found = status["conditions"].as_array().and_then(|all| all.iter().find(|one| one["type"] == type_));
    ["status", "reason"].map(|key| found.and_then(|found| found[key].as_str()).unwrap_or_default())
}

/// Whether the conditions of a status are those of its phase (cdi.md §2.4).
fn agrees(status: &Value) -> bool {
    let Some(phase) = status["phase"].as_str().filter(|phase| !phase.is_empty()) else { return true };
    let finished = phase == FINISHED;
    let [bound, _] = condition(status, "Bound");
    let [running, why] = condition(status, "Running");
    let [ready, why_not] = condition(status, "Ready");
    let has_volume = match phase {
        "Pending" | "WaitForFirstConsumer" | "PendingPopulation" => bound == "False",
        "PVCBound" | FINISHED => bound == "True",
        _ => !bound.is_empty(),
    };
    let has_run = match running {
        "True" => matches!(phase, "ImportScheduled" | "ImportInProgress") && why == "Pod is running",
        "False" => !finished || why == "Completed",
        _ => false,
    };
    let is_ready = if finished { "True" } else { "False" };
    has_volume && has_run && ready == is_ready && (why_not == "TransferRunning") == (running == "True")
}

/// Whether a state is at least as far as `phase`.
fn has_come_to(state: &Value, phase: &str) -> bool {
    rank(state["status"]["phase"].as_str().unwrap_or_default()) >= rank(phase)
}

/// A phase that no import passes is after all others.
fn rank(phase: &str) -> usize {
    ORDER.iter().position(|phases| phases.contains(&phase)).unwrap_or(ORDER.len())
}

/// Whether one phase may come after another: back only from a pod that ran to its successor that does not, as CDI's do.
fn may_follow(before: &str, after: &str) -> bool {
    let (from, to) = (rank(before), rank(after));
    to < ORDER.len() && from <= to || (before, after) == ("ImportInProgress", "ImportScheduled")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn conditions_are_those_of_their_phase() {
        let condition = |type_, (status, reason)| json!({"type": type_, "status": status, "reason": reason});
        let no = ("False", "");
        for (phase, bound, running, ready, agree) in [
            ("Pending", ("False", "Pending"), no, no, true),
            ("Pending", ("True", "Bound"), no, no, false),
            ("PVCBound", ("False", "Pending"), no, no, false),
            ("ImportScheduled", ("True", "Bound"), ("True", "Pod is running"), ("False", "TransferRunning"), true),
            ("ImportInProgress", ("False", "Pending"), ("True", "Pod is running"), ("False", "TransferRunning"), true),
            ("ImportInProgress", ("False", "Pending"), ("True", "Pod is running"), no, false),
            ("ImportInProgress", ("False", "Pending"), ("False", "Error"), ("False", "TransferRunning"), false),
            ("PVCBound", ("True", "Bound"), ("True", "Pod is running"), ("False", "TransferRunning"), false),
            ("Succeeded", ("True", "Bound"), ("False", "Completed"), ("True", ""), true),
            ("Succeeded", ("True", "Bound"), ("False", "Completed"), no, false),
            ("Succeeded", ("False", "Pending"), ("False", "Completed"), ("True", ""), false),
            ("ImportInProgress", ("True", "Bound"), ("False", "Completed"), ("True", ""), false),
        ] {
            let conditions = [condition("Bound", bound), condition("Running", running), condition("Ready", ready)];
            let status = json!({"phase": phase, "conditions": conditions});
            assert_eq!(agrees(&status), agree, "{status}");
        }
        assert!(agrees(&json!({})));
    }

    #[test]
    fn phases_go_on_and_back_only_to_the_next_pod() {
        for (before, after, may) in [
            ("", "Pending", true),
            ("PendingPopulation", "Pending", true),
            ("Pending", "ImportInProgress", true),
            ("ImportInProgress", "ImportScheduled", true),
            ("ImportInProgress", "PVCBound", false),
            ("ImportScheduled", "Pending", false),
            ("ImportInProgress", "Succeeded", true),
            ("Succeeded", "ImportInProgress", false),
            ("ImportInProgress", "Failed", false),
            ("ImportInProgress", "Unknown", false),
        ] {
            assert_eq!(may_follow(before, after), may, "{before} {after}");
        }
    }
}
