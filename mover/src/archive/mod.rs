//! Unpacks a tar file, compressed or not, into a directory: CDI's content type `archive`.
//!
//! ```text
//! source --bytes--> [decompressor] --tar--> members --> Beneath: opened below one directory, links never followed
//!    \--> file digest      \--> stream digest
//! ```
//!
//! The archive is not trusted: its members are counted, names and extended headers are bounded, and nothing is opened
//! outside the directory. There is nothing to resume: an interrupted archive is unpacked again.

mod beneath;
mod member;

use std::io::Read;
use std::sync::atomic::Ordering;
use std::time::Instant;

use contract::{ArchiveReport, ChecksumReport, Code, Failure, SCHEMA};

use crate::cancel::Cancel;
use crate::checksum::Checksum;
use crate::flow::Flow;
use crate::look::{ArchiveLook, archive_at};
use crate::progress::{Progress, Step};
use crate::source::{Reader, Source};
use crate::transfer::mismatch;
pub use beneath::Beneath;
use member::{Kind, Member, Members};

/// Most members of one archive: more are a bomb that fills a file system with names.
const MAX_MEMBERS: u64 = 1 << 20;

/// Bytes of a tar block: a header, and what every member's data is padded to.
const BLOCK: u64 = 512;

/// What to unpack where.
pub struct Unpack<'a> {
    /// Where the archive comes from.
    pub source: &'a dyn Source,
    /// Where its members go.
    pub directory: &'a Beneath,
    /// Digest to verify, of the file or of what is inside its compression.
    pub checksum: Option<Checksum>,
    /// A user's wish to stop.
    pub cancel: &'a Cancel,
    /// What is shown meanwhile.
    pub progress: &'a Progress,
}

/// What was unpacked.
#[derive(Default)]
struct Counted {
    members: u64,
    bytes: u64,
}

impl Unpack<'_> {
    /// Unpacks everything and makes it durable.
    ///
    /// # Errors
    /// Whatever stops it; what was unpacked until then stays.
    pub fn run(&self) -> Result<ArchiveReport, Failure> {
        let started = Instant::now();
        self.progress.enter(Step::Opening);
        let look = archive_at(self.source)?;
        let compression = look.compression;
        self.progress.enter(Step::Moving);
        self.progress.total.store(self.source.len().unwrap_or(0), Ordering::Relaxed);
        let mut flow = self.flow(look)?;
        let counted = self.members(&mut flow)?;
        // What follows the end mark is padding; a codec's trailer and the digests are behind it.
        flow.drain()?;
        self.progress.enter(Step::Finishing);
        let checksum = self.check(&flow)?;
        self.directory.sync()?;
        Ok(ArchiveReport {
            schema: SCHEMA.into(),
            target: self.directory.path().display().to_string(),
            compression: compression.map(|compression| compression.name().into()),
            members: counted.members,
            bytes: counted.bytes,
            checksum,
            fetched: self.progress.fetched.load(Ordering::Relaxed),
            seconds: started.elapsed().as_secs_f64(),
            warnings: self.source.warnings(),
        })
    }

    fn flow(&self, look: ArchiveLook) -> Result<Flow<'_>, Failure> {
        let algorithm = self.checksum.as_ref().map(|checksum| checksum.algorithm);
        let (reader, decoder) = look.into_parts(self.source)?;
        let watched = Watched { reader, cancel: self.cancel, progress: self.progress };
        Ok(Flow::new(self.source.name(), Box::new(watched), decoder, algorithm))
    }

    fn members(&self, flow: &mut Flow<'_>) -> Result<Counted, Failure> {
        let name = self.source.name();
        let mut counted = Counted::default();
        let mut archive = tar::Archive::new(&mut *flow);
        let mut members = Members::default();
        let mut end = 0;
        let entries = archive.entries().map_err(|error| failed(error, name))?.raw(true);
        for entry in entries {
            let mut entry = entry.map_err(|error| failed(error, name))?;
            let padded = entry.size().div_ceil(BLOCK).saturating_mul(BLOCK);
            end = entry.raw_file_position().saturating_add(padded);
            counted.members += 1;
            if counted.members > MAX_MEMBERS {
                let what = format!("the archive has more than {MAX_MEMBERS} members");
                return Err(Failure::new(Code::ImageTooLarge, what).at(name));
            }
            let at = format!("{name}, offset {}", entry.raw_header_position());
            let member = members.take(&mut entry).map_err(|failure| failure.at(at.clone()))?;
            let Some(member) = member else { continue };
            let before = counted.bytes;
            counted.bytes += unpack(&member, &mut entry, before, self.directory).map_err(|failure| failure.at(at))?;
        }
        // Zeros are an empty archive, and the beginning of many a disk.
        if counted.members == 0 {
            return Err(Failure::new(Code::ImageMalformed, "the archive has no members").at(name));
        }
        if flow.position < end.saturating_add(BLOCK) {
            let what = "the archive ends without its end mark";
            return Err(Failure::new(Code::ImageTruncated, what).at(name));
        }
        Ok(counted)
    }

    fn check(&self, flow: &Flow<'_>) -> Result<Option<ChecksumReport>, Failure> {
        let Some(checksum) = &self.checksum else { return Ok(None) };
        let seen = flow.digests();
        let matched = checksum.among(&seen).ok_or_else(|| mismatch(checksum, &seen, self.source))?;
        Ok(Some(ChecksumReport { expected: checksum.to_string(), from: None, matched }))
    }
}

/// A reader that looks at the wish to stop, and counts.
struct Watched<'a> {
    reader: Box<dyn Reader>,
    cancel: &'a Cancel,
    progress: &'a Progress,
}

impl Reader for Watched<'_> {
    fn read(&mut self, buf: &mut [u8]) -> Result<usize, Failure> {
        self.cancel.check()?;
        let read = self.reader.read(buf)?;
        let fetched = self.progress.fetched.fetch_add(read as u64, Ordering::Relaxed) + read as u64;
        self.progress.reach(fetched);
        Ok(read)
    }
}

/// Makes one member after files of `before` bytes; returns the bytes of its file.
fn unpack(member: &Member, data: &mut impl Read, before: u64, beneath: &Beneath) -> Result<u64, Failure> {
    match &member.kind {
        Kind::Directory => beneath.directory(&member.path, member.mode).map(|()| 0),
        Kind::File(len) => beneath.file(member, *len, before, data).map(|()| *len),
        Kind::SymbolicLink(target) => beneath.symbolic_link(&member.path, target).map(|()| 0),
        Kind::HardLink(to) => beneath.hard_link(&member.path, to).map(|()| 0),
    }
}

/// A failure of reading: the flow's own, or a header that is none.
fn failed(error: std::io::Error, source: &str) -> Failure {
    match error.downcast::<Failure>() {
        Ok(failure) => failure,
        Err(error) if error.kind() == std::io::ErrorKind::UnexpectedEof => {
            Failure::new(Code::ImageTruncated, format!("the archive ends too early: {error}")).at(source)
        }
        Err(error) => Failure::new(Code::ImageMalformed, format!("the archive cannot be read: {error}")).at(source),
    }
}
