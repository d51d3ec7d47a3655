//! What the settings come to.

use std::collections::BTreeMap;

use api::cdi::{CdiConfigSpec, CdiConfigStatus, FilesystemOverhead};
use k8s_openapi::api::core::v1::ResourceRequirements;
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;

use super::observe::Observed;

/// Share of a file system that is kept for itself where nothing is said.
const OVERHEAD: &str = "0.06";
/// Resources of a worker pod where nothing is said.
const LIMITS: [(&str, &str); 2] = [("cpu", "750m"), ("memory", "600M")];
const REQUESTS: [(&str, &str); 2] = [("cpu", "100m"), ("memory", "60M")];

/// The status for these settings.
pub(crate) fn status(spec: &CdiConfigSpec, observed: &Observed) -> CdiConfigStatus {
    let scratch = spec.scratch_space_storage_class.clone();
    CdiConfigStatus {
        upload_proxy_url: spec.upload_proxy_url_override.clone().or_else(|| observed.upload_hosts.first().cloned()),
        upload_proxy_ca: None,
        import_proxy: spec.import_proxy.clone().or_else(|| observed.cluster_proxy.clone()),
        scratch_space_storage_class: scratch.filter(|class| observed.classes.contains(class)),
        default_pod_resource_requirements: Some(resources(spec.pod_resource_requirements.as_ref())),
        filesystem_overhead: Some(overheads(spec.filesystem_overhead.as_ref(), &observed.classes)),
        preallocation: Some(spec.preallocation.unwrap_or_default()),
        image_pull_secrets: spec.image_pull_secrets.clone(),
    }
}

/// The usual resources, with those that are said in their place or beside them.
fn resources(said: Option<&ResourceRequirements>) -> ResourceRequirements {
    let said = said.cloned().unwrap_or_default();
    ResourceRequirements {
        limits: Some(with_defaults(&LIMITS, said.limits)),
        requests: Some(with_defaults(&REQUESTS, said.requests)),
        claims: said.claims,
    }
}

type Quantities = BTreeMap<String, Quantity>;

fn with_defaults(defaults: &[(&str, &str)], said: Option<Quantities>) -> Quantities {
    let defaults = defaults.iter().map(|(name, amount)| ((*name).to_owned(), Quantity((*amount).to_owned())));
    defaults.chain(said.unwrap_or_default()).collect()
}

/// The share for every class; what is not a share counts as not said.
fn overheads(said: Option<&FilesystemOverhead>, classes: &[String]) -> FilesystemOverhead {
    let global = said.and_then(|said| said.global.as_deref()).filter(|share| is_share(share)).unwrap_or(OVERHEAD);
    let of_class = |class: &String| {
        let own = said.and_then(|said| said.storage_class.get(class)).filter(|share| is_share(share));
        (class.clone(), own.map_or(global, String::as_str).to_owned())
    };
    FilesystemOverhead { global: Some(global.to_owned()), storage_class: classes.iter().map(of_class).collect() }
}

