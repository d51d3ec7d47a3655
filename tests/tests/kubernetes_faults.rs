//! Parts that die while an import runs: it ends right all the same, and what was durable is not fetched again:
//! `cargo xtask kubernetes test`.

use std::path::Path;
use std::process::Command;
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use fixtures::command::{output, run};
use fixtures::images::{MIB, raw};
use fixtures::kubernetes::{ADDRESS, Cluster};
use fixtures::nginx::{Nginx, Settings};
use serde_json::Value;
use tests::binary;
use tests::objects::{Namespace, filled};

const SIZE: u64 = 96 * MIB;
/// What may be fetched twice: the data since the last record, 32 MiB apart, and what was under way.
const AGAIN: u64 = 64 * MIB;

const MANIFEST: &str = "
apiVersion: cdi.kubevirt.io/v1beta1
kind: DataVolume
metadata: {name: $name}
spec:
  source: {http: {url: '$url'}}
  pvc: {accessModes: [ReadWriteOnce], volumeMode: Block, storageClassName: gantry-immediate, resources: {requests: {storage: 96Mi}}}
";

/// A namespace, a slow server, and the fingerprint that every import must end with.
struct Bed<'a> {
    cluster: &'a Cluster,
    namespace: Namespace<'a>,
    server: Nginx,
    fingerprint: String,
}

impl<'a> Bed<'a> {
    fn new(cluster: &'a Cluster, folder: &Path) -> Result<Self> {
        let disk = raw::dense(&folder.join("disk.raw"), SIZE, 1)?;
        let said = output(Command::new(binary()).arg("fingerprint").arg(&disk))?;
        let fingerprint = said.split_whitespace().find(|word| word.starts_with("gantry1:"));
        Ok(Self {
            cluster,
            namespace: Namespace::new(cluster, "faults", "pod-security.kubernetes.io/enforce: restricted")?,
            // Four connections at most: an import takes ten seconds and more.
            server: Settings::new(folder).address(ADDRESS).directive("limit_rate 2m;").start()?,
            fingerprint: fingerprint.context("no fingerprint")?.to_owned(),
        })
    }

    /// Starts an import, lets `fault` happen in its midst, and follows it to its end.
    fn survive(&self, name: &str, fault: impl FnOnce(&Self, &str) -> Result<()>) -> Result<()> {
        self.server.forget_requests()?;
        self.namespace.apply(&filled(MANIFEST, &[("$name", name), ("$url", &self.server.url("disk.raw"))]))?;
        let object = format!("datavolume/{name}");
        let begun = |found: &Value| found["status"]["gantry"]["bytesDone"].as_i64().is_some_and(|done| done > 0);
        let claim = self.namespace.until(&object, "begun", begun)?;
        ensure!(claim["status"]["phase"] == "ImportInProgress", "{claim}");
        let claim = self.namespace.object(&format!("pvc/{name}"))?.context("no claim")?;
        let pod = format!("importer-prime-{}", claim["metadata"]["uid"].as_str().context("no uid")?);
        fault(self, &pod)?;
        let done = self.namespace.until(&object, "Succeeded", |found| found["status"]["phase"] == "Succeeded")?;
        ensure!(done["status"]["gantry"]["fingerprint"] == *self.fingerprint, "{done}");
        let served = self.server.bytes_served()?;
        println!("{name}: fetched {} MiB of {}", served / MIB, SIZE / MIB);
        ensure!(served <= SIZE + AGAIN, "{name}: fetched {} MiB", served / MIB);
        self.namespace.ask(&["delete", "datavolume", name])?;
        self.namespace.gone(&format!("pvc/{name}"))
    }

    /// Kills a program that runs in pods, all its processes.
    fn kill(&self, program: &str) -> Result<()> {
        run(self.cluster.inside("pkill".as_ref()).args(["-KILL", "-x", program]))
    }

    fn available(&self, deployment: &str) -> Result<()> {
        let deployment = format!("deployment/{deployment}");
        self.cluster.ask(&["rollout", "status", &deployment, "--namespace", "cdi", "--timeout", "120s"]).map(drop)
    }
}

