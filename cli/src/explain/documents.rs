//! The documents of a manifest: DataVolumes to explain, and Secrets and ConfigMaps that will be there with them.

use std::collections::BTreeSet;
use std::path::Path;

use contract::{Code, Failure};
use serde_json::Value;

use crate::manifest;

/// What manifests hold.
#[derive(Debug, Default)]
pub(super) struct Documents {
    pub(super) data_volumes: Vec<Value>,
    /// Kind, namespace, if any is named, name and keys of what comes with them; never a value.
    given: Vec<Given>,
    /// Kinds of objects that are not looked at.
    pub(super) others: BTreeSet<String>,
}

#[derive(Debug)]
struct Given {
    kind: String,
    namespace: Option<String>,
    name: String,
    keys: BTreeSet<String>,
}

impl Documents {
    /// Adds what `file` holds; `-` is standard input.
    ///
    /// # Errors
    /// Code `usage`: it cannot be read, or is no YAML.
    pub(super) fn add(&mut self, file: &Path) -> Result<(), Failure> {
        let place = |failure: Failure| failure.at(file.display().to_string());
        self.add_text(&manifest::read(file)?).map_err(place)
    }

    fn add_text(&mut self, text: &str) -> Result<(), Failure> {
        // Snippets could show a Secret's value.
        let options = serde_saphyr::options! { with_snippet: false };
        let values: Vec<Value> = serde_saphyr::from_multiple_with_options(text, options)
            .map_err(|error| Failure::new(Code::Usage, format!("the manifest cannot be read as YAML: {error}")))?;
        values.into_iter().filter(|value| !value.is_null()).try_for_each(|value| self.add_object(value))
    }

    fn add_object(&mut self, mut value: Value) -> Result<(), Failure> {
        let field = |name: &str| value[name].as_str().unwrap_or_default().to_owned();
        let (version, kind) = (field("apiVersion"), field("kind"));
        match (version.as_str(), kind.as_str()) {
            ("v1", "List") => match value["items"].take() {
                Value::Array(items) => items.into_iter().try_for_each(|item| self.add_object(item)),
                _ => Ok(()),
            },
            ("cdi.kubevirt.io/v1beta1", "DataVolume") => {
                self.data_volumes.push(value);
                Ok(())
            }
            ("v1", "Secret" | "ConfigMap") => {
                self.given.push(Given::of(kind, &value));
                Ok(())
            }
            ("", _) | (_, "") => Err(Failure::new(Code::Usage, "a document has no apiVersion or no kind")),
            _ => {
                self.others.insert(format!("{kind} ({version})"));
                Ok(())
            }
        }
    }

    /// Keys of an object that comes with the DataVolumes of a namespace.
    pub(super) fn keys(&self, kind: &str, namespace: &str, name: &str) -> Option<&BTreeSet<String>> {
        let is = |given: &&Given| {
            given.kind == kind && given.name == name && given.namespace.as_deref().is_none_or(|own| own == namespace)
        };
        self.given.iter().find(is).map(|given| &given.keys)
    }
}

impl Given {
    fn of(kind: String, value: &Value) -> Self {
        let keys = ["data", "stringData", "binaryData"].iter().filter_map(|part| value[part].as_object());
        Self {
            kind,
            namespace: value["metadata"]["namespace"].as_str().map(str::to_owned),
            name: value["metadata"]["name"].as_str().unwrap_or_default().to_owned(),
            keys: keys.flat_map(|part| part.keys().cloned()).collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_and_several_documents_are_read_and_only_keys_of_secrets_are_kept() {
        let mut documents = Documents::default();
        let text = "
apiVersion: v1
kind: List
items:
- {apiVersion: cdi.kubevirt.io/v1beta1, kind: DataVolume, metadata: {name: one}}
- {apiVersion: v1, kind: Secret, metadata: {name: login}, data: {accessKeyId: dXNlcg==}, stringData: {secretKey: hidden}}
---
---
{apiVersion: cdi.kubevirt.io/v1beta1, kind: DataVolume, metadata: {name: two}}
---
{apiVersion: v1, kind: ConfigMap, metadata: {name: ca, namespace: other}, data: {ca.pem: x}}
---
{apiVersion: v1, kind: Service, metadata: {name: web}}
";
        documents.add_text(text).unwrap();
        assert_eq!(documents.data_volumes.len(), 2);
        let keys: Vec<_> = documents.keys("Secret", "home", "login").unwrap().iter().map(String::as_str).collect();
        assert_eq!(keys, ["accessKeyId", "secretKey"]);
        assert!(!format!("{documents:?}").contains("hidden"));
        assert!(documents.keys("ConfigMap", "home", "ca").is_none());
        assert!(documents.keys("ConfigMap", "other", "ca").is_some());
        assert_eq!(documents.others.iter().map(String::as_str).collect::<Vec<_>>(), ["Service (v1)"]);
    }

    #[test]
    fn what_is_no_object_is_refused() {
        let refused = |text: &str| Documents::default().add_text(text).unwrap_err().code();
        assert_eq!(refused("{kind: DataVolume}"), Code::Usage);
        assert_eq!(refused("a: [b"), Code::Usage);
    }
}
