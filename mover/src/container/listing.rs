//! The members of an archive that can be read at random, all known before one is chosen.

use std::ops::Range;
use std::sync::Arc;

use contract::Failure;
use formats::probe::HEAD;

use super::ahead::Ahead;
use super::disk::{self, Disk};
use super::input::Input;
use super::manifest::MAX_MANIFEST;
use super::member::{Once, Slice};
use super::members::{Entry, Members, beginning};
use super::search::{Package, refuse_nesting};
use super::tar::Tar;
use super::zip::{self, Inflating, Located};
use super::{Entered, Image, Wanted};
use crate::look::Prefixed;
use crate::source::{Reader, Source};

/// Files of an archive.
pub(super) struct Listing {
    archive: Arc<dyn Source>,
    files: Vec<File>,
    package: Package,
}

/// One file.
struct File {
    shown: Disk,
    /// It is recognised as a disk.
    is_disk: bool,
    place: Place,
}

/// Where a file lies.
enum Place {
    Tar(Range<u64>),
    Zip(Located),
}

impl Listing {
    /// Walks through the headers of a tar file.
    ///
    /// # Errors
    /// The archive cannot be read, or is refused.
    pub(super) fn of_tar(archive: Arc<dyn Source>, wanted: &Wanted<'_>) -> Result<Self, Failure> {
        let mut tar = Tar::new(Input::ranged(Arc::clone(&archive)));
        let mut listing = Self { archive, files: Vec::new(), package: Package::default() };
        while let Some(entry) = tar.next()? {
            listing.package.begin(&entry.name);
            if !entry.is_file {
                continue;
            }
            let (start, size) = (tar.offset(), entry.size.unwrap_or(0));
            let mut is_disk = disk::is_named_like_one(&entry.name);
            if listing.package.is_manifest(&entry.name) {
                let text = beginning(&mut tar, MAX_MANIFEST + 1)?;
                listing.package.take(&entry.name, &text, listing.archive.name())?;
            } else if !is_disk && wanted.disk.is_none() {
                is_disk = disk::begins_one(&beginning(&mut tar, HEAD)?);
            }
            let shown = Disk { name: entry.name, size: entry.size };
            listing.files.push(File { shown, is_disk, place: Place::Tar(start..start.saturating_add(size)) });
        }
        Ok(listing)
    }

    /// Reads the central directory of a zip file of `len` bytes.
    ///
    /// # Errors
    /// The archive cannot be read, or is refused.
    pub(super) fn of_zip(archive: Arc<dyn Source>, len: u64, wanted: &Wanted<'_>) -> Result<Self, Failure> {
        let mut files = Vec::new();
        for member in zip::members(&archive, len)?.into_iter().filter(|member| member.entry.is_file) {
            let mut is_disk = disk::is_named_like_one(&member.entry.name);
            if !is_disk && wanted.disk.is_none() && member.entry.refusal.is_none() {
                is_disk = disk::begins_one(&first_of(&archive, &member)?);
            }
            let shown = Disk { name: member.entry.name.clone(), size: member.entry.size };
            files.push(File { shown, is_disk, place: Place::Zip(member) });
        }
        Ok(Self { archive, files, package: Package::default() })
    }

    /// The disk that is wanted, or the only one.
    ///
    /// # Errors
    /// There is none, or it is refused.
    pub(super) fn choose(mut self, wanted: &Wanted<'_>) -> Result<Entered, Failure> {
        let name = self.archive.name().to_owned();
        let chosen = |file: &File| wanted.disk.map_or(file.is_disk, |name| file.shown.name == name);
        let (mut of_choice, others): (Vec<File>, Vec<File>) = self.files.drain(..).partition(chosen);
        let shown = |files: &[File]| files.iter().map(|file| file.shown.clone()).collect::<Vec<_>>();
        match (of_choice.pop(), of_choice.is_empty(), wanted.disk) {
            (None, ..) => {
                let (disks, rest): (Vec<File>, Vec<File>) = others.into_iter().partition(|file| file.is_disk);
                Err(disk::none(wanted.disk, &shown(&disks), &shown(&rest), &name))
            }
            (Some(file), true, _) => self.image(file, wanted).map(Entered::Image),
            (Some(_), false, Some(wanted)) => Err(disk::ambiguous(wanted, &name)),
            (Some(last), false, None) => {
                of_choice.push(last);
                Ok(Entered::Several { archive: name, disks: shown(&of_choice) })
            }
        }
    }

    fn image(&self, file: File, wanted: &Wanted<'_>) -> Result<Image, Failure> {
        let (archive, Disk { name, size }) = (Arc::clone(&self.archive), file.shown);
        disk::refuse_chunk(&name, archive.name())?;
        let checksum = self.package.digest_of(&name)?;
        let source: Box<dyn Source> = match file.place {
            Place::Tar(range) => Box::new(Slice::new(archive, &name, range)),
            Place::Zip(Located { entry: Entry { refusal: Some(refusal), .. }, .. }) => return Err(refusal),
            Place::Zip(member) if member.entry.is_deflated => {
                let reader = Ahead::start(archive.open(member.data(&archive)?)?)?;
                let mut reader = Inflating::new(&member, Box::new(reader), archive.name());
                let head = fill(&mut reader, HEAD)?;
                if wanted.decompress {
                    refuse_nesting(&head, "deflate", archive.name())?;
                }
                let reader = Prefixed::new(head, Box::new(reader));
                Box::new(Once::new(archive, &name, size, Box::new(reader), Arc::default()))
            }
            Place::Zip(member) => {
                let range = member.data(&archive)?;
                Box::new(Slice::new(archive, &name, range))
            }
        };
        Ok(Image { source, checksum, others_may_follow: false })
    }
}

/// First bytes of a zip member.
fn first_of(archive: &Arc<dyn Source>, member: &Located) -> Result<Vec<u8>, Failure> {
    let range = member.data(archive)?;
    if member.entry.is_deflated {
        return fill(&mut Inflating::new(member, archive.open(range)?, archive.name()), HEAD);
    }
    let end = range.end.min(range.start + HEAD as u64);
    if range.start == end { Ok(Vec::new()) } else { fill(&mut *archive.open(range.start..end)?, HEAD) }
}

fn fill(reader: &mut dyn Reader, most: usize) -> Result<Vec<u8>, Failure> {
    let mut head = vec![0; most];
    let read = reader.fill(&mut head)?;
    head.truncate(read);
    Ok(head)
}
