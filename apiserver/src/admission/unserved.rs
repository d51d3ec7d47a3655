//! Kinds whose controller comes with a later release: their definitions are there, new objects are refused by name.
//!
//! Objects that exist (of an earlier installation) can be changed within the rules of their kind, and deleted.

use kube::core::DynamicObject;

use super::unchanged::is_unchanged;
use super::{Cause, Refusal};

/// The kinds, in the groups `cdi.kubevirt.io` and `forklift.cdi.kubevirt.io`.
pub const KINDS: [&str; 7] = [
    "DataImportCron",
    "DataSource",
    "ObjectTransfer",
    "OpenstackVolumePopulator",
    "OvirtVolumePopulator",
    "VolumeCloneSource",
    "VolumeUploadSource",
];
/// Those whose specification never changes.
const UNCHANGING: [&str; 3] = ["DataImportCron", "ObjectTransfer", "VolumeUploadSource"];

/// Why a new object of `kind` is not taken.
#[must_use]
pub fn create(kind: &str) -> Refusal {
    Refusal(format!(
        "{kind}: this release has no controller for it, so nothing would happen; it serves DataVolume and VolumeImportSource \
         with the sources http and blank"
    ))
}

/// What is wrong with a change to an object.
#[must_use]
pub fn update(kind: &str, new: &DynamicObject, old: &DynamicObject) -> Vec<Cause> {
    let is_going = new.metadata.deletion_timestamp.is_some();
    let same = is_unchanged(&new.data.get("spec"), &old.data.get("spec"));
    if is_going || same || !UNCHANGING.contains(&kind) {
        return Vec::new();
    }
    vec![Cause::duplicate("spec", format!("Cannot update {kind} Spec"))]
}

/// What the user should know of the kind.
#[must_use]
pub fn warnings(kind: &str) -> Vec<String> {
    let deprecated = (kind == "ObjectTransfer").then(|| "ObjectTransfer is deprecated and will go".to_owned());
    deprecated.into_iter().collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn object(spec: &serde_json::Value) -> DynamicObject {
        DynamicObject { types: None, metadata: Default::default(), data: json!({ "spec": spec }) }
    }

    #[test]
    fn a_new_object_is_refused_by_the_name_of_its_kind() {
        for kind in KINDS {
            assert!(create(kind).0.starts_with(&format!("{kind}: this release has no controller for it")));
        }
    }

    #[test]
    fn specifications_that_cdi_keeps_stay_and_others_may_change() {
        for kind in KINDS {
            let (old, new) = (object(&json!({ "schedule": "a" })), object(&json!({ "schedule": "b" })));
            let causes = update(kind, &new, &old);
            if UNCHANGING.contains(&kind) {
                assert_eq!(causes[0].message, format!("Cannot update {kind} Spec"));
            } else {
                assert_eq!(causes, []);
            }
            assert_eq!(update(kind, &old, &old), []);
        }
    }

    #[test]
    fn an_object_that_goes_may_change() {
        let old = object(&json!({ "a": 1 }));
        let mut new = object(&json!({ "a": 2 }));
        new.metadata.deletion_timestamp = Some(serde_json::from_value(json!("2026-01-01T00:00:00Z")).unwrap());
        assert_eq!(update("DataImportCron", &new, &old), []);
    }

    #[test]
    fn the_deprecated_kind_warns() {
        let warned: Vec<_> = KINDS.into_iter().filter(|kind| !warnings(kind).is_empty()).collect();
        assert_eq!(warned, ["ObjectTransfer"]);
    }
}
