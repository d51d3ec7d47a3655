//! Keeps the CDIConfig `config`: makes it, copies the settings of the CDI object over it where that rules, and says in its
//! status what the settings came to.
//!
//! ```text
//! CDI.spec.config, with the annotation configAuthority --> CDIConfig.spec --+
//! StorageClasses -----------------------------------------------------------+--> CDIConfig.status --> worker pods, clients
//! Ingresses and Routes to the upload proxy, OpenShift's Proxy --------------+
//!                         OpenShift's authorities of its proxy --> ConfigMap of ours
//! ```
//!
//! CDIConfig has no status subresource: specification and status are written together, bound to the version that was read.

mod authorities;
mod build;
mod difference;
mod features;
mod feeds;
mod observe;
mod openshift;
mod plan;
mod status;
mod upload_proxy;

use std::sync::Arc;
use std::time::Duration;

use api::cdi::CdiConfig;
use kube::runtime::controller::Action;
use kube::runtime::reflector::ObjectRef;
use reconcile::{Error, Kind};

pub(crate) use self::build::{NAME, beginning};
pub(crate) use self::features::Features;
pub(crate) use self::feeds::Feeds;
use crate::Context;

/// How long the cache may be behind, in case nothing comes.
const UNTIL_SEEN: Duration = Duration::from_secs(5);
/// How often it is made sure that importers find the authorities of the cluster's proxy.
const COPY_EVERY: Duration = Duration::from_secs(300);
/// How often it is made sure that there is a CDIConfig; the cache is asked, not the API server.
const LOOK_EVERY: Duration = Duration::from_secs(5);

/// The only CDIConfig there is, for queues.
pub(crate) fn only() -> ObjectRef<CdiConfig> {
    ObjectRef::new(NAME)
}

/// Brings the CDIConfig up to date.
///
/// # Errors
/// When the API server does not take the write.
pub(crate) async fn reconcile(
    config: Arc<CdiConfig>,
    context: Arc<Context>,
    feeds: Arc<Feeds>,
) -> Result<Action, Error> {
    let observed = observe::observe(config, &context, &feeds);
    let plan = plan::plan(&observed);
    // The settings hold though the copy is refused.
    let kept = match &plan.authorities {
        Some(certificates) => authorities::keep(certificates, &context).await,
        None => Ok(()),
    };
    if let Some(change) = plan.change {
        match context.writer.change_as_read(observed.config.as_ref(), change).await {
            // The cache is behind; what it has not seen yet brings us here again.
            Err(error) if matches!(error.kind(), Kind::Conflict | Kind::Gone) => {
                return Ok(Action::requeue(UNTIL_SEEN));
            }
            written => written?,
        };
    }
    kept?;
    // Nothing tells us that somebody has deleted the copy.
    Ok(plan.authorities.map_or_else(Action::await_change, |_| Action::requeue(COPY_EVERY)))
}

/// Makes the CDIConfig if the cache, which must be filled, has none.
///
/// # Errors
/// When the API server does not take it.
pub(crate) async fn ensure(context: &Context) -> Result<(), Error> {
    if context.caches.configs.get(&only()).is_some() {
        return Ok(());
    }
    match context.writer.create(&build::config(&context.settings.labels())).await {
        Err(error) if error.kind() == Kind::Exists => Ok(()),
        created => created.map(drop),
    }
}

/// Makes the CDIConfig now and whenever somebody deletes it, until dropped.
pub(crate) async fn keep(context: Arc<Context>) {
    loop {
        if let Err(error) = ensure(&context).await {
            tracing::warn!(%error, said = error.said(), "there is no CDIConfig yet");
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
}
