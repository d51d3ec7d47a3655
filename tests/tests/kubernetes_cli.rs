//! `gantry explain` and `gantry dv` against a real cluster: what is explained is what comes, and nothing is made by explaining:
//! `cargo xtask kubernetes test`.

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::{Child, ChildStdout, Command, Output, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use fixtures::images::MIB;
use fixtures::kubernetes::Cluster;
use fixtures::proxy::Proxy;
use serde_json::{Value, json};
use tempfile::TempDir;
use tests::bed::Bed;
use tests::binary;
use tests::data_volume::DataVolume;
use tests::objects::Namespace;

/// Of the disk that is served.
const SIZE: u64 = 8 * MIB;

/// The command as somebody with a kubeconfig runs it.
struct User {
    folder: TempDir,
}

impl User {
    /// The cluster's administrator.
    fn administrator(cluster: &Cluster) -> Result<Self> {
        let folder = tempfile::tempdir()?;
        fs::write(folder.path().join("config"), cluster.ask(&["config", "view", "--raw", "--flatten"])?)?;
        Ok(Self { folder })
    }

    /// A service account of a namespace, whose only way to be known is its token.
    fn account(cluster: &Cluster, namespace: &Namespace, name: &str) -> Result<Self> {
        let user = Self::administrator(cluster)?;
        namespace.ask(&["create", "serviceaccount", name])?;
        let token = namespace.ask(&["create", "token", name])?;
        user.kubectl(&["config", "set-credentials", name, "--token", token.trim()])?;
        user.kubectl(&["config", "set-context", "--current", "--user", name, "--namespace", namespace.name()])?;
        Ok(user)
    }

    /// Changes the kubeconfig, as users do.
    fn kubectl(&self, arguments: &[&str]) -> Result<String> {
        let cluster = Cluster::running()?;
        let config = self.config();
        cluster.ask(&[&["--kubeconfig", config.to_str().context("a path")?], arguments].concat())
    }

    fn config(&self) -> PathBuf {
        self.folder.path().join("config")
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(binary());
        command.args(arguments).env("KUBECONFIG", self.config());
        command
    }

    fn run(&self, arguments: &[&str]) -> Result<Output> {
        Ok(self.command(arguments).output()?)
    }

    fn explain(&self, namespace: &Namespace, data_volume: &DataVolume, more: &[&str]) -> Result<Output> {
        let file = self.folder.path().join("dv.yaml");
        fs::write(&file, data_volume.to_string())?;
        let file = file.to_str().context("a path")?;
        self.run(&[&["explain", "-f", file, "--namespace", namespace.name()], more].concat())
    }

    /// What `gantry explain --json` says of a DataVolume, and its exit code.
    fn explained(&self, namespace: &Namespace, data_volume: &DataVolume) -> Result<(Value, i32)> {
        let output = self.explain(namespace, data_volume, &["--json"])?;
        let text = String::from_utf8(output.stdout)?;
        let said: Value = serde_json::from_str(&text)
            .with_context(|| format!("{text}\n{}", String::from_utf8_lossy(&output.stderr)))?;
        // People are told no less.
        let lines = self.explain(namespace, data_volume, &[])?;
        ensure!(lines.status.code() == output.status.code(), "{lines:?}");
        let lines = String::from_utf8(lines.stdout)?;
        for refusal in said["dataVolumes"][0]["refusals"].as_array().into_iter().flatten() {
            let code = refusal["code"].as_str().unwrap_or_default();
            ensure!(lines.contains(&format!("[{code}]")), "{lines}");
        }
        println!("{lines}");
        Ok((said["dataVolumes"][0].clone(), output.status.code().unwrap_or(-1)))
    }
}

const STORAGE: &str =
    "storage: {storageClassName: gantry-immediate, volumeMode: Filesystem, resources: {requests: {storage: 64Mi}}}";

/// A namespace once pods can be made in it.
fn ready(namespace: Namespace) -> Result<Namespace> {
    namespace.until("serviceaccount/default", "made", |_| true)?;
    Ok(namespace)
}

/// Everything that explaining could have made, and what quotas count of it.
fn inventory(namespace: &Namespace) -> Result<String> {
    let kinds = "datavolumes,volumeimportsources,persistentvolumeclaims,pods,configmaps,secrets";
    let used = namespace.ask(&["get", "resourcequotas", "--output", "jsonpath={.items[*].status.used}"])?;
    Ok(format!("{}{used}", namespace.ask(&["get", kinds, "--output", "name"])?))
}

/// Codes of what refuses it.
fn refusals(explained: &Value) -> Vec<&str> {
    let all = explained["refusals"].as_array().map(Vec::as_slice).unwrap_or_default();
    all.iter().filter_map(|refusal| refusal["code"].as_str()).collect()
}

#[test]
#[ignore = "needs a cluster: cargo xtask kubernetes test"]
fn what_is_explained_is_what_comes() -> Result<()> {
    let bed = Bed::with(SIZE, |settings| settings.login("user", "password"))?;
    let namespace = ready(Namespace::restricted(&bed.cluster, "cli-good")?)?;
    namespace.apply(
        "{apiVersion: v1, kind: Secret, metadata: {name: login}, stringData: {accessKeyId: user, secretKey: password}}\n---\n\
         {apiVersion: v1, kind: ResourceQuota, metadata: {name: enough}, spec: {hard: {requests.storage: 1Gi, pods: 9}}}\n---\n\
         {apiVersion: v1, kind: LimitRange, metadata: {name: range}, spec: {limits: [{type: PersistentVolumeClaim, max: {storage: 1Gi}}]}}",
    )?;
    namespace.until("resourcequota/enough", "counted", |found| found["status"]["used"]["pods"] == "0")?;
    let user = User::administrator(&bed.cluster)?;
    let with_login = |url: &str| DataVolume::http("good", url).server("secretRef: login").claim(STORAGE);
    let good = with_login(&bed.url());
    let before = inventory(&namespace)?;
    let (explained, code) = user.explained(&namespace, &good)?;
    ensure!(code == 0 && refusals(&explained).is_empty(), "{explained}");
    ensure!(inventory(&namespace)? == before, "something was made: {}", inventory(&namespace)?);
    for part in ["admission", "claim", "primeClaim", "pod"] {
        let verdict = if part == "admission" { &explained[part] } else { &explained[part]["verdict"] };
        ensure!(verdict["answer"] == "accepted", "{part}: {explained}");
    }
    ensure!(explained["credentials"][0]["name"] == "login", "{explained}");
    ensure!(!explained.to_string().contains("password\""), "a secret's value is shown: {explained}");
    ensure!(explained["source"]["policy"]["answer"] == "accepted", "{explained}");
    ensure!(explained["limits"][0].to_string().contains("at most storage 1Gi"), "{explained}");
    ensure!(explained["quotas"][0]["items"].as_array().is_some_and(|items| items.len() == 2), "{explained}");

    good.apply(&namespace)?;
    let claim = namespace.until("persistentvolumeclaim/good", "made", |_| true)?;
    compare_claim(&explained["claim"], &claim)?;
    let uid = claim["metadata"]["uid"].as_str().context("a uid")?;
    let name = |part: &str| explained[part]["name"].as_str().unwrap_or_default().replace("UID", uid);
    let pod = namespace.until(&format!("pod/{}", name("pod")), "made", |_| true)?;
    let container = &pod["spec"]["containers"][0];
    ensure!(container["image"] == explained["pod"]["image"], "{pod}\n{explained}");
    ensure!(container["resources"] == explained["pod"]["resources"], "{pod}\n{explained}");
    ensure!(pod["spec"]["serviceAccountName"] == explained["pod"]["serviceAccount"], "{pod}\n{explained}");
    let prime = namespace.until(&format!("persistentvolumeclaim/{}", name("primeClaim")), "made", |_| true)?;
    ensure!(prime["spec"]["resources"] == claim["spec"]["resources"], "{prime}");
    namespace.succeeded("good")?;

    // Once it is there, explaining it again says so, and a change of it is refused in the webhook's own words.
    let (again, code) = user.explained(&namespace, &good)?;
    ensure!(code == 0 && again["notes"].to_string().contains("Succeeded"), "{again}");
    let (changed, code) = user.explained(&namespace, &with_login(&bed.server.url("other.raw")))?;
    ensure!(code == 7 && changed["admission"]["message"].to_string().contains("Cannot update"), "{changed}");
    Ok(())
}

/// A claim is as it was explained.
fn compare_claim(explained: &Value, claim: &Value) -> Result<()> {
    let spec = &claim["spec"];
    ensure!(spec["volumeMode"] == explained["volumeMode"], "{spec}\n{explained}");
    ensure!(spec["accessModes"] == explained["accessModes"], "{spec}\n{explained}");
    let size = spec["resources"]["requests"]["storage"].as_str().context("a size")?;
    ensure!(json!(size.parse::<u64>()?) == explained["size"], "{spec}\n{explained}");
    Ok(())
}

/// A policy that lets no pod of a namespace have a service port called metrics, which importer pods have.
const NO_METRICS: &str = "
apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingAdmissionPolicy
metadata: {name: cli-no-metrics}
spec:
  matchConstraints: {resourceRules: [{apiGroups: [''], apiVersions: [v1], operations: [CREATE], resources: [pods]}]}
  validations:
  - expression: 'object.spec.containers.all(c, !has(c.ports) || c.ports.all(p, p.name != \"metrics\"))'
    message: ports called metrics are not liked here
---
apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingAdmissionPolicyBinding
metadata: {name: cli-no-metrics}
spec:
  policyName: cli-no-metrics
  validationActions: [Deny]
  matchResources: {namespaceSelector: {matchLabels: {kubernetes.io/metadata.name: cli-refused}}}
";

/// Objects of the whole cluster, which go when this is dropped.
struct Policy<'a>(&'a Cluster);

