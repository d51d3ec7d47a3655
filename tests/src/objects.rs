//! Objects in a real cluster: made from a manifest with words in it, waited for, deleted.

use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use fixtures::kubernetes::Cluster;
use serde_json::Value;

use crate::api::{Objects, is_state};

/// How long something in a cluster may take.
const PATIENCE: Duration = Duration::from_secs(120);

/// Fills in the words of a manifest.
#[must_use]
pub fn filled(manifest: &str, words: &[(&str, &str)]) -> String {
    words.iter().fold(manifest.to_owned(), |text, (word, value)| text.replace(word, value))
}

/// A namespace that goes with all that is in it when this is dropped.
pub struct Namespace<'a> {
    cluster: &'a Cluster,
    name: String,
}

impl<'a> Namespace<'a> {
    /// Makes the namespace `name`.
    ///
    /// # Errors
    /// When the API server refuses it.
    pub fn new(cluster: &'a Cluster, name: &str) -> Result<Self> {
        Self::labelled(cluster, name, "")
    }

    /// Makes one whose pods must be as Pod Security's profile "restricted" has them.
    ///
    /// # Errors
    /// As [`new`](Self::new).
    pub fn restricted(cluster: &'a Cluster, name: &str) -> Result<Self> {
        Self::labelled(cluster, name, "pod-security.kubernetes.io/enforce: restricted")
    }

    fn labelled(cluster: &'a Cluster, name: &str, labels: &str) -> Result<Self> {
        // One may be left of a run that was cut short.
        cluster.ask(&["delete", "namespace", name, "--ignore-not-found"])?;
        cluster
            .apply(&format!("{{apiVersion: v1, kind: Namespace, metadata: {{name: {name}, labels: {{{labels}}}}}}}"))?;
        Ok(Self { cluster, name: name.to_owned() })
    }

    /// Its name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// What `kubectl ARGUMENTS` prints for this namespace.
    ///
    /// # Errors
    /// When it fails.
    pub fn ask(&self, arguments: &[&str]) -> Result<String> {
        self.cluster.ask(&[&["--namespace", &self.name], arguments].concat())
    }

    /// Applies manifests here, server-side.
    ///
    /// # Errors
    /// When the API server refuses one.
    pub fn apply(&self, manifests: &str) -> Result<()> {
        let file = tempfile::NamedTempFile::new()?;
        std::fs::write(file.path(), manifests)?;
        self.ask(&["apply", "--server-side", "--filename", &file.path().display().to_string()]).map(drop)
    }

    /// An object, such as `pod/one`, if it is there.
    ///
    /// # Errors
    /// When the API server does not answer.
    pub fn object(&self, object: &str) -> Result<Option<Value>> {
        let (kind, fields) = selected(object)?;
        let mut found = self.objects(kind, &fields).list()?;
        Ok(found["items"].get_mut(0).map(Value::take))
    }

    /// An object that must be there.
    ///
    /// # Errors
    /// When it is not.
    pub fn there(&self, object: &str) -> Result<Value> {
        self.object(object)?.with_context(|| format!("{object} is not there"))
    }

    /// Waits until `holds` is true of an object, and returns it.
    ///
    /// # Errors
    /// When it does not come true in time; what the object came to is part of the error.
    pub fn until(&self, object: &str, what: &str, holds: impl Fn(&Value) -> bool) -> Result<Value> {
        let (kind, fields) = selected(object)?;
        let found = self.objects(kind, &fields).first(holds)?;
        found.with_context(|| format!("{object} is not {what}\n{}", self.state_of(object)))
    }

    /// Waits until an object is in a phase, and returns it.
    ///
    /// # Errors
    /// As [`until`](Self::until).
    pub fn until_phase(&self, object: &str, phase: &str) -> Result<Value> {
        self.until(object, phase, |found| found["status"]["phase"] == phase)
    }

    /// Waits until an event of this reason is told of an object of this kind, such as `PersistentVolumeClaim`, and returns it.
    ///
    /// # Errors
    /// When it does not come in time; what there is in the namespace is part of the error.
    pub fn until_event(&self, kind: &str, name: &str, reason: &str) -> Result<Value> {
        let selector = format!("involvedObject.kind={kind},involvedObject.name={name},reason={reason}");
        let found = self.objects("events", &selector).first(|_| true)?;
        found.with_context(|| format!("{reason} is not told of {kind} {name}\n{}", self.state_of("events")))
    }

