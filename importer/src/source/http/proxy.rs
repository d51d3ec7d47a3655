//! Which proxy, if any, a request goes through: one decision for the connector, the source policy and the messages.

use contract::{Code, Failure};
use hyper_util::client::proxy::matcher::Matcher;
use reqwest::Url;

use super::options::ProxyChoice;
use crate::source::secret::Secret;

/// The proxies of one source.
#[derive(Debug)]
pub(crate) struct Proxies {
    http: Option<Url>,
    https: Option<Url>,
    /// Intercepts everything but the excluded hosts; the address it would name is not used.
    included: Matcher,
}

impl Proxies {
    /// Reads the choice, and the environment if that is the choice.
    ///
    /// # Errors
    /// Code `usage`: an address that cannot be read or a proxy that speaks another protocol than HTTP. The message
    /// does not hold the address, which may have a password.
    pub(crate) fn new(choice: &ProxyChoice) -> Result<Self, Failure> {
        match choice {
            ProxyChoice::Direct => Ok(Self::build(None, None, "")),
            ProxyChoice::Fixed { http, https, exclude } => {
                let read = |name: &str, address: &Option<Secret>| {
                    address.as_ref().map(|address| parse(name, address.reveal())).transpose()
                };
                Ok(Self::build(read("the proxy for http", http)?, read("the proxy for https", https)?, exclude))
            }
            ProxyChoice::Environment => Self::from_variables(|name| std::env::var(name).ok()),
        }
    }

    /// As curl: the lower-case name first, an empty value counts as none, `all_proxy` where there is no other.
    fn from_variables(variable: impl Fn(&str) -> Option<String>) -> Result<Self, Failure> {
        let value = |name: &str| {
            variable(name).or_else(|| variable(&name.to_ascii_uppercase())).filter(|value| !value.trim().is_empty())
        };
        let proxy = |name: &str| {
            let found =
                value(name).map(|value| (name, value)).or_else(|| value("all_proxy").map(|value| ("all_proxy", value)));
            found.map(|(name, value)| parse(name, &value)).transpose()
        };
        Ok(Self::build(proxy("http_proxy")?, proxy("https_proxy")?, &value("no_proxy").unwrap_or_default()))
    }

    fn build(http: Option<Url>, https: Option<Url>, exclude: &str) -> Self {
        // The matcher takes `*` for names only; as curl has it, it is for addresses too.
        let (http, https) =
            if exclude.split(',').any(|entry| entry.trim() == "*") { (None, None) } else { (http, https) };
        Self {
            http,
            https,
            included: Matcher::builder().all("http://proxy").no(exclude.replace(['[', ']'], "")).build(),
        }
    }

    /// The proxy for this address, with its user and password.
    pub(crate) fn of(&self, url: &Url) -> Option<&Url> {
        let proxy = if url.scheme() == "https" { self.https.as_ref() } else { self.http.as_ref() }?;
        let target = url.as_str().parse().ok()?;
        self.included.intercept(&target).map(|_| proxy)
    }

    /// Hosts of the proxies, which the user or the cluster's owner chose and no source policy closes.
    pub(crate) fn hosts(&self) -> Vec<String> {
        [&self.http, &self.https].into_iter().flatten().filter_map(|url| url.host_str().map(str::to_owned)).collect()
    }
}

fn parse(name: &str, address: &str) -> Result<Url, Failure> {
    let address = address.trim();
    let absolute = if address.contains("://") { address.to_owned() } else { format!("http://{address}") };
    let url = Url::parse(&absolute)
        .map_err(|error| Failure::new(Code::Usage, format!("{name} has an address that cannot be read: {error}")))?;
    if !matches!(url.scheme(), "http" | "https") {
        return Err(Failure::new(
            Code::Usage,
            format!("{name} is of the kind {}:, only http: and https: are supported", url.scheme()),
        ));
    }
    Ok(url)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn from(variables: &[(&str, &str)]) -> Result<Proxies, Failure> {
        Proxies::from_variables(|name| {
            variables.iter().find(|(key, _)| *key == name).map(|(_, value)| (*value).to_owned())
        })
    }

    fn of(proxies: &Proxies, url: &str) -> Option<String> {
        proxies.of(&Url::parse(url).unwrap()).map(Url::to_string)
    }

    #[test]
    fn each_scheme_has_its_own_proxy_and_all_proxy_stands_in() {
        let proxies = from(&[("http_proxy", "a:3128"), ("HTTPS_PROXY", "https://u:p@b")]).unwrap();
        assert_eq!(of(&proxies, "http://h/").as_deref(), Some("http://a:3128/"));
        assert_eq!(of(&proxies, "https://h/").as_deref(), Some("https://u:p@b/"));
        assert_eq!(
            of(&from(&[("http_proxy", "a"), ("all_proxy", "c")]).unwrap(), "https://h/").as_deref(),
            Some("http://c/")
        );
        assert_eq!(of(&from(&[("http_proxy", "")]).unwrap(), "http://h/"), None);
    }

    #[test]
    fn the_lower_case_name_stands_above_the_upper_case_one() {
        let proxies = from(&[("HTTP_PROXY", "upper"), ("http_proxy", "lower")]).unwrap();
        assert_eq!(of(&proxies, "http://h/").as_deref(), Some("http://lower/"));
    }

    #[test]
    fn excluded_hosts_are_reached_directly() {
        let proxies =
            from(&[("http_proxy", "p"), ("no_proxy", "example.com, .svc,10.0.0.0/8,127.0.0.1,[::1]")]).unwrap();
        for direct in [
            "http://[::1]:8080/",
            "http://example.com/",
            "http://a.example.com:8080/x",
            "http://image.svc/",
            "http://10.1.2.3/",
            "http://127.0.0.1:99/",
        ] {
            assert_eq!(of(&proxies, direct), None, "{direct}");
        }
        for proxied in ["http://notexample.com/", "http://11.0.0.1/", "http://127.0.0.2/"] {
            assert!(of(&proxies, proxied).is_some(), "{proxied}");
        }
        for everything in ["http://h/", "http://10.0.0.1/", "http://[::1]/"] {
            assert_eq!(
                of(&from(&[("http_proxy", "p"), ("no_proxy", "h2, *")]).unwrap(), everything),
                None,
                "{everything}"
            );
        }
    }

    #[test]
    fn a_proxy_of_another_kind_is_refused_without_showing_its_password() {
        for address in ["socks5://u:hunter2@h", "http://u:hunter2@:x"] {
            let failure = from(&[("all_proxy", address)]).unwrap_err();
            assert_eq!(failure.code(), Code::Usage);
            assert!(failure.what().contains("all_proxy") && !failure.what().contains("hunter2"), "{failure}");
        }
    }
}
