//! What the product says of storage classes, of its settings and of its work: `cargo xtask kubernetes test`.

use anyhow::{Result, ensure};
use fixtures::kubernetes::Cluster;
use serde_json::{Value, json};
use tests::metrics::Metrics;
use tests::objects::{Namespace, until};

const CLASS: &str = "
apiVersion: storage.k8s.io/v1
kind: StorageClass
metadata: {name: profiled}
provisioner: csi.gantry.dev
volumeBindingMode: WaitForFirstConsumer
";

#[test]
#[ignore = "needs a cluster: cargo xtask kubernetes test"]
fn a_storage_profile_says_what_its_class_can_do_and_what_is_set_in_it_wins() -> Result<()> {
    let cluster = Cluster::running()?;
    cluster.apply(CLASS)?;
    let told = profiled(&cluster);
    cluster.ask(&["delete", "storageclass", "profiled"])?;
    told?;
    // It goes with its class.
    cluster.ask(&["wait", "--for=delete", "storageprofile/profiled", "--timeout=120s"]).map(drop)
}

/// The profile of a new class: as it is known, as it is set, and as it is known again.
fn profiled(cluster: &Cluster) -> Result<()> {
    let profile = |what: &str, holds: &dyn Fn(&Value) -> bool| -> Result<()> {
        until(cluster, "storageprofile/profiled", what, |found| holds(&found["status"])).map(drop)
    };
    let known = |status: &Value| {
        let recognized = status["conditions"].as_array().into_iter().flatten().find(|one| one["type"] == "Recognized");
        status["provisioner"] == "csi.gantry.dev"
            && status["storageClass"] == "profiled"
            && recognized.is_some_and(|one| one["status"] == "True")
            && status["claimPropertySets"][0]["accessModes"] == json!(["ReadWriteOnce"])
    };
    profile("known", &known)?;
    let set = |spec: &Value| {
        let patch = json!([{"op": "replace", "path": "/spec", "value": spec}]).to_string();
        cluster.ask(&["patch", "storageprofile", "profiled", "--type", "json", "--patch", &patch])
    };
    let own = json!([{"accessModes": ["ReadOnlyMany"], "volumeMode": "Block"}]);
    set(&json!({"claimPropertySets": own, "cloneStrategy": "copy"}))?;
    profile("as it is set", &|status| status["claimPropertySets"] == own && status["cloneStrategy"] == "copy")?;
    set(&json!({}))?;
    profile("known again", &known)
}

#[test]
#[ignore = "needs a cluster: cargo xtask kubernetes test"]
fn the_upload_proxy_is_found_by_its_ingress() -> Result<()> {
    let cluster = Cluster::running()?;
    let url = |what: &str, wanted: &Value| {
        until(&cluster, "cdiconfig/config", what, |found| found["status"]["uploadProxyURL"] == *wanted).map(drop)
    };
    cluster.apply(
        "
apiVersion: networking.k8s.io/v1
kind: Ingress
metadata: {name: upload, namespace: cdi}
spec:
  rules:
  - host: upload.example
    http: {paths: [{path: /, pathType: Prefix, backend: {service: {name: cdi-uploadproxy, port: {number: 443}}}}]}
",
    )?;
    let found = url("led by the Ingress", &json!("upload.example"));
    cluster.ask(&["delete", "ingress", "upload", "--namespace", "cdi"])?;
    found?;
    url("without", &Value::Null)
}

#[test]
#[ignore = "needs a cluster: cargo xtask kubernetes test"]
fn metrics_are_for_those_who_may_read_them() -> Result<()> {
    let cluster = Cluster::running()?;
    cluster.share_network()?;
    let namespace = Namespace::new(&cluster, "metrics")?;
    let metrics = Metrics::new(&cluster, &namespace)?;
    for (token, status) in
        [(Some(metrics.reader()), "200"), (Some(metrics.other()), "403"), (Some("nobody"), "401"), (None, "401")]
    {
        let pages = metrics.get(token)?;
        ensure!(pages.len() >= 2, "{} replicas", pages.len());
        for (found, page) in &pages {
            ensure!(found == status, "{found}, not {status}");
            ensure!((status == "200") == page.contains("kubevirt_cdi_storageprofile_info{"), "{page}");
        }
    }
    for part in ["gantry_reconciled_total{controller=\"datavolume\"}", "kubevirt_cdi_datavolume_pending "] {
        metrics.until(part)?;
    }
    Ok(())
}
