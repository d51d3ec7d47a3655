//! DataVolumes on a real cluster, from the manifest to the bytes that a consumer reads: `cargo xtask kubernetes test`.

use std::fmt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;

use anyhow::{Context, Result, ensure};
use fixtures::command::output;
use fixtures::images::qcow2::{Clusters, Qcow2};
use fixtures::images::{MIB, raw};
use fixtures::kubernetes::{ADDRESS, BUSYBOX, Cluster};
use fixtures::nginx::Settings;
use serde_json::Value;
use tests::objects::{Namespace, filled};
use tests::watch::Watcher;
use tests::{binary, sha256};

const SIZE: u64 = 64 * MIB;

/// What a DataVolume is filled from, in what volume, bound when, asked for how, on which path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Case {
    blank: bool,
    block: bool,
    waits: bool,
    storage: bool,
    populator: bool,
}

impl Case {
    fn all() -> Vec<Self> {
        let bit = |number: u32, bit: u32| number >> bit & 1 == 1;
        let case = |number| Self {
            blank: bit(number, 0),
            block: bit(number, 1),
            waits: bit(number, 2),
            storage: bit(number, 3),
            populator: bit(number, 4),
        };
        (0..32).map(case).collect()
    }

    fn manifest(self, url: &str) -> String {
        let mode = if self.block { "Block" } else { "Filesystem" };
        let class = if self.waits { "gantry" } else { "gantry-immediate" };
        let source = if self.blank { "blank: {}".to_owned() } else { format!("http: {{url: '{url}'}}") };
        // ext4 takes more than the six hundredths of a small volume that `storage` adds.
        let size = "80Mi";
        let kind = if self.storage { "storage" } else { "pvc" };
        filled(
            "
apiVersion: cdi.kubevirt.io/v1beta1
kind: DataVolume
metadata: {name: $name, annotations: {cdi.kubevirt.io/storage.usePopulator: '$populator'}}
spec:
  source: {$source}
  $kind:
    accessModes: [ReadWriteOnce]
    volumeMode: $mode
    storageClassName: $class
    resources: {requests: {storage: $size}}
",
            &[
                ("$name", &self.to_string()),
                ("$populator", &self.populator.to_string()),
                ("$source", &source),
                ("$kind", kind),
                ("$mode", mode),
                ("$class", class),
                ("$size", size),
            ],
        )
    }

    /// Phases that it must pass, in this order; others may be between them.
    fn phases(self) -> Vec<&'static str> {
        let no_pod = self.blank && self.block;
        let mut phases = Vec::new();
        if self.waits {
            phases.push(if self.populator { "PendingPopulation" } else { "WaitForFirstConsumer" });
        }
        if !no_pod {
            phases.extend(["ImportScheduled", "ImportInProgress"]);
        }
        phases.push("Succeeded");
        phases
    }

    /// Events of the DataVolume, in this order; others may be between them.
    fn events(self) -> Vec<&'static str> {
        let reasons = self.phases().into_iter();
        reasons.map(|phase| if phase == "Succeeded" { "ImportSucceeded" } else { phase }).collect()
    }
}

impl fmt::Display for Case {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let word = |is: bool, yes: &'static str, no: &'static str| if is { yes } else { no };
        write!(
            f,
            "{}-{}-{}-{}-{}",
            word(self.blank, "blank", "http"),
            word(self.block, "block", "file"),
            word(self.waits, "wffc", "immediate"),
            word(self.storage, "storage", "pvc"),
            word(self.populator, "populator", "direct"),
        )
    }
}

/// A pod that reads the disk and says its digest.
const CONSUMER: &str = "
apiVersion: v1
kind: Pod
metadata: {name: $pod}
spec:
  restartPolicy: Never
  terminationGracePeriodSeconds: 0
  securityContext: {runAsUser: 107, runAsGroup: 107, fsGroup: 107, runAsNonRoot: true, seccompProfile: {type: RuntimeDefault}}
  containers:
  - name: work
    image: $image
    imagePullPolicy: IfNotPresent
    securityContext: {allowPrivilegeEscalation: false, capabilities: {drop: [ALL]}}
    $volume
    command: [/bin/busybox, sh, -c, '$command']
  volumes: [{name: disk, persistentVolumeClaim: {claimName: $claim}}]
";

