//! The definitions have the structure of CDI's, line by line as in `schema/cdi.txt`, and what an API server takes.

#![cfg(test)]

use std::collections::{BTreeMap, BTreeSet};

use k8s_openapi::api::core::v1::{Affinity, Toleration};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use schemars::JsonSchema;
use schemars::generate::SchemaSettings;
use serde_json::{Value, json};

const FACTS: &str = include_str!("../schema/cdi.txt");
const EXTENSIONS: &str = include_str!("../../docs/api-extensions.md");

/// What is ours alone. Each begins with a path that `docs/api-extensions.md` names.
const ADDITIONS: &[&str] = &[
    "CDI spec.config.gantry  object",
    "CDI spec.config.gantry.namespaceSourcePolicies  object",
    "CDI spec.config.gantry.namespaceSourcePolicies{}  object",
    "CDI spec.config.gantry.namespaceSourcePolicies{}.allow  array",
    "CDI spec.config.gantry.namespaceSourcePolicies{}.allow[]  string format='cidr'",
    "CDI spec.config.gantry.namespaceSourcePolicies{}.deny  array",
    "CDI spec.config.gantry.namespaceSourcePolicies{}.denyPrivate  boolean",
    "CDI spec.config.gantry.namespaceSourcePolicies{}.deny[]  string format='cidr'",
    "CDI spec.config.gantry.sourcePolicy  object",
    "CDI spec.config.gantry.sourcePolicy.allow  array",
    "CDI spec.config.gantry.sourcePolicy.allow[]  string format='cidr'",
    "CDI spec.config.gantry.sourcePolicy.deny  array",
    "CDI spec.config.gantry.sourcePolicy.denyPrivate  boolean",
    "CDI spec.config.gantry.sourcePolicy.deny[]  string format='cidr'",
    "CDIConfig spec.gantry  object",
    "CDIConfig spec.gantry.namespaceSourcePolicies  object",
    "CDIConfig spec.gantry.namespaceSourcePolicies{}  object",
    "CDIConfig spec.gantry.namespaceSourcePolicies{}.allow  array",
    "CDIConfig spec.gantry.namespaceSourcePolicies{}.allow[]  string format='cidr'",
    "CDIConfig spec.gantry.namespaceSourcePolicies{}.deny  array",
    "CDIConfig spec.gantry.namespaceSourcePolicies{}.denyPrivate  boolean",
    "CDIConfig spec.gantry.namespaceSourcePolicies{}.deny[]  string format='cidr'",
    "CDIConfig spec.gantry.sourcePolicy  object",
    "CDIConfig spec.gantry.sourcePolicy.allow  array",
    "CDIConfig spec.gantry.sourcePolicy.allow[]  string format='cidr'",
    "CDIConfig spec.gantry.sourcePolicy.deny  array",
    "CDIConfig spec.gantry.sourcePolicy.denyPrivate  boolean",
    "CDIConfig spec.gantry.sourcePolicy.deny[]  string format='cidr'",
    "DataVolume status.gantry  object",
    "DataVolume status.gantry.attempt  integer format='int64'",
    "DataVolume status.gantry.bytesDone  integer format='int64'",
    "DataVolume status.gantry.bytesPerSecond  integer format='int64'",
    "DataVolume status.gantry.bytesTotal  integer format='int64'",
    "DataVolume status.gantry.etaSeconds  integer format='int64'",
    "DataVolume status.gantry.fingerprint  string",
    "DataVolume status.gantry.lastError  object",
    "DataVolume status.gantry.lastError.cause  string required",
    "DataVolume status.gantry.lastError.code  string required",
    "DataVolume status.gantry.lastError.remedy  string required",
    "DataVolume status.gantry.lastError.retried  boolean required",
    "DataVolume status.gantry.lastError.time  string format='date-time'",
    "DataVolume status.gantry.step  string",
];

/// A template's status is a DataVolume's.
const TEMPLATE: (&str, &str) = ("DataVolume status.", "DataImportCron spec.template.status.");

