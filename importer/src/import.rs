//! An import: open the source, move it, start over once if the source was replaced meanwhile.

use std::path::PathBuf;

use contract::{ArchiveReport, Code, Failure, ImportReport};
use formats::probe::Format;
use mover::archive::Unpack;
use mover::cancel::Cancel;
use mover::checksum::Checksum;
use mover::container::{self, Image, Wanted};
use mover::inspect::{Inspection, inspect};
use mover::look::Look;
use mover::plan::{Plan, Route};
use mover::progress::Progress;
use mover::size::Overhead;
use mover::source::Source;
use mover::target::{self, Kind, Options, Preallocation};
use mover::transfer::Transfer;

use crate::source::http::Options as HttpOptions;
use crate::source::{BlankSource, FileSource, HttpSource, Location, StdinSource};
use crate::volume;

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
        let http = HttpOptions { progress: progress.clone(), ..self.http.clone() };
        let source = open(&self.location, &http, cancel)?;
        if source.blank().is_some() {
            return Err(Failure::new(Code::Usage, "an empty disk is no archive"));
        }
        let (directory, checksum) = (self.directory.clone(), self.checksum.clone());
        Unpack { source: &*source, directory, force: self.force, checksum, cancel, progress }.run()
    }
}

/// What an import would do. Sizes are in bytes; what only decoding would tell is `None`.
pub struct Explanation {
    /// The source, opened.
    pub source: Box<dyn Source>,
    /// What it begins with.
    pub look: Look,
    /// The route and its reason.
    pub plan: Plan,
    /// What the image's tables say.
    pub inspection: Inspection,
    /// What the target is.
    pub target: Kind,
    /// What the target can take.
    pub room: u64,
    /// What would be fetched.
    pub fetch: Option<u64>,
    /// What would be written at most; zeros inside it are left out.
    pub write: Option<u64>,
}

/// Opens what `location` names.
///
/// # Errors
/// It cannot be had.
pub fn open(location: &Location, http: &HttpOptions, cancel: &Cancel) -> Result<Box<dyn Source>, Failure> {
    Ok(match location {
        Location::Http { url, credentials } => {
            let mut options = http.clone();
            options.credentials = options.credentials.or_else(|| credentials.clone());
            Box::new(HttpSource::connect(url.clone(), options, cancel.clone())?)
        }
        Location::File(path) => Box::new(FileSource::open_path(path, cancel.clone())?),
        Location::Stdin => Box::new(StdinSource::new(cancel.clone())?),
        Location::Blank(size) => Box::new(BlankSource::new(*size)),
    })
}

impl Import {
    /// Runs the import to its end.
    ///
    /// # Errors
    /// Whatever stops it; the same import run again goes on from what was made durable, where the source allows.
    pub fn run(&self, cancel: &Cancel, progress: &Progress) -> Result<ImportReport, Failure> {
        match self.attempt(cancel, progress) {
            Err(failure) if failure.code() == Code::SourceChanged && self.can_be_opened_again() => {
                progress.troubled(&failure);
                let mut report = self.attempt(cancel, progress)?;
                report.warnings.push(format!("The source was replaced meanwhile ({failure}); started over."));
                Ok(report)
            }
            outcome => outcome,
        }
    }

    /// What would happen, and why.
    ///
    /// # Errors
    /// As [`run`](Self::run), as far as it can be known without writing.
    pub fn explain(&self, cancel: &Cancel) -> Result<Explanation, Failure> {
        let image = self.image(open(&self.location, &self.http, cancel)?)?;
        let look = Look::at(&*image.source, self.format, self.decompress)?;
        let plan = self.transfer(&image, cancel, &Progress::default())?.plan(&look)?;
        let source = image.source;
        let inspection = inspect(&*source, &look)?;
        let (target, room) = target::check(self.target.clone(), inspection.virtual_size)?;
        let fetch = match (plan.route, inspection.allocation) {
            (Route::Mapped, Some(allocation)) => Some(allocation.host + allocation.tables),
            _ => source.len(),
        };
        let write = match (self.target.preallocation, inspection.allocation) {
            (Preallocation::None, Some(allocation)) => Some(allocation.guest),
            _ => inspection.virtual_size,
        };
        Ok(Explanation { source, look, plan, inspection, target, room, fetch, write })
    }

    fn can_be_opened_again(&self) -> bool {
        !matches!(self.location, Location::Stdin)
    }

    fn attempt(&self, cancel: &Cancel, progress: &Progress) -> Result<ImportReport, Failure> {
        let http = HttpOptions { progress: progress.clone(), ..self.http.clone() };
        let image = self.image(open(&self.location, &http, cancel)?)?;
        self.transfer(&image, cancel, progress)?.run()
    }

    /// The source itself, or the disk in the archive that it is.
    fn image(&self, source: Box<dyn Source>) -> Result<Image, Failure> {
        let (disk, format) = (self.disk.as_deref(), self.format);
        let algorithm = self.checksum.as_ref().map(|checksum| checksum.algorithm);
        container::enter(source, &Wanted { disk, format, decompress: self.decompress, algorithm })?.one()
    }

    fn transfer<'a>(
        &self,
        image: &'a Image,
        cancel: &'a Cancel,
        progress: &'a Progress,
    ) -> Result<Transfer<'a>, Failure> {
        Ok(Transfer {
            source: &*image.source,
            target: Options { size: self.size()?, ..self.target.clone() },
            format: self.format,
            decompress: self.decompress,
            checksum: self.checksum.clone().or_else(|| image.checksum.clone()),
            accept_unknown_end: self.accept_unknown_end,
            rate: self.rate,
            volume: volume::identity(&self.target.path),
            cancel,
            progress,
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
