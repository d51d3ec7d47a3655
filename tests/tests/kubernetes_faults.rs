//! Parts that die at a random moment in the life of a DataVolume: it ends right all the same, is never called finished before it
//! is, what was durable is not fetched again, and nothing is left: `cargo xtask kubernetes test`, many more moments in
//! `cargo xtask soak kubernetes`.

use std::fs;
use std::process::{Command, Stdio};
use std::thread::{self, sleep};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use fixtures::command::{output, run};
use fixtures::images::MIB;
use fixtures::images::noise::Noise;
use fixtures::kubernetes::{Cluster, DEPLOYMENTS, NAMESPACE, NODE};
use serde_json::Value;
use tempfile::NamedTempFile;
use tests::bed::Bed;
use tests::data_volume::DataVolume;
use tests::moment::Moment;
use tests::objects::Namespace;
use tests::watch::Watcher;
use tests::{binary, fingerprint, repeated, seed};

const SIZE: u64 = 64 * MIB;
/// A second of four connections, as many as an import has, is a fifth of it: there is time for everything to happen.
const RATE: &str = "limit_rate 3m;";
/// What is fetched besides: the beginning, to see what it is.
const BESIDES: u64 = MIB;
/// What the successor of an importer may fetch again: two seconds, which are between two records, and what was under way.
const AGAIN: u64 = 40 * MIB;

/// What happens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fault {
    ImporterKilled,
    ImporterEvicted,
    NodeDrained,
    /// Somebody deletes the claim that is filled in place of the user's.
    PrimeDeleted,
    ControllerKilled,
    WebhookKilled,
    KubeletKilled,
    ApiServerKilled,
}

use Fault::{
    ApiServerKilled, ControllerKilled, ImporterEvicted, ImporterKilled, KubeletKilled, NodeDrained, PrimeDeleted,
    WebhookKilled,
};

/// Those of one line happen to imports side by side, each at a moment of its own. Nobody can be asked for anything without an API
/// server, so it goes alone.
const WAVES: [&[Fault]; 3] = [
    &[ImporterKilled, ImporterEvicted, ControllerKilled, WebhookKilled],
    &[NodeDrained, KubeletKilled, PrimeDeleted],
    &[ApiServerKilled],
];

impl Fault {
    /// Whether it needs an importer.
    fn is_of_importer(self) -> bool {
        matches!(self, ImporterKilled | ImporterEvicted | NodeDrained)
    }

    /// What an import of the same wave may fetch again.
    fn costs(self) -> u64 {
        match self {
            ImporterKilled | ImporterEvicted | NodeDrained => AGAIN,
            // A drained node is rid of all importers.
            KubeletKilled => AGAIN,
            // With all that was in its volume.
            PrimeDeleted => SIZE + BESIDES + AGAIN,
            ControllerKilled | WebhookKilled | ApiServerKilled => 0,
        }
    }
}

/// A namespace whose DataVolumes are watched.
struct Watched<'a> {
    bed: &'a Bed,
    namespace: Namespace<'a>,
    watcher: Watcher,
    /// A user's kubeconfig.
    access: NamedTempFile,
}

/// The hash of a fingerprint, which does not depend on what lies behind the image.
fn root(fingerprint: &str) -> &str {
    fingerprint.rsplit(':').next().unwrap_or_default()
}

/// kubectl names the server that does not answer it.
const SILENT: &str = ":6443";
/// All webhooks have just been killed.
const UNHEARD: &str = "failed calling webhook";

/// Asks again, as a user would, while it fails for a reason that passes.
fn excused<T>(reason: &str, ask: impl Fn() -> Result<T>) -> Result<T> {
    let end = Instant::now() + Duration::from_secs(60);
    loop {
        match ask() {
            Err(error) if format!("{error:#}").contains(reason) && Instant::now() < end => {
                sleep(Duration::from_millis(200));
            }
            answered => return answered,
        }
    }
}

