//! The life of the process: start the caches, serve until a signal, finish what runs.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use kube::Client;
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;
use tracing::info;

use crate::server::{App, Certificate, Cluster, router, serve};
use crate::settings::Settings;

/// Reviews wait for single reads, so few threads carry many of them.
const THREADS: usize = 2;

/// Why the process ends.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// The runtime or its signal handlers cannot be set up.
    #[error("could not start: {0}")]
    Start(io::Error),
    /// Where the API server of Kubernetes is, and with which credentials, is not known.
    #[error("could not find the cluster: {0}")]
    Cluster(String),
    /// The address cannot be served.
    #[error("could not serve {address}: {source}")]
    Address {
        /// The address.
        address: SocketAddr,
        /// The system's reason.
        source: io::Error,
    },
    /// The cryptography cannot do what the server needs.
    #[error("could not set up TLS: {0}")]
    Tls(rustls::Error),
}

/// Serves until SIGTERM or SIGINT.
///
/// # Errors
/// Something cannot be opened or served.
pub fn run(settings: &Settings) -> Result<(), Failure> {
    // An error says that there is a provider already, which is as good.
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(THREADS)
        .enable_all()
        .build()
        .map_err(Failure::Start)?;
    runtime.block_on(live(settings))
}

async fn live(settings: &Settings) -> Result<(), Failure> {
    let client = Client::try_default().await.map_err(|error| Failure::Cluster(error.to_string()))?;
    let certificate = Arc::new(Certificate::new(&settings.tls_cert, &settings.tls_key));
    tokio::spawn(Arc::clone(&certificate).follow());
    let app = Arc::new(App::new(Cluster::start(client), Arc::clone(&certificate)));
    let address = settings.listen;
    let listener = TcpListener::bind(address).await.map_err(|source| Failure::Address { address, source })?;
    let (stop, stopped) = watch::channel(false);
    let mut server = tokio::spawn(serve(listener, certificate, router(app), stopped));
    info!(%address, "serving");
    let mut terminate = signal(SignalKind::terminate()).map_err(Failure::Start)?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(Failure::Start)?;
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
        ended = &mut server => return flattened(ended),
    }
    info!("ending: requests that run are finished");
    // Nobody listens any more if the server has ended by itself.
    let _ = stop.send(true);
    flattened(server.await)
}

fn flattened(ended: Result<Result<(), rustls::Error>, tokio::task::JoinError>) -> Result<(), Failure> {
    match ended {
        Ok(result) => result.map_err(Failure::Tls),
        Err(error) => Err(Failure::Start(io::Error::other(error))),
    }
}
