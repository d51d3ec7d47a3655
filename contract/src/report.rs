//! What a finished import says about itself, printed by `gantry import --json`.

use serde::Serialize;

/// Version of every JSON document printed by `gantry`. A field is added under the same version, never changed.
pub const SCHEMA: &str = "gantry.dev/v1";

/// Result of one import. Sizes are in bytes, times in seconds.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ImportReport {
    /// Always [`SCHEMA`].
    pub schema: &'static str,
    /// Target path as given.
    pub target: String,
    /// Name of the disk in the archive that the source is, if it is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub member: Option<String>,
    /// Disk format of the source: `raw`, `iso`, `qcow2` ...
    pub format: &'static str,
    /// Compression around the source: `gzip`, `zstd`, or nothing.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub compression: Option<&'static str>,
    /// Route taken: `mapped`, `hashed` or `streamed`.
    pub route: &'static str,
    /// Size of the disk a guest sees.
    pub virtual_size: u64,
    /// Content fingerprint, `gantry1:SIZE:ROOT`.
    pub fingerprint: String,
    /// Number of this attempt at the same import, from 1.
    pub attempt: u32,
    /// The checksum that was asked for, and what it matched.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub checksum: Option<ChecksumReport>,
    /// Bytes fetched from the source by this attempt, tables included.
    pub fetched: u64,
    /// Bytes written to the target by this attempt.
    pub written: u64,
    /// Bytes that an earlier attempt had already made durable.
    pub resumed: u64,
    /// Wall time of this attempt.
    pub seconds: f64,
    /// The stage that limited the speed.
    pub bottleneck: &'static str,
    /// Busy and waiting time of each stage.
    pub stages: Vec<StageReport>,
    /// What a careful user should know, in full sentences.
    pub warnings: Vec<String>,
}

/// Result of unpacking one archive. Sizes are in bytes, times in seconds.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ArchiveReport {
    /// Always [`SCHEMA`].
    pub schema: &'static str,
    /// Target directory as given.
    pub target: String,
    /// Compression around the archive, or nothing.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub compression: Option<&'static str>,
    /// Headers of the archive.
    pub members: u64,
    /// Bytes of all files.
    pub bytes: u64,
    /// The checksum that was asked for, and what it matched.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub checksum: Option<ChecksumReport>,
    /// Bytes fetched from the source.
    pub fetched: u64,
    /// Wall time.
    pub seconds: f64,
    /// What a careful user should know, in full sentences.
    pub warnings: Vec<String>,
}

/// One stage's share of the wall time, summed over its threads.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct StageReport {
    /// `fetch`, `decompress`, `decode`, `write`, `sync` ...
    pub name: &'static str,
    /// Threads of this stage.
    pub threads: usize,
    /// Seconds at work.
    pub busy: f64,
    /// Seconds waiting for another stage.
    pub waiting: f64,
}

/// A verified checksum.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ChecksumReport {
    /// `sha256:…` as given, in lower case.
    pub expected: String,
    /// What the digest turned out to be of.
    pub matched: Checked,
}

/// What a given digest covers; publishers give any of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Checked {
    /// The file as downloaded.
    File,
    /// The stream inside the file's compression.
    Decompressed,
    /// The member of an archive that is the disk image, as its manifest has it.
    Member,
    /// The raw disk.
    Disk,
}

impl Checked {
    /// The name in messages, and in the report.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::File => "file",
            Self::Decompressed => "decompressed",
            Self::Member => "member",
            Self::Disk => "disk",
        }
    }
}
