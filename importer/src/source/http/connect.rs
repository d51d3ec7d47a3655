//! Finds the server that has the bytes: follows redirects once, pins where they end, finds anew when that expires.
//!
//! ```text
//!   origin --302--> host B --302--> host C    pinned: C      every later request goes to C directly
//!                                     C answers 403 later:   origin --302--> ... --> C'   pinned: C'
//! ```
//! Per-block redirects are what makes other importers slow, and signed addresses expire in the middle of an import.
//! What the user sends (password, headers) goes to the host and port of the origin only, and never from https to http.

use std::ops::Range;
use std::sync::atomic::Ordering;
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use contract::{Code, Failure};
use http::{HeaderMap, header};
use reqwest::{Response, Url};

use super::reader::Body;
use super::response::{self, Facts, First};
use super::retry::Backoff;
use super::transport::{Ask, Transport};
use super::trouble::Trouble;
use crate::source::location::shown;

/// What the first request asks for: the header of every format and the first tables of most.
pub(crate) const HEAD: u64 = 64 << 10;
/// More redirects than this are taken for a loop.
const MOST_REDIRECTS: usize = 10;
/// A redirect's body up to this size is read, so that its connection can be used again.
const SHORT_BODY: u64 = 16 << 10;
/// Longest wait for such a body.
const SHORT_WAIT: Duration = Duration::from_millis(100);

/// Whether user, password and headers that were meant for `origin` may be sent to `target`.
pub(crate) fn may_carry(origin: &Url, target: &Url) -> bool {
    let same_place = origin.host() == target.host() && origin.port_or_known_default() == target.port_or_known_default();
    same_place && !(origin.scheme() == "https" && target.scheme() == "http")
}

/// Where a chain of redirects ended.
pub(crate) struct Landing {
    pub(crate) url: Url,
    pub(crate) response: Response,
    /// A hop went from https to http.
    pub(crate) downgraded: bool,
}

/// Asks the origin and follows redirects to the end.
fn follow(transport: &Transport, ask: &Ask<'_>) -> Result<Landing, Trouble> {
    let mut url = transport.origin().clone();
    let mut downgraded = false;
    for hops in 0..=MOST_REDIRECTS {
        let response = transport.get(&url, ask).map_err(|trouble| trouble.at(&shown(&url)))?;
        let Some(next) = redirect(&url, &response).map_err(|failure| failure.at(shown(&url)))? else {
            transport.resolutions.fetch_add(u64::from(hops > 0), Ordering::Relaxed);
            return Ok(Landing { url, response, downgraded });
        };
        downgraded |= url.scheme() == "https" && next.scheme() == "http";
        if response.content_length().is_some_and(|length| length <= SHORT_BODY) {
            // Only to keep the connection; a body that does not come does not matter.
            let _ = transport.wait(response.bytes(), SHORT_WAIT)?;
        }
        url = next;
    }
    let failure =
        Failure::new(Code::SourceHttp, format!("more than {MOST_REDIRECTS} redirects")).at(shown(transport.origin()));
    Err(failure.remedy("the server sends the request in a circle; name the final address").into())
}

/// The next address if this is a redirect.
fn redirect(url: &Url, response: &Response) -> Result<Option<Url>, Failure> {
    if !matches!(response.status().as_u16(), 301 | 302 | 303 | 307 | 308) {
        return Ok(None);
    }
    target(url, response.headers()).map(Some)
}

/// Where a redirect leads. User and password in it are dropped: they are the server's, not the user's.
fn target(url: &Url, headers: &HeaderMap) -> Result<Url, Failure> {
    let refused = |what: &str| Failure::new(Code::SourceHttp, format!("the server redirects {what}"));
    let location = headers.get(header::LOCATION).ok_or_else(|| refused("and does not say where"))?;
    let location = location.to_str().map_err(|_| refused("to an address that cannot be read"))?;
    let mut next = url.join(location).map_err(|_| refused("to an address that cannot be read"))?;
    if !matches!(next.scheme(), "http" | "https") {
        return Err(refused(&format!("to the scheme {}:, only http: and https: are followed", next.scheme())));
    }
    let cleared = next.set_username("").and_then(|()| next.set_password(None));
    cleared.map_err(|()| refused("to an address without a host"))?;
    next.set_fragment(None);
    Ok(next)
}

