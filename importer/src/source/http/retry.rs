//! When to try again and when to give up. No clock, no randomness, no I/O: both are passed in.
//!
//! ```text
//!   failure --> Outage: is there budget left? --no--> give up with the last cause
//!                  | yes
//!                  v
//!               Backoff: how long to wait ------> next attempt --bytes--> both begin anew
//! ```
//! The budget is a time without progress, shared by all readers of an import, not a number of attempts: a connection
//! that is cut every 8 MiB may be cut a thousand times, and a server that is down is given up after one bounded time
//! whatever the number of readers.

use std::time::{Duration, Instant};

/// A connection that delivered this much was healthy; its loss says nothing about the next one.
const HEALTHY: u64 = 1 << 20;
/// Wait before the second attempt at something that did not get going.
const SHORTEST: Duration = Duration::from_millis(200);
/// Longest wait between two attempts.
const LONGEST: Duration = Duration::from_secs(30);
/// Budget until a server has answered for the first time: a mistyped address should not look like a hang.
const FIRST_CONTACT: Duration = Duration::from_secs(10);

/// What was known of the connection that failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Loss {
    /// It delivered this many bytes that were new to us.
    After(u64),
    /// The request was written to a connection that was closed at that moment, as happens to connections kept alive.
    Stale,
}

/// Waiting times of one reader: 0 after a healthy connection, else 200 ms doubling to 30 s, each ± a quarter.
#[derive(Debug, Default)]
pub(crate) struct Backoff {
    failures: u32,
    stale: bool,
}

impl Backoff {
    /// How long to wait now. `jitter` is a number between 0 and 1, so that readers do not come back in step.
    pub(crate) fn delay(&mut self, loss: Loss, jitter: f64) -> Duration {
        match loss {
            Loss::After(delivered) if delivered > 0 => *self = Self::default(),
            Loss::Stale if !self.stale => {
                self.stale = true;
                return Duration::ZERO;
            }
            Loss::After(_) | Loss::Stale => {}
        }
        if matches!(loss, Loss::After(delivered) if delivered >= HEALTHY) {
            return Duration::ZERO;
        }
        let doubled = SHORTEST.saturating_mul(1 << self.failures.min(10)).min(LONGEST);
        self.failures += 1;
        doubled.mul_f64(0.75 + jitter.clamp(0.0, 1.0) / 2.0).min(LONGEST)
    }
}

/// The import's retry budget: how long its readers may go without a new byte.
#[derive(Debug)]
pub(crate) struct Outage {
    budget: Duration,
    since: Option<Instant>,
    answered: bool,
}

impl Outage {
    pub(crate) fn new(budget: Duration) -> Self {
        Self { budget, since: None, answered: false }
    }

    /// A server answered something.
    pub(crate) fn answered(&mut self) {
        self.answered = true;
    }

    /// A reader got a byte it did not have.
    pub(crate) fn progress(&mut self) {
        self.since = None;
    }

    /// A reader failed: how much of the budget is left. The outage began with the first failure since the last progress.
    pub(crate) fn left(&mut self, now: Instant) -> Duration {
        let since = *self.since.get_or_insert(now);
        self.limit().saturating_sub(now.saturating_duration_since(since))
    }

    /// The budget that applies now.
    pub(crate) fn limit(&self) -> Duration {
        if self.answered { self.budget } else { self.budget.min(FIRST_CONTACT) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NO_JITTER: f64 = 0.5;

    #[test]
    fn a_healthy_connection_is_replaced_at_once_every_time() {
        let mut backoff = Backoff::default();
        for _ in 0..1000 {
            assert_eq!(backoff.delay(Loss::After(8 << 20), NO_JITTER), Duration::ZERO);
        }
    }

    #[test]
    fn waits_double_up_to_thirty_seconds() {
        let mut backoff = Backoff::default();
        let waits: Vec<_> = (0..10).map(|_| backoff.delay(Loss::After(0), NO_JITTER).as_millis()).collect();
        assert_eq!(waits, [200, 400, 800, 1600, 3200, 6400, 12_800, 25_600, 30_000, 30_000]);
    }

    #[test]
    fn a_few_bytes_begin_the_waits_anew_without_being_free() {
        let mut backoff = Backoff::default();
        for _ in 0..5 {
            backoff.delay(Loss::After(0), NO_JITTER);
        }
        assert_eq!(backoff.delay(Loss::After(100), NO_JITTER), SHORTEST);
    }

    #[test]
    fn a_stale_connection_is_replaced_at_once_but_only_once() {
        let mut backoff = Backoff::default();
        assert_eq!(backoff.delay(Loss::Stale, NO_JITTER), Duration::ZERO);
        assert_eq!(backoff.delay(Loss::Stale, NO_JITTER), SHORTEST);
        assert_eq!(backoff.delay(Loss::After(HEALTHY), NO_JITTER), Duration::ZERO);
        assert_eq!(backoff.delay(Loss::Stale, NO_JITTER), Duration::ZERO);
    }

    #[test]
    fn jitter_spreads_by_a_quarter_and_never_passes_the_longest_wait() {
        assert_eq!(Backoff::default().delay(Loss::After(0), 0.0), SHORTEST.mul_f64(0.75));
        assert_eq!(Backoff::default().delay(Loss::After(0), 1.0), SHORTEST.mul_f64(1.25));
        let mut backoff = Backoff::default();
        assert!((0..40).all(|_| backoff.delay(Loss::After(0), 1.0) <= LONGEST));
    }

    #[test]
    fn the_budget_counts_from_the_first_failure_since_the_last_progress() {
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let mut outage = Outage::new(Duration::from_secs(300));
        outage.answered();
        assert_eq!(outage.left(at(1000)), Duration::from_secs(300));
        assert_eq!(outage.left(at(1100)), Duration::from_secs(200));
        outage.progress();
        assert_eq!(outage.left(at(2000)), Duration::from_secs(300));
        assert_eq!(outage.left(at(2300)), Duration::ZERO);
        assert_eq!(outage.left(at(9999)), Duration::ZERO);
    }

    #[test]
    fn a_server_that_never_answered_is_given_up_sooner() {
        let start = Instant::now();
        let mut outage = Outage::new(Duration::from_secs(300));
        assert_eq!(outage.left(start), FIRST_CONTACT);
        assert_eq!(outage.left(start + FIRST_CONTACT), Duration::ZERO);
        outage.answered();
        assert_eq!(outage.left(start + FIRST_CONTACT), Duration::from_secs(290));
        assert_eq!(Outage::new(Duration::from_secs(1)).left(start), Duration::from_secs(1));
    }
}
