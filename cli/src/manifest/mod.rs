//! A DataVolume run on the spot: what CDI's controller and its importer pod would make of it, without a cluster.
//!
//! ```text
//! file --documents.rs--> DataVolume, ConfigMaps, Secrets --convert.rs (pure)--> Request
//! TARGET --------------> Volume ---------------------------^
//! ```
//! A field works, is refused by name, or is said not to apply; none is dropped in silence.

mod convert;
mod data_volume;
mod documents;

use std::fs::{self, File};
use std::io::{self, Read, Seek, SeekFrom};
use std::os::unix::fs::FileTypeExt;
use std::path::{Path, PathBuf};

use contract::{Code, Failure};
use importer::source::http::Options as HttpOptions;
use mover::size::Overhead;

use crate::request::Request;

/// Longest manifest: an API server takes objects of at most 1.5 MiB.
const LONGEST: u64 = 4 << 20;

/// What stands for the persistent volume.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Volume {
    /// No target was named.
    Unnamed,
    /// A directory that is there: the root of the volume's file system.
    Directory(PathBuf),
    /// Any other path: the disk itself.
    File(PathBuf),
    /// A block device and its size in bytes.
    Device(PathBuf, u64),
}

/// Reads the manifest in `file` and says what it asks for, with `target` in the place of the volume. `http` has what the
/// command line adds.
///
/// # Errors
/// The file cannot be read, or code `usage`: what it asks for cannot be done here, with the field's path.
pub(crate) fn request(
    file: &Path,
    target: Option<&str>,
    http: HttpOptions,
    overhead: Option<Overhead>,
) -> Result<Request, Failure> {
    let text = read(file)?;
    let place = |failure: Failure| failure.at(file.display().to_string());
    let documents = documents::read(&text).map_err(place)?;
    convert::request(&documents, Volume::at(target)?, http, overhead).map_err(place)
}

/// The text of a manifest; `-` is standard input.
///
/// # Errors
/// Code `usage`: it cannot be read, or is larger than 4 MiB.
pub(crate) fn read(file: &Path) -> Result<String, Failure> {
    let cannot = |what: String| Failure::new(Code::Usage, what).at(file.display().to_string());
    let source: io::Result<Box<dyn Read>> = match file.to_str() {
        Some("-") => Ok(Box::new(io::stdin())),
        _ => File::open(file).map(|file| Box::new(file) as Box<dyn Read>),
    };
    let mut text = String::new();
    source
        .and_then(|source| source.take(LONGEST + 1).read_to_string(&mut text))
        .map_err(|error| cannot(format!("cannot read the manifest: {error}")))?;
    if text.len() as u64 > LONGEST {
        return Err(cannot("the manifest is larger than 4 MiB".to_owned()));
    }
    Ok(text)
}

impl Volume {
    fn at(target: Option<&str>) -> Result<Self, Failure> {
        let Some(path) = target.map(PathBuf::from) else { return Ok(Self::Unnamed) };
        // What cannot be looked at is for the import to refuse.
        match fs::metadata(&path).map(|metadata| metadata.file_type()) {
            Ok(kind) if kind.is_dir() => Ok(Self::Directory(path)),
            Ok(kind) if kind.is_block_device() => {
                let size = File::open(&path).and_then(|mut device| device.seek(SeekFrom::End(0)));
                let size = size.map_err(|error| {
                    Failure::new(Code::TargetIo, format!("cannot ask for the device's size: {error}"))
                        .at(path.display().to_string())
                })?;
                Ok(Self::Device(path, size))
            }
            _ => Ok(Self::File(path)),
        }
    }
}
