//! Keeps one StorageProfile per StorageClass: what the class can do, and how its disks are best cloned.
//!
//! ```text
//! StorageClass ------ provisioner, parameters --> table of known provisioners --+
//! its PersistentVolumes, where they are made by hand ---------------------------+--> status
//! VolumeSnapshotClasses of its driver ------------------------------------------+
//! StorageProfile.spec: what an administrator says, which wins ------------------+
//! ```
//!
//! Only the status is ours; the spec is the administrator's, and annotations that are there already stay as they are. The
//! profile belongs to its class and goes with it.

mod build;
mod capabilities;
mod metrics;
mod observe;
mod plan;
#[cfg(test)]
mod sample;
mod status;
mod table;
mod triggers;

use std::sync::Arc;
use std::time::Duration;

use api::cdi::StorageProfile;
use k8s_openapi::api::storage::v1::StorageClass;
use kube::runtime::controller::Action;
use reconcile::{Error, Kind};

pub(crate) use self::metrics::Profiles;
use self::plan::{Plan, Profile};
pub(crate) use self::table::NO_PROVISIONER;
pub(crate) use self::triggers::{class_of_profile, class_of_volume, classes_of_snapshot_class};
use crate::Context;

/// Brings the profile of one class up to date.
///
/// # Errors
/// When the API server does not take a write; what was written before stays and is not done again.
pub(crate) async fn reconcile(class: Arc<StorageClass>, context: Arc<Context>) -> Result<Action, Error> {
    let observed = observe::observe(class, &context);
    let plan = plan::plan(&observed);
    match write(&plan, observed.profile.as_deref(), &context).await {
        // The cache is behind; what it has not seen yet brings us here again.
        Err(error) if matches!(error.kind(), Kind::Exists | Kind::Conflict | Kind::Gone) => {
            Ok(Action::requeue(UNTIL_SEEN))
        }
        written => written.map(|()| plan.again.map_or_else(Action::await_change, Action::requeue)),
    }
}

/// How long a cache may be behind, in case nothing comes.
const UNTIL_SEEN: Duration = Duration::from_secs(5);

async fn write(plan: &Plan, existing: Option<&StorageProfile>, context: &Context) -> Result<(), Error> {
    let written = write_profile(plan, existing, context).await?;
    let (Some(status), Some(mut profile)) = (&plan.status, written.or_else(|| existing.cloned())) else {
        return Ok(());
    };
    profile.status = Some(status.clone());
    context.writer.replace_status(&profile).await.map(drop)
}

/// The profile as the API server has it after a write, if there was one.
async fn write_profile(
    plan: &Plan,
    existing: Option<&StorageProfile>,
    context: &Context,
) -> Result<Option<StorageProfile>, Error> {
    match (&plan.profile, existing) {
        (Some(Profile::Create(profile)), _) => context.writer.create(profile.as_ref()).await.map(Some),
        (Some(Profile::Change(change)), Some(existing)) => {
            context.writer.change_as_read(existing, change.clone()).await.map(Some)
        }
        (Some(Profile::Change(_)) | None, _) => Ok(None),
    }
}