/// Whether a DataVolume that was called finished this moment is: its claim has a volume with the right bytes, and it says so.
fn is_finished(cluster: &Cluster, namespace: &str, object: &Value, expected: &str) -> Result<()> {
    let said = object["status"]["gantry"]["fingerprint"].as_str().unwrap_or_default();
    ensure!(said == expected, "it says {said:?}, not {expected}");
    let name = object["metadata"]["name"].as_str().context("no name")?;
    let disk = excused(SILENT, || cluster.disk_of(namespace, name))?;
    let found = fingerprint(&mut cluster.inside(&binary()), &disk)?;
    ensure!(root(&found) == root(expected), "{} holds {found}, not {expected}", disk.display());
    Ok(())
}

impl<'a> Watched<'a> {
    fn new(bed: &'a Bed) -> Result<Self> {
        let expected = fingerprint(&mut Command::new(binary()), &bed.disk)?;
        let namespace = Namespace::restricted(&bed.cluster, "faults")?;
        let (inside, name) = (bed.cluster.clone(), namespace.name().to_owned());
        let watcher = Watcher::start(&bed.cluster, namespace.name(), move |object| {
            is_finished(&inside, &name, object, &expected)
        });
        let access = NamedTempFile::new()?;
        fs::write(access.path(), bed.cluster.ask(&["config", "view", "--raw", "--flatten"])?)?;
        Ok(Self { bed, namespace, watcher, access })
    }

    /// Starts an import, lets `fault` happen at a moment of its life, and follows it to its end, as a user does who has no API
    /// server for a while.
    fn survive(&self, fault: Fault, name: &str, noise: &mut Noise) -> Result<()> {
        let moment = if fault.is_of_importer() { Moment::draw_before_end(noise) } else { Moment::draw(noise) };
        let populator = noise.below(2) == 0 || fault == PrimeDeleted;
        self.create(&DataVolume::http(name, &self.bed.url_for(name)).populator(populator).block(true))?;
        let mut follower = self.user(&["dv", "--namespace", self.namespace.name(), "--watch", name]);
        let follower = follower.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()?;
        moment.wait(&self.watcher, name, || Ok(self.bed.served(name)? >= SIZE))?;
        let phase = self.watcher.progress(name).pop().unwrap_or_default().0;
        let path = if populator { "through a prime claim" } else { "directly" };
        let hit = self.strike(fault, name, populator, noise)?;
        println!("{name}, {path}: {hit}, {moment}, in {phase:?}");
        self.watcher.until_come_to(name, "Succeeded")?;
        let phases = self.watcher.history(name)?;
        let served = self.bed.served(name)?;
        println!("{name}: {phases:?}, fetched {} KiB of {}", served >> 10, SIZE >> 10);
        let most = SIZE + BESIDES + fault.costs();
        ensure!(served <= most, "{name}: fetched {served} bytes, at most {most}: {hit}, {moment}");
        let has_successor = phases.iter().filter(|phase| *phase == "ImportScheduled").count() > 1;
        if has_successor && matches!(fault, ImporterEvicted | NodeDrained) {
            self.is_told(name)?;
        }
        let followed = follower.wait_with_output()?;
        let said = [followed.stdout, followed.stderr].map(|said| String::from_utf8_lossy(&said).into_owned());
        ensure!(followed.status.success() && said[0].contains("Succeeded"), "who follows {name} sees {said:?}");
        Ok(())
    }

    /// Whether it was told why an importer went.
    fn is_told(&self, name: &str) -> Result<()> {
        let error = |state: &Value| state["status"]["gantry"]["lastError"].clone();
        let told = error(&self.watcher.until(name, "evicted", |state| error(state)["code"] == "pod-evicted")?);
        let is_said = |key: &str| told[key].as_str().is_some_and(|text| !text.is_empty());
        ensure!(is_said("cause") && is_said("remedy") && told["retried"] == true, "{name}: {told}");
        Ok(())
    }

    /// A command of a user of the cluster.
    fn user(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(binary());
        command.args(arguments).env("KUBECONFIG", self.access.path());
        command
    }