#[test]
fn every_kind_has_the_structure_of_the_facts_and_only_listed_additions() {
    let additions: BTreeSet<String> = ADDITIONS
        .iter()
        .flat_map(|line| {
            [Some((*line).to_owned()), line.strip_prefix(TEMPLATE.0).map(|rest| TEMPLATE.1.to_owned() + rest)]
        })
        .flatten()
        .collect();
    let (facts, own) = (facts(), own());
    assert_eq!(facts.keys().collect::<Vec<_>>(), own.keys().collect::<Vec<_>>(), "kinds");
    let mut faults = Vec::new();
    let mut added = BTreeSet::new();
    for (kind, expected) in &facts {
        let found = &own[kind];
        faults.extend(expected.difference(found).map(|line| format!("missing {kind} {line}")));
        for line in found.difference(expected).map(|line| format!("{kind} {line}")) {
            if !additions.contains(&line) {
                faults.push(format!("surplus {line}"));
            }
            added.insert(line);
        }
    }
    faults.extend(additions.difference(&added).map(|line| format!("listed and absent {line}")));
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

#[test]
fn every_addition_is_in_the_page_of_extensions() {
    for line in ADDITIONS {
        let path = line.split_whitespace().nth(1).unwrap().trim_end_matches("[]");
        let path = path.strip_prefix("spec.config.").map_or_else(|| path.to_owned(), |rest| format!("spec.{rest}"));
        assert!(EXTENSIONS.contains(&format!("`{path}`")), "{path}");
    }
}

#[test]
fn names_scopes_versions_and_columns_are_those_of_the_facts() {
    let headers: Vec<&str> =
        FACTS.lines().filter(|line| line.starts_with("## ") || line.starts_with("# version ")).collect();
    let own: Vec<String> = api::crds().iter().flat_map(|crd| header(&json!(crd))).collect();
    let sorted = |mut lines: Vec<String>| {
        lines.sort();
        lines
    };
    assert_eq!(sorted(headers.iter().map(|line| (*line).to_owned()).collect()), sorted(own));
}

#[test]
fn an_older_version_has_the_shape_of_the_newer() {
    let crd = api::crds().into_iter().find(|crd| crd.spec.names.kind == "CDI").unwrap();
    let versions: Vec<_> = crd.spec.versions.iter().map(|version| (version.name.as_str(), version.storage)).collect();
    assert_eq!(versions, [("v1alpha1", false), ("v1beta1", true)]);
    assert_eq!(json!(crd.spec.versions[0].schema), json!(crd.spec.versions[1].schema));
}

#[test]
fn structures_of_kubernetes_that_the_facts_only_name_are_whole() {
    let (data_volume, cdi) = (schema("DataVolume"), schema("CDI"));
    let at = |schema: &Value, path: &str| schema.pointer(path).cloned().unwrap_or_default();
    let selector = at(&data_volume, "/properties/spec/properties/storage/properties/selector");
    assert_eq!(shape(&selector), upstream::<LabelSelector>());
    // Appliers replace a selector as a whole.
    assert_eq!(selector["x-kubernetes-map-type"], "atomic");
    assert_eq!(selector["properties"]["matchExpressions"]["x-kubernetes-list-type"], "atomic");
    // Labels of a template are not pruned.
    let template = at(&schema("DataImportCron"), "/properties/spec/properties/template/properties/metadata");
    assert_eq!(template["type"], "object");
    assert_eq!(template["x-kubernetes-preserve-unknown-fields"], true);
    for part in ["infra", "workload"] {
        let place = at(&cdi, &format!("/properties/spec/properties/{part}/properties"));
        assert_eq!(shape(&place["affinity"]), upstream::<Affinity>(), "{part}");
        assert_eq!(shape(&place["tolerations"]["items"]), upstream::<Toleration>(), "{part}");
    }
}

#[test]
fn every_schema_is_structural() {
    const KNOWN: &[&str] = &[
        "additionalProperties",
        "anyOf",
        "default",
        "description",
        "enum",
        "format",
        "items",
        "maxItems",
        "minLength",
        "nullable",
        "pattern",
        "properties",
        "required",
        "type",
        "x-kubernetes-int-or-string",
        "x-kubernetes-list-map-keys",
        "x-kubernetes-list-type",
        "x-kubernetes-map-type",
        "x-kubernetes-preserve-unknown-fields",
        "x-kubernetes-validations",
    ];
    every_node(|path, node| {
        let object = node.as_object().unwrap();
        for key in object.keys() {
            assert!(KNOWN.contains(&key.as_str()), "{path}: {key}");
        }
        let any_type = node["x-kubernetes-int-or-string"] == true;
        assert_ne!(node["type"].is_string(), any_type, "{path}: a type, or a number or text");
        assert_eq!(object.contains_key("anyOf"), any_type, "{path}: anyOf");
        assert!(!(object.contains_key("properties") && object.contains_key("additionalProperties")), "{path}");
        assert!(
            ["", "cidr", "int32", "int64", "date-time"].contains(&node["format"].as_str().unwrap_or_default()),
            "{path}"
        );
        assert_eq!(object.contains_key("items"), node["type"] == "array", "{path}: items");
        for name in node["required"].as_array().into_iter().flatten().filter_map(Value::as_str) {
            assert!(node["properties"].get(name).is_some(), "{path}: {name} is required and unknown");
        }
        assert!(!node["enum"].as_array().is_some_and(|words| words.contains(&Value::Null)), "{path}: null in an enum");
    });
}

#[test]
fn every_field_is_explained_in_words_that_are_ours() {
    every_node(|path, node| {
        let words = node["description"].as_str().unwrap_or_default();
        if !path.ends_with("[]") && !path.ends_with("{}") && !path.ends_with("metadata") {
            assert!(words.ends_with('.') || words.ends_with('`'), "{path}: {words:?}");
        }
        assert!(!words.contains("kubernetes.io/docs"), "{path}: {words}");
    });
}

/// The lines of each kind, as the facts have them.
fn facts() -> BTreeMap<String, BTreeSet<String>> {
    let mut all: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    let mut kind = String::new();
    for line in FACTS.lines() {
        if let Some(rest) = line.strip_prefix("## ") {
            kind = rest.split(' ').next().unwrap().to_owned();
            all.entry(kind.clone()).or_default();
        } else if line.contains("  ") && !line.starts_with('#') {
            all.get_mut(&kind).unwrap().insert(line.to_owned());
        }
    }
    all
}

fn own() -> BTreeMap<String, BTreeSet<String>> {
    let kinds = api::crds().into_iter().map(|crd| crd.spec.names.kind);
    let flat = |kind: String| {
        let mut lines = BTreeSet::new();
        let schema = schema(&kind);
        for part in ["spec", "status"].into_iter().filter(|part| schema["properties"].get(part).is_some()) {
            flatten(&mut lines, part, &schema["properties"][part], is_required(&schema, part));
        }
        (kind, lines)
    };
    kinds.map(flat).collect()
}

/// The schema of the version that is stored.
fn schema(kind: &str) -> Value {
    let crd = api::crds().into_iter().find(|crd| crd.spec.names.kind == kind).unwrap();
    let version = crd.spec.versions.into_iter().find(|version| version.storage).unwrap();
    json!(version.schema.unwrap().open_api_v3_schema)
}

fn is_required(parent: &Value, name: &str) -> bool {
    parent["required"].as_array().is_some_and(|names| names.contains(&json!(name)))
}

fn flatten(lines: &mut BTreeSet<String>, path: &str, node: &Value, required: bool) {
    if let Some(name) = named(path) {
        lines.insert(format!("{path}  {name}"));
        return;
    }
    lines.insert(format!("{path}  {}{}", kind(node), attributes(node, required)));
    for (name, property) in node["properties"].as_object().into_iter().flatten() {
        flatten(lines, &format!("{path}.{name}"), property, is_required(node, name));
    }
    for (mark, key) in [("[]", "items"), ("{}", "additionalProperties")] {
        if node[key].is_object() {
            flatten(lines, &format!("{path}{mark}"), &node[key], false);
        }
    }
}

/// What the facts only name; compared as a whole elsewhere.
fn named(path: &str) -> Option<&'static str> {
    match path.rsplit('.').next() {
        Some("affinity") => Some("= core/v1 Affinity"),
        Some("tolerations") => Some("= core/v1 Toleration list"),
        Some("selector") => Some("= meta/v1 LabelSelector"),
        Some("metadata") => Some("= metadata (object; preserve-unknown inside templates)"),
        _ => None,
    }
}

