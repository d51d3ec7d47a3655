//! Small graphs; `tests/tests/sbom.rs` holds the real one against the schema.

use super::*;

fn id(name: &str) -> Id {
    (name.to_owned(), "1.0.0+x".to_owned())
}

fn package(name: &str, dependencies: &Value) -> Value {
    json!({
        "id": format!("id of {name}"), "name": name, "version": "1.0.0+x", "license": "MIT/Apache-2.0", "source": "registry",
        "repository": "https://h/r", "manifest_path": "/nowhere/Cargo.toml", "dependencies": dependencies,
    })
}

fn graph() -> Value {
    let mut own = package("gantry", &json!([]));
    own["source"] = Value::Null;
    let deps = |kind: Value| json!([{ "pkg": "id of a", "dep_kinds": [{ "kind": kind }] }]);
    json!({
        "packages": [own, package("a", &json!([])), package("unlinked", &json!([]))],
        "resolve": { "nodes": [
            { "id": "id of gantry", "deps": deps(Value::Null) },
            { "id": "id of a", "deps": deps("build".into()) },
        ] },
    })
}

#[test]
fn a_component_has_its_checksum_licence_and_needs() {
    let linked = [id("gantry"), id("a")].into();
    let checksums = checksums(
        "[[package]]\nname = \"a\"\nversion = \"1.0.0+x\"\nchecksum = \"abc\"\n\n[[package]]\nname = \"b\"\n",
    );
    let document = document(&graph(), &linked, &checksums).unwrap();
    let components: Vec<_> = list(&document, "components").collect();
    assert_eq!(components.len(), 2);
    let a = components[0];
    assert_eq!((text(a, "purl"), text(&a["hashes"][0], "content")), ("pkg:cargo/a@1.0.0%2Bx", "abc"));
    assert_eq!(a["licenses"][0]["expression"], "MIT OR Apache-2.0");
    assert!(components[1]["purl"].is_null() && components[1]["hashes"].is_null());
    let needs =
        |of: &str| list(&document, "dependencies").find(|entry| entry["ref"] == of).unwrap()["dependsOn"].clone();
    assert_eq!(needs("gantry/gantry@1.0.0+x"), json!(["pkg:cargo/a@1.0.0%2Bx"]));
    assert_eq!(needs("pkg:cargo/a@1.0.0%2Bx"), json!([]));
}

#[test]
fn what_is_not_known_is_not_left_out() {
    let without_checksum = document(&graph(), &[id("gantry"), id("a")].into(), &BTreeMap::new()).unwrap_err();
    assert!(without_checksum.to_string().contains("no checksum of a"), "{without_checksum}");
    let missing = document(&graph(), &[id("b")].into(), &BTreeMap::new()).unwrap_err();
    assert!(missing.to_string().contains("no b"), "{missing}");
    let compiling = json!([{ "name": "cc", "kind": "build", "optional": false }]);
    let unknown = bundled::of(&package("new-sys", &compiling)).unwrap_err();
    assert!(unknown.to_string().contains("new-sys compiles C"), "{unknown}");
    let optional = json!([{ "name": "cc", "kind": "build", "optional": true }]);
    assert!(bundled::of(&package("new-sys", &optional)).unwrap().is_none());
}
