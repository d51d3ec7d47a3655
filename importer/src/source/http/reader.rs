//! One range or one body, read on across lost connections.
//!
//! ```text
//!   read: head in memory? -> copy
//!         chunk in hand?  -> copy
//!         body open?      -> wait for its next chunk ----lost----+
//!         else            -> ask for the rest: at..end           |
//!              ^                                                 v
//!              +------------------- wait (retry.rs) <-- budget left? --no--> failure with the last cause
//! ```
//! A body read to its end gives its connection back to the pool; one that is dropped early loses it.

use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use bytes::{Buf, Bytes};
use contract::{Code, Failure};
use mover::source::Reader;
use reqwest::Response;

use super::cause;
use super::connect::Remote;
use super::retry::Backoff;
use super::trouble::{Passing, Trouble};

/// How long the end of a body may take to arrive after its last byte, before the connection is given up.
const LAST_WAIT: Duration = Duration::from_millis(50);

/// The body of one response.
pub(crate) struct Body {
    response: Response,
    chunk: Bytes,
    /// Bytes that are still to come after `chunk`; `None` until the body ends by itself.
    left: Option<u64>,
    /// Bytes to come that the reader has already.
    skip: u64,
    /// Bytes that came and that the reader did not have.
    fresh: u64,
}

/// What a wait for more brought.
enum More {
    Bytes,
    End,
}

impl Body {
    pub(crate) fn new(response: Response, length: Option<u64>, skip: u64) -> Self {
        Self { response, chunk: Bytes::new(), left: length, skip, fresh: 0 }
    }

    /// Waits for the next chunk with bytes the reader does not have; `at` is where it stands.
    fn more(&mut self, remote: &Remote, at: u64) -> Result<More, Trouble> {
        let transport = &remote.transport;
        while self.chunk.is_empty() {
            if self.left == Some(0) {
                return Ok(More::End);
            }
            let lost = |failure: Failure| Trouble::passing(failure.at(place(remote, at)));
            match transport.wait(self.response.chunk(), transport.idle_timeout())? {
                Some(Ok(Some(chunk))) => self.take_in(chunk, remote),
                Some(Ok(None)) if self.left.is_none() => return Ok(More::End),
                Some(Ok(None)) => return Err(lost(ended_early(at, remote.facts.length))),
                Some(Err(error)) => return Err(lost(cause::of_body(&error, at, remote.facts.length))),
                None => return Err(lost(idle(transport.idle_timeout(), at))),
            }
        }
        Ok(More::Bytes)
    }

    /// Keeps what of `chunk` was asked for and is new. More than was asked for is never looked at.
    fn take_in(&mut self, mut chunk: Bytes, remote: &Remote) {
        remote.transport.fetched.fetch_add(chunk.len() as u64, Ordering::Relaxed);
        if let Some(left) = &mut self.left {
            chunk.truncate(usize::try_from(*left).unwrap_or(usize::MAX));
            *left -= chunk.len() as u64;
        }
        let skipped = chunk.len().min(usize::try_from(self.skip).unwrap_or(usize::MAX));
        chunk.advance(skipped);
        self.skip -= skipped as u64;
        if !chunk.is_empty() {
            remote.transport.outage().progress();
        }
        self.fresh += chunk.len() as u64;
        self.chunk = chunk;
    }

    /// Lets the response reach its end, so that its connection is in the pool again before the next request.
    fn finish(mut self, remote: &Remote) -> Result<(), Failure> {
        let transport = &remote.transport;
        // More bytes, an error or nothing at all: then the connection is closed with the response.
        if let Some(Ok(None)) = transport.wait(self.response.chunk(), LAST_WAIT)? {
            transport.catch_up(LAST_WAIT)?;
        }
        Ok(())
    }
}

fn idle(limit: Duration, at: u64) -> Failure {
    Failure::new(Code::SourceTimeout, format!("no byte came for {} s after byte {at}", limit.as_secs_f64()))
}

