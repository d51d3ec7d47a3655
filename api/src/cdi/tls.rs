//! Which versions and ciphers of TLS are taken.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Versions and ciphers of TLS, as one of four profiles.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct TlsSecurityProfile {
    /// Which profile holds; `Intermediate` is the default.
    #[serde(rename = "type", skip_serializing_if = "Option::is_none")]
    #[schemars(extend("enum" = ["Old", "Intermediate", "Modern", "Custom"]))]
    pub type_: Option<String>,
    /// For very old clients, from TLS 1.0.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(extend("nullable" = true))]
    pub old: Option<FixedTlsProfile>,
    /// For clients of the last years, from TLS 1.2.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(extend("nullable" = true))]
    pub intermediate: Option<FixedTlsProfile>,
    /// For clients that all know TLS 1.3.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(extend("nullable" = true))]
    pub modern: Option<FixedTlsProfile>,
    /// A choice of one's own.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(extend("nullable" = true))]
    pub custom: Option<CustomTlsProfile>,
}

/// A profile that has nothing to set.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(default)]
pub struct FixedTlsProfile {}

/// A choice of versions and ciphers of TLS.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct CustomTlsProfile {
    /// Cipher suites by OpenSSL's names.
    pub ciphers: Vec<String>,
    /// Oldest version that is taken.
    #[serde(rename = "minTLSVersion")]
    #[schemars(extend("enum" = ["VersionTLS10", "VersionTLS11", "VersionTLS12", "VersionTLS13"]))]
    pub min_tls_version: String,
}
