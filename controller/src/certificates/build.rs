//! The objects that certificates are kept in.

use std::collections::BTreeMap;

use api::label;
use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::{ConfigMap, Secret};
use kube::core::ObjectMeta;
use serde_json::{Value, json};

use super::certificate::{CERTIFICATE_KEY, PRIVATE_KEY, Pair};
use super::{BUNDLE, BUNDLE_KEY, SERVICE};
use crate::settings::Settings;

/// Names that the API server is called by.
pub(crate) fn hosts(namespace: &str) -> Vec<String> {
    let within = format!("{SERVICE}.{namespace}");
    vec![format!("{within}.svc"), within.clone(), format!("{within}.svc.cluster.local"), "localhost".to_owned()]
}

/// A Secret with a certificate and its key.
pub(crate) fn secret(name: &str, settings: &Settings, pair: &Pair) -> Secret {
    let bytes = |text: &str| ByteString(text.as_bytes().to_vec());
    Secret {
        metadata: metadata(name, settings),
        type_: Some("kubernetes.io/tls".to_owned()),
        data: Some(BTreeMap::from([
            (CERTIFICATE_KEY.to_owned(), bytes(&pair.certificate.text)),
            (PRIVATE_KEY.to_owned(), bytes(&pair.key)),
        ])),
        ..Secret::default()
    }
}

/// What changes in a Secret that is there already; its kind cannot.
pub(crate) fn change(wanted: &Secret) -> Value {
    json!({"metadata": {"labels": wanted.metadata.labels}, "data": wanted.data})
}

/// The ConfigMap with the certificates to believe.
pub(crate) fn bundle(settings: &Settings, text: &str) -> ConfigMap {
    ConfigMap {
        metadata: metadata(BUNDLE, settings),
        data: Some(BTreeMap::from([(BUNDLE_KEY.to_owned(), text.to_owned())])),
        ..ConfigMap::default()
    }
}

/// What changes in a ConfigMap that is there already.
pub(crate) fn bundle_change(wanted: &ConfigMap) -> Value {
    json!({"metadata": {"labels": wanted.metadata.labels}, "data": wanted.data})
}

fn metadata(name: &str, settings: &Settings) -> ObjectMeta {
    let mut labels = settings.labels();
    labels.insert(label::COMPONENT.to_owned(), label::COMPONENT_APISERVER.to_owned());
    ObjectMeta {
        name: Some(name.to_owned()),
        namespace: Some(settings.namespace.clone()),
        labels: Some(labels),
        ..ObjectMeta::default()
    }
}
