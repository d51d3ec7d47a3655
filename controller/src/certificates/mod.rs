//! Makes and renews the certificates of the API server, and tells Kubernetes whom to believe. Only the leader does it.
//!
//! ```text
//! Secret cdi-apiserver-signer           the authority: certificate and key
//!    | its certificate, before those of earlier authorities that have not ended
//!    v
//! ConfigMap cdi-apiserver-signer-bundle ----> caBundle of our webhook configurations
//!    ^ believed by
//!    |
//! Secret cdi-apiserver-server-cert      what cdi-apiserver serves with; signed by an authority in the bundle
//! ```
//!
//! An authority is published before the first certificate it signs is used, and stays published until it ends, so there is no
//! moment at which a server has a certificate that nobody believes. What is there is watched and judged by what it says
//! itself, not by notes about it; a secret that somebody deletes or damages is made anew. Each write to an existing object is
//! bound to the version that was read, so two replicas that both believe to lead cannot undo each other's work.

mod build;
mod bundle;
mod certificate;
mod feeds;
mod keys;
mod lifetimes;
mod observe;
mod plan;
#[cfg(test)]
mod tests;
mod webhooks;

use std::sync::Arc;
use std::time::Duration;

use futures::{FutureExt, StreamExt};
use jiff::Timestamp;
use k8s_openapi::api::core::v1::Secret;
use reconcile::Kind;

use self::certificate::Pair;
use self::feeds::Feeds;
use self::observe::Observed;
use self::plan::Step;
use crate::Context;

/// Secret with the authority.
pub(crate) const SIGNER: &str = "cdi-apiserver-signer";
/// ConfigMap with the certificates to believe.
pub(crate) const BUNDLE: &str = "cdi-apiserver-signer-bundle";
/// Its key.
pub(crate) const BUNDLE_KEY: &str = "ca-bundle.crt";
/// Secret with the API server's certificate.
pub(crate) const SERVER: &str = "cdi-apiserver-server-cert";
/// The API server's service.
const SERVICE: &str = "cdi-api";

/// Longest time without a look. It costs no request: what is looked at is watched. The clock may jump, and nothing tells of
/// new lifetimes.
const LOOK_EVERY: Duration = Duration::from_secs(60);
/// Time after a failure, or until a watch must have brought what was written.
const LOOK_AGAIN: Duration = Duration::from_secs(5);
/// Changes that come together are looked at together.
const DEBOUNCE: Duration = Duration::from_millis(200);

