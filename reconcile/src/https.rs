//! Serving over TLS 1.2 or later: connections, then HTTP/1.1.

use std::io;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use rustls::ServerConfig;
use rustls::crypto::aws_lc_rs;
use rustls::server::ResolvesServerCert;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;
use tracing::{debug, warn};

/// A caller that has not shaken hands by then never will.
const HANDSHAKE: Duration = Duration::from_secs(10);
/// The API server keeps idle connections for 90 s; closing them first would cost it requests.
const IDLE: Duration = Duration::from_secs(120);
/// Requests that run at the end are given so long.
const GRACE: Duration = Duration::from_secs(10);
/// After a failed accept (too many open files, say) the next try would fail as well.
const PAUSE: Duration = Duration::from_millis(200);

/// Serves `router` until `stopped` says so; then no connection is taken any more, and requests that run are finished.
///
/// # Errors
/// The cryptography lacks what TLS needs.
pub async fn serve(
    listener: TcpListener,
    certificate: Arc<dyn ResolvesServerCert>,
    router: Router,
    stopped: watch::Receiver<bool>,
) -> Result<(), rustls::Error> {
    let acceptor = TlsAcceptor::from(Arc::new(config(certificate)?));
    let mut connections = JoinSet::new();
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = ended(stopped.clone()) => break,
            // Takes what has ended off the set, so that it does not grow.
            Some(_) = connections.join_next() => continue,
        };
        match accepted {
            Ok((stream, peer)) => {
                let (acceptor, router, stopped) = (acceptor.clone(), router.clone(), stopped.clone());
                connections.spawn(async move {
                    if let Err(error) = connection(stream, acceptor, router, stopped).await {
                        debug!(%peer, %error, "connection ended");
                    }
                });
            }
            Err(error) => {
                warn!(%error, "no connection could be taken");
                tokio::time::sleep(PAUSE).await;
            }
        }
    }
    drop(listener);
    let all = async { while connections.join_next().await.is_some() {} };
    if tokio::time::timeout(GRACE, all).await.is_err() {
        warn!("requests that still run are cut off");
    }
    Ok(())
}

/// Until the process is asked to end.
async fn ended(mut stopped: watch::Receiver<bool>) {
    // An error says that the sender is gone, which is an end too.
    let _ = stopped.wait_for(|stop| *stop).await;
}

fn config(certificate: Arc<dyn ResolvesServerCert>) -> Result<ServerConfig, rustls::Error> {
    let mut config = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_protocol_versions(&[&rustls::version::TLS13, &rustls::version::TLS12])?
        .with_no_client_auth()
        .with_cert_resolver(certificate);
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(config)
}

async fn connection(
    stream: TcpStream,
    acceptor: TlsAcceptor,
    router: Router,
    stopped: watch::Receiver<bool>,
) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
    let late = |_| io::Error::new(io::ErrorKind::TimedOut, "no handshake in time");
    let stream = tokio::select! {
        shaken = tokio::time::timeout(HANDSHAKE, acceptor.accept(stream)) => shaken.map_err(late)??,
        () = ended(stopped.clone()) => return Ok(()),
    };
    let service = TowerToHyperService::new(router);
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new()).header_read_timeout(IDLE);
    let mut connection = pin!(http.serve_connection(TokioIo::new(stream), service));
    tokio::select! {
        ended = connection.as_mut() => return Ok(ended?),
        () = ended(stopped) => {}
    }
    connection.as_mut().graceful_shutdown();
    Ok(connection.await?)
}
