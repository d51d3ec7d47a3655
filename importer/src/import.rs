//! What a caller can have done with a source; doing it is divided between two processes.

use std::path::PathBuf;

use contract::{ArchiveReport, Code, Explanation, Failure, ImportReport};
use formats::probe::Format;
use mover::cancel::Cancel;
use mover::checksum::Checksum;
use mover::progress::Progress;
use mover::size::Overhead;
use mover::target::Options;

use crate::source::Location;
use crate::source::http::Options as HttpOptions;
use crate::split;
use crate::volume;
pub use crate::work::Inspected;
use crate::work::{Outcome, Wanted, Work};

/// What to import.
#[derive(Clone, Debug)]
pub struct Import {
    /// Where the image comes from.
    pub location: Location,
    /// How to speak HTTP, if the source is a server.
    pub http: HttpOptions,
    /// Where the disk goes.
    pub target: Options,
    /// Share of the target's file system that is kept for the file system itself.
    pub overhead: Option<Overhead>,
    /// The member of an archive that is the disk; without it the only disk image is.
    pub disk: Option<String>,
    /// Format to believe instead of the first bytes.
    pub format: Option<Format>,
    /// Undo a compression around the image, if there is one.
    pub decompress: bool,
    /// Digest to verify.
    pub checksum: Option<Checksum>,
    /// Accept a source whose end cannot be told from a broken connection.
    pub accept_unknown_end: bool,
    /// Bytes per second to fetch at most.
    pub rate: Option<u64>,
}

/// An archive to unpack: CDI's content type `archive`.
#[derive(Clone, Debug)]
pub struct Archive {
    /// Where the archive comes from.
    pub location: Location,
    /// How to speak HTTP, if the source is a server.
    pub http: HttpOptions,
    /// Where its members go.
    pub directory: PathBuf,
    /// Unpack into a directory that holds something already.
    pub force: bool,
    /// Digest to verify.
    pub checksum: Option<Checksum>,
}

impl Archive {
    /// Unpacks it.
    ///
    /// # Errors
    /// Whatever stops it.
    pub fn run(&self, cancel: &Cancel, progress: &Progress) -> Result<ArchiveReport, Failure> {
        if matches!(self.location, Location::Blank(_)) {
            return Err(Failure::new(Code::Usage, "an empty disk is no archive"));
        }
        let (directory, checksum) = (self.directory.clone(), self.checksum.clone());
        let work = Work::Unpack { directory, force: self.force, checksum };
        match split::run(&self.location, &self.http, work, cancel, progress)? {
            Outcome::Unpacked(report) => Ok(*report),
            other => Err(another(&other)),
        }
    }
}

/// An image to look at.
#[derive(Clone, Debug)]
pub struct Inspect {
    /// Where the image comes from.
    pub location: Location,
    /// How to speak HTTP, if the source is a server.
    pub http: HttpOptions,
    /// The member of an archive that is the disk; without it several are listed.
    pub disk: Option<String>,
    /// Format to believe instead of the first bytes.
    pub format: Option<Format>,
}

impl Import {
    /// Runs the import to its end.
    ///
    /// # Errors
    /// Whatever stops it; the same import run again goes on from what was made durable, where the source allows.
    pub fn run(&self, cancel: &Cancel, progress: &Progress) -> Result<ImportReport, Failure> {
        match split::run(&self.location, &self.http, Work::Import(self.wanted()?), cancel, progress)? {
            Outcome::Imported(report) => Ok(*report),
            other => Err(another(&other)),
        }
    }

    /// What would happen, and why.
    ///
    /// # Errors
    /// As [`run`](Self::run), as far as it can be known without writing.
    pub fn explain(&self, cancel: &Cancel) -> Result<Explanation, Failure> {
        let work = Work::Explain(self.wanted()?);
        match split::run(&self.location, &self.http, work, cancel, &Progress::default())? {
            Outcome::Explained(explanation) => Ok(*explanation),
            other => Err(another(&other)),
        }
    }

    fn wanted(&self) -> Result<Wanted, Failure> {
        Ok(Wanted {
            target: Options { size: self.size()?, ..self.target.clone() },
            disk: self.disk.clone(),
            format: self.format,
            decompress: self.decompress,
            checksum: self.checksum.clone(),
            accept_unknown_end: self.accept_unknown_end,
            rate: self.rate,
            volume: volume::identity(&self.target.path),
        })
    }

    /// Size of the target file: what was asked for, less what the file system keeps for itself.
    fn size(&self) -> Result<Option<u64>, Failure> {
        let Some(overhead) = self.overhead else { return Ok(self.target.size) };
        let free = mover::target::free_space(&self.target.path)?;
        let available = self.target.size.map_or(free, |size| size.min(free));
        Ok(Some(overhead.usable(available)))
    }
}

impl Inspect {
    /// What the image is, without reading its data; or which disks an archive holds.
    ///
    /// # Errors
    /// The source cannot be read, or the image is refused.
    pub fn run(&self, cancel: &Cancel) -> Result<Inspected, Failure> {
        if matches!(self.location, Location::Blank(_)) {
            return Err(Failure::new(Code::Usage, "an empty disk has nothing to inspect"));
        }
        let work = Work::Inspect { disk: self.disk.clone(), format: self.format };
        match split::run(&self.location, &self.http, work, cancel, &Progress::default())? {
            Outcome::Inspected(inspected) => Ok(inspected),
            other => Err(another(&other)),
        }
    }
}

fn another(outcome: &Outcome) -> Failure {
    Failure::new(Code::Internal, format!("the decoding process did something else: {outcome:?}"))
}
