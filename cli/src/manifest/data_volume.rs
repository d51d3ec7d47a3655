//! The DataVolume of `cdi.kubevirt.io/v1beta1` as far as one machine can do what it asks for. An unknown field is refused.

use serde::Deserialize;
use serde::de::IgnoredAny;

/// A field of which only matters whether it is there.
pub(super) type Presence = Option<IgnoredAny>;

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct DataVolume {
    #[serde(rename = "apiVersion")]
    _api_version: IgnoredAny,
    #[serde(rename = "kind")]
    _kind: IgnoredAny,
    pub(super) metadata: Metadata,
    pub(super) spec: Spec,
    pub(super) status: Presence,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct Metadata {
    pub(super) name: Option<String>,
    pub(super) namespace: Option<String>,
    pub(super) labels: Presence,
    pub(super) annotations: Presence,
    pub(super) finalizers: Presence,
    pub(super) owner_references: Presence,
    // What an API server adds and nobody asks for.
    #[serde(rename = "generateName")]
    _generate_name: Presence,
    #[serde(rename = "uid")]
    _uid: Presence,
    #[serde(rename = "resourceVersion")]
    _resource_version: Presence,
    #[serde(rename = "generation")]
    _generation: Presence,
    #[serde(rename = "creationTimestamp")]
    _creation_timestamp: Presence,
    #[serde(rename = "managedFields")]
    _managed_fields: Presence,
    #[serde(rename = "selfLink")]
    _self_link: Presence,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct Spec {
    pub(super) source: Option<Source>,
    pub(super) source_ref: Presence,
    pub(super) pvc: Option<Claim>,
    pub(super) storage: Option<Claim>,
    #[serde(default)]
    pub(super) content_type: Content,
    pub(super) preallocation: Option<bool>,
    pub(super) priority_class_name: Presence,
    pub(super) service_account_name: Presence,
    pub(super) checkpoints: Presence,
    pub(super) final_checkpoint: Presence,
}

#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub(super) enum Content {
    #[default]
    #[serde(alias = "")]
    Kubevirt,
    Archive,
}

/// Exactly one is given.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Source {
    pub(super) http: Option<Http>,
    pub(super) blank: Option<Blank>,
    pub(super) s3: Presence,
    pub(super) gcs: Presence,
    pub(super) registry: Presence,
    pub(super) pvc: Presence,
    pub(super) snapshot: Presence,
    pub(super) upload: Presence,
    pub(super) imageio: Presence,
    pub(super) vddk: Presence,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Blank {}

/// Text that is empty counts as none, as for CDI, whose examples have such fields.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct Http {
    pub(super) url: String,
    #[serde(default)]
    pub(super) secret_ref: String,
    #[serde(default)]
    pub(super) cert_config_map: String,
    #[serde(default)]
    pub(super) extra_headers: Vec<String>,
    #[serde(default)]
    pub(super) secret_extra_headers: Vec<String>,
    #[serde(default)]
    pub(super) checksum: String,
    pub(super) insecure_skip_verify: Option<bool>,
}

/// `spec.pvc` and `spec.storage`, which differ in what the size is of.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct Claim {
    pub(super) resources: Option<Resources>,
    pub(super) volume_mode: Option<VolumeMode>,
    pub(super) access_modes: Presence,
    pub(super) selector: Presence,
    pub(super) volume_name: Presence,
    pub(super) storage_class_name: Presence,
    pub(super) volume_attributes_class_name: Presence,
    pub(super) data_source: Presence,
    pub(super) data_source_ref: Presence,
}

#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq)]
pub(super) enum VolumeMode {
    Filesystem,
    Block,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Resources {
    pub(super) requests: Option<Requests>,
    pub(super) limits: Presence,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Requests {
    pub(super) storage: Option<Quantity>,
}

/// A number, or text such as `10Gi`.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
pub(super) enum Quantity {
    Number(u64),
    Text(String),
}

impl Quantity {
    /// The quantity as text.
    pub(super) fn text(&self) -> String {
        match self {
            Self::Number(number) => number.to_string(),
            Self::Text(text) => text.clone(),
        }
    }
}

impl DataVolume {
    /// Paths of the fields that are there and that only a cluster can heed.
    pub(super) fn of_clusters(&self) -> Vec<String> {
        let Self { metadata, spec, status, .. } = self;
        let fields = [
            ("metadata.labels", &metadata.labels),
            ("metadata.annotations", &metadata.annotations),
            ("metadata.finalizers", &metadata.finalizers),
            ("metadata.ownerReferences", &metadata.owner_references),
            ("status", status),
            ("spec.priorityClassName", &spec.priority_class_name),
            ("spec.serviceAccountName", &spec.service_account_name),
        ];
        let mut paths: Vec<String> = present(fields).map(str::to_owned).collect();
        for (name, claim) in [("spec.pvc", &spec.pvc), ("spec.storage", &spec.storage)] {
            paths.extend(claim.iter().flat_map(Claim::of_clusters).map(|field| format!("{name}.{field}")));
        }
        paths
    }
}

/// Names of the fields that are there.
fn present<const N: usize>(fields: [(&'static str, &Presence); N]) -> impl Iterator<Item = &'static str> + use<N> {
    fields.map(|(name, field)| field.map(|_| name)).into_iter().flatten()
}

impl Claim {
    fn of_clusters(&self) -> impl Iterator<Item = &'static str> + use<> {
        let limits = self.resources.as_ref().and_then(|resources| resources.limits);
        present([
            ("accessModes", &self.access_modes),
            ("selector", &self.selector),
            ("volumeName", &self.volume_name),
            ("storageClassName", &self.storage_class_name),
            ("volumeAttributesClassName", &self.volume_attributes_class_name),
            ("resources.limits", &limits),
        ])
    }
}
