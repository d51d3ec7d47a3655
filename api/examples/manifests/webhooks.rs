//! Which requests the API server asks about (cdi.md §7.1), and about what.
//!
//! No certificate authority is in them: the controller puts it there, and what a manifest does not name, applying it again
//! does not take away.

use api::{NAMESPACE, cdi, forklift, label};
use serde_json::{Value, json};

use crate::workloads::labels;

/// Kinds that have a definition and no controller yet, by group.
pub(crate) const UNSERVED: &[(&str, &[&str])] = &[
    (cdi::GROUP, &["dataimportcrons", "datasources", "objecttransfers", "volumeclonesources", "volumeuploadsources"]),
    (forklift::GROUP, &["openstackvolumepopulators", "ovirtvolumepopulators"]),
];

/// Seconds that the API server waits for an answer.
const PATIENCE: u8 = 30;
/// The same for claims, where all users wait.
const PATIENCE_FOR_CLAIMS: u8 = 10;

/// One configuration with one webhook.
struct Webhook {
    configuration: &'static str,
    path: &'static str,
    rules: Value,
    timeout: u8,
    /// Further fields of the webhook.
    more: Value,
}

/// The configurations, validating ones first.
pub(crate) fn objects() -> Vec<Value> {
    let validating = [
        about_kinds("cdi-api-datavolume-validate", "/datavolume-validate", &["datavolumes"]),
        about_kinds("cdi-api-dataimportcron-validate", "/dataimportcron-validate", &["dataimportcrons"]),
        about_kinds(
            "cdi-api-populator-validate",
            "/populator-validate",
            &["volumeimportsources", "volumeuploadsources"],
        ),
        about_kinds("objecttransfer-api-validate", "/objecttransfer-validate", &["objecttransfers"]),
        about_cdis(),
        about_unserved(),
        about_definitions(),
    ];
    let mutating = [about_kinds("cdi-api-datavolume-mutate", "/datavolume-mutate", &["datavolumes"]), about_claims()];
    let validating = validating.iter().map(|webhook| configuration("ValidatingWebhookConfiguration", webhook));
    let mutating = mutating.iter().map(|webhook| configuration("MutatingWebhookConfiguration", webhook));
    validating.chain(mutating).collect()
}

fn about_kinds(configuration: &'static str, path: &'static str, plurals: &[&str]) -> Webhook {
    let rules = json!([rule(cdi::GROUP, cdi::VERSION, plurals, &["CREATE", "UPDATE"])]);
    Webhook { configuration, path, rules, timeout: PATIENCE, more: json!({}) }
}

/// Whether the product may go while there are DataVolumes, and what of its specification has no effect. CDI lets it go when nobody answers, which defeats the purpose.
fn about_cdis() -> Webhook {
    Webhook {
        configuration: "cdi-api-validate",
        path: "/cdi-validate",
        rules: json!([rule(cdi::GROUP, cdi::VERSION, &["cdis"], &["CREATE", "UPDATE", "DELETE"])]),
        timeout: PATIENCE,
        more: json!({}),
    }
}

/// Nothing is accepted and ignored.
fn about_unserved() -> Webhook {
    let rules = UNSERVED.iter().map(|(group, plurals)| rule(group, cdi::VERSION, plurals, &["CREATE"]));
    Webhook {
        configuration: "cdi-api-unserved-validate",
        path: "/unserved-validate",
        rules: rules.collect(),
        timeout: PATIENCE,
        more: json!({}),
    }
}

/// Deleting a definition deletes its objects. The object is looked at, not the request: it has no name when all are deleted.
fn about_definitions() -> Webhook {
    let group = cdi::GROUP;
    Webhook {
        configuration: "cdi-api-crd-guard",
        path: "/crd-validate",
        rules: json!([rule("apiextensions.k8s.io", "v1", &["customresourcedefinitions"], &["DELETE"])]),
        timeout: PATIENCE,
        more: json!({"matchConditions": [{
            "name": "a-kind-of-the-product",
            "expression": format!("oldObject.spec.group == '{group}' || oldObject.spec.group.endsWith('.{group}')"),
        }]}),
    }
}

/// Claims that ask to be completed from their StorageProfile.
fn about_claims() -> Webhook {
    Webhook {
        configuration: "cdi-api-pvc-mutate",
        path: "/pvc-mutate",
        rules: json!([rule("", "v1", &["persistentvolumeclaims"], &["CREATE"])]),
        timeout: PATIENCE_FOR_CLAIMS,
        more: json!({"objectSelector": {"matchLabels": {label::APPLY_STORAGE_PROFILE: "true"}}}),
    }
}

fn rule(group: &str, version: &str, resources: &[&str], operations: &[&str]) -> Value {
    json!({
        "apiGroups": [group], "apiVersions": [version], "resources": resources, "operations": operations, "scope": "*",
    })
}

fn configuration(kind: &str, webhook: &Webhook) -> Value {
    let mut body = json!({
        "name": format!("{}.{}", webhook.path.trim_start_matches('/'), cdi::GROUP),
        "clientConfig": {"service": {"namespace": NAMESPACE, "name": "cdi-api", "path": webhook.path, "port": 443}},
        "rules": webhook.rules,
        "timeoutSeconds": webhook.timeout,
        "failurePolicy": "Fail",
        "matchPolicy": "Equivalent",
        "sideEffects": "None",
        "admissionReviewVersions": ["v1"],
    });
    for (key, value) in webhook.more.as_object().into_iter().flatten() {
        body[key] = value.clone();
    }
    json!({
        "apiVersion": "admissionregistration.k8s.io/v1", "kind": kind,
        "metadata": {"name": webhook.configuration, "labels": labels("")},
        "webhooks": [body],
    })
}