    fn create(&self, data_volume: &DataVolume) -> Result<()> {
        excused(UNHEARD, || data_volume.apply(&self.namespace))
    }

    /// Lets it happen; what did.
    fn strike(&self, fault: Fault, name: &str, populator: bool, noise: &mut Noise) -> Result<String> {
        let pause = Duration::from_millis(noise.below(2_000));
        match fault {
            ImporterKilled => self.of_importer(name, populator, |pod| self.kill_importer(pod)),
            ImporterEvicted => self.of_importer(name, populator, |pod| self.evict(pod)),
            NodeDrained => self.of_importer(name, populator, |_| self.drain(pause)),
            PrimeDeleted => self.delete(&self.written(name, true)?),
            ControllerKilled => self.kill("cdi-controller"),
            WebhookKilled => self.kill("cdi-apiserver"),
            KubeletKilled => self.restart("kubelet", pause),
            ApiServerKilled => self.restart("kube-apiserver", pause),
        }
    }

    /// Does something to the importer as soon as there is one, unless there is none any more.
    fn of_importer(&self, name: &str, populator: bool, strike: impl Fn(&str) -> Result<bool>) -> Result<String> {
        let end = Instant::now() + Duration::from_secs(60);
        while !self.watcher.has_come_to(name, "Succeeded") {
            let pod = format!("importer-{}", self.written(name, populator)?);
            if self.namespace.object(&format!("pod/{pod}"))?.is_some() && strike(&pod)? {
                return Ok(format!("{pod} struck"));
            }
            ensure!(Instant::now() < end, "{name} has no importer");
            sleep(Duration::from_millis(50));
        }
        Ok("its importer had ended".into())
    }

    /// Name of the claim that an import writes to: the claim itself, or the one that is handed over to it.
    fn written(&self, name: &str, populator: bool) -> Result<String> {
        if !populator {
            return Ok(name.to_owned());
        }
        let uid = ["get", "pvc", name, "--ignore-not-found", "--output", "jsonpath={.metadata.uid}"];
        Ok(format!("prime-{}", self.namespace.ask(&uid)?))
    }

    /// Deletes a claim, unless it is not there.
    fn delete(&self, claim: &str) -> Result<String> {
        let deleted = self.namespace.ask(&["delete", "pvc", claim, "--ignore-not-found", "--wait=false"])?;
        Ok(if deleted.is_empty() { format!("{claim} is not there") } else { deleted.trim().to_owned() })
    }

    /// Kills the importer of a pod; false if it does not run.
    fn kill_importer(&self, pod: &str) -> Result<bool> {
        // A process in a pod is told the pod's name, and has a file system of its own.
        let found =
            "grep --no-messages --null-data --line-regexp --files-with-matches HOSTNAME=$1 /proc/[0-9]*/environ";
        let script = format!(
            "for file in $({found}); do pid=${{file%/environ}}; kill -KILL ${{pid#/proc/}} && echo $pid; done; true"
        );
        let killed = output(self.bed.cluster.inside("sh".as_ref()).args(["-c", &script, "sh", pod]))?;
        Ok(!killed.trim().is_empty())
    }

    /// Evicts a pod; false if it has gone meanwhile.
    fn evict(&self, pod: &str) -> Result<bool> {
        let path = format!("/api/v1/namespaces/{}/pods/{pod}/eviction", self.namespace.name());
        let eviction = format!(
            r#"{{"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {{"name": "{pod}", "namespace": "{}"}}}}"#,
            self.namespace.name()
        );
        let file = NamedTempFile::new()?;
        fs::write(file.path(), eviction)?;
        match self.bed.cluster.ask(&["create", "--raw", &path, "--filename", &file.path().display().to_string()]) {
            Err(error) if format!("{error:#}").contains("NotFound") => Ok(false),
            evicted => evicted.map(|_| true),
        }
    }

