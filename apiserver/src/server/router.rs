//! Paths: the webhooks, health and metrics.

use std::sync::Arc;
use std::time::Instant;

use axum::Router;
use axum::body::Bytes;
use axum::extract::{DefaultBodyLimit, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use tracing::{Level, debug, warn};

use super::certificate::Certificate;
use super::facts::Facts;
use super::metrics::Metrics;
use super::review::{self, Request, Verdict};
use super::webhook::Webhook;

/// A review holds an object and its former state; the API server takes objects up to this size.
const LONGEST_BODY: usize = 3 << 20;

/// What all requests share.
pub struct App<F> {
    facts: F,
    certificate: Arc<Certificate>,
    metrics: Metrics,
}

impl<F: Facts> App<F> {
    /// An application that reads `facts` and shows `certificate`.
    #[must_use]
    pub fn new(facts: F, certificate: Arc<Certificate>) -> Self {
        Self { facts, certificate, metrics: Metrics::new() }
    }
}

/// All paths.
pub fn router<F: Facts>(app: Arc<App<F>>) -> Router {
    let pages = Router::new()
        .route("/healthz", get(async || "ok\n"))
        .route("/readyz", get(ready::<F>))
        .route("/metrics", get(metrics::<F>));
    let webhooks = Webhook::ALL.into_iter().fold(pages, |router, webhook| {
        let judge =
            move |State(app): State<Arc<App<F>>>, body: Bytes| async move { respond(&app, webhook, &body).await };
        router.route(webhook.path(), post(judge))
    });
    webhooks.layer(DefaultBodyLimit::max(LONGEST_BODY)).with_state(app)
}

async fn respond<F: Facts>(app: &App<F>, webhook: Webhook, body: &[u8]) -> Response {
    let began = Instant::now();
    let (word, response) = match judged(app, webhook, body).await {
        Ok((word, answer)) => (word, ([(header::CONTENT_TYPE, "application/json")], answer).into_response()),
        Err(why) => {
            warn!(path = webhook.path(), why, "bad request");
            ("bad_request", (StatusCode::BAD_REQUEST, format!("{why}\n")).into_response())
        }
    };
    app.metrics.count(webhook.path(), word, began.elapsed());
    response
}

async fn judged<F: Facts>(app: &App<F>, webhook: Webhook, body: &[u8]) -> Result<(&'static str, Vec<u8>), String> {
    let request = review::read(body).map_err(|error| error.to_string())?;
    let verdict = webhook.judge(&request, &app.facts).await.map_err(|error| error.to_string())?;
    tell(webhook, &request, &verdict);
    let answer = review::answer(&request, &verdict, webhook.warnings(&request))?;
    Ok((verdict.word(), answer))
}

/// Logs a verdict: what nobody has to look at only on request.
fn tell(webhook: Webhook, request: &Request, verdict: &Verdict) {
    macro_rules! line {
        ($level:expr) => {
            tracing::event!(
                $level,
                path = webhook.path(),
                operation = ?request.operation,
                kind = request.kind.kind,
                namespace = request.namespace.as_deref().unwrap_or_default(),
                name = request.name,
                user = request.user_info.username.as_deref().unwrap_or_default(),
                dry_run = request.dry_run,
                verdict = verdict.word(),
                reason = verdict.message(),
            )
        };
    }
    match verdict {
        Verdict::Allowed | Verdict::Patched(_) => line!(Level::DEBUG),
        Verdict::Wrong(_) | Verdict::Refused(_) => line!(Level::INFO),
        Verdict::Unknown(_) => line!(Level::WARN),
    }
}

async fn ready<F: Facts>(State(app): State<Arc<App<F>>>) -> Response {
    let missing =
        [(app.facts.is_ready(), "the caches are being filled"), (app.certificate.is_loaded(), "no certificate")];
    let missing: Vec<_> = missing.into_iter().filter(|(is_there, _)| !is_there).map(|(_, what)| what).collect();
    if missing.is_empty() {
        return "ok\n".into_response();
    }
    debug!(missing = missing.join(", "), "not ready");
    (StatusCode::SERVICE_UNAVAILABLE, format!("not ready: {}\n", missing.join(", "))).into_response()
}

async fn metrics<F: Facts>(State(app): State<Arc<App<F>>>) -> Response {
    match app.metrics.text() {
        Ok(text) => ([(header::CONTENT_TYPE, "application/openmetrics-text; version=1.0.0; charset=utf-8")], text)
            .into_response(),
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, error.to_string()).into_response(),
    }
}
