//! How one attempt failed, and so what may be done next.

use std::time::Duration;

use contract::Failure;

/// Why an attempt did not succeed.
#[derive(Debug)]
pub(crate) enum Trouble {
    /// Another attempt would fail the same way.
    Final(Failure),
    /// Another attempt may succeed.
    Passing(Passing),
    /// The pinned address refuses (400, 401, 403, 404, 410 or a redirect): signed addresses do that once they expire.
    Expired(Failure),
}

/// A failure worth another attempt.
#[derive(Debug)]
pub(crate) struct Passing {
    pub(crate) failure: Failure,
    pub(crate) retry_after: Option<RetryAfter>,
    /// The connection was closed before any byte of the answer.
    pub(crate) stale: bool,
}

/// What a `Retry-After` header asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum RetryAfter {
    /// Wait this long.
    Delay(Duration),
    /// Wait until this time, in seconds since 1970.
    Until(u64),
}

impl RetryAfter {
    /// How long to wait if it is `now` (seconds since 1970).
    pub(crate) fn delay(self, now: u64) -> Duration {
        match self {
            Self::Delay(delay) => delay,
            Self::Until(then) => Duration::from_secs(then.saturating_sub(now)),
        }
    }
}

impl Trouble {
    pub(crate) fn passing(failure: Failure) -> Self {
        Self::Passing(Passing { failure: failure.transient(), retry_after: None, stale: false })
    }

    /// Says where, unless that is known already.
    pub(crate) fn at(self, place: &str) -> Self {
        match self {
            Self::Final(failure) => Self::Final(failure.at(place)),
            Self::Expired(failure) => Self::Expired(failure.at(place)),
            Self::Passing(passing) => Self::Passing(Passing { failure: passing.failure.at(place), ..passing }),
        }
    }
}

impl From<Failure> for Trouble {
    /// A failure that says nothing of another attempt is final.
    fn from(failure: Failure) -> Self {
        Self::Final(failure)
    }
}
