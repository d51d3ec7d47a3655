//! Talking to a cluster: as kubectl finds it, and with failures as this command tells them.

mod access;
mod answer;

use std::time::Duration;

use contract::{Code, Failure};
use mover::cancel::Cancel;

pub(crate) use access::Access;
pub(crate) use answer::{chain, failure, of_kind};

/// How often it is looked whether to stop.
const LOOK: Duration = Duration::from_millis(50);

/// Does what waits for the cluster, until it is done or a signal comes.
///
/// # Errors
/// What `work` comes to, or code `cancelled`.
pub(crate) fn block_on<T>(cancel: &Cancel, work: impl Future<Output = Result<T, Failure>>) -> Result<T, Failure> {
    // The first provider stays, and there is only this one.
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime =
        runtime.map_err(|error| Failure::new(Code::Internal, format!("cannot start the event loop: {error}")))?;
    runtime.block_on(async {
        tokio::select! {
            done = work => done,
            stopped = stopped(cancel) => Err(stopped),
        }
    })
}

async fn stopped(cancel: &Cancel) -> Failure {
    while !cancel.is_cancelled() {
        tokio::time::sleep(LOOK).await;
    }
    Failure::new(Code::Cancelled, "stopped on request").remedy("run the same command again; in the cluster all goes on")
}
