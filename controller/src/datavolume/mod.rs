//! DataVolumes: a claim for each, filled from its source, and what it has come to in its status.

pub(crate) mod build;
mod metrics;
pub(crate) mod observe;
pub(crate) mod plan;
mod status;

use std::sync::Arc;

use api::cdi::{DataVolume, DataVolumeStatus};
use kube::ResourceExt;
use kube::runtime::controller::Action;
use reconcile::{Error, Kind};

pub(crate) use self::metrics::Pending;
use self::observe::Observed;
use self::plan::{Finish, Plan};
use self::status::Hindrance;
use crate::{Context, quota};

/// Brings one DataVolume a step further and shows where it is.
///
/// # Errors
/// When the API server does not take a write; what was written before stays and is not done again.
pub(crate) async fn reconcile(data_volume: Arc<DataVolume>, context: Arc<Context>) -> Result<Action, Error> {
    let mut observed = observe::observe(data_volume, &context);
    let plan = plan::plan(&observed, &context.settings);
    if plan == Plan::Nothing {
        return Ok(Action::await_change());
    }
    let hindrance = apply(plan, &mut observed, &context).await?;
    let status = status::of(&observed, hindrance.as_ref());
    show(&observed.data_volume, &status, &context).await?;
    Ok(status::again(&observed, hindrance.as_ref()).map_or_else(Action::await_change, Action::requeue))
}

/// Writes what is planned. What it was refused for is part of the status.
async fn apply(plan: Plan, observed: &mut Observed, context: &Context) -> Result<Option<Hindrance>, Error> {
    match plan {
        Plan::Nothing => Ok(None),
        Plan::Create { source, claim } => {
            if let Some(source) = source
                && observed.source.is_none()
            {
                existing(context.writer.create(source.as_ref()).await)?;
            }
            match context.writer.create(claim.as_ref()).await {
                Ok(claim) => observed.claim = Some(Arc::new(claim)),
                Err(error) if matches!(error.kind(), Kind::Quota | Kind::Refused) => {
                    let (failure, reason) = quota::failure(&error, "ErrClaimNotValid");
                    return Ok(Some(Hindrance { failure, reason }));
                }
                other => existing(other)?,
            }
            Ok(None)
        }
        Plan::Adopt(change) => {
            let Some(claim) = &observed.claim else { return Ok(None) };
            observed.claim = Some(Arc::new(context.writer.change_as_read(claim.as_ref(), change).await?));
            Ok(None)
        }
        Plan::Wait { failure, reason } => Ok(Some(Hindrance { failure, reason })),
        Plan::Follow(finish) => finish_up(finish, observed, context).await.map(|()| None),
    }
}

/// An object that the cache has not shown yet is as good as made.
fn existing<K>(made: Result<K, Error>) -> Result<(), Error> {
    match made {
        Err(error) if error.kind() == Kind::Exists => Ok(()),
        other => other.map(drop),
    }
}

async fn finish_up(finish: Finish, observed: &Observed, context: &Context) -> Result<(), Error> {
    if let (Some(mark), Some(claim)) = (finish.mark, &observed.claim) {
        context.writer.change(claim.as_ref(), mark).await?;
    }
    if let Some(source) = observed.source.as_ref().filter(|_| finish.delete_source) {
        context.writer.delete(source.as_ref()).await?;
    }
    Ok(())
}

/// Writes the status if it says anything new, then tells what changed.
async fn show(data_volume: &DataVolume, status: &DataVolumeStatus, context: &Context) -> Result<(), Error> {
    let before = data_volume.status.clone().unwrap_or_default();
    if before == *status {
        return Ok(());
    }
    context.writer.replace_status(&DataVolume { status: Some(status.clone()), ..data_volume.clone() }).await?;
    tracing::info!(
        data_volume = %format!("{}/{}", data_volume.namespace().unwrap_or_default(), data_volume.name_any()),
        phase = status.phase.as_deref().unwrap_or_default(),
        progress = status.progress.as_deref().unwrap_or_default(),
        "status"
    );
    context.tell(data_volume, &status::events(data_volume, &before, status)).await;
    Ok(())
}