/// A resource that was found, as its readers share it.
pub(crate) struct Remote {
    pub(crate) transport: Transport,
    pub(crate) facts: Facts,
    pub(crate) name: String,
    /// The first bytes, once they are there.
    pub(crate) head: OnceLock<Vec<u8>>,
    /// A hop of the first resolution went from https to http.
    pub(crate) downgraded: bool,
    pin: Mutex<Pin>,
}

/// The address that is asked now.
#[derive(Clone)]
struct Pin {
    url: Url,
    generation: u64,
}

impl Remote {
    /// Finds the resource. The body that comes with it is the head of a resource with ranges, or the whole of one without.
    pub(crate) fn find(transport: Transport) -> Result<(Self, Option<Body>), Failure> {
        let mut backoff = Backoff::default();
        let mut range = Some(0..HEAD);
        loop {
            match first(&transport, range.as_ref()) {
                Ok((_, First::NoRanges)) => range = None,
                Ok((landing, first)) => return Ok(Self::pinned(transport, landing, first)),
                Err(Trouble::Final(failure) | Trouble::Expired(failure)) => return Err(failure),
                Err(Trouble::Passing(passing)) => transport.before_retry(&mut backoff, 0, &passing)?,
            }
        }
    }

    fn pinned(transport: Transport, landing: Landing, first: First) -> (Self, Option<Body>) {
        let (facts, body) = match first {
            First::Part(facts, length) => (facts, Some(Body::new(landing.response, Some(length), 0))),
            First::Whole(facts) => {
                let length = facts.length;
                (facts, Some(Body::new(landing.response, length, 0)))
            }
            First::Empty(facts) => (facts, None),
            First::NoRanges => (Facts::default(), None),
        };
        let remote = Self {
            name: shown(transport.origin()),
            transport,
            facts,
            head: OnceLock::new(),
            downgraded: landing.downgraded,
            pin: Mutex::new(Pin { url: landing.url, generation: 0 }),
        };
        (remote, body)
    }

    /// Asks for `range`, or where there are no ranges for everything, of which the part before `range` is skipped.
    pub(crate) fn open(&self, range: &Range<u64>) -> Result<Body, Trouble> {
        loop {
            let pin = self.pin().clone();
            let answer = self.transport.get(&pin.url, &self.ask(range)).map_err(|trouble| trouble.at(&shown(&pin.url)));
            match answer.and_then(|response| self.accept(&pin.url, response, range)) {
                Err(Trouble::Expired(failure)) => {
                    if let Some(body) = self.renew(pin.generation, range, failure)? {
                        return Ok(body);
                    }
                }
                other => return other,
            }
        }
    }

    /// Resolves the origin anew after the address of `generation` refused. `None`: another reader did so already.
    ///
    /// The lock is held meanwhile, so that an expiry is resolved once, however many readers meet it.
    fn renew(&self, generation: u64, range: &Range<u64>, refusal: Failure) -> Result<Option<Body>, Trouble> {
        let mut pin = self.pin();
        if pin.generation != generation {
            return Ok(None);
        }
        let was_redirected = pin.url != *self.transport.origin();
        if !was_redirected && refusal.code() != Code::SourceHttp {
            return Err(refusal.into());
        }
        let landing = follow(&self.transport, &self.ask(range))?;
        let body = self.accept(&landing.url, landing.response, range).map_err(|trouble| match trouble {
            Trouble::Expired(failure) => Trouble::Final(failure),
            other => other,
        })?;
        *pin = Pin { url: landing.url, generation: generation + 1 };
        Ok(Some(body))
    }

