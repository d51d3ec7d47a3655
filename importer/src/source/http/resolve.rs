//! Name resolution behind the source policy: a closed address is never handed to the connector.

use std::fmt;
use std::net::{IpAddr, SocketAddr};

use reqwest::dns::{Addrs, Name, Resolve, Resolving};

use crate::source::policy::SourcePolicy;

/// Resolves as the system does and leaves out what the policy closes.
pub(crate) struct CheckedResolver {
    policy: SourcePolicy,
    proxies: Vec<String>,
}

impl CheckedResolver {
    /// `proxies` are hosts the policy does not apply to.
    pub(crate) fn new(policy: SourcePolicy, proxies: Vec<String>) -> Self {
        Self { policy, proxies }
    }
}

impl Resolve for CheckedResolver {
    fn resolve(&self, name: Name) -> Resolving {
        let host = name.as_str().to_owned();
        let policy = if self.proxies.contains(&host) { SourcePolicy::allow_all() } else { self.policy.clone() };
        Box::pin(async move {
            let all: Vec<SocketAddr> = tokio::net::lookup_host((host.as_str(), 0)).await?.collect();
            let (open, closed): (Vec<_>, Vec<_>) = all.into_iter().partition(|address| policy.allows(address.ip()));
            match closed.first() {
                Some(first) if open.is_empty() => Err(Closed { host, address: first.ip() }.into()),
                _ => Ok(Box::new(open.into_iter()) as Addrs),
            }
        })
    }
}

/// All addresses of a host are closed.
#[derive(Clone, Debug)]
pub(crate) struct Closed {
    pub(crate) host: String,
    pub(crate) address: IpAddr,
}

impl fmt::Display for Closed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the source policy closes {} ({})", self.address, self.host)
    }
}

impl std::error::Error for Closed {}

#[cfg(test)]
mod tests {
    use contract::Code;
    use mover::cancel::Cancel;

    use super::*;
    use crate::source::HttpSource;
    use crate::source::http::{Options, ProxyChoice};

    fn resolved(policy: SourcePolicy, proxies: &[&str]) -> Result<usize, String> {
        let resolver = CheckedResolver::new(policy, proxies.iter().map(ToString::to_string).collect());
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let found = runtime.block_on(resolver.resolve("localhost".parse().unwrap()));
        found.map(Iterator::count).map_err(|error| error.to_string())
    }

    #[test]
    fn a_name_whose_addresses_are_closed_resolves_to_none_unless_it_is_the_proxy() {
        assert!(resolved(SourcePolicy::allow_all(), &[]).unwrap() > 0);
        let refused = resolved(SourcePolicy::deny_loopback(), &["proxy"]).unwrap_err();
        assert!(refused.contains("localhost"), "{refused}");
        assert!(resolved(SourcePolicy::deny_loopback(), &["localhost"]).unwrap() > 0);
    }

    #[test]
    fn a_closed_name_is_reported_as_the_policys_refusal_and_not_tried_again() {
        let options =
            Options { policy: SourcePolicy::deny_loopback(), proxy: ProxyChoice::Direct, ..Options::default() };
        let failure =
            HttpSource::connect("http://localhost:1/".parse().unwrap(), options, Cancel::new()).err().unwrap();
        assert_eq!((failure.code(), failure.is_transient()), (Code::SourcePolicy, false));
        assert!(failure.what().contains("of localhost"), "{failure}");
    }
}
