//! From tar headers to members: names of any length, bounded, and nothing but files, directories and links.
//!
//! ```text
//! [L long name] [K long link] [x extended header]  header  data
//!        \____________\_____________\__ kept for the next header only
//! ```
//!
//! Extended headers are read here and not by the library, which would take as much memory as they state.

use std::ffi::OsString;
use std::io::Read;
use std::os::unix::ffi::OsStringExt;
use std::path::{Component, Path, PathBuf};

use contract::{Code, Failure};
use tar::{Entry, EntryType, PaxExtensions};

/// Bytes of one extended header; GNU tar writes a few hundred.
const MAX_EXTENDED: u64 = 64 << 10;
/// Bytes of a name, as Linux has it.
const MAX_PATH: usize = 4096;
/// Directories of a name.
const MAX_DEPTH: usize = 256;

/// One file, directory or link, with a path that stays below the directory it is unpacked into.
#[derive(Debug)]
pub(super) struct Member {
    /// Relative, without `..`.
    pub(super) path: PathBuf,
    /// Permission bits.
    pub(super) mode: u32,
    /// Seconds since 1970.
    pub(super) modified: u64,
    /// What it is.
    pub(super) kind: Kind,
}

/// What a member is.
#[derive(Debug)]
pub(super) enum Kind {
    /// A file of so many bytes.
    File(u64),
    /// A directory.
    Directory,
    /// A link to any text; it is never followed.
    SymbolicLink(PathBuf),
    /// Another name of a file below the same directory.
    HardLink(PathBuf),
}

/// What extended headers said about the next header.
#[derive(Debug, Default)]
pub(super) struct Members {
    path: Option<Vec<u8>>,
    link: Option<Vec<u8>>,
}

impl Members {
    /// Takes a header; the member it stands for, or nothing if it only describes the next one.
    ///
    /// # Errors
    /// A name that leaves the directory, a kind that is not unpacked, or a header that is too long.
    pub(super) fn take<R: Read>(&mut self, entry: &mut Entry<'_, R>) -> Result<Option<Member>, Failure> {
        match entry.header().entry_type() {
            EntryType::GNULongName => self.path = Some(long(entry)?),
            EntryType::GNULongLink => self.link = Some(long(entry)?),
            EntryType::XHeader => self.extended(entry)?,
            EntryType::XGlobalHeader => {
                let records = bounded(entry)?;
                if let Some(key) =
                    keys(&records)?.into_iter().find(|key| matches!(key.as_str(), "path" | "linkpath" | "size"))
                {
                    return Err(malformed(format!("a global header sets {key} for all members")));
                }
            }
            kind => return self.member(kind, entry).map(Some),
        }
        Ok(None)
    }

    fn extended<R: Read>(&mut self, entry: &mut Entry<'_, R>) -> Result<(), Failure> {
        let records = bounded(entry)?;
        for record in PaxExtensions::new(&records) {
            let record = record.map_err(|error| malformed(format!("an extended header cannot be read: {error}")))?;
            let key = record.key().unwrap_or_default();
            match key {
                "path" => self.path = Some(record.value_bytes().to_vec()),
                "linkpath" => self.link = Some(record.value_bytes().to_vec()),
                key if key == "size" || key.starts_with("GNU.sparse.") => {
                    let what = format!("a member with the extended header {key} is not unpacked");
                    return Err(Failure::new(Code::ImageUnsupported, what)
                        .remedy("make the archive with `tar --format=gnu`, without --sparse"));
                }
                _ => {}
            }
        }
        Ok(())
    }

