//! DataVolumes on a real cluster, from the manifest to the bytes that a consumer reads: `cargo xtask kubernetes test`.

use std::fmt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Mutex;
use std::thread;

use anyhow::{Context, Result, ensure};
use fixtures::images::qcow2::{Clusters, Qcow2};
use fixtures::images::{MIB, raw};
use fixtures::nginx::Settings;
use serde_json::Value;
use tests::bed::Bed;
use tests::data_volume::DataVolume;
use tests::objects::Namespace;
use tests::watch::Watcher;
use tests::{binary, consumer, fingerprint, sha256};

const SIZE: u64 = 16 * MIB;
/// DataVolumes filled at a time.
const AT_ONCE: usize = 4;

/// States that a condition passes, in this order; others may be between them. Those between the first and the last are of an
/// import that is seen to run.
const CONDITIONS: [(&str, &[&str]); 3] = [
    ("Bound", &["False Pending", "True Bound"]),
    ("Running", &["False", "True Pod is running", "False Completed"]),
    ("Ready", &["False", "False TransferRunning", "True"]),
];

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

    fn data_volume(self, url: &str) -> DataVolume {
        let name = self.to_string();
        let filled = if self.blank { DataVolume::blank(&name) } else { DataVolume::http(&name, url) };
        let class = if self.waits { "gantry" } else { "gantry-immediate" };
        // ext4 takes more than the six hundredths of a small volume that `storage` adds.
        let data_volume = filled.populator(self.populator).block(self.block).class(class).size("80Mi");
        if self.storage { data_volume.storage() } else { data_volume }
    }

    /// An empty block volume is an empty disk.
    fn has_pod(self) -> bool {
        !(self.blank && self.block)
    }

    /// Phases that it must pass, in this order; others may be between them.
    fn phases(self) -> Vec<&'static str> {
        let mut phases = Vec::new();
        if self.waits {
            phases.push(if self.populator { "PendingPopulation" } else { "WaitForFirstConsumer" });
        }
        if self.has_pod() {
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

    /// When its claim has its volume: before there is an importer to work on it, or when it is handed over. An empty disk may be
    /// made before anybody looks, and both be told at once.
    fn events_of_binding(self) -> &'static [&'static str] {
        match (self.blank, self.populator) {
            (false, true) => &["ImportSucceeded", "Bound"],
            (false, false) => &["Bound", "ImportSucceeded"],
            (true, _) => &["Bound"],
        }
    }

    /// Events of its claim, likewise.
    fn events_of_claim(self) -> &'static [&'static str] {
        let handed_over = self.has_pod() && self.populator;
        if handed_over { &["CreatedPVCPrimeSuccessfully", "importSucceeded"] } else { &[] }
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

/// Whether `wanted` stands in `found` in this order.
fn in_order(found: &[String], wanted: &[&str]) -> bool {
    let mut found = found.iter();
    wanted.iter().all(|word| found.any(|found| found == word))
}

/// One DataVolume from its manifest to its bytes.
fn fill(namespace: &Namespace, watcher: &Watcher, case: Case, original: &Original) -> Result<()> {
    let name = case.to_string();
    let server = original.server.start()?;
    // An import that has not begun cannot end before a busy kubelet has looked at its pod.
    let held = server.hold()?;
    case.data_volume(&server.url("disk.qcow2")).apply(namespace)?;
    if case.waits {
        namespace.until_phase(&format!("datavolume/{name}"), case.phases()[0])?;
        // On the direct path the consumer has the volume first and must end before it is filled.
        if case.populator {
            consumer::begin_digest(namespace, &name, case.block, SIZE)?;
        } else {
            consumer::ask(namespace, &name, case.block, "true")?;
        }
    }
    if !case.blank {
        watcher.until_come_to(&name, "ImportInProgress")?;
    }
    drop(held);
    let done = namespace.succeeded(&name)?;
    if !(case.waits && case.populator) {
        consumer::begin_digest(namespace, &name, case.block, SIZE)?;
    }
    let digest = consumer::said_digest(namespace, &name)?;
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
    let in_its_order = |what: &str, found: &[String], wanted: &[&str]| {
        ensure!(in_order(found, wanted), "{what} of {name}: {found:?}, not {wanted:?}");
        anyhow::Ok(())
    };
    in_its_order("phases", &watcher.history(&name)?, &case.phases())?;
    for (type_, states) in CONDITIONS {
        let ends = [states[0], states[states.len() - 1]];
        in_its_order(type_, &watcher.conditions(&name, type_), if case.blank { &ends } else { states })?;
    }
    // They are told after the status that was waited for.
    for reason in ["Bound", "ImportSucceeded"] {
        namespace.until_event("DataVolume", &name, reason)?;
    }
    if let Some(reason) = case.events_of_claim().last() {
        namespace.until_event("PersistentVolumeClaim", &name, reason)?;
    }
    let events = namespace.events(&name)?;
    for (of_kind, wanted) in [
        ("DataVolume", &*case.events()),
        ("DataVolume", case.events_of_binding()),
        ("PersistentVolumeClaim", case.events_of_claim()),
    ] {
        let of_kind = events.iter().filter(|(kind, _)| kind == of_kind);
        let reasons: Vec<String> = of_kind.map(|(_, reason)| reason.clone()).collect();
        in_its_order("events", &reasons, wanted)?;
        let twice = wanted.iter().find(|wanted| reasons.iter().filter(|reason| reason == *wanted).count() > 1);
        ensure!(twice.is_none(), "{name} told more than once: {reasons:?}");
    }
    // Nothing is left but the claim and its volume.
    let kinds = "volumeimportsources,pods,pvc";
    let left = namespace.ask(&["get", kinds, "--output", "jsonpath={.items[*].metadata.name}"])?;
    let uid = done["metadata"]["uid"].as_str().unwrap_or_default();
    ensure!(!left.contains(uid) && !left.contains(&format!("importer-{name}")), "left: {left}");
    Ok(())
}

/// What is imported, and what must come of it.
struct Original {
    /// What serves it.
    server: Settings,
    digest: String,
    digest_of_nothing: String,
    fingerprint: String,
}

impl Original {
    fn make(bed: &Bed) -> Result<Self> {
        let at = |name: &str| bed.folder.path().join(name);
        Qcow2 { clusters: Clusters::Zlib, ..Qcow2::default() }.convert(&bed.disk, &at("disk.qcow2"))?;
        Ok(Self {
            server: bed.settings(),
            digest: bed.digest()?,
            digest_of_nothing: sha256(&raw::blank(&at("nothing.raw"), SIZE)?)?,
            fingerprint: fingerprint(&mut Command::new(binary()), &bed.disk)?,
        })
    }
}

/// Fills all cases, some at a time: the machine is small.
fn fill_all(namespace: &Namespace, watcher: &Watcher, original: &Original) -> Result<()> {
    let left = Mutex::new(Case::all().into_iter());
    let next = || left.lock().expect("no test thread panics").next();
    let fill_some = || {
        while let Some(case) = next() {
            fill(namespace, watcher, case, original).with_context(|| case.to_string())?;
        }
        Ok(())
    };
    thread::scope(|scope| {
        let running: Vec<_> = (0..AT_ONCE).map(|_| scope.spawn(fill_some)).collect();
        running.into_iter().try_for_each(|thread| thread.join().expect("no test thread panics"))
    })
}

#[test]
#[ignore = "needs a cluster: cargo xtask kubernetes test"]
fn every_kind_of_data_volume_ends_in_a_claim_with_its_bytes() -> Result<()> {
    let bed = Bed::new(SIZE, "")?;
    let original = Original::make(&bed)?;
    let namespace = Namespace::restricted(&bed.cluster, "matrix")?;
    let watcher = Watcher::start(&bed.cluster, namespace.name(), |_| Ok(()));
    fill_all(&namespace, &watcher, &original)
}

/// What an administrator puts into a namespace that he trusts little.
const HARDENED: &str = "
apiVersion: v1
kind: ResourceQuota
metadata: {name: all}
spec: {hard: {requests.storage: 4Gi, pods: '8', limits.memory: 4Gi, limits.cpu: '8'}}
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
    let bed = Bed::new(SIZE, "")?;
    let original = Original::make(&bed)?;
    let namespace = Namespace::restricted(&bed.cluster, "hardened")?;
    let watcher = Watcher::start(&bed.cluster, namespace.name(), |_| Ok(()));
    namespace.apply(HARDENED)?;
    namespace.apply(&std::fs::read_to_string(deploy("namespace.yaml"))?)?;
    let policies = bed.cluster.keep_policies()?;
    fill_all(&namespace, &watcher, &original)?;
    drop(policies);
    bed.cluster.forget_policies()
}

fn deploy(file: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../deploy").join(file)
}
