//! Secrets and ConfigMaps that an importer pod reads, found in the pod itself; of their content only the keys are looked at.

use std::collections::BTreeSet;

use contract::{Code, Failure};
use k8s_openapi::api::core::v1::Pod;
use kube::api::Api;
use serde::Deserialize;
use serde::de::IgnoredAny;

use super::documents::Documents;
use super::report::{Credential, Verdict};
use crate::kubernetes::{Access, failure};

/// An object that a pod cannot start without.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Reference {
    pub(super) kind: &'static str,
    pub(super) name: String,
    /// Keys that are read; all of them where none is named.
    pub(super) keys: Vec<String>,
    pub(super) purpose: &'static str,
    /// The DataVolume's field that names it.
    pub(super) field: &'static str,
}

const SECRET: &str = "Secret";
const CONFIG_MAP: &str = "ConfigMap";

/// What the pod reads; `copied` is made beside it.
pub(super) fn references(pod: &Pod, copied: Option<&str>) -> Vec<Reference> {
    let mut all: Vec<Reference> = Vec::new();
    let Some(spec) = &pod.spec else { return all };
    for variable in spec.containers.iter().flat_map(|container| container.env.iter().flatten()) {
        let Some(key) = variable.value_from.as_ref().and_then(|from| from.secret_key_ref.as_ref()) else { continue };
        match all.iter_mut().find(|known| known.kind == SECRET && known.name == key.name) {
            Some(known) => known.keys.push(key.key.clone()),
            None => all.push(Reference {
                kind: SECRET,
                name: key.name.clone(),
                keys: vec![key.key.clone()],
                purpose: "user and password for the server",
                field: "spec.source.http.secretRef",
            }),
        }
    }
    for volume in spec.volumes.iter().flatten() {
        let secret = volume.secret.as_ref().and_then(|secret| secret.secret_name.clone());
        let map = volume.config_map.as_ref().map(|map| map.name.clone()).filter(|name| copied != Some(name));
        let header =
            secret.map(|name| (SECRET, name, "header lines for the server", "spec.source.http.secretExtraHeaders"));
        let authorities = map.map(|name| (CONFIG_MAP, name, "certificates to trust", "spec.source.http.certConfigMap"));
        let found = header.into_iter().chain(authorities);
        all.extend(found.map(|(kind, name, purpose, field)| Reference {
            kind,
            name,
            keys: Vec::new(),
            purpose,
            field,
        }));
    }
    all
}

/// What is known of an object of that name.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Known {
    /// It has these keys.
    Keys(BTreeSet<String>),
    Missing,
    /// The user may not read it.
    Hidden(String),
}

/// What the pod would find.
pub(super) fn judge(reference: &Reference, known: &Known, namespace: &str) -> (Credential, Option<Failure>) {
    let Reference { kind, name, keys, .. } = reference;
    let verdict = match known {
        Known::Hidden(why) => Verdict::unknown(format!("you may not read it: {why}")),
        Known::Missing => Verdict::refused(format!("the {kind} {name} is not in the namespace {namespace}")),
        Known::Keys(there) => {
            let missing: Vec<&str> = keys.iter().filter(|key| !there.contains(*key)).map(String::as_str).collect();
            if !missing.is_empty() {
                Verdict::refused(format!("the {kind} {name} lacks the keys {}", missing.join(", ")))
            } else if there.is_empty() {
                Verdict::unknown("it is empty")
            } else {
                Verdict::accepted()
            }
        }
    };
    let refused = verdict.answer == super::report::Word::Refused;
    let failure =
        refused.then(|| Failure::new(Code::PodConfig, verdict.message.clone().unwrap_or_default()).at(reference.field));
    let Reference { kind, name, keys, purpose, .. } = reference.clone();
    (Credential { kind, name, keys, purpose, verdict }, failure)
}

/// An object of which only the keys are kept.
#[derive(Clone, Debug, Deserialize)]
struct Keys {
    #[serde(default)]
    data: std::collections::BTreeMap<String, IgnoredAny>,
    #[serde(default, rename = "binaryData")]
    binary: std::collections::BTreeMap<String, IgnoredAny>,
}

/// Looks for an object in the manifests, then in the cluster.
///
/// # Errors
/// The cluster cannot be had.
pub(super) async fn look(
    access: &Access,
    namespace: &str,
    reference: &Reference,
    documents: &Documents,
) -> Result<Known, Failure> {
    if let Some(keys) = documents.keys(reference.kind, namespace, &reference.name) {
        return Ok(Known::Keys(keys.clone()));
    }
    let plural = if reference.kind == SECRET { "secrets" } else { "configmaps" };
    let resource = kube::core::ApiResource {
        group: String::new(),
        version: "v1".into(),
        api_version: "v1".into(),
        kind: reference.kind.into(),
        plural: plural.into(),
    };
    let api: Api<kube::core::DynamicObject> = Api::namespaced_with(access.client.clone(), namespace, &resource);
    match api.get(&reference.name).await {
        Ok(found) => {
            let keys: Keys = serde_json::from_value(found.data)
                .unwrap_or(Keys { data: Default::default(), binary: Default::default() });
            Ok(Known::Keys(keys.data.into_keys().chain(keys.binary.into_keys()).collect()))
        }
        Err(kube::Error::Api(status)) if status.code == 404 => Ok(Known::Missing),
        Err(kube::Error::Api(status)) if status.code == 403 => Ok(Known::Hidden(status.message)),
        Err(error) => Err(failure(&error)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const POD: &str = "
metadata: {name: p}
spec:
  containers:
  - name: importer
    env:
    - {name: A, value: plain}
    - {name: B, valueFrom: {secretKeyRef: {name: login, key: accessKeyId}}}
    - {name: C, valueFrom: {secretKeyRef: {name: login, key: secretKey}}}
  volumes:
  - {name: data, persistentVolumeClaim: {claimName: disk}}
  - {name: cert, configMap: {name: authorities}}
  - {name: proxy, configMap: {name: import-proxy-cm-disk}}
  - {name: header, secret: {secretName: token}}
";

    #[test]
    fn what_a_pod_reads_is_found_in_it() {
        let found = references(&serde_saphyr::from_str(POD).unwrap(), Some("import-proxy-cm-disk"));
        let short: Vec<_> = found.iter().map(|found| (found.kind, found.name.as_str(), found.keys.len())).collect();
        assert_eq!(short, [("Secret", "login", 2), ("ConfigMap", "authorities", 0), ("Secret", "token", 0)]);
    }

    #[test]
    fn missing_objects_and_keys_refuse_and_hidden_ones_do_not() {
        let reference = &references(&serde_saphyr::from_str(POD).unwrap(), None)[0];
        let keys = |keys: &[&str]| Known::Keys(keys.iter().map(|key| (*key).to_owned()).collect());
        for (known, code, said) in [
            (keys(&["accessKeyId", "secretKey", "more"]), None, None),
            (keys(&["accessKeyId"]), Some(Code::PodConfig), Some("secretKey")),
            (keys(&[]), Some(Code::PodConfig), Some("accessKeyId, secretKey")),
            (Known::Missing, Some(Code::PodConfig), Some("not in the namespace home")),
            (Known::Hidden("no".into()), None, Some("may not read")),
        ] {
            let (credential, failure) = judge(reference, &known, "home");
            assert_eq!(failure.map(|failure| failure.code()), code, "{known:?}");
            let message = credential.verdict.message.unwrap_or_default();
            assert!(message.contains(said.unwrap_or_default()), "{message}");
        }
    }
}
