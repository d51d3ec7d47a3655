//! The controller's own metrics, read as a monitor reads them: with a token whose owner may.

use anyhow::{Context, Result};
use fixtures::command::output;
use fixtures::kubernetes::{Cluster, NAMESPACE};

use super::load::HOME;

/// The namespace's account may read metrics.
const READER: &str = "
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRole
metadata: {name: bench-scale}
rules: [{nonResourceURLs: [/metrics], verbs: [get]}]
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRoleBinding
metadata: {name: bench-scale}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: bench-scale}
subjects: [{kind: ServiceAccount, name: default, namespace: scale}]
";
const PORT: u16 = 8443;

/// Who reads them.
pub(super) struct Metrics {
    cluster: Cluster,
    token: String,
}

/// What a replica said.
pub(super) struct Page(String);

impl Metrics {
    /// Lets the account of [`HOME`] read them.
    pub(super) fn begin(cluster: &Cluster) -> Result<Self> {
        cluster.apply(READER)?;
        let token = cluster.ask(&["create", "token", "default", "--namespace", HOME, "--duration", "2h"])?;
        Ok(Self { cluster: cluster.clone(), token: token.trim().to_owned() })
    }

    /// The page of a pod of the controller.
    pub(super) fn of(&self, pod: &str) -> Result<Page> {
        let address =
            self.cluster.ask(&["get", "pod", pod, "--namespace", NAMESPACE, "--output", "jsonpath={.status.podIP}"])?;
        let mut curl = self.cluster.inside("curl".as_ref());
        curl.args(["--silent", "--show-error", "--fail", "--insecure", "--max-time", "10", "--header"]);
        curl.arg(format!("Authorization: Bearer {}", self.token)).arg(format!("https://{address}:{PORT}/metrics"));
        output(&mut curl).map(Page).with_context(|| format!("{pod} does not tell its metrics"))
    }
}

impl Drop for Metrics {
    fn drop(&mut self) {
        // Whoever cannot remove it sees it; the next run applies it again.
        let _ = self.cluster.ask(&["delete", "clusterrole,clusterrolebinding", "bench-scale", "--ignore-not-found"]);
    }
}

impl Page {
    /// Objects that wait for a reconcile.
    pub(super) fn depth(&self) -> u64 {
        self.sum("gantry_queue_depth")
    }

    /// Reconciles so far, failed ones too.
    pub(super) fn reconciles(&self) -> u64 {
        self.sum("gantry_reconciled_total") + self.sum("gantry_reconcile_failed_total")
    }

    /// The metric over all its labels.
    fn sum(&self, name: &str) -> u64 {
        let lines = self.0.lines().filter(|line| line.strip_prefix(name).is_some_and(|rest| rest.starts_with('{')));
        lines.filter_map(|line| line.rsplit_once(' ')?.1.parse::<u64>().ok()).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_metric_is_summed_over_its_labels_and_no_other_is_taken_for_it() {
        let page = Page(
            "# TYPE gantry_queue_depth gauge\n\
             gantry_queue_depth{controller=\"import\"} 3\n\
             gantry_queue_depth{controller=\"datavolume\"} 4\n\
             gantry_reconciled_total{controller=\"import\"} 100\n\
             gantry_reconcile_failed_total{controller=\"import\"} 1\n"
                .into(),
        );
        assert_eq!((page.depth(), page.reconciles()), (7, 101));
    }
}
