//! The namespace, the Deployments and what belongs to each.

use api::{NAMESPACE, label};
use serde_json::{Value, json};

/// The one image of the product.
pub(crate) const IMAGE: &str = concat!("gantry.dev/gantry:", env!("CARGO_PKG_VERSION"));

/// User of the control plane's processes.
const USER: u32 = 1001;

/// Port of both programs.
pub(crate) const PORT: u16 = 8443;

/// A program of the control plane.
struct Program {
    name: &'static str,
    binary: &'static str,
    account: &'static str,
    /// Name of its port.
    port: &'static str,
    environment: Value,
    /// Secret with its certificate, which the controller makes; the pod waits for it.
    certificate: Option<&'static str>,
}

/// Where the certificate's Secret is seen.
const CERTIFICATES: &str = "/var/run/certs";

/// The product's namespace. Nothing in it needs more than the strictest level of Pod Security.
pub(crate) fn home() -> Value {
    let mut labels = labels("");
    for mode in ["enforce", "audit", "warn"] {
        labels[format!("pod-security.kubernetes.io/{mode}")] = json!("restricted");
    }
    json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE, "labels": labels}})
}

/// Services, Deployments and disruption budgets.
pub(crate) fn objects() -> Vec<Value> {
    let controller = Program {
        name: label::COMPONENT_CONTROLLER,
        binary: "cdi-controller",
        account: api::rights::CONTROLLER.name,
        port: "metrics",
        environment: json!([
            {"name": "IMPORTER_IMAGE", "value": IMAGE},
            {"name": "IMPORTER_COMMAND", "value": "/usr/bin/cdi-importer"},
            {"name": "PULL_POLICY", "value": "IfNotPresent"},
            {"name": "METRICS_ADDRESS", "value": format!("0.0.0.0:{PORT}")},
            from_field("CDI_NAMESPACE", "metadata.namespace"),
            from_field("POD_NAME", "metadata.name"),
        ]),
        certificate: None,
    };
    let apiserver = Program {
        name: label::COMPONENT_APISERVER,
        binary: "cdi-apiserver",
        account: api::rights::APISERVER.name,
        port: "https",
        environment: json!([{"name": "LISTEN", "value": format!("0.0.0.0:{PORT}")}]),
        certificate: Some("cdi-apiserver-server-cert"),
    };
    vec![
        service("cdi-api", 443, "https", &json!({label::COMPONENT: label::COMPONENT_APISERVER})),
        metrics_service(),
        deployment(&controller),
        deployment(&apiserver),
        budget(controller.name),
        budget(apiserver.name),
    ]
}

/// Labels of an object of the product.
pub(crate) fn labels(component: &str) -> Value {
    json!({
        label::APP: label::APP_VALUE,
        label::COMPONENT: component,
        label::KUBERNETES_COMPONENT: label::KUBERNETES_COMPONENT_STORAGE,
    })
}

fn metadata(name: &str, component: &str) -> Value {
    json!({"name": name, "namespace": NAMESPACE, "labels": labels(component)})
}

fn from_field(name: &str, path: &str) -> Value {
    json!({"name": name, "valueFrom": {"fieldRef": {"fieldPath": path}}})
}

fn service(name: &str, port: u16, target: &str, selector: &Value) -> Value {
    json!({
        "apiVersion": "v1", "kind": "Service", "metadata": metadata(name, ""),
        "spec": {"selector": selector, "ports": [{"name": target, "port": port, "targetPort": target, "protocol": "TCP"}]},
    })
}

/// What a ServiceMonitor for CDI looks for.
fn metrics_service() -> Value {
    let mut service = service("cdi-prometheus-metrics", PORT, "metrics", &json!({label::PROMETHEUS: "true"}));
    service["metadata"]["labels"][label::PROMETHEUS] = json!("true");
    service
}

fn budget(name: &str) -> Value {
    json!({
        "apiVersion": "policy/v1", "kind": "PodDisruptionBudget", "metadata": metadata(name, name),
        "spec": {
            "maxUnavailable": 1,
            // A replica that does not work protects nothing, and must not hold up the drain of its node.
            "unhealthyPodEvictionPolicy": "AlwaysAllow",
            "selector": {"matchLabels": {label::COMPONENT: name}},
        },
    })
}

fn deployment(program: &Program) -> Value {
    let selector = json!({"matchLabels": {label::COMPONENT: program.name}});
    let mut labels = labels(program.name);
    if program.port == "metrics" {
        labels[label::PROMETHEUS] = json!("true");
    }
    let mut deployment = json!({
        "apiVersion": "apps/v1", "kind": "Deployment", "metadata": metadata(program.name, program.name),
        "spec": {
            "replicas": 2,
            "selector": selector,
            "template": {
                "metadata": {"labels": labels},
                "spec": {
                    "serviceAccountName": program.account,
                    "enableServiceLinks": false,
                    "nodeSelector": {"kubernetes.io/os": "linux"},
                    "tolerations": [{"key": "CriticalAddonsOnly", "operator": "Exists"}],
                    "topologySpreadConstraints": [{
                        "maxSkew": 1, "topologyKey": "kubernetes.io/hostname", "whenUnsatisfiable": "ScheduleAnyway",
                        "labelSelector": selector, "matchLabelKeys": ["pod-template-hash"],
                    }],
                    "securityContext": {
                        "runAsNonRoot": true, "runAsUser": USER, "runAsGroup": USER,
                        "seccompProfile": {"type": "RuntimeDefault"},
                    },
                    "containers": [container(program)],
                },
            },
        },
    });
    if let Some(secret) = program.certificate {
        let pod = &mut deployment["spec"]["template"]["spec"];
        pod["volumes"] = json!([{"name": secret, "secret": {"secretName": secret}}]);
        pod["containers"][0]["volumeMounts"] =
            json!([{"name": secret, "mountPath": format!("{CERTIFICATES}/{secret}"), "readOnly": true}]);
        // Nobody may call a webhook that is on its way out: endpoints follow a moment later than the pod's end.
        pod["containers"][0]["lifecycle"] = json!({"preStop": {"sleep": {"seconds": 5}}});
    }
    deployment
}

fn container(program: &Program) -> Value {
    json!({
        "name": program.name,
        "image": IMAGE,
        "imagePullPolicy": "IfNotPresent",
        "command": [format!("/usr/bin/{}", program.binary)],
        "env": program.environment,
        "ports": [{"name": program.port, "containerPort": PORT, "protocol": "TCP"}],
        "readinessProbe": probe(program, "/readyz", 5),
        "livenessProbe": probe(program, "/healthz", 20),
        // Memory grows with the number of DataVolumes; a limit would end the controller where it is needed most.
        "resources": {"requests": {"cpu": "10m", "memory": "64Mi"}},
        "securityContext": {
            "allowPrivilegeEscalation": false, "readOnlyRootFilesystem": true, "capabilities": {"drop": ["ALL"]},
        },
        "terminationMessagePolicy": "FallbackToLogsOnError",
    })
}

fn probe(program: &Program, path: &str, period: u16) -> Value {
    json!({
        "httpGet": {"path": path, "port": program.port, "scheme": "HTTPS"},
        "periodSeconds": period,
        "timeoutSeconds": 5,
    })
}