impl<'a> Policy<'a> {
    fn new(cluster: &'a Cluster) -> Result<Self> {
        cluster.apply(NO_METRICS)?;
        Ok(Self(cluster))
    }
}

impl Drop for Policy<'_> {
    fn drop(&mut self) {
        let kinds = "validatingadmissionpolicies,validatingadmissionpolicybindings";
        // The test's own outcome is what counts.
        let _ = self.0.ask(&["delete", kinds, "cli-no-metrics", "--ignore-not-found"]);
    }
}

#[test]
#[ignore = "needs a cluster: cargo xtask kubernetes test"]
fn what_refuses_it_is_told_and_nothing_is_made() -> Result<()> {
    let bed = Bed::new(SIZE, "")?;
    let namespace = ready(Namespace::restricted(&bed.cluster, "cli-refused")?)?;
    // One claim of 64 MiB fits, the one that is filled in its place does not.
    namespace.apply(
        "{apiVersion: v1, kind: ResourceQuota, metadata: {name: small}, spec: {hard: {requests.storage: 100Mi}}}\n---\n\
         {apiVersion: v1, kind: Secret, metadata: {name: half}, stringData: {accessKeyId: user}}",
    )?;
    namespace.until("resourcequota/small", "counted", |found| found["status"]["used"].is_object())?;
    let user = User::administrator(&bed.cluster)?;
    let small = |name| bed.data_volume(name).size("8Mi");
    let before = inventory(&namespace)?;
    let no_class = "storage: {resources: {requests: {storage: 8Mi}}}";
    let metadata = DataVolume::http("metadata", "http://169.254.169.254/disk").size("8Mi");
    for (data_volume, code, exit, said) in [
        (small("both").spec(STORAGE), "cluster-refused", 7, "storage"),
        (small("misspelled").server("checksums: x"), "cluster-refused", 7, "unknown field"),
        (small("two-claims").size("64Mi"), "quota-exceeded", 7, "requests.storage"),
        (small("one-claim").size("128Mi"), "quota-exceeded", 7, "exceeded quota: small"),
        (small("no-secret").server("secretRef: nowhere"), "pod-config", 7, "nowhere"),
        (small("half-a-secret").server("secretRef: half"), "pod-config", 7, "secretKey"),
        (small("no-map").server("certConfigMap: nowhere"), "pod-config", 7, "ConfigMap nowhere"),
        (small("no-priority").spec("priorityClassName: nowhere"), "pod-refused", 7, "nowhere"),
        (small("no-account").spec("serviceAccountName: nowhere"), "pod-refused", 7, "nowhere"),
        (small("no-default").claim(no_class), "claim-no-class", 7, ""),
        (metadata, "source-policy", 3, "169.254.169.254"),
    ] {
        let name = data_volume.name();
        let (explained, exit_code) = user.explained(&namespace, &data_volume)?;
        ensure!(refusals(&explained) == [code], "{name}: {explained}");
        ensure!(exit_code == exit, "{name}: exit code {exit_code}");
        ensure!(explained["refusals"][0]["message"].to_string().contains(said), "{name}: {explained}");
        ensure!(!explained["refusals"][0]["remedy"].to_string().is_empty());
    }
    // A policy takes a moment to be known.
    let _policy = Policy::new(&bed.cluster)?;
    let by_policy = small("policy");
    let end = Instant::now() + Duration::from_secs(30);
    while user.explain(&namespace, &by_policy, &[])?.status.success() {
        ensure!(Instant::now() < end, "the policy does not come to be known");
        sleep(Duration::from_millis(300));
    }
    let (explained, _) = user.explained(&namespace, &by_policy)?;
    ensure!(refusals(&explained) == ["pod-refused"], "{explained}");
    ensure!(explained["pod"]["verdict"]["message"].to_string().contains("not liked here"), "{explained}");
    ensure!(inventory(&namespace)? == before, "something was made: {}", inventory(&namespace)?);
    // A volume that no node has room for is known where room is published.
    namespace.ask(&["delete", "resourcequota", "small"])?;
    for (name, size, answer) in [("room", "8Mi", "accepted"), ("no-room", "9Pi", "refused")] {
        let (explained, _) = user.explained(&namespace, &small(name).size(size).class("gantry"))?;
        ensure!(explained["capacity"]["verdict"]["answer"] == answer, "{explained}");
        ensure!(refusals(&explained).contains(&"claim-pending") == (answer == "refused"), "{explained}");
    }
    Ok(())
}

