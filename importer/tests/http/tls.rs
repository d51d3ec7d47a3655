//! Certificates by an openssl authority, served by nginx: which are taken, and what is said of the others.

use std::time::Duration;

use contract::Code;
use importer::source::http::{Authorities, Options};
use mover::source::Source;

use crate::support::authority::Authority;
use crate::support::server::Server;
use crate::support::{assert_same, connect_with, impatient, pattern, read_all};

fn nginx_with(certificate: &str) -> (Server, String) {
    let server = Server::nginx(|port| format!("server {{ listen 127.0.0.1:{port} ssl; {certificate} }}"));
    server.put("disk.img", &pattern(300_000));
    let address = server.address("disk.img").replace("http://", "https://");
    (server, address)
}

fn trusting(authority: &Authority) -> Options {
    Options { authorities: vec![Authorities { name: "ca.pem".into(), pem: authority.pem() }], ..impatient() }
}

#[test]
fn a_certificate_of_a_given_authority_is_taken() {
    let authority = Authority::new();
    let (_server, address) = nginx_with(&authority.sign("good", "IP:127.0.0.1", 2));
    let source = connect_with(&address, trusting(&authority)).unwrap();
    assert_same(&read_all(&source).unwrap(), &pattern(300_000));
    assert!(source.warnings().is_empty());
}

#[test]
fn a_certificate_of_an_unknown_authority_is_refused_and_insecure_takes_it_with_a_warning() {
    let authority = Authority::new();
    let (_server, address) = nginx_with(&authority.sign("good", "IP:127.0.0.1", 2));
    let failure = connect_with(&address, impatient()).err().unwrap();
    assert_eq!((failure.code(), failure.is_transient()), (Code::SourceTls, false));
    assert!(failure.what().contains("unknown authority"), "{failure}");
    let source = connect_with(&address, Options { insecure: true, ..impatient() }).unwrap();
    assert_same(&read_all(&source).unwrap(), &pattern(300_000));
    assert!(source.warnings()[0].contains("not checked"), "{:?}", source.warnings());
}

#[test]
fn each_fault_of_a_certificate_has_its_own_words() {
    let authority = Authority::new();
    for (certificate, words) in [
        (authority.sign("other", "DNS:other.example", 2), "not valid for that name, only for"),
        (authority.sign("old", "IP:127.0.0.1", -1), "has expired"),
        (authority.sign_itself("own", "IP:127.0.0.1"), "self-signed"),
    ] {
        let (_server, address) = nginx_with(&certificate);
        let failure = connect_with(&address, trusting(&authority)).err().unwrap();
        assert_eq!(failure.code(), Code::SourceTls);
        assert!(failure.what().contains(words), "{words}: {failure}");
        assert!(failure.place().unwrap().starts_with("https://127.0.0.1"));
    }
}

#[test]
fn a_server_that_speaks_no_tls_is_told_from_a_bad_certificate() {
    let server = Server::nginx(|port| format!("server {{ listen 127.0.0.1:{port}; }}"));
    let failure = connect_with(&server.address("x").replace("http://", "https://"), impatient()).err().unwrap();
    assert_eq!(failure.code(), Code::SourceTls);
    assert!(failure.what().contains("does not speak TLS"), "{failure}");
}

#[test]
fn a_bundle_without_a_certificate_is_refused_by_its_name() {
    for pem in [&b""[..], b"no certificate", b"-----BEGIN CERTIFICATE-----\n!!!\n-----END CERTIFICATE-----\n"] {
        let options =
            Options { authorities: vec![Authorities { name: "bundle.pem".into(), pem: pem.to_vec() }], ..impatient() };
        let failure = connect_with("https://127.0.0.1:1/", options).err().unwrap();
        assert_eq!((failure.code(), failure.place()), (Code::Usage, Some("bundle.pem")));
    }
}

#[test]
fn a_server_that_never_answers_the_handshake_runs_into_the_connect_timeout() {
    let silent = std::net::TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let address = format!("https://127.0.0.1:{}/", silent.local_addr().unwrap().port());
    let options = Options {
        connect_timeout: Duration::from_millis(200),
        retry_budget: Duration::from_millis(300),
        ..impatient()
    };
    let failure = connect_with(&address, options).err().unwrap();
    assert_eq!(failure.code(), Code::SourceTimeout);
    assert!(failure.what().contains("connect time-out"), "{failure}");
}
