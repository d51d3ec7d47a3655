//! What the installation's settings change, in the administrator's hands: `cargo xtask kubernetes test`.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use fixtures::command::{output, run};
use fixtures::images::{MIB, raw};
use fixtures::kubernetes::{ADDRESS, Cluster};
use fixtures::nginx::Settings;
use fixtures::tls::Authority;
use serde_json::{Value, json};
use tests::bed::Bed;
use tests::data_volume::DataVolume;
use tests::metrics::Metrics;
use tests::objects::{Namespace, until};

/// Of the disk that is served.
const SIZE: u64 = 8 * MIB;

/// Changes of the CDIConfig, which are taken back when this is dropped.
struct Config<'a> {
    cluster: &'a Cluster,
    before: Value,
}

impl<'a> Config<'a> {
    fn of(cluster: &'a Cluster) -> Result<Self> {
        Ok(Self { cluster, before: config(cluster)?["spec"].clone() })
    }

    /// Merges into `spec`.
    fn set(&self, spec: &Value) -> Result<()> {
        let patch = json!({ "spec": spec }).to_string();
        self.cluster.ask(&["patch", "cdiconfig", "config", "--type", "merge", "--patch", &patch]).map(drop)
    }
}

impl Drop for Config<'_> {
    fn drop(&mut self) {
        let patch = json!([{"op": "replace", "path": "/spec", "value": self.before}]).to_string();
        // The test's own outcome is what counts.
        let _ = self.cluster.ask(&["patch", "cdiconfig", "config", "--type", "json", "--patch", &patch]);
    }
}

fn config(cluster: &Cluster) -> Result<Value> {
    Ok(serde_json::from_str(&cluster.ask(&["get", "cdiconfig", "config", "--output", "json"])?)?)
}

/// Waits until the CDIConfig is as wanted.
fn config_until(cluster: &Cluster, what: &str, holds: impl Fn(&Value) -> bool) -> Result<()> {
    until(cluster, "cdiconfig/config", what, holds).map(drop)
}

/// What kubectl says of the controllers' Deployment.
fn of_controller(cluster: &Cluster, command: &[&str], options: &[&str]) -> Result<String> {
    cluster.ask(&[command, &["deployment/cdi-deployment", "--namespace", "cdi"], options].concat())
}

/// Has kubectl change the controllers' Deployment, and waits until all of its pods are new.
fn begin_anew(cluster: &Cluster, command: &[&str], options: &[&str]) -> Result<()> {
    of_controller(cluster, command, options)?;
    of_controller(cluster, &["rollout", "status"], &["--timeout", "120s"]).map(drop)
}

/// Waits for an error, which must be told whole and be tried again.
fn failed(namespace: &Namespace, name: &str, code: &str) -> Result<()> {
    let told = namespace.told(name, code)?;
    let error = &told["status"]["gantry"]["lastError"];
    let said = |key: &str| error[key].as_str().is_some_and(|text| !text.is_empty());
    ensure!(said("cause") && said("remedy") && error["retried"] == true, "{error}");
    println!("{name}: {error}");
    Ok(())
}

