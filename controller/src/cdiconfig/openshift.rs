//! The two kinds of OpenShift that say something about us, as far as they do.

use kube::CustomResource;
use serde::{Deserialize, Serialize};

/// Way from outside to a service.
#[derive(CustomResource, Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
#[kube(
    group = "route.openshift.io",
    version = "v1",
    kind = "Route",
    namespaced,
    schema = "disabled",
    status = "RouteStatus"
)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct RouteSpec {
    /// Where it leads to.
    pub(crate) to: RouteTarget,
}

/// Where a route leads to.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct RouteTarget {
    /// Name of the service.
    pub(crate) name: String,
}

/// What routers made of a route.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct RouteStatus {
    /// One per router.
    pub(crate) ingress: Vec<RouteIngress>,
}

/// What one router made of a route.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct RouteIngress {
    /// Host that it answers for.
    pub(crate) host: String,
}

/// The cluster's proxy.
#[derive(CustomResource, Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
#[kube(
    group = "config.openshift.io",
    version = "v1",
    kind = "Proxy",
    plural = "proxies",
    schema = "disabled",
    status = "ProxyStatus"
)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct ProxySpec {
    /// What to trust it with.
    #[serde(rename = "trustedCA")]
    pub(crate) trusted_ca: Authorities,
}

/// Certificate authorities in OpenShift's own namespace.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
#[serde(default)]
pub(crate) struct Authorities {
    /// Name of their ConfigMap.
    pub(crate) name: String,
}

/// The cluster's proxy as it is in force.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct ProxyStatus {
    /// Proxy for http addresses.
    pub(crate) http_proxy: Option<String>,
    /// Proxy for https addresses.
    pub(crate) https_proxy: Option<String>,
    /// Hosts and networks that are reached without a proxy.
    pub(crate) no_proxy: Option<String>,
}
