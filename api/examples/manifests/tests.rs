//! What is generated is what Kubernetes knows, and fits together.

use std::collections::BTreeSet;

use api::rights::{MUTATING_WEBHOOKS, VALIDATING_WEBHOOKS};
use k8s_openapi::api::admissionregistration::v1::{MutatingWebhookConfiguration, ValidatingWebhookConfiguration};
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::{Namespace, Service, ServiceAccount};
use k8s_openapi::api::networking::v1::NetworkPolicy;
use k8s_openapi::api::policy::v1::PodDisruptionBudget;
use k8s_openapi::api::rbac::v1::{ClusterRole, ClusterRoleBinding, Role, RoleBinding};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use crate::{network, product, yaml};

fn through<K: DeserializeOwned + Serialize>(object: &Value) -> Value {
    json!(serde_json::from_value::<K>(object.clone()).unwrap_or_else(|error| panic!("{object}: {error}")))
}

#[test]
fn every_field_is_one_that_kubernetes_knows() {
    for object in product().iter().chain(&network::of_users()) {
        let again = match object["kind"].as_str().unwrap() {
            "Namespace" => through::<Namespace>(object),
            "ServiceAccount" => through::<ServiceAccount>(object),
            "ClusterRole" => through::<ClusterRole>(object),
            "ClusterRoleBinding" => through::<ClusterRoleBinding>(object),
            "Role" => through::<Role>(object),
            "RoleBinding" => through::<RoleBinding>(object),
            "Service" => through::<Service>(object),
            "Deployment" => through::<Deployment>(object),
            "PodDisruptionBudget" => through::<PodDisruptionBudget>(object),
            "NetworkPolicy" => through::<NetworkPolicy>(object),
            "ValidatingWebhookConfiguration" => through::<ValidatingWebhookConfiguration>(object),
            "MutatingWebhookConfiguration" => through::<MutatingWebhookConfiguration>(object),
            other => panic!("{other} is not looked at"),
        };
        assert_eq!(&again, object);
    }
}

/// The names of all objects of a kind.
fn names(kind: &str) -> BTreeSet<String> {
    let product = product();
    let of_kind = product.iter().filter(|object| object["kind"] == kind);
    of_kind.map(|object| object["metadata"]["name"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn the_controller_may_change_every_webhook_configuration() {
    let owned = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<BTreeSet<_>>();
    assert_eq!(names("ValidatingWebhookConfiguration"), owned(VALIDATING_WEBHOOKS));
    assert_eq!(names("MutatingWebhookConfiguration"), owned(MUTATING_WEBHOOKS));
}

#[test]
fn no_manifest_owns_what_the_controller_fills_in() {
    let text = json!(product()).to_string();
    assert!(!text.contains("caBundle"));
}

#[test]
fn pods_have_the_labels_that_services_budgets_and_policies_look_for() {
    let product = product();
    let pods: Vec<&Value> = product
        .iter()
        .filter(|object| object["kind"] == "Deployment")
        .map(|object| &object["spec"]["template"]["metadata"]["labels"])
        .collect();
    let mut looked = 0;
    for object in &product {
        let selector = match object["kind"].as_str().unwrap() {
            "Service" => &object["spec"]["selector"],
            "PodDisruptionBudget" | "Deployment" => &object["spec"]["selector"]["matchLabels"],
            "NetworkPolicy" => &object["spec"]["podSelector"]["matchLabels"],
            _ => continue,
        };
        let has_all = |labels: &&&Value| selector.as_object().unwrap().iter().all(|(key, value)| labels[key] == *value);
        assert_eq!(pods.iter().filter(has_all).count(), 1, "{selector}");
        looked += 1;
    }
    assert_eq!(looked, 8);
}

#[test]
fn words_that_mean_something_else_in_yaml_are_quoted() {
    let document = yaml::document(&json!({
        "list": ["a", "b, c", "", "*"],
        "kind": "true", "apiVersion": "v1", "version": "1.0", "on": null, "text": "a: b", "hash": "a #b", "path": "/usr/bin",
        "empty": {}, "none": [], "maps": [{"name": "x", "more": {"deep": [1, 2]}}, {"name": "z"}],
        "nested": {"pattern": r"^(0(?:\.\d{1,3})?|1)$"},
    }));
    let expected = r#"apiVersion: v1
kind: "true"
empty: {}
hash: "a #b"
list: [a, "b, c", "", "*"]
maps:
  - name: x
    more:
      deep: [1, 2]
  - name: z
nested:
  pattern: "^(0(?:\\.\\d{1,3})?|1)$"
none: []
"on": null
path: /usr/bin
text: "a: b"
version: "1.0"
"#;
    assert_eq!(document, expected);
}

#[test]
fn what_is_written_is_read_again_as_it_was() {
    for object in product().into_iter().chain(api::crds().iter().map(|definition| json!(definition))) {
        let document = yaml::document(&object);
        let again: Value = serde_saphyr::from_str(&document).unwrap_or_else(|error| panic!("{error}\n{document}"));
        assert!(again == object, "{document}");
    }
}
