//! What every controller shares: watches that fill caches and queues, the driver of a queue, leadership, the page of metrics.
//!
//! ```text
//! API server -> Watch<K> -> Store<K>, Index<K>  what a reconcile reads; no list, no get, no search among all objects
//!                       \-> Departed<K>         last words of what is gone
//!                       \-> Queue<T> -> Driver  which object has to be looked at again
//!                       \-> Echoes              what a Writer wrote is in the cache
//! ```
//!
//! One watch per kind serves all controllers. A [`Queue`] drops duplicates and never runs one object twice at a time
//! (`kube::runtime::applier`); failures come back with a growing delay.

mod access;
mod departed;
mod drive;
mod echo;
mod https;
mod index;
mod lease;
mod log;
mod metrics;
mod queue;
mod watch;
mod write;

pub use departed::Departed;
pub use drive::Driver;
pub use echo::Echoes;
pub use https::serve;
pub use index::Index;
pub use lease::Candidate;
pub use log::{LogFormat, log};
pub use metrics::{Metrics, Pages, Unserved, serve_pages};
pub use queue::{Handle, Queue};
pub use watch::Watch;
pub use write::{Error, Kind, Writer};