fn ended_early(at: u64, length: Option<u64>) -> Failure {
    let length = length.map_or(String::new(), |length| format!(" of {length}"));
    Failure::new(Code::SourceTruncated, format!("the server ended its answer at byte {at}{length}"))
}

fn place(remote: &Remote, at: u64) -> String {
    format!("{}, offset {at}", remote.name)
}

/// Reads one range of a resource, or a resource without ranges from its start.
pub(crate) struct HttpReader {
    remote: Arc<Remote>,
    body: Option<Body>,
    backoff: Backoff,
    at: u64,
    end: u64,
}

impl HttpReader {
    /// A reader over `range`; `body` is open at its start already, if given.
    pub(crate) fn new(remote: Arc<Remote>, range: Range<u64>, body: Option<Body>) -> Self {
        let end = range.end.min(remote.facts.length.unwrap_or(u64::MAX));
        Self { remote, body, backoff: Backoff::default(), at: range.start, end }
    }

    /// Copies from the first bytes of the resource, which are in memory.
    fn copy_head(&mut self, buf: &mut [u8]) -> usize {
        let head = self.remote.head.get().map_or(&[][..], Vec::as_slice);
        let end = usize::try_from(self.end).unwrap_or(usize::MAX).min(head.len());
        let Some(rest) = usize::try_from(self.at).ok().and_then(|at| head.get(at..end)) else { return 0 };
        let copied = rest.len().min(buf.len());
        buf[..copied].copy_from_slice(&rest[..copied]);
        self.at += copied as u64;
        copied
    }

    /// Makes sure that there is a chunk to copy from, opening bodies as needed.
    fn advance(&mut self) -> Result<More, Trouble> {
        loop {
            let body = match &mut self.body {
                Some(body) => body,
                None => self.body.insert(self.remote.open(&(self.at..self.end))?),
            };
            match body.more(&self.remote, self.at)? {
                // The server gave less than was asked for, as it may: the rest is asked for next.
                More::End if self.remote.facts.ranges => self.finish()?,
                more => return Ok(more),
            }
        }
    }

    fn copy_chunk(&mut self, buf: &mut [u8]) -> Result<usize, Failure> {
        let Some(body) = &mut self.body else { return Ok(0) };
        let copied = buf.len().min(body.chunk.len());
        body.chunk.copy_to_slice(&mut buf[..copied]);
        self.at += copied as u64;
        if self.at == self.end {
            self.finish()?;
        }
        Ok(copied)
    }

    fn finish(&mut self) -> Result<(), Failure> {
        self.body.take().map_or(Ok(()), |body| body.finish(&self.remote))
    }

    /// Gives the lost body up and waits until the next attempt is due.
    fn recover(&mut self, trouble: &Passing) -> Result<(), Failure> {
        let fresh = self.body.take().map_or(0, |body| body.fresh);
        let facts = &self.remote.facts;
        if !facts.ranges && facts.identity().is_none() {
            let what = format!(
                "{}; the server has no ranges and nothing to know the content again by, so the download cannot go on",
                trouble.failure.what()
            );
            return Err(Failure::new(trouble.failure.code(), what).at(place(&self.remote, self.at)).transient());
        }
        self.remote.transport.before_retry(&mut self.backoff, fresh, trouble)
    }
}

impl Reader for HttpReader {
    fn read(&mut self, buf: &mut [u8]) -> Result<usize, Failure> {
        self.remote.transport.check()?;
        if self.at >= self.end || buf.is_empty() {
            return Ok(0);
        }
        let copied = self.copy_head(buf);
        if copied > 0 {
            return Ok(copied);
        }
        loop {
            match self.advance() {
                Ok(More::Bytes) => return self.copy_chunk(buf),
                Ok(More::End) => {
                    self.end = self.at;
                    return Ok(0);
                }
                Err(Trouble::Passing(passing)) => self.recover(&passing)?,
                Err(Trouble::Final(failure) | Trouble::Expired(failure)) => {
                    return Err(failure.at(place(&self.remote, self.at)));
                }
            }
        }
    }
}
