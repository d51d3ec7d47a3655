//! The pages that a cluster asks of a controller: `/healthz`, `/readyz`, and `/metrics` for those who may read them.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use axum::Router;
use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::http::header::{CONTENT_TYPE, WWW_AUTHENTICATE};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use kube::Client;
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::server::ResolvesServerCert;
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use tokio::sync::watch;

use crate::access::{Access, METRICS, Verdict};
use crate::https;

/// Counters of all controllers of a process.
#[derive(Clone, Default)]
pub struct Metrics {
    reconciled: Family<[(&'static str, &'static str); 1], Counter>,
    failed: Family<[(&'static str, &'static str); 1], Counter>,
    depth: Family<[(&'static str, &'static str); 1], Gauge>,
}

impl Metrics {
    /// Adds them to a registry.
    pub fn register(&self, registry: &mut Registry) {
        registry.register("gantry_reconciled", "Reconciles that went well, by controller", self.reconciled.clone());
        registry.register("gantry_reconcile_failed", "Reconciles that failed, by controller", self.failed.clone());
        registry.register("gantry_queue_depth", "Objects that wait for a reconcile, by controller", self.depth.clone());
    }

    /// How many objects wait for this controller.
    pub(crate) fn depth(&self, controller: &'static str) -> Gauge {
        self.depth.get_or_create(&[("controller", controller)]).clone()
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

/// Why the pages are not served.
#[derive(Debug, thiserror::Error)]
pub enum Unserved {
    /// The address cannot be had.
    #[error("could not listen: {0}")]
    Address(std::io::Error),
    /// There is no certificate for them.
    #[error("could not make a certificate: {0}")]
    Certificate(String),
    /// The cryptography lacks what TLS needs.
    #[error("could not set up TLS: {0}")]
    Tls(rustls::Error),
}

/// Serves the pages over TLS until the process ends, with a certificate made for the occasion, as CDI does: who reads them shows a
/// token, and whom he shows it to his network has to say.
///
/// # Errors
/// When the address cannot be had, or TLS cannot be set up.
pub async fn serve_pages(address: SocketAddr, pages: Pages, client: Client) -> Result<(), Unserved> {
    let certificate = self_signed().map_err(Unserved::Certificate)?;
    let listener = tokio::net::TcpListener::bind(address).await.map_err(Unserved::Address)?;
    let (_stop, stopped) = watch::channel(false);
    https::serve(listener, certificate, router(pages, Access::new(client)), stopped).await.map_err(Unserved::Tls)
}

fn self_signed() -> Result<Arc<dyn ResolvesServerCert>, String> {
    let own = rcgen::generate_simple_self_signed(["cdi-prometheus-metrics".to_owned()]).map_err(|e| e.to_string())?;
    let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(own.signing_key.serialize_der()));
    let pair = CertifiedKey::from_der(vec![own.cert.der().clone()], key, &aws_lc_rs::default_provider());
    Ok(Arc::new(SingleCertAndKey::from(pair.map_err(|e| e.to_string())?)))
}

fn router(pages: Pages, access: Access) -> Router {
    let guarded = Router::new().route(METRICS, get(metrics)).layer(from_fn_with_state(Arc::new(access), guard));
    Router::new()
        .route("/healthz", get(async || "ok"))
        .route("/readyz", get(readiness))
        .merge(guarded)
        .with_state(pages)
}

/// Lets through whom the API server lets read.
async fn guard(State(access): State<Arc<Access>>, request: Request, next: Next) -> Response {
    match access.verdict(request.headers()).await {
        Verdict::Allowed => next.run(request).await,
        Verdict::Unknown => (StatusCode::UNAUTHORIZED, [(WWW_AUTHENTICATE, "Bearer")]).into_response(),
        Verdict::Denied => StatusCode::FORBIDDEN.into_response(),
        Verdict::Unanswered => StatusCode::SERVICE_UNAVAILABLE.into_response(),
    }
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

#[cfg(test)]
mod tests {
    use axum::Json;
    use axum::routing::post;
    use kube::Config;
    use serde_json::{Value, json};

    use super::*;

    /// An API server that knows two tokens, of which one may read the metrics; `down` knows nothing.
    async fn api_server() -> SocketAddr {
        let token = |Json(review): Json<Value>| async move {
            let user = match review["spec"]["token"].as_str().unwrap_or_default() {
                "down" => return Err(StatusCode::INTERNAL_SERVER_ERROR),
                "reader" => json!({"authenticated": true, "user": {"username": "reader", "groups": ["all"]}}),
                "other" => json!({"authenticated": true, "user": {"username": "other"}}),
                _ => json!({"authenticated": false}),
            };
            Ok(Json(json!({"spec": {}, "status": user})))
        };
        let access = |Json(review): Json<Value>| async move {
            let asked = &review["spec"]["nonResourceAttributes"];
            let allowed = review["spec"]["user"] == "reader"
                && review["spec"]["groups"] == json!(["all"])
                && asked["path"] == "/metrics"
                && asked["verb"] == "get";
            Json(json!({"spec": {}, "status": {"allowed": allowed}}))
        };
        let router = Router::new()
            .route("/apis/authentication.k8s.io/v1/tokenreviews", post(token))
            .route("/apis/authorization.k8s.io/v1/subjectaccessreviews", post(access));
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(async { axum::serve(listener, router).await });
        address
    }

    #[tokio::test]
    async fn metrics_are_read_by_whom_the_api_server_lets_and_health_by_all() {
        let _ = aws_lc_rs::default_provider().install_default();
        let config = Config::new(format!("http://{}", api_server().await).parse().unwrap());
        let pages = Pages::new(Registry::default());
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let router = router(pages.clone(), Access::new(Client::try_from(config).unwrap()));
        let (_stop, stopped) = watch::channel(false);
        tokio::spawn(https::serve(listener, self_signed().unwrap(), router, stopped));
        let client = reqwest::Client::builder().danger_accept_invalid_certs(true).no_proxy().build().unwrap();
        let asked = async |path: &str, authorization: &str| {
            let request = client.get(format!("https://{address}{path}")).header("Authorization", authorization);
            request.send().await.unwrap().status().as_u16()
        };
        for (path, authorization, status) in [
            ("/metrics", "Bearer reader", 200),
            ("/metrics", "bearer  reader", 200),
            ("/metrics", "Bearer other", 403),
            ("/metrics", "Bearer nobody", 401),
            ("/metrics", "Basic reader", 401),
            ("/metrics", "", 401),
            ("/metrics", "Bearer down", 503),
            ("/healthz", "", 200),
            ("/readyz", "", 503),
        ] {
            assert_eq!(asked(path, authorization).await, status, "{path} {authorization}");
        }
        pages.ready();
        assert_eq!(asked("/readyz", "").await, 200);
    }
}
