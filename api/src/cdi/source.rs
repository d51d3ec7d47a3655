//! Where the content of a volume comes from.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The source of a DataVolume; exactly one field is set.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct DataVolumeSource {
    /// A file on a web server.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub http: Option<HttpSource>,
    /// An object in a store that speaks the protocol of Amazon S3.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub s3: Option<S3Source>,
    /// An object in Google Cloud Storage.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub gcs: Option<GcsSource>,
    /// A disk in a container image.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub registry: Option<RegistrySource>,
    /// A PersistentVolumeClaim to clone.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pvc: Option<PvcSource>,
    /// A VolumeSnapshot to restore.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub snapshot: Option<SnapshotSource>,
    /// Nothing yet; a client sends the content.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub upload: Option<UploadSource>,
    /// An empty disk.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub blank: Option<BlankSource>,
    /// A disk of an oVirt engine.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub imageio: Option<ImageIoSource>,
    /// A disk of a virtual machine at a VMware vCenter or ESXi host.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub vddk: Option<VddkSource>,
}

/// The source of a VolumeImportSource; exactly one field is set.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct ImportSource {
    /// A file on a web server.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub http: Option<HttpSource>,
    /// An object in a store that speaks the protocol of Amazon S3.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub s3: Option<S3Source>,
    /// An object in Google Cloud Storage.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub gcs: Option<GcsSource>,
    /// A disk in a container image.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub registry: Option<RegistrySource>,
    /// An empty disk.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub blank: Option<BlankSource>,
    /// A disk of an oVirt engine.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub imageio: Option<ImageIoSource>,
    /// A disk of a virtual machine at a VMware vCenter or ESXi host.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub vddk: Option<VddkSource>,
}

/// A file on a web server.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct HttpSource {
    /// Address of the file, http or https.
    pub url: String,
    /// Secret of the same namespace with a user name (`accessKeyId`) and a password (`secretKey`).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub secret_ref: Option<String>,
    /// ConfigMap of the same namespace with certificate authorities to trust besides the usual ones.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cert_config_map: Option<String>,
    /// Header lines to send, each `Name: value`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub extra_headers: Vec<String>,
    /// Secrets of the same namespace whose values are header lines to send; they are never shown.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub secret_extra_headers: Vec<String>,
    /// What the file as downloaded must hash to, `ALGORITHM:HEX`, with md5, sha1, sha256 or sha512.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub checksum: Option<String>,
    /// Whether the server's certificate is left unchecked.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub insecure_skip_verify: Option<bool>,
}

/// An object in a store that speaks the protocol of Amazon S3.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct S3Source {
    /// Address of the object, `https://HOST/BUCKET/KEY`.
    pub url: String,
    /// Secret of the same namespace with an access key (`accessKeyId`) and its secret (`secretKey`).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub secret_ref: Option<String>,
    /// ConfigMap of the same namespace with certificate authorities to trust besides the usual ones.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cert_config_map: Option<String>,
}

/// An object in Google Cloud Storage.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct GcsSource {
    /// Address of the object, `gs://BUCKET/OBJECT` or `https://HOST/BUCKET/OBJECT`.
    pub url: String,
    /// Secret of the same namespace with a service account's key (`credentials.json`); without it the access is anonymous.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub secret_ref: Option<String>,
}

/// A disk in a container image.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct RegistrySource {
    /// Address of the image, `docker://HOST/NAME:TAG` or `oci-archive:PATH`; not together with `imageStream`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub url: Option<String>,
    /// Name of an OpenShift image stream of the same namespace; not together with `url`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub image_stream: Option<String>,
    /// Who fetches the image: `pod`, the importer itself (the default), or `node`, the container runtime.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pull_method: Option<String>,
    /// Secret of the same namespace with a user name (`accessKeyId`) and a password (`secretKey`).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub secret_ref: Option<String>,
    /// ConfigMap of the same namespace with certificate authorities to trust besides the usual ones.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cert_config_map: Option<String>,
    /// Which of an image's platforms to take.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub platform: Option<PlatformOptions>,
}

/// Which of an image's platforms to take.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct PlatformOptions {
    /// Architecture as image lists name it, for example `amd64` or `arm64`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub architecture: Option<String>,
}

/// A PersistentVolumeClaim to clone.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct PvcSource {
    /// Namespace of the claim.
    pub namespace: String,
    /// Name of the claim.
    pub name: String,
}

/// A VolumeSnapshot to restore.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct SnapshotSource {
    /// Namespace of the snapshot.
    pub namespace: String,
    /// Name of the snapshot.
    pub name: String,
}

/// Content that a client sends.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(default)]
pub struct UploadSource {}

/// An empty disk.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(default)]
pub struct BlankSource {}

/// A disk of an oVirt engine.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct ImageIoSource {
    /// Address of the engine's API.
    pub url: String,
    /// Identity of the disk.
    pub disk_id: String,
    /// Secret of the same namespace with a user name (`accessKeyId`) and a password (`secretKey`).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub secret_ref: Option<String>,
    /// ConfigMap of the same namespace with certificate authorities to trust besides the usual ones.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cert_config_map: Option<String>,
    /// Whether the engine's certificate is left unchecked.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub insecure_skip_verify: Option<bool>,
}

/// A disk of a virtual machine at a VMware vCenter or ESXi host.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct VddkSource {
    /// Address of the vCenter or ESXi host.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub url: Option<String>,
    /// Identity of the virtual machine.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub uuid: Option<String>,
    /// Disk of that machine, as its backing file is called there.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub backing_file: Option<String>,
    /// SHA-1 thumbprint of the host's certificate.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub thumbprint: Option<String>,
    /// Secret of the same namespace with a user name (`accessKeyId`) and a password (`secretKey`).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub secret_ref: Option<String>,
    /// ConfigMap of the same namespace with the host's certificate authorities.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cert_config_map: Option<String>,
    /// Image with VMware's disk library; without it the one that is set for the whole cluster.
    #[serde(rename = "initImageURL", skip_serializing_if = "Option::is_none")]
    pub init_image_url: Option<String>,
    /// ConfigMap of the same namespace with further settings of that library.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub extra_args: Option<String>,
}
