//! `cargo xtask sbom [FILE]`: what the shipped binaries are made of, as CycloneDX 1.6 in JSON.
//!
//! ```text
//! cargo tree      which crates are linked, on either platform        \
//! cargo metadata  their licences, places, and who needs whom          > bom.json
//! Cargo.lock      the checksums of what was downloaded               /
//! bundled.rs      the C libraries that some of them bring along
//! ```
//! What only builds (build scripts, procedural macros) is left out. The file has no date, no random number and no path of this
//! machine, so that the same commit gives the same bytes.

mod bundled;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::PathBuf;

use anyhow::{Context, Result, bail};
use fixtures::command::output;
use serde_json::{Value, json};

use crate::cargo::{command, list, metadata, root, target, text};

/// What is shipped, and for which platforms.
const SHIPPED: [&str; 2] = ["gantry", "importer"];
const PLATFORMS: [&str; 2] = ["x86_64-unknown-linux-gnu", "aarch64-unknown-linux-gnu"];

/// Writes the list to `file`, or below the target folder.
///
/// # Errors
/// When cargo fails, or a linked crate compiles C that `bundled.rs` does not know.
pub(crate) fn run(file: Option<&str>) -> Result<()> {
    let file = file.map_or_else(|| target().join("gantry.cdx.json"), PathBuf::from);
    let graph = metadata(&["--locked"])?;
    let document = document(&graph, &linked()?, &checksums(&fs::read_to_string(root().join("Cargo.lock"))?))?;
    fs::write(&file, serde_json::to_string_pretty(&document)? + "\n")?;
    eprintln!("sbom: {} components in {}", list(&document, "components").count(), file.display());
    Ok(())
}

/// Name and version of a crate.
type Id = (String, String);

/// Every crate that is linked into what is shipped.
fn linked() -> Result<BTreeSet<Id>> {
    let mut linked = BTreeSet::new();
    for platform in PLATFORMS {
        let mut tree = command(&["tree", "--locked", "--prefix", "none", "--format", "{p}", "--target", platform]);
        tree.args(["--edges", "normal,no-proc-macro"]);
        tree.args(SHIPPED.iter().flat_map(|name| ["--package", name]));
        for line in output(&mut tree)?.lines() {
            let mut words = line.split_whitespace();
            if let (Some(name), Some(version)) = (words.next(), words.next()) {
                linked.insert((name.to_owned(), version.trim_start_matches('v').to_owned()));
            }
        }
    }
    Ok(linked)
}

/// The checksums of a lock file.
fn checksums(lock: &str) -> BTreeMap<Id, String> {
    let value = |package: &str, key: &str| {
        let start = format!("{key} = \"");
        package.lines().find_map(|line| Some(line.strip_prefix(start.as_str())?.trim_end_matches('"').to_owned()))
    };
    let package =
        |package: &str| Some(((value(package, "name")?, value(package, "version")?), value(package, "checksum")?));
    lock.split("[[package]]").filter_map(package).collect()
}

fn document(graph: &Value, linked: &BTreeSet<Id>, checksums: &BTreeMap<Id, String>) -> Result<Value> {
    let id = |package: &Value| (text(package, "name").to_owned(), text(package, "version").to_owned());
    let packages: BTreeMap<Id, &Value> =
        list(graph, "packages").map(|package| (id(package), package)).filter(|(id, _)| linked.contains(id)).collect();
    if let Some(missing) = linked.iter().find(|id| !packages.contains_key(id)) {
        bail!("cargo metadata has no {} {}", missing.0, missing.1);
    }
    let references: BTreeMap<&str, String> =
        packages.values().map(|package| (text(package, "id"), reference(package))).collect();
    let mut components = Vec::new();
    let mut needs: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for (id, package) in &packages {
        components.push(component(package, checksums.get(id))?);
        let needed = needs.entry(reference(package)).or_default();
        if let Some(library) = bundled::of(package)? {
            needed.insert(text(&library, "bom-ref").to_owned());
            components.push(library);
        }
    }
    for node in list(&graph["resolve"], "nodes") {
        let Some(from) = references.get(text(node, "id")) else { continue };
        let normal = list(node, "deps").filter(|dep| list(dep, "dep_kinds").any(|kind| kind["kind"].is_null()));
        needs
            .entry(from.clone())
            .or_default()
            .extend(normal.filter_map(|dep| references.get(text(dep, "pkg")).cloned()));
    }
    let version = packages.keys().find(|(name, _)| name == SHIPPED[0]).map(|(_, version)| version);
    let version = version.context("the shipped crate is not linked")?;
    needs.insert("product".to_owned(), SHIPPED.iter().map(|name| format!("gantry/{name}@{version}")).collect());
    let needs: Vec<Value> =
        needs.into_iter().map(|(from, needed)| json!({ "ref": from, "dependsOn": needed })).collect();
    Ok(json!({
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "version": 1,
        "metadata": {
            "lifecycles": [{ "phase": "build" }],
            "component": {
                "type": "application",
                "bom-ref": "product",
                "name": "gantry",
                "version": version,
                "licenses": [{ "expression": "Apache-2.0" }],
            },
        },
        "components": components,
        "dependencies": needs,
    }))
}

/// What other entries call a crate: its package URL, or for our own, which are not published, a name below ours.
fn reference(package: &Value) -> String {
    let (name, version) = (text(package, "name"), text(package, "version"));
    if package["source"].is_null() { format!("gantry/{name}@{version}") } else { package_url(name, version) }
}

/// `pkg:cargo/NAME@VERSION`; a version's `+` is escaped there.
fn package_url(name: &str, version: &str) -> String {
    format!("pkg:cargo/{name}@{}", version.replace('+', "%2B"))
}

fn component(package: &Value, checksum: Option<&String>) -> Result<Value> {
    let (name, version) = (text(package, "name"), text(package, "version"));
    let is_own = package["source"].is_null();
    let licence = package["license"].as_str().with_context(|| format!("{name} names no licence"))?;
    let mut component = json!({
        "type": "library",
        "bom-ref": reference(package),
        "name": name,
        "version": version,
        // Cargo's older way to write a choice.
        "licenses": [{ "expression": licence.replace('/', " OR ") }],
    });
    if !is_own {
        let checksum = checksum.with_context(|| format!("Cargo.lock has no checksum of {name} {version}"))?;
        component["purl"] = package_url(name, version).into();
        component["hashes"] = json!([{ "alg": "SHA-256", "content": checksum }]);
    }
    if let Some(repository) = package["repository"].as_str().filter(|_| !is_own) {
        component["externalReferences"] = json!([{ "type": "vcs", "url": repository }]);
    }
    Ok(component)
}

#[cfg(test)]
mod tests;