/// Waits until the DataVolume has shown this code.
fn told(bed: &Bed, name: &str, code: &str) -> Result<()> {
    let shows = |found: &Value| found["status"]["gantry"]["lastError"]["code"] == *code;
    bed.namespace.until(&format!("datavolume/{name}"), code, shows).map(drop)
}

#[test]
#[ignore = "needs a cluster: cargo xtask kubernetes test"]
fn an_import_outlives_every_part_that_dies_in_its_midst() -> Result<()> {
    let cluster = Cluster::running()?;
    cluster.share_network()?;
    let folder = tempfile::tempdir()?;
    let bed = Bed::new(&cluster, folder.path())?;
    // A name of more than 15 characters is cut by the kernel; none of these is.
    bed.survive("importer", |bed, _| bed.kill("cdi-importer"))?;
    bed.survive("controller", |bed, _| bed.kill("cdi-controller"))?;
    bed.available("cdi-deployment")?;
    bed.survive("webhook", |bed, _| bed.kill("cdi-apiserver"))?;
    bed.available("cdi-apiserver")?;
    bed.survive("evicted", |bed, pod| {
        let path = format!("/api/v1/namespaces/{}/pods/{pod}/eviction", bed.namespace.name());
        let eviction = format!(
            r#"{{"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {{"name": "{pod}", "namespace": "{}"}}}}"#,
            bed.namespace.name()
        );
        let file = tempfile::NamedTempFile::new()?;
        std::fs::write(file.path(), eviction)?;
        bed.cluster.ask(&["create", "--raw", &path, "--filename", &file.path().display().to_string()])?;
        told(bed, "evicted", "pod-evicted")
    })?;
    bed.survive("drained", |bed, _| {
        let importers = "--pod-selector=cdi.kubevirt.io=importer";
        bed.cluster.ask(&[
            "drain",
            "node-1",
            importers,
            "--force",
            "--ignore-daemonsets",
            "--disable-eviction=false",
        ])?;
        let shown = told(bed, "drained", "pod-unschedulable");
        bed.cluster.ask(&["uncordon", "node-1"])?;
        shown
    })?;
    bed.survive("kubelet", |bed, _| bed.cluster.restart("kubelet"))?;
    bed.survive("api-server", |bed, _| bed.cluster.restart("kube-apiserver"))
}

#[test]
#[ignore = "needs a cluster: cargo xtask kubernetes test"]
fn a_data_volume_deleted_half_way_leaves_nothing() -> Result<()> {
    let cluster = Cluster::running()?;
    cluster.share_network()?;
    let folder = tempfile::tempdir()?;
    raw::dense(&folder.path().join("disk.raw"), SIZE, 1)?;
    let server = Settings::new(folder.path()).address(ADDRESS).directive("limit_rate 1m;").start()?;
    let namespace = Namespace::new(&cluster, "half-way", "")?;
    let volumes = || cluster.ask(&["get", "persistentvolumes", "--output", "name"]);
    let before = volumes()?;
    namespace.apply(&filled(MANIFEST, &[("$name", "half"), ("$url", &server.url("disk.raw"))]))?;
    let begun = |found: &Value| found["status"]["gantry"]["bytesDone"].as_i64().is_some_and(|done| done > 0);
    namespace.until("datavolume/half", "begun", begun)?;
    namespace.ask(&["delete", "datavolume", "half"])?;
    let kinds = "datavolumes,volumeimportsources,persistentvolumeclaims,pods";
    let end = Instant::now() + Duration::from_secs(90);
    loop {
        let left = namespace.ask(&["get", kinds, "--output", "name"])?;
        let now = volumes()?;
        if left.trim().is_empty() && now == before {
            return Ok(());
        }
        ensure!(Instant::now() < end, "left: {left}\nvolumes: {now}\nbefore: {before}");
        sleep(Duration::from_millis(500));
    }
}
