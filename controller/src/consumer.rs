//! The fingerprint means "as populated": it goes when the first writable consumer of the claim starts.

use std::sync::Arc;

use api::annotation;
use k8s_openapi::api::core::v1::{PersistentVolumeClaim, Pod};
use kube::ResourceExt;
use kube::runtime::controller::Action;
use kube::runtime::reflector::ObjectRef;
use reconcile::Error;
use serde_json::json;

use crate::caches::claims_of;
use crate::{Context, names};

/// Takes the fingerprint from a claim that somebody may be writing to.
///
/// # Errors
/// When the API server does not take the change.
pub(crate) async fn reconcile(claim: Arc<PersistentVolumeClaim>, context: Arc<Context>) -> Result<Action, Error> {
    if claim.annotations().contains_key(annotation::FINGERPRINT) {
        let pods = context.caches.indexes.users.get(&ObjectRef::from_obj(claim.as_ref()));
        if pods.iter().any(|pod| may_write(pod, &claim)) {
            let change = json!({"metadata": {"annotations": {annotation::FINGERPRINT: null}}});
            context.writer.change(claim.as_ref(), change).await?;
        }
    }
    Ok(Action::await_change())
}

/// A pod that uses the claim and has a node may write at any moment from now on.
fn may_write(pod: &Pod, claim: &PersistentVolumeClaim) -> bool {
    let placed = pod.spec.as_ref().is_some_and(|spec| spec.node_name.is_some());
    let (name, importer) = (claim.name_any(), names::importer(&claim.name_any()));
    placed && pod.name_any() != importer && claims_of(pod).any(|(used, only_reads)| used == name && !only_reads)
}