#[test]
#[ignore = "needs a cluster: cargo xtask kubernetes test"]
fn a_namespace_has_a_source_policy_that_its_users_cannot_loosen() -> Result<()> {
    let bed = Bed::new(SIZE, "")?;
    let config = Config::of(&bed.cluster)?;
    let closed = Namespace::restricted(&bed.cluster, "closed")?;
    let open = Namespace::restricted(&bed.cluster, "open")?;
    let network = format!("{ADDRESS}/32");
    for (spec, word) in [
        (json!({"gantry": {"namespaceSourcePolicies": {"closed": {"deny": ["10.0.0.0/33"]}}}}), "10.0.0.0/33"),
        (json!({"gantry": {"sourcePolicy": {"allow": ["everything"]}}}), "everything"),
    ] {
        let error = config.set(&spec).err().context("a word was taken for a network")?;
        let said = format!("{error:#}");
        ensure!(said.contains(word) && said.contains("cidr"), "{said}");
    }
    config.set(&json!({"gantry": {"namespaceSourcePolicies": {"closed": {"deny": [network]}}}}))?;
    bed.data_volume("disk").apply(&closed)?;
    bed.data_volume("disk").apply(&open)?;
    open.succeeded("disk")?;
    failed(&closed, "disk", "source-policy")?;
    // Whoever has all rights of an editor in the namespace.
    closed.ask(&["create", "serviceaccount", "editor"])?;
    closed.ask(&["create", "rolebinding", "editor", "--clusterrole", "admin", "--serviceaccount", "closed:editor"])?;
    let mut may = bed.cluster.kubectl();
    may.args([
        "auth",
        "can-i",
        "patch",
        "cdiconfigs",
        "--namespace",
        "closed",
        "--as",
        "system:serviceaccount:closed:editor",
    ]);
    ensure!(output(&mut may).is_err(), "an editor may loosen the policy");
    // The namespace's own entry stands in place of the installation's.
    config.set(&json!({"gantry": {
        "sourcePolicy": {"deny": [network]},
        "namespaceSourcePolicies": {"closed": {"deny": ["192.0.2.0/24"]}},
    }}))?;
    closed.succeeded("disk")?;
    bed.data_volume("second").apply(&open)?;
    failed(&open, "second", "source-policy")?;
    // An open network wins over private ones that are closed.
    config.set(&json!({"gantry": {"sourcePolicy": {"denyPrivate": true, "allow": [network], "deny": []}}}))?;
    open.succeeded("second").map(drop)
}

#[test]
#[ignore = "needs a cluster: cargo xtask kubernetes test"]
fn workers_are_as_the_installation_wants_them() -> Result<()> {
    let bed = Bed::new(SIZE, "limit_rate 1m;")?;
    let config = Config::of(&bed.cluster)?;
    let namespace = Namespace::restricted(&bed.cluster, "workers")?;
    namespace.apply(
        "{apiVersion: v1, kind: Secret, metadata: {name: pull}, type: kubernetes.io/dockerconfigjson, stringData: {.dockerconfigjson: '{\"auths\": {}}'}}",
    )?;
    let resources = json!({"requests": {"cpu": "5m", "memory": "48Mi"}, "limits": {"cpu": "900m", "memory": "300Mi"}});
    config.set(
        &json!({"podResourceRequirements": resources, "imagePullSecrets": [{"name": "pull"}], "logVerbosity": 3}),
    )?;
    let installation = Installation::create(
        &bed.cluster,
        &json!({"workload": {
            "nodeSelector": {"kubernetes.io/os": "linux"},
            "tolerations": [{"key": "storage", "operator": "Exists", "effect": "NoSchedule"}],
        }}),
        false,
    )?;
    config_until(&bed.cluster, "heeded", |found| {
        found["status"]["defaultPodResourceRequirements"]["limits"]["memory"] == "300Mi"
            && found["status"]["imagePullSecrets"][0]["name"] == "pull"
    })?;
    bed.data_volume("disk").apply(&namespace)?;
    let uid = namespace.until("pvc/disk", "there", |_| true)?["metadata"]["uid"].clone();
    let pod = format!("pod/importer-prime-{}", uid.as_str().unwrap_or_default());
    let pod = namespace.until(&pod, "there", |_| true)?;
    let spec = &pod["spec"];
    ensure!(spec["containers"][0]["resources"] == resources, "{spec}");
    ensure!(spec["containers"][0]["args"] == json!(["-v=3"]), "{spec}");
    ensure!(spec["imagePullSecrets"] == json!([{"name": "pull"}]), "{spec}");
    ensure!(spec["nodeSelector"] == json!({"kubernetes.io/os": "linux"}), "{spec}");
    let tolerations = spec["tolerations"].as_array().cloned().unwrap_or_default();
    ensure!(tolerations.iter().any(|one| one["key"] == "storage"), "{spec}");
    namespace.succeeded("disk")?;
    drop(installation);
    Ok(())
}

