//! A refused write, told where its cause has to be looked for: on the object that asked for it.

use std::time::Duration;

use api::annotation;
use contract::{Code, Failure};
use k8s_openapi::api::core::v1::PersistentVolumeClaim;
use kube::ResourceExt;
use kube::runtime::controller::Action;
use reconcile::{Error, Kind};
use serde_json::json;

use crate::Context;
use crate::event::Event;
use crate::trouble::Trouble;

/// Nothing tells us that a quota has changed.
const AGAIN: Duration = Duration::from_secs(10);

/// What a refused write is for users: its failure and CDI's reason.
pub(crate) fn failure(error: &Error, otherwise: &'static str) -> (Failure, &'static str) {
    match error.kind() {
        Kind::Quota => (Failure::new(Code::QuotaExceeded, error.said()), "ErrExceededQuota"),
        _ => (Failure::new(Code::ClaimNotValid, error.said()), otherwise),
    }
}

/// Shows a refused write on the claim that asked for it, and has it tried again.
///
/// # Errors
/// When that cannot be written either.
pub(crate) async fn show(
    claim: &PersistentVolumeClaim,
    refusal: &Error,
    reason: &'static str,
    context: &Context,
) -> Result<Action, Error> {
    let (failure, reason) = failure(refusal, reason);
    let trouble = Trouble::of(&failure, true).to_json();
    if claim.annotations().get(annotation::LAST_ERROR) != Some(&trouble) {
        let annotations = json!({
            annotation::LAST_ERROR: trouble,
            annotation::BOUND_CONDITION: "false",
            annotation::BOUND_CONDITION_REASON: reason,
            annotation::BOUND_CONDITION_MESSAGE: failure.what(),
        });
        context.writer.change(claim, json!({"metadata": {"annotations": annotations}})).await?;
        context.tell(claim, &[Event::warning(reason, failure.what())]).await;
    }
    Ok(Action::requeue(AGAIN))
}
