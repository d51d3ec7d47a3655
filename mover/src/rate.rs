//! A speed limit on the source, shared by all connections.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use contract::Failure;
use crossbeam_channel::{after, select};

use crate::stop::Stop;

/// Lets bytes pass at a given rate; without a rate, at once.
pub(crate) struct Limiter {
    /// Bytes per second.
    rate: Option<u64>,
    /// When the bytes let through so far are due.
    due: Mutex<Instant>,
}

impl Limiter {
    /// At most `rate` bytes per second, if given.
    #[must_use]
    pub(crate) fn new(rate: Option<u64>) -> Self {
        Self { rate: rate.filter(|&rate| rate > 0), due: Mutex::new(Instant::now()) }
    }

    /// Waits until `bytes` may be fetched.
    ///
    /// # Errors
    /// The transfer stopped while waiting.
    pub(crate) fn pass(&self, bytes: u64, stop: &Stop) -> Result<(), Failure> {
        let Some(rate) = self.rate else { return Ok(()) };
        let wait = {
            let mut due = self.due.lock().unwrap_or_else(PoisonError::into_inner);
            let now = Instant::now();
            // Time in which nothing was asked for is not saved up.
            *due = (*due).max(now) + Duration::from_secs_f64(bytes as f64 / rate as f64);
            due.duration_since(now)
        };
        select! {
            recv(after(wait)) -> _ => Ok(()),
            recv(stop.tripped()) -> _ => Err(stop.reason()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_take_the_time_the_rate_gives_them() {
        let limiter = Limiter::new(Some(1 << 20));
        let start = Instant::now();
        for _ in 0..4 {
            limiter.pass(32 << 10, &Stop::new()).unwrap();
        }
        assert!(start.elapsed() >= Duration::from_millis(120), "128 KiB at 1 MiB/s take an eighth of a second");
    }
}
