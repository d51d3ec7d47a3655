//! Leadership by a Lease, as client-go's leader election has it: one replica works, the others wait.
//!
//! ```text
//! waiting --the lease is free or its holder has been silent for its duration--> leading
//! leading --not renewed in time, or taken by another--> the process ends
//! ```
//!
//! A holder's silence is measured by our own clock from when its last renewal was first seen, so clocks of two machines need
//! not agree. A process that lost the lease ends rather than stops working: nothing of what it had begun may go on.

use std::time::{Duration, Instant};

use jiff::Timestamp;
use k8s_openapi::api::coordination::v1::{Lease, LeaseSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{MicroTime, ObjectMeta};
use kube::api::{Api, PostParams};
use kube::{Client, Error};
use tokio::time::sleep;

/// How long a silent holder keeps the lease; client-go's defaults.
const DURATION: Duration = Duration::from_secs(15);
/// After this long without a renewal a leader gives up, before another may take over.
const RENEW_WITHIN: Duration = Duration::from_secs(10);
const RENEW_EVERY: Duration = Duration::from_secs(3);
const LOOK_EVERY: Duration = Duration::from_secs(2);

/// A replica that wants to lead.
pub struct Candidate {
    leases: Api<Lease>,
    name: String,
    identity: String,
    seen: Option<(Option<MicroTime>, Instant)>,
    /// The lease as this replica last wrote it.
    written: Option<Lease>,
}

impl Candidate {
    /// A candidate for the lease `name`; `identity` is the replica's own, its pod's name.
    #[must_use]
    pub fn new(client: Client, namespace: &str, name: &str, identity: &str) -> Self {
        let leases = Api::namespaced(client, namespace);
        Self { leases, name: name.to_owned(), identity: identity.to_owned(), seen: None, written: None }
    }

    /// Waits until this replica leads.
    pub async fn lead(&mut self) {
        loop {
            match self.try_take().await {
                Ok(true) => return,
                Ok(false) => {}
                Err(error) => tracing::warn!(%error, lease = self.name, "the lease cannot be had"),
            }
            sleep(LOOK_EVERY).await;
        }
    }

    /// Keeps the lease; returns when it is lost.
    pub async fn keep(&mut self) {
        let mut renewed = Instant::now();
        while renewed.elapsed() < RENEW_WITHIN {
            sleep(RENEW_EVERY).await;
            match tokio::time::timeout(RENEW_WITHIN, self.try_take()).await {
                Ok(Ok(true)) => renewed = Instant::now(),
                Ok(Ok(false)) => return,
                Ok(Err(error)) => tracing::warn!(%error, lease = self.name, "the lease was not renewed"),
                Err(_) => tracing::warn!(lease = self.name, "the lease was not renewed in time"),
            }
        }
    }

    /// Gives the lease back, so that another replica need not wait.
    pub async fn release(&mut self) {
        if let Ok(mut lease) = self.leases.get(&self.name).await
            && holder(&lease) == Some(self.identity.as_str())
        {
            lease.spec = Some(LeaseSpec { holder_identity: None, ..lease.spec.unwrap_or_default() });
            if let Err(error) = self.leases.replace(&self.name, &PostParams::default(), &lease).await {
                tracing::warn!(%error, lease = self.name, "the lease could not be given back");
            }
        }
    }

    /// Takes or renews the lease if it may; whether this replica holds it now.
    async fn try_take(&mut self) -> Result<bool, Error> {
        // Nobody else writes a lease that is held, so it need not be read again. That somebody did is a conflict.
        if let Some(written) = self.written.take()
            && self.replace(&written).await?
        {
            return Ok(true);
        }
        let Some(lease) = self.leases.get_opt(&self.name).await? else {
            let new = self.held(&Lease::default());
            let created = self.leases.create(&PostParams::default(), &new).await;
            return self.taken(created);
        };
        let ours = holder(&lease) == Some(self.identity.as_str());
        if !ours && !self.is_free(&lease) {
            return Ok(false);
        }
        self.replace(&lease).await
    }

    /// Carries the version that was read: of two that take it at once one is refused.
    async fn replace(&mut self, before: &Lease) -> Result<bool, Error> {
        let replaced = self.leases.replace(&self.name, &PostParams::default(), &self.held(before)).await;
        self.taken(replaced)
    }

    /// That another was faster is no failure.
    fn taken(&mut self, answer: Result<Lease, Error>) -> Result<bool, Error> {
        match answer {
            Ok(lease) => {
                self.written = Some(lease);
                Ok(true)
            }
            Err(Error::Api(status)) if status.code == 409 => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Whether nobody holds it, or its holder has been silent for too long.
    fn is_free(&mut self, lease: &Lease) -> bool {
        let renewed = lease.spec.as_ref().and_then(|spec| spec.renew_time.clone());
        let duration = lease
            .spec
            .as_ref()
            .and_then(|spec| spec.lease_duration_seconds)
            .map_or(DURATION, |seconds| Duration::from_secs(u64::from(seconds.unsigned_abs())));
        if holder(lease).is_none_or(str::is_empty) {
            return true;
        }
        match &self.seen {
            Some((last, since)) if *last == renewed => since.elapsed() > duration,
            _ => {
                self.seen = Some((renewed, Instant::now()));
                false
            }
        }
    }

    /// The lease as held by this replica.
    fn held(&self, before: &Lease) -> Lease {
        let now = MicroTime(Timestamp::now());
        let old = before.spec.clone().unwrap_or_default();
        let ours = old.holder_identity.as_deref() == Some(self.identity.as_str());
        let transitions = old.lease_transitions.unwrap_or(0) + i32::from(!ours);
        let spec = LeaseSpec {
            holder_identity: Some(self.identity.clone()),
            lease_duration_seconds: Some(DURATION.as_secs() as i32),
            acquire_time: if ours { old.acquire_time } else { Some(now.clone()) },
            renew_time: Some(now),
            lease_transitions: Some(transitions),
            ..LeaseSpec::default()
        };
        let metadata = ObjectMeta {
            name: Some(self.name.clone()),
            resource_version: before.metadata.resource_version.clone(),
            ..before.metadata.clone()
        };
        Lease { metadata, spec: Some(spec) }
    }
}

fn holder(lease: &Lease) -> Option<&str> {
    lease.spec.as_ref()?.holder_identity.as_deref()
}
