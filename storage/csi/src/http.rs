//! Metrics and health over HTTP.

use std::net::SocketAddr;
use std::sync::Arc;

use axum::Router;
use axum::http::{StatusCode, header};
use axum::response::IntoResponse;
use axum::routing::get;
use tokio::net::TcpListener;
use tokio::sync::watch;

use crate::metrics::Metrics;
use crate::run::{Failure, ended};

/// Serves both at `address` until the process ends.
pub(crate) async fn serve(
    address: SocketAddr,
    metrics: Arc<Metrics>,
    stopped: watch::Receiver<bool>,
) -> Result<(), Failure> {
    let listener = TcpListener::bind(address).await.map_err(|source| Failure::Address { address, source })?;
    let router = Router::new()
        .route("/metrics", get(move || async move { page(&metrics) }))
        .route("/healthz", get(|| async { "ok\n" }));
    let server = axum::serve(listener, router).with_graceful_shutdown(ended(stopped));
    tokio::spawn(async move { server.await });
    Ok(())
}

fn page(metrics: &Metrics) -> axum::response::Response {
    match metrics.text() {
        Ok(text) => ([(header::CONTENT_TYPE, "application/openmetrics-text; version=1.0.0; charset=utf-8")], text)
            .into_response(),
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, error).into_response(),
    }
}
