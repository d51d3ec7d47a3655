//! What an importer pod is promised and promises: environment, mounts, termination message, progress metric.
//!
//! Names, paths and formats are CDI's (`docs/compatibility.md`), so a controller of either product can run a pod of the
//! other. Additions of our own are the field `fingerprint` and the page [`WORKER`].

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::{Code, Word};

/// Environment of an importer pod (CDI: `pkg/common`).
pub mod environment {
    /// `http`, `none`; other sources are refused by name.
    pub const SOURCE: &str = "IMPORTER_SOURCE";
    /// Address of the source.
    pub const ENDPOINT: &str = "IMPORTER_ENDPOINT";
    /// `kubevirt` (a disk image) or `archive` (a tar file).
    pub const CONTENT_TYPE: &str = "IMPORTER_CONTENTTYPE";
    /// Size that the claim asks for, a Kubernetes quantity.
    pub const IMAGE_SIZE: &str = "IMPORTER_IMAGE_SIZE";
    /// Uid of the claim or of its owner: label of the metric, identity of the volume.
    pub const OWNER_UID: &str = "OWNER_UID";
    /// Share of a file system that is kept for itself, such as `0.06`.
    pub const FILESYSTEM_OVERHEAD: &str = "FILESYSTEM_OVERHEAD";
    /// `true` or `false`.
    pub const PREALLOCATION: &str = "PREALLOCATION";
    /// User for basic authentication.
    pub const ACCESS_KEY_ID: &str = "IMPORTER_ACCESS_KEY_ID";
    /// Password for basic authentication.
    pub const SECRET_KEY: &str = "IMPORTER_SECRET_KEY";
    /// `true`: accept any certificate.
    pub const INSECURE_TLS: &str = "INSECURE_TLS";
    /// Directory of certificates to trust.
    pub const CERT_DIR: &str = "IMPORTER_CERT_DIR";
    /// Directory of certificates to trust where a proxy replaces the server's.
    pub const PROXY_CERT_DIR: &str = "IMPORTER_PROXY_CERT_DIR";
    /// With a number behind it: one header, `Name: value`.
    pub const EXTRA_HEADER: &str = "IMPORTER_EXTRA_HEADER_";
    /// Digest to verify, `algo:hex`.
    pub const CHECKSUM: &str = "IMPORTER_CHECKSUM";
    /// Networks that no source may be in, separated by commas; `private` stands for all private ones. An addition of our own.
    pub const SOURCE_DENY: &str = "GANTRY_SOURCE_DENY";
    /// Networks that a source may be in, whatever else is closed. An addition of our own.
    pub const SOURCE_ALLOW: &str = "GANTRY_SOURCE_ALLOW";
    /// `true`: the device may have been used, and an empty disk on it is made empty. An addition of our own.
    pub const USED_VOLUME: &str = "GANTRY_USED_VOLUME";
    /// `TRYNONE`: keep the page cache out of the way.
    pub const CACHE_MODE: &str = "CACHE_MODE";
}

/// Paths in an importer pod.
pub mod path {
    /// File system volume.
    pub const DATA: &str = "/data";
    /// The disk in it.
    pub const DISK: &str = "/data/disk.img";
    /// Block volume.
    pub const DEVICE: &str = "/dev/cdi-block-volume";
    /// Scratch space, where a pod has some.
    pub const SCRATCH: &str = "/scratch";
    /// Directories 0, 1, 2 ..., each with files of one secret header.
    pub const SECRET_HEADERS: &str = "/extraheaders";
    /// Where the last words go.
    pub const TERMINATION_LOG: &str = "/dev/termination-log";
}

/// Port of the metrics, HTTPS with a certificate made for the occasion.
pub const METRICS_PORT: u16 = 8443;
/// Page of the metrics.
pub const METRICS: &str = "/metrics";
/// Page of one [`Worker`] record as JSON.
pub const WORKER: &str = "/gantry.dev/v1/worker";
/// Percentage done, by label `ownerUID`.
pub const PROGRESS_METRIC: &str = "kubevirt_cdi_import_progress_total";

/// Bytes that the kubelet keeps of a termination message.
pub const TERMINATION_LIMIT: usize = 4096;
/// Message of an import that is done.
pub const IMPORT_COMPLETE: &str = "Import Complete";

/// Last words of a pod that exits with 0, as JSON. Absent fields stand for CDI's zero values.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Termination {
    /// Space was reserved before data arrived.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub preallocation_applied: Option<bool>,
    /// Labels for the claim.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
    /// What happened, for people; a controller looks for `checksum mismatch` in it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
    /// Content fingerprint of the disk, `gantry1:SIZE:ROOT`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fingerprint: Option<String>,
}

/// A worker's state, served while it lives. Sizes are in bytes, times in seconds.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Worker {
    /// Always [`SCHEMA`](crate::SCHEMA).
    pub schema: Word,
    /// `opening`, `preparing`, `importing`, `checking`, `finishing`.
    pub step: Word,
    /// Number of the attempt, from 1; 0 while it is not known.
    pub attempt: u32,
    /// How far, in the unit of `total`.
    pub at: u64,
    /// Length of the way; 0 while it is not known.
    pub total: u64,
    /// Bytes fetched so far.
    pub fetched: u64,
    /// Bytes written so far.
    pub written: u64,
    /// Bytes fetched per second since the beginning.
    pub rate: f64,
    /// Seconds left at this rate, where the end is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub eta: Option<f64>,
    /// The last trouble, and whether it was got over by trying again.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_error: Option<LastError>,
}

/// Trouble of a worker.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct LastError {
    /// Stable code, see `docs/errors.md`.
    pub code: Word,
    /// What went wrong.
    pub cause: String,
    /// What to do about it.
    pub remedy: String,
    /// Whether it is being tried again without anybody's help.
    pub retried: bool,
}

/// Last words of a pod that exits with anything but 0: one line for people, from which a controller takes the parts back.
///
/// ```text
/// WORDS [CODE]; REMEDY
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FailureWords {
    /// What happened, in CDI's words.
    pub words: String,
    /// Stable code, see `docs/errors.md`.
    pub code: Code,
    /// What to do about it.
    pub remedy: String,
}

impl FailureWords {
    /// Takes the parts from the line; nothing if it is not one of ours.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let (words, rest) = text.rsplit_once(" [")?;
        let (code, remedy) = rest.split_once("]; ")?;
        let code = Code::ALL.iter().copied().find(|known| known.name() == code)?;
        Some(Self { words: words.to_owned(), code, remedy: remedy.to_owned() })
    }
}

impl std::fmt::Display for FailureWords {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} [{}]; {}", self.words, self.code.name(), self.remedy)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_parts_of_a_failure_come_back_out_of_its_line() {
        let words = FailureWords {
            words: "Unable to connect to http data source: 404 [of many]".into(),
            code: Code::SourceNotFound,
            remedy: "check the address or the path".into(),
        };
        assert_eq!(FailureWords::parse(&words.to_string()), Some(words));
        assert_eq!(FailureWords::parse("panicked [here]; no"), None);
        assert_eq!(FailureWords::parse(""), None);
    }

    #[test]
    fn what_is_not_known_is_left_out_of_the_last_words() {
        let words = Termination { message: Some(IMPORT_COMPLETE.into()), ..Termination::default() };
        assert_eq!(serde_json::to_string(&words).unwrap(), r#"{"message":"Import Complete"}"#);
    }
}
