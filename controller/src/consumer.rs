//! The fingerprint means "as populated": it goes when the first writable consumer of the claim starts.

use std::sync::Arc;

use api::annotation;
use api::cdi::DataVolume;
use k8s_openapi::api::core::v1::{PersistentVolumeClaim, Pod};
use kube::ResourceExt;
use kube::runtime::controller::Action;
use kube::runtime::reflector::ObjectRef;
use reconcile::Error;
use serde_json::json;

use crate::caches::claims_of;
use crate::watches::owner;
use crate::{Context, names};

/// Takes the fingerprint from a claim that somebody may be writing to, once the claim's DataVolume shows it.
///
/// # Errors
/// When the API server does not take the change.
pub(crate) async fn reconcile(claim: Arc<PersistentVolumeClaim>, context: Arc<Context>) -> Result<Action, Error> {
    let caches = &context.caches;
    let pods = caches.indexes.users.get(&ObjectRef::from_obj(claim.as_ref()));
    let data_volume = owner(claim.as_ref()).and_then(|owner| caches.data_volumes.get(&owner));
    if is_to_go(&claim, data_volume.as_deref(), &pods) {
        let change = json!({"metadata": {"annotations": {annotation::FINGERPRINT: null}}});
        context.writer.change(claim.as_ref(), change).await?;
    }
    Ok(Action::await_change())
}

/// Whether a claim has a fingerprint that may be true no longer; its DataVolume, if there is one, has it for ever.
fn is_to_go(claim: &PersistentVolumeClaim, data_volume: Option<&DataVolume>, pods: &[Arc<Pod>]) -> bool {
    let Some(fingerprint) = claim.annotations().get(annotation::FINGERPRINT) else { return false };
    let is_shown = |data_volume: &DataVolume| {
        let status = data_volume.status.as_ref().and_then(|status| status.gantry.as_ref());
        status.is_some_and(|status| status.fingerprint.as_ref() == Some(fingerprint))
    };
    pods.iter().any(|pod| may_write(pod, claim))
        && data_volume.is_none_or(|it| it.metadata.deletion_timestamp.is_some() || is_shown(it))
}

/// A pod that uses the claim and has a node may write at any moment from now on.
fn may_write(pod: &Pod, claim: &PersistentVolumeClaim) -> bool {
    let placed = pod.spec.as_ref().is_some_and(|spec| spec.node_name.is_some());
    let (name, importer) = (claim.name_any(), names::importer(&claim.name_any()));
    placed && pod.name_any() != importer && claims_of(pod).any(|(used, only_reads)| used == name && !only_reads)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sample::{self, yaml};

    /// A pod that uses the claim `disk`.
    fn user(name: &str, node: &str, only_reads: bool) -> Arc<Pod> {
        Arc::new(yaml(&format!(
            "{{metadata: {{name: {name}}}, spec: {{containers: [], {node} volumes: [{{name: disk, \
             persistentVolumeClaim: {{claimName: disk, readOnly: {only_reads}}}}}]}}}}"
        )))
    }

    fn data_volume(metadata: &str, fingerprint: &str) -> DataVolume {
        yaml(&format!(
            "{{metadata: {{name: disk{metadata}}}, spec: {{source: {{blank: {{}}}}}}, \
             status: {{gantry: {{fingerprint: '{fingerprint}'}}}}}}"
        ))
    }

    fn goes(data_volume: Option<&DataVolume>, pod: Arc<Pod>) -> bool {
        let claim = sample::claim("disk", "Bound", &[(annotation::FINGERPRINT, "gantry1:1:ff")]);
        is_to_go(&claim, data_volume, &[pod])
    }

    #[test]
    fn the_fingerprint_goes_when_somebody_else_may_write() {
        for (name, node, only_reads, expected) in [
            ("vm", "nodeName: node-1,", false, true),
            ("vm", "", false, false),
            ("vm", "nodeName: node-1,", true, false),
            ("importer-disk", "nodeName: node-1,", false, false),
        ] {
            assert_eq!(goes(None, user(name, node, only_reads)), expected, "{name} {node} {only_reads}");
        }
        let claim = sample::claim("disk", "Bound", &[]);
        assert!(!is_to_go(&claim, None, &[user("vm", "nodeName: node-1,", false)]));
    }

    #[test]
    fn it_stays_until_its_data_volume_shows_it() {
        for (metadata, shown, expected) in [
            ("", "", false),
            ("", "gantry1:1:00", false),
            ("", "gantry1:1:ff", true),
            (", deletionTimestamp: '2026-01-01T00:00:00Z'", "", true),
        ] {
            let goes = goes(Some(&data_volume(metadata, shown)), user("vm", "nodeName: node-1,", false));
            assert_eq!(goes, expected, "{metadata} {shown}");
        }
    }
}