/// A CDI object, which goes when this is dropped.
struct Installation<'a>(&'a Cluster);

impl<'a> Installation<'a> {
    fn create(cluster: &'a Cluster, spec: &Value, rules: bool) -> Result<Self> {
        let annotations = if rules { json!({"cdi.kubevirt.io/configAuthority": ""}) } else { json!({}) };
        let object = json!({
            "apiVersion": "cdi.kubevirt.io/v1beta1", "kind": "CDI",
            "metadata": {"name": "cdi", "annotations": annotations}, "spec": spec,
        });
        cluster.apply(&object.to_string())?;
        Ok(Self(cluster))
    }
}

impl Drop for Installation<'_> {
    fn drop(&mut self) {
        // The test's own outcome is what counts.
        let _ = self.0.ask(&["delete", "cdi", "cdi"]);
    }
}

#[test]
#[ignore = "needs a cluster: cargo xtask kubernetes test"]
fn the_cdi_object_rules_over_the_settings_where_it_says_so() -> Result<()> {
    let cluster = Cluster::running()?;
    let config = Config::of(&cluster)?;
    let overhead = json!({"global": "0.1", "storageClass": {"gantry": "0.2"}});
    let ruled = json!({
        "featureGates": ["HonorWaitForFirstConsumer", "DataVolumeClaimAdoption"],
        "filesystemOverhead": overhead,
        "scratchSpaceStorageClass": "gantry",
        "preallocation": true,
        "uploadProxyURLOverride": "https://upload.example",
        "importProxy": {"HTTPProxy": "http://proxy.example:3128", "noProxy": "example"},
    });
    let installation = Installation::create(&cluster, &json!({ "config": ruled }), true)?;
    config_until(&cluster, "ruled", |found| {
        let status = &found["status"];
        found["spec"] == ruled
            && status["filesystemOverhead"]["global"] == "0.1"
            && status["filesystemOverhead"]["storageClass"]["gantry"] == "0.2"
            && status["filesystemOverhead"]["storageClass"]["gantry-immediate"] == "0.1"
            && status["scratchSpaceStorageClass"] == "gantry"
            && status["preallocation"] == true
            && status["uploadProxyURL"] == "https://upload.example"
            && status["importProxy"]["HTTPProxy"] == "http://proxy.example:3128"
    })?;
    // What is written past it is taken back.
    config.set(&json!({"preallocation": false}))?;
    config_until(&cluster, "ruled again", |found| found["spec"]["preallocation"] == true)?;
    drop(installation);
    Ok(())
}

#[test]
#[ignore = "needs a cluster: cargo xtask kubernetes test"]
fn feature_gates_decide_on_waiting_and_on_claims_that_are_there() -> Result<()> {
    let bed = Bed::new(SIZE, "")?;
    let config = Config::of(&bed.cluster)?;
    let namespace = Namespace::restricted(&bed.cluster, "gated")?;
    config.set(&json!({"featureGates": ["DataVolumeClaimAdoption"]}))?;
    sleep(Duration::from_secs(2));
    // Adopted by the gate, which the annotation overrules.
    let claim = "{apiVersion: v1, kind: PersistentVolumeClaim, metadata: {name: there}, spec: {accessModes: [ReadWriteOnce], storageClassName: gantry-immediate, resources: {requests: {storage: 64Mi}}}}";
    namespace.apply(claim)?;
    let kept = bed.data_volume("there").annotation("cdi.kubevirt.io/allowClaimAdoption", "false");
    ensure!(kept.apply(&namespace).is_err(), "the annotation was passed over");
    bed.data_volume("there").fill(&namespace)?;
    ensure!(bed.server.requests()?.is_empty(), "an adopted claim was written to");
    // On the direct path the importer is the first consumer, where nobody honours the class's wish.
    bed.data_volume("bound").populator(false).class("gantry").fill(&namespace).map(drop)
}

