//! A cluster that is made up, and requests to judge in it.

mod https;
mod webhooks;

use std::sync::Arc;

use api::cdi::{CdiConfig, StorageProfile};
use api::volume::Volume;
use k8s_openapi::api::core::v1::PersistentVolumeClaim;
use k8s_openapi::api::storage::v1::StorageClass;
use serde_json::{Value, json};
use tokio::sync::Semaphore;

use super::*;
use crate::admission::Count;

/// What the cluster holds.
#[derive(Default)]
struct Made {
    not_ready: bool,
    claim: Option<PersistentVolumeClaim>,
    volumes: Vec<Volume>,
    storage: Storage,
    count: Count,
    unreadable: bool,
    /// Claims are read only as far as this allows.
    hold: Option<Arc<Semaphore>>,
}

impl Made {
    fn read<T>(&self, what: &str, answer: T) -> Result<T, Unread> {
        if self.unreadable { Err(Unread { what: what.to_owned(), why: "it is broken".to_owned() }) } else { Ok(answer) }
    }
}

impl Facts for Made {
    fn is_ready(&self) -> bool {
        !self.not_ready
    }

    fn storage(&self) -> Result<Storage, Unread> {
        self.read("caches", self.storage.clone())
    }

    async fn claim(&self, _namespace: &str, _name: &str) -> Result<Option<PersistentVolumeClaim>, Unread> {
        if let Some(hold) = &self.hold {
            hold.acquire().await.expect("never closed").forget();
        }
        self.read("claim", self.claim.clone())
    }

    async fn volumes(&self) -> Result<Vec<Volume>, Unread> {
        self.read("volumes", self.volumes.clone())
    }

    async fn count(&self, _objects: &Objects) -> Result<Count, Unread> {
        self.read("objects", self.count)
    }
}

/// A class that is the default, its profile and a configuration.
fn storage(gates: &str) -> Storage {
    let class =
        "{metadata: {name: fast, annotations: {storageclass.kubernetes.io/is-default-class: 'true'}}, provisioner: p}";
    let profile = "{apiVersion: cdi.kubevirt.io/v1beta1, kind: StorageProfile, metadata: {name: fast}, spec: {},
        status: {claimPropertySets: [{accessModes: [ReadWriteOnce], volumeMode: Filesystem}]}}";
    let config = format!(
        "{{apiVersion: cdi.kubevirt.io/v1beta1, kind: CDIConfig, metadata: {{name: config}}, spec: {{featureGates: {gates}}},
          status: {{filesystemOverhead: {{global: '0.5'}}}}}}"
    );
    Storage {
        classes: vec![Arc::new(serde_saphyr::from_str::<StorageClass>(class).unwrap())],
        profiles: vec![Arc::new(serde_saphyr::from_str::<StorageProfile>(profile).unwrap())],
        config: Some(Arc::new(serde_saphyr::from_str::<CdiConfig>(&config).unwrap())),
    }
}

/// An AdmissionReview as the API server posts it.
fn review(operation: &str, kind: &str, object: Option<&str>, old: Option<&str>) -> Value {
    let (group, version) = match kind {
        "PersistentVolumeClaim" => ("", "v1"),
        "CustomResourceDefinition" => ("apiextensions.k8s.io", "v1"),
        "OvirtVolumePopulator" | "OpenstackVolumePopulator" => ("forklift.cdi.kubevirt.io", "v1beta1"),
        _ => ("cdi.kubevirt.io", "v1beta1"),
    };
    let api_version = if group.is_empty() { version.to_owned() } else { format!("{group}/{version}") };
    let full = |text: Option<&str>| {
        text.map(|text| {
            let mut object: Value = serde_saphyr::from_str(text).unwrap_or_else(|error| panic!("{text}: {error}"));
            object["apiVersion"] = json!(api_version);
            object["kind"] = json!(kind);
            object["metadata"]["name"] = json!("a");
            object["metadata"]["namespace"] = json!("ns");
            object
        })
    };
    json!({
        "apiVersion": "admission.k8s.io/v1",
        "kind": "AdmissionReview",
        "request": {
            "uid": "0c9a8d74",
            "kind": { "group": group, "version": version, "kind": kind },
            "resource": { "group": group, "version": version, "resource": format!("{}s", kind.to_lowercase()) },
            "name": "a",
            "namespace": "ns",
            "operation": operation,
            "userInfo": { "username": "somebody" },
            "object": full(object),
            "oldObject": full(old),
            "dryRun": false,
        }
    })
}

const BLANK: &str =
    "{spec: {source: {blank: {}}, pvc: {accessModes: [ReadWriteOnce], resources: {requests: {storage: 1Gi}}}}}";
const S3: &str = "{spec: {source: {s3: {url: 'https://a/b'}}, pvc: {accessModes: [ReadWriteOnce], resources: {requests: {storage: 1Gi}}}}}";
