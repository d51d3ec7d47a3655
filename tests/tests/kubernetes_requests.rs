//! What the product asks of the API server, by the server's own audit log: `cargo xtask kubernetes test`.

use std::collections::BTreeMap;
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use fixtures::images::{MIB, raw};
use fixtures::kubernetes::{ADDRESS, Call, Cluster, Mark};
use fixtures::nginx::Settings;
use serde_json::Value;
use tests::metrics::Metrics;
use tests::objects::{Namespace, filled};

const CONTROLLER: &str = "system:serviceaccount:cdi:cdi-sa";
const APISERVER: &str = "system:serviceaccount:cdi:cdi-apiserver";

/// Requests that an import may cost, progress aside ...
const MOST: usize = 25;
/// ... which is told so often at most.
const PROGRESS_EVERY: Duration = Duration::from_secs(5);

const MANIFEST: &str = "
apiVersion: cdi.kubevirt.io/v1beta1
kind: DataVolume
metadata: {name: $name}
spec:
  source: {http: {url: '$url'}}
  pvc: {accessModes: [ReadWriteOnce], storageClassName: gantry-immediate, resources: {requests: {storage: 64Mi}}}
";

/// `verb resource/subresource` and how often.
fn counted<'a>(calls: impl Iterator<Item = &'a Call>) -> BTreeMap<String, usize> {
    let mut all = BTreeMap::new();
    for call in calls {
        let slash = if call.subresource.is_empty() { "" } else { "/" };
        *all.entry(format!("{} {}{slash}{}", call.verb, call.resource, call.subresource)).or_default() += 1;
    }
    all
}

/// Whether a status says nothing new but how far the import is.
fn is_progress(before: &Value, now: &Value) -> bool {
    let said = |status: &Value| [&status["phase"], &status["conditions"], &status["restartCount"]].map(Value::clone);
    before != now && said(before) == said(now)
}

#[test]
#[ignore = "needs a cluster: cargo xtask kubernetes test"]
fn an_import_costs_few_requests_and_no_list() -> Result<()> {
    let cluster = Cluster::running()?;
    cluster.share_network()?;
    let folder = tempfile::tempdir()?;
    raw::dense(&folder.path().join("disk.raw"), 8 * MIB, 1)?;
    // Slow enough to have progress to tell; there are four connections.
    let nginx = Settings::new(folder.path()).address(ADDRESS).directive("limit_rate 128k;").start()?;
    let namespace = Namespace::new(&cluster, "counted", "")?;
    let proxy = cluster.proxy()?;
    let followed = "/apis/cdi.kubevirt.io/v1beta1/namespaces/counted/datavolumes?watch=true&timeoutSeconds=120";
    let mut followed = proxy.connect()?.watch(followed)?;
    let mark = cluster.mark()?;
    namespace.apply(&filled(MANIFEST, &[("$name", "one"), ("$url", &nginx.url("disk.raw"))]))?;
    let (mut states, mut begun) = (Vec::new(), None);
    while states.last().is_none_or(|status: &Value| status["phase"] != "Succeeded") {
        let change = followed.change()?.with_context(|| format!("the import did not succeed: {states:?}"))?;
        states.push(change["object"]["status"].clone());
        if change["object"]["status"]["phase"] == "ImportInProgress" {
            begun.get_or_insert_with(Instant::now);
        }
    }
    let took = begun.context("the import was never in progress")?.elapsed();
    let progress = states.windows(2).filter(|pair| is_progress(&pair[0], &pair[1])).count();
    // What is cleaned up after it belongs to it.
    sleep(Duration::from_secs(5));
    let calls = cluster.audit(mark)?;
    let ours =
        |call: &&Call| call.user == CONTROLLER && (call.namespace == "counted" || call.resource == "persistentvolumes");
    let asked = counted(calls.iter().filter(ours).filter(|call| call.verb != "watch"));
    let total: usize = asked.values().sum();
    println!("{total} requests, {progress} for progress in {} s: {asked:#?}", took.as_secs());
    ensure!(total - progress <= MOST, "{total} requests, {progress} for progress: {asked:#?}");
    ensure!(progress > 0 && progress as u64 <= 1 + took.as_secs() / PROGRESS_EVERY.as_secs(), "{progress} in {took:?}");
    let lists: Vec<&Call> = calls.iter().filter(|call| call.user == CONTROLLER && call.verb == "list").collect();
    ensure!(lists.is_empty(), "{lists:?}");
    Ok(())
}

