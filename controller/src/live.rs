//! What running importers say of themselves, asked every two seconds (cdi.md §2.6).
//!
//! The answers are kept here and shown in two measures: an error at once, progress at most every five seconds, so that
//! ten thousand imports do not write ten thousand statuses each time. Where a network policy keeps us from asking, the
//! termination message tells the same later.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, Instant};

use contract::pod::{METRICS_PORT, WORKER, Worker};
use futures::StreamExt;
use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt;
use reconcile::Index;

use crate::import;

/// What is said of a disk that is complete.
pub(crate) const ALL: &str = "100.0%";

const ASK_EVERY: Duration = Duration::from_secs(2);
const SHOW_EVERY: Duration = Duration::from_secs(5);
const PATIENCE: Duration = Duration::from_secs(2);
const AT_ONCE: usize = 32;

/// How far an importer is, as CDI writes it; nothing while it does not know how much there is to do. A full 100 is only said of
/// what is on stable storage and handed over.
pub(crate) fn percent(worker: &Worker) -> Option<String> {
    (worker.total > 0).then(|| {
        let percent = worker.at.min(worker.total) as f64 * 100.0 / worker.total as f64;
        format!("{:.2}%", percent.min(99.99))
    })
}

/// Namespace and name of a pod.
type Name = (String, String);

/// What importers last said, as far as it is shown.
#[derive(Clone, Default)]
pub(crate) struct Live {
    shown: Arc<RwLock<HashMap<Name, (Worker, Instant)>>>,
}

impl Live {
    /// What the importer pod said.
    pub(crate) fn shown(&self, namespace: &str, pod: &str) -> Option<Worker> {
        let shown = self.shown.read().unwrap_or_else(PoisonError::into_inner);
        shown.get(&(namespace.to_owned(), pod.to_owned())).map(|(worker, _)| worker.clone())
    }

    /// Takes an answer; whether it is to be shown now.
    fn take(&self, pod: Name, worker: Worker) -> bool {
        let mut shown = self.shown.write().unwrap_or_else(PoisonError::into_inner);
        let is_due = shown.get(&pod).is_none_or(|(old, since)| {
            old.last_error != worker.last_error || (since.elapsed() >= SHOW_EVERY && *old != worker)
        });
        if is_due {
            shown.insert(pod, (worker, Instant::now()));
        }
        is_due
    }

    /// Forgets pods that do not run any more.
    fn keep(&self, running: &[Arc<Pod>]) {
        let names: std::collections::HashSet<Name> = running.iter().map(|pod| name(pod)).collect();
        self.shown.write().unwrap_or_else(PoisonError::into_inner).retain(|pod, _| names.contains(pod));
    }

    /// Asks all running importers until the process ends; `wake` is called with each pod that has something to show.
    ///
    /// # Errors
    /// When no client can be made.
    pub(crate) async fn run(self, importers: Index<Pod, ()>, wake: impl Fn(&Pod)) -> Result<(), reqwest::Error> {
        // The importer makes its certificate for the occasion. What is asked for is no secret, and what is answered decides
        // nothing but what is shown.
        let client = reqwest::Client::builder()
            .danger_accept_invalid_certs(true)
            .no_proxy()
            .pool_idle_timeout(2 * ASK_EVERY)
            .timeout(PATIENCE)
            .build()?;
        loop {
            let running = importers.get(&());
            self.keep(&running);
            let asked = futures::stream::iter(&running).map(|pod| ask(&client, pod)).buffer_unordered(AT_ONCE);
            let mut asked = std::pin::pin!(asked);
            while let Some((pod, worker)) = asked.next().await {
                if let Some(worker) = worker
                    && self.take(name(pod), worker)
                {
                    wake(pod);
                }
            }
            tokio::time::sleep(ASK_EVERY).await;
        }
    }
}

fn name(pod: &Pod) -> Name {
    (pod.namespace().unwrap_or_default(), pod.name_any())
}

/// Whether it is an importer pod whose container runs.
pub(crate) fn is_running_importer(pod: &Pod) -> bool {
    let importer = pod.labels().get(api::label::COMPONENT).is_some_and(|name| name == api::label::COMPONENT_IMPORTER);
    importer && import::is_running(pod)
}

async fn ask<'a>(client: &reqwest::Client, pod: &'a Pod) -> (&'a Pod, Option<Worker>) {
    let address = pod.status.as_ref().and_then(|status| status.pod_ip.as_deref()?.parse::<IpAddr>().ok());
    let Some(address) = address else { return (pod, None) };
    let url = format!("https://{}{WORKER}", std::net::SocketAddr::new(address, METRICS_PORT));
    let answer = async { client.get(url).send().await?.error_for_status()?.bytes().await };
    match answer.await {
        // An importer of another version may say something else; it is asked for what is known here.
        Ok(text) => (pod, serde_json::from_slice(&text).ok()),
        Err(error) => {
            tracing::debug!(pod = pod.name_any(), %error, "the importer does not answer");
            (pod, None)
        }
    }
}
