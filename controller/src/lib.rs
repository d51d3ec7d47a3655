//! CDI's controllers: from a DataVolume to a bound claim that holds its disk.
//!
//! ```text
//! datavolume   DataVolume -> claim (and VolumeImportSource), status
//! populator    claim with a VolumeImportSource -> prime claim -> its volume handed over
//! import       claim with import annotations -> importer pod -> annotations
//! live         running importers -> what they say of themselves
//! consumer     claim that is written to -> no fingerprint any more
//! storageprofile, cdiconfig, certificates
//! ```
//!
//! Each has the same rooms: `observe` reads caches, `plan` decides, `build` makes objects, `status` shows what has come of it; the
//! last three are pure. `run` wires them to watches.

mod caches;
mod cdiconfig;
mod certificates;
mod consumer;
mod crds;
mod datavolume;
mod event;
mod import;
mod live;
mod names;
mod populator;
pub mod preview;
mod quota;
mod run;
#[cfg(test)]
mod sample;
mod settings;
mod snapshots;
mod storageprofile;
mod trouble;
mod watches;
mod workload;

use kube::runtime::events::{Recorder, Reporter};
use kube::{Client, Resource};
use reconcile::Writer;

use crate::caches::Caches;
use crate::event::Event;
use crate::live::Live;
pub use crate::run::{Error, run};
pub use crate::settings::Settings;

/// Our field manager at the API server.
const MANAGER: &str = "cdi-controller";

/// What every reconcile is given.
struct Context {
    client: Client,
    caches: Caches,
    writer: Writer,
    reporter: Reporter,
    recorder: Recorder,
    live: Live,
    settings: Settings,
}

impl Context {
    /// Tells events of an object. That one is lost is no reason to do the work again.
    async fn tell<K: Resource<DynamicType = ()>>(&self, object: &K, events: &[Event]) {
        for event in events {
            // A recorder keeps each event for minutes to count it when it comes again: warnings do, what went well does not.
            let recorder =
                if event.warning { &self.recorder } else { &Recorder::new(self.client.clone(), self.reporter.clone()) };
            if let Err(error) = recorder.publish(&event.recorded(), &object.object_ref(&())).await {
                tracing::warn!(%error, reason = event.reason, "an event could not be told");
            }
        }
    }
}