#[test]
#[ignore = "needs a cluster: cargo xtask kubernetes test"]
fn the_default_class_for_virtual_machines_is_chosen_and_its_smallest_claim_heeded() -> Result<()> {
    let bed = Bed::new(SIZE, "")?;
    let namespace = Namespace::restricted(&bed.cluster, "defaults")?;
    let virt = "storageclass.kubevirt.io/is-default-virt-class";
    let smallest = "cdi.kubevirt.io/minimumSupportedPvcSize";
    let metrics = Metrics::new(&bed.cluster, &namespace)?;
    let claim = "storage: {resources: {requests: {storage: 48Mi}}}";
    bed.data_volume("disk").claim(claim).apply(&namespace)?;
    failed(&namespace, "disk", "claim-no-class")?;
    metrics.until("kubevirt_cdi_datavolume_pending 1")?;
    bed.cluster.ask(&["annotate", "storageprofile", "gantry-immediate", &format!("{smallest}=100Mi")])?;
    bed.cluster.ask(&["annotate", "storageclass", "gantry-immediate", &format!("{virt}=true")])?;
    let done = namespace.succeeded("disk");
    let of_class = metrics.until("virtdefault=\"true\"");
    let pending = metrics.until("kubevirt_cdi_datavolume_pending 0");
    bed.cluster.ask(&["annotate", "storageclass", "gantry-immediate", &format!("{virt}-")])?;
    bed.cluster.ask(&["annotate", "storageprofile", "gantry-immediate", &format!("{smallest}-")])?;
    done?;
    of_class?;
    pending?;
    let claim = namespace.there("pvc/disk")?;
    ensure!(claim["spec"]["storageClassName"] == "gantry-immediate", "{claim}");
    ensure!(claim["spec"]["resources"]["requests"]["storage"] == "104857600", "{claim}");
    Ok(())
}

#[test]
#[ignore = "needs a cluster: cargo xtask kubernetes test"]
fn an_importer_that_is_killed_for_its_memory_is_told_and_goes_on_with_more() -> Result<()> {
    let bed = Bed::new(SIZE, "")?;
    // What flows in is compressed with a window of 64 MiB, which the importer has to keep.
    raw::dense(&bed.folder.path().join("large"), 40 * MIB, 1)?;
    let flow = "cat large | zstd --quiet --long=26 --stdout > disk.raw";
    run(Command::new("sh").current_dir(bed.folder.path()).args(["-c", flow]))?;
    let config = Config::of(&bed.cluster)?;
    let namespace = Namespace::restricted(&bed.cluster, "memory")?;
    config.set(&json!({"podResourceRequirements": {"requests": {"memory": "24Mi"}, "limits": {"memory": "24Mi"}}}))?;
    config_until(&bed.cluster, "heeded", |found| {
        found["status"]["defaultPodResourceRequirements"]["limits"]["memory"] == "24Mi"
    })?;
    bed.data_volume("disk").apply(&namespace)?;
    failed(&namespace, "disk", "pod-memory")?;
    config.set(&json!({"podResourceRequirements": {"requests": {"memory": "60Mi"}, "limits": {"memory": "300Mi"}}}))?;
    namespace.succeeded("disk").map(drop)
}

#[test]
#[ignore = "needs a cluster: cargo xtask kubernetes test"]
fn an_image_that_cannot_be_had_is_told_and_the_right_one_goes_on() -> Result<()> {
    let bed = Bed::new(SIZE, "")?;
    let namespace = Namespace::restricted(&bed.cluster, "images")?;
    let path = "jsonpath={.spec.template.spec.containers[0].env[?(@.name=='IMPORTER_IMAGE')].value}";
    let right = of_controller(&bed.cluster, &["get"], &["--output", path])?;
    let use_image = |image: &str| begin_anew(&bed.cluster, &["set", "env"], &[&format!("IMPORTER_IMAGE={image}")]);
    // Nobody listens there, so it is not had at once.
    let told = use_image("127.0.0.1:9/importer:none").and_then(|()| {
        bed.data_volume("disk").apply(&namespace)?;
        failed(&namespace, "disk", "pod-image")
    });
    use_image(&right)?;
    told?;
    namespace.succeeded("disk").map(drop)
}

