//! Through tinyproxy: forwarding, tunnels, logins, exclusions.

use contract::Code;
use importer::source::http::{Authorities, Header, Options, ProxyChoice};
use importer::source::{Secret, SourcePolicy};

use crate::support::authority::Authority;
use crate::support::server::{Server, free_port};
use crate::support::{assert_same, connect_with, impatient, pattern, read_all};

fn through(proxy: &str, exclude: &str) -> Options {
    let secret = || Some(Secret::new(proxy));
    Options { proxy: ProxyChoice::Fixed { http: secret(), https: secret(), exclude: exclude.into() }, ..impatient() }
}

fn nginx() -> Server {
    Server::nginx(|port| format!("server {{ listen 127.0.0.1:{port}; }}"))
}

#[test]
fn http_is_forwarded_and_excluded_hosts_are_not() {
    let (server, proxy) = (nginx(), Server::tinyproxy(None));
    let content = pattern(300_000);
    let address = server.put("disk.img", &content);
    let by = proxy.address("");
    assert_same(&read_all(&connect_with(&address, through(&by, "example.com")).unwrap()).unwrap(), &content);
    let requests = proxy.log().matches("GET http://").count();
    assert!(requests >= 2, "{}", proxy.log());
    for exclude in ["127.0.0.1", "127.0.0.0/8", "*"] {
        assert_same(&read_all(&connect_with(&address, through(&by, exclude)).unwrap()).unwrap(), &content);
    }
    assert_eq!(proxy.log().matches("GET http://").count(), requests, "{}", proxy.log());
}

#[test]
fn https_is_tunnelled_and_the_proxy_sees_no_header() {
    let authority = Authority::new();
    let certificate = authority.sign("good", "IP:127.0.0.1", 2);
    let server = Server::nginx(|port| format!("server {{ listen 127.0.0.1:{port} ssl; {certificate} }}"));
    let proxy = Server::tinyproxy(None);
    let content = pattern(300_000);
    let address = server.put("disk.img", &content).replace("http://", "https://");
    let options = Options {
        authorities: vec![Authorities { name: "ca.pem".into(), pem: authority.pem() }],
        headers: vec![Header::parse_secret("X-Token: hunter2").unwrap()],
        ..through(&proxy.address(""), "")
    };
    assert_same(&read_all(&connect_with(&address, options).unwrap()).unwrap(), &content);
    assert!(proxy.log().contains("CONNECT") && !proxy.log().contains("hunter2"), "{}", proxy.log());
}

#[test]
fn a_proxy_that_wants_a_login_gets_it_or_says_so() {
    let (server, proxy) = (nginx(), Server::tinyproxy(Some("bob builder")));
    let content = pattern(300_000);
    let address = server.put("disk.img", &content);
    let known = proxy.address("").replace("http://", "http://bob:builder@");
    assert_same(&read_all(&connect_with(&address, through(&known, "")).unwrap()).unwrap(), &content);
    for address in [address.clone(), address.replace("http://", "https://")] {
        let failure = connect_with(&address, through(&proxy.address(""), "")).err().unwrap();
        assert_eq!((failure.code(), failure.is_transient()), (Code::SourceDenied, false), "{failure}");
        assert!(failure.what().contains("proxy") && failure.what_to_do().contains("proxy"), "{failure}");
    }
}

#[test]
fn a_proxy_that_is_not_there_is_named() {
    let port = free_port();
    let failure =
        connect_with("http://example.com/", through(&format!("http://u:hunter2@127.0.0.1:{port}"), "")).err().unwrap();
    assert_eq!(failure.code(), Code::SourceUnreachable);
    assert!(failure.what().contains(&format!("the proxy 127.0.0.1 port {port}")), "{failure}");
    assert!(!format!("{failure:?}").contains("hunter2"));
}

#[test]
fn the_policy_holds_behind_a_proxy_too() {
    let proxy = Server::tinyproxy(None);
    for address in ["http://169.254.169.254/", "https://169.254.169.254/"] {
        let options = Options { policy: SourcePolicy::deny_internal(), ..through(&proxy.address(""), "") };
        assert_eq!(connect_with(address, options).err().unwrap().code(), Code::SourcePolicy);
    }
    assert!(!proxy.log().contains("169.254"), "{}", proxy.log());
}
