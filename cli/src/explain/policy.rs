//! What the importer's source policy says of an address, by the importer's own rules.

use std::net::IpAddr;

use contract::pod::environment;
use contract::{Code, Failure};
use importer::source::location::shown;
use importer::source::{Location, SourcePolicy};
use k8s_openapi::api::core::v1::Pod;

use super::report::{Source, Verdict};

/// Where the address stands in a DataVolume.
const FIELD: &str = "spec.source.http.url";

/// The source of a pod, and why it would be refused.
pub(super) fn judge(pod: &Pod) -> (Option<Source>, Option<Failure>) {
    let variables =
        || pod.spec.iter().flat_map(|spec| &spec.containers).flat_map(|container| container.env.iter().flatten());
    let told = |name: &str| variables().find(|variable| variable.name == name)?.value.clone();
    let Some(url) = told(environment::ENDPOINT) else {
        return (told(environment::SOURCE).map(|_| Source { kind: "blank", address: None, policy: None }), None);
    };
    let (location, policy) = match (Location::parse(&url), policy(told)) {
        (Ok(Location::Http { url, .. }), Ok(policy)) => (url, policy),
        (Err(failure), _) | (_, Err(failure)) => return (Some(refused(None, &failure)), Some(failure)),
        (Ok(_), _) => {
            let failure = Failure::new(Code::Usage, "the address is not one of a web server").at(FIELD);
            return (Some(refused(None, &failure)), Some(failure));
        }
    };
    let host = location.host_str().unwrap_or_default().trim_matches(['[', ']']).to_owned();
    let address = Some(shown(&location));
    let Ok(literal) = host.parse::<IpAddr>() else {
        let later =
            "the host is a name: its addresses are checked when the importer has resolved it, and after every redirect";
        return (Some(Source { kind: "http", address, policy: Some(Verdict::unknown(later)) }), None);
    };
    match policy.check(&host, literal) {
        Ok(()) => (Some(Source { kind: "http", address, policy: Some(Verdict::accepted()) }), None),
        Err(failure) => (Some(refused(address, &failure)), Some(failure.at(FIELD))),
    }
}

fn refused(address: Option<String>, failure: &Failure) -> Source {
    Source { kind: "http", address, policy: Some(Verdict::refused(failure.what())) }
}

fn policy(told: impl Fn(&str) -> Option<String>) -> Result<SourcePolicy, Failure> {
    let policy = SourcePolicy::deny_internal().and_deny(&told(environment::SOURCE_DENY).unwrap_or_default())?;
    policy.but_allow(&told(environment::SOURCE_ALLOW).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::super::report::Word;
    use super::*;

    fn judged(url: &str, deny: &str) -> (Word, Option<Code>) {
        let text = format!(
            "{{metadata: {{}}, spec: {{containers: [{{name: i, env: [{{name: IMPORTER_SOURCE, value: http}},
               {{name: IMPORTER_ENDPOINT, value: '{url}'}}, {{name: GANTRY_SOURCE_DENY, value: '{deny}'}}]}}]}}}}"
        );
        let (source, failure) = judge(&serde_saphyr::from_str(&text).unwrap());
        (source.unwrap().policy.unwrap().answer, failure.map(|failure| failure.code()))
    }

    #[test]
    fn literal_addresses_are_judged_and_names_are_not() {
        for (url, deny, answer, code) in [
            ("http://169.254.169.254/disk", "", Word::Refused, Some(Code::SourcePolicy)),
            ("http://[fe80::1]:8080/disk", "", Word::Refused, Some(Code::SourcePolicy)),
            ("http://10.0.0.1/disk", "", Word::Accepted, None),
            ("http://10.0.0.1/disk", "private", Word::Refused, Some(Code::SourcePolicy)),
            ("https://images.example/disk", "private", Word::Unknown, None),
            ("ftp://images.example/disk", "", Word::Refused, Some(Code::Usage)),
        ] {
            assert_eq!(judged(url, deny), (answer, code), "{url} {deny}");
        }
    }

    #[test]
    fn an_empty_disk_has_no_address() {
        let pod = "{metadata: {}, spec: {containers: [{name: i, env: [{name: IMPORTER_SOURCE, value: none}]}]}}";
        let (source, failure) = judge(&serde_saphyr::from_str(pod).unwrap());
        assert_eq!(source.unwrap().kind, "blank");
        assert!(failure.is_none());
    }
}
