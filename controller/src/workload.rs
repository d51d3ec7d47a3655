//! What the installation's settings mean for worker pods.

use std::sync::Arc;

use api::annotation;
use api::cdi::{Cdi, CdiConfig, CdiConfigStatus, NodePlacement, SourcePolicy};
use k8s_openapi::api::core::v1::PersistentVolumeClaim;
use k8s_openapi::api::storage::v1::StorageClass;
use kube::ResourceExt;
use kube::runtime::reflector::ObjectRef;

use crate::Context;
use crate::cdiconfig::Features;
use crate::import::{Proxy, Workload};
use crate::storageprofile::NO_PROVISIONER;

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
pub(crate) fn of(claim: &PersistentVolumeClaim, class: Option<&StorageClass>, context: &Context) -> Workload {
    let cdis = context.caches.cdis.state();
    for_claim(claim, class, object(context).as_deref(), cdis.iter().map(AsRef::as_ref))
}

/// The settings for the worker pod of a claim, where these are the installation's.
pub(crate) fn for_claim<'a>(
    claim: &PersistentVolumeClaim,
    class_of: Option<&StorageClass>,
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
        is_used: !is_new(claim, class_of),
    }
}

/// Whether the volume of a claim of this class is made for it: one that was made by hand may have been used.
fn is_new(claim: &PersistentVolumeClaim, class: Option<&StorageClass>) -> bool {
    let has_volume = claim.spec.as_ref().is_some_and(|spec| spec.volume_name.is_some());
    let will_be_made = || class.is_some_and(|class| class.provisioner != NO_PROVISIONER);
    claim.annotations().contains_key(annotation::STORAGE_PROVISIONER) || (!has_volume && will_be_made())
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
    // As `api::render` sizes claims: without a class nothing is known.
    if class.is_empty() {
        return "0".into();
    }
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sample;

    #[test]
    fn a_volume_is_new_if_it_is_made_for_its_claim() {
        let made = [(annotation::STORAGE_PROVISIONER, "csi.gantry.dev")];
        let by_hand = StorageClass { provisioner: NO_PROVISIONER.into(), ..sample::class("WaitForFirstConsumer") };
        let makes = sample::class("WaitForFirstConsumer");
        for (phase, annotations, class, new) in [
            ("Bound", &made[..], None, true),
            ("Bound", &[], Some(&makes), false),
            ("Pending", &[], Some(&makes), true),
            ("Pending", &[], Some(&by_hand), false),
            ("Pending", &[], None, false),
        ] {
            assert_eq!(is_new(&sample::claim("disk", phase, annotations), class), new, "{phase} {annotations:?}");
        }
    }

    #[test]
    fn nothing_is_kept_back_where_no_class_is_known() {
        let config = CdiConfigStatus::default();
        assert_eq!((overhead(&config, ""), overhead(&config, "local")), ("0".to_owned(), OVERHEAD.to_owned()));
    }
}
