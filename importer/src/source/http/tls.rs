//! Which certificates are trusted, and what a refused handshake means in words.

use contract::{Code, Failure};
use reqwest::{Certificate, Client, ClientBuilder};
use rustls::{CertificateError, Error};

use super::options::{Authorities, Options};

/// Makes aws-lc-rs the process's provider of cryptography unless there is one already.
pub(crate) fn install_provider() {
    // Refused only if a provider is installed, which is what is wanted.
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
}

/// Builds a client for https with the machine's authorities and the user's.
pub(crate) fn build(client: impl Fn() -> ClientBuilder, options: &Options) -> Result<Client, Failure> {
    let extra = certificates(&options.authorities)?;
    let client = || client().tls_danger_accept_invalid_certs(options.insecure);
    let with_system = if extra.is_empty() { client() } else { client().tls_certs_merge(extra.clone()) };
    // A container without a trust store is no reason to refuse the user's own authorities: there, only these are trusted.
    with_system.build().or_else(|_| client().tls_certs_only(extra).build()).map_err(|error| unusable(&error))
}

/// Builds a client for plain http, without reading the machine's authorities: that takes as long as a small import.
pub(crate) fn build_plain(client: ClientBuilder) -> Result<Client, Failure> {
    client.tls_certs_only([]).build().map_err(|error| unusable(&error))
}

fn unusable(error: &reqwest::Error) -> Failure {
    Failure::new(Code::SourceTls, format!("cannot set up TLS: {}", super::cause::root(error)))
}

/// Reads the user's authorities.
///
/// # Errors
/// Code `usage`: a bundle without a readable certificate.
pub(crate) fn certificates(bundles: &[Authorities]) -> Result<Vec<Certificate>, Failure> {
    let mut all = Vec::new();
    for bundle in bundles {
        let refused =
            |what: &str| Failure::new(Code::Usage, format!("the authorities hold {what}")).at(bundle.name.clone());
        let found =
            Certificate::from_pem_bundle(&bundle.pem).map_err(|_| refused("a certificate that cannot be read"))?;
        if found.is_empty() {
            return Err(refused("no certificate in PEM form"));
        }
        all.extend(found);
    }
    Ok(all)
}

/// Says why a handshake with `host` failed.
pub(crate) fn explain(error: &Error, host: &str) -> Failure {
    let failure = |what: String| Failure::new(Code::SourceTls, what);
    match error {
        Error::InvalidCertificate(reason) => explain_certificate(reason, host),
        Error::InvalidMessage(_) => failure(format!("{host} does not speak TLS on this port"))
            .remedy("check the port; use http:// if the server has no TLS"),
        Error::AlertReceived(alert) => failure(format!("{host} refuses the TLS connection: alert {alert:?}"))
            .remedy("check what the server wants of its clients"),
        other => failure(format!("the TLS handshake with {host} failed: {other}"))
            .remedy("check that the server offers TLS 1.2 or 1.3"),
    }
}

fn explain_certificate(reason: &CertificateError, host: &str) -> Failure {
    let failure = |what: String| Failure::new(Code::SourceTls, what);
    match reason {
        CertificateError::UnknownIssuer => {
            failure(format!("the certificate of {host} is signed by an unknown authority"))
        }
        CertificateError::Expired | CertificateError::ExpiredContext { .. } => {
            failure(format!("the certificate of {host} has expired"))
                .remedy("renew the server's certificate; check this machine's clock")
        }
        CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
            failure(format!("the certificate of {host} is not valid yet")).remedy("check this machine's clock")
        }
        CertificateError::NotValidForName => wrong_name(host, ""),
        CertificateError::NotValidForNameContext { presented, .. } => {
            wrong_name(host, &format!(", only for {}", presented.join(", ")))
        }
        CertificateError::Revoked => {
            failure(format!("the certificate of {host} is revoked")).remedy("renew the server's certificate")
        }
        // An authority's certificate used as the server's own is what `openssl req -x509` makes; the variant is webpki's.
        other if format!("{other:?}").contains("CaUsedAsEndEntity") => {
            failure(format!("the certificate of {host} is self-signed"))
        }
        other => failure(format!("the certificate of {host} is refused: {other}")),
    }
}

fn wrong_name(host: &str, names: &str) -> Failure {
    Failure::new(Code::SourceTls, format!("the certificate of {host} is not valid for that name{names}"))
        .remedy("use a name the certificate is valid for, or --insecure to accept any")
}
