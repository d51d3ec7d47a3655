//! Objects for tests, from short YAML.

use api::volume::Volume;
use k8s_openapi::api::core::v1::{PersistentVolumeClaim, Pod};
use k8s_openapi::api::storage::v1::StorageClass;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use crate::settings::Settings;
use reconcile::LogFormat;

/// An object from YAML.
pub(crate) fn yaml<T: DeserializeOwned>(text: &str) -> T {
    let value: Value = serde_saphyr::from_str(text).unwrap();
    serde_json::from_value(value).unwrap()
}

pub(crate) fn settings() -> Settings {
    Settings {
        importer_image: "image:1".into(),
        importer_command: None,
        pull_policy: "IfNotPresent".into(),
        namespace: "cdi".into(),
        identity: "one".into(),
        part_of: None,
        version: None,
        metrics_address: ([127, 0, 0, 1], 0).into(),
        log_level: tracing::Level::INFO,
        log_format: LogFormat::Text,
    }
}

/// A claim of 1 GiB called `name`, uid `uid-of-NAME`, in this phase.
pub(crate) fn claim(name: &str, phase: &str, annotations: &[(&str, &str)]) -> PersistentVolumeClaim {
    let annotations: Value = annotations.iter().map(|(key, value)| ((*key).to_owned(), json!(value))).collect();
    serde_json::from_value(json!({
        "metadata": {"name": name, "namespace": "home", "uid": format!("uid-of-{name}"), "resourceVersion": "5", "annotations": annotations},
        "spec": {
            "accessModes": ["ReadWriteOnce"],
            "storageClassName": "local",
            "volumeMode": "Filesystem",
            "volumeName": if phase == "Bound" { json!(format!("volume-of-{name}")) } else { Value::Null },
            "resources": {"requests": {"storage": "1Gi"}},
        },
        "status": {"phase": phase},
    }))
    .unwrap()
}

/// A volume of 1 GiB that the claim with this name has.
pub(crate) fn volume_of(claim: &str) -> Volume {
    serde_json::from_value(json!({
        "metadata": {"name": format!("volume-of-{claim}"), "uid": "uid-of-volume", "resourceVersion": "9"},
        "spec": {
            "accessModes": ["ReadWriteOnce"],
            "storageClassName": "local",
            "volumeMode": "Filesystem",
            "capacity": {"storage": "1Gi"},
            "claimRef": {"namespace": "home", "name": claim, "uid": format!("uid-of-{claim}")},
        },
    }))
    .unwrap()
}

pub(crate) fn class(binding: &str) -> StorageClass {
    serde_json::from_value(json!({
        "metadata": {"name": "local"},
        "provisioner": "csi.gantry.dev",
        "volumeBindingMode": binding,
    }))
    .unwrap()
}

/// An importer pod with this status.
pub(crate) fn pod(status: &Value) -> Pod {
    serde_json::from_value(json!({
        "metadata": {"name": "importer-disk", "namespace": "home", "uid": "uid-of-pod"},
        "spec": {"containers": []},
        "status": status,
    }))
    .unwrap()
}

/// Status of a pod whose container has this state.
pub(crate) fn container(phase: &str, restarts: i32, state: &Value, last: &Value) -> Value {
    json!({
        "phase": phase,
        "containerStatuses": [{
            "name": "importer", "image": "", "imageID": "", "ready": false, "restartCount": restarts,
            "state": state, "lastState": last,
        }],
    })
}

/// State of a container that ended.
pub(crate) fn ended(code: i32, reason: &str, message: &str) -> Value {
    json!({"terminated": {"exitCode": code, "reason": reason, "message": message}})
}
