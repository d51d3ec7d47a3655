//! Our additions to CDI's kinds; each is listed in `docs/api-extensions.md`.

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What the worker of a DataVolume does, how fast, and what went wrong.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct GantryStatus {
    /// What is being done at the moment.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub step: Option<String>,
    /// Number of the attempt, from 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub attempt: Option<i64>,
    /// Bytes that are on stable storage.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bytes_done: Option<i64>,
    /// Bytes that there are to write, as far as they are known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bytes_total: Option<i64>,
    /// Bytes written in a second, at the moment.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bytes_per_second: Option<i64>,
    /// Seconds that are left at this rate.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub eta_seconds: Option<i64>,
    /// Fingerprint of the finished content, `gantry1:SIZE:ROOT`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fingerprint: Option<String>,
    /// What went wrong last.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_error: Option<GantryError>,
}

/// Why an attempt failed, and what helps.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct GantryError {
    /// Stable name of the error, for programs.
    pub code: String,
    /// What happened.
    pub cause: String,
    /// What to do about it.
    pub remedy: String,
    /// Whether it is tried again without anybody doing anything.
    pub retried: bool,
    /// When it happened.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub time: Option<Time>,
}

/// Settings that CDI does not have.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct GantryConfig {
    /// Addresses that imports may reach.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub source_policy: Option<SourcePolicy>,
    /// Addresses that imports may reach in namespaces that are named here, in place of `sourcePolicy`.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub namespace_source_policies: BTreeMap<String, SourcePolicy>,
}

impl GantryConfig {
    /// The one policy that is in force in a namespace; none where only what is always closed is closed.
    #[must_use]
    pub fn source_policy_in(&self, namespace: &str) -> Option<&SourcePolicy> {
        self.namespace_source_policies.get(namespace).or(self.source_policy.as_ref())
    }
}

/// Addresses that imports may reach, checked after name resolution and on every redirect.
///
/// Link-local and metadata addresses are refused in any case, unless `allow` names them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct SourcePolicy {
    /// Whether private networks are refused.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub deny_private: Option<bool>,
    /// Networks in CIDR notation that are allowed whatever else is said.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "crate::crd::networks")]
    pub allow: Vec<String>,
    /// Networks in CIDR notation that are refused.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "crate::crd::networks")]
    pub deny: Vec<String>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_namespace_of_its_own_policy_has_nothing_of_the_installations() {
        let policy = |deny: &str| SourcePolicy { deny: vec![deny.to_owned()], ..SourcePolicy::default() };
        let config = GantryConfig {
            source_policy: Some(SourcePolicy { deny_private: Some(true), ..policy("192.0.2.0/24") }),
            namespace_source_policies: [("team".to_owned(), policy("198.51.100.0/24"))].into(),
        };
        assert_eq!(config.source_policy_in("team"), Some(&policy("198.51.100.0/24")));
        assert_eq!(config.source_policy_in("other"), config.source_policy.as_ref());
        assert_eq!(GantryConfig::default().source_policy_in("team"), None);
    }
}
