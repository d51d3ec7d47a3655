//! What the rules have to know of the cluster, as a trait: the server is tested without one.

use std::sync::Arc;

use api::cdi::{CdiConfig, StorageProfile};
use api::volume::Volume;
use k8s_openapi::api::core::v1::PersistentVolumeClaim;
use k8s_openapi::api::storage::v1::StorageClass;

use crate::admission::Count;
use crate::admission::crd::Ours;

/// The feature gate under which existing claims are taken over.
const CLAIM_ADOPTION: &str = "DataVolumeClaimAdoption";

/// Something could not be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("could not read {what}: {why}")]
pub struct Unread {
    /// What was asked for.
    pub what: String,
    /// Why it was not to be had.
    pub why: String,
}

/// What the caches hold.
#[derive(Clone, Debug, Default)]
pub struct Storage {
    /// All storage classes.
    pub classes: Vec<Arc<StorageClass>>,
    /// All storage profiles.
    pub profiles: Vec<Arc<StorageProfile>>,
    /// The configuration.
    pub config: Option<Arc<CdiConfig>>,
}

impl Storage {
    /// Whether claims that ask for it are completed.
    #[must_use]
    pub fn completes_claims(&self) -> bool {
        let said = self.config.as_ref().and_then(|config| config.spec.webhook_pvc_rendering.as_deref());
        said != Some("Disabled")
    }

    /// Whether existing claims are taken over.
    #[must_use]
    pub fn adopts_claims(&self) -> bool {
        self.config.as_ref().is_some_and(|config| config.spec.feature_gates.iter().any(|gate| gate == CLAIM_ADOPTION))
    }
}

/// Objects that are to be counted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Objects {
    /// Their kind.
    pub ours: Ours,
    /// Only those with these labels.
    pub selector: Option<String>,
}

/// Reads the cluster.
pub trait Facts: Send + Sync + 'static {
    /// Whether the caches are filled.
    fn is_ready(&self) -> bool;

    /// What the caches hold.
    ///
    /// # Errors
    /// They are not filled yet.
    fn storage(&self) -> Result<Storage, Unread>;

    /// The claim of that name.
    fn claim(
        &self,
        namespace: &str,
        name: &str,
    ) -> impl Future<Output = Result<Option<PersistentVolumeClaim>, Unread>> + Send;

    /// All persistent volumes.
    fn volumes(&self) -> impl Future<Output = Result<Vec<Volume>, Unread>> + Send;

    /// How many such objects there are.
    fn count(&self, objects: &Objects) -> impl Future<Output = Result<Count, Unread>> + Send;
}
