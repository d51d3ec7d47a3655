//! One flag that stops an import, checked per buffer and per wait.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use contract::{Code, Failure};

/// Shared request to stop; clones are the same flag.
#[derive(Clone, Debug, Default)]
pub struct Cancel(Arc<AtomicBool>);

impl Cancel {
    /// A flag that is not set.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Asks everybody who holds a clone to stop.
    pub fn cancel(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    /// Whether a stop was asked for.
    #[must_use]
    pub fn is_cancelled(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }

    /// Turns a stop that was asked for into a failure, for use with `?`.
    ///
    /// # Errors
    /// Code `cancelled`.
    pub fn check(&self) -> Result<(), Failure> {
        if self.is_cancelled() {
            return Err(Failure::new(Code::Cancelled, "stopped on request"));
        }
        Ok(())
    }
}