    /// Drains the node of importers, and lets pods onto it again after a pause.
    fn drain(&self, pause: Duration) -> Result<bool> {
        let importers = "--pod-selector=cdi.kubevirt.io=importer";
        let drained =
            self.bed.cluster.ask(&["drain", NODE, importers, "--force", "--ignore-daemonsets", "--timeout", "150s"]);
        sleep(pause);
        self.bed.cluster.ask(&["uncordon", NODE])?;
        Ok(drained?.contains("evicted"))
    }

    /// Kills a program that runs in pods, all its processes.
    fn kill(&self, program: &str) -> Result<String> {
        // A name of more than 15 characters is cut by the kernel; none of these is.
        run(self.bed.cluster.inside("pkill".as_ref()).args(["-KILL", "-x", program]))?;
        Ok(format!("all of {program} killed"))
    }

    /// Kills a program of the cluster and starts it again after a pause.
    fn restart(&self, program: &str, pause: Duration) -> Result<String> {
        self.bed.cluster.kill(program)?;
        sleep(pause);
        self.bed.cluster.start(program)?;
        Ok(format!("{program} killed for {} ms", pause.as_millis()))
    }

    /// One of each fault; then everything is as it was.
    fn round(&self, seed: u64) -> Result<()> {
        println!("GANTRY_SEED={seed}");
        let before = self.bed.cluster.inventory()?;
        for wave in WAVES {
            thread::scope(|scope| {
                let running: Vec<_> = wave
                    .iter()
                    .map(|&fault| {
                        // Each has a sequence of its own, whatever the others of its wave do.
                        let mut noise = Noise::new(Noise::new(seed).next_u64() ^ fault as u64);
                        let name = format!("{fault:?}-{seed}").to_lowercase();
                        scope.spawn(move || self.survive(fault, &name, &mut noise).with_context(|| name))
                    })
                    .collect();
                running
                    .into_iter()
                    .map(|thread| thread.join().expect("a test thread does not panic"))
                    .collect::<Result<Vec<_>>>()
            })?;
        }
        self.namespace.ask(&["delete", "datavolumes", "--all"])?;
        DEPLOYMENTS.into_iter().try_for_each(|deployment| available(&self.bed.cluster, deployment))?;
        self.bed.cluster.forget_volumes(self.namespace.name())?;
        self.bed.cluster.is_again(&before)
    }

    /// New pods in place of those whose programs were killed, which would be started later each time.
    fn refresh(&self) -> Result<()> {
        self.bed.cluster.ask(&["delete", "pods", "--namespace", NAMESPACE, "--all"])?;
        DEPLOYMENTS.into_iter().try_for_each(|deployment| available(&self.bed.cluster, deployment))
    }
}

/// Waits until all pods of a Deployment serve.
fn available(cluster: &Cluster, deployment: &str) -> Result<()> {
    let deployment = format!("deployment/{deployment}");
    cluster.ask(&["rollout", "status", &deployment, "--namespace", NAMESPACE, "--timeout", "120s"]).map(drop)
}

#[test]
#[ignore = "needs a cluster: cargo xtask kubernetes test"]
fn an_import_outlives_every_part_that_dies_at_any_moment() -> Result<()> {
    let bed = Bed::new(SIZE, RATE)?;
    let watched = Watched::new(&bed)?;
    let (first, rounds) = (seed(), repeated(1));
    for round in 0..rounds {
        if round > 0 {
            watched.refresh()?;
        }
        watched.round(first + round).with_context(|| format!("GANTRY_SEED={}", first + round))?;
    }
    Ok(())
}