#[test]
#[ignore = "needs a cluster: cargo xtask kubernetes test"]
fn a_manifest_brings_its_secrets_and_several_data_volumes() -> Result<()> {
    let cluster = Cluster::running()?;
    cluster.share_network()?;
    let namespace = ready(Namespace::new(&cluster, "cli-several")?)?;
    let user = User::administrator(&cluster)?;
    let one = DataVolume::http("one", "http://server.example/disk").server("secretRef: brought").claim(STORAGE);
    let two = DataVolume::blank("two").populator(false).class("gantry").size("8Mi");
    let manifest = format!(
        "{one}---\n{{apiVersion: v1, kind: Secret, metadata: {{name: brought}}, stringData: {{accessKeyId: a, secretKey: never-shown}}}}\n---\n\
         {{apiVersion: v1, kind: Service, metadata: {{name: web}}}}\n---\n{two}"
    );
    let mut command = user.command(&["explain", "-f", "-", "-n", namespace.name(), "--json"]);
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
    std::io::Write::write_all(&mut child.stdin.take().context("standard input")?, manifest.as_bytes())?;
    let output = child.wait_with_output()?;
    let text = String::from_utf8(output.stdout)?;
    ensure!(output.status.success(), "{text}");
    ensure!(!text.contains("never-shown"), "{text}");
    let said: Value = serde_json::from_str(&text)?;
    ensure!(said["notExplained"] == json!(["Service (v1)"]), "{said}");
    let [one, two] = said["dataVolumes"].as_array().context("a list")?.as_slice() else {
        anyhow::bail!("not two: {said}")
    };
    ensure!(one["source"]["policy"]["answer"] == "unknown", "{one}");
    ensure!(one["way"]["name"] == "populator" && one["start"]["at"] == "now", "{one}");
    ensure!(two["way"]["name"] == "direct" && two["source"]["kind"] == "blank", "{two}");
    ensure!(two["start"]["at"] == "consumer", "{two}");
    ensure!(two["pod"]["name"] == "importer-two" && two["primeClaim"].is_null(), "{two}");
    Ok(())
}

