//! The life of a controller process: caches, leadership, work.
//!
//! Every replica fills its caches and is ready, so that another can take over at once; only the leader works.

use std::fmt::Debug;
use std::sync::Arc;
use std::time::Duration;

use api::cdi::DataVolume;
use k8s_openapi::api::core::v1::{PersistentVolumeClaim, Pod};
use kube::runtime::controller::Action;
use kube::runtime::events::{Recorder, Reporter};
use kube::runtime::reflector::Store;
use kube::{Client, Resource};
use prometheus_client::registry::Registry;
use reconcile::{Candidate, Driver, Echoes, Handle, Metrics, Pages, Queue, Writer};
use tokio::signal::unix::{SignalKind, signal};

use crate::live::Live;
use crate::settings::Settings;
use crate::watches::{Queues, Watches, shown_on, shown_on_claim};
use crate::{
    Context, MANAGER, cdiconfig, certificates, consumer, crds, datavolume, import, populator, snapshots, storageprofile,
};

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
    #[error("the pages of health and metrics: {0}")]
    Serve(reconcile::Unserved),
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
    let ended = runtime.block_on(work(settings));
    runtime.shutdown_timeout(LAST_WORDS);
    ended
}

async fn work(settings: Settings) -> Result<(), Error> {
    let mut terminated = signal(SignalKind::terminate()).map_err(Error::Start)?;
    let client = Client::try_default().await.map_err(Error::Access)?;
    let mut candidate = Candidate::new(client.clone(), &settings.namespace, LEASE, &settings.identity);
    let metrics = Metrics::default();
    let mut registry = Registry::default();
    metrics.register(&mut registry);
    let (queues, echoes) = (Queues::default(), Echoes::default());
    let (feeds, feeding) =
        cdiconfig::Feeds::begin(&client, &settings.namespace, &queues.configs).await.map_err(Error::Access)?;
    let watches = Watches::new(&queues, &echoes);
    let caches = watches.caches();
    registry.register_collector(Box::new(storageprofile::Profiles {
        profiles: caches.profiles.clone(),
        classes: caches.classes.clone(),
        drivers: caches.drivers.clone(),
    }));
    registry.register_collector(Box::new(datavolume::Pending {
        data_volumes: caches.data_volumes.clone(),
        classes: caches.classes.clone(),
    }));
    let pages = Pages::new(registry);
    let reporter = Reporter { controller: MANAGER.into(), instance: Some(settings.identity.clone()) };
    let context = Arc::new(Context {
        writer: Writer::new(client.clone(), MANAGER),
        recorder: Recorder::new(client.clone(), reporter.clone()),
        reporter,
        client: client.clone(),
        caches,
        live: Live::default(),
        settings,
    });
    let serving = reconcile::serve_pages(context.settings.metrics_address, pages.clone(), client.clone());
    let leading = async {
        tokio::select! {
            prepared = prepare(&client, &context, &feeds, &pages) => prepared?,
            _ = terminated.recv() => return Ok(()),
        }
        tokio::select! {
            () = candidate.lead() => {}
            _ = terminated.recv() => return Ok(()),
        }
        tracing::info!(identity = context.settings.identity, "leading");
        let leader = Leader { context: Arc::clone(&context), driver: Driver { metrics, echoes } };
        let ended = tokio::select! {
            () = candidate.keep() => Err(Error::LeaseLost),
            () = leader.work(queues, Arc::new(feeds)) => Err(Error::Ended),
            _ = terminated.recv() => Ok(()),
        };
        if ended.is_ok() {
            candidate.release().await;
        }
        ended
    };
    tokio::select! {
        () = watches.run(&client) => Err(Error::Ended),
        () = feeding => Err(Error::Ended),
        served = serving => served.map_err(Error::Serve),
        ended = leading => ended,
    }
}

/// Gets ready to lead, as every replica is.
async fn prepare(client: &Client, context: &Context, feeds: &cdiconfig::Feeds, pages: &Pages) -> Result<(), Error> {
    // Without the kinds no cache of them fills.
    crds::install(client).await.map_err(Error::Definitions)?;
    let snapshots = snapshots::are_served(client).await.map_err(Error::Access)?;
    context.caches.filled(snapshots).await;
    feeds.filled().await;
    pages.ready();
    Ok(())
}

/// The replica that works.
struct Leader {
    context: Arc<Context>,
    driver: Driver,
}

impl Leader {
    async fn work(&self, queues: Queues, feeds: Arc<cdiconfig::Feeds>) {
        let caches = &self.context.caches;
        let claims = &caches.claims;
        let configure = move |config, context| cdiconfig::reconcile(config, context, Arc::clone(&feeds));
        let shown = (queues.data_volumes.handle(), queues.populations.handle());
        tokio::join!(
            self.ask_importers(shown),
            self.drive("datavolume", queues.data_volumes, &caches.data_volumes, datavolume::reconcile),
            self.drive("populator", queues.populations, claims, populator::reconcile),
            self.drive("import", queues.imports, claims, import::reconcile),
            self.drive("consumer", queues.consumed, claims, consumer::reconcile),
            self.drive("storageprofile", queues.classes, &caches.classes, storageprofile::reconcile),
            self.drive("cdiconfig", queues.configs, &caches.configs, configure),
            cdiconfig::keep(Arc::clone(&self.context)),
            certificates::keep(Arc::clone(&self.context)),
            crds::mark(&self.context),
        );
    }

    /// One controller.
    async fn drive<T, F>(
        &self,
        name: &'static str,
        queue: Queue<T>,
        store: &Store<T>,
        reconcile: impl Fn(Arc<T>, Arc<Context>) -> F,
    ) where
        T: Resource<DynamicType = ()> + Clone + Debug + Send + Sync + 'static,
        F: Future<Output = Result<Action, reconcile::Error>> + Send + 'static,
    {
        self.driver.drive(name, queue, store.clone(), reconcile, Arc::clone(&self.context)).await;
    }

    /// Asks running importers what they have to say, and has it shown.
    async fn ask_importers(&self, (data_volumes, targets): (Handle<DataVolume>, Handle<PersistentVolumeClaim>)) {
        let caches = &self.context.caches;
        let wake = |pod: &Pod| {
            shown_on(pod, &caches.claims).into_iter().for_each(|data_volume| data_volumes.wake(data_volume));
            shown_on_claim(pod, &caches.claims).into_iter().for_each(|claim| targets.wake(claim));
        };
        if let Err(error) = self.context.live.clone().run(caches.indexes.importers.clone(), wake).await {
            // What they would say is told by their termination messages, too.
            tracing::error!(%error, "running importers cannot be asked");
        }
    }
}