fn consume(namespace: &Namespace, case: Case, pod: &str, command: &str) -> Result<()> {
    let volume = if case.block {
        "volumeDevices: [{name: disk, devicePath: /disk}]"
    } else {
        "volumeMounts: [{name: disk, mountPath: /data}]"
    };
    let command = command.replace("$path", if case.block { "/disk" } else { "/data/disk.img" });
    let claim = case.to_string();
    namespace.apply(&filled(
        CONSUMER,
        &[("$pod", pod), ("$image", BUSYBOX), ("$volume", volume), ("$command", &command), ("$claim", &claim)],
    ))
}

/// What a consumer's last line is, when it has ended.
fn said(namespace: &Namespace, pod: &str) -> Result<String> {
    let is_over = |pod: &Value| matches!(pod["status"]["phase"].as_str(), Some("Succeeded" | "Failed"));
    let ended = namespace.until(&format!("pod/{pod}"), "over", is_over)?;
    let log = namespace.ask(&["logs", pod])?;
    ensure!(ended["status"]["phase"] == "Succeeded", "{log}");
    namespace.ask(&["delete", "pod", pod])?;
    Ok(log.trim().to_owned())
}

fn is_in(phase: &'static str) -> impl Fn(&Value) -> bool {
    move |object| object["status"]["phase"] == phase
}

/// Whether `wanted` stands in `found` in this order.
fn in_order(found: &[String], wanted: &[&str]) -> bool {
    let mut found = found.iter();
    wanted.iter().all(|word| found.any(|found| found == word))
}

/// One DataVolume from its manifest to its bytes.
fn fill(namespace: &Namespace, watcher: &Watcher, case: Case, original: &Original) -> Result<()> {
    let name = case.to_string();
    let object = format!("datavolume/{name}");
    namespace.apply(&case.manifest(&original.url))?;
    let look = format!("busybox head -c {} $path | busybox sha256sum", if case.blank { 32 * MIB } else { SIZE });
    if case.waits {
        let waiting = case.phases()[0];
        namespace.until(&object, waiting, is_in(waiting))?;
        // On the direct path the consumer has the volume first and must end before it is filled.
        let command = if case.populator { look.as_str() } else { "true" };
        consume(namespace, case, &format!("first-{name}"), command)?;
        if !case.populator {
            said(namespace, &format!("first-{name}"))?;
        }
    }
    let done = namespace.until(&object, "Succeeded", is_in("Succeeded"))?;
    let pod = if case.waits && case.populator {
        format!("first-{name}")
    } else {
        consume(namespace, case, &format!("second-{name}"), &look)?;
        format!("second-{name}")
    };
    let digest = format!("sha256:{}", said(namespace, &pod)?.split(' ').next().unwrap_or_default());
    let expected = if case.blank { &original.digest_of_nothing } else { &original.digest };
    ensure!(digest == *expected, "{name} holds {digest}, not {expected}");
    check(namespace, watcher, case, &done, original)
}

/// What the DataVolume and what it made have come to.
fn check(namespace: &Namespace, watcher: &Watcher, case: Case, done: &Value, original: &Original) -> Result<()> {
    let name = case.to_string();
    ensure!(done["status"]["progress"] == "100.0%", "{done}");
    if !case.blank {
        let fingerprint = done["status"]["gantry"]["fingerprint"].as_str().unwrap_or_default();
        ensure!(fingerprint == original.fingerprint, "{fingerprint}, not {}", original.fingerprint);
    }
    let condition = |type_: &str| {
        let all = done["status"]["conditions"].as_array().cloned().unwrap_or_default();
        all.into_iter().find(|one| one["type"] == type_).unwrap_or_default()
    };
    ensure!(condition("Ready")["status"] == "True" && condition("Bound")["status"] == "True", "{done}");
    ensure!(condition("Running")["status"] == "False" && condition("Running")["reason"] == "Completed", "{done}");
    let seen = watcher.progress(&name);
    let phases: Vec<String> = seen.iter().map(|(phase, _)| phase.clone()).collect();
    ensure!(in_order(&phases, &case.phases()), "phases of {name}: {seen:?}");
    let events = namespace.events(&name)?;
    let all_there = case.events().iter().all(|wanted| events.iter().any(|event| event == wanted));
    ensure!(all_there, "events of {name}: {events:?}");
    // Nothing is left but the claim and its volume.
    for kind in ["volumeimportsources", "pods", "pvc"] {
        let left = namespace.ask(&["get", kind, "--output", "jsonpath={.items[*].metadata.name}"])?;
        let uid = done["metadata"]["uid"].as_str().unwrap_or_default();
        ensure!(!left.contains(uid) && !left.contains(&format!("importer-{name}")), "{kind} left: {left}");
    }
    Ok(())
}

