//! Certificate authorities of OpenShift's own proxy: copied to the product's namespace, from where importers get theirs
//! (cdi.md §3.8).

use std::collections::BTreeMap;

use api::label;
use k8s_openapi::api::core::v1::ConfigMap;
use kube::core::ObjectMeta;
use reconcile::Error;
use serde_json::json;

use crate::Context;
use crate::settings::Settings;

/// Where OpenShift keeps them, and under which key.
pub(super) const NAMESPACE: &str = "openshift-config";
pub(super) const BUNDLE: &str = "user-ca-bundle";
const KEY: &str = "ca-bundle.crt";
/// Where they are copied to, and under which key.
pub(super) const COPY: &str = "trusted-ca-proxy-bundle-cm";
const KEY_OF_COPY: &str = "ca.crt";

/// The certificates of OpenShift's ConfigMap, as PEM.
pub(super) fn of(bundle: &ConfigMap) -> Option<String> {
    bundle.data.as_ref()?.get(KEY).filter(|text| !text.trim().is_empty()).cloned()
}

/// Makes the copy, or brings it up to date.
///
/// # Errors
/// When the API server does not take it.
pub(super) async fn keep(certificates: &str, context: &Context) -> Result<(), Error> {
    let held = |copy: &ConfigMap| copy.data.as_ref()?.get(KEY_OF_COPY).cloned();
    match context.writer.read::<ConfigMap>(&context.settings.namespace, COPY).await? {
        None => context.writer.create(&copy(certificates, &context.settings)).await.map(drop),
        Some(copy) if held(&copy).as_deref() == Some(certificates) => Ok(()),
        Some(copy) => context.writer.change(&copy, json!({"data": {(KEY_OF_COPY): certificates}})).await.map(drop),
    }
}

fn copy(certificates: &str, settings: &Settings) -> ConfigMap {
    let component = (label::COMPONENT.to_owned(), String::new());
    ConfigMap {
        metadata: ObjectMeta {
            name: Some(COPY.to_owned()),
            namespace: Some(settings.namespace.clone()),
            labels: Some(settings.labels().into_iter().chain([component]).collect()),
            ..ObjectMeta::default()
        },
        data: Some(BTreeMap::from([(KEY_OF_COPY.to_owned(), certificates.to_owned())])),
        ..ConfigMap::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sample;

    #[test]
    fn certificates_are_copied_under_the_key_that_importers_look_for() {
        let bundle: ConfigMap = sample::yaml("{data: {ca-bundle.crt: 'a certificate', other: 'a text'}}");
        let certificates = of(&bundle).unwrap();
        let copy = copy(&certificates, &sample::settings());
        assert_eq!(copy.data.unwrap(), [("ca.crt".to_owned(), "a certificate".to_owned())].into());
        assert_eq!(copy.metadata.namespace.as_deref(), Some("cdi"));
        for empty in ["{}", "{data: {}}", "{data: {ca-bundle.crt: ' '}}"] {
            assert_eq!(of(&sample::yaml(empty)), None, "{empty}");
        }
    }
}
