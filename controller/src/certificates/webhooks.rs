//! Which of our webhooks have to be told whom to believe.

use k8s_openapi::ByteString;
use k8s_openapi::api::admissionregistration::v1::{
    MutatingWebhookConfiguration, ValidatingWebhookConfiguration, WebhookClientConfig,
};
use serde_json::{Value, json};

use super::SERVICE;

/// The change of a configuration whose webhooks do not all believe just `bundle`.
pub(crate) fn validating(
    configuration: &ValidatingWebhookConfiguration,
    bundle: &str,
    namespace: &str,
) -> Option<Value> {
    let mut webhooks = configuration.webhooks.clone()?;
    let clients: Vec<_> = webhooks.iter_mut().map(|webhook| &mut webhook.client_config).collect();
    tell(clients, bundle, namespace).then(|| json!({"webhooks": webhooks}))
}

/// As [`validating`].
pub(crate) fn mutating(configuration: &MutatingWebhookConfiguration, bundle: &str, namespace: &str) -> Option<Value> {
    let mut webhooks = configuration.webhooks.clone()?;
    let clients: Vec<_> = webhooks.iter_mut().map(|webhook| &mut webhook.client_config).collect();
    tell(clients, bundle, namespace).then(|| json!({"webhooks": webhooks}))
}

/// Sets what is believed of our service; whether anything changed.
fn tell(clients: Vec<&mut WebhookClientConfig>, bundle: &str, namespace: &str) -> bool {
    let wanted = Some(ByteString(bundle.as_bytes().to_vec()));
    let mut changed = false;
    for client in clients {
        if is_ours(client, namespace) && client.ca_bundle != wanted {
            client.ca_bundle.clone_from(&wanted);
            changed = true;
        }
    }
    changed
}

/// Whether every webhook of ours, of these, believes the authority, maybe among others.
pub(crate) fn all_believe<'a>(
    clients: impl IntoIterator<Item = &'a WebhookClientConfig>,
    authority: &str,
    namespace: &str,
) -> bool {
    clients.into_iter().filter(|client| is_ours(client, namespace)).all(|client| {
        let believed = client.ca_bundle.as_ref().and_then(|bundle| std::str::from_utf8(&bundle.0).ok());
        believed.is_some_and(|believed| believed.contains(authority))
    })
}

/// A webhook that leads elsewhere is another's.
fn is_ours(client: &WebhookClientConfig, namespace: &str) -> bool {
    client.service.as_ref().is_some_and(|service| service.name == SERVICE && service.namespace == namespace)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `bundle`, as JSON has it.
    const ENCODED: &str = "YnVuZGxl";

    fn webhook(name: &str, service: &str, believed: Option<&str>) -> Value {
        json!({
            "name": name,
            "admissionReviewVersions": ["v1"],
            "sideEffects": "None",
            "timeoutSeconds": 30,
            "clientConfig": {"service": {"name": service, "namespace": "cdi", "path": "/x"}, "caBundle": believed}
        })
    }

    fn configuration<K: serde::de::DeserializeOwned>(webhooks: &[Value]) -> K {
        serde_json::from_value(json!({"metadata": {"name": "one-of-ours"}, "webhooks": webhooks})).unwrap()
    }

    #[test]
    fn a_webhook_of_ours_that_does_not_believe_the_bundle_is_told() {
        for (service, namespace, believed, told) in [
            ("cdi-api", "cdi", None, true),
            ("cdi-api", "cdi", Some("b2xk"), true),
            ("cdi-api", "cdi", Some(ENCODED), false),
            ("cdi-api", "another", None, false),
            ("other", "cdi", None, false),
        ] {
            let found: ValidatingWebhookConfiguration = configuration(&[webhook("a.b.c", service, believed)]);
            let change = validating(&found, "bundle", namespace);
            assert_eq!(change.is_some(), told, "{service} {namespace} {believed:?}");
            if let Some(change) = change {
                assert_eq!(change["webhooks"][0]["clientConfig"]["caBundle"], ENCODED);
                assert_eq!(change["webhooks"][0]["timeoutSeconds"], 30, "the rest stays");
            }
        }
    }

    #[test]
    fn an_authority_is_believed_if_every_webhook_of_ours_has_it() {
        for (webhooks, believed) in [
            (vec![], true),
            (vec![("cdi-api", Some(ENCODED))], true),
            // "a bundle and more"
            (vec![("cdi-api", Some("YSBidW5kbGUgYW5kIG1vcmU=")), ("other", None)], true),
            (vec![("cdi-api", Some(ENCODED)), ("cdi-api", None)], false),
            (vec![("cdi-api", Some("b2xk"))], false),
        ] {
            let webhooks: Vec<_> =
                webhooks.into_iter().map(|(service, believed)| webhook("a.b.c", service, believed)).collect();
            let found: MutatingWebhookConfiguration = configuration(&webhooks);
            let clients = found.webhooks.iter().flatten().map(|webhook| &webhook.client_config);
            assert_eq!(all_believe(clients, "bundle", "cdi"), believed, "{webhooks:?}");
        }
    }

    #[test]
    fn a_change_has_all_webhooks_of_a_configuration() {
        let webhooks = [webhook("a.b.c", "other", None), webhook("d.e.f", "cdi-api", None)];
        let found: MutatingWebhookConfiguration = configuration(&webhooks);
        let change = mutating(&found, "bundle", "cdi").unwrap();
        assert_eq!(change["webhooks"].as_array().unwrap().len(), 2);
        assert!(change["webhooks"][0]["clientConfig"].get("caBundle").is_none());
        assert_eq!(change["webhooks"][1]["clientConfig"]["caBundle"], ENCODED);
    }
}
