//! What the installation's settings mean for worker pods.

use std::sync::Arc;

use api::cdi::{Cdi, CdiConfig, CdiConfigStatus, NodePlacement, SourcePolicy};
use k8s_openapi::api::core::v1::PersistentVolumeClaim;
use kube::ResourceExt;
use kube::runtime::reflector::ObjectRef;

use crate::Context;
use crate::cdiconfig::Features;
use crate::import::{Proxy, Workload};

/// Name of the only CDIConfig.
const CONFIG: &str = "config";
/// Share of a file system that is kept for itself where nothing is said.
const OVERHEAD: &str = "0.06";

/// The settings in force, as the CDIConfig's status has them.
pub(crate) fn config(context: &Context) -> CdiConfigStatus {
    in_force(object(context).as_deref())
}

fn object(context: &Context) -> Option<Arc<CdiConfig>> {
    context.caches.configs.get(&ObjectRef::new(CONFIG))
}

/// The settings in force.
pub(crate) fn in_force(config: Option<&CdiConfig>) -> CdiConfigStatus {
    config.and_then(|config| config.status.clone()).unwrap_or_default()
}

/// The feature gates that are open.
pub(crate) fn features(context: &Context) -> Features {
    open_gates(object(context).as_deref())
}

/// The feature gates that are open.
pub(crate) fn open_gates(config: Option<&CdiConfig>) -> Features {
    Features::of(config.map(|config| config.spec.feature_gates.as_slice()).unwrap_or_default())
}

/// The settings for the worker pod of a claim.
pub(crate) fn of(claim: &PersistentVolumeClaim, context: &Context) -> Workload {
    let cdis = context.caches.cdis.state();
    for_claim(claim, object(context).as_deref(), cdis.iter().map(AsRef::as_ref))
}

/// The settings for the worker pod of a claim, where these are the installation's.
pub(crate) fn for_claim<'a>(
    claim: &PersistentVolumeClaim,
    config: Option<&CdiConfig>,
    cdis: impl Iterator<Item = &'a Cdi>,
) -> Workload {
    let in_force = in_force(config);
    let placement = placement(cdis);
    let class = claim.spec.as_ref().and_then(|spec| spec.storage_class_name.as_deref()).unwrap_or_default();
    let proxy = in_force.import_proxy.clone().unwrap_or_default();
    let set = |text: Option<String>| text.filter(|text| !text.is_empty());
    let policy = source_policy(config, &claim.namespace().unwrap_or_default());
    Workload {
        resources: in_force.default_pod_resource_requirements.clone(),
        pull_secrets: in_force.image_pull_secrets.clone(),
        node_selector: placement.node_selector,
        affinity: placement.affinity,
        tolerations: placement.tolerations,
        overhead: overhead(&in_force, class),
        proxy: Proxy {
            http: set(proxy.http_proxy),
            https: set(proxy.https_proxy),
            not_for: set(proxy.no_proxy),
            certificates: set(proxy.trusted_ca_proxy),
        },
        denied: denied(&policy),
        allowed: policy.allow.join(","),
        verbosity: config.and_then(|config| config.spec.log_verbosity).unwrap_or(1),
    }
}

/// Which addresses sources may be at, beyond what every importer closes.
fn source_policy(config: Option<&CdiConfig>, namespace: &str) -> SourcePolicy {
    let ours = config.and_then(|config| config.spec.gantry.as_ref());
    ours.and_then(|ours| ours.source_policy_in(namespace)).cloned().unwrap_or_default()
}

fn denied(policy: &SourcePolicy) -> String {
    let private = (policy.deny_private == Some(true)).then_some("private");
    private.into_iter().chain(policy.deny.iter().map(String::as_str)).collect::<Vec<_>>().join(",")
}

/// Share of a file system of this class that is kept for itself.
pub(crate) fn overhead(config: &CdiConfigStatus, class: &str) -> String {
    let Some(overhead) = &config.filesystem_overhead else { return OVERHEAD.into() };
    let of_class = overhead.storage_class.get(class).cloned();
    of_class.or_else(|| overhead.global.clone()).unwrap_or_else(|| OVERHEAD.into())
}

/// Where worker pods run; the oldest CDI object says it.
fn placement<'a>(cdis: impl Iterator<Item = &'a Cdi>) -> NodePlacement {
    let oldest = cdis.min_by_key(|cdi| (cdi.creation_timestamp(), cdi.name_any()));
    oldest.and_then(|cdi| cdi.spec.workload.clone()).unwrap_or_default()
}

/// Whether the webhook completes claims that ask for it.
pub(crate) fn webhook_renders(context: &Context) -> bool {
    renders_by_webhook(object(context).as_deref())
}

/// Whether the webhook completes claims that ask for it.
pub(crate) fn renders_by_webhook(config: Option<&CdiConfig>) -> bool {
    config.and_then(|config| config.spec.webhook_pvc_rendering.as_deref()) != Some("Disabled")
}
