//! What the installation's settings change, in the administrator's hands: `cargo xtask kubernetes test`.

use std::process::Command;
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use fixtures::command::{output, run};
use fixtures::images::{MIB, raw};
use fixtures::kubernetes::{ADDRESS, Cluster};
use fixtures::nginx::{Nginx, Settings};
use fixtures::tls::Authority;
use serde_json::{Value, json};
use tempfile::TempDir;
use tests::metrics::Metrics;
use tests::objects::{Namespace, filled};

const PATIENCE: Duration = Duration::from_secs(60);
const RESTRICTED: &str = "pod-security.kubernetes.io/enforce: restricted";

const MANIFEST: &str = "
apiVersion: cdi.kubevirt.io/v1beta1
kind: DataVolume
metadata: {name: $name}
spec:
  source: {http: {url: '$url'}}
  $rest
";

const CLAIM: &str =
    "pvc: {accessModes: [ReadWriteOnce], storageClassName: gantry-immediate, resources: {requests: {storage: 64Mi}}}";

/// A disk, and a server that has it.
struct Bed {
    cluster: Cluster,
    folder: TempDir,
    nginx: Nginx,
}

impl Bed {
    fn new(directive: &str) -> Result<Self> {
        let cluster = Cluster::running()?;
        cluster.share_network()?;
        let folder = tempfile::tempdir()?;
        raw::dense(&folder.path().join("disk.raw"), 8 * MIB, 1)?;
        let nginx = Settings::new(folder.path()).address(ADDRESS).directive(directive).start()?;
        Ok(Self { cluster, folder, nginx })
    }

    fn create(&self, namespace: &Namespace, name: &str, rest: &str) -> Result<()> {
        let words = [("$name", name), ("$url", &self.nginx.url("disk.raw")), ("$rest", rest)];
        namespace.apply(&filled(MANIFEST, &words)).with_context(|| name.to_owned())
    }
}

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
    let end = Instant::now() + PATIENCE;
    loop {
        let found = config(cluster)?;
        if holds(&found) {
            return Ok(());
        }
        ensure!(Instant::now() < end, "the CDIConfig is not {what}: {found}");
        sleep(Duration::from_millis(200));
    }
}

fn succeeded(namespace: &Namespace, name: &str) -> Result<Value> {
    namespace.until(&format!("datavolume/{name}"), "Succeeded", |found| found["status"]["phase"] == "Succeeded")
}

/// Waits for an error, which must be told whole and be tried again.
fn failed(namespace: &Namespace, name: &str, code: &str) -> Result<()> {
    let is_told = |found: &Value| found["status"]["gantry"]["lastError"]["code"] == code;
    let told = namespace.until(&format!("datavolume/{name}"), code, is_told)?;
    let error = &told["status"]["gantry"]["lastError"];
    let said = |key: &str| error[key].as_str().is_some_and(|text| !text.is_empty());
    ensure!(said("cause") && said("remedy") && error["retried"] == true, "{error}");
    println!("{name}: {error}");
    Ok(())
}

#[test]
#[ignore = "needs a cluster: cargo xtask kubernetes test"]
fn a_namespace_has_a_source_policy_that_its_users_cannot_loosen() -> Result<()> {
    let bed = Bed::new("")?;
    let config = Config::of(&bed.cluster)?;
    let closed = Namespace::new(&bed.cluster, "closed", RESTRICTED)?;
    let open = Namespace::new(&bed.cluster, "open", RESTRICTED)?;
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
    bed.create(&closed, "disk", CLAIM)?;
    bed.create(&open, "disk", CLAIM)?;
    succeeded(&open, "disk")?;
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
    succeeded(&closed, "disk")?;
    bed.create(&open, "second", CLAIM)?;
    failed(&open, "second", "source-policy")?;
    // An open network wins over private ones that are closed.
    config.set(&json!({"gantry": {"sourcePolicy": {"denyPrivate": true, "allow": [network], "deny": []}}}))?;
    succeeded(&open, "second").map(drop)
}

