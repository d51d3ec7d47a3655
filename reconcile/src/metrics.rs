//! The pages that a cluster asks of a controller: `/healthz`, `/readyz`, `/metrics`.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use axum::Router;
use axum::extract::State;
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::response::IntoResponse;
use axum::routing::get;
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::registry::Registry;

/// Counters of all controllers of a process.
#[derive(Clone, Default)]
pub struct Metrics {
    reconciled: Family<[(&'static str, &'static str); 1], Counter>,
    failed: Family<[(&'static str, &'static str); 1], Counter>,
}

impl Metrics {
    /// Adds them to a registry.
    pub fn register(&self, registry: &mut Registry) {
        registry.register("gantry_reconciled", "Reconciles that went well, by controller", self.reconciled.clone());
        registry.register("gantry_reconcile_failed", "Reconciles that failed, by controller", self.failed.clone());
    }

    pub(crate) fn reconciled(&self, controller: &'static str) {
        self.reconciled.get_or_create(&[("controller", controller)]).inc();
    }

    pub(crate) fn failed(&self, controller: &'static str) {
        self.failed.get_or_create(&[("controller", controller)]).inc();
    }
}

/// What the pages show.
#[derive(Clone)]
pub struct Pages {
    registry: Arc<Registry>,
    ready: Arc<AtomicBool>,
}

impl Pages {
    /// Pages of a process that is not ready yet.
    #[must_use]
    pub fn new(registry: Registry) -> Self {
        Self { registry: Arc::new(registry), ready: Arc::default() }
    }

    /// From now on the process is ready.
    pub fn ready(&self) {
        self.ready.store(true, Ordering::Relaxed);
    }
}

/// Serves the pages until the process ends.
///
/// # Errors
/// When the address cannot be had.
pub async fn serve(address: SocketAddr, pages: Pages) -> std::io::Result<()> {
    let listener = tokio::net::TcpListener::bind(address).await?;
    let router = Router::new()
        .route("/healthz", get(async || "ok"))
        .route("/readyz", get(readiness))
        .route("/metrics", get(metrics))
        .with_state(pages);
    axum::serve(listener, router).await
}

async fn readiness(State(pages): State<Pages>) -> (StatusCode, &'static str) {
    if pages.ready.load(Ordering::Relaxed) {
        (StatusCode::OK, "ok")
    } else {
        (StatusCode::SERVICE_UNAVAILABLE, "the caches are being filled")
    }
}

async fn metrics(State(pages): State<Pages>) -> impl IntoResponse {
    let mut text = String::new();
    match encode(&mut text, &pages.registry) {
        Ok(()) => {
            let kind = "application/openmetrics-text; version=1.0.0; charset=utf-8";
            (StatusCode::OK, [(CONTENT_TYPE, kind)], text)
        }
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, [(CONTENT_TYPE, "text/plain")], error.to_string()),
    }
}
