//! A watch by kubectl, which is one process for as long as something is waited for.

use std::io::BufReader;
use std::os::unix::process::CommandExt;
use std::process::{Child, Stdio};

use anyhow::{Context, Result};
use fixtures::kubernetes::Cluster;
use rustix::process::{Pid, Signal, kill_process_group};
use serde_json::{Deserializer, Value};

/// kubectl that watches. It ends when this is dropped, or by itself when the API server goes.
pub(crate) struct Watching(Child);

impl Watching {
    /// Watches what `kubectl get ARGUMENTS` would print: the events, `{"type": ..., "object": ...}`, until the watch ends.
    ///
    /// # Errors
    /// When kubectl cannot be started.
    pub(crate) fn start(cluster: &Cluster, arguments: &[&str]) -> Result<(Self, impl Iterator<Item = Value> + use<>)> {
        let mut command = cluster.kubectl();
        command.arg("get").args(arguments).args(["--watch", "--output-watch-events", "--output", "json"]);
        // A group of its own, because kubectl is a child of what enters the namespaces.
        command.process_group(0).stdin(Stdio::null()).stderr(Stdio::null()).stdout(Stdio::piped());
        let mut child = command.spawn()?;
        let output = child.stdout.take().context("a pipe")?;
        let events = Deserializer::from_reader(BufReader::new(output)).into_iter::<Value>();
        // What is cut short is no event any more.
        Ok((Self(child), events.map_while(Result::ok)))
    }
}

impl Drop for Watching {
    fn drop(&mut self) {
        if let Some(group) = i32::try_from(self.0.id()).ok().and_then(Pid::from_raw) {
            // It may have ended by itself.
            let _ = kill_process_group(group, Signal::KILL);
        }
        let _ = self.0.wait();
    }
}
