//! What is read before the CDIConfig is planned: caches only.

use std::collections::BTreeMap;
use std::sync::Arc;

use api::annotation::CONFIG_AUTHORITY;
use api::cdi::{Cdi, CdiConfig, CdiConfigSpec, ImportProxy};
use kube::{Resource, ResourceExt};

use super::openshift::Proxy;
use super::{Feeds, authorities, upload_proxy};
use crate::Context;

/// Name of OpenShift's only Proxy.
const CLUSTER: &str = "cluster";

/// The CDIConfig and everything that it depends on.
#[derive(Clone, Debug)]
pub(crate) struct Observed {
    pub(crate) config: Arc<CdiConfig>,
    /// The settings of the CDI object, while that rules over CDIConfig's.
    pub(crate) authority: Option<CdiConfigSpec>,
    /// Names of the StorageClasses.
    pub(crate) classes: Vec<String>,
    /// Hosts that lead to the upload proxy, the preferred one first.
    pub(crate) upload_hosts: Vec<String>,
    /// Proxy of the whole cluster.
    pub(crate) cluster_proxy: Option<ImportProxy>,
    /// Its certificate authorities, as PEM.
    pub(crate) authorities: Option<String>,
    /// Labels that every object of the product has.
    pub(crate) labels: BTreeMap<String, String>,
}

pub(super) fn observe(config: Arc<CdiConfig>, context: &Context, feeds: &Feeds) -> Observed {
    let mut classes: Vec<_> = context.caches.classes.state().iter().map(|class| class.name_any()).collect();
    classes.sort();
    let proxy = feeds.proxies.as_ref().and_then(|proxies| proxies.find(|proxy| proxy.name_any() == CLUSTER));
    let authorities = proxy.as_deref().and_then(|proxy| authorities_of(proxy, feeds));
    Observed {
        authority: authority(&context.caches.cdis.state()),
        classes,
        upload_hosts: upload_hosts(feeds),
        cluster_proxy: proxy.and_then(|proxy| cluster_proxy(&proxy, authorities.is_some())),
        authorities,
        labels: context.settings.labels(),
        config,
    }
}

/// The settings of the oldest CDI object, if its annotation says that they rule, or if it has any: CDI's operator, which
/// annotates it, is not here.
fn authority(cdis: &[Arc<Cdi>]) -> Option<CdiConfigSpec> {
    let oldest = cdis.iter().min_by_key(|cdi| (cdi.creation_timestamp(), cdi.name_any()))?;
    let rules = oldest.annotations().contains_key(CONFIG_AUTHORITY);
    let config = oldest.spec.config.clone().unwrap_or_default();
    (rules || config != CdiConfigSpec::default()).then_some(config)
}

/// Ingresses come before Routes, each by name, so that the choice does not change from one look to the next.
fn upload_hosts(feeds: &Feeds) -> Vec<String> {
    let ingresses = sorted(feeds.ingresses.state());
    let routes = feeds.routes.as_ref().map(|routes| sorted(routes.state())).unwrap_or_default();
    let by_ingress = ingresses.iter().filter_map(|ingress| upload_proxy::host_of_ingress(ingress));
    by_ingress.chain(routes.iter().filter_map(|route| upload_proxy::host_of_route(route))).collect()
}

fn sorted<K: Resource>(mut objects: Vec<Arc<K>>) -> Vec<Arc<K>> {
    objects.sort_by_key(|object| object.name_any());
    objects
}

/// The certificates that the proxy is trusted with, as PEM.
fn authorities_of(proxy: &Proxy, feeds: &Feeds) -> Option<String> {
    if proxy.spec.trusted_ca.name != authorities::BUNDLE {
        return None;
    }
    let bundle = feeds.authorities.as_ref()?.state().pop()?;
    authorities::of(&bundle)
}

fn cluster_proxy(proxy: &Proxy, has_authorities: bool) -> Option<ImportProxy> {
    let status = proxy.status.clone()?;
    let set = |address: Option<String>| address.filter(|address| !address.is_empty());
    let proxy = ImportProxy {
        http_proxy: set(status.http_proxy),
        https_proxy: set(status.https_proxy),
        no_proxy: set(status.no_proxy),
        trusted_ca_proxy: has_authorities.then(|| authorities::COPY.to_owned()),
    };
    (proxy.http_proxy.is_some() || proxy.https_proxy.is_some()).then_some(proxy)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn cdi(name: &str, created: &str, rules: bool, preallocation: Option<bool>) -> Arc<Cdi> {
        let annotations = if rules { json!({(CONFIG_AUTHORITY): ""}) } else { json!({}) };
        let config = preallocation.map(|on| json!({"preallocation": on}));
        let cdi = json!({
            "apiVersion": "cdi.kubevirt.io/v1beta1",
            "kind": "CDI",
            "metadata": {"name": name, "creationTimestamp": created, "annotations": annotations},
            "spec": {"config": config}
        });
        Arc::new(serde_json::from_value(cdi).unwrap())
    }

    #[test]
    fn the_oldest_cdi_object_rules_if_its_annotation_says_so_or_it_has_settings() {
        let (early, late) = ("2026-01-01T00:00:00Z", "2026-01-02T00:00:00Z");
        for (cdis, expected) in [
            (vec![], None),
            (vec![cdi("cdi", early, false, None)], None),
            (vec![cdi("cdi", early, false, Some(true))], Some(Some(true))),
            (vec![cdi("cdi", early, true, Some(true))], Some(Some(true))),
            (vec![cdi("cdi", early, true, None)], Some(None)),
            (vec![cdi("a", late, true, Some(false)), cdi("z", early, true, Some(true))], Some(Some(true))),
            (vec![cdi("a", late, true, Some(false)), cdi("z", early, false, None)], None),
            (vec![cdi("z", early, true, Some(false)), cdi("a", early, true, Some(true))], Some(Some(true))),
        ] {
            assert_eq!(authority(&cdis).map(|config| config.preallocation), expected, "{cdis:?}");
        }
    }
}
