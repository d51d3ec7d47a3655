//! The descriptor: text that says what kind of disk this is and in which files its extents lie.
//!
//! ```text
//! # Disk DescriptorFile
//! version=1
//! CID=123a456b                                identity of the content
//! parentCID=ffffffff                          no parent
//! createType="streamOptimized"
//! RW 4192256 SPARSE "disk.vmdk"               access, sectors, kind, file, and for flat extents an offset
//! ddb.adapterType = "lsilogic"                the disk data base
//! ```
//!
//! Only what decides whether the file is a whole disk is taken from it, and that strictly: a line that is neither comment,
//! extent nor assignment, or a key that is given twice, is refused. (qemu searches the text for some of the keys and
//! takes the first.) The name of a file is shown and never opened.

use std::str::FromStr;

use crate::field::quoted;
use crate::{Error, Kind};

/// The first line, in any case.
const TITLE: &[u8] = b"# disk descriptorfile";

/// Versions of the text; the keys that are read mean the same in all.
const VERSIONS: std::ops::RangeInclusive<u32> = 1..=4;

/// Longest word for the kind of an extent; the longest known is VMFSSPARSE.
const MAX_KIND: usize = 16;

/// `parentCID` of a disk without a parent.
const NO_PARENT: u32 = 0xffff_ffff;

/// `createType`: how the disk is made of files.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum CreateType {
    MonolithicSparse,
    StreamOptimized,
    /// One of those whose data is in other files or on a device.
    Elsewhere(&'static str),
}

impl CreateType {
    const ELSEWHERE: &[&str] = &[
        "monolithicFlat",
        "twoGbMaxExtentSparse",
        "twoGbMaxExtentFlat",
        "fullDevice",
        "partitionedDevice",
        "vmfs",
        "vmfsPreallocated",
        "vmfsEagerZeroedThick",
        "vmfsThin",
        "vmfsSparse",
        "vmfsRaw",
        "vmfsRDM",
        "vmfsRawDeviceMap",
        "vmfsPassthroughRawDeviceMap",
        "seSparse",
        "vsanSparse",
        "custom",
    ];

    /// The name as it is written.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::MonolithicSparse => "monolithicSparse",
            Self::StreamOptimized => "streamOptimized",
            Self::Elsewhere(name) => name,
        }
    }
}

impl FromStr for CreateType {
    type Err = ();

    fn from_str(name: &str) -> Result<Self, ()> {
        [Self::MonolithicSparse, Self::StreamOptimized]
            .into_iter()
            .chain(Self::ELSEWHERE.iter().copied().map(Self::Elsewhere))
            .find(|known| known.name().eq_ignore_ascii_case(name))
            .ok_or(())
    }
}

/// May the extent be read and written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Access {
    Allowed,
    None,
}

impl FromStr for Access {
    type Err = ();

    fn from_str(word: &str) -> Result<Self, ()> {
        match word {
            "RW" | "RDONLY" => Ok(Self::Allowed),
            "NOACCESS" => Ok(Self::None),
            _ => Err(()),
        }
    }
}

/// One line that describes an extent.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Extent {
    access: Access,
    sectors: u64,
    kind: String,
    /// Name of the file as it is written, quoted for a message.
    file: String,
    at: u64,
}

/// A descriptor of one file without a parent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Descriptor {
    pub(super) create_type: CreateType,
    extent: Extent,
}

impl Descriptor {
    /// Whether a file that begins with `head` is a descriptor.
    pub(super) fn begins(head: &[u8]) -> bool {
        head.get(..TITLE.len()).is_some_and(|title| title.eq_ignore_ascii_case(TITLE))
    }

