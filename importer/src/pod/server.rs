//! Serves the progress of a worker over TLS, with a certificate made for the occasion (CDI: self-signed, unverified).
//!
//! ```text
//! GET /metrics                     kubevirt_cdi_import_progress_total{ownerUID="…"} 42.5
//! GET /gantry.dev/v1/worker        step, bytes, rate, time left, last trouble, as JSON
//! ```

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use bytes::Bytes;
use contract::pod::{LastError, METRICS, PROGRESS_METRIC, WORKER, Worker};
use contract::{Code, Failure, SCHEMA};
use http::header::{CONTENT_TYPE, HeaderValue};
use http::{Request, Response, StatusCode};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use mover::progress::{Progress, Step};
use rustls::ServerConfig;
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Runtime;
use tokio::sync::Semaphore;
use tokio_rustls::TlsAcceptor;

use crate::source::http::install_provider;

/// Connections served at once; a controller needs one.
const CONNECTIONS: usize = 8;
/// Longest life of a connection: a scrape takes milliseconds.
const LIFE: Duration = Duration::from_secs(10);

/// A running server; it ends when it is dropped.
pub(super) struct Server {
    /// Its one thread.
    _runtime: Runtime,
}

/// What is served.
struct Pages {
    owner: String,
    progress: Progress,
    begun: Instant,
}

impl Server {
    /// Serves `progress` at `address` for the owner with this uid.
    ///
    /// # Errors
    /// The address cannot be had.
    pub(super) fn start(address: SocketAddr, owner: &str, progress: &Progress) -> Result<Self, Failure> {
        install_provider();
        let refused = |what: &str, error: &dyn std::fmt::Display| {
            Failure::new(Code::Internal, format!("cannot {what}: {error}")).at(address.to_string())
        };
        let config = configuration().map_err(|error| refused("make a certificate", &error))?;
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
        let runtime = runtime.map_err(|error| refused("start the server's thread", &error))?;
        let listener = runtime.block_on(TcpListener::bind(address)).map_err(|error| refused("listen", &error))?;
        let pages = Arc::new(Pages { owner: owner.to_owned(), progress: progress.clone(), begun: Instant::now() });
        runtime.spawn(accept(listener, TlsAcceptor::from(Arc::new(config)), pages));
        Ok(Self { _runtime: runtime })
    }
}

fn configuration() -> Result<ServerConfig, Box<dyn std::error::Error>> {
    let own = rcgen::generate_simple_self_signed(["cdi-importer".to_owned()])?;
    let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(own.signing_key.serialize_der()));
    Ok(ServerConfig::builder().with_no_client_auth().with_single_cert(vec![own.cert.der().clone()], key)?)
}

async fn accept(listener: TcpListener, acceptor: TlsAcceptor, pages: Arc<Pages>) {
    let places = Arc::new(Semaphore::new(CONNECTIONS));
    loop {
        let Ok(place) = Arc::clone(&places).acquire_owned().await else { return };
        // A connection that is gone before it was taken is nobody's loss.
        let Ok((stream, _)) = listener.accept().await else { continue };
        let (acceptor, pages) = (acceptor.clone(), Arc::clone(&pages));
        tokio::spawn(async move {
            // A caller that does not finish in time, or does not speak TLS, is left alone.
            let _ = tokio::time::timeout(LIFE, serve(stream, acceptor, pages)).await;
            drop(place);
        });
    }
}

async fn serve(stream: TcpStream, acceptor: TlsAcceptor, pages: Arc<Pages>) {
    let Ok(stream) = acceptor.accept(stream).await else { return };
    let service = service_fn(move |request: Request<Incoming>| {
        let response = pages.answer(request.uri().path());
        async move { Ok::<_, Infallible>(response) }
    });
    // What goes wrong here goes wrong for the caller, who will ask again.
    let _ = hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
}

impl Pages {
    fn answer(&self, path: &str) -> Response<Full<Bytes>> {
        let (status, kind, body) = match path {
            METRICS => (StatusCode::OK, "text/plain; version=0.0.4", self.metrics()),
            WORKER => (StatusCode::OK, "application/json", serde_json::to_string(&self.worker()).unwrap_or_default()),
            _ => (StatusCode::NOT_FOUND, "text/plain", String::new()),
        };
        let mut response = Response::new(Full::new(Bytes::from(body)));
        *response.status_mut() = status;
        response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(kind));
        response
    }

    fn metrics(&self) -> String {
        let owner = self.owner.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n");
        let (at, total) = (self.progress.at.load(Ordering::Relaxed), self.progress.total.load(Ordering::Relaxed));
        let percent = if total == 0 { 0.0 } else { at.min(total) as f64 * 100.0 / total as f64 };
        // The controller holds a full 100 back until the pod has ended; what is still to be made durable is not done.
        let percent = if self.progress.step() == Step::Finishing { 100.0 } else { percent.min(99.99) };
        format!(
            "# HELP {PROGRESS_METRIC} The import progress in percentage\n# TYPE {PROGRESS_METRIC} counter\n{PROGRESS_METRIC}{{ownerUID=\"{owner}\"}} {percent:.2}\n"
        )
    }

    fn worker(&self) -> Worker {
        let load = |counter: &std::sync::atomic::AtomicU64| counter.load(Ordering::Relaxed);
        let (at, total, fetched) = (load(&self.progress.at), load(&self.progress.total), load(&self.progress.fetched));
        let seconds = self.begun.elapsed().as_secs_f64().max(0.001);
        let eta = (total > 0 && at > 0).then(|| seconds * total.saturating_sub(at) as f64 / at as f64);
        let last_error = self.progress.trouble().map(|failure| LastError {
            code: failure.code().name().into(),
            cause: failure.to_string(),
            remedy: failure.what_to_do().to_owned(),
            retried: true,
        });
        Worker {
            schema: SCHEMA.into(),
            step: self.progress.step().name().into(),
            attempt: self.progress.attempt.load(Ordering::Relaxed),
            at,
            total,
            fetched,
            written: load(&self.progress.written),
            rate: fetched as f64 / seconds,
            eta,
            last_error,
        }
    }
}