#[test]
#[ignore = "needs a cluster: cargo xtask kubernetes test"]
fn who_has_few_rights_is_told_what_is_not_known() -> Result<()> {
    let cluster = Cluster::running()?;
    cluster.share_network()?;
    let namespace = ready(Namespace::new(&cluster, "cli-rights")?)?;
    let few = DataVolume::http("few", "http://server.example/disk").server("secretRef: login").claim(STORAGE);
    let nobody = User::account(&cluster, &namespace, "nobody")?;
    let output = nobody.run(&["dv"])?;
    ensure!(output.status.code() == Some(7), "{output:?}");
    ensure!(String::from_utf8_lossy(&output.stderr).contains("[cluster-denied]"), "{output:?}");
    let (explained, code) = nobody.explained(&namespace, &few)?;
    ensure!(code == 7 && refusals(&explained).first() == Some(&"cluster-denied"), "{explained}");

    let viewer = User::account(&cluster, &namespace, "viewer")?;
    let account = format!("{}:viewer", namespace.name());
    namespace.ask(&["create", "rolebinding", "view", "--clusterrole", "view", "--serviceaccount", &account])?;
    namespace.ask(&["create", "role", "make", "--verb", "create", "--resource", "datavolumes.cdi.kubevirt.io"])?;
    namespace.ask(&["create", "rolebinding", "make", "--role", "make", "--serviceaccount", &account])?;
    let (explained, code) = viewer.explained(&namespace, &few)?;
    ensure!(code == 0 && explained["admission"]["answer"] == "accepted", "{explained}");
    for part in ["claim", "primeClaim", "pod"] {
        let verdict = &explained[part]["verdict"];
        ensure!(
            verdict["answer"] == "unknown" && verdict["message"].to_string().contains("cannot create"),
            "{explained}"
        );
    }
    ensure!(explained["credentials"][0]["verdict"]["answer"] == "unknown", "{explained}");
    ensure!(explained["pod"]["image"].is_null(), "{explained}");
    let notes = explained["notes"].to_string();
    ensure!(notes.contains("StorageClass cannot be read") && notes.contains("cdi-deployment"), "{explained}");
    // The namespace is the context's own.
    let output = viewer.run(&["dv"])?;
    ensure!(output.status.success(), "{output:?}");
    ensure!(
        String::from_utf8_lossy(&output.stderr).contains("no DataVolumes in the namespace cli-rights"),
        "{output:?}"
    );
    Ok(())
}