    fn member<R: Read>(&mut self, kind: EntryType, entry: &Entry<'_, R>) -> Result<Member, Failure> {
        let header = entry.header();
        let path = self.path.take().unwrap_or_else(|| entry.path_bytes().into_owned());
        let link = self.link.take().or_else(|| entry.link_name_bytes().map(std::borrow::Cow::into_owned));
        let is_named_as_directory = path.ends_with(b"/");
        let path = inside(path)?;
        let link_of =
            |link: Option<Vec<u8>>| link.ok_or_else(|| malformed(format!("the link {} names nothing", path.display())));
        let kind = match kind {
            // Before POSIX a directory was a file whose name ends in a slash.
            EntryType::Regular | EntryType::Continuous if is_named_as_directory => Kind::Directory,
            EntryType::Regular | EntryType::Continuous => Kind::File(entry.size()),
            EntryType::Directory => Kind::Directory,
            EntryType::Symlink => Kind::SymbolicLink(text(link_of(link)?)?),
            EntryType::Link => Kind::HardLink(inside(link_of(link)?)?),
            EntryType::Char | EntryType::Block | EntryType::Fifo => {
                let what = format!("the member {} is a device or a pipe", path.display());
                return Err(Failure::new(Code::ArchiveUnsafe, what));
            }
            other => {
                let what = format!(
                    "the member {} is of the kind {:?}, which is not unpacked",
                    path.display(),
                    char::from(other.as_byte())
                );
                return Err(Failure::new(Code::ImageUnsupported, what));
            }
        };
        let read =
            |error: std::io::Error| malformed(format!("the header of {} cannot be read: {error}", path.display()));
        let (mode, modified) = (header.mode().map_err(read)? & 0o7777, header.mtime().map_err(read)?);
        Ok(Member { path, mode, modified, kind })
    }
}

fn malformed(what: String) -> Failure {
    Failure::new(Code::ImageMalformed, what)
}

/// The data of an extended header.
fn bounded<R: Read>(entry: &mut Entry<'_, R>) -> Result<Vec<u8>, Failure> {
    let size = entry.size();
    if size > MAX_EXTENDED {
        return Err(malformed(format!("an extended header has {size} bytes, at most {MAX_EXTENDED} are read")));
    }
    let mut bytes = Vec::new();
    entry.read_to_end(&mut bytes).map_err(|error| super::failed(error, "extended header"))?;
    Ok(bytes)
}

/// A long name, which ends in a zero byte.
fn long<R: Read>(entry: &mut Entry<'_, R>) -> Result<Vec<u8>, Failure> {
    let mut name = bounded(entry)?;
    name.truncate(name.iter().position(|&byte| byte == 0).unwrap_or(name.len()));
    Ok(name)
}

fn keys(records: &[u8]) -> Result<Vec<String>, Failure> {
    let key = |record: Result<tar::PaxExtension<'_>, std::io::Error>| {
        let record = record.map_err(|error| malformed(format!("a global header cannot be read: {error}")))?;
        Ok(record.key().unwrap_or_default().to_owned())
    };
    PaxExtensions::new(records).map(key).collect()
}

fn text(bytes: Vec<u8>) -> Result<PathBuf, Failure> {
    let len = bytes.len();
    let path = PathBuf::from(OsString::from_vec(bytes));
    if len == 0 || len > MAX_PATH {
        return Err(malformed(format!("a name has {len} bytes, from 1 to {MAX_PATH} are read")));
    }
    Ok(path)
}

/// A path that stays inside: as tar does it, a leading slash is dropped; `..` is refused.
fn inside(bytes: Vec<u8>) -> Result<PathBuf, Failure> {
    let path = text(bytes)?;
    let refused = |why: &str| Failure::new(Code::ArchiveUnsafe, format!("the member {} {why}", path.display()));
    let mut kept = PathBuf::new();
    for component in path.components() {
        match component {
            Component::Normal(name) => kept.push(name),
            Component::CurDir | Component::RootDir => {}
            Component::ParentDir | Component::Prefix(_) => return Err(refused("leaves the directory")),
        }
    }
    if kept.components().count() > MAX_DEPTH {
        return Err(refused("is too deep"));
    }
    Ok(kept)
}

/// The directory that holds a path, and its last name; `None` for the directory itself.
pub(super) fn split(path: &Path) -> Option<(&Path, &std::ffi::OsStr)> {
    Some((path.parent()?, path.file_name()?))
}