#[test]
#[ignore = "needs a cluster: cargo xtask kubernetes test"]
fn an_importer_that_no_node_takes_is_told_and_goes_on_where_one_does() -> Result<()> {
    let bed = Bed::new(SIZE, "")?;
    let namespace = Namespace::restricted(&bed.cluster, "placed")?;
    let nowhere = json!({"workload": {"nodeSelector": {"gantry.test/nowhere": "true"}}});
    let installation = Installation::create(&bed.cluster, &nowhere, false)?;
    // A controller may not have seen it yet.
    sleep(Duration::from_secs(2));
    bed.data_volume("disk").apply(&namespace)?;
    failed(&namespace, "disk", "pod-unschedulable")?;
    drop(installation);
    namespace.succeeded("disk").map(drop)
}

#[test]
#[ignore = "needs a cluster: cargo xtask kubernetes test"]
fn imports_go_through_the_proxy_of_the_installation() -> Result<()> {
    let bed = Bed::new(SIZE, "")?;
    let folder = tempfile::tempdir()?;
    let proxy = Settings::new(folder.path())
        .address(ADDRESS)
        .directive("location / { proxy_pass http://$http_host$request_uri; }")
        .start()?;
    let config = Config::of(&bed.cluster)?;
    let namespace = Namespace::restricted(&bed.cluster, "proxies")?;
    let address = format!("http://{}", proxy.address());
    config.set(&json!({"importProxy": {"HTTPProxy": address}}))?;
    config_until(&bed.cluster, "heeded", |found| found["status"]["importProxy"]["HTTPProxy"] == address)?;
    bed.data_volume("through").apply(&namespace)?;
    namespace.succeeded("through")?;
    ensure!(!proxy.requests()?.is_empty(), "nothing went through the proxy");
    proxy.forget_requests()?;
    config.set(&json!({"importProxy": {"noProxy": ADDRESS.to_string()}}))?;
    config_until(&bed.cluster, "heeded", |found| found["status"]["importProxy"]["noProxy"] == ADDRESS.to_string())?;
    bed.data_volume("past").apply(&namespace)?;
    namespace.succeeded("past")?;
    ensure!(proxy.requests()?.is_empty(), "the proxy was asked for what it is not for");
    Ok(())
}

#[test]
#[ignore = "needs a cluster: cargo xtask kubernetes test"]
fn authorities_of_the_proxy_are_trusted_and_copied_from_the_products_namespace() -> Result<()> {
    let bed = Bed::new(SIZE, "")?;
    let authority = Authority::create(bed.folder.path())?;
    let (certificate, key) = authority.issue(&ADDRESS.to_string())?;
    let server = bed.settings().tls(&certificate, &key).start()?;
    let namespace = Namespace::restricted(&bed.cluster, "proxied")?;
    let config = Config::of(&bed.cluster)?;
    config.set(&json!({"importProxy": {"trustedCAProxy": "of-the-proxy"}}))?;
    DataVolume::http("proxied", &server.url("disk.raw")).apply(&namespace)?;
    failed(&namespace, "proxied", "pod-config")?;
    let file = format!("--from-file=ca.pem={}", authority.certificate().display());
    bed.cluster.ask(&["create", "configmap", "of-the-proxy", "--namespace", "cdi", &file])?;
    let done = namespace.succeeded("proxied");
    bed.cluster.ask(&["delete", "configmap", "of-the-proxy", "--namespace", "cdi"])?;
    done.map(drop)
}

/// What a cluster of OpenShift has: a proxy, and certificate authorities that it is trusted with.
const OPENSHIFT: &str = "
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata:
  name: proxies.config.openshift.io
  annotations: {api-approved.kubernetes.io: 'unapproved, of a test'}
