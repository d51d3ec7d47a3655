//! Certificates and keys as they are kept, and what they say about themselves.

use std::fmt;

use jiff::Timestamp;
use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::Secret;
use rcgen::{KeyPair, PublicKeyData};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use x509_parser::certificate::X509Certificate;
use x509_parser::extensions::GeneralName;

/// Keys of a Secret with a certificate and its key.
pub(crate) const CERTIFICATE_KEY: &str = "tls.crt";
/// The other one.
pub(crate) const PRIVATE_KEY: &str = "tls.key";

const BEGIN: &str = "-----BEGIN CERTIFICATE-----";
const END: &str = "-----END CERTIFICATE-----";

/// A certificate that could be read.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Certificate {
    /// PEM, with a line break at its end.
    pub(crate) text: String,
    pub(crate) begins: Timestamp,
    pub(crate) ends: Timestamp,
    /// DNS names that it is for.
    pub(crate) names: Vec<String>,
    pub(crate) is_authority: bool,
}

impl fmt::Debug for Certificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "certificate for {:?} from {} to {}", self.names, self.begins, self.ends)
    }
}

impl Certificate {
    /// The certificates in a text, one after the other; what cannot be read is left out.
    pub(crate) fn all(text: &str) -> Vec<Self> {
        let blocks = text.split(BEGIN).skip(1).filter_map(|rest| rest.split_once(END));
        blocks.filter_map(|(body, _)| Self::read(&format!("{BEGIN}{body}{END}\n"))).collect()
    }

    /// One certificate from its PEM.
    pub(crate) fn read(text: &str) -> Option<Self> {
        let der = CertificateDer::from_pem_slice(text.as_bytes()).ok()?;
        let parsed = parse(&der)?;
        let validity = parsed.validity();
        Some(Self {
            text: text.to_owned(),
            begins: Timestamp::from_second(validity.not_before.timestamp()).ok()?,
            ends: Timestamp::from_second(validity.not_after.timestamp()).ok()?,
            names: dns_names(&parsed),
            is_authority: parsed.is_ca(),
        })
    }

    /// Whether this authority signed that certificate.
    pub(crate) fn has_signed(&self, other: &Self) -> bool {
        let (Some(own), Some(other)) = (self.der(), other.der()) else { return false };
        let (Some(own), Some(other)) = (parse(&own), parse(&other)) else { return false };
        other.issuer() == own.subject() && other.verify_signature(Some(own.public_key())).is_ok()
    }

    /// The certificate's public key, as it is in the certificate.
    fn public_key(&self) -> Option<Vec<u8>> {
        Some(parse(&self.der()?)?.public_key().raw.to_vec())
    }

    fn der(&self) -> Option<CertificateDer<'static>> {
        CertificateDer::from_pem_slice(self.text.as_bytes()).ok()
    }
}

fn parse(der: &[u8]) -> Option<X509Certificate<'_>> {
    x509_parser::parse_x509_certificate(der).ok().map(|(_, parsed)| parsed)
}

fn dns_names(certificate: &X509Certificate<'_>) -> Vec<String> {
    let names = certificate.subject_alternative_name().ok().flatten().map(|extension| &extension.value.general_names);
    let dns = names.into_iter().flatten().filter_map(|name| match name {
        GeneralName::DNSName(name) => Some((*name).to_owned()),
        _ => None,
    });
    dns.collect()
}

/// A certificate with its private key.
#[derive(Clone)]
pub(crate) struct Pair {
    pub(crate) certificate: Certificate,
    /// PEM.
    pub(crate) key: String,
}

impl fmt::Debug for Pair {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The key stays out of logs.
        self.certificate.fmt(f)
    }
}

impl Pair {
    /// What a Secret holds, if both can be read and belong together.
    pub(crate) fn of(secret: &Secret) -> Option<Self> {
        let text = |key: &str| {
            let ByteString(bytes) = secret.data.as_ref()?.get(key)?;
            std::str::from_utf8(bytes).ok()
        };
        let certificate = Certificate::all(text(CERTIFICATE_KEY)?).into_iter().next()?;
        let key = text(PRIVATE_KEY)?.to_owned();
        let pair = KeyPair::from_pem(&key).ok()?;
        (certificate.public_key()? == pair.subject_public_key_info()).then_some(Self { certificate, key })
    }
}
