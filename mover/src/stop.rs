//! How one failing thread stops all the others: the first failure is kept, and every wait ends.

use std::sync::{Mutex, PoisonError};

use contract::{Code, Failure};
use crossbeam_channel::{Receiver, Sender};

/// The first failure of a transfer. Waits select on [`tripped`](Self::tripped) beside what they wait for.
pub(crate) struct Stop {
    state: Mutex<State>,
    tripped: Receiver<()>,
}

struct State {
    failure: Option<Failure>,
    /// Dropped at the first failure, which ends every `recv` on the other side.
    alive: Option<Sender<()>>,
}

impl Default for Stop {
    fn default() -> Self {
        Self::new()
    }
}

impl Stop {
    /// A transfer in which nothing has failed yet.
    #[must_use]
    pub(crate) fn new() -> Self {
        let (alive, tripped) = crossbeam_channel::bounded(0);
        Self { state: Mutex::new(State { failure: None, alive: Some(alive) }), tripped }
    }

    /// Records `failure` unless one is recorded already, and ends all waits.
    pub(crate) fn trip(&self, failure: Failure) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.failure.get_or_insert(failure);
        state.alive = None;
    }

    /// Never receives anything; disconnected once the transfer stops.
    #[must_use]
    pub(crate) fn tripped(&self) -> &Receiver<()> {
        &self.tripped
    }

    /// The first failure.
    #[must_use]
    pub(crate) fn reason(&self) -> Failure {
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.failure.clone().unwrap_or_else(|| Failure::new(Code::Internal, "a wait ended without a cause"))
    }

    /// The first failure, if there is one, as a result.
    ///
    /// # Errors
    /// The first failure.
    pub(crate) fn check(&self) -> Result<(), Failure> {
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.failure.clone().map_or(Ok(()), Err)
    }
}
