//! Certificates as they are really made, verified as a client of TLS does it.

use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::{ConfigMap, Secret};
use rustls::RootCertStore;
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::ServerCertVerifier;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};

use super::certificate::{CERTIFICATE_KEY, Certificate, PRIVATE_KEY, Pair};
use super::lifetimes::Lifetimes;
use super::observe::Observed;
use super::plan::{Step, plan};
use super::{BUNDLE_KEY, SIGNER, build, bundle, keys};

fn at(hours: i64) -> Timestamp {
    "2026-11-25T00:00:00Z".parse::<Timestamp>().unwrap() + SignedDuration::from_hours(hours)
}

fn authority(hours: i64) -> Pair {
    keys::authority(SIGNER, at(hours), Lifetimes::of(None).authority).unwrap()
}

fn server(authority: &Pair, hours: i64) -> Pair {
    keys::server(&build::hosts("cdi"), authority, at(hours), Lifetimes::of(None).server).unwrap()
}

/// Whether a client that believes `bundle` takes the certificate for this host at this hour.
fn accepts(bundle: &str, certificate: &Certificate, host: &str, hours: i64) -> Result<(), rustls::Error> {
    let mut roots = RootCertStore::empty();
    for authority in CertificateDer::pem_slice_iter(bundle.as_bytes()) {
        roots.add(authority.unwrap()).unwrap();
    }
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let verifier = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider).build().unwrap();
    let leaf = CertificateDer::from_pem_slice(certificate.text.as_bytes()).unwrap();
    let host = ServerName::try_from(host.to_owned()).unwrap();
    let now = UnixTime::since_unix_epoch(std::time::Duration::from_secs(at(hours).as_second() as u64));
    verifier.verify_server_cert(&leaf, &[], &host, &[], now).map(drop)
}

fn secret(pair: &Pair) -> Secret {
    let bytes = |text: &str| ByteString(text.as_bytes().to_vec());
    let data = [(CERTIFICATE_KEY, &pair.certificate.text), (PRIVATE_KEY, &pair.key)];
    Secret { data: Some(data.map(|(key, text)| (key.to_owned(), bytes(text))).into()), ..Secret::default() }
}

#[test]
fn a_client_that_believes_the_bundle_takes_the_servers_certificate_for_each_of_its_names() {
    let authority = authority(0);
    let server = server(&authority, 0);
    for host in ["cdi-api.cdi", "cdi-api.cdi.svc", "cdi-api.cdi.svc.cluster.local", "localhost"] {
        accepts(&authority.certificate.text, &server.certificate, host, 1).unwrap();
    }
    accepts(&authority.certificate.text, &server.certificate, "cdi-api.other.svc", 1).unwrap_err();
    accepts(&authority.certificate.text, &server.certificate, "localhost", 25).unwrap_err();
    accepts(&self::authority(0).certificate.text, &server.certificate, "localhost", 1).unwrap_err();
}

#[test]
fn certificates_say_what_they_are() {
    let authority = authority(0);
    let server = server(&authority, 30);
    assert_eq!((authority.certificate.begins, authority.certificate.ends), (at(0) - super::plan::BACKDATED, at(48)));
    assert_eq!(server.certificate.ends, at(48), "no longer than its authority");
    assert_eq!(server.certificate.names, build::hosts("cdi"));
    assert!(authority.certificate.is_authority && !server.certificate.is_authority);
    assert!(authority.certificate.has_signed(&server.certificate));
    assert!(!self::authority(0).certificate.has_signed(&server.certificate));
}

#[test]
fn while_one_authority_follows_another_both_servers_certificates_are_taken() {
    let (old, new) = (authority(0), authority(24));
    let both = bundle::wanted(&new.certificate, std::slice::from_ref(&old.certificate), at(24));
    assert_eq!(Certificate::all(&both).len(), 2);
    for signer in [&old, &new] {
        accepts(&both, &server(signer, 24).certificate, "localhost", 25).unwrap();
    }
    let later = bundle::wanted(&new.certificate, &Certificate::all(&both), at(48));
    assert_eq!(later, new.certificate.text);
}

