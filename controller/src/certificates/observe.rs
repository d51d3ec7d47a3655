//! What is read before certificates are planned: from caches, or afresh once something is due.

use std::sync::Arc;

use jiff::Timestamp;
use k8s_openapi::api::admissionregistration::v1::{MutatingWebhookConfiguration, ValidatingWebhookConfiguration};
use k8s_openapi::api::core::v1::{ConfigMap, Secret};
use kube::ResourceExt;
use kube::api::Api;

use super::certificate::{Certificate, Pair};
use super::feeds::{Feeds, One};
use super::lifetimes::Lifetimes;
use super::plan::{Facts, Server, Span};
use super::{BUNDLE, BUNDLE_KEY, Error, SERVER, SIGNER, build, bundle, webhooks};
use crate::Context;

/// The objects, and the certificates in them.
#[derive(Debug)]
pub(crate) struct Observed {
    pub(crate) now: Timestamp,
    pub(crate) lifetimes: Lifetimes,
    pub(crate) namespace: String,
    pub(crate) signer: Option<Arc<Secret>>,
    pub(crate) authority: Option<Pair>,
    pub(crate) bundle: Option<Arc<ConfigMap>>,
    pub(crate) server_secret: Option<Arc<Secret>>,
    pub(crate) server: Option<Pair>,
    pub(crate) validating: Vec<Arc<ValidatingWebhookConfiguration>>,
    pub(crate) mutating: Vec<Arc<MutatingWebhookConfiguration>>,
}

/// What the caches have.
pub(super) fn cached(context: &Context, feeds: &Feeds) -> Observed {
    observed(context, feeds, feeds.signer.get(), feeds.bundle.get(), feeds.server.get())
}

/// What the API server has; webhooks as the caches have them.
pub(super) async fn fresh(context: &Context, feeds: &Feeds) -> Result<Observed, Error> {
    let namespace = &context.settings.namespace;
    let secrets = Api::<Secret>::namespaced(context.client.clone(), namespace);
    let maps = Api::<ConfigMap>::namespaced(context.client.clone(), namespace);
    let failed = |name| move |source| Error::Read { name, source };
    let signer = secrets.get_opt(SIGNER).await.map_err(failed(SIGNER))?;
    let server = secrets.get_opt(SERVER).await.map_err(failed(SERVER))?;
    let bundle = maps.get_opt(BUNDLE).await.map_err(failed(BUNDLE))?;
    Ok(observed(context, feeds, signer.map(Arc::new), bundle.map(Arc::new), server.map(Arc::new)))
}

fn observed(
    context: &Context,
    feeds: &Feeds,
    signer: Option<Arc<Secret>>,
    bundle: Option<Arc<ConfigMap>>,
    server_secret: Option<Arc<Secret>>,
) -> Observed {
    let cdis = context.caches.cdis.state();
    let oldest = cdis.iter().min_by_key(|cdi| (cdi.creation_timestamp(), cdi.name_any()));
    Observed {
        now: Timestamp::now(),
        lifetimes: Lifetimes::of(oldest.and_then(|cdi| cdi.spec.cert_config.as_ref())),
        namespace: context.settings.namespace.clone(),
        authority: signer.as_deref().and_then(Pair::of).filter(|pair| pair.certificate.is_authority),
        server: server_secret.as_deref().and_then(Pair::of),
        validating: feeds.validating.iter().filter_map(One::get).collect(),
        mutating: feeds.mutating.iter().filter_map(One::get).collect(),
        signer,
        bundle,
        server_secret,
    }
}

impl Observed {
    /// The text of the bundle that there is.
    pub(crate) fn bundle_text(&self) -> Option<&str> {
        self.bundle.as_ref()?.data.as_ref()?.get(BUNDLE_KEY).map(String::as_str)
    }

    /// The text of the bundle that there should be, once there is an authority.
    pub(crate) fn wanted_bundle(&self) -> Option<String> {
        let existing = Certificate::all(self.bundle_text().unwrap_or_default());
        self.authority.as_ref().map(|authority| bundle::wanted(&authority.certificate, &existing, self.now))
    }

    /// What the plan is made from.
    pub(crate) fn facts(&self) -> Facts {
        let existing = Certificate::all(self.bundle_text().unwrap_or_default());
        let span = |certificate: &Certificate| Span { begins: certificate.begins, ends: certificate.ends };
        let hosts = build::hosts(&self.namespace);
        Facts {
            now: self.now,
            lifetimes: self.lifetimes,
            authority: self.authority.as_ref().map(|pair| span(&pair.certificate)),
            server: self.server.as_ref().map(|pair| Server {
                span: span(&pair.certificate),
                named: hosts.iter().all(|host| pair.certificate.names.contains(host)),
                believed: self.believed(&existing).any(|authority| authority.has_signed(&pair.certificate)),
            }),
            known: self.is_known(),
            published: self.is_published(),
            first_end: bundle::first_end(&existing),
        }
    }

    /// Authorities that are published or about to be, and have not ended.
    fn believed<'a>(&'a self, bundle: &'a [Certificate]) -> impl Iterator<Item = &'a Certificate> {
        let authority = self.authority.iter().map(|pair| &pair.certificate);
        bundle.iter().chain(authority).filter(|authority| authority.is_authority && self.now < authority.ends)
    }

    fn is_known(&self) -> bool {
        let Some(authority) = self.authority.as_ref().map(|pair| &pair.certificate.text) else { return false };
        let validating = self.validating.iter().flat_map(|found| found.webhooks.iter().flatten());
        let mutating = self.mutating.iter().flat_map(|found| found.webhooks.iter().flatten());
        let clients = validating.map(|webhook| &webhook.client_config);
        self.bundle_text().is_some_and(|bundle| bundle.contains(authority))
            && webhooks::all_believe(clients, authority, &self.namespace)
            && webhooks::all_believe(mutating.map(|webhook| &webhook.client_config), authority, &self.namespace)
    }

    fn is_published(&self) -> bool {
        let Some(wanted) = self.wanted_bundle() else { return false };
        let told = |change: Option<serde_json::Value>| change.is_none();
        self.bundle_text() == Some(wanted.as_str())
            && self.validating.iter().all(|found| told(webhooks::validating(found, &wanted, &self.namespace)))
            && self.mutating.iter().all(|found| told(webhooks::mutating(found, &wanted, &self.namespace)))
    }
}
