//! Requests of one source: the runtime that carries the sockets, one client with its pool, waits that can be stopped.
//!
//! ```text
//!   reader threads (plain)          runtime (named source-io)
//!     block_on(response)  <------->   hyper's connection tasks, one per connection
//!     copy chunk to caller            pool of idle connections, shared by all readers
//! ```
//! Every wait is cut into slices, between which the request to stop and the total time-out are looked at.

use std::future::Future;
use std::hash::{BuildHasher, RandomState};
use std::net::IpAddr;
use std::ops::Range;
use std::pin::pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use contract::{Code, Failure};
use http::{HeaderMap, HeaderValue, header};
use mover::cancel::Cancel;
use mover::progress::Progress;
use reqwest::{Response, Url};
use tokio::runtime::{Builder, Handle, Runtime};

use super::clients::{CONNECTIONS, Clients};
use super::options::Options;
use super::retry::{Backoff, Loss, Outage};
use super::trouble::{Passing, Trouble};
use super::{cause, connect};
use crate::source::policy::SourcePolicy;
use crate::source::secret::Credentials;

/// Longest wait until the request to stop is looked at again.
const GLANCE: Duration = Duration::from_millis(100);
/// Threads that read sockets. [`Transport::catch_up`] relies on there being one.
const WORKERS: usize = 1;

/// What a request asks for.
#[derive(Clone, Debug, Default)]
pub(crate) struct Ask<'a> {
    /// The bytes wanted; everything if `None`.
    pub(crate) range: Option<Range<u64>>,
    /// The validator that must still hold.
    pub(crate) if_range: Option<&'a str>,
}

/// Sends requests for one source.
pub(crate) struct Transport {
    /// Taken only to be shut down.
    runtime: Option<Runtime>,
    handle: Handle,
    clients: Clients,
    origin: Url,
    credentials: Option<Credentials>,
    headers: HeaderMap,
    policy: SourcePolicy,
    cancel: Cancel,
    begun: Instant,
    total_timeout: Option<Duration>,
    connect_timeout: Duration,
    idle_timeout: Duration,
    outage: Mutex<Outage>,
    progress: Progress,
    pub(crate) requests: AtomicU64,
    pub(crate) fetched: AtomicU64,
    pub(crate) resolutions: AtomicU64,
}

impl Transport {
    /// Sets up runtime and client for a source at `origin`; nothing is sent yet.
    pub(crate) fn new(origin: Url, options: &Options, cancel: Cancel) -> Result<Self, Failure> {
        let internal = |error: std::io::Error| {
            Failure::new(Code::Internal, format!("cannot start the threads of the source: {error}"))
        };
        let runtime = Builder::new_multi_thread()
            .worker_threads(WORKERS)
            .max_blocking_threads(CONNECTIONS)
            .thread_name("source-io")
            .enable_all()
            .build();
        let runtime = runtime.map_err(internal)?;
        Ok(Self {
            handle: runtime.handle().clone(),
            runtime: Some(runtime),
            clients: Clients::new(options)?,
            credentials: options.credentials.clone(),
            headers: user_headers(options)?,
            policy: options.policy.clone(),
            cancel,
            begun: Instant::now(),
            total_timeout: options.total_timeout,
            connect_timeout: options.connect_timeout,
            idle_timeout: options.idle_timeout,
            outage: Mutex::new(Outage::new(options.retry_budget)),
            progress: options.progress.clone(),
            requests: AtomicU64::new(0),
            fetched: AtomicU64::new(0),
            resolutions: AtomicU64::new(0),
            origin,
        })
    }

    /// The address the user gave.
    pub(crate) fn origin(&self) -> &Url {
        &self.origin
    }

    /// The import's retry budget.
    pub(crate) fn outage(&self) -> MutexGuard<'_, Outage> {
        self.outage.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Longest time without a byte.
    pub(crate) fn idle_timeout(&self) -> Duration {
        self.idle_timeout
    }

    /// Sends one request and waits for the head of its answer, whatever the status.
    pub(crate) fn get(&self, url: &Url, ask: &Ask<'_>) -> Result<Response, Trouble> {
        self.check()?;
        let proxy = self.clients.proxy(url);
        self.check_policy(url, proxy.is_some())?;
        let mut request = self.clients.of(url)?.get(url.clone()).headers(ask.headers());
        if connect::may_carry(&self.origin, url) {
            request = request.headers(self.headers.clone());
            if let Some(credentials) = &self.credentials {
                request = request.basic_auth(credentials.user.reveal(), Some(credentials.password.reveal()));
            }
        }
        self.requests.fetch_add(1, Ordering::Relaxed);
        match self.wait(request.send(), self.connect_timeout + self.idle_timeout)? {
            Some(Ok(response)) => {
                self.outage().answered();
                Ok(response)
            }
            Some(Err(error)) => Err(cause::of_request(&error, url, proxy)),
            None => Err(Trouble::passing(Failure::new(
                Code::SourceTimeout,
                format!("no answer within {} s", self.idle_timeout.as_secs()),
            ))),
        }
    }

