//! What can be set about an HTTP source, and what holds if nothing is set.

use std::time::Duration;

use contract::{Code, Failure};
use http::{HeaderName, HeaderValue, header};
use mover::progress::Progress;

use crate::source::policy::SourcePolicy;
use crate::source::secret::{Credentials, Secret};

/// Settings of one HTTP source. Time-outs and budget have the defaults that `docs/` states.
#[derive(Clone, Debug)]
pub struct Options {
    /// User and password for basic authentication; they stand above those in the address.
    pub credentials: Option<Credentials>,
    /// Headers added to each request to the host that the user named (`--header`, CDI's `extraHeaders` and
    /// `secretExtraHeaders`).
    pub headers: Vec<Header>,
    /// Authorities trusted beside the machine's own.
    pub authorities: Vec<Authorities>,
    /// Accept any certificate, for any name.
    pub insecure: bool,
    /// Which proxy to use.
    pub proxy: ProxyChoice,
    /// Longest time until a connection stands, name resolution and TLS included. Default 30 s.
    pub connect_timeout: Duration,
    /// Longest time without a byte; then the connection counts as lost. Default 60 s.
    pub idle_timeout: Duration,
    /// Longest time for everything, from connecting to the last byte. Default: none.
    pub total_timeout: Option<Duration>,
    /// Longest time without progress, over all connections, until the import is given up. Default 5 minutes. Until the
    /// server has answered once it is at most 10 s.
    pub retry_budget: Duration,
    /// Which addresses may be dialled. Default: all.
    pub policy: SourcePolicy,
    /// Told of every failure that is tried again.
    pub progress: Progress,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            credentials: None,
            headers: Vec::new(),
            authorities: Vec::new(),
            insecure: false,
            proxy: ProxyChoice::Environment,
            connect_timeout: Duration::from_secs(30),
            idle_timeout: Duration::from_secs(60),
            total_timeout: None,
            retry_budget: Duration::from_secs(300),
            policy: SourcePolicy::allow_all(),
            progress: Progress::default(),
        }
    }
}

/// Certificates of authorities in PEM form, any number in one bundle.
#[derive(Clone, Debug)]
pub struct Authorities {
    /// Where they come from, for messages: usually a path.
    pub name: String,
    /// The bundle.
    pub pem: Vec<u8>,
}

/// Which proxy requests go through.
#[derive(Clone, Debug)]
pub enum ProxyChoice {
    /// What `http_proxy`, `https_proxy`, `all_proxy` and `no_proxy` say, in lower or upper case.
    Environment,
    /// None, whatever the environment says.
    Direct,
    /// These.
    Fixed {
        /// Address of the proxy for http: addresses. Secret, since it may hold a password.
        http: Option<Secret>,
        /// Address of the proxy for https: addresses.
        https: Option<Secret>,
        /// Hosts that are reached directly: domains (with their subdomains), addresses, networks, `*`; commas between.
        exclude: String,
    },
}

/// One header of the user's own.
#[derive(Clone, Debug)]
pub struct Header {
    pub(crate) name: HeaderName,
    pub(crate) value: HeaderValue,
}

/// Headers that a source sets itself; another value would break ranges, hashing or framing.
const OWN: [HeaderName; 8] = [
    header::RANGE,
    header::IF_RANGE,
    header::ACCEPT_ENCODING,
    header::CONNECTION,
    header::CONTENT_LENGTH,
    header::TRANSFER_ENCODING,
    header::TE,
    header::UPGRADE,
];

impl Header {
    /// Reads `Name: value`.
    ///
    /// # Errors
    /// Code `usage`: no such line, or a header that the source sets itself.
    pub fn parse(line: &str) -> Result<Self, Failure> {
        Self::read(line, &format!("the header {line:?}"))
    }

    /// Reads `Name: value` where the value is a secret: no message shows any part of it.
    ///
    /// # Errors
    /// As [`parse`](Self::parse).
    pub fn parse_secret(line: &str) -> Result<Self, Failure> {
        let mut header = Self::read(line, "a secret header")?;
        header.value.set_sensitive(true);
        Ok(header)
    }

    /// Whether the value must not be shown.
    #[must_use]
    pub fn is_secret(&self) -> bool {
        self.value.is_sensitive()
    }

    fn read(line: &str, shown: &str) -> Result<Self, Failure> {
        let refused =
            |what: &str| Failure::new(Code::Usage, format!("{shown} {what}")).remedy("write a header as `Name: value`");
        // A secret is a file's content, and files end in a newline.
        let (name, value) = line.trim().split_once(':').ok_or_else(|| refused("has no colon"))?;
        let name = HeaderName::try_from(name).map_err(|_| refused("has no valid name before the colon"))?;
        let value = HeaderValue::from_bytes(value.trim().as_bytes())
            .map_err(|_| refused("has a value with control characters"))?;
        if OWN.contains(&name) {
            return Err(refused(&format!("cannot be set: {name} is the importer's own")));
        }
        Ok(Self { name, value })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_header_is_a_name_a_colon_and_a_value() {
        for (line, name, value) in [
            ("Authorization: Bearer abc", "authorization", "Bearer abc"),
            ("X-Token:abc:def\n", "x-token", "abc:def"),
            ("  X-Empty:  ", "x-empty", ""),
            ("X-Text: Zürich", "x-text", "Zürich"),
        ] {
            let header = Header::parse(line).unwrap();
            assert_eq!((header.name.as_str(), header.value.as_bytes()), (name, value.as_bytes()), "{line}");
        }
    }

    #[test]
    fn what_is_no_header_is_refused() {
        for line in [
            "",
            "no colon",
            ": value",
            "Bad Name: x",
            "X: a\r\nInjected: b",
            "Range: bytes=0-1",
            "accept-encoding: gzip",
            "Connection: close",
        ] {
            assert_eq!(Header::parse(line).unwrap_err().code(), Code::Usage, "{line}");
        }
    }

    #[test]
    fn a_secret_header_is_shown_nowhere() {
        let header = Header::parse_secret("X-Token: hunter2\n").unwrap();
        assert!(header.is_secret() && !format!("{header:?}").contains("hunter2"));
        for line in ["hunter2", "hunter 2: x", "X: hunter2\u{7}", "range: hunter2"] {
            let failure = Header::parse_secret(line).unwrap_err();
            assert!(!format!("{failure:?} {failure}").contains("hunter"), "{failure}");
        }
    }

    #[test]
    fn all_secrets_of_the_options_stay_out_of_debug_output() {
        let secret = || Secret::new("http://u:hunter2@proxy");
        let options = Options {
            credentials: Some(Credentials { user: Secret::new("hunter2"), password: Secret::new("hunter2") }),
            headers: vec![Header::parse_secret("X: hunter2").unwrap()],
            proxy: ProxyChoice::Fixed { http: Some(secret()), https: Some(secret()), exclude: String::new() },
            ..Options::default()
        };
        assert!(!format!("{options:?}").contains("hunter2"));
    }
}
