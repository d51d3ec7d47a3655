//! Which storage class a claim gets.

use std::cmp::Reverse;

use crate::annotation;
use crate::cdi::ContentType;
use k8s_openapi::api::storage::v1::StorageClass;

/// Why a class is taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClassChoice {
    /// It is named.
    Named,
    /// It is the default for disks of virtual machines.
    DefaultForMachines,
    /// It is the default of Kubernetes.
    Default,
}

/// The class of that name; without a name, the default for virtual machines if it is to hold a disk, else the default of
/// Kubernetes. Of several defaults the youngest is taken, then the first by name.
#[must_use]
pub fn choose_class<'a>(
    name: Option<&str>,
    content: ContentType,
    classes: &[&'a StorageClass],
) -> Option<(&'a StorageClass, ClassChoice)> {
    if let Some(name) = name {
        let named = classes.iter().copied().find(|class| class.metadata.name.as_deref() == Some(name));
        return named.map(|class| (class, ClassChoice::Named));
    }
    let marked = |key, choice| default(classes, key).map(|class| (class, choice));
    let for_machines = match content {
        ContentType::Kubevirt => marked(annotation::DEFAULT_VIRT_STORAGE_CLASS, ClassChoice::DefaultForMachines),
        ContentType::Archive => None,
    };
    for_machines.or_else(|| marked(annotation::DEFAULT_STORAGE_CLASS, ClassChoice::Default))
}

/// The class that `key` marks as a default.
fn default<'a>(classes: &[&'a StorageClass], key: &str) -> Option<&'a StorageClass> {
    let is_marked = |class: &&StorageClass| {
        class.metadata.annotations.as_ref().is_some_and(|all| all.get(key).is_some_and(|value| value == "true"))
    };
    classes
        .iter()
        .copied()
        .filter(is_marked)
        .min_by_key(|class| (Reverse(class.metadata.creation_timestamp.clone()), class.metadata.name.clone()))
}
