//! The group `cdi.kubevirt.io`: its kinds, one file each or one for a family.

mod cdiconfig;
mod dataimportcron;
mod datasource;
mod datavolume;
mod gantry;
mod installation;
mod objecttransfer;
mod placement;
mod populator;
mod source;
mod storageprofile;
mod tls;

pub use crate::condition::Condition as DataVolumeCondition;
pub use cdiconfig::{CdiConfig, CdiConfigSpec, CdiConfigStatus, FilesystemOverhead, ImportProxy};
pub use dataimportcron::{DataImportCron, DataImportCronSpec, DataImportCronStatus, DataVolumeTemplate, ImportStatus};
pub use datasource::{DataSource, DataSourceRef, DataSourceSource, DataSourceSpec, DataSourceStatus};
pub use datavolume::{Checkpoint, ContentType, DataVolume, DataVolumeSpec, DataVolumeStatus, SourceRef, StorageSpec};
pub use gantry::{GantryConfig, GantryError, GantryStatus, SourcePolicy};
pub use installation::{
    Cdi, CdiSpec, CdiStatus, CertConfig, CertLifetime, ComponentFlags, CustomizeComponents, Infra, Patch,
};
pub use objecttransfer::{ObjectTransfer, ObjectTransferSpec, ObjectTransferStatus, TransferSource, TransferTarget};
pub use placement::NodePlacement;
pub use populator::{
    VolumeCloneSource, VolumeCloneSourceSpec, VolumeImportSource, VolumeImportSourceSpec, VolumeImportSourceStatus,
    VolumeUploadSource, VolumeUploadSourceSpec, VolumeUploadSourceStatus,
};
pub use source::{
    BlankSource, DataVolumeSource, GcsSource, HttpSource, ImageIoSource, ImportSource, PlatformOptions, PvcSource,
    RegistrySource, S3Source, SnapshotSource, UploadSource, VddkSource,
};
pub use storageprofile::{ClaimPropertySet, StorageProfile, StorageProfileSpec, StorageProfileStatus};
pub use tls::{CustomTlsProfile, FixedTlsProfile, TlsSecurityProfile};

/// The group of these kinds.
pub const GROUP: &str = "cdi.kubevirt.io";
/// The version of these kinds.
pub const VERSION: &str = "v1beta1";
/// `GROUP/VERSION`, as in `apiVersion`.
pub const API_VERSION: &str = "cdi.kubevirt.io/v1beta1";