    /// Reads the text that lies at host offset `at` and ends at the first zero byte, if there is one.
    ///
    /// # Errors
    /// It is malformed, or the disk is more than this file.
    pub(super) fn decode(text: &[u8], at: u64) -> Result<Self, Error> {
        let text = text.split(|byte| *byte == 0).next().unwrap_or_default();
        if !Self::begins(text) {
            let what = "the descriptor does not begin with \"# Disk DescriptorFile\"";
            return Err(Error::new(Kind::Malformed, what).at(at));
        }
        let mut lines = Lines { at, ..Lines::default() };
        let mut start = at;
        for line in text.split_inclusive(|byte| *byte == b'\n') {
            lines.take(line.trim_ascii(), start)?;
            start += line.len() as u64;
        }
        lines.check()
    }

    /// Refuses an extent of another size than the header's `capacity`, which may be rounded up to whole grains. Both count
    /// sectors.
    pub(super) fn check_size(&self, capacity: u64, grain: u64) -> Result<(), Error> {
        let said = self.extent.sectors;
        if said == capacity || said.checked_next_multiple_of(grain) == Some(capacity) {
            return Ok(());
        }
        let what = format!("the descriptor's extent has {said} sectors, capacity is {capacity} in the header");
        Err(Error::new(Kind::Malformed, what).at(self.extent.at))
    }

    /// The refusal of a descriptor that is a file of its own.
    pub(super) fn names_other_files(&self) -> Error {
        elsewhere(self.create_type.name(), &self.extent)
    }
}

/// What the lines have said so far.
#[derive(Default)]
struct Lines {
    at: u64,
    version: Option<String>,
    content: Option<String>,
    parent: Option<String>,
    parent_name: Option<String>,
    create_type: Option<String>,
    encrypted: Option<String>,
    extent: Option<Extent>,
    extents: usize,
}

impl Lines {
    fn take(&mut self, line: &[u8], at: u64) -> Result<(), Error> {
        let text = String::from_utf8_lossy(line);
        if text.is_empty() || text.starts_with('#') {
            return Ok(());
        }
        let (first, rest) = text.split_once(char::is_whitespace).unwrap_or((&text, ""));
        if let Ok(access) = first.parse() {
            self.extents += 1;
            let extent = Extent::decode(access, rest, at).ok_or_else(|| {
                Error::new(Kind::Malformed, format!("extent line {} is not understood", quoted(line))).at(at)
            })?;
            self.extent.get_or_insert(extent);
            return Ok(());
        }
        let Some((key, value)) = text.split_once('=') else {
            let what = format!("descriptor line {} is neither extent nor assignment", quoted(line));
            return Err(Error::new(Kind::Malformed, what).at(at));
        };
        self.assign(key.trim(), value.trim(), at)
    }

    fn assign(&mut self, key: &str, value: &str, at: u64) -> Result<(), Error> {
        let value = value.strip_prefix('"').and_then(|value| value.strip_suffix('"')).unwrap_or(value);
        let slot = match key.to_ascii_lowercase().as_str() {
            "version" => &mut self.version,
            "cid" => &mut self.content,
            "parentcid" => &mut self.parent,
            "parentfilenamehint" => &mut self.parent_name,
            "createtype" => &mut self.create_type,
            key if is_protection(key, value) => {
                self.encrypted.get_or_insert_with(|| key.to_owned());
                return Ok(());
            }
            _ => return Ok(()),
        };
        if slot.replace(value.to_owned()).is_some() {
            return Err(Error::new(Kind::Malformed, format!("the descriptor has {key} twice")).at(at));
        }
        Ok(())
    }

