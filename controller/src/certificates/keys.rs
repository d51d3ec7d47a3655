//! Keys and certificates are made here, and nowhere else: the only place with randomness.

use jiff::Timestamp;
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, Error, ExtendedKeyUsagePurpose, IsCa, Issuer,
    KeyPair, KeyUsagePurpose, date_time_ymd,
};

use super::certificate::{Certificate, Pair};
use super::lifetimes::Lifetime;
use super::plan::BACKDATED;

/// A new authority. Its name has the second it was made in, so that two in one bundle differ by name as well.
pub(crate) fn authority(name: &str, now: Timestamp, lifetime: Lifetime) -> Result<Pair, Error> {
    let key = KeyPair::generate()?;
    let mut parameters = parameters(&format!("{name}@{}", now.as_second()), now, now + lifetime.lasts);
    parameters.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    parameters.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::DigitalSignature];
    let certificate = parameters.self_signed(&key)?;
    pair(&certificate.pem(), &key)
}

/// A new certificate for a server of these names. It does not outlast its authority.
pub(crate) fn server(hosts: &[String], authority: &Pair, now: Timestamp, lifetime: Lifetime) -> Result<Pair, Error> {
    let issuer = Issuer::from_ca_cert_pem(&authority.certificate.text, KeyPair::from_pem(&authority.key)?)?;
    let key = KeyPair::generate()?;
    let ends = authority.certificate.ends.min(now + lifetime.lasts);
    let mut parameters = parameters(hosts.first().map_or("", String::as_str), now, ends);
    parameters.subject_alt_names = CertificateParams::new(hosts)?.subject_alt_names;
    parameters.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    parameters.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    parameters.use_authority_key_identifier_extension = true;
    let certificate = parameters.signed_by(&key, &issuer)?;
    pair(&certificate.pem(), &key)
}

fn parameters(name: &str, now: Timestamp, ends: Timestamp) -> CertificateParams {
    let mut parameters = CertificateParams::default();
    parameters.distinguished_name = DistinguishedName::new();
    parameters.distinguished_name.push(DnType::CommonName, name);
    let at = |time: Timestamp| {
        let seconds = u64::try_from(time.as_second()).unwrap_or_default();
        date_time_ymd(1970, 1, 1) + std::time::Duration::from_secs(seconds)
    };
    parameters.not_before = at(now - BACKDATED);
    parameters.not_after = at(ends);
    parameters
}

fn pair(certificate: &str, key: &KeyPair) -> Result<Pair, Error> {
    let certificate = Certificate::all(certificate).into_iter().next().ok_or(Error::CouldNotParseCertificate)?;
    Ok(Pair { certificate, key: key.serialize_pem() })
}