#[test]
#[ignore = "needs a cluster: cargo xtask kubernetes test"]
fn workers_are_as_the_installation_wants_them() -> Result<()> {
    let bed = Bed::new("limit_rate 1m;")?;
    let config = Config::of(&bed.cluster)?;
    let namespace = Namespace::new(&bed.cluster, "workers", RESTRICTED)?;
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
    bed.create(&namespace, "disk", CLAIM)?;
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
    succeeded(&namespace, "disk")?;
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
fn the_upload_proxy_is_found_by_its_ingress() -> Result<()> {
    let cluster = Cluster::running()?;
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
    let found =
        config_until(&cluster, "led by the Ingress", |found| found["status"]["uploadProxyURL"] == "upload.example");
    cluster.ask(&["delete", "ingress", "upload", "--namespace", "cdi"])?;
    found?;
    config_until(&cluster, "without", |found| found["status"]["uploadProxyURL"].is_null())
}

#[test]
#[ignore = "needs a cluster: cargo xtask kubernetes test"]
fn feature_gates_decide_on_waiting_and_on_claims_that_are_there() -> Result<()> {
    let bed = Bed::new("")?;
    let config = Config::of(&bed.cluster)?;
    let namespace = Namespace::new(&bed.cluster, "gated", RESTRICTED)?;
    config.set(&json!({"featureGates": ["DataVolumeClaimAdoption"]}))?;
    sleep(Duration::from_secs(2));
    // Adopted by the gate, which the annotation overrules.
    let claim = "{apiVersion: v1, kind: PersistentVolumeClaim, metadata: {name: there}, spec: {accessModes: [ReadWriteOnce], storageClassName: gantry-immediate, resources: {requests: {storage: 64Mi}}}}";
    namespace.apply(claim)?;
    let kept = "metadata: {name: there, annotations: {cdi.kubevirt.io/allowClaimAdoption: 'false'}}";
    let words = [("metadata: {name: $name}", kept), ("$url", &*bed.nginx.url("disk.raw")), ("$rest", CLAIM)];
    ensure!(namespace.apply(&filled(MANIFEST, &words)).is_err(), "the annotation was passed over");
    bed.create(&namespace, "there", CLAIM)?;
    succeeded(&namespace, "there")?;
    ensure!(bed.nginx.requests()?.is_empty(), "an adopted claim was written to");
    // On the direct path the importer is the first consumer, where nobody honours the class's wish.
    let direct = "metadata: {name: bound, annotations: {cdi.kubevirt.io/storage.usePopulator: 'false'}}";
    let waiting = CLAIM.replace("gantry-immediate", "gantry");
    let words = [("metadata: {name: $name}", direct), ("$url", &*bed.nginx.url("disk.raw")), ("$rest", &waiting)];
    namespace.apply(&filled(MANIFEST, &words))?;
    succeeded(&namespace, "bound").map(drop)
}

#[test]
#[ignore = "needs a cluster: cargo xtask kubernetes test"]
fn the_default_class_for_virtual_machines_is_chosen_and_its_smallest_claim_heeded() -> Result<()> {
    let bed = Bed::new("")?;
    let namespace = Namespace::new(&bed.cluster, "defaults", RESTRICTED)?;
    let virt = "storageclass.kubevirt.io/is-default-virt-class";
    let smallest = "cdi.kubevirt.io/minimumSupportedPvcSize";
    let metrics = Metrics::new(&bed.cluster, &namespace)?;
    bed.create(&namespace, "disk", "storage: {resources: {requests: {storage: 48Mi}}}")?;
    failed(&namespace, "disk", "claim-no-class")?;
    metrics.until("kubevirt_cdi_datavolume_pending 1")?;
    bed.cluster.ask(&["annotate", "storageprofile", "gantry-immediate", &format!("{smallest}=100Mi")])?;
    bed.cluster.ask(&["annotate", "storageclass", "gantry-immediate", &format!("{virt}=true")])?;
    let done = succeeded(&namespace, "disk");
    let of_class = metrics.until("virtdefault=\"true\"");
    let pending = metrics.until("kubevirt_cdi_datavolume_pending 0");
    bed.cluster.ask(&["annotate", "storageclass", "gantry-immediate", &format!("{virt}-")])?;
    bed.cluster.ask(&["annotate", "storageprofile", "gantry-immediate", &format!("{smallest}-")])?;
    done?;
    of_class?;
    pending?;
    let claim = namespace.object("pvc/disk")?.context("no claim")?;
    ensure!(claim["spec"]["storageClassName"] == "gantry-immediate", "{claim}");
    ensure!(claim["spec"]["resources"]["requests"]["storage"] == "104857600", "{claim}");
    Ok(())
}

#[test]
#[ignore = "needs a cluster: cargo xtask kubernetes test"]
fn metrics_are_for_those_who_may_read_them() -> Result<()> {
    let cluster = Cluster::running()?;
    cluster.share_network()?;
    let namespace = Namespace::new(&cluster, "metrics", "")?;
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

#[test]
#[ignore = "needs a cluster: cargo xtask kubernetes test"]
fn an_importer_that_is_killed_for_its_memory_is_told_and_goes_on_with_more() -> Result<()> {
    let bed = Bed::new("")?;
    // What flows in is compressed with a window of 64 MiB, which the importer has to keep.
    raw::dense(&bed.folder.path().join("large"), 40 * MIB, 1)?;
    let flow = "cat large | zstd --quiet --long=26 --stdout > disk.raw";
    run(Command::new("sh").current_dir(bed.folder.path()).args(["-c", flow]))?;
    let config = Config::of(&bed.cluster)?;
    let namespace = Namespace::new(&bed.cluster, "memory", RESTRICTED)?;
    config.set(&json!({"podResourceRequirements": {"requests": {"memory": "24Mi"}, "limits": {"memory": "24Mi"}}}))?;
    config_until(&bed.cluster, "heeded", |found| {
        found["status"]["defaultPodResourceRequirements"]["limits"]["memory"] == "24Mi"
    })?;
    bed.create(&namespace, "disk", CLAIM)?;
    failed(&namespace, "disk", "pod-memory")?;
    config.set(&json!({"podResourceRequirements": {"requests": {"memory": "60Mi"}, "limits": {"memory": "300Mi"}}}))?;
    succeeded(&namespace, "disk").map(drop)
}

#[test]
#[ignore = "needs a cluster: cargo xtask kubernetes test"]
fn an_image_that_cannot_be_had_is_told_and_the_right_one_goes_on() -> Result<()> {
    let bed = Bed::new("")?;
    let namespace = Namespace::new(&bed.cluster, "images", RESTRICTED)?;
    let deployment = ["deployment/cdi-deployment", "--namespace", "cdi"];
    let image = ["get", deployment[0], deployment[1], deployment[2], "--output"];
    let path = "jsonpath={.spec.template.spec.containers[0].env[?(@.name=='IMPORTER_IMAGE')].value}";
    let right = bed.cluster.ask(&[&image[..], &[path]].concat())?;
    let use_image = |image: &str| -> Result<()> {
        let setting = format!("IMPORTER_IMAGE={image}");
        bed.cluster.ask(&[&["set", "env"], &deployment[..], &[&setting]].concat())?;
        bed.cluster.ask(&[&["rollout", "status"], &deployment[..], &["--timeout", "120s"]].concat()).map(drop)
    };
    // Nobody listens there, so it is not had at once.
    let told = use_image("127.0.0.1:9/importer:none").and_then(|()| {
        bed.create(&namespace, "disk", CLAIM)?;
        failed(&namespace, "disk", "pod-image")
    });
    use_image(&right)?;
    told?;
    succeeded(&namespace, "disk").map(drop)
}

#[test]
#[ignore = "needs a cluster: cargo xtask kubernetes test"]
fn an_importer_that_no_node_takes_is_told_and_goes_on_where_one_does() -> Result<()> {
    let bed = Bed::new("")?;
    let namespace = Namespace::new(&bed.cluster, "placed", RESTRICTED)?;
    let nowhere = json!({"workload": {"nodeSelector": {"gantry.test/nowhere": "true"}}});
    let installation = Installation::create(&bed.cluster, &nowhere, false)?;
    // A controller may not have seen it yet.
    sleep(Duration::from_secs(2));
    bed.create(&namespace, "disk", CLAIM)?;
    failed(&namespace, "disk", "pod-unschedulable")?;
    drop(installation);
    succeeded(&namespace, "disk").map(drop)
}

#[test]
#[ignore = "needs a cluster: cargo xtask kubernetes test"]
fn imports_go_through_the_proxy_of_the_installation() -> Result<()> {
    let bed = Bed::new("")?;
    let folder = tempfile::tempdir()?;
    let proxy = Settings::new(folder.path())
        .address(ADDRESS)
        .directive("location / { proxy_pass http://$http_host$request_uri; }")
        .start()?;
    let config = Config::of(&bed.cluster)?;
    let namespace = Namespace::new(&bed.cluster, "proxies", RESTRICTED)?;
    let address = format!("http://{}", proxy.address());
    config.set(&json!({"importProxy": {"HTTPProxy": address}}))?;
    config_until(&bed.cluster, "heeded", |found| found["status"]["importProxy"]["HTTPProxy"] == address)?;
    bed.create(&namespace, "through", CLAIM)?;
    succeeded(&namespace, "through")?;
    ensure!(!proxy.requests()?.is_empty(), "nothing went through the proxy");
    proxy.forget_requests()?;
    config.set(&json!({"importProxy": {"noProxy": ADDRESS.to_string()}}))?;
    config_until(&bed.cluster, "heeded", |found| found["status"]["importProxy"]["noProxy"] == ADDRESS.to_string())?;
    bed.create(&namespace, "past", CLAIM)?;
    succeeded(&namespace, "past")?;
    ensure!(proxy.requests()?.is_empty(), "the proxy was asked for what it is not for");
    Ok(())
}

#[test]
#[ignore = "needs a cluster: cargo xtask kubernetes test"]
fn a_storage_profile_says_what_its_class_can_do_and_what_is_set_in_it_wins() -> Result<()> {
    let cluster = Cluster::running()?;
    let profile = |what: &str, holds: &dyn Fn(&Value) -> bool| -> Result<()> {
        let end = Instant::now() + PATIENCE;
        loop {
            let text = cluster.ask(&["get", "storageprofile", "gantry-immediate", "--output", "json"])?;
            let found: Value = serde_json::from_str(&text)?;
            if holds(&found["status"]) {
                return Ok(());
            }
            ensure!(Instant::now() < end, "the profile is not {what}: {found}");
            sleep(Duration::from_millis(200));
        }
    };
    let known = |status: &Value| {
        let recognized = status["conditions"].as_array().into_iter().flatten().find(|one| one["type"] == "Recognized");
        status["provisioner"] == "csi.gantry.dev"
            && status["storageClass"] == "gantry-immediate"
            && recognized.is_some_and(|one| one["status"] == "True")
            && status["claimPropertySets"][0]["accessModes"] == json!(["ReadWriteOnce"])
    };
    profile("known", &known)?;
    let set = |spec: &Value| {
        let patch = json!([{"op": "replace", "path": "/spec", "value": spec}]).to_string();
        cluster.ask(&["patch", "storageprofile", "gantry-immediate", "--type", "json", "--patch", &patch])
    };
    let own = json!([{"accessModes": ["ReadOnlyMany"], "volumeMode": "Block"}]);
    set(&json!({"claimPropertySets": own, "cloneStrategy": "copy"}))?;
    let told =
        profile("as it is set", &|status| status["claimPropertySets"] == own && status["cloneStrategy"] == "copy");
    set(&json!({}))?;
    told?;
    profile("known again", &known)
}

#[test]
#[ignore = "needs a cluster: cargo xtask kubernetes test"]
fn authorities_of_the_proxy_are_trusted_and_copied_from_the_products_namespace() -> Result<()> {
    let bed = Bed::new("")?;
    let authority = Authority::create(bed.folder.path())?;
    let (certificate, key) = authority.issue(&ADDRESS.to_string())?;
    let server = Settings::new(bed.folder.path()).address(ADDRESS).tls(&certificate, &key).start()?;
    let namespace = Namespace::new(&bed.cluster, "proxied", RESTRICTED)?;
    let config = Config::of(&bed.cluster)?;
    config.set(&json!({"importProxy": {"trustedCAProxy": "of-the-proxy"}}))?;
    let words = [("$name", "proxied"), ("$url", &*server.url("disk.raw")), ("$rest", CLAIM)];
    namespace.apply(&filled(MANIFEST, &words))?;
    failed(&namespace, "proxied", "pod-config")?;
    let file = format!("--from-file=ca.pem={}", authority.certificate().display());
    bed.cluster.ask(&["create", "configmap", "of-the-proxy", "--namespace", "cdi", &file])?;
    let done = succeeded(&namespace, "proxied");
    bed.cluster.ask(&["delete", "configmap", "of-the-proxy", "--namespace", "cdi"])?;
    done.map(drop)
}
