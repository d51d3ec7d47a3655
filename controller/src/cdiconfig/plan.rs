//! What has to be written so that the CDIConfig says what holds.

use kube::ResourceExt;
use serde_json::{Map, Value, json};

use super::observe::Observed;
use super::{build, difference, status};

/// What is to be written.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Plan {
    /// Merge patch of the CDIConfig.
    pub(crate) change: Option<Value>,
    /// Certificates that importers are to find, before the status says where.
    pub(crate) authorities: Option<String>,
}

/// What is to be written for what was observed.
pub(crate) fn plan(observed: &Observed) -> Plan {
    let config = observed.config.as_ref();
    if config.metadata.deletion_timestamp.is_some() {
        return Plan::default();
    }
    let spec = observed.authority.as_ref().unwrap_or(&config.spec);
    let labels: Map<String, Value> = build::labels(&observed.labels)
        .into_iter()
        .filter(|(key, value)| config.labels().get(key) != Some(value))
        .map(|(key, value)| (key, Value::String(value)))
        .collect();
    let parts = [
        ("metadata", (!labels.is_empty()).then(|| json!({"labels": labels}))),
        ("spec", difference::between(&config.spec, spec)),
        ("status", difference::between(&config.status, &Some(status::status(spec, observed)))),
    ];
    let change: Map<String, Value> =
        parts.into_iter().filter_map(|(part, change)| Some((part.to_owned(), change?))).collect();
    let is_clusters = spec.import_proxy.is_none() && observed.cluster_proxy.is_some();
    Plan {
        change: (!change.is_empty()).then_some(Value::Object(change)),
        authorities: observed.authorities.clone().filter(|_| is_clusters),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::sync::Arc;

    use api::cdi::{CdiConfig, CdiConfigSpec, ImportProxy};
    use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

    use super::*;

    /// A CDIConfig as it begins, with its status, and one class.
    fn settled() -> Observed {
        let labels = BTreeMap::from([("app".to_owned(), "containerized-data-importer".to_owned())]);
        let mut observed = Observed {
            config: Arc::new(build::config(&labels)),
            authority: None,
            classes: vec!["fast".into()],
            upload_hosts: Vec::new(),
            cluster_proxy: None,
            authorities: None,
            labels,
        };
        let mut config = build::config(&observed.labels);
        config.status = Some(status::status(&config.spec, &observed));
        observed.config = Arc::new(config);
        observed
    }

    fn changed(change: impl FnOnce(&mut CdiConfig)) -> Observed {
        let settled = settled();
        let mut config = settled.config.as_ref().clone();
        change(&mut config);
        Observed { config: Arc::new(config), ..settled }
    }

    #[test]
    fn a_config_that_says_what_holds_is_not_written_again() {
        assert_eq!(plan(&settled()), Plan::default());
    }

    #[test]
    fn a_config_begins_with_the_gate_that_releases_of_cdi_open() {
        assert_eq!(settled().config.spec.feature_gates, ["HonorWaitForFirstConsumer"]);
    }

    #[test]
    fn the_settings_of_a_cdi_object_that_rules_replace_edits() {
        let edited = changed(|config| config.spec.log_verbosity = Some(3));
        assert_eq!(plan(&edited), Plan::default(), "nobody rules");

        let authority = Some(CdiConfigSpec { preallocation: Some(true), ..CdiConfigSpec::default() });
        let ruled = Observed { authority, ..edited };
        let expected = json!({
            "spec": {"featureGates": null, "logVerbosity": null, "preallocation": true},
            "status": {"preallocation": true}
        });
        assert_eq!(plan(&ruled).change, Some(expected));
    }

    #[test]
    fn only_what_differs_is_written_and_what_no_longer_holds_goes() {
        let more = Observed { classes: vec!["fast".into(), "slow".into()], ..settled() };
        let expected = json!({"status": {"filesystemOverhead": {"storageClass": {"slow": "0.06"}}}});
        assert_eq!(plan(&more).change, Some(expected));

        let fewer = Observed { classes: vec![], ..settled() };
        let expected = json!({"status": {"filesystemOverhead": {"storageClass": null}}});
        assert_eq!(plan(&fewer).change, Some(expected));

        let unlabelled = changed(|config| config.labels_mut().clear());
        let expected = json!({"metadata": {"labels": {"app": "containerized-data-importer", "cdi.kubevirt.io": ""}}});
        assert_eq!(plan(&unlabelled).change, Some(expected));
    }

    #[test]
    fn authorities_of_the_clusters_proxy_are_kept_while_that_is_used() {
        let of_cluster = ImportProxy { http_proxy: Some("http://cluster".into()), ..ImportProxy::default() };
        for (set, cluster_proxy, kept) in
            [(false, Some(of_cluster.clone()), true), (true, Some(of_cluster.clone()), false), (false, None, false)]
        {
            let seen = changed(|config| config.spec.import_proxy = set.then(|| of_cluster.clone()));
            let plan = plan(&Observed { cluster_proxy, authorities: Some("a certificate".into()), ..seen });
            assert_eq!(plan.authorities.is_some(), kept, "{set}");
        }
    }

    #[test]
    fn a_config_that_is_being_deleted_is_left_alone() {
        let going = changed(|config| {
            config.status = None;
            config.metadata.deletion_timestamp = Some(Time(jiff::Timestamp::UNIX_EPOCH));
        });
        assert_eq!(plan(&going), Plan::default());
    }
}
