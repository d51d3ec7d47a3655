//! Claims that ask to be completed: those with the label `cdi.kubevirt.io/applyStorageProfile=true`.
//!
//! Kubernetes looks at a claim before it asks: a volume mode that is left out has become `Filesystem` by then, and a class that is
//! left out the cluster's default, if there is one. So the mode is open only where it is `FromStorageProfile`, and the default
//! class for virtual machines is taken only where the cluster has no other default.

use api::cdi::ContentType;
use api::{annotation, label};
use json_patch::{Patch, diff};
use k8s_openapi::api::core::v1::{PersistentVolumeClaim, PersistentVolumeClaimSpec};
use kube::ResourceExt;
use serde_json::{Value, json};

use api::render::{Cluster, Purpose, Refusal, complete};

/// Whether the claim asks to be completed.
#[must_use]
pub fn asks(claim: &PersistentVolumeClaim) -> bool {
    claim.labels().get(label::APPLY_STORAGE_PROFILE).is_some_and(|value| value == "true")
}

/// What the claim becomes.
///
/// # Errors
/// It cannot be completed.
pub fn render(claim: &PersistentVolumeClaim, cluster: &Cluster<'_>) -> Result<PersistentVolumeClaimSpec, Refusal> {
    let spec = claim.spec.clone().unwrap_or_default();
    let word = claim.annotations().get(annotation::CONTENT_TYPE).map(String::as_str);
    let is_clone = spec.data_source_ref.as_ref().is_some_and(|source| source.kind == "VolumeCloneSource");
    let purpose = Purpose { content: ContentType::of(word).unwrap_or_default(), clone: is_clone };
    complete(&spec, purpose, cluster)
}

/// The change that makes the object, whose fields beside `metadata` are `fields`, into one with that `spec`. Fields that this
/// program does not know stay as they are.
#[must_use]
pub fn patch(fields: &Value, spec: &PersistentVolumeClaimSpec) -> Patch {
    let mut wanted = fields.clone();
    if !wanted["spec"].is_object() {
        wanted["spec"] = json!({});
    }
    let into = &mut wanted["spec"];
    for (name, value) in [("storageClassName", json!(spec.storage_class_name)), ("volumeMode", json!(spec.volume_mode))]
    {
        set(into, name, value);
    }
    set(into, "accessModes", json!(spec.access_modes));
    let requests = spec.resources.as_ref().and_then(|resources| resources.requests.as_ref());
    if let Some(size) = requests.and_then(|requests| requests.get("storage")) {
        into["resources"]["requests"]["storage"] = json!(size);
    }
    diff(fields, &wanted)
}

fn set(spec: &mut Value, name: &str, value: Value) {
    match (spec.as_object_mut(), value) {
        (Some(fields), Value::Null) => drop(fields.remove(name)),
        (Some(fields), value) => drop(fields.insert(name.to_owned(), value)),
        (None, _) => {}
    }
}

#[cfg(test)]
mod tests {
    use api::cdi::StorageProfile;
    use k8s_openapi::api::storage::v1::StorageClass;

    use super::*;

    const CLASS: &str =
        "{metadata: {name: fast, annotations: {storageclass.kubernetes.io/is-default-class: 'true'}}, provisioner: p}";
    const PROFILE: &str =
        "{apiVersion: cdi.kubevirt.io/v1beta1, kind: StorageProfile, metadata: {name: fast}, spec: {},
        status: {claimPropertySets: [{accessModes: [ReadWriteMany], volumeMode: Block},
                                     {accessModes: [ReadWriteOnce], volumeMode: Filesystem}]}}";

    fn rendered(claim: &str) -> Result<Value, Refusal> {
        let class: StorageClass = serde_saphyr::from_str(CLASS).unwrap();
        let profile: StorageProfile = serde_saphyr::from_str(PROFILE).unwrap();
        let cluster = Cluster { classes: vec![&class], profiles: vec![&profile], ..Cluster::default() };
        let mut fields: Value = serde_saphyr::from_str(claim).unwrap();
        let spec = render(&serde_json::from_value(fields.clone()).unwrap(), &cluster)?;
        let patch = patch(&fields, &spec);
        json_patch::patch(&mut fields, &patch).unwrap();
        Ok(fields["spec"].clone())
    }

    #[test]
    fn only_claims_with_the_label_ask() {
        for (labels, is_asking) in [
            ("{cdi.kubevirt.io/applyStorageProfile: 'true'}", true),
            ("{cdi.kubevirt.io/applyStorageProfile: 'false'}", false),
            ("{}", false),
        ] {
            let claim = serde_saphyr::from_str(&format!("{{metadata: {{labels: {labels}}}}}")).unwrap();
            assert_eq!(asks(&claim), is_asking, "{labels}");
        }
    }

    #[test]
    fn what_is_missing_is_filled_in() {
        for (spec, becomes) in [
            (
                json!({ "resources": { "requests": { "storage": "1Gi" } } }),
                json!({ "storageClassName": "fast", "volumeMode": "Block", "accessModes": ["ReadWriteMany"],
                        "resources": { "requests": { "storage": "1Gi" } } }),
            ),
            (
                json!({ "volumeMode": "FromStorageProfile", "accessModes": ["ReadWriteOnce"], "extra": { "kept": [1] },
                        "resources": { "requests": { "storage": "1Gi" } } }),
                json!({ "storageClassName": "fast", "volumeMode": "Filesystem", "accessModes": ["ReadWriteOnce"],
                        "extra": { "kept": [1] }, "resources": { "requests": { "storage": "1138166334" } } }),
            ),
            (
                json!({ "dataSourceRef": { "apiGroup": "cdi.kubevirt.io", "kind": "VolumeCloneSource", "name": "a" } }),
                json!({ "storageClassName": "fast", "volumeMode": "Block", "accessModes": ["ReadWriteMany"],
                        "dataSourceRef": { "apiGroup": "cdi.kubevirt.io", "kind": "VolumeCloneSource", "name": "a" } }),
            ),
        ] {
            assert_eq!(rendered(&json!({ "spec": spec }).to_string()).unwrap(), becomes);
        }
    }

    #[test]
    fn the_content_type_is_the_annotations() {
        let claim = "{metadata: {annotations: {cdi.kubevirt.io/storage.contentType: archive}},
                      spec: {resources: {requests: {storage: 1Mi}}}}";
        let spec = rendered(claim).unwrap();
        assert_eq!((&spec["volumeMode"], &spec["accessModes"]), (&json!("Filesystem"), &json!(["ReadWriteOnce"])));
    }

    #[test]
    fn a_claim_that_cannot_be_completed_is_refused() {
        assert_eq!(rendered("{spec: {}}"), Err(Refusal::NoSize));
        let none = "{spec: {storageClassName: none, resources: {requests: {storage: 1Gi}}}}";
        assert_eq!(rendered(none), Err(Refusal::NoClass));
    }
}