    fn ask(&self, range: &Range<u64>) -> Ask<'_> {
        if self.facts.ranges {
            Ask { range: Some(range.clone()), if_range: self.facts.validator() }
        } else {
            Ask::default()
        }
    }

    fn accept(&self, url: &Url, response: Response, range: &Range<u64>) -> Result<Body, Trouble> {
        let judged = if self.facts.ranges {
            response::part(response.status(), response.headers(), range, &self.facts)
                .map(|end| (Some(end - range.start), 0))
        } else {
            response::whole(response.status(), response.headers(), &self.facts)
                .map(|()| (self.facts.length, range.start))
        };
        let (length, skip) = judged.map_err(|trouble| explain(&self.transport, url, trouble))?;
        response::check_encoding(response.headers(), url.path()).map_err(|failure| failure.at(shown(url)))?;
        Ok(Body::new(response, length, skip))
    }

    /// The address that is asked now.
    pub(crate) fn address(&self) -> Url {
        self.pin().url.clone()
    }

    fn pin(&self) -> MutexGuard<'_, Pin> {
        self.pin.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The first request: follow redirects, judge where they end.
fn first(transport: &Transport, range: Option<&Range<u64>>) -> Result<(Landing, First), Trouble> {
    let landing = follow(transport, &Ask { range: range.cloned(), if_range: None })?;
    let judged = response::first(landing.response.status(), landing.response.headers(), range);
    let first = judged.map_err(|trouble| explain(transport, &landing.url, trouble))?;
    let encoding = response::check_encoding(landing.response.headers(), landing.url.path());
    encoding.map_err(|failure| failure.at(shown(&landing.url)))?;
    Ok((landing, first))
}

/// Adds the address, and to a denial why nothing was sent to show who asks.
fn explain(transport: &Transport, url: &Url, trouble: Trouble) -> Trouble {
    let trouble = match trouble {
        Trouble::Expired(failure) if failure.code() == Code::SourceDenied && transport.withholds(url) => Trouble::Expired(
            failure.remedy("passwords and headers are not sent to the host of a redirect; name that address itself if it is the one to log in at"),
        ),
        other => other,
    };
    trouble.at(&shown(url))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn url(text: &str) -> Url {
        Url::parse(text).unwrap()
    }

    #[test]
    fn secrets_stay_with_the_host_and_port_of_the_origin() {
        for (origin, target, allowed) in [
            ("http://h/a", "http://h/b", true),
            ("http://h/a", "http://h:80/b", true),
            ("https://h/a", "https://h:443/b", true),
            ("https://h/a", "https://H/b", true),
            ("http://h:8080/a", "https://h:8080/b", true),
            ("http://h/a", "http://h:8080/b", false),
            ("http://h/a", "https://h/b", false),
            ("http://h/a", "http://other/b", false),
            ("http://h/a", "http://sub.h/b", false),
            ("http://h/a", "http://h.evil/b", false),
            ("https://h:8443/a", "http://h:8443/b", false),
            ("https://h/a", "http://h:443/b", false),
            ("http://127.0.0.1/a", "http://[::1]/b", false),
            ("http://127.0.0.1/a", "http://0x7f.1/b", true),
        ] {
            assert_eq!(may_carry(&url(origin), &url(target)), allowed, "{origin} -> {target}");
        }
    }

    fn redirected(location: Option<&str>) -> Result<String, Failure> {
        let mut headers = HeaderMap::new();
        if let Some(location) = location {
            headers.insert(header::LOCATION, location.parse().unwrap());
        }
        target(&url("https://h/dir/a?x=1"), &headers).map(String::from)
    }

    #[test]
    fn a_redirect_may_be_relative_and_loses_fragment_and_user() {
        for (location, next) in [
            ("b", "https://h/dir/b"),
            ("/b?y=2", "https://h/b?y=2"),
            ("//other/b", "https://other/b"),
            ("http://other:81/b#part", "http://other:81/b"),
            ("https://eve:pw@other/b", "https://other/b"),
        ] {
            assert_eq!(redirected(Some(location)).unwrap(), next, "{location}");
        }
    }

    #[test]
    fn a_redirect_to_nowhere_or_to_another_scheme_is_refused() {
        for location in [None, Some("file:///etc/passwd"), Some("ftp://h/a"), Some("http://"), Some("gopher://h/")] {
            assert_eq!(redirected(location).unwrap_err().code(), Code::SourceHttp, "{location:?}");
        }
    }
}