/// Whether this is `0`, `1`, or `0.` and up to three digits.
fn is_share(text: &str) -> bool {
    let digits = |text: &str| (1..=3).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit());
    matches!(text, "0" | "1") || text.strip_prefix("0.").is_some_and(digits)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use api::cdi::{CdiConfig, ImportProxy};
    use k8s_openapi::api::core::v1::LocalObjectReference;
    use serde_json::{json, to_value};

    use super::*;

    fn observed(classes: &[&str]) -> Observed {
        Observed {
            config: Arc::new(CdiConfig::new("config", CdiConfigSpec::default())),
            authority: None,
            classes: classes.iter().map(|class| (*class).to_owned()).collect(),
            upload_hosts: Vec::new(),
            cluster_proxy: None,
            authorities: None,
            labels: BTreeMap::new(),
        }
    }

    #[test]
    fn without_settings_the_defaults_are_in_force() {
        let status = status(&CdiConfigSpec::default(), &observed(&["fast"]));
        assert_eq!(
            to_value(status).unwrap(),
            json!({
                "defaultPodResourceRequirements": {
                    "limits": {"cpu": "750m", "memory": "600M"},
                    "requests": {"cpu": "100m", "memory": "60M"}
                },
                "filesystemOverhead": {"global": "0.06", "storageClass": {"fast": "0.06"}},
                "preallocation": false
            })
        );
    }

    #[test]
    fn every_class_has_an_overhead_its_own_or_the_common_one() {
        let classes = ["a", "b", "c"].map(str::to_owned);
        for (global, own, expected) in [
            (None, None, ["0.06", "0.06", "0.06"]),
            (Some("0.1"), None, ["0.1", "0.1", "0.1"]),
            (Some("0.1"), Some("0"), ["0.1", "0", "0.1"]),
            (Some("1.5"), Some("0.055"), ["0.06", "0.055", "0.06"]),
            (Some("0.1"), Some("much"), ["0.1", "0.1", "0.1"]),
        ] {
            let said = FilesystemOverhead {
                global: global.map(str::to_owned),
                storage_class: [("b", own), ("of-no-class", own)]
                    .into_iter()
                    .filter_map(|(class, own)| Some((class.to_owned(), own?.to_owned())))
                    .collect(),
            };
            let found = overheads(Some(&said), &classes);
            let shares: Vec<_> = found.storage_class.values().map(String::as_str).collect();
            assert_eq!(shares, expected, "{global:?} {own:?}");
            assert_eq!(found.global.as_deref(), Some(expected[0]));
        }
    }

    #[test]
    fn a_share_is_what_the_schema_takes() {
        for share in ["0", "1", "0.0", "0.06", "0.055", "0.999"] {
            assert!(is_share(share), "{share}");
        }
        for other in ["", "2", "1.0", "0.", "0.0555", ".5", "-0.1", "0.1 ", "0,1", "6%"] {
            assert!(!is_share(other), "{other}");
        }
    }

    #[test]
    fn resources_that_are_said_replace_the_usual_ones_one_by_one() {
        let quantities = |of: &[(&str, &str)]| with_defaults(of, None);
        let said = ResourceRequirements {
            limits: Some(quantities(&[("memory", "1Gi")])),
            requests: Some(quantities(&[("ephemeral-storage", "1G")])),
            claims: None,
        };
        let found = resources(Some(&said));
        assert_eq!(found.limits, Some(quantities(&[("cpu", "750m"), ("memory", "1Gi")])));
        let expected = quantities(&[("cpu", "100m"), ("memory", "60M"), ("ephemeral-storage", "1G")]);
        assert_eq!(found.requests, Some(expected));
    }

    #[test]
    fn scratch_space_has_the_class_that_is_said_if_there_is_one() {
        for (said, expected) in [(None, None), (Some("fast"), Some("fast")), (Some("gone"), None)] {
            let spec =
                CdiConfigSpec { scratch_space_storage_class: said.map(str::to_owned), ..CdiConfigSpec::default() };
            let found = status(&spec, &observed(&["fast"])).scratch_space_storage_class;
            assert_eq!(found.as_deref(), expected, "{said:?}");
        }
    }

    #[test]
    fn what_is_said_wins_over_what_is_found() {
        let proxy = |address: &str| ImportProxy { http_proxy: Some(address.into()), ..ImportProxy::default() };
        let mut observed = observed(&[]);
        observed.upload_hosts = vec!["up.example".into(), "other.example".into()];
        observed.cluster_proxy = Some(proxy("http://cluster:3128"));
        let found = status(&CdiConfigSpec::default(), &observed);
        assert_eq!(found.upload_proxy_url.as_deref(), Some("up.example"));
        assert_eq!(found.import_proxy, Some(proxy("http://cluster:3128")));

        let spec = CdiConfigSpec {
            upload_proxy_url_override: Some("https://mine.example".into()),
            import_proxy: Some(proxy("http://mine:3128")),
            preallocation: Some(true),
            image_pull_secrets: vec![LocalObjectReference { name: "registry".into() }],
            ..CdiConfigSpec::default()
        };
        let found = status(&spec, &observed);
        assert_eq!(found.upload_proxy_url.as_deref(), Some("https://mine.example"));
        assert_eq!(found.import_proxy, Some(proxy("http://mine:3128")));
        assert_eq!((found.preallocation, found.image_pull_secrets), (Some(true), spec.image_pull_secrets));
    }
}
