//! The state file of a volume or snapshot: a line that says what it is and checks the rest, then JSON.
//!
//! ```text
//! gantry-volume 1 crc32:1c291ca3
//! {
//!   "id": "vol-…",
//! ```
//! An unknown format number is refused, never guessed at.

use std::fs;
use std::path::Path;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::durable;
use crate::error::Error;
use crate::id::{Identifier, Name, SnapshotId, VolumeId};

/// Format of the state files and of the pool's folder.
pub(crate) const FORMAT: u32 = 1;

/// Far more than a record takes.
const LARGEST: u64 = 64 << 10;

/// A file system that Gantry makes on a volume.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum FileSystem {
    /// By mkfs.ext4.
    Ext4,
}

/// What a volume began as.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Source {
    /// A snapshot's content.
    Snapshot(SnapshotId),
    /// Another volume's content at that moment.
    Volume(VolumeId),
}

/// A volume.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Volume {
    /// Its identifier.
    pub id: VolumeId,
    /// The name it was made under.
    pub name: Name,
    /// Bytes promised to its user; the length of its disk.
    pub size: u64,
    /// The disk's length before it was last grown. A disk that still has it was not grown to the end, and is when the pool is
    /// opened; any other length is damage.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub grown_from: Option<u64>,
    /// The file system that was made on it or came with its source; nothing on a block volume.
    pub file_system: Option<FileSystem>,
    /// What it began as; nothing for a blank one.
    pub source: Option<Source>,
    /// Nanoseconds since 1970.
    pub created: u64,
}

/// A snapshot. It never changes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Snapshot {
    /// Its identifier.
    pub id: SnapshotId,
    /// The name it was made under.
    pub name: Name,
    /// The volume it was taken of, which may be gone.
    pub volume: VolumeId,
    /// Bytes of the volume's disk at that moment.
    pub size: u64,
    /// Bytes allocated at that moment: what the snapshot may come to hold alone, and so what the pool promises it.
    pub allocated: u64,
    /// As of the volume.
    pub file_system: Option<FileSystem>,
    /// Nanoseconds since 1970.
    pub created: u64,
}

/// What volumes and snapshots have in common.
pub(crate) trait Record: Clone + Serialize + DeserializeOwned {
    /// Its identifier's type.
    type Id: Identifier;
    /// The first word of its state file.
    const MAGIC: &'static str;

    fn id(&self) -> &Self::Id;
    fn name(&self) -> &Name;
    /// Bytes that the pool promises it.
    fn promised(&self) -> u64;
    /// Length of its disk.
    fn size(&self) -> u64;
    /// Another length that its disk may have, because a growth was cut short.
    fn grown_from(&self) -> Option<u64>;
}

impl Record for Volume {
    type Id = VolumeId;
    const MAGIC: &'static str = "gantry-volume";

    fn id(&self) -> &VolumeId {
        &self.id
    }
    fn name(&self) -> &Name {
        &self.name
    }
    fn promised(&self) -> u64 {
        self.size
    }
    fn size(&self) -> u64 {
        self.size
    }
    fn grown_from(&self) -> Option<u64> {
        self.grown_from
    }
}

impl Record for Snapshot {
    type Id = SnapshotId;
    const MAGIC: &'static str = "gantry-snapshot";

    fn id(&self) -> &SnapshotId {
        &self.id
    }
    fn name(&self) -> &Name {
        &self.name
    }
    fn promised(&self) -> u64 {
        self.allocated
    }
    fn size(&self) -> u64 {
        self.size
    }
    fn grown_from(&self) -> Option<u64> {
        None
    }
}

/// Writes `record` to `path`, durably and all at once.
pub(crate) fn write<R: Record>(path: &Path, record: &R) -> Result<(), Error> {
    durable::replace(path, &encode(R::MAGIC, record))
}

/// Reads a record.
pub(crate) fn read<R: Record>(path: &Path) -> Result<R, Error> {
    decode(R::MAGIC, &text(path)?).map_err(|why| Error::Damaged { path: path.to_owned(), why })
}

/// The text of a state file.
pub(crate) fn text(path: &Path) -> Result<String, Error> {
    let damaged = |why: String| Error::Damaged { path: path.to_owned(), why };
    let length = fs::metadata(path).map_err(|error| damaged(format!("cannot be read: {error}")))?.len();
    if length > LARGEST {
        return Err(damaged(format!("has {length} bytes and cannot be a state file")));
    }
    let bytes = fs::read(path).map_err(|error| damaged(format!("cannot be read: {error}")))?;
    String::from_utf8(bytes).map_err(|_| damaged("is not text".to_owned()))
}

/// `value` as a state file.
pub(crate) fn encode(magic: &str, value: &impl Serialize) -> String {
    let body = serde_json::to_string_pretty(value).expect("records have only text keys and plain values");
    format!("{magic} {FORMAT} crc32:{:08x}\n{body}\n", crc32fast::hash(body.as_bytes()))
}

/// Reads what [`encode`] has written, or says what is wrong with it.
pub(crate) fn decode<T: DeserializeOwned>(magic: &str, text: &str) -> Result<T, String> {
    let (head, body) = text.split_once('\n').ok_or("has no first line")?;
    let body = body.trim_end();
    let words: Vec<&str> = head.split(' ').collect();
    let [found, format, check] = words[..] else {
        return Err("does not begin as a state file".to_owned());
    };
    if found != magic {
        return Err(format!("begins with {found:?}, not {magic}"));
    }
    if format != FORMAT.to_string() {
        return Err(format!("is of format {format}; this version reads format {FORMAT}"));
    }
    if check != format!("crc32:{:08x}", crc32fast::hash(body.as_bytes())) {
        return Err("does not match its check value".to_owned());
    }
    serde_json::from_str(body).map_err(|error| format!("cannot be understood: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn volume() -> Volume {
        let name = Name::new("pvc-1").unwrap();
        Volume {
            id: VolumeId::generate(&name).unwrap(),
            name,
            size: 1 << 30,
            grown_from: None,
            file_system: Some(FileSystem::Ext4),
            source: None,
            created: 7,
        }
    }

    #[test]
    fn a_record_is_read_back() {
        let volume = volume();
        assert_eq!(decode::<Volume>(Volume::MAGIC, &encode(Volume::MAGIC, &volume)).unwrap(), volume);
    }

    #[test]
    fn any_changed_byte_is_noticed() {
        let text = encode(Volume::MAGIC, &volume());
        for at in 0..text.len() - 1 {
            let mut bytes = text.clone().into_bytes();
            bytes[at] ^= 1;
            let Ok(changed) = String::from_utf8(bytes) else { continue };
            assert!(decode::<Volume>(Volume::MAGIC, &changed).is_err(), "byte {at}");
        }
        assert!(decode::<Volume>(Volume::MAGIC, "").is_err());
        assert!(decode::<Volume>(Volume::MAGIC, &text[..text.len() / 2]).is_err());
    }

    #[test]
    fn a_newer_format_is_refused_by_its_number() {
        let text = encode(Volume::MAGIC, &volume()).replacen(" 1 ", " 2 ", 1);
        let why = decode::<Volume>(Volume::MAGIC, &text).unwrap_err();
        assert!(why.contains("format 2"), "{why}");
        let why = decode::<Volume>(Volume::MAGIC, &encode(Snapshot::MAGIC, &volume())).unwrap_err();
        assert!(why.contains("gantry-snapshot"), "{why}");
    }
}
