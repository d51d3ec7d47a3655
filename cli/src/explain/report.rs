//! What is said of one DataVolume: an object for `--json`, the same that people read as lines.

use contract::Failure;
use serde::Serialize;
use serde_json::Value;

/// Everything about one DataVolume, in the order in which it would happen.
#[derive(Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Report {
    pub(super) namespace: String,
    pub(super) name: String,
    /// What the API server and its webhooks say of the DataVolume.
    pub(super) admission: Verdict,
    pub(super) source: Option<Source>,
    pub(super) class: Option<Class>,
    pub(super) claim: Option<Claim>,
    pub(super) way: Option<Way>,
    /// The claim that is filled in the other's place.
    pub(super) prime_claim: Option<PrimeClaim>,
    pub(super) start: Option<Start>,
    pub(super) pod: Option<Pod>,
    pub(super) quotas: Vec<Quota>,
    pub(super) limits: Vec<String>,
    pub(super) credentials: Vec<Credential>,
    pub(super) capacity: Option<Capacity>,
    /// What keeps it from coming to its end; the first decides the exit code.
    #[serde(serialize_with = "refusals")]
    pub(super) refusals: Vec<Failure>,
    /// What could not be looked at, and what else a careful user should know.
    pub(super) notes: Vec<String>,
}

fn refusals<S: serde::Serializer>(failures: &[Failure], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_seq(failures.iter().map(Failure::report))
}

/// What somebody answers.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Verdict {
    pub(super) answer: Word,
    /// In its own words.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) message: Option<String>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) enum Word {
    Accepted,
    Refused,
    #[default]
    Unknown,
}

impl Verdict {
    pub(super) fn accepted() -> Self {
        Self { answer: Word::Accepted, message: None }
    }

    pub(super) fn refused(message: impl Into<String>) -> Self {
        Self { answer: Word::Refused, message: Some(message.into()) }
    }

    pub(super) fn unknown(message: impl Into<String>) -> Self {
        Self { answer: Word::Unknown, message: Some(message.into()) }
    }
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Source {
    pub(super) kind: &'static str,
    /// Without user, password and query.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) address: Option<String>,
    /// What the source policy says of the host.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) policy: Option<Verdict>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Class {
    pub(super) name: String,
    /// `named`, `default` or `defaultForMachines`.
    pub(super) chosen: &'static str,
    pub(super) because: &'static str,
    pub(super) provisioner: String,
    pub(super) binding_mode: String,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Claim {
    pub(super) name: String,
    pub(super) size: Option<u64>,
    pub(super) size_because: String,
    pub(super) volume_mode: String,
    pub(super) volume_mode_because: String,
    pub(super) access_modes: Vec<String>,
    pub(super) access_modes_because: String,
    pub(super) verdict: Verdict,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Way {
    /// `populator`, `direct`, `empty` or `external`.
    pub(super) name: &'static str,
    pub(super) how: &'static str,
    pub(super) because: &'static str,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct PrimeClaim {
    /// With `UID` for the uid of the claim, which nobody knows yet.
    pub(super) name: String,
    pub(super) size: Option<u64>,
    pub(super) verdict: Verdict,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Start {
    /// `now`, `bound`, `consumer` or `class`: what is waited for.
    pub(super) at: &'static str,
    pub(super) when: &'static str,
    pub(super) because: &'static str,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Pod {
    /// With `UID` for the uid of the claim, which nobody knows yet.
    pub(super) name: String,
    /// Nothing where the installation cannot be read.
    pub(super) image: Option<String>,
    pub(super) service_account: String,
    pub(super) priority_class: Option<String>,
    /// After the namespace's limits, where the API server could be asked.
    pub(super) resources: Value,
    pub(super) node_selector: Option<Value>,
    pub(super) tolerations: Option<Value>,
    pub(super) pull_secrets: Vec<String>,
    pub(super) verdict: Verdict,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Quota {
    pub(super) name: String,
    pub(super) items: Vec<QuotaItem>,
    /// It holds only for pods in its scopes, of which the API server's answer is the judge.
    pub(super) scoped: bool,
}

#[derive(Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct QuotaItem {
    pub(super) resource: String,
    pub(super) hard: String,
    pub(super) used: String,
    pub(super) needed: String,
    pub(super) fits: bool,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Credential {
    pub(super) kind: &'static str,
    pub(super) name: String,
    /// Keys that are read; all of them where none is named.
    pub(super) keys: Vec<String>,
    pub(super) purpose: &'static str,
    pub(super) verdict: Verdict,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Capacity {
    /// The most that one volume can have, as the driver publishes it; nothing if it publishes none.
    pub(super) largest: Option<u64>,
    pub(super) verdict: Verdict,
}
