//! The CustomResourceDefinitions, made from the types.
//!
//! ```text
//! type --schemars--> JSON schema with $refs --structural--> structural schema --root--> CustomResourceDefinition
//!                                               ^ embedded: what Kubernetes' own types lack (list types, words)
//! ```
//! kube's derive gives names, scope and printer columns. Its schemas are not used: they mark every optional field as nullable,
//! give defaults to required ones and lack the list types, none of which a client of CDI expects.

mod embedded;
mod guard;
mod structural;

pub use self::guard::{GUARD, guard};
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::{
    CustomResourceDefinition, CustomResourceSubresourceStatus, CustomResourceSubresources, CustomResourceValidation,
    JSONSchemaProps,
};
use kube::CustomResourceExt;
use kube::core::object::{HasSpec, HasStatus};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde_json::{Value, json};

use crate::cdi::{
    Cdi, CdiConfig, DataImportCron, DataSource, DataVolume, ObjectTransfer, StorageProfile, VolumeCloneSource,
    VolumeImportSource, VolumeUploadSource,
};
use crate::forklift::{OpenstackVolumePopulator, OvirtVolumePopulator};
use crate::label;

/// The CustomResourceDefinitions of all kinds, ordered by name.
#[must_use]
pub fn crds() -> Vec<CustomResourceDefinition> {
    let mut all = vec![
        with_older_version(with_status::<Cdi>("The product as it is installed. There is one.")),
        with_status::<CdiConfig>("The settings of the product, and what they came to. There is one, named config."),
        with_status::<DataImportCron>(
            "Imports an image again whenever it changed, and points a DataSource to the newest.",
        ),
        with_status::<DataSource>("A name for content that DataVolumes are cloned from."),
        with_subresource(with_status::<DataVolume>("A volume and what it is to be filled with.")),
        with_subresource(with_status::<ObjectTransfer>(
            "Moves a DataVolume or claim to another name or namespace. Deprecated.",
        )),
        with_status::<OpenstackVolumePopulator>(
            "An image of an OpenStack installation that claims name as their data source.",
        ),
        with_status::<OvirtVolumePopulator>("A disk of an oVirt engine that claims name as their data source."),
        with_subresource(with_status::<StorageProfile>(
            "What the StorageClass of the same name can do, and how it is best used.",
        )),
        definition::<VolumeCloneSource>("A clone that claims name as their data source.", None),
        with_status::<VolumeImportSource>("An import that claims name as their data source."),
        with_status::<VolumeUploadSource>("An upload that claims name as their data source."),
    ];
    all.sort_by(|a, b| a.metadata.name.cmp(&b.metadata.name));
    all
}

/// The definition of a kind that has a status.
fn with_status<K>(words: &str) -> CustomResourceDefinition
where
    K: CustomResourceExt + HasSpec<Spec: JsonSchema> + HasStatus<Status: JsonSchema>,
{
    definition::<K>(words, Some(structural::schema_of::<K::Status>()))
}

/// The definition of a kind: what the derive knows, with our schema and labels and without the status subresource.
fn definition<K>(words: &str, status: Option<Value>) -> CustomResourceDefinition
where
    K: CustomResourceExt + HasSpec<Spec: JsonSchema>,
{
    let mut definition = K::crd();
    definition.metadata.labels = Some(labels());
    let schema = root_schema(words, &structural::schema_of::<K::Spec>(), status);
    for version in &mut definition.spec.versions {
        version.subresources = None;
        version.schema = Some(CustomResourceValidation { open_api_v3_schema: Some(schema.clone()) });
    }
    definition
}

fn labels() -> std::collections::BTreeMap<String, String> {
    [(label::APP, label::APP_VALUE), (label::COMPONENT, ""), (label::KUBERNETES_COMPONENT, "storage")]
        .map(|(key, value)| (key.to_owned(), value.to_owned()))
        .into()
}

fn root_schema(words: &str, spec: &Value, status: Option<Value>) -> JSONSchemaProps {
    let mut properties = json!({
        "apiVersion": {"type": "string", "description": "Version of the kind."},
        "kind": {"type": "string", "description": "Name of the kind."},
        "metadata": {"type": "object"},
        "spec": spec,
    });
    if let Some(status) = status {
        properties["status"] = status;
    }
    let root = json!({"type": "object", "description": words, "required": ["spec"], "properties": properties});
    serde_json::from_value(root).expect("a structural schema is a JSONSchemaProps")
}

/// Status is written through a resource of its own, so that who may change the one may not change the other.
fn with_subresource(mut definition: CustomResourceDefinition) -> CustomResourceDefinition {
    for version in &mut definition.spec.versions {
        version.subresources = Some(CustomResourceSubresources {
            status: Some(CustomResourceSubresourceStatus(json!({}))),
            ..CustomResourceSubresources::default()
        });
    }
    definition
}

/// Objects of v1alpha1 are still served, in the same shape; none are stored.
fn with_older_version(mut definition: CustomResourceDefinition) -> CustomResourceDefinition {
    let older = definition.spec.versions.first().cloned().map(|mut version| {
        "v1alpha1".clone_into(&mut version.name);
        version.storage = false;
        version
    });
    definition.spec.versions.splice(0..0, older);
    definition
}

/// The metadata of a template: only its outside is checked.
pub(crate) fn embedded_metadata(_: &mut SchemaGenerator) -> Schema {
    json_schema!({"type": "object", "x-kubernetes-preserve-unknown-fields": true})
}

/// Shares of file systems by name of the StorageClass.
pub(crate) fn percent_by_class(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "object",
        "additionalProperties": {"type": "string", "pattern": r"^(0(?:\.\d{1,3})?|1)$"}
    })
}

/// Networks in CIDR notation. The API server knows the format, so a word that is none is refused when it is written, and not
/// when some importer reads it.
pub(crate) fn networks(_: &mut SchemaGenerator) -> Schema {
    json_schema!({"type": "array", "items": {"type": "string", "format": "cidr"}})
}
