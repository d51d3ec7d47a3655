//! A disk inside an archive: an `.ova`, a tar file (in a compression, too) or a zip file with one disk image.
//!
//! ```text
//!           +-- no archive -----------------------------------------> the source itself
//! source ---+-- at random: tar headers, zip directory --> one disk -> a slice of the source, or decoded from its beginning
//!           +-- flowing, or compressed tar: members as they come ---> a source that comes once
//! ```
//!
//! The disk is a [`Source`] like any other, so every route works on it. Where the archive can be read at random and does not
//! compress the disk, so can the disk: only what is allocated in it is fetched, in parallel, and an import is taken up where it
//! was. A checksum of the whole archive makes it flow, because all of it has to be read.
//!
//! Archives are not trusted: their headers are counted, names are bounded, no length is believed before it is read, and a
//! name is only ever compared and shown.

mod ahead;
mod begun;
mod disk;
mod input;
mod listing;
pub mod manifest;
mod member;
mod members;
mod search;
mod tar;
mod zip;

use std::sync::{Arc, Mutex};

use codecs::StreamDecoder;
use contract::{Checked, Code, Failure};
use formats::probe::{self, Compression, Format, Probe};

use crate::checksum::{Algorithm, Checksum};
use crate::flow::Flow;
use crate::look::{first_inside, quick_decoder, read_on};
use crate::source::Source;
use ahead::Ahead;
use begun::Begun;
pub use disk::Disk;
use input::Input;
use listing::Listing;
use members::Members;
use search::Search;
use tar::Tar;

/// Digests of an archive that has flowed past.
type Reached = Mutex<Vec<(Checked, String)>>;

/// What is wanted of a source that may be an archive.
#[derive(Clone, Copy, Debug, Default)]
pub struct Wanted<'a> {
    /// The member that is the disk; without it the only disk image is.
    pub disk: Option<&'a str>,
    /// Format to believe. Without `disk` it is that of the source itself, which then is not looked into.
    pub format: Option<Format>,
    /// Undo a compression around the disk.
    pub decompress: bool,
    /// A digest that may be the whole archive's is to be verified.
    pub algorithm: Option<Algorithm>,
}

/// The image to import.
pub struct Image {
    /// The source itself, or the disk in it.
    pub source: Box<dyn Source>,
    /// The disk's digest in the manifest of an OVF package, which the import has to verify.
    pub checksum: Option<Checksum>,
    /// The rest of the archive is seen only when the disk has flowed past; another disk in it is a failure then.
    pub others_may_follow: bool,
}

/// What a source turned out to be.
pub enum Entered {
    /// One image.
    Image(Image),
    /// An archive of several disks, none of which was chosen.
    Several {
        /// The archive, as messages name it.
        archive: String,
        /// The disks, in the archive's order.
        disks: Vec<Disk>,
    },
}

impl Entered {
    /// The image.
    ///
    /// # Errors
    /// There are several.
    pub fn one(self) -> Result<Image, Failure> {
        match self {
            Self::Image(image) => Ok(image),
            Self::Several { archive, disks } => Err(disk::several(&disks, &archive)),
        }
    }
}

/// What an archive is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Tar(Option<Compression>),
    Zip,
}

/// Looks at the first bytes of `source` and, if it is an archive, for the disk in it.
///
/// # Errors
/// The source cannot be read; it is an archive without a disk, or one that is refused.
pub fn enter(source: Box<dyn Source>, wanted: &Wanted<'_>) -> Result<Entered, Failure> {
    let itself = |source| Ok(Entered::Image(Image { source, checksum: None, others_may_follow: false }));
    if source.blank().is_some() || (wanted.format.is_some() && wanted.disk.is_none()) {
        return itself(source);
    }
    let (source, kind) = begin(source)?;
    match (kind, wanted.disk) {
        (Some(kind), _) => kind.enter(source, wanted),
        (None, None) => itself(Box::new(source)),
        (None, Some(disk)) => {
            let what = format!("the disk {disk} is to be taken from an archive, and the source is no tar or zip file");
            Err(Failure::new(Code::Usage, what).at(source.name()).remedy("leave --disk out"))
        }
    }
}

/// Reads the first bytes, which say what the source is.
fn begin(source: Box<dyn Source>) -> Result<(Begun, Option<Kind>), Failure> {
    let most = source.len().map_or(probe::HEAD, |len| probe::HEAD.min(usize::try_from(len).unwrap_or(usize::MAX)));
    let end = if source.has_ranges() { most as u64 } else { source.len().unwrap_or(u64::MAX) };
    let mut reader = source.open(0..end)?;
    let mut head = vec![0; most];
    let read = reader.fill(&mut head)?;
    head.truncate(read);
    let kind = match probe::probe(&head) {
        Probe::Known("zip") => Some(Kind::Zip),
        Probe::Known("tar") => Some(Kind::Tar(None)),
        Probe::Disk(Format::Raw) if tar::begins(&head) => Some(Kind::Tar(None)),
        Probe::Compressed(compression) => {
            let more = |head: &mut Vec<u8>| read_on(&*source, &mut *reader, head);
            let inner = first_inside(compression, &mut head, source.name(), more)?;
            tar::begins(&inner).then_some(Kind::Tar(Some(compression)))
        }
        _ => None,
    };
    let rest = (!source.has_ranges()).then_some(reader);
    Ok((Begun::new(source, head, rest), kind))
}

impl Kind {
    fn enter(self, source: Begun, wanted: &Wanted<'_>) -> Result<Entered, Failure> {
        let source: Arc<dyn Source> = Arc::new(source);
        match (self, source.len().filter(|_| source.has_ranges() && wanted.algorithm.is_none())) {
            (Self::Tar(None), Some(_)) => Listing::of_tar(source, wanted)?.choose(wanted),
            (Self::Zip, Some(len)) => Listing::of_zip(source, len, wanted)?.choose(wanted),
            _ => self.walk(source, wanted).map(Entered::Image),
        }
    }

    /// Goes through an archive that flows past.
    fn walk(self, source: Arc<dyn Source>, wanted: &Wanted<'_>) -> Result<Image, Failure> {
        let reader = source.open(0..source.len().unwrap_or(u64::MAX))?;
        let compression = match self {
            Self::Tar(compression) => compression,
            Self::Zip => None,
        };
        let undone: Option<Box<dyn StreamDecoder>> =
            compression.map(|compression| quick_decoder(compression, source.name(), 0)).transpose()?;
        let flow = Flow::new(source.name(), Box::new(Ahead::start(reader)?), undone, wanted.algorithm);
        let input = Input::flowing(flow, source.name());
        let members: Box<dyn Members> = match self {
            Self::Tar(_) => Box::new(Tar::new(input)),
            Self::Zip => zip::flowing(input),
        };
        let search = Search::new(members, source.name(), wanted.disk);
        search.find(source, compression.map(Compression::name), wanted)
    }
}

#[cfg(test)]
mod tests;
