//! Which classes have to be looked at when something else changes.

use std::sync::Arc;

use api::cdi::StorageProfile;
use api::volume::Volume;
use k8s_openapi::api::storage::v1::StorageClass;
use kube::ResourceExt;
use kube::core::DynamicObject;
use kube::runtime::reflector::{ObjectRef, Store};

use super::table::NO_PROVISIONER;

/// The class that a profile is of.
pub(crate) fn class_of_profile(profile: &StorageProfile) -> Option<ObjectRef<StorageClass>> {
    Some(ObjectRef::new(&profile.name_any()))
}

/// The class of a volume, if its volumes are made by hand: of others nothing depends on their volumes.
pub(crate) fn class_of_volume(volume: &Volume, classes: &Store<StorageClass>) -> Option<ObjectRef<StorageClass>> {
    let name = volume.spec.storage_class_name.as_deref()?;
    let class = classes.get(&ObjectRef::new(name))?;
    (class.provisioner == NO_PROVISIONER).then(|| ObjectRef::new(name))
}

/// The classes of a VolumeSnapshotClass's driver.
pub(crate) fn classes_of_snapshot_class(
    snapshot_class: &DynamicObject,
    classes: &Store<StorageClass>,
) -> Vec<ObjectRef<StorageClass>> {
    let of_driver = |class: &Arc<StorageClass>| snapshot_class.data["driver"] == class.provisioner.as_str();
    classes.state().iter().filter(|class| of_driver(class)).map(|class| ObjectRef::from_obj(class.as_ref())).collect()
}

#[cfg(test)]
mod tests {
    use kube::core::{ApiResource, GroupVersionKind};
    use kube::runtime::reflector::store;
    use kube::runtime::watcher::Event;
    use serde_json::json;

    use super::super::sample::class;
    use super::*;

    fn classes() -> Store<StorageClass> {
        let (reader, mut writer) = store();
        for (name, provisioner) in [("local", NO_PROVISIONER), ("fast", "csi.gantry.dev"), ("slow", "csi.gantry.dev")] {
            let mut class = class(provisioner, &[]);
            class.metadata.name = Some(name.into());
            writer.apply_watcher_event(&Event::Apply(class));
        }
        reader
    }

    #[test]
    fn a_volume_concerns_its_class_only_if_that_has_no_provisioner() {
        for (class, expected) in [("local", Some("local")), ("fast", None), ("gone", None)] {
            let volume: Volume =
                serde_json::from_value(json!({"metadata": {"name": "v"}, "spec": {"storageClassName": class}}))
                    .unwrap();
            let found = class_of_volume(&volume, &classes()).map(|class| class.name);
            assert_eq!(found.as_deref(), expected, "{class}");
        }
    }

    #[test]
    fn a_snapshot_class_concerns_every_class_of_its_driver() {
        let kind =
            ApiResource::from_gvk(&GroupVersionKind::gvk("snapshot.storage.k8s.io", "v1", "VolumeSnapshotClass"));
        let snapshot_class = DynamicObject::new("vsc", &kind).data(json!({"driver": "csi.gantry.dev"}));
        let mut names: Vec<_> =
            classes_of_snapshot_class(&snapshot_class, &classes()).into_iter().map(|class| class.name).collect();
        names.sort();
        assert_eq!(names, ["fast", "slow"]);
    }
}