/// A watch that goes on beside the test, and what it prints.
struct Watched {
    child: Child,
    lines: BufReader<ChildStdout>,
}

impl Watched {
    fn start(mut command: Command) -> Result<Self> {
        let mut child = command.stdout(Stdio::piped()).spawn()?;
        let lines = BufReader::new(child.stdout.take().context("standard output")?);
        Ok(Self { child, lines })
    }

    /// All lines until it ends by itself, and its exit code.
    fn end(mut self) -> Result<(Vec<String>, i32)> {
        let lines = self.lines.lines().collect::<std::io::Result<_>>()?;
        Ok((lines, self.child.wait()?.code().unwrap_or(-1)))
    }
}

#[test]
#[ignore = "needs a cluster: cargo xtask kubernetes test"]
fn data_volumes_are_listed_and_followed_to_their_end() -> Result<()> {
    let bed = Bed::new(SIZE, "")?;
    let namespace = ready(Namespace::new(&bed.cluster, "cli-dv")?)?;
    let user = User::administrator(&bed.cluster)?;
    let dv = |arguments: &[&str]| user.run(&[&["dv", "-n", namespace.name()], arguments].concat());
    let missing = dv(&["nowhere", "--watch"])?;
    ensure!(missing.status.code() == Some(7), "{missing:?}");

    bed.data_volume("good").claim(STORAGE).apply(&namespace)?;
    let wrong = format!("checksum: 'sha256:{}'", "0".repeat(64));
    bed.data_volume("bad").server(&wrong).claim(STORAGE).apply(&namespace)?;
    let watched = Watched::start(user.command(&["dv", "-n", namespace.name(), "-w", "--json", "good"]))?;
    let (lines, code) = watched.end()?;
    let seen: Vec<Value> = lines.iter().map(|line| Ok(serde_json::from_str(line)?)).collect::<Result<_>>()?;
    ensure!(code == 0 && seen.iter().all(|row| row["name"] == "good"), "{lines:?}");
    let last = seen.last().context("no line")?;
    ensure!(last["phase"] == "Succeeded" && last["finished"] == true && last["progress"] == "100.0%", "{last}");
    ensure!(last["fingerprint"].to_string().contains("gantry1:"), "{last}");
    ensure!(seen.len() > 1 && seen[..seen.len() - 1].iter().all(|row| row["finished"] == false), "{lines:?}");

    // The exit code of a watch is that of what went wrong, and lines tell it without JSON.
    let (lines, code) = Watched::start(user.command(&["dv", "-n", namespace.name(), "-w", "bad"]))?.end()?;
    let text = lines.join("\n");
    ensure!(code == 5, "{code}: {text}");
    ensure!(text.contains("[checksum-mismatch]") && text.contains("tried again: no"), "{text}");

    let table = String::from_utf8(dv(&[])?.stdout)?;
    let row = table.lines().find(|line| line.starts_with("good ")).context("no row")?;
    ensure!(row.contains("Succeeded") && row.contains("100.0%"), "{table}");
    ensure!(table.starts_with("NAME ") && table.contains("what to do: "), "{table}");
    let all = String::from_utf8(user.run(&["dv", "-A"])?.stdout)?;
    ensure!(all.starts_with("NAMESPACE "), "{all}");
    ensure!(all.lines().any(|line| line.starts_with("cli-dv ") && line.contains(" good ")), "{all}");
    let some = dv(&["good", "nowhere", "--json"])?;
    let text = String::from_utf8(some.stdout)?;
    ensure!(some.status.code() == Some(7) && text.contains("\"good\"") && text.contains("cluster-not-found"), "{text}");
    Ok(())
}

