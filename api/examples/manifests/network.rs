//! What may talk to what.

use api::{NAMESPACE, label};
use contract::pod::METRICS_PORT;
use serde_json::{Value, json};

use crate::workloads::{PORT, labels};

/// In the product's namespace: whoever asks the webhooks, and whoever scrapes; the API server has no address one could name.
pub(crate) fn of_product() -> Vec<Value> {
    let open = json!([{"ports": [{"protocol": "TCP", "port": PORT}]}]);
    let pods = [
        ("cdi-allow-cdi-api-webhook-server", json!({label::COMPONENT: label::COMPONENT_APISERVER})),
        ("cdi-allow-ingress-to-metrics", json!({label::PROMETHEUS: "true"})),
    ];
    let policy = |(name, selector)| {
        json!({
            "apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy",
            "metadata": {"name": name, "namespace": NAMESPACE, "labels": labels("")},
            "spec": {"podSelector": {"matchLabels": selector}, "policyTypes": ["Ingress"], "ingress": open},
        })
    };
    pods.into_iter().map(policy).collect()
}

/// In a namespace of users: the controller asks importers how far they are, and importers fetch images.
pub(crate) fn of_users() -> Vec<Value> {
    let controller = json!({
        "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": NAMESPACE}},
        "podSelector": {"matchLabels": {label::COMPONENT: label::COMPONENT_CONTROLLER}},
    });
    let dns = json!([{"protocol": "UDP", "port": 53}, {"protocol": "TCP", "port": 53}]);
    // Not the addresses under which clouds give their machines credentials.
    let sources = json!([
        {"ipBlock": {"cidr": "0.0.0.0/0", "except": ["169.254.0.0/16"]}},
        {"ipBlock": {"cidr": "::/0", "except": ["fe80::/10"]}},
    ]);
    vec![json!({
        "apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy",
        "metadata": {"name": "cdi-allow-importer", "labels": labels("")},
        "spec": {
            "podSelector": {"matchLabels": {label::COMPONENT: label::COMPONENT_IMPORTER}},
            "policyTypes": ["Ingress", "Egress"],
            "ingress": [{"from": [controller], "ports": [{"protocol": "TCP", "port": METRICS_PORT}]}],
            "egress": [{"ports": dns}, {"to": sources}],
        },
    })]
}
