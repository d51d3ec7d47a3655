//! How one failing thread stops all the others: the first failure is kept, and every wait ends.

use std::sync::{Mutex, PoisonError};

use contract::{Code, Failure};
use crossbeam_channel::{Receiver, Sender};

/// What a thread says whose wait ended before anybody recorded a failure.
const NO_CAUSE: &str = "a wait ended without a cause";

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
    ///
    /// A thread that fails lets go of its channels a moment before it records why. Another may notice that first, and brings
    /// a failure without a cause; the cause then takes its place.
    pub(crate) fn trip(&self, failure: Failure) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if state.failure.as_ref().is_none_or(|first| first.what() == NO_CAUSE) {
            state.failure = Some(failure);
        }
        state.alive = None;
    }

    /// Never receives anything; disconnected once the transfer stops.
    #[must_use]
    pub(crate) fn tripped(&self) -> &Receiver<()> {
        &self.tripped
    }

    /// The first failure, or one that says that there is none yet.
    #[must_use]
    pub(crate) fn reason(&self) -> Failure {
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.failure.clone().unwrap_or_else(|| Failure::new(Code::Internal, NO_CAUSE))
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_cause_is_kept_and_not_the_failure_of_a_thread_that_only_noticed() {
        let stop = Stop::new();
        assert!(stop.check().is_ok());
        stop.trip(stop.reason());
        assert_eq!(stop.check().unwrap_err().code(), Code::Internal);
        stop.trip(Failure::new(Code::TargetTooSmall, "the cause"));
        stop.trip(Failure::new(Code::TargetIo, "its consequence"));
        assert_eq!(stop.reason().code(), Code::TargetTooSmall);
    }
}