#[test]
#[ignore = "needs a cluster: cargo xtask kubernetes test"]
fn no_call_is_refused_and_workers_have_no_token() -> Result<()> {
    let cluster = Cluster::running()?;
    let calls = cluster.audit(cluster.installed()?)?;
    let ours = |call: &&Call| call.user == CONTROLLER || call.user == APISERVER;
    let refused = counted(calls.iter().filter(ours).filter(|call| call.is_forbidden()));
    ensure!(refused.is_empty(), "refused: {refused:#?}");
    ensure!(calls.iter().any(|call| ours(&call)), "nothing was asked");
    for account in ["cdi-sa", "cdi-apiserver"] {
        let text =
            cluster.ask(&["auth", "can-i", "--list", "--as", &format!("system:serviceaccount:cdi:{account}")])?;
        ensure!(!text.contains("pods/log") && !text.contains("*.*"), "{account} may too much:\n{text}");
    }
    let secrets = cluster.ask(&["auth", "can-i", "get", "secrets", "--namespace", "default", "--as", CONTROLLER]);
    ensure!(secrets.is_err(), "secrets of users can be read");
    Ok(())
}

/// Rules of the controller's roles that a cluster of this kind has no use for.
const UNUSED: &[(&str, &str)] = &[
    // Other clusters have them.
    ("config.openshift.io", "proxies"),
    ("route.openshift.io", "routes"),
    // Proxies with authorities of their own.
    ("", "configmaps"),
    // An applied definition that is not there is created; the log calls both a patch.
    ("apiextensions.k8s.io", "customresourcedefinitions"),
    ("admissionregistration.k8s.io", "validatingadmissionpolicies"),
    ("admissionregistration.k8s.io", "validatingadmissionpolicybindings"),
    // Certificates are made anew once a day.
    ("", "secrets"),
];

#[test]
#[ignore = "needs a cluster: cargo xtask kubernetes test"]
fn no_rule_is_unused() -> Result<()> {
    let cluster = Cluster::running()?;
    cluster.share_network()?;
    // Somebody reads the metrics.
    let namespace = Namespace::new(&cluster, "scraped", "")?;
    Metrics::new(&cluster, &namespace)?.until("gantry_reconciled_total")?;
    // Somebody changes what is the controller's to say.
    cluster.ask(&["label", "storageprofile", "gantry", "app-"])?;
    let said = ["get", "storageprofile", "gantry", "--output", "jsonpath={.metadata.labels.app}"];
    let end = Instant::now() + Duration::from_secs(30);
    while cluster.ask(&said)?.is_empty() {
        ensure!(Instant::now() < end, "the label did not come back");
        sleep(Duration::from_millis(200));
    }
    let calls = cluster.audit(Mark::BEGINNING)?;
    let mut unused = Vec::new();
    for (user, role, namespaced) in [
        (CONTROLLER, "clusterrole/cdi", ""),
        (CONTROLLER, "role/cdi-deployment", "cdi"),
        (APISERVER, "clusterrole/cdi-apiserver", ""),
    ] {
        let namespace = if namespaced.is_empty() { "default" } else { namespaced };
        let role: Value =
            serde_json::from_str(&cluster.ask(&["get", role, "--namespace", namespace, "--output", "json"])?)?;
        let words = |value: &Value| -> Vec<String> {
            value.as_array().into_iter().flatten().filter_map(Value::as_str).map(str::to_owned).collect()
        };
        for rule in role["rules"].as_array().into_iter().flatten() {
            for group in words(&rule["apiGroups"]) {
                for resource in words(&rule["resources"]) {
                    for verb in words(&rule["verbs"]) {
                        let used = calls.iter().filter(|call| call.user == user).any(|call| {
                            let slash = if call.subresource.is_empty() { "" } else { "/" };
                            let asked = format!("{}{slash}{}", call.resource, call.subresource);
                            call.group == group && asked == resource && call.verb == verb
                        });
                        // A list is what a watch falls back to.
                        let excused = verb == "list" || UNUSED.contains(&(&*group, &*resource));
                        if !used && !excused {
                            unused.push(format!("{user}: {verb} {resource}.{group}"));
                        }
                    }
                }
            }
        }
    }
    ensure!(unused.is_empty(), "unused rules: {unused:#?}");
    Ok(())
}