spec:
  group: config.openshift.io
  names: {kind: Proxy, plural: proxies}
  scope: Cluster
  versions:
  - name: v1
    served: true
    storage: true
    schema: {openAPIV3Schema: {type: object, x-kubernetes-preserve-unknown-fields: true}}
---
apiVersion: v1
kind: Namespace
metadata: {name: openshift-config}
";

/// A cluster that is made one of OpenShift, until this is dropped.
struct OpenShift<'a>(&'a Cluster);

impl<'a> OpenShift<'a> {
    fn create(cluster: &'a Cluster) -> Result<Self> {
        cluster.apply(OPENSHIFT)?;
        let made = Self(cluster);
        cluster.ask(&["wait", "--for=condition=Established", "crd/proxies.config.openshift.io", "--timeout=60s"])?;
        Ok(made)
    }

    /// What kinds there are a controller asks when it begins.
    fn look_again(cluster: &Cluster) -> Result<()> {
        begin_anew(cluster, &["rollout", "restart"], &[])
    }

    /// Has the authorities in `file` be the cluster's.
    fn trust(&self, file: &Path) -> Result<()> {
        let file = format!("--from-file=ca-bundle.crt={}", file.display());
        let map = ["create", "configmap", "user-ca-bundle", "--namespace", "openshift-config", "--output", "yaml"];
        self.0.apply(&self.0.ask(&[&map[..], &[&file, "--dry-run=client"]].concat())?)
    }
}

impl Drop for OpenShift<'_> {
    fn drop(&mut self) {
        // The test's own outcome is what counts.
        let _ = self.0.ask(&["delete", "crd/proxies.config.openshift.io", "namespace/openshift-config"]);
        let _ = self.0.ask(&["delete", "configmap", "trusted-ca-proxy-bundle-cm", "--namespace", "cdi"]);
        let _ = Self::look_again(self.0);
        let _ = config_until(self.0, "without a proxy", |found| found["status"]["importProxy"].is_null());
    }
}

#[test]
#[ignore = "needs a cluster: cargo xtask kubernetes test"]
fn the_proxy_of_openshift_and_its_authorities_are_the_importers() -> Result<()> {
    let bed = Bed::new(SIZE, "")?;
    let authority = Authority::create(bed.folder.path())?;
    let (certificate, key) = authority.issue(&ADDRESS.to_string())?;
    let server = bed.settings().tls(&certificate, &key).start()?;
    let namespace = Namespace::restricted(&bed.cluster, "openshift")?;
    let openshift = OpenShift::create(&bed.cluster)?;
    let proxy = json!({
        "apiVersion": "config.openshift.io/v1", "kind": "Proxy", "metadata": {"name": "cluster"},
        "spec": {"trustedCA": {"name": "user-ca-bundle"}},
        "status": {"httpProxy": "http://proxy.example:3128", "noProxy": ADDRESS.to_string()},
    });
    bed.cluster.apply(&proxy.to_string())?;
    openshift.trust(&certificate)?;
    OpenShift::look_again(&bed.cluster)?;
    let expected = json!({
        "HTTPProxy": "http://proxy.example:3128",
        "noProxy": ADDRESS.to_string(),
        "trustedCAProxy": "trusted-ca-proxy-bundle-cm",
    });
    config_until(&bed.cluster, "as the cluster", |found| found["status"]["importProxy"] == expected)?;
    // They change, and with them the copy.
    openshift.trust(&authority.certificate())?;
    let wanted = fs::read_to_string(authority.certificate())?;
    let copy = ["get", "configmap", "trusted-ca-proxy-bundle-cm", "--namespace", "cdi", "--output"];
    let copy = [&copy[..], &["jsonpath={.data.ca\\.crt}"]].concat();
    let end = Instant::now() + Duration::from_secs(60);
    while bed.cluster.ask(&copy)?.trim() != wanted.trim() {
        ensure!(Instant::now() < end, "the copy of the authorities is still the old one");
        sleep(Duration::from_millis(200));
    }
    DataVolume::http("trusted", &server.url("disk.raw")).fill(&namespace).map(drop)
}
