//! Fills claims that ask for an import in CDI's annotations, with one importer pod each: prime claims of the populator,
//! claims of DataVolumes on the direct path, and claims that were annotated by hand.

pub(crate) mod build;
pub(crate) mod observe;
pub(crate) mod plan;
mod request;
mod status;
mod told;

use std::collections::BTreeMap;
use std::sync::Arc;

use contract::{Code, Failure};
use k8s_openapi::api::core::v1::{ConfigMap, PersistentVolumeClaim};
use kube::runtime::controller::Action;
use reconcile::{Error, Kind};
use serde_json::json;

pub(crate) use self::build::{Proxy, Workload};
use self::observe::Observed;
pub(crate) use self::observe::{class_of, is_running, waits_for_consumer};
use self::plan::Plan;
pub(crate) use self::plan::is_finished;
pub(crate) use self::request::{Request, annotations, content};
pub(crate) use self::status::{Annotations, finished_at, is_over, restarts_of};
pub(crate) use self::told::{forgotten, target_of};
use crate::Context;

/// Brings one claim a step nearer to its disk.
///
/// # Errors
/// When the API server does not take a write; what was written before stays and is not done again.
pub(crate) async fn reconcile(claim: Arc<PersistentVolumeClaim>, context: Arc<Context>) -> Result<Action, Error> {
    if !Request::is_of(&claim) {
        return Ok(Action::await_change());
    }
    let target = target_of(&claim, &context.caches.claims);
    let claim = target.as_ref().map_or(claim.clone(), |target| Arc::new(told::as_told(&claim, target)));
    let observed = observe::observe(claim, &context);
    let mut plan = plan::plan(&observed, &context.settings);
    let refused = match copy_authorities(&plan, &observed, &context).await? {
        None => create_pod(&plan, &context).await?,
        refused => refused,
    };
    if let Some(refused) = refused {
        plan = plan::settled(refused, &observed);
    }
    if plan.delete
        && let Some(pod) = &observed.pod
    {
        context.writer.delete(pod.as_ref()).await?;
    }
    if let Some(target) = target {
        let told = told::on_target(&plan, &observed.claim, &target);
        annotate(&target, &told.annotations, &told.labels, &context).await?;
        context.tell(target.as_ref(), &told.events).await;
    } else {
        annotate(&observed.claim, &plan.annotations, &plan.labels, &context).await?;
    }
    context.tell(observed.claim.as_ref(), &plan.events).await;
    Ok(plan.again.map_or_else(Action::await_change, Action::requeue))
}

/// Copies the authorities of the installation's proxy beside a pod that is planned; what refuses that becomes the plan.
async fn copy_authorities(plan: &Plan, observed: &Observed, context: &Context) -> Result<Option<Plan>, Error> {
    let Some(name) = observed.workload.proxy.certificates.as_deref().filter(|_| plan.create.is_some()) else {
        return Ok(None);
    };
    let Some(original) = context.writer.read::<ConfigMap>(&context.settings.namespace, name).await? else {
        let what = format!(
            "trustedCAProxy of the import proxy in the CDIConfig names no ConfigMap of {}",
            context.settings.namespace
        );
        return Ok(Some(again(plan::refused(&Failure::new(Code::PodConfig, what).at(name), "ErrStartingPod"))));
    };
    let copy = build::proxy_authorities(original, &observed.claim, &context.settings);
    match context.writer.create(&copy).await {
        Ok(_) => Ok(None),
        Err(error) if error.kind() == Kind::Exists => Ok(None),
        Err(error) => refusal(error).map(Some),
    }
}

/// Creates the pod, if one is planned; what refuses it becomes the plan.
async fn create_pod(plan: &Plan, context: &Context) -> Result<Option<Plan>, Error> {
    let Some(pod) = &plan.create else { return Ok(None) };
    match context.writer.create(pod.as_ref()).await {
        Ok(_) => Ok(None),
        // The cache has not seen it yet.
        Err(error) if error.kind() == Kind::Exists => Ok(Some(Plan::default())),
        Err(error) => refusal(error).map(Some),
    }
}

/// What is to be told where the API server refuses a pod or what belongs to it.
fn refusal(error: Error) -> Result<Plan, Error> {
    let (code, reason) = match error.kind() {
        Kind::Quota => (Code::QuotaExceeded, "ErrExceededQuota"),
        Kind::Refused => (Code::PodRefused, "ErrStartingPod"),
        Kind::Exists | Kind::Gone | Kind::Conflict | Kind::Unreachable => return Err(error),
    };
    Ok(again(plan::refused(&Failure::new(code, error.said()), reason)))
}

fn again(plan: Plan) -> Plan {
    Plan { again: Some(RETRY_REFUSED), ..plan }
}

/// Nothing tells us that a quota or a policy has changed.
const RETRY_REFUSED: std::time::Duration = std::time::Duration::from_secs(10);

async fn annotate(
    claim: &PersistentVolumeClaim,
    annotations: &Annotations,
    labels: &BTreeMap<String, String>,
    context: &Context,
) -> Result<(), Error> {
    if annotations.is_empty() && labels.is_empty() {
        return Ok(());
    }
    let change = json!({"metadata": {"annotations": annotations, "labels": labels}});
    context.writer.change(claim, change).await.map(drop)
}
