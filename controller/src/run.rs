//! The life of a controller process: caches, leadership, work.
//!
//! Every replica fills its caches and is ready, so that another can take over at once; only the leader works.

use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::api::core::v1::{PersistentVolumeClaim, Pod};
use kube::Client;
use kube::runtime::events::{Recorder, Reporter};
use prometheus_client::registry::Registry;
use reconcile::{Candidate, Metrics, Pages, Queue, Writer, drive};
use tokio::signal::unix::{SignalKind, signal};

use crate::live::Live;
use crate::settings::Settings;
use crate::watches::{Queues, Watches, filled, shown_on, watch_snapshot_classes};
use crate::{Context, MANAGER, cdiconfig, certificates, consumer, crds, datavolume, import, populator, storageprofile};

/// Name of the Lease, CDI's own, so that a CDI that still runs and Gantry do not both work.
const LEASE: &str = "cdi-controller-leader-election-helper";
/// How long running reconciles may take to end.
const LAST_WORDS: Duration = Duration::from_secs(5);

/// Why the process ends.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The runtime cannot be had.
    #[error("could not start: {0}")]
    Start(std::io::Error),
    /// There is no access to an API server.
    #[error("no access to the API server: {0}")]
    Access(kube::Error),
    /// Another replica leads.
    #[error("the lease {LEASE} was lost; another replica works on")]
    LeaseLost,
    /// The pages cannot be served.
    #[error("could not serve the metrics: {0}")]
    Serve(std::io::Error),
    /// The CRDs are not taken.
    #[error("could not install the custom resource definitions: {0}")]
    Definitions(kube::Error),
    /// What only the leader does came to an end.
    #[error("a controller ended by itself")]
    Ended,
}

/// Works until SIGTERM.
///
/// # Errors
/// When it cannot start, or has to leave the work to another replica.
pub fn run(settings: Settings) -> Result<(), Error> {
    // The first provider stays; there is none before us.
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().map_err(Error::Start)?;
    let ended = runtime.block_on(live(settings));
    runtime.shutdown_timeout(LAST_WORDS);
    ended
}

async fn live(settings: Settings) -> Result<(), Error> {
    let mut terminated = signal(SignalKind::terminate()).map_err(Error::Start)?;
    tokio::select! {
        ended = work(settings) => ended,
        _ = terminated.recv() => Ok(()),
    }
}

async fn work(settings: Settings) -> Result<(), Error> {
    let client = Client::try_default().await.map_err(Error::Access)?;
    let mut candidate = Candidate::new(client.clone(), &settings.namespace, LEASE, &settings.identity);
    let metrics = Metrics::default();
    let mut registry = Registry::default();
    metrics.register(&mut registry);
    let queues = Queues::default();
    let (feeds, feeding) =
        cdiconfig::Feeds::begin(&client, &settings.namespace, &queues.configs).await.map_err(Error::Access)?;
    let watches = Watches::new(&queues);
    let mut caches = watches.caches();
    let (snapshot_classes, snapshots) =
        watch_snapshot_classes(&client, &queues, &caches.classes).await.map_err(Error::Access)?;
    caches.snapshot_classes = snapshot_classes;
    registry.register_collector(Box::new(storageprofile::Profiles {
        profiles: caches.profiles.clone(),
        classes: caches.classes.clone(),
        drivers: caches.drivers.clone(),
    }));
    let pages = Pages::new(registry);
    let reporter = Reporter { controller: MANAGER.into(), instance: Some(settings.identity.clone()) };
    let context = Arc::new(Context {
        writer: Writer::new(client.clone(), MANAGER),
        recorder: Recorder::new(client.clone(), reporter),
        client: client.clone(),
        caches,
        live: Live::default(),
        settings,
    });
    let serving = reconcile::serve(context.settings.metrics_address, pages.clone());
    let leading = async {
        // Without the kinds no cache of them fills.
        crds::install(&client).await.map_err(Error::Definitions)?;
        filled(&context.caches).await;
        feeds.filled().await;
        pages.ready();
        candidate.lead().await;
        tracing::info!(identity = context.settings.identity, "leading");
        tokio::select! {
            () = candidate.keep() => Err(Error::LeaseLost),
            () = controllers(queues, Arc::clone(&context), Arc::new(feeds), metrics) => Err(Error::Ended),
        }
    };
    tokio::select! {
        () = watches.run(&client) => Err(Error::Ended),
        () = snapshots => Err(Error::Ended),
        () = feeding => Err(Error::Ended),
        served = serving => served.map_err(Error::Serve),
        ended = leading => ended,
    }
}

/// What the leader does.
async fn controllers(queues: Queues, context: Arc<Context>, feeds: Arc<cdiconfig::Feeds>, metrics: Metrics) {
    let caches = &context.caches;
    let (data_volumes, claims) = (caches.data_volumes.clone(), caches.claims.clone());
    let shared = || (Arc::clone(&context), metrics.clone());
    let to_show = queues.data_volumes.handle();
    let wake = {
        let claims = claims.clone();
        move |pod: &Pod| shown_on(pod, &claims).into_iter().for_each(|data_volume| to_show.wake(data_volume))
    };
    let asking = context.live.clone().run(caches.pods.clone(), wake);
    let asking = async {
        if let Err(error) = asking.await {
            tracing::error!(%error, "running importers cannot be asked");
        }
        // What they would say is told by their termination messages, too.
        std::future::pending::<()>().await;
    };
    let configure = {
        let (context, metrics) = shared();
        let store = caches.configs.clone();
        let reconcile = move |config, context| cdiconfig::reconcile(config, context, Arc::clone(&feeds));
        drive("cdiconfig", queues.configs, store, reconcile, context, metrics)
    };
    let run = |name, queue: Queue<PersistentVolumeClaim>| {
        let (context, metrics) = shared();
        (name, queue, claims.clone(), context, metrics)
    };
    let (name, queue, store, context_, metrics_) = run("import", queues.imports);
    let importing = drive(name, queue, store, import::reconcile, context_, metrics_);
    let (name, queue, store, context_, metrics_) = run("populator", queues.populations);
    let populating = drive(name, queue, store, populator::reconcile, context_, metrics_);
    let (name, queue, store, context_, metrics_) = run("consumer", queues.consumed);
    let consuming = drive(name, queue, store, consumer::reconcile, context_, metrics_);
    let (context_, metrics_) = shared();
    let following = drive("datavolume", queues.data_volumes, data_volumes, datavolume::reconcile, context_, metrics_);
    let (context_, metrics_) = shared();
    let profiling =
        drive("storageprofile", queues.classes, caches.classes.clone(), storageprofile::reconcile, context_, metrics_);
    tokio::join!(
        asking,
        configure,
        importing,
        populating,
        consuming,
        following,
        profiling,
        cdiconfig::keep(Arc::clone(&context)),
        certificates::keep(Arc::clone(&context)),
    );
}
