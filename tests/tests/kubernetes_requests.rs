//! What the product asks of the API server, by the server's own audit log: `cargo xtask kubernetes test`.

use std::collections::BTreeMap;
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use fixtures::images::MIB;
use fixtures::kubernetes::{APISERVER, CONTROLLER, Call, Cluster, Mark, Watched};
use serde_json::Value;
use tests::bed::Bed;
use tests::data_volume::DataVolume;
use tests::metrics::Metrics;
use tests::objects::{Namespace, until};

/// Requests that an import may cost, progress aside ...
const MOST: usize = 25;
/// ... which is told so often at most.
const PROGRESS_EVERY: Duration = Duration::from_secs(5);
/// DataVolumes made together: each costs no more.
const MANY: usize = 6;
/// What one costs more of which something went wrong on the way, a driver that has to be asked again, say: that is told.
const TROUBLE: usize = 5;

/// `verb resource/subresource` and how often.
fn counted<'a>(calls: impl Iterator<Item = &'a Call>) -> BTreeMap<String, usize> {
    let mut all = BTreeMap::new();
    for call in calls {
        let slash = if call.subresource.is_empty() { "" } else { "/" };
        *all.entry(format!("{} {}{slash}{}", call.verb, call.resource, call.subresource)).or_default() += 1;
    }
    all
}

/// What a DataVolume was said to be, and when that was heard.
type States = Vec<(Instant, Value)>;

/// The states of DataVolumes, by name, until so many have succeeded.
fn told(mut changes: Watched, count: usize) -> Result<BTreeMap<String, States>> {
    let mut all = BTreeMap::<String, States>::new();
    let is_done = |states: &&States| states.last().is_some_and(|(_, status)| status["phase"] == "Succeeded");
    while all.values().filter(is_done).count() < count {
        let change = changes.change()?.with_context(|| format!("no {count} have succeeded: {all:?}"))?;
        let name = change["object"]["metadata"]["name"].as_str().unwrap_or_default();
        all.entry(name.to_owned()).or_default().push((Instant::now(), change["object"]["status"].clone()));
    }
    Ok(all)
}

/// How many of the states say nothing new but how far the import is.
fn progress_of(states: &States) -> usize {
    states.windows(2).filter(|pair| is_progress(&pair[0].1, &pair[1].1)).count()
}

/// Whether a status says nothing new but how far the import is.
fn is_progress(before: &Value, now: &Value) -> bool {
    let said = |status: &Value| [&status["phase"], &status["conditions"], &status["restartCount"]].map(Value::clone);
    before != now && said(before) == said(now)
}

#[test]
#[ignore = "needs a cluster: cargo xtask kubernetes test"]
fn an_import_costs_few_requests_and_no_list_alone_and_among_many() -> Result<()> {
    // Slow enough to have progress to tell; there are four connections.
    let bed = Bed::new(8 * MIB, "limit_rate 128k;")?;
    let cluster = &bed.cluster;
    let namespace = Namespace::new(cluster, "counted")?;
    let many = Namespace::new(cluster, "many")?;
    let proxy = cluster.proxy()?;
    let follow = |namespace: &Namespace| {
        let all = format!("/apis/cdi.kubevirt.io/v1beta1/namespaces/{}/datavolumes", namespace.name());
        proxy.connect()?.watch(&format!("{all}?watch=true&timeoutSeconds=180"))
    };
    let (followed, of_many) = (follow(&namespace)?, follow(&many)?);
    let mark = cluster.mark()?;
    bed.data_volume("one").apply(&namespace)?;
    let blank = |number| DataVolume::blank(&format!("blank-{number}")).to_string();
    many.apply(&(0..MANY).map(blank).collect::<Vec<_>>().join("---\n"))?;
    let states = told(followed, 1)?.pop_first().context("nothing was told")?.1;
    let begun = states.iter().find(|(_, status)| status["phase"] == "ImportInProgress");
    let took = states[states.len() - 1].0 - begun.context("the import was never in progress")?.0;
    let progress = progress_of(&states);
    let states = told(of_many, MANY)?;
    let progress_of_many: usize = states.values().map(progress_of).sum();
    let is_troubled = |states: &&States| states.iter().any(|(_, status)| !status["gantry"]["lastError"].is_null());
    let troubled = states.values().filter(is_troubled).count();
    // What is cleaned up after it belongs to it.
    sleep(Duration::from_secs(5));
    let claim = namespace.there("pvc/one")?;
    let volume = claim["spec"]["volumeName"].as_str().context("no volume")?;
    let calls = cluster.audit(mark)?;
    let ours = || calls.iter().filter(|call| call.user == CONTROLLER && call.verb != "watch");
    let is_of = |call: &Call, namespace: &str, is_volume: bool| {
        call.namespace == namespace || call.resource == "persistentvolumes" && is_volume
    };
    let asked = counted(ours().filter(|call| is_of(call, "counted", call.name == volume)));
    let total: usize = asked.values().sum();
    println!("{total} requests, {progress} for progress in {} s: {asked:#?}", took.as_secs());
    ensure!(total - progress <= MOST, "{total} requests, {progress} for progress: {asked:#?}");
    ensure!(progress > 0 && progress as u64 <= 1 + took.as_secs() / PROGRESS_EVERY.as_secs(), "{progress} in {took:?}");
    let asked = counted(ours().filter(|call| is_of(call, "many", call.name != volume)));
    let total: usize = asked.values().sum();
    let said = format!("{total} requests, {progress_of_many} for progress, trouble with {troubled}: {asked:#?}");
    println!("{said}");
    ensure!(total - progress_of_many <= MANY * MOST + troubled * TROUBLE, "{said}");
    let lists: Vec<&Call> = ours().filter(|call| call.verb == "list").collect();
    ensure!(lists.is_empty(), "{lists:?}");
    Ok(())
}

/// Rules of the controller's roles that a cluster of this kind has no use for.
const UNUSED: &[(&str, &str)] = &[
    // Other clusters have them.
    ("route.openshift.io", "routes"),
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
    let namespace = Namespace::new(&cluster, "scraped")?;
    Metrics::new(&cluster, &namespace)?.until("gantry_reconciled_total")?;
    // Somebody changes what is the controller's to say.
    cluster.ask(&["label", "storageprofile", "gantry", "app-"])?;
    until(&cluster, "storageprofile/gantry", "labelled again", |found| found["metadata"]["labels"]["app"].is_string())?;
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
