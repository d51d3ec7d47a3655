//! The DataVolumes: made as fast as the API server takes them, followed by one watch, gone at the end.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{JoinHandle, sleep, spawn};
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use fixtures::kubernetes::{Cluster, Proxy, STAND_IN};
use serde_json::{Value, json};

/// The namespace that they are in.
pub(super) const HOME: &str = "scale";
/// The kind's place in the API.
const KIND: &str = "/apis/cdi.kubevirt.io/v1beta1";
/// Requests at a time.
const HANDS: usize = 8;
/// How long cleaning up may take.
const PATIENCE: Duration = Duration::from_secs(900);

/// Makes the namespace, without what an earlier run may have left in it.
pub(super) fn begin(cluster: &Cluster) -> Result<()> {
    clean(cluster)?;
    cluster.apply(&format!("{{apiVersion: v1, kind: Namespace, metadata: {{name: {HOME}}}}}"))
}

/// Removes the namespace with all that is in it, and waits until it has gone.
pub(super) fn clean(cluster: &Cluster) -> Result<()> {
    let end = Instant::now() + PATIENCE;
    cluster.ask(&["delete", "namespace", HOME, "--ignore-not-found", "--wait=false"])?;
    while !cluster.ask(&["get", "namespace", HOME, "--ignore-not-found", "--output", "name"])?.is_empty() {
        ensure!(Instant::now() < end, "the namespace {HOME} does not go");
        sleep(Duration::from_secs(1));
    }
    Ok(())
}

/// Makes DataVolumes `from` to `to`; how long that took.
pub(super) fn create(proxy: &Proxy, from: usize, to: usize) -> Result<JoinHandle<Result<Duration>>> {
    let hands: Vec<_> = (0..HANDS).map(|_| proxy.connect()).collect::<Result<_>>()?;
    let begin = Instant::now();
    Ok(spawn(move || {
        let working: Vec<JoinHandle<Result<()>>> = hands
            .into_iter()
            .enumerate()
            .map(|(hand, mut way)| {
                spawn(move || {
                    for number in (from + hand..to).step_by(HANDS) {
                        let path = format!("{KIND}/namespaces/{HOME}/datavolumes");
                        way.ask("POST", &path, &data_volume(number))?.done()?;
                    }
                    Ok(())
                })
            })
            .collect();
        for hand in working {
            hand.join().map_err(|_| anyhow::anyhow!("a hand has gone"))??;
        }
        Ok(begin.elapsed())
    }))
}

fn data_volume(number: usize) -> Value {
    json!({
        "apiVersion": "cdi.kubevirt.io/v1beta1",
        "kind": "DataVolume",
        "metadata": {"name": format!("disk-{number:05}")},
        "spec": {
            "source": {"blank": {}},
            "pvc": {
                "accessModes": ["ReadWriteOnce"],
                "storageClassName": STAND_IN,
                "resources": {"requests": {"storage": "64Mi"}},
            },
        },
    })
}

/// The phases of all DataVolumes, as a watch tells them.
pub(super) struct Followed(Arc<Mutex<HashMap<String, bool>>>);

impl Followed {
    /// Follows them until the proxy ends.
    pub(super) fn begin(proxy: &Proxy) -> Result<Self> {
        let mut watched = proxy.connect()?.watch(&format!("{KIND}/namespaces/{HOME}/datavolumes?watch=true"))?;
        let followed = Self(Arc::default());
        let all = Arc::clone(&followed.0);
        spawn(move || {
            // A watch that ends shows as DataVolumes that do not succeed.
            while let Ok(Some(change)) = watched.change() {
                let object = &change["object"];
                if let Some(name) = object["metadata"]["name"].as_str() {
                    let mut all = all.lock().unwrap_or_else(PoisonError::into_inner);
                    all.insert(name.to_owned(), object["status"]["phase"] == "Succeeded");
                }
            }
        });
        Ok(followed)
    }

    /// How many there are.
    pub(super) fn created(&self) -> usize {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).len()
    }

    /// How many have succeeded.
    pub(super) fn succeeded(&self) -> usize {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).values().filter(|succeeded| **succeeded).count()
    }
}
