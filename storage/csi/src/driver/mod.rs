//! The calls of the specification as functions: check the arguments, call the library, map its errors.
//!
//! They are synchronous; `service.rs` runs each on a thread of its own.

mod ask;
mod controller;
mod identity;
mod node;
mod snapshots;

use std::sync::Arc;

use storage::{Error, Kind, Pool};
use tonic::{Code, Status};

use crate::settings::Settings;
use crate::spec::Topology;

/// The driver of one pool on one node.
#[derive(Clone, Debug)]
pub struct Driver {
    pool: Arc<Pool>,
    name: String,
    node: String,
    expand_on_node: bool,
}

impl Driver {
    /// A driver with these settings on an opened pool.
    #[must_use]
    pub fn new(pool: Arc<Pool>, settings: &Settings) -> Self {
        Self {
            pool,
            name: settings.driver_name.clone(),
            node: settings.node.clone(),
            expand_on_node: settings.expand_on_node,
        }
    }

    /// Where its volumes can be used: on this node only.
    fn topology(&self) -> Topology {
        Topology { segments: [(self.topology_key(), self.node.clone())].into() }
    }

    fn topology_key(&self) -> String {
        format!("{}/node", self.name)
    }

    /// Whether `topology` includes this node. One that does not name our key asks for nothing of ours.
    fn is_here(&self, topology: &Topology) -> bool {
        topology.segments.get(&self.topology_key()).is_none_or(|node| *node == self.node)
    }
}

/// An error with its causes.
pub(crate) fn text_of(error: &(dyn std::error::Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    text
}

/// A library's error as the specification's code.
fn status(error: &Error) -> Status {
    let code = match error.kind() {
        Kind::Invalid => Code::InvalidArgument,
        Kind::NotFound => Code::NotFound,
        Kind::Exists => Code::AlreadyExists,
        Kind::Busy => Code::Aborted,
        Kind::OutOfRange => Code::OutOfRange,
        Kind::Exhausted => Code::ResourceExhausted,
        Kind::Precondition => Code::FailedPrecondition,
        Kind::Damaged => Code::DataLoss,
        Kind::Internal => Code::Internal,
    };
    Status::new(code, text_of(error))
}
