//! What the product counts, read as Prometheus does.

use std::process::Command;
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use fixtures::command::output;
use fixtures::kubernetes::Cluster;

use crate::objects::Namespace;

const PATIENCE: Duration = Duration::from_secs(60);

/// The controller's metrics, as Prometheus reads them.
pub struct Metrics<'a> {
    cluster: &'a Cluster,
    token: String,
    other: String,
}

impl<'a> Metrics<'a> {
    /// Two accounts in the namespace, of which one may read.
    ///
    /// # Errors
    /// When the API server refuses them.
    pub fn new(cluster: &'a Cluster, namespace: &Namespace) -> Result<Self> {
        let account = |name: &str| -> Result<String> {
            namespace.ask(&["create", "serviceaccount", name])?;
            Ok(namespace.ask(&["create", "token", name])?.trim().to_owned())
        };
        let [token, other] = [account("prometheus")?, account("other")?];
        let subject = format!("{}:prometheus", namespace.name());
        cluster.ask(&["delete", "clusterrolebinding", "gantry-test-metrics", "--ignore-not-found"])?;
        let role = ["--clusterrole", "cdi-metrics-reader", "--serviceaccount", &subject];
        cluster.ask(&[&["create", "clusterrolebinding", "gantry-test-metrics"][..], &role].concat())?;
        Ok(Self { cluster, token, other })
    }

    /// The token of the account that may read.
    #[must_use]
    pub fn reader(&self) -> &str {
        &self.token
    }

    /// The token of the account that may not.
    #[must_use]
    pub fn other(&self) -> &str {
        &self.other
    }

    /// Status and page of each replica, for whoever shows this token.
    ///
    /// # Errors
    /// When one does not answer.
    pub fn get(&self, token: Option<&str>) -> Result<Vec<(String, String)>> {
        let addresses = ["get", "pods", "--namespace", "cdi", "--selector", "cdi.kubevirt.io=cdi-deployment"];
        let addresses =
            self.cluster.ask(&[&addresses[..], &["--output", "jsonpath={.items[*].status.podIP}"]].concat())?;
        addresses.split_whitespace().map(|address| ask(address, token)).collect()
    }

    /// Waits until a replica's page has this.
    ///
    /// # Errors
    /// When none comes to have it.
    pub fn until(&self, part: &str) -> Result<()> {
        let end = Instant::now() + PATIENCE;
        loop {
            let pages = self.get(Some(&self.token))?;
            if pages.iter().any(|(_, page)| page.contains(part)) {
                return Ok(());
            }
            ensure!(Instant::now() < end, "no page has {part}: {pages:?}");
            sleep(Duration::from_millis(500));
        }
    }
}

impl Drop for Metrics<'_> {
    fn drop(&mut self) {
        // The test's own outcome is what counts.
        let _ = self.cluster.ask(&["delete", "clusterrolebinding", "gantry-test-metrics"]);
    }
}

fn ask(address: &str, token: Option<&str>) -> Result<(String, String)> {
    let mut curl = Command::new("curl");
    curl.args(["--silent", "--insecure", "--max-time", "10", "--write-out", "\n%{http_code}"]);
    if let Some(token) = token {
        curl.args(["--header", &format!("Authorization: Bearer {token}")]);
    }
    let said = output(curl.arg(format!("https://{address}:8443/metrics")))?;
    let (page, status) = said.trim_end().rsplit_once('\n').context("no status")?;
    Ok((status.to_owned(), page.to_owned()))
}
