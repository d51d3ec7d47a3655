//! What is read before a profile is planned: caches, and the clock.

use std::collections::BTreeMap;
use std::sync::Arc;

use api::annotation::DEFAULT_SNAPSHOT_CLASS;
use api::cdi::StorageProfile;
use api::volume::Volume;
use jiff::Timestamp;
use k8s_openapi::api::storage::v1::StorageClass;
use kube::ResourceExt;
use kube::core::DynamicObject;
use kube::runtime::reflector::ObjectRef;

use super::capabilities::{AccessMode, Capability, VolumeMode};
use super::table::NO_PROVISIONER;
use crate::Context;

/// A class and everything that its profile depends on.
#[derive(Clone, Debug)]
pub(crate) struct Observed {
    pub(crate) class: Arc<StorageClass>,
    /// Its profile, once there is one.
    pub(crate) profile: Option<Arc<StorageProfile>>,
    /// VolumeSnapshotClasses of its driver, by name.
    pub(crate) snapshot_classes: Vec<SnapshotClass>,
    /// How its volumes can be used, where they are made by hand.
    pub(crate) volumes: Vec<Capability>,
    /// Labels that every object of the product has.
    pub(crate) labels: BTreeMap<String, String>,
    pub(crate) now: Timestamp,
}

/// A VolumeSnapshotClass.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct SnapshotClass {
    pub(crate) name: String,
    pub(crate) default: bool,
    pub(crate) parameters: BTreeMap<String, String>,
}

pub(super) fn observe(class: Arc<StorageClass>, context: &Context) -> Observed {
    let caches = &context.caches;
    let snapshot_classes = caches.snapshot_classes.state();
    let by_hand = class.provisioner == NO_PROVISIONER;
    let volumes = if by_hand { caches.indexes.volumes.get(&class.name_any()) } else { Vec::new() };
    Observed {
        profile: caches.profiles.get(&ObjectRef::new(&class.name_any())),
        snapshot_classes: of_driver(&class.provisioner, snapshot_classes.iter().map(AsRef::as_ref)),
        volumes: ways(volumes.iter().map(AsRef::as_ref)),
        labels: context.settings.labels().into_iter().collect(),
        now: Timestamp::now(),
        class,
    }
}

/// The VolumeSnapshotClasses of a driver, by name.
fn of_driver<'a>(driver: &str, classes: impl Iterator<Item = &'a DynamicObject>) -> Vec<SnapshotClass> {
    let mut classes: Vec<_> = classes.filter(|class| class.data["driver"] == driver).map(SnapshotClass::from).collect();
    classes.sort();
    classes
}

impl From<&DynamicObject> for SnapshotClass {
    fn from(class: &DynamicObject) -> Self {
        Self {
            name: class.name_any(),
            default: class.annotations().get(DEFAULT_SNAPSHOT_CLASS).is_some_and(|value| value == "true"),
            parameters: serde_json::from_value(class.data["parameters"].clone()).unwrap_or_default(),
        }
    }
}

/// How volumes can be used, in the order of preference, each way once.
fn ways<'a>(volumes: impl Iterator<Item = &'a Volume>) -> Vec<Capability> {
    let ways = volumes.map(|volume| &volume.spec).flat_map(|spec| {
        let volume = VolumeMode::of(spec.volume_mode.as_deref());
        let modes = spec.access_modes.iter().filter_map(|name| AccessMode::named(name));
        modes.map(move |access| Capability { access, volume })
    });
    ways.collect::<std::collections::BTreeSet<_>>().into_iter().collect()
}

#[cfg(test)]
mod tests {
    use kube::core::{ApiResource, GroupVersionKind};
    use serde_json::json;

    use super::*;

    fn volume(mode: Option<&str>, access: &[&str]) -> Volume {
        serde_json::from_value(json!({
            "metadata": {"name": "v"},
            "spec": {"storageClassName": "local", "volumeMode": mode, "accessModes": access}
        }))
        .unwrap()
    }

    #[test]
    fn volumes_made_by_hand_are_listed_in_the_same_order_whatever_order_they_come_in() {
        let mut volumes = [
            volume(None, &["ReadOnlyMany", "ReadWriteOnce"]),
            volume(Some("Block"), &["ReadWriteOnce"]),
            volume(Some("Filesystem"), &["ReadWriteOnce", "ReadWriteOncePod"]),
        ];
        let way = |access, volume| Capability { access, volume };
        let expected = [
            way(AccessMode::Once, VolumeMode::Block),
            way(AccessMode::Once, VolumeMode::Filesystem),
            way(AccessMode::OncePod, VolumeMode::Filesystem),
            way(AccessMode::ReadOnly, VolumeMode::Filesystem),
        ];
        assert_eq!(ways(volumes.iter()), expected);
        volumes.reverse();
        assert_eq!(ways(volumes.iter()), expected);
        assert_eq!(ways([].iter()), []);
    }

    #[test]
    fn snapshot_classes_of_other_drivers_are_left_out_and_the_rest_come_by_name() {
        let kind =
            ApiResource::from_gvk(&GroupVersionKind::gvk("snapshot.storage.k8s.io", "v1", "VolumeSnapshotClass"));
        let class = |name: &str, driver: &str, default: &str| {
            let object = DynamicObject::new(name, &kind);
            let mut object = object.data(json!({"driver": driver, "parameters": {"snapshot-type": "images"}}));
            object.annotations_mut().insert(DEFAULT_SNAPSHOT_CLASS.into(), default.into());
            object
        };
        let classes = [class("z", "a.b", "true"), class("c", "x.y", "true"), class("a", "a.b", "false")];
        let found = of_driver("a.b", classes.iter());
        let names: Vec<_> = found.iter().map(|class| (class.name.as_str(), class.default)).collect();
        assert_eq!(names, [("a", false), ("z", true)]);
        assert_eq!(found[0].parameters["snapshot-type"], "images");
    }
}
