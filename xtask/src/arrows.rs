//! `cargo xtask arrows`: which of our crates may use which, and which must stay pure (DESIGN.md §3).

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Result, bail};
use serde_json::Value;

use crate::cargo::{list, metadata, root, text};
use crate::rust_source::{Source, files};

/// The whole list: crate, its folder, and the own crates it may depend on.
///
/// `fixtures` may besides be a dev-dependency of any crate; it depends on none, so that no expected image comes from the code
/// under test. Other dev-dependencies are in [`FOR_TESTS`].
const ARROWS: &[(&str, &str, &[&str])] = &[
    ("contract", "contract", &[]),
    ("api", "api", &["contract"]),
    ("formats", "formats", &[]),
    ("codecs", "codecs", &[]),
    ("mover", "mover", &["contract", "formats", "codecs"]),
    ("importer", "importer", &["mover", "contract", "formats", "codecs"]),
    ("reconcile", "reconcile", &["contract"]),
    ("controller", "controller", &["api", "contract", "reconcile"]),
    ("apiserver", "apiserver", &["api", "contract", "reconcile"]),
    ("gantry", "cli", &["importer", "mover", "contract", "formats", "api", "controller"]),
    ("storage", "storage", &[]),
    ("gantry-csi", "storage/csi", &["storage"]),
    ("fixtures", "fixtures", &[]),
    ("tests", "tests", &["fixtures"]),
    ("xtask", "xtask", &["fixtures"]),
];

/// What only a crate's own tests use: formats maps compressed clusters, and a test that reads a whole image has to inflate them.
const FOR_TESTS: &[(&str, &str)] = &[("formats", "codecs")];

/// Crates that a crate must not even reach through others.
const UNREACHABLE: &[(&str, &[&str])] = &[
    ("contract", &["tokio", "reqwest", "rustix"]),
    ("formats", &["tokio", "reqwest", "rustix"]),
    ("codecs", &["tokio", "reqwest", "rustix"]),
    ("mover", &["tokio", "reqwest"]),
    ("importer", &["kube", "k8s-openapi"]),
    ("api", &["reqwest", "formats", "mover"]),
    ("controller", &["formats", "codecs", "mover", "importer"]),
    ("apiserver", &["formats", "codecs", "mover", "importer"]),
    ("storage", &["tokio", "reqwest", "formats", "mover"]),
    ("gantry-csi", &["reqwest", "formats", "mover"]),
];

/// Crates without clock, environment, network or files, and the modules of `std` they must not name.
const PURE: &[&str] = &["contract", "formats", "api"];
const IMPURE_MODULES: &[&str] = &["time", "env", "net", "fs", "process", "thread"];

/// Rooms of the control plane that decide and do nothing, and what they must not do besides: who calls them reads, asks the time
/// and writes.
const PURE_ROOMS: &[(&str, &[&str])] =
    &[("controller", &["plan", "build", "status", "preview"]), ("apiserver", &["admission"])];
const IMPURE_WORDS: &[&str] = &["async ", ".await", "::now()", "rand::"];

/// Checks all four lists.
///
/// # Errors
/// With every arrow, reach and use that is not allowed.
pub(crate) fn run() -> Result<()> {
    let graph = metadata(&["--all-features"])?;
    let mut faults = forbidden_arrows(&graph);
    faults.extend(forbidden_reach(&graph));
    for folder in PURE {
        for source in files(root(), &format!("{folder}/src"))? {
            faults.extend(impure_uses(&source, IMPURE_MODULES));
        }
    }
    for (krate, rooms) in PURE_ROOMS {
        for source in files(root(), &format!("{krate}/src"))?.into_iter().filter(|source| is_in(source, rooms)) {
            // A length of time is not a clock.
            faults.extend(impure_uses(&source, &IMPURE_MODULES[1..]));
            faults.extend(impure_words(&source));
        }
    }
    if !faults.is_empty() {
        bail!("arrows that are not allowed:\n  {}", faults.join("\n  "));
    }
    eprintln!("arrows: {} crates as allowed", ARROWS.len());
    Ok(())
}

fn own_packages(graph: &Value) -> impl Iterator<Item = &Value> {
    list(graph, "packages").filter(|package| package["source"].is_null())
}

fn forbidden_arrows(graph: &Value) -> Vec<String> {
    let own: BTreeSet<&str> = own_packages(graph).map(|package| text(package, "name")).collect();
    let mut faults = Vec::new();
    for package in own_packages(graph) {
        let name = text(package, "name");
        let Some((_, _, allowed)) = ARROWS.iter().find(|(known, ..)| *known == name) else {
            faults.push(format!("{name} is in no list"));
            continue;
        };
        for dependency in list(package, "dependencies") {
            let to = text(dependency, "name");
            let for_tests = dependency["kind"] == "dev"
                && ((to == "fixtures" && name != "fixtures") || FOR_TESTS.contains(&(name, to)));
            if own.contains(to) && !for_tests && !allowed.contains(&to) {
                faults.push(format!("{name} -> {to}"));
            }
        }
    }
    faults
}

