//! The HTTP clients of one source: one for plain http, one that knows whom to trust, each made when it is first needed.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use contract::Failure;
use reqwest::{Client, ClientBuilder, Proxy, Url};

use super::options::Options;
use super::proxy::Proxies;
use super::resolve::CheckedResolver;
use super::tls;

/// Connections to a host at once, and idle ones kept.
pub(crate) const CONNECTIONS: usize = 4;
/// Idle connections are dropped after this time: sooner than most servers do (nginx after 75 s), so that a request is
/// seldom written to a connection that is being closed.
const IDLE: Duration = Duration::from_secs(20);

/// Makes and keeps the clients.
pub(crate) struct Clients {
    options: Options,
    proxies: Arc<Proxies>,
    plain: OnceLock<Client>,
    secure: OnceLock<Client>,
}

impl Clients {
    /// Checks what can be checked before the first request.
    ///
    /// # Errors
    /// Code `usage`: proxies or authorities that cannot be read.
    pub(crate) fn new(options: &Options) -> Result<Self, Failure> {
        tls::install_provider();
        tls::certificates(&options.authorities)?;
        let proxies = Arc::new(Proxies::new(&options.proxy)?);
        Ok(Self { options: options.clone(), proxies, plain: OnceLock::new(), secure: OnceLock::new() })
    }

    /// The proxy that a request to `url` goes through.
    pub(crate) fn proxy(&self, url: &Url) -> Option<&Url> {
        self.proxies.of(url)
    }

    /// The client for `url`.
    pub(crate) fn of(&self, url: &Url) -> Result<&Client, Failure> {
        let is_secure = [Some(url), self.proxy(url)].into_iter().flatten().any(|hop| hop.scheme() == "https");
        let kept = if is_secure { &self.secure } else { &self.plain };
        if let Some(client) = kept.get() {
            return Ok(client);
        }
        let made = if is_secure {
            tls::build(|| self.configure(), &self.options)
        } else {
            tls::build_plain(self.configure())
        }?;
        Ok(kept.get_or_init(|| made))
    }

    fn configure(&self) -> ClientBuilder {
        let proxies = Arc::clone(&self.proxies);
        Client::builder()
            .user_agent(concat!("gantry/", env!("CARGO_PKG_VERSION")))
            .redirect(reqwest::redirect::Policy::none())
            .retry(reqwest::retry::never())
            .http1_only()
            .connect_timeout(self.options.connect_timeout)
            .pool_idle_timeout(IDLE)
            .pool_max_idle_per_host(CONNECTIONS)
            .dns_resolver(CheckedResolver::new(self.options.policy.clone(), self.proxies.hosts()))
            .no_proxy()
            .proxy(Proxy::custom(move |url| proxies.of(url).cloned()))
    }
}
