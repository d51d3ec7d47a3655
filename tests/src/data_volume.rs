//! DataVolumes as their users write them, and what they come to.

use std::fmt;

use anyhow::{Context, Result};
use serde_json::Value;

use crate::objects::{Namespace, filled};

/// What is asked for, if a test does not say otherwise.
const CLAIM: &str =
    "$field: {accessModes: [ReadWriteOnce]$mode, storageClassName: $class, resources: {requests: {storage: $size}}}";

/// A manifest. It asks by `pvc` for 64 MiB in a file system of a class that binds at once.
#[derive(Clone, Debug)]
pub struct DataVolume {
    name: String,
    labels: String,
    annotations: Vec<String>,
    source: String,
    claim: String,
    field: &'static str,
    mode: &'static str,
    class: String,
    size: String,
    more: String,
}

impl DataVolume {
    /// One with this in its `spec.source`.
    #[must_use]
    pub fn new(name: &str, source: &str) -> Self {
        Self {
            name: name.to_owned(),
            labels: String::new(),
            annotations: Vec::new(),
            source: source.to_owned(),
            claim: CLAIM.to_owned(),
            field: "pvc",
            mode: "",
            class: "gantry-immediate".to_owned(),
            size: "64Mi".to_owned(),
            more: String::new(),
        }
    }

    /// An empty one.
    #[must_use]
    pub fn blank(name: &str) -> Self {
        Self::new(name, "blank: {}")
    }

    /// One that is filled by a server.
    #[must_use]
    pub fn http(name: &str, url: &str) -> Self {
        Self::new(name, &format!("http: {{url: '{url}'}}"))
    }

    /// Says more of the server, such as `secretRef: login`.
    #[must_use]
    pub fn server(mut self, words: &str) -> Self {
        self.source.insert_str(self.source.len() - 1, &format!(", {words}"));
        self
    }

    /// Has an annotation.
    #[must_use]
    pub fn annotation(mut self, key: &str, value: &str) -> Self {
        self.annotations.push(format!("{key}: '{value}'"));
        self
    }

    /// Is filled through a prime claim, or directly.
    #[must_use]
    pub fn populator(self, populator: bool) -> Self {
        self.annotation("cdi.kubevirt.io/storage.usePopulator", &populator.to_string())
    }

    /// Has these labels.
    #[must_use]
    pub fn labels(mut self, labels: &str) -> Self {
        labels.clone_into(&mut self.labels);
        self
    }

    /// Says more in its `spec`, such as `preallocation: true`.
    #[must_use]
    pub fn spec(mut self, words: &str) -> Self {
        self.more += &format!("\n  {words}");
        self
    }

    /// Asks by `storage`, not by `pvc`.
    #[must_use]
    pub fn storage(mut self) -> Self {
        self.field = "storage";
        self
    }

    /// Says that it is a device, or that it is a file system.
    #[must_use]
    pub fn block(mut self, block: bool) -> Self {
        self.mode = if block { ", volumeMode: Block" } else { ", volumeMode: Filesystem" };
        self
    }

    /// Asks for another class, such as `gantry`, which waits for a consumer.
    #[must_use]
    pub fn class(mut self, class: &str) -> Self {
        class.clone_into(&mut self.class);
        self
    }

    /// Asks for so much.
    #[must_use]
    pub fn size(mut self, size: &str) -> Self {
        size.clone_into(&mut self.size);
        self
    }

    /// Asks for this, `pvc` or `storage` with all that is in it, whatever else is said of it.
    #[must_use]
    pub fn claim(mut self, claim: &str) -> Self {
        claim.clone_into(&mut self.claim);
        self
    }

    /// Its name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Makes it.
    ///
    /// # Errors
    /// When the API server refuses it.
    pub fn apply(&self, namespace: &Namespace) -> Result<()> {
        namespace.apply(&self.to_string()).with_context(|| self.name.clone())
    }

    /// Makes it, and returns it when it has succeeded.
    ///
    /// # Errors
    /// When it is refused, or does not succeed in time.
    pub fn fill(&self, namespace: &Namespace) -> Result<Value> {
        self.apply(namespace)?;
        namespace.succeeded(&self.name)
    }
}

impl fmt::Display for DataVolume {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let claim = [("$field", self.field), ("$mode", self.mode), ("$class", &self.class), ("$size", &self.size)];
        // One without any has no such field, which is not the same as an empty one.
        let map = |key: &str, of: &str| if of.is_empty() { String::new() } else { format!(", {key}: {{{of}}}") };
        let metadata = map("labels", &self.labels) + &map("annotations", &self.annotations.join(", "));
        writeln!(f, "apiVersion: cdi.kubevirt.io/v1beta1\nkind: DataVolume")?;
        writeln!(f, "metadata: {{name: {}{metadata}}}", self.name)?;
        writeln!(f, "spec:\n  source: {{{}}}\n  {}{}", self.source, filled(&self.claim, &claim), self.more)
    }
}

impl Namespace<'_> {
    /// Waits until a DataVolume has succeeded, and returns it.
    ///
    /// # Errors
    /// When it does not in time.
    pub fn succeeded(&self, name: &str) -> Result<Value> {
        self.until_phase(&format!("datavolume/{name}"), "Succeeded")
    }

    /// Waits until a DataVolume tells a failure of this code, and returns it.
    ///
    /// # Errors
    /// When it does not in time.
    pub fn told(&self, name: &str, code: &str) -> Result<Value> {
        let is_told = |found: &Value| found["status"]["gantry"]["lastError"]["code"] == code;
        self.until(&format!("datavolume/{name}"), code, is_told)
    }
}