/// What could not be done.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    /// A read from the API server.
    #[error("could not read {name}")]
    Read { name: &'static str, source: kube::Error },
    /// A key or a certificate.
    #[error("could not make the certificate of {name}")]
    Make { name: &'static str, source: rcgen::Error },
    /// A write to the API server.
    #[error(transparent)]
    Write(#[from] reconcile::Error),
}

impl Error {
    /// Whether somebody else, another replica maybe, changed the object first.
    fn is_race(&self) -> bool {
        matches!(self, Self::Write(error) if matches!(error.kind(), Kind::Exists | Kind::Conflict | Kind::Gone))
    }

    /// What was behind it.
    fn said(&self) -> String {
        match self {
            Self::Read { source, .. } => source.to_string(),
            Self::Make { source, .. } => source.to_string(),
            Self::Write(error) => error.said(),
        }
    }
}

/// Keeps the certificates until dropped.
///
/// # Cancellation
/// What was written stays; the next leader takes up from there.
pub(crate) async fn keep(context: Arc<Context>) {
    let (feeds, mut changes) = Feeds::begin(&context.client, &context.settings.namespace);
    while !feeds.are_filled() {
        changes.next().await;
    }
    loop {
        let wait = match turn(&context, &feeds).await {
            Ok(wait) => wait,
            Err(error) if error.is_race() => {
                tracing::debug!(%error, "somebody was faster");
                DEBOUNCE
            }
            Err(error) => {
                tracing::warn!(%error, said = error.said(), "certificates are not as they should be");
                LOOK_AGAIN
            }
        };
        tokio::select! {
            _ = changes.next() => tokio::time::sleep(DEBOUNCE).await,
            () = tokio::time::sleep(wait.min(LOOK_EVERY)) => {}
        }
        while changes.next().now_or_never().flatten().is_some() {}
    }
}

/// Looks once and does what is due; returns how long nothing will be.
async fn turn(context: &Context, feeds: &Feeds) -> Result<Duration, Error> {
    let plan = plan::plan(&observe::cached(context, feeds).facts());
    if plan.steps.is_empty() {
        return Ok(Duration::try_from(Timestamp::now().duration_until(plan.wake)).unwrap_or_default());
    }
    // A cache may be behind our own last write, so what is changed is read first.
    let mut observed = observe::fresh(context, feeds).await?;
    for step in plan::plan(&observed.facts()).steps {
        match step {
            Step::Authority => make_authority(context, &mut observed).await?,
            Step::Publish => publish(context, &mut observed).await?,
            Step::Server => make_server(context, &mut observed).await?,
        }
    }
    Ok(LOOK_AGAIN)
}

async fn make_authority(context: &Context, observed: &mut Observed) -> Result<(), Error> {
    let pair = keys::authority(SIGNER, observed.now, observed.lifetimes.authority)
        .map_err(|source| Error::Make { name: SIGNER, source })?;
    let secret = write_pair(context, SIGNER, observed.signer.as_deref(), &pair).await?;
    tracing::info!(secret = SIGNER, ends = %pair.certificate.ends, "there is a new authority");
    observed.signer = Some(Arc::new(secret));
    observed.authority = Some(pair);
    Ok(())
}

async fn make_server(context: &Context, observed: &mut Observed) -> Result<(), Error> {
    // The plan makes an authority first where there is none.
    let Some(authority) = &observed.authority else { return Ok(()) };
    let hosts = build::hosts(&context.settings.namespace);
    let pair = keys::server(&hosts, authority, observed.now, observed.lifetimes.server)
        .map_err(|source| Error::Make { name: SERVER, source })?;
    let secret = write_pair(context, SERVER, observed.server_secret.as_deref(), &pair).await?;
    tracing::info!(secret = SERVER, ends = %pair.certificate.ends, "the API server has a new certificate");
    observed.server_secret = Some(Arc::new(secret));
    observed.server = Some(pair);
    Ok(())
}

async fn write_pair(context: &Context, name: &str, existing: Option<&Secret>, pair: &Pair) -> Result<Secret, Error> {
    let wanted = build::secret(name, &context.settings, pair);
    Ok(match existing {
        None => context.writer.create(&wanted).await?,
        Some(existing) => context.writer.change_as_read(existing, build::change(&wanted)).await?,
    })
}

/// The bundle first: a webhook must never believe what the bundle does not have.
async fn publish(context: &Context, observed: &mut Observed) -> Result<(), Error> {
    let Some(text) = observed.wanted_bundle() else { return Ok(()) };
    if observed.bundle_text() != Some(text.as_str()) {
        let wanted = build::bundle(&context.settings, &text);
        let written = match &observed.bundle {
            None => context.writer.create(&wanted).await?,
            Some(existing) => context.writer.change_as_read(existing.as_ref(), build::bundle_change(&wanted)).await?,
        };
        observed.bundle = Some(Arc::new(written));
    }
    let namespace = &context.settings.namespace;
    for configuration in &observed.validating {
        if let Some(change) = webhooks::validating(configuration, &text, namespace) {
            context.writer.change_as_read(configuration.as_ref(), change).await?;
        }
    }
    for configuration in &observed.mutating {
        if let Some(change) = webhooks::mutating(configuration, &text, namespace) {
            context.writer.change_as_read(configuration.as_ref(), change).await?;
        }
    }
    Ok(())
}
