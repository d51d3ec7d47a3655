//! The rules of the volume that is asked for: `spec.pvc` or `spec.storage`.

use api::cdi::{DataVolumeSpec, StorageSpec};
use k8s_openapi::api::core::v1::{PersistentVolumeClaimSpec, VolumeResourceRequirements};

use super::{Cause, LONGEST_NAME, long_name};
use api::render::{BLOCK, FILESYSTEM, FROM_STORAGE_PROFILE, bytes_of};

const ACCESS_MODES: [&str; 4] = ["ReadOnlyMany", "ReadWriteMany", "ReadWriteOnce", "ReadWriteOncePod"];
/// Smaller volumes cannot hold an image: sizes are rounded to whole MiB.
const LEAST: u64 = 1 << 20;

/// What is wrong with the volume that is asked for.
pub(super) fn causes(spec: &DataVolumeSpec) -> Vec<Cause> {
    match (&spec.pvc, &spec.storage) {
        (None, None) => {
            vec![Cause::required("spec.pvc", "Missing Data volume PVC: spec.pvc or spec.storage is needed")]
        }
        (Some(_), Some(_)) => {
            vec![Cause::invalid("spec.pvc", "Duplicate storage definition, both target storage and target pvc defined")]
        }
        (Some(pvc), None) => of_pvc(pvc),
        (None, Some(storage)) => of_storage(storage, is_clone(spec)),
    }
}

/// A clone may leave out its size: it follows from the source.
fn is_clone(spec: &DataVolumeSpec) -> bool {
    let clones = |source: &api::cdi::DataVolumeSource| source.pvc.is_some() || source.snapshot.is_some();
    spec.source_ref.is_some() || spec.source.as_ref().is_some_and(clones)
}

fn of_pvc(pvc: &PersistentVolumeClaimSpec) -> Vec<Cause> {
    let mut causes = size(pvc.resources.as_ref(), "spec.pvc", "PVC", true);
    let modes = pvc.access_modes.as_deref().unwrap_or_default();
    match modes.len() {
        0 => causes.push(Cause::required("spec.pvc.accessModes", "Required value: at least 1 access mode is required")),
        1 => {}
        _ => causes.push(Cause::invalid("spec.pvc.accessModes", "PVC multiple accessModes: exactly one is needed")),
    }
    let class = pvc.storage_class_name.as_deref();
    causes.extend(named_modes(modes, pvc.volume_mode.as_deref(), "spec.pvc"));
    causes.extend(long_name(class, LONGEST_NAME, "spec.pvc.storageClassName"));
    causes
}

fn of_storage(storage: &StorageSpec, is_clone: bool) -> Vec<Cause> {
    let mut causes = size(storage.resources.as_ref(), "spec.storage", "Storage", !is_clone);
    let modes = storage.access_modes.as_deref().unwrap_or_default();
    let class = storage.storage_class_name.as_deref();
    causes.extend(named_modes(modes, storage.volume_mode.as_deref(), "spec.storage"));
    causes.extend(long_name(class, LONGEST_NAME, "spec.storage.storageClassName"));
    causes
}

/// Modes that Kubernetes does not know.
fn named_modes(modes: &[String], volume_mode: Option<&str>, field: &str) -> Vec<Cause> {
    let unknown = modes.iter().filter(|mode| !ACCESS_MODES.contains(&mode.as_str()));
    let mut causes: Vec<_> =
        unknown.map(|mode| Cause::not_supported(format!("{field}.accessModes"), mode, &ACCESS_MODES)).collect();
    if let Some(mode) = volume_mode.filter(|mode| !["", BLOCK, FILESYSTEM, FROM_STORAGE_PROFILE].contains(mode)) {
        causes.push(Cause::not_supported(format!("{field}.volumeMode"), mode, &[BLOCK, FILESYSTEM]));
    }
    causes
}

fn size(resources: Option<&VolumeResourceRequirements>, field: &str, what: &str, is_needed: bool) -> Vec<Cause> {
    let field = format!("{field}.resources.requests.storage");
    let requests = resources.and_then(|resources| resources.requests.as_ref());
    let Some(size) = requests.and_then(|requests| requests.get("storage")) else {
        return if is_needed { vec![Cause::required(field, format!("{what} size is missing"))] } else { Vec::new() };
    };
    let message = match bytes_of(size, &field) {
        Err(_) if size.0.starts_with('-') => format!("{what} size can't be equal or less than zero"),
        Err(refusal) => format!("{what} size cannot be read: {refusal}"),
        Ok(0) => format!("{what} size can't be equal or less than zero"),
        Ok(bytes) if bytes < LEAST => format!("{what} size should be at least 1MiB"),
        Ok(_) => return Vec::new(),
    };
    vec![Cause::invalid(field, message)]
}
