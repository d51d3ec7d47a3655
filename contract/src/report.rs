//! What an import says about itself, printed by `gantry import --json`, `--explain` and `gantry inspect`; what the decoding
//! process tells the process that started it.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};

/// A word of a fixed list.
pub type Word = Cow<'static, str>;

/// Version of every JSON document printed by `gantry`. A field is added under the same version, never changed.
pub const SCHEMA: &str = "gantry.dev/v1";

/// Result of one import. Sizes are in bytes, times in seconds.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ImportReport {
    /// Always [`SCHEMA`].
    pub schema: Word,
    /// Target path as given.
    pub target: String,
    /// Name of the disk in the archive that the source is, if it is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub member: Option<String>,
    /// Disk format of the source: `raw`, `iso`, `qcow2` ...
    pub format: Word,
    /// Compression around the source: `gzip`, `zstd`, or nothing.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub compression: Option<Word>,
    /// Route taken: `mapped`, `hashed` or `streamed`.
    pub route: Word,
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
    pub bottleneck: Word,
    /// Busy and waiting time of each stage.
    pub stages: Vec<StageReport>,
    /// What a careful user should know, in full sentences.
    pub warnings: Vec<String>,
}

/// Result of unpacking one archive. Sizes are in bytes, times in seconds.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ArchiveReport {
    /// Always [`SCHEMA`].
    pub schema: Word,
    /// Target directory as given.
    pub target: String,
    /// Compression around the archive, or nothing.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub compression: Option<Word>,
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
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct StageReport {
    /// `fetch`, `decompress`, `decode`, `write`, `sync` ...
    pub name: Word,
    /// Threads of this stage.
    pub threads: usize,
    /// Seconds at work.
    pub busy: f64,
    /// Seconds waiting for another stage.
    pub waiting: f64,
}

/// A verified checksum.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ChecksumReport {
    /// `sha256:…` as given, in lower case.
    pub expected: String,
    /// Where the digest was taken from, if from a list.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub from: Option<String>,
    /// What the digest turned out to be of.
    pub matched: Checked,
}

/// What a given digest covers; publishers give any of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
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

/// What an import would do. Sizes are in bytes; what only decoding would tell is `None`.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Explanation {
    /// Always [`SCHEMA`].
    pub schema: Word,
    /// The source as messages name it.
    pub source: String,
    /// Name of the disk in the archive that the source is, if it is one.
    pub member: Option<String>,
    /// Length of the file.
    pub length: Option<u64>,
    /// How the source is reached, without secrets.
    pub access: Vec<String>,
    /// Disk format of the source.
    pub format: Word,
    /// Compression around the source.
    pub compression: Option<Word>,
    /// Size of the disk a guest sees.
    pub virtual_size: Option<u64>,
    /// Route that would be taken.
    pub route: Word,
    /// Why, as half a sentence.
    pub because: Word,
    /// Connections to the source at once.
    pub connections: usize,
    /// What would be fetched.
    pub fetch: Option<u64>,
    /// What would be written at most; zeros inside it are left out.
    pub write: Option<u64>,
    /// What the target is.
    pub target: Word,
    /// What the target can take.
    pub room: u64,
    /// The checksum that a list gave for the source.
    pub checksum: Option<Listed>,
    /// Whether an interrupted import could go on.
    pub resumable: bool,
    /// What a careful user should know, in full sentences.
    pub warnings: Vec<String>,
}

/// A checksum and where it was taken from.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Listed {
    /// `sha256:…`, in lower case.
    pub expected: String,
    /// The list, and the line in it.
    pub from: String,
}

/// What an image is. Sizes are in bytes; what only decoding would tell is `None`.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Inspection {
    /// Always [`SCHEMA`].
    pub schema: Word,
    /// The source as messages name it.
    pub source: String,
    /// Name of the disk in the archive that the source is, if it is one.
    pub member: Option<String>,
    /// Disk format.
    pub format: Word,
    /// Compression around it.
    pub compression: Option<Word>,
    /// Length of the file.
    pub file_length: Option<u64>,
    /// Size of the disk a guest sees.
    pub virtual_size: Option<u64>,
    /// Disk bytes that are not known to be zero.
    pub allocated: Option<u64>,
    /// Bytes of the file that hold them.
    pub stored: Option<u64>,
    /// Of `allocated`, bytes that are compressed inside the image.
    pub compressed: Option<u64>,
    /// What a qcow2 header says.
    pub qcow2: Option<Qcow2>,
    /// What a careful user should know before importing, in full sentences.
    pub risks: Vec<String>,
}

/// The disks in an archive that holds several.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Disks {
    /// Always [`SCHEMA`].
    pub schema: Word,
    /// The archive as messages name it.
    pub source: String,
    /// The disks, in the archive's order.
    pub disks: Vec<Member>,
}

/// A disk in an archive.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Member {
    /// The member's name, as `--disk` takes it.
    pub member: String,
    /// Bytes of the image file, where the archive says it beforehand.
    pub file_length: Option<u64>,
}

/// Facts of a qcow2 header (QEMU, docs/interop/qcow2.rst).
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Qcow2 {
    /// 2 or 3.
    pub version: u32,
    /// Bytes of a cluster.
    pub cluster_size: u64,
    /// `zlib` or `zstd`.
    pub compression_type: Word,
    /// Clusters have 32 subclusters.
    pub extended_l2: bool,
    /// Reference counts may be out of date.
    pub lazy_refcounts: bool,
    /// The image was not closed cleanly.
    pub dirty: bool,
    /// The image is marked corrupt.
    pub corrupt: bool,
    /// Bits of a reference count.
    pub refcount_bits: u32,
    /// Internal snapshots.
    pub snapshots: u32,
    /// Persistent dirty bitmaps.
    pub bitmaps: u32,
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