    /// Waits until an object is gone.
    ///
    /// # Errors
    /// When it stays.
    pub fn gone(&self, object: &str) -> Result<()> {
        let (kind, fields) = selected(object)?;
        let gone = self.objects(kind, &fields).gone()?;
        gone.then_some(()).with_context(|| format!("{object} is not gone\n{}", self.state_of(object)))
    }

    /// Kinds and reasons of the events of all objects called `name`, in the order in which they were told.
    ///
    /// # Errors
    /// When the API server does not answer.
    pub fn events(&self, name: &str) -> Result<Vec<(String, String)>> {
        let of_object = format!("involvedObject.name={name}");
        let list = self.objects("events", &of_object).list()?;
        // Those of Kubernetes' own controllers have the other time, in whole seconds.
        let time = |event: &Value| event["eventTime"].as_str().or(event["firstTimestamp"].as_str()).map(str::to_owned);
        let mut events = list["items"].as_array().cloned().unwrap_or_default();
        events.sort_by_key(time);
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        Ok(events.iter().map(|event| (text(&event["involvedObject"]["kind"]), text(&event["reason"]))).collect())
    }

    fn objects<'b>(&'b self, kind: &'b str, fields: &'b str) -> Objects<'b> {
        Objects { cluster: self.cluster, namespace: Some(&self.name), kind, fields }
    }

    fn state_of(&self, object: &str) -> String {
        let ask = |arguments: &[&str]| self.ask(arguments).unwrap_or_else(|error| format!("{error:#}"));
        let controller = ["logs", "--namespace", "cdi", "deployment/cdi-deployment", "--tail", "40", "--all-pods"];
        format!(
            "{}\n{}\n{}\n{}",
            ask(&["get", object, "--output", "yaml"]),
            ask(&["get", "datavolumes,pvc,pods,volumeimportsources", "--output", "wide"]),
            ask(&["get", "events", "--sort-by", ".lastTimestamp"]),
            self.cluster.ask(&controller).unwrap_or_default(),
        )
    }
}

impl Drop for Namespace<'_> {
    fn drop(&mut self) {
        // The test's own outcome is what counts; the cluster goes, too.
        let _ = self.cluster.ask(&["delete", "namespace", &self.name, "--wait=false"]);
    }
}

/// Waits until `holds` is true of an object of the whole cluster, and returns it.
///
/// # Errors
/// When it does not come true in time; what the object came to is part of the error.
pub fn until(cluster: &Cluster, object: &str, what: &str, holds: impl Fn(&Value) -> bool) -> Result<Value> {
    let (kind, fields) = selected(object)?;
    let found = Objects { cluster, namespace: None, kind, fields: &fields }.first(holds)?;
    let state = || cluster.ask(&["get", object, "--output", "yaml"]).unwrap_or_else(|error| format!("{error:#}"));
    found.with_context(|| format!("{object} is not {what}\n{}", state()))
}

/// Kind and field selector of an object such as `pod/one`.
fn selected(object: &str) -> Result<(&str, String)> {
    let (kind, name) = object.split_once('/').context("an object is KIND/NAME")?;
    Ok((kind, format!("metadata.name={name}")))
}

impl Objects<'_> {
    /// The first state of one of them from now on of which `holds` is true, if it comes in time.
    fn first(&self, holds: impl Fn(&Value) -> bool) -> Result<Option<Value>> {
        in_time(|left| {
            let (_watching, events) = self.watch(None, left)?;
            let mut states = events.filter(is_state).map(|mut event| event["object"].take());
            Ok(states.find(|state| holds(state)))
        })
    }

    /// Whether there are none, or one has gone in time.
    fn gone(&self) -> Result<bool> {
        let gone = in_time(|left| {
            let list = self.list()?;
            if list["items"].as_array().is_some_and(Vec::is_empty) {
                return Ok(Some(()));
            }
            let (_watching, mut events) = self.watch(list["metadata"]["resourceVersion"].as_str(), left)?;
            Ok(events.find(|event| event["type"] == "DELETED").map(drop))
        });
        Ok(gone?.is_some())
    }
}

/// What `look` finds, which is told for how many seconds it may; it looks again when the API server goes, which is what some
/// tests bring about.
fn in_time<T>(look: impl Fn(u64) -> Result<Option<T>>) -> Result<Option<T>> {
    let end = Instant::now() + PATIENCE;
    loop {
        let left = end.saturating_duration_since(Instant::now()).as_secs();
        if left == 0 {
            return Ok(None);
        }
        if let Some(found) = look(left)? {
            return Ok(Some(found));
        }
        sleep(Duration::from_millis(200));
    }
}
