//! What a claim becomes before it is created: its class, its modes and its size.
//!
//! ```text
//! DataVolume.spec.storage --from_storage--\
//!                                          complete -> PersistentVolumeClaimSpec | Refusal
//! PersistentVolumeClaim.spec -------------/
//!     class.rs   explicit, else the default for virtual machines, else the default of Kubernetes
//!     volume.rs  no such class: a volume that is there already may fit
//!     modes.rs   access modes and volume mode from the claim property sets of the StorageProfile
//!     size.rs    room for the file system, then the least size the class can make
//! ```
//! Pure: who calls it has read the classes, profiles and the configuration. The controller and the webhook for claims decide
//! by the same functions, so a claim looks the same whoever completes it.

mod class;
mod modes;
mod size;
#[cfg(test)]
mod tests;
mod volume;

use crate::cdi::{CdiConfigStatus, ContentType, StorageProfile, StorageSpec};
use crate::volume::Volume;
use k8s_openapi::api::core::v1::PersistentVolumeClaimSpec;
use k8s_openapi::api::storage::v1::StorageClass;

pub use class::{ClassChoice, choose_class};
pub use size::{Overhead, bytes_of};

/// The reason of the event that tells a refusal.
pub const EVENT_REASON: &str = "ErrClaimNotValid";
/// The volume mode that stands for "as the StorageProfile says"; Kubernetes itself does not know it.
pub const FROM_STORAGE_PROFILE: &str = "FromStorageProfile";
/// Volume mode of a raw device.
pub const BLOCK: &str = "Block";
/// Volume mode of a mounted file system; the one Kubernetes takes where none is given.
pub const FILESYSTEM: &str = "Filesystem";

/// What has been read from the cluster.
#[derive(Clone, Debug, Default)]
pub struct Cluster<'a> {
    /// All storage classes.
    pub classes: Vec<&'a StorageClass>,
    /// All storage profiles.
    pub profiles: Vec<&'a StorageProfile>,
    /// The persistent volumes, if [`needs_volumes`] asks for them.
    pub volumes: Vec<&'a Volume>,
    /// The status of the CDIConfig.
    pub config: Option<&'a CdiConfigStatus>,
}

/// What the claim is completed for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Purpose {
    /// What the volume will hold.
    pub content: ContentType,
    /// The size may be missing, because it follows from the source of a clone.
    pub clone: bool,
}

/// Why a claim cannot be completed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// No access mode is given, and there is neither a class nor a fitting volume to take one from.
    #[error("PVC spec is missing accessMode and no storageClass to choose profile")]
    NoClass,
    /// The profile of the class has not been made yet.
    #[error("StorageProfile {class} does not exist yet, and accessModes or volumeMode are to come from it")]
    NoProfile {
        /// Name of the class and of its profile.
        class: String,
    },
    /// The profile names no access mode.
    #[error(
        "no accessMode specified in StorageProfile {class}; name one in the claim, or set spec.claimPropertySets of the profile"
    )]
    NoAccessMode {
        /// Name of the class and of its profile.
        class: String,
    },
    /// Files cannot be unpacked onto a raw device.
    #[error("contentType archive needs volumeMode Filesystem, not Block")]
    ArchiveOnBlock,
    /// No size is given.
    #[error("PVC size is missing")]
    NoSize,
    /// A size cannot be read.
    #[error("{what} is {text:?}, which is not a size such as 10Gi")]
    Size {
        /// Where it stands.
        what: String,
        /// What stands there.
        text: String,
    },
    /// The overhead in the CDIConfig cannot be read.
    #[error("the filesystemOverhead of CDIConfig is {text:?}, which is not a number between 0 and 1")]
    Overhead {
        /// What stands there.
        text: String,
    },
}

impl Refusal {
    /// Whether it may pass without anyone changing the claim: a class, a profile or a volume can still appear.
    #[must_use]
    pub fn may_pass(&self) -> bool {
        matches!(self, Self::NoClass | Self::NoProfile { .. } | Self::NoAccessMode { .. })
    }
}

/// The claim that `spec.storage` of a DataVolume asks for, complete.
///
/// # Errors
/// What is missing can be had from nowhere, or a size cannot be read.
pub fn from_storage(
    storage: &StorageSpec,
    purpose: Purpose,
    cluster: &Cluster<'_>,
) -> Result<PersistentVolumeClaimSpec, Refusal> {
    complete(&as_claim(storage), purpose, cluster)
}

/// `spec.storage` of a DataVolume as a claim, with nothing filled in.
#[must_use]
pub fn as_claim(storage: &StorageSpec) -> PersistentVolumeClaimSpec {
    PersistentVolumeClaimSpec {
        access_modes: storage.access_modes.clone(),
        data_source: storage.data_source.clone(),
        data_source_ref: storage.data_source_ref.clone(),
        resources: storage.resources.clone(),
        selector: storage.selector.clone(),
        storage_class_name: storage.storage_class_name.clone(),
        volume_mode: storage.volume_mode.clone(),
        volume_name: storage.volume_name.clone(),
        ..Default::default()
    }
}

/// The claim with its class, modes and size filled in; what is given stays.
///
/// # Errors
/// What is missing can be had from nowhere, or a size cannot be read.
pub fn complete(
    claim: &PersistentVolumeClaimSpec,
    purpose: Purpose,
    cluster: &Cluster<'_>,
) -> Result<PersistentVolumeClaimSpec, Refusal> {
    let mut claim = claim.clone();
    claim.volume_mode = claim.volume_mode.filter(|mode| !mode.is_empty() && mode != FROM_STORAGE_PROFILE);
    claim.access_modes = claim.access_modes.filter(|modes| !modes.is_empty());
    if purpose.content == ContentType::Archive {
        if claim.volume_mode.as_deref() == Some(BLOCK) {
            return Err(Refusal::ArchiveOnBlock);
        }
        claim.volume_mode = Some(FILESYSTEM.to_owned());
    }
    match choose_class(claim.storage_class_name.as_deref(), purpose.content, &cluster.classes) {
        Some((class, _)) => modes::fill(&mut claim, class, cluster)?,
        None => volume::fill(&mut claim, cluster)?,
    }
    size::fill(&mut claim, purpose, cluster)?;
    Ok(claim)
}

/// Whether [`complete`] looks at persistent volumes: a class is named that does not exist, as it is with volumes made by hand.
#[must_use]
pub fn needs_volumes(class_name: Option<&str>, classes: &[&StorageClass]) -> bool {
    class_name.is_some_and(|name| !classes.iter().any(|class| class.metadata.name.as_deref() == Some(name)))
}
