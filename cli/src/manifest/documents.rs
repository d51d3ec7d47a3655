//! The documents of a manifest: one DataVolume, and the ConfigMaps and Secrets that it names.

use std::collections::BTreeMap;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use contract::{Code, Failure};
use serde::Deserialize;
use serde::de::{DeserializeOwned, IgnoredAny};
use serde_json::Value;

use super::data_volume::DataVolume;

/// What a manifest holds.
#[derive(Debug)]
pub(super) struct Documents {
    pub(super) volume: DataVolume,
    objects: Vec<Object>,
}

/// A ConfigMap or a Secret.
#[derive(Debug)]
struct Object {
    kind: &'static str,
    name: String,
    namespace: Option<String>,
    data: BTreeMap<String, Vec<u8>>,
}

/// A ConfigMap or a Secret as written.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Written {
    #[serde(rename = "apiVersion")]
    _api_version: IgnoredAny,
    #[serde(rename = "kind")]
    _kind: IgnoredAny,
    #[serde(rename = "type")]
    _type: Option<IgnoredAny>,
    #[serde(rename = "immutable")]
    _immutable: Option<IgnoredAny>,
    metadata: Name,
    #[serde(default)]
    data: BTreeMap<String, String>,
    #[serde(default)]
    string_data: BTreeMap<String, String>,
    #[serde(default)]
    binary_data: BTreeMap<String, String>,
}

#[derive(Deserialize)]
struct Name {
    name: String,
    namespace: Option<String>,
}

/// Reads all documents of `text`.
///
/// # Errors
/// Code `usage`: no YAML, no or two DataVolumes, an object of another kind, an unknown field. A value of a Secret is never
/// part of the message.
pub(super) fn read(text: &str) -> Result<Documents, Failure> {
    let options = serde_saphyr::options! { with_snippet: false };
    let values: Vec<Value> = serde_saphyr::from_multiple_with_options(text, options)
        .map_err(|error| Failure::new(Code::Usage, format!("the manifest cannot be read as YAML: {error}")))?;
    let (mut volumes, mut objects) = (Vec::new(), Vec::new());
    for (number, value) in (1..).zip(values).filter(|(_, value)| !value.is_null()) {
        let field = |name: &str| value[name].as_str().unwrap_or_default().to_owned();
        let (version, kind) = (field("apiVersion"), field("kind"));
        let place = |failure: Failure| failure.at(format!("document {number}"));
        match (version.as_str(), kind.as_str()) {
            ("cdi.kubevirt.io/v1beta1", "DataVolume") => volumes.push(typed(value, true).map_err(place)?),
            ("v1", "ConfigMap") => objects.push(Object::read("ConfigMap", value).map_err(place)?),
            ("v1", "Secret") => objects.push(Object::read("Secret", value).map_err(place)?),
            _ => {
                let what = format!("the object is a {kind:?} of {version:?}, which is not read");
                let failure = Failure::new(Code::Usage, what);
                return Err(place(failure.remedy(
                    "leave only the DataVolume (cdi.kubevirt.io/v1beta1) and the ConfigMaps and Secrets (v1) that it names",
                )));
            }
        }
    }
    match <[DataVolume; 1]>::try_from(volumes) {
        Ok([volume]) => Ok(Documents { volume, objects }),
        Err(volumes) if volumes.is_empty() => Err(Failure::new(Code::Usage, "the manifest has no DataVolume")),
        Err(volumes) => {
            let names: Vec<_> = volumes.iter().map(|volume| volume.metadata.name.as_deref().unwrap_or("?")).collect();
            let what = format!("the manifest has several DataVolumes ({}), and an import is of one", names.join(", "));
            Err(Failure::new(Code::Usage, what).remedy("give each a file of its own"))
        }
    }
}

/// `value` as `T`; a fault is named by its path. What stands there is shown only if `may_show`.
fn typed<T: DeserializeOwned>(value: Value, may_show: bool) -> Result<T, Failure> {
    serde_path_to_error::deserialize(value).map_err(|error| {
        let path = error.path().to_string();
        let what = if may_show { error.inner().to_string() } else { "not what such an object has there".to_owned() };
        Failure::new(Code::Usage, format!("{path}: {what}"))
            .remedy("correct the manifest; `kubectl explain datavolume.spec` lists the fields")
    })
}

impl Object {
    fn read(kind: &'static str, value: Value) -> Result<Self, Failure> {
        let is_secret = kind == "Secret";
        let Written { metadata: Name { name, namespace }, data, string_data, binary_data, .. } =
            typed(value, !is_secret)?;
        let (encoded, plain) = if is_secret { (data, string_data) } else { (binary_data, data) };
        let mut data = BTreeMap::new();
        for (key, text) in encoded {
            // An encoded text may be folded.
            let text: String = text.split_ascii_whitespace().collect();
            let bytes = STANDARD.decode(text).map_err(|_| {
                Failure::new(Code::Usage, format!("the value of {key:?} of the {kind} {name:?} is not base64"))
            })?;
            data.insert(key, bytes);
        }
        data.extend(plain.into_iter().map(|(key, text)| (key, text.into_bytes())));
        Ok(Self { kind, name, namespace, data })
    }
}

impl Documents {
    /// The data of the object that `field` of the DataVolume names.
    ///
    /// # Errors
    /// Code `usage`: it is not in the manifest.
    pub(super) fn data(&self, kind: &str, name: &str, field: &str) -> Result<&BTreeMap<String, Vec<u8>>, Failure> {
        let here = &self.volume.metadata.namespace;
        let is_here = |object: &&Object| match (here, &object.namespace) {
            (Some(here), Some(there)) => here == there,
            _ => true,
        };
        let found = self.objects.iter().filter(|object| object.kind == kind && object.name == name).find(is_here);
        found.map(|object| &object.data).ok_or_else(|| {
            let what = format!("{field} names the {kind} {name:?}, which is not in the manifest");
            Failure::new(Code::Usage, what).remedy(format!(
                "there is no cluster to ask: add the {kind} as a further document (`kubectl get {} {name} -o yaml`)",
                kind.to_lowercase()
            ))
        })
    }
}