/// Whatever the controllers did not see of a pod while it was there, they learn when it has gone.
#[test]
#[ignore = "needs a cluster: cargo xtask kubernetes test"]
fn an_importer_whose_pod_goes_before_its_end_was_seen_has_done_its_work() -> Result<()> {
    let bed = Bed::new(SIZE, RATE)?;
    let watched = Watched::new(&bed)?;
    let (name, pod) = ("unseen", "pod/importer-unseen");
    watched.create(&DataVolume::http(name, &bed.url_for(name)).populator(false).block(true))?;
    watched.watcher.until_come_to(name, "ImportInProgress")?;
    let stopped = Stopped::new(&bed.cluster, "cdi-controller")?;
    watched.namespace.until(pod, "Succeeded", |pod| pod["status"]["phase"] == "Succeeded")?;
    watched.namespace.ask(&["delete", pod])?;
    drop(stopped);
    watched.watcher.until_come_to(name, "Succeeded")?;
    watched.watcher.history(name)?;
    let served = bed.served(name)?;
    ensure!(served <= SIZE + BESIDES, "fetched {served} bytes of {SIZE}");
    Ok(())
}

/// A program in pods that stands still until this is dropped.
struct Stopped<'a> {
    cluster: &'a Cluster,
    program: &'static str,
}

impl<'a> Stopped<'a> {
    fn new(cluster: &'a Cluster, program: &'static str) -> Result<Self> {
        let stopped = Self { cluster, program };
        stopped.signal("-STOP")?;
        Ok(stopped)
    }

    fn signal(&self, signal: &str) -> Result<()> {
        run(self.cluster.inside("pkill".as_ref()).args([signal, "-x", self.program]))
    }
}

impl Drop for Stopped<'_> {
    fn drop(&mut self) {
        if let Err(error) = self.signal("-CONT") {
            eprintln!("{error:#}");
        }
    }
}

/// A Lease's holder and times.
struct Lease {
    holder: String,
    transitions: i64,
    acquired: i64,
    renewed: i64,
    duration: i64,
}

impl Lease {
    /// The controllers' own.
    fn now(cluster: &Cluster) -> Result<Self> {
        let lease = "lease/cdi-controller-leader-election-helper";
        let text = cluster.ask(&["get", lease, "--namespace", NAMESPACE, "--output", "json"])?;
        let spec = &serde_json::from_str::<Value>(&text)?["spec"];
        let number = |key: &str| spec[key].as_i64().with_context(|| format!("no {key}: {text}"));
        let milliseconds = |key: &str| -> Result<i64> {
            let time = spec[key].as_str().with_context(|| format!("no {key}: {text}"))?;
            Ok(output(Command::new("date").args(["--date", time, "+%s%3N"]))?.trim().parse()?)
        };
        Ok(Self {
            holder: spec["holderIdentity"].as_str().unwrap_or_default().to_owned(),
            transitions: number("leaseTransitions")?,
            acquired: milliseconds("acquireTime")?,
            renewed: milliseconds("renewTime")?,
            duration: 1000 * number("leaseDurationSeconds")?,
        })
    }
}

#[test]
#[ignore = "needs a cluster: cargo xtask kubernetes test"]
fn a_leader_that_is_asked_to_end_gives_its_lease_back() -> Result<()> {
    let cluster = Cluster::running()?;
    let first = Lease::now(&cluster)?;
    let pod = ["pod", &first.holder, "--namespace", NAMESPACE];
    cluster.ask(&[&["delete"], &pod[..], &["--wait=false"]].concat()).context("nobody leads")?;
    let end = Instant::now() + Duration::from_secs(60);
    let mut old = first;
    let new = loop {
        let now = Lease::now(&cluster)?;
        if now.holder != old.holder && !now.holder.is_empty() {
            break now;
        }
        ensure!(Instant::now() < end, "nobody leads");
        if now.holder == old.holder {
            old = now;
        }
        sleep(Duration::from_millis(100));
    };
    // A lease that was not given back can be had only once its holder has been silent for its duration.
    let silent = new.acquired - old.renewed;
    println!("{} leads {silent} ms after the last word of {}", new.holder, old.holder);
    ensure!(silent < old.duration, "{} waited {silent} ms for the lease of {}", new.holder, old.holder);
    ensure!(new.transitions == old.transitions + 1, "{} then {} transitions", old.transitions, new.transitions);
    available(&cluster, "cdi-deployment")
}
