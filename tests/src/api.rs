//! What there is at the API server, by curl: a kubectl takes five times as much of a processor, and tests ask hundreds of times.

use std::io::BufReader;
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Stdio};

use anyhow::{Context, Result};
use fixtures::command::output;
use fixtures::kubernetes::Cluster;
use rustix::process::{Pid, Signal, kill_process_group};
use serde_json::{Deserializer, Value};

/// Where objects are, by what kubectl calls their kinds.
const KINDS: [(&[&str], &str); 9] = [
    (&["datavolume", "datavolumes"], "apis/cdi.kubevirt.io/v1beta1/$place/datavolumes"),
    (&["cdiconfig"], "apis/cdi.kubevirt.io/v1beta1/$place/cdiconfigs"),
    (&["storageprofile"], "apis/cdi.kubevirt.io/v1beta1/$place/storageprofiles"),
    (&["pvc", "persistentvolumeclaim"], "api/v1/$place/persistentvolumeclaims"),
    (&["pod"], "api/v1/$place/pods"),
    (&["events"], "api/v1/$place/events"),
    (&["resourcequota"], "api/v1/$place/resourcequotas"),
    (&["serviceaccount"], "api/v1/$place/serviceaccounts"),
    (&["volumesnapshot"], "apis/snapshot.storage.k8s.io/v1/$place/volumesnapshots"),
];

/// Objects of a kind.
#[derive(Clone, Copy)]
pub(crate) struct Objects<'a> {
    pub(crate) cluster: &'a Cluster,
    /// Where they are, if they are not the whole cluster's.
    pub(crate) namespace: Option<&'a str>,
    /// As kubectl calls it.
    pub(crate) kind: &'a str,
    /// A field selector; empty for all.
    pub(crate) fields: &'a str,
}

impl Objects<'_> {
    /// All there are now, as a list.
    ///
    /// # Errors
    /// When the API server does not answer, or the kind is not in [`KINDS`].
    pub(crate) fn list(&self) -> Result<Value> {
        Ok(serde_json::from_str(&output(&mut self.curl(&[])?)?)?)
    }

    /// Watches them: the events, `{"type": ..., "object": ...}`, until the watch ends. It begins with all there are, or after
    /// the version of a list, and is ended by the API server after so many seconds.
    ///
    /// # Errors
    /// When curl cannot be started, or the kind is not in [`KINDS`].
    pub(crate) fn watch(
        &self,
        version: Option<&str>,
        seconds: u64,
    ) -> Result<(Watching, impl Iterator<Item = Value> + use<>)> {
        let (version, seconds) = (version.unwrap_or_default(), seconds.to_string());
        let parameters = [("watch", "true"), ("resourceVersion", version), ("timeoutSeconds", &*seconds)];
        let mut curl = self.curl(&parameters)?;
        // A group of its own, because curl is a child of what enters the namespaces.
        curl.arg("--no-buffer").process_group(0);
        let mut child = curl.stdin(Stdio::null()).stderr(Stdio::null()).stdout(Stdio::piped()).spawn()?;
        let output = child.stdout.take().context("a pipe")?;
        let events = Deserializer::from_reader(BufReader::new(output)).into_iter::<Value>();
        // What is cut short is no event any more.
        Ok((Watching(child), events.map_while(Result::ok)))
    }

    fn curl(&self, parameters: &[(&str, &str)]) -> Result<Command> {
        let kind = KINDS.iter().find(|(names, _)| names.contains(&self.kind));
        let (_, path) = kind.with_context(|| format!("where {} are is not known here", self.kind))?;
        let place = self.namespace.map(|name| format!("namespaces/{name}/")).unwrap_or_default();
        let mut curl = self.cluster.curl(&path.replace("$place/", &place));
        curl.arg("--get");
        for (key, value) in parameters.iter().chain(&[("fieldSelector", self.fields)]) {
            curl.arg("--data-urlencode").arg(format!("{key}={value}"));
        }
        Ok(curl)
    }
}

/// Whether an event of a watch says what an object has come to.
pub(crate) fn is_state(event: &Value) -> bool {
    matches!(event["type"].as_str(), Some("ADDED" | "MODIFIED"))
}

/// A watch. It ends when this is dropped, or by itself when the API server goes.
pub(crate) struct Watching(Child);

impl Drop for Watching {
    fn drop(&mut self) {
        if let Some(group) = i32::try_from(self.0.id()).ok().and_then(Pid::from_raw) {
            // It may have ended by itself.
            let _ = kill_process_group(group, Signal::KILL);
        }
        let _ = self.0.wait();
    }
}
