//! The life of the process: open the pool, serve until a signal, finish what runs.

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use storage::Pool;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;
use tonic::transport::Server;
use tracing::{info, warn};

use crate::driver::Driver;
use crate::metrics::Metrics;
use crate::registration::{self, Registration};
use crate::service::Csi;
use crate::settings::Settings;
use crate::{http, socket};

/// Calls into the library run on their own threads; this many at once are enough for a node and keep memory small.
const CALLS_AT_ONCE: usize = 16;

/// Why the process ends.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// The pool cannot be opened.
    #[error("{0}")]
    Pool(String),
    /// The runtime or its signal handlers cannot be set up.
    #[error("could not start: {0}")]
    Start(io::Error),
    /// A socket cannot be served.
    #[error("could not serve {path}: {source}")]
    Socket {
        /// Its path.
        path: PathBuf,
        /// The system's reason.
        source: io::Error,
    },
    /// The address for metrics cannot be served.
    #[error("could not serve {address}: {source}")]
    Address {
        /// The address.
        address: SocketAddr,
        /// The system's reason.
        source: io::Error,
    },
    /// The server of a socket failed.
    #[error("the server failed: {0}")]
    Server(tonic::transport::Error),
}

/// Serves until SIGTERM or SIGINT.
///
/// # Errors
/// Something cannot be opened or served.
pub fn run(settings: &Settings) -> Result<(), Failure> {
    let pool = Pool::open(&settings.pool, storage::Settings { over_commit: settings.over_commit })
        .map_err(|error| Failure::Pool(crate::driver::text_of(&error)))?;
    pool.complaints().iter().for_each(|complaint| warn!(complaint));
    if !pool.shares_blocks() {
        warn!(pool = %pool.root().display(), "this file system cannot share blocks: snapshots and clones are copies, and are refused while a volume is attached; xfs and btrfs can");
    }
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .max_blocking_threads(CALLS_AT_ONCE)
        .enable_all()
        .build()
        .map_err(Failure::Start)?;
    runtime.block_on(serve(settings, pool))
}

async fn serve(settings: &Settings, pool: Pool) -> Result<(), Failure> {
    let (stop, stopped) = watch::channel(false);
    let pool = Arc::new(pool);
    let metrics = Arc::new(Metrics::new(Arc::clone(&pool)));
    let driver = Driver::new(Arc::clone(&pool), settings);
    let csi = Csi::new(driver, Arc::clone(&metrics));
    let listener = socket::listen(&settings.endpoint)?;
    let mut server =
        tokio::spawn(Server::builder().serve_with_incoming_shutdown(csi, listener, ended(stopped.clone())));
    if let Some(folder) = &settings.registration_folder {
        let endpoint = settings.kubelet_endpoint.as_ref().unwrap_or(&settings.endpoint);
        let registration = Registration::new(&settings.driver_name, endpoint);
        let listener = socket::listen(&folder.join(registration::socket_name(&settings.driver_name)))?;
        tokio::spawn(Server::builder().serve_with_incoming_shutdown(registration, listener, ended(stopped.clone())));
    }
    if let Some(address) = settings.http_address {
        http::serve(address, metrics, stopped).await?;
    }
    info!(driver = settings.driver_name, node = settings.node, pool = %pool.root().display(), endpoint = %settings.endpoint.display(), "serving");
    let mut terminate = signal(SignalKind::terminate()).map_err(Failure::Start)?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(Failure::Start)?;
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
        ended = &mut server => return flattened(ended),
    }
    info!("ending: calls that run are finished");
    // Nobody listens any more if the server has ended by itself.
    let _ = stop.send(true);
    let ended = server.await;
    socket::remove(&settings.endpoint);
    flattened(ended)
}

/// Until the process is asked to end.
pub(crate) async fn ended(mut stopped: watch::Receiver<bool>) {
    // An error says that the sender is gone, which is an end too.
    let _ = stopped.wait_for(|stop| *stop).await;
}

fn flattened(ended: Result<Result<(), tonic::transport::Error>, tokio::task::JoinError>) -> Result<(), Failure> {
    match ended {
        Ok(result) => result.map_err(Failure::Server),
        Err(error) => Err(Failure::Start(io::Error::other(error))),
    }
}