    fn check(self) -> Result<Descriptor, Error> {
        let at = self.at;
        let refused = |kind, what: String| Error::new(kind, what).at(at);
        let missing = |key: &str| refused(Kind::Malformed, format!("the descriptor has no {key}"));
        if let Some(key) = self.encrypted {
            let what = format!("the disk is encrypted: its descriptor has {}", quoted(key.as_bytes()));
            return Err(refused(Kind::Encrypted, what));
        }
        let version = self.version.ok_or_else(|| missing("version"))?;
        if !version.parse().is_ok_and(|version| VERSIONS.contains(&version)) {
            let what = format!("descriptor version {} is none of 1 to 4", quoted(version.as_bytes()));
            return Err(refused(Kind::Unsupported, what));
        }
        check_parent(self.content, self.parent, self.parent_name).map_err(|error| error.at(at))?;
        let name = self.create_type.ok_or_else(|| missing("createType"))?;
        let Ok(create_type) = name.parse() else {
            let what = format!("createType {} is not known", quoted(name.as_bytes()));
            return Err(refused(Kind::Unsupported, what));
        };
        let extent = self.extent.ok_or_else(|| missing("extent"))?;
        if matches!(create_type, CreateType::Elsewhere(_)) || extent.kind != "SPARSE" {
            return Err(elsewhere(create_type.name(), &extent));
        }
        if self.extents != 1 {
            let what = format!("the disk is made of {} extents in as many files, which are never opened", self.extents);
            return Err(Error::new(Kind::ExternalData, what).at(extent.at));
        }
        if extent.access == Access::None {
            return Err(Error::new(Kind::Unsupported, "the extent may not be read (NOACCESS)").at(extent.at));
        }
        Ok(Descriptor { create_type, extent })
    }
}

impl Extent {
    /// What follows the access on an extent's line; `None` if that is no extent.
    fn decode(access: Access, rest: &str, at: u64) -> Option<Self> {
        let (sectors, rest) = rest.trim_start().split_once(char::is_whitespace)?;
        let rest = rest.trim_start();
        let (kind, rest) = rest.split_once(char::is_whitespace).unwrap_or((rest, ""));
        let (file, offset) = match rest.trim_start().strip_prefix('"') {
            Some(named) => named.split_once('"')?,
            None if kind == "ZERO" => ("", rest),
            None => return None,
        };
        let is_kind = (1..=MAX_KIND).contains(&kind.len()) && kind.bytes().all(|byte| byte.is_ascii_uppercase());
        // Flat extents may have an offset, partitions of a device its name as well.
        let has_rest = !offset.trim().is_empty();
        if !is_kind || kind == "SPARSE" && has_rest {
            return None;
        }
        let file = quoted(file.as_bytes());
        Some(Self { access, sectors: sectors.parse().ok()?, kind: kind.to_owned(), file, at })
    }
}

/// Whether a key says that the disk is encrypted, by Workstation or by a filter of ESXi ("vmwarevmcrypt").
fn is_protection(key: &str, value: &str) -> bool {
    key.starts_with("encryption.") || key == "ddb.iofilters" && value.contains("crypt")
}

/// Refuses a disk that is a difference to another.
fn check_parent(content: Option<String>, parent: Option<String>, name: Option<String>) -> Result<(), Error> {
    let id = |key: &str, text: Option<String>| {
        let what = match text.as_deref().map(|text| content_id(text).ok_or(text)) {
            Some(Ok(id)) => return Ok(id),
            Some(Err(text)) => format!("{key} {} is no number of 8 hexadecimal digits", quoted(text.as_bytes())),
            None => format!("the descriptor has no {key}"),
        };
        Err(Error::new(Kind::Malformed, what))
    };
    id("CID", content)?;
    let parent = id("parentCID", parent)?;
    if parent == NO_PARENT && name.is_none() {
        return Ok(());
    }
    let name = name.map_or_else(|| "it does not name".to_owned(), |name| quoted(name.as_bytes()));
    let what = format!("the image is a difference to parent {parent:08x}, {name}, which is never opened");
    Err(Error::new(Kind::BackingFile, what))
}

/// The number of `CID` or `parentCID`.
fn content_id(text: &str) -> Option<u32> {
    let is_hex = (1..=8).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_hexdigit());
    u32::from_str_radix(text, 16).ok().filter(|_| is_hex)
}

fn elsewhere(create_type: &str, extent: &Extent) -> Error {
    let Extent { kind, file, at, .. } = extent;
    let what = format!("the image is {create_type} and keeps its data in {kind} extent {file}, which is never opened");
    Error::new(Kind::ExternalData, what).at(*at)
}

#[cfg(test)]
mod tests;