/// What is imported, and what must come of it.
struct Original {
    url: String,
    digest: String,
    digest_of_nothing: String,
    fingerprint: String,
}

impl Original {
    fn make(folder: &Path, url: &str) -> Result<Self> {
        let disk = raw::dense(&folder.join("disk.raw"), SIZE, 1)?;
        Qcow2 { clusters: Clusters::Zlib, ..Qcow2::default() }.convert(&disk, &folder.join("disk.qcow2"))?;
        let nothing = folder.join("nothing.raw");
        std::fs::File::create(&nothing)?.set_len(32 * MIB)?;
        let fingerprint = output(Command::new(binary()).arg("fingerprint").arg(&disk))?;
        let fingerprint = fingerprint.split_whitespace().find(|word| word.starts_with("gantry1:"));
        Ok(Self {
            url: url.to_owned(),
            digest: sha256(&disk)?,
            digest_of_nothing: sha256(&nothing)?,
            fingerprint: fingerprint.context("no fingerprint")?.to_owned(),
        })
    }
}

/// Fills all cases, some at a time: the machine is small.
fn fill_all(namespace: &Namespace, watcher: &Watcher, cases: &[Case], original: &Original) -> Result<()> {
    for cases in cases.chunks(4) {
        thread::scope(|scope| {
            let running: Vec<_> =
                cases.iter().map(|case| (case, scope.spawn(|| fill(namespace, watcher, *case, original)))).collect();
            for (case, thread) in running {
                thread.join().expect("a test thread does not panic").with_context(|| case.to_string())?;
            }
            anyhow::Ok(())
        })?;
    }
    Ok(())
}

#[test]
#[ignore = "needs a cluster: cargo xtask kubernetes test"]
fn every_kind_of_data_volume_ends_in_a_claim_with_its_bytes() -> Result<()> {
    let cluster = Cluster::running()?;
    cluster.share_network()?;
    let folder = tempfile::tempdir()?;
    let nginx = Settings::new(folder.path()).address(ADDRESS).start()?;
    let original = Original::make(folder.path(), &nginx.url("disk.qcow2"))?;
    let namespace = Namespace::new(&cluster, "matrix", "pod-security.kubernetes.io/enforce: restricted")?;
    let watcher = Watcher::start(&cluster, namespace.name(), |_| Ok(()));
    fill_all(&namespace, &watcher, &Case::all(), &original)
}

/// What an administrator puts into a namespace that he trusts little.
const HARDENED: &str = "
apiVersion: v1
kind: ResourceQuota
metadata: {name: all}
spec: {hard: {requests.storage: 2Gi, pods: '8', limits.memory: 4Gi, limits.cpu: '8'}}
---
apiVersion: v1
kind: LimitRange
metadata: {name: all}
spec:
  limits:
  - {type: Container, default: {cpu: 500m, memory: 128Mi}, defaultRequest: {cpu: 10m, memory: 32Mi}, max: {memory: 1Gi}}
  - {type: PersistentVolumeClaim, max: {storage: 256Mi}}
---
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: deny-all}
spec: {podSelector: {}, policyTypes: [Ingress, Egress]}
";

#[test]
#[ignore = "needs a cluster: cargo xtask kubernetes test"]
fn a_hardened_namespace_needs_only_what_deploy_allows() -> Result<()> {
    let cluster = Cluster::running()?;
    cluster.share_network()?;
    let folder = tempfile::tempdir()?;
    let nginx = Settings::new(folder.path()).address(ADDRESS).start()?;
    let original = Original::make(folder.path(), &nginx.url("disk.qcow2"))?;
    let namespace = Namespace::new(&cluster, "hardened", "pod-security.kubernetes.io/enforce: restricted")?;
    let watcher = Watcher::start(&cluster, namespace.name(), |_| Ok(()));
    namespace.apply(HARDENED)?;
    namespace.apply(&std::fs::read_to_string(deploy("namespace.yaml"))?)?;
    let policies = cluster.keep_policies()?;
    let cases: Vec<Case> = Case::all().into_iter().filter(|case| case.storage).collect();
    fill_all(&namespace, &watcher, &cases, &original)?;
    drop(policies);
    cluster.forget_policies()
}

fn deploy(file: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../deploy").join(file)
}
