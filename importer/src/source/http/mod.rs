//! An image on a web server.
//!
//! ```text
//!   options   what the user set             response  is this answer the one that was asked for? (pure)
//!   proxy     which proxy                   retry     when again, when no more (pure)
//!   resolve   names -> allowed addresses    cause     what went wrong, in words
//!   tls       trusted authorities           connect   redirects, pinned address, expiry
//!   clients   http and https                reader    bytes, across lost connections
//!   transport runtime, requests, waits
//! ```
//! HTTP/1.1, at most four connections, no transparent decoding, one round trip for length, ranges, validators and the
//! image's header together: the first request asks for the first 64 KiB. (`HEAD` would cost a round trip more, and
//! servers that sign addresses refuse it.)

mod cause;
mod clients;
mod connect;
mod date;
pub mod options;
mod proxy;
mod reader;
mod resolve;
mod response;
mod retry;
mod tls;
mod transport;
mod trouble;

use std::ops::Range;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, PoisonError};

use contract::{Code, Failure};
use mover::cancel::Cancel;
use mover::source::{Reader, Source};
use reqwest::Url;

pub(crate) use connect::may_carry;
pub use options::{Authorities, Header, Options, ProxyChoice};
pub(crate) use tls::install_provider;

use self::connect::{HEAD, Remote};
use self::proxy::Proxies;
use self::reader::{Body, HttpReader};
use self::transport::Transport;
use super::location::{shown, take_credentials};

/// A resource of a web server that was found and can be read.
pub struct HttpSource {
    remote: Arc<Remote>,
    /// The one body of a resource without ranges.
    whole: Mutex<Option<Body>>,
    access: Vec<String>,
    warnings: Vec<String>,
    is_protected: bool,
}

impl HttpSource {
    /// Finds the resource: connects, follows redirects, learns length, ranges and validators, fetches the first bytes.
    ///
    /// # Errors
    /// Codes `usage` (options), `source-policy`, `source-unreachable`, `source-timeout`, `source-tls`, `source-denied`,
    /// `source-not-found`, `source-http`, `cancelled`.
    pub fn connect(mut url: Url, mut options: Options, cancel: Cancel) -> Result<Self, Failure> {
        if !matches!(url.scheme(), "http" | "https") {
            return Err(Failure::new(Code::Usage, format!("the scheme {}: is not http: or https:", url.scheme())));
        }
        let in_address = take_credentials(&mut url)?;
        options.credentials = options.credentials.or(in_address);
        let (remote, body) = Remote::find(Transport::new(url, &options, cancel)?)?;
        let remote = Arc::new(remote);
        let (access, warnings) = (access(&remote, &options)?, warnings(&remote, &options));
        let whole = if remote.facts.ranges { read_head(&remote, body)? } else { body };
        let is_protected = remote.transport.origin().scheme() == "https" && !remote.downgraded && !options.insecure;
        Ok(Self { remote, whole: Mutex::new(whole), access, warnings, is_protected })
    }

    /// Whether nobody on the way can change what is read: https to the end, with a certificate that was checked.
    #[must_use]
    pub fn is_protected(&self) -> bool {
        self.is_protected
    }

    /// Bytes of bodies received so far, those fetched again included.
    #[must_use]
    pub fn fetched_bytes(&self) -> u64 {
        self.remote.transport.fetched.load(Ordering::Relaxed)
    }

    /// Requests sent so far.
    #[must_use]
    pub fn requests(&self) -> u64 {
        self.remote.transport.requests.load(Ordering::Relaxed)
    }

    /// How often a chain of redirects was followed: once at the start if there is one, and once per expiry.
    #[must_use]
    pub fn redirects_resolved(&self) -> u64 {
        self.remote.transport.resolutions.load(Ordering::Relaxed)
    }
}

/// Reads the first bytes from the body that came with the first answer, retrying as any reader does.
fn read_head(remote: &Arc<Remote>, body: Option<Body>) -> Result<Option<Body>, Failure> {
    let length = remote.facts.length.unwrap_or(0).min(HEAD);
    let mut head = vec![0; usize::try_from(length).unwrap_or(0)];
    let filled = HttpReader::new(Arc::clone(remote), 0..length, body).fill(&mut head)?;
    head.truncate(filled);
    remote.head.get_or_init(|| head);
    Ok(None)
}

fn access(remote: &Remote, options: &Options) -> Result<Vec<String>, Failure> {
    let mut access = Vec::new();
    access.extend(options.credentials.is_some().then(|| "basic authentication".to_owned()));
    access.extend(options.headers.iter().map(|header| {
        let secret = if header.is_secret() { "secret header" } else { "header" };
        format!("{secret} {}", header.name)
    }));
    access.extend(options.authorities.iter().map(|authorities| format!("authorities of {}", authorities.name)));
    let proxies = Proxies::new(&options.proxy)?;
    access.extend(proxies.of(remote.transport.origin()).map(|proxy| format!("proxy {}", shown(proxy))));
    let address = remote.address();
    if address != *remote.transport.origin() {
        let carried = if connect::may_carry(remote.transport.origin(), &address) { "with" } else { "without" };
        access.push(format!("redirected to {}, {carried} password and headers", shown(&address)));
    }
    Ok(access)
}

fn warnings(remote: &Remote, options: &Options) -> Vec<String> {
    let mut warnings = Vec::new();
    let mut warn = |condition: bool, text: &str| {
        if condition {
            warnings.push(text.to_owned());
        }
    };
    let is_plain = remote.transport.origin().scheme() == "http";
    let has_secrets = options.credentials.is_some() || options.headers.iter().any(Header::is_secret);
    warn(options.insecure, "Certificates are not checked: anybody on the way can read and change the image.");
    warn(is_plain && has_secrets, "The password or the secret headers travel without encryption (http://).");
    warn(remote.downgraded, "The server redirects from https to http: anybody on the way can change the image.");
    warn(
        remote.facts.is_page,
        "The content type is that of a web page, not of an image: is the address the download itself?",
    );
    warn(
        remote.facts.identity().is_none(),
        "The server sends neither a strong entity tag nor a modification time with a length: an interrupted import starts over.",
    );
    warnings
}

impl Source for HttpSource {
    fn name(&self) -> &str {
        &self.remote.name
    }

    fn len(&self) -> Option<u64> {
        self.remote.facts.length
    }

    fn has_ranges(&self) -> bool {
        self.remote.facts.ranges
    }

    fn end_is_known(&self) -> bool {
        self.remote.facts.end_is_known
    }

    fn identity(&self) -> Option<String> {
        self.remote.facts.identity()
    }

    fn parallelism(&self) -> usize {
        if self.remote.facts.ranges { clients::CONNECTIONS } else { 1 }
    }

    fn access(&self) -> Vec<String> {
        self.access.clone()
    }

    fn warnings(&self) -> Vec<String> {
        self.warnings.clone()
    }

    fn open(&self, range: Range<u64>) -> Result<Box<dyn Reader>, Failure> {
        if self.remote.facts.ranges {
            return Ok(Box::new(HttpReader::new(Arc::clone(&self.remote), range, None)));
        }
        let body = self.whole.lock().unwrap_or_else(PoisonError::into_inner).take();
        match body {
            Some(body) if range.start == 0 => {
                Ok(Box::new(HttpReader::new(Arc::clone(&self.remote), range, Some(body))))
            }
            _ => Err(Failure::new(
                Code::Internal,
                format!("a source without ranges was asked for bytes {}.. but flows once, from 0", range.start),
            )),
        }
    }
}