    /// Drives `future` until it is done, or `limit` has passed: then `None`.
    ///
    /// # Errors
    /// Stopped on request, or the total time-out has passed.
    pub(crate) fn wait<F: Future>(&self, future: F, limit: Duration) -> Result<Option<F::Output>, Failure> {
        self.handle.block_on(async {
            let mut future = pin!(future);
            let begun = Instant::now();
            loop {
                let left = limit.saturating_sub(begun.elapsed());
                if let Ok(output) = tokio::time::timeout(left.min(GLANCE), &mut future).await {
                    return Ok(Some(output));
                }
                self.check()?;
                if left <= GLANCE {
                    return Ok(None);
                }
            }
        })
    }

    /// Waits until the runtime has done what it had begun, for at most `limit`.
    ///
    /// The end of a body is seen here before its connection is back in the pool. On a busy machine the next request
    /// would come first and connect anew. The one worker takes its tasks in order, so an empty one is done after those.
    pub(crate) fn catch_up(&self, limit: Duration) -> Result<(), Failure> {
        self.wait(self.handle.spawn(async {}), limit).map(|_| ())
    }

    /// Sleeps, unless stopped.
    pub(crate) fn sleep(&self, duration: Duration) -> Result<(), Failure> {
        self.wait(std::future::pending::<()>(), duration).map(|_| ())
    }

    /// Waits before the next attempt, or gives up with the last cause.
    pub(crate) fn before_retry(&self, backoff: &mut Backoff, delivered: u64, trouble: &Passing) -> Result<(), Failure> {
        let (left, limit) = {
            let mut outage = self.outage();
            (outage.left(Instant::now()), outage.limit())
        };
        let loss = if trouble.stale && delivered == 0 { Loss::Stale } else { Loss::After(delivered) };
        let asked = trouble.retry_after.map(|after| after.delay(seconds_since_1970())).unwrap_or_default();
        if left.is_zero() {
            return Err(give_up(
                &trouble.failure,
                &format!("given up after {} s without progress", limit.as_secs_f64()),
            ));
        }
        if asked > left {
            return Err(give_up(
                &trouble.failure,
                &format!("it asks for a wait of {} s, more than the retry budget has left", asked.as_secs()),
            ));
        }
        self.progress.troubled(&trouble.failure);
        self.sleep(backoff.delay(loss, jitter()).max(asked).min(left))
    }

    /// Whether to go on at all.
    pub(crate) fn check(&self) -> Result<(), Failure> {
        self.cancel.check()?;
        match self.total_timeout {
            Some(limit) if self.begun.elapsed() >= limit => Err(Failure::new(
                Code::SourceTimeout,
                format!("the total time-out of {} s has passed", limit.as_secs_f64()),
            )),
            _ => Ok(()),
        }
    }

    /// Whether the user gave something to log in with that is not sent to this address.
    pub(crate) fn withholds(&self, url: &Url) -> bool {
        let has_any = self.credentials.is_some() || !self.headers.is_empty();
        has_any && !connect::may_carry(&self.origin, url)
    }

    /// Checks the addresses that the resolver does not see: literal ones, and those a proxy will dial.
    fn check_policy(&self, url: &Url, is_proxied: bool) -> Result<(), Trouble> {
        let host = url.host_str().unwrap_or_default();
        if let Ok(address) = host.trim_matches(['[', ']']).parse::<IpAddr>() {
            self.policy.check(host, address)?;
        } else if is_proxied && !self.policy.allows_all() {
            let lookup = self.wait(tokio::net::lookup_host((host, 0)), self.connect_timeout)?;
            // A name that is not known here is the proxy's to judge (see the policy's documentation).
            for address in lookup.into_iter().flatten().flatten() {
                self.policy.check(host, address.ip())?;
            }
        }
        Ok(())
    }
}

impl Drop for Transport {
    /// Does not wait for a name resolution that hangs.
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

impl Ask<'_> {
    fn headers(&self) -> HeaderMap {
        let mut headers = HeaderMap::new();
        headers.insert(header::ACCEPT_ENCODING, HeaderValue::from_static("identity"));
        if let Some(range) = &self.range {
            let value = HeaderValue::try_from(format!("bytes={}-{}", range.start, range.end - 1));
            headers.insert(header::RANGE, value.expect("digits are a valid header value"));
        }
        if let Some(value) = self.if_range.and_then(|validator| HeaderValue::from_str(validator).ok()) {
            headers.insert(header::IF_RANGE, value);
        }
        headers
    }
}

/// The last cause, with why it is now final.
fn give_up(cause: &Failure, why: &str) -> Failure {
    let failure = Failure::new(cause.code(), format!("{}; {why}", cause.what())).remedy(cause.what_to_do()).transient();
    match cause.place() {
        Some(place) => failure.at(place),
        None => failure,
    }
}

/// A number between 0 and 1 from the standard library's per-process random state.
fn jitter() -> f64 {
    let random = RandomState::new().hash_one(Instant::now());
    f64::from(u32::try_from(random >> 32).unwrap_or_default()) / f64::from(u32::MAX)
}

fn seconds_since_1970() -> u64 {
    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs()
}

/// The user's headers as they are sent.
fn user_headers(options: &Options) -> Result<HeaderMap, Failure> {
    let mut headers = HeaderMap::new();
    for own in &options.headers {
        if own.name == header::AUTHORIZATION && options.credentials.is_some() {
            return Err(Failure::new(Code::Usage, "both a user with a password and an authorization header are given")
                .remedy("give one of them"));
        }
        headers.append(own.name.clone(), own.value.clone());
    }
    Ok(headers)
}
