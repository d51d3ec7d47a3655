//! Turns the client's error into what happened, in words, with whether it may pass.
//!
//! The client's own text is not shown: it holds the URL, whose query may be a signature.

use std::error::Error;
use std::io::{self, ErrorKind};

use contract::{Code, Failure};
use reqwest::Url;

use super::resolve::Closed;
use super::tls;
use super::trouble::{Passing, Trouble};
use crate::source::policy;

/// Says why no response came from `url`, which is reached through `proxy` if there is one.
pub(crate) fn of_request(error: &reqwest::Error, url: &Url, proxy: Option<&Url>) -> Trouble {
    // What is dialled, and so what cannot be resolved or refuses, is the proxy.
    let dialled = proxy.unwrap_or(url);
    let host = dialled.host_str().unwrap_or_default();
    let port = dialled.port_or_known_default().unwrap_or_default();
    let through = if proxy.is_some() { "the proxy " } else { "" };
    let unreachable = |what: String| Trouble::passing(Failure::new(Code::SourceUnreachable, what));
    if let Some(closed) = find::<Closed>(error) {
        return policy::denied(&closed.host, closed.address).into();
    }
    if let Some(refused) = find::<rustls::Error>(error) {
        return tls::explain(refused, url.host_str().unwrap_or_default()).into();
    }
    let root = root(error);
    if error.is_dns() {
        return unreachable(format!("cannot resolve {through}{host}: {root}"));
    }
    if error.is_connect() && error.is_timeout() {
        return Trouble::passing(Failure::new(
            Code::SourceTimeout,
            format!("no connection to {through}{host} port {port} within the connect time-out"),
        ));
    }
    // The tunnel's error type is private; these are its words.
    if root.contains("proxy authorization required") {
        return Failure::new(Code::SourceDenied, format!("the proxy {host} wants a user and a password"))
            .remedy("give the proxy's user and password in its address")
            .into();
    }
    if root.contains("unsuccessful") && proxy.is_some() {
        return unreachable(format!("the proxy {host} opens no tunnel to {}", url.host_str().unwrap_or_default()));
    }
    if error.is_connect() {
        return unreachable(format!("cannot connect to {through}{host} port {port}: {}", words(error, &root)));
    }
    let what = format!("{through}{host} closed the connection without an answer: {}", words(error, &root));
    Trouble::Passing(Passing {
        failure: Failure::new(Code::SourceUnreachable, what).transient(),
        retry_after: None,
        stale: true,
    })
}

/// Says why a body stopped: closed early by the server, or broken underneath.
pub(crate) fn of_body(error: &reqwest::Error, at: u64, end: Option<u64>) -> Failure {
    let end = end.map_or(String::new(), |end| format!(" of {end}"));
    let ended = find::<io::Error>(error).is_none_or(|error| error.kind() == ErrorKind::UnexpectedEof);
    if ended {
        return Failure::new(Code::SourceTruncated, format!("the server closed the connection at byte {at}{end}"))
            .transient();
    }
    Failure::new(
        Code::SourceUnreachable,
        format!("the connection broke at byte {at}{end}: {}", words(error, &root(error))),
    )
    .transient()
}

/// The innermost error's text.
pub(crate) fn root(error: &(dyn Error + 'static)) -> String {
    chain(error).last().map(ToString::to_string).unwrap_or_default()
}

fn words(error: &(dyn Error + 'static), root: &str) -> String {
    match find::<io::Error>(error).map(io::Error::kind) {
        Some(ErrorKind::ConnectionRefused) => "connection refused".into(),
        Some(ErrorKind::ConnectionReset) => "connection reset".into(),
        Some(ErrorKind::HostUnreachable) => "no route to the host".into(),
        Some(ErrorKind::NetworkUnreachable) => "network unreachable".into(),
        _ => root.to_owned(),
    }
}

fn find<'a, T: Error + 'static>(error: &'a (dyn Error + 'static)) -> Option<&'a T> {
    chain(error).find_map(|error| error.downcast_ref())
}

/// The error and what caused it. What an `io::Error` wraps is a link of its own, which `source` leaves out.
fn chain<'a>(error: &'a (dyn Error + 'static)) -> impl Iterator<Item = &'a (dyn Error + 'static)> {
    std::iter::successors(Some(error), |&error: &&'a (dyn Error + 'static)| {
        let wrapped = error.downcast_ref::<io::Error>().and_then(io::Error::get_ref);
        wrapped.map(|wrapped| wrapped as &(dyn Error + 'static)).or_else(|| error.source())
    })
}