fn kind(node: &Value) -> &str {
    if node["x-kubernetes-int-or-string"] == true { "int-or-string" } else { node["type"].as_str().unwrap_or("?") }
}

fn attributes(node: &Value, required: bool) -> String {
    let mut text = String::new();
    if required {
        text += " required";
    }
    let quoted = |value: &Value| format!("'{}'", value.as_str().unwrap_or("?").replace('\\', r"\\"));
    let words = |value: &Value, between: &str| {
        value.as_array().unwrap().iter().filter_map(Value::as_str).collect::<Vec<_>>().join(between)
    };
    for (key, value) in node.as_object().unwrap() {
        text += &match key.as_str() {
            "enum" => format!(" enum={}", words(value, "|")),
            "format" | "pattern" | "default" => format!(" {key}={}", quoted(value)),
            "minLength" | "maxItems" => format!(" {key}={value}"),
            "nullable" => " nullable".to_owned(),
            "x-kubernetes-map-type" => format!(" map-type={}", value.as_str().unwrap()),
            _ => String::new(),
        };
    }
    match node["x-kubernetes-list-type"].as_str() {
        Some("map") => text += &format!(" list-type=map({})", words(&node["x-kubernetes-list-map-keys"], ",")),
        Some(other) => text += &format!(" list-type={other}"),
        None => {}
    }
    if node["anyOf"].is_array() {
        text += " anyOf/oneOf";
    }
    for rule in node["x-kubernetes-validations"].as_array().into_iter().flatten() {
        text += &format!(" rule: {}", rule["rule"].as_str().unwrap());
    }
    text
}