/// Follows normal dependencies; what only tests and build scripts use is not linked.
fn forbidden_reach(graph: &Value) -> Vec<String> {
    let names: BTreeMap<&str, &str> =
        list(graph, "packages").map(|package| (text(package, "id"), text(package, "name"))).collect();
    let mut edges: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for node in list(&graph["resolve"], "nodes") {
        let linked = list(node, "deps")
            .filter(|dep| list(dep, "dep_kinds").any(|kind| kind["kind"].is_null()))
            .map(|dep| text(dep, "pkg"));
        edges.insert(text(node, "id"), linked.collect());
    }
    let mut faults = Vec::new();
    for (from, forbidden) in UNREACHABLE {
        let mut open: Vec<&str> = own_packages(graph)
            .filter(|package| text(package, "name") == *from)
            .map(|package| text(package, "id"))
            .collect();
        let mut seen: BTreeSet<&str> = open.iter().copied().collect();
        while let Some(id) = open.pop() {
            let next = edges.get(id).into_iter().flatten().copied();
            open.extend(next.filter(|next| seen.insert(next)));
        }
        let reached: BTreeSet<&str> = seen.iter().filter_map(|id| names.get(id).copied()).collect();
        for name in forbidden.iter().filter(|name| reached.contains(**name)) {
            faults.push(format!("{from} reaches {name}"));
        }
    }
    faults
}

/// Whether a file is one of these rooms, or in one.
fn is_in(source: &Source, rooms: &[&str]) -> bool {
    source.path.with_extension("").iter().any(|part| rooms.iter().any(|room| part == *room))
}

fn impure_words(source: &Source) -> Vec<String> {
    let used = |line: &str| IMPURE_WORDS.iter().copied().find(|word| line.contains(word)).map(str::to_owned);
    let found = source.code().into_iter().filter_map(|(number, line)| Some((number, used(line)?)));
    found.map(|(number, word)| format!("{}:{number} uses {}", source.path.display(), word.trim())).collect()
}

/// `std::time` as a path, or `time` in a group `std::{...}`.
fn impure_uses(source: &Source, modules: &[&str]) -> Vec<String> {
    let mut faults = Vec::new();
    for (number, line) in source.code() {
        for module in modules {
            let path = line
                .match_indices(&format!("std::{module}"))
                .any(|(at, found)| !line[at + found.len()..].starts_with(|c: char| c.is_alphanumeric() || c == '_'));
            let grouped = line
                .split_once("std::{")
                .is_some_and(|(_, group)| group.split([',', '}', ':', ' ']).any(|word| word == *module));
            if path || grouped {
                faults.push(format!("{}:{number} uses std::{module}", source.path.display()));
            }
        }
    }
    faults
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn an_arrow_outside_the_list_is_named() {
        let graph = json!({"packages": [
            {"name": "formats", "source": null, "dependencies": [
                {"name": "mover", "kind": null}, {"name": "fixtures", "kind": "dev"}]},
            {"name": "mover", "source": null, "dependencies": [
                {"name": "formats", "kind": null}, {"name": "fixtures", "kind": null}, {"name": "serde", "kind": null}]},
            {"name": "fixtures", "source": null, "dependencies": []},
            {"name": "stranger", "source": null, "dependencies": []},
        ]});
        assert_eq!(forbidden_arrows(&graph), ["formats -> mover", "mover -> fixtures", "stranger is in no list"]);
    }

    #[test]
    fn a_forbidden_crate_is_found_behind_others_but_not_behind_tests() {
        let graph = |kind: Value| {
            json!({"packages": [
                {"name": "mover", "id": "m", "source": null, "dependencies": []},
                {"name": "between", "id": "b", "source": "x", "dependencies": []},
                {"name": "tokio", "id": "t", "source": "x", "dependencies": []}],
                "resolve": {"nodes": [
                    {"id": "m", "deps": [{"pkg": "b", "dep_kinds": [{"kind": kind}]}]},
                    {"id": "b", "deps": [{"pkg": "t", "dep_kinds": [{"kind": null}]}]}]}})
        };
        assert_eq!(forbidden_reach(&graph(Value::Null)), ["mover reaches tokio"]);
        assert!(forbidden_reach(&graph(json!("dev"))).is_empty());
    }

    #[test]
    fn a_room_that_decides_may_not_wait_or_ask_the_time() {
        let source = Source {
            path: "controller/src/import/plan/mod.rs".into(),
            text: "async fn plan() {\n    read().await;\n    Timestamp::now();\n    decide();\n}\n".to_owned(),
        };
        assert!(is_in(&source, &["plan"]) && !is_in(&source, &["build"]));
        assert_eq!(impure_words(&source).len(), 3);
    }

    #[test]
    fn a_pure_crate_may_not_name_clock_files_or_environment() {
        let source = Source {
            path: "formats/src/a.rs".into(),
            text: "use std::fs;\nuse std::{fmt, time::Instant};\nuse std::fmt;\nlet x = std::env::var;\n".to_owned(),
        };
        let faults = impure_uses(&source, IMPURE_MODULES);
        assert_eq!(faults.len(), 3, "{faults:?}");
    }
}