#[test]
#[ignore = "needs a cluster: cargo xtask kubernetes test"]
fn a_watch_whose_connections_are_cut_sees_the_end_nevertheless() -> Result<()> {
    let bed = Bed::new(SIZE, "")?;
    let namespace = ready(Namespace::new(&bed.cluster, "cli-cut")?)?;
    let user = User::administrator(&bed.cluster)?;
    let address = user.kubectl(&["config", "view", "--output", "jsonpath={.clusters[0].cluster.server}"])?;
    let upstream = address.trim_start_matches("https://").to_owned();
    let host = upstream.split(':').next().unwrap_or_default().to_owned();
    // Enough for one list and a few changes.
    let proxy = Proxy::cutting(upstream.parse()?, 16 * 1024)?;
    let name = user.kubectl(&["config", "view", "--output", "jsonpath={.clusters[0].name}"])?;
    let through = format!("https://{}", proxy.address());
    user.kubectl(&["config", "set-cluster", name.trim(), "--server", &through, "--tls-server-name", &host])?;
    DataVolume::http("cut", &bed.server.url("missing")).claim(STORAGE).apply(&namespace)?;
    let watched = Watched::start(user.command(&["dv", "-n", namespace.name(), "-w", "--json", "cut"]))?;
    // It fails and is tried again: changes enough to cut connections more than once.
    let direct = User::administrator(&bed.cluster)?;
    for number in 0..30 {
        let annotation = format!("test.example/number={number}-{}", "x".repeat(1500));
        namespace.ask(&["annotate", "datavolume/cut", "--overwrite", &annotation])?;
    }
    fs::copy(&bed.disk, bed.folder.path().join("missing"))?;
    let (lines, code) = watched.end()?;
    ensure!(code == 0, "{lines:?}");
    ensure!(lines.last().is_some_and(|line| line.contains("\"Succeeded\"")), "{lines:?}");
    ensure!(proxy.connections() > 2, "{} connections", proxy.connections());
    let output = direct.run(&["dv", "-n", namespace.name(), "cut", "--json"])?;
    let now: Value = serde_json::from_slice(&output.stdout)?;
    let last: Value = serde_json::from_str(lines.last().context("no line")?)?;
    ensure!(now == last, "{now}\n{last}");
    Ok(())
}