#[test]
fn a_pair_is_read_back_and_one_that_does_not_belong_together_is_none() {
    let (one, other) = (authority(0), authority(1));
    let read = Pair::of(&secret(&one)).unwrap();
    assert_eq!((read.certificate, read.key), (one.certificate.clone(), one.key.clone()));
    for (what, broken) in [
        ("another's key", Pair { key: other.key.clone(), ..one.clone() }),
        ("no key", Pair { key: String::new(), ..one.clone() }),
        (
            "no certificate",
            Pair { certificate: Certificate { text: "x".into(), ..one.certificate.clone() }, ..one.clone() },
        ),
    ] {
        assert!(Pair::of(&secret(&broken)).is_none(), "{what}");
    }
    assert!(Pair::of(&Secret::default()).is_none());
}

#[test]
fn what_is_printed_of_a_pair_has_no_key_in_it() {
    let pair = authority(0);
    let body = pair.key.lines().nth(1).unwrap();
    assert!(!format!("{pair:?}").contains(body));
}

#[test]
fn a_damaged_bundle_loses_only_what_cannot_be_read() {
    let (one, two) = (authority(0), authority(1));
    let cut = &two.certificate.text[..two.certificate.text.len() / 2];
    let text = format!("# comment\n{}{cut}\n{}", one.certificate.text, two.certificate.text);
    assert_eq!(Certificate::all(&text), [one.certificate, two.certificate]);
    assert_eq!(Certificate::all("-----BEGIN CERTIFICATE-----"), []);
}

fn observed(signer: Option<&Pair>, bundle: Option<&str>, server: Option<&Pair>, hours: i64) -> Observed {
    Observed {
        now: at(hours),
        lifetimes: Lifetimes::of(None),
        namespace: "cdi".into(),
        signer: signer.map(|pair| Arc::new(secret(pair))),
        authority: signer.cloned(),
        bundle: bundle.map(|text| {
            let data = Some([(BUNDLE_KEY.to_owned(), text.to_owned())].into());
            Arc::new(ConfigMap { data, ..ConfigMap::default() })
        }),
        server_secret: server.map(|pair| Arc::new(secret(pair))),
        server: server.cloned(),
        validating: Vec::new(),
        mutating: Vec::new(),
    }
}

#[test]
fn what_is_due_is_told_from_real_certificates() {
    let (signer, stranger) = (authority(0), authority(0));
    let bundle = signer.certificate.text.as_str();
    let (ours, theirs) = (server(&signer, 0), server(&stranger, 0));
    let elsewhere = keys::server(&["localhost".into()], &signer, at(0), Lifetimes::of(None).server).unwrap();
    let both = format!("{bundle}{}", stranger.certificate.text);
    for (what, observed, expected) in [
        ("nothing", observed(None, None, None, 0), &[Step::Authority, Step::Publish, Step::Server][..]),
        ("everything", observed(Some(&signer), Some(bundle), Some(&ours), 1), &[]),
        ("no bundle", observed(Some(&signer), None, Some(&ours), 1), &[Step::Publish]),
        (
            "an ended one in the bundle",
            observed(Some(&authority(30)), Some(&both), Some(&ours), 49),
            &[Step::Publish, Step::Server],
        ),
        ("a stranger's server", observed(Some(&signer), Some(bundle), Some(&theirs), 1), &[Step::Server]),
        ("a lost signer", observed(None, Some(bundle), Some(&ours), 1), &[Step::Authority, Step::Publish]),
        ("other names", observed(Some(&signer), Some(bundle), Some(&elsewhere), 1), &[Step::Server]),
    ] {
        assert_eq!(plan(&observed.facts()).steps, expected, "{what}");
    }
}
