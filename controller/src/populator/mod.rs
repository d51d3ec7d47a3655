//! Fills claims whose `dataSourceRef` is a VolumeImportSource: a prime claim is filled in their place, and its volume handed
//! over when it is complete (cdi.md §2.7). A consumer never sees half a disk.

pub(crate) mod build;
pub(crate) mod observe;
pub(crate) mod plan;

use std::sync::Arc;

use k8s_openapi::api::core::v1::PersistentVolumeClaim;
use kube::runtime::controller::Action;
use reconcile::{Error, Kind};
use serde_json::json;

use self::observe::Observed;
pub(crate) use self::observe::is_bare;
use self::plan::Plan;
use crate::{Context, quota};

/// The VolumeImportSource that a claim wants to be filled from, which is in the claim's own namespace: what it names, such as a
/// Secret, is the namespace's.
pub(crate) fn source_of(claim: &PersistentVolumeClaim) -> Option<&str> {
    let source = claim.spec.as_ref()?.data_source_ref.as_ref()?;
    let ours = source.api_group.as_deref() == Some("cdi.kubevirt.io") && source.kind == "VolumeImportSource";
    ours.then_some(source.name.as_str())
}

/// Brings one population a step further.
///
/// # Errors
/// When the API server does not take a write; what was written before stays and is not done again.
pub(crate) async fn reconcile(target: Arc<PersistentVolumeClaim>, context: Arc<Context>) -> Result<Action, Error> {
    let Some(source) = source_of(&target).map(str::to_owned) else { return Ok(Action::await_change()) };
    let observed = observe::observe(target, &source, &context);
    let plan = plan::plan(&observed, &context.settings);
    if let Some(refusal) = create_prime(&plan, &context).await? {
        return quota::show(observed.target.as_ref(), &refusal, "ErrCreatingPVCPrime", &context).await;
    }
    annotate(&observed, &plan, &context).await?;
    hand_over(&observed, &plan, &context).await?;
    if plan.delete_prime
        && let Some(prime) = &observed.prime
    {
        context.writer.delete(prime.as_ref()).await?;
    }
    context.tell(observed.target.as_ref(), &plan.events).await;
    Ok(Action::await_change())
}

/// Creates the prime claim, if one is planned; gives back what refused it.
async fn create_prime(plan: &Plan, context: &Context) -> Result<Option<Error>, Error> {
    let Some(prime) = &plan.create else { return Ok(None) };
    match context.writer.create(prime.as_ref()).await {
        Err(error) if matches!(error.kind(), Kind::Quota | Kind::Refused) => Ok(Some(error)),
        // The cache has not seen it yet.
        Err(error) if error.kind() == Kind::Exists => Ok(None),
        other => other.map(|_| None),
    }
}

async fn annotate(observed: &Observed, plan: &Plan, context: &Context) -> Result<(), Error> {
    if plan.annotations.is_empty() {
        return Ok(());
    }
    let change = json!({"metadata": {"annotations": plan.annotations}});
    context.writer.change(observed.target.as_ref(), change).await.map(drop)
}

async fn hand_over(observed: &Observed, plan: &Plan, context: &Context) -> Result<(), Error> {
    let (Some(change), Some(volume)) = (&plan.hand_over, &observed.volume) else { return Ok(()) };
    context.writer.change_as_read(volume.as_ref(), change.clone()).await.map(drop)
}