/// The lines above the fields of a kind.
fn header(crd: &Value) -> Vec<String> {
    let (name, spec) = (crd["metadata"]["name"].as_str().unwrap(), &crd["spec"]);
    let list =
        |value: &Value| value.as_array().into_iter().flatten().filter_map(Value::as_str).collect::<Vec<_>>().join(",");
    let names = &spec["names"];
    let (short, categories) = (list(&names["shortNames"]), list(&names["categories"]));
    let (kind, scope) = (names["kind"].as_str().unwrap(), spec["scope"].as_str().unwrap());
    let mut lines = vec![format!("## {kind} ({name}) scope={scope} short={short} categories={categories}")];
    for version in spec["versions"].as_array().unwrap() {
        let word = |key: &str| if version[key] == true { "True" } else { "False" };
        let subresources = if version["subresources"]["status"].is_object() { "['status']" } else { "[]" };
        let columns = version["additionalPrinterColumns"].as_array().into_iter().flatten();
        let columns = columns
            .map(|column| ["name", "type", "jsonPath"].map(|key| column[key].as_str().unwrap().to_owned()).join(":"));
        lines.push(format!(
            "# version {} served={} storage={} subresources={subresources} columns={}",
            version["name"].as_str().unwrap(),
            word("served"),
            word("storage"),
            columns.collect::<Vec<_>>().join("; ")
        ));
    }
    lines
}

/// The structure of a type as k8s-openapi has it.
fn upstream<T: JsonSchema>() -> Value {
    let settings = SchemaSettings::draft2020_12().with(|settings| settings.inline_subschemas = true);
    shape(&settings.into_generator().into_root_schema_for::<T>().to_value())
}

/// Types, formats, required fields and nothing else.
fn shape(node: &Value) -> Value {
    let mut result = json!({"type": node["type"], "format": node["format"]});
    let mut required: Vec<&str> = node["required"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    required.sort_unstable();
    result["required"] = json!(required);
    for key in ["items", "additionalProperties"] {
        if node[key].is_object() {
            result[key] = shape(&node[key]);
        }
    }
    for (name, property) in node["properties"].as_object().into_iter().flatten() {
        result["properties"][name] = shape(property);
    }
    result
}

fn every_node(look: impl Fn(&str, &Value)) {
    fn walk(look: &impl Fn(&str, &Value), path: &str, node: &Value) {
        look(path, node);
        for (name, property) in node["properties"].as_object().into_iter().flatten() {
            walk(look, &format!("{path}.{name}"), property);
        }
        for (mark, key) in [("[]", "items"), ("{}", "additionalProperties")] {
            if node[key].is_object() {
                walk(look, &format!("{path}{mark}"), &node[key]);
            }
        }
    }
    for crd in api::crds() {
        for version in crd.spec.versions {
            let root = json!(version.schema.unwrap().open_api_v3_schema);
            walk(&look, &crd.spec.names.kind, &root);
        }
    }
}
