//! Finds the disk of an archive that flows past, hands it on, and looks at the rest afterwards.
//!
//! ```text
//! members:  .ovf  .mf  disk ...............  other members  end
//!           \___ find ___/\____ Rest::read ____/\_ conclude _/
//! ```
//!
//! Whether there is a second disk, and what the manifest says of the first, may come after the first has been moved. Both
//! are failures of the last read, before the target can look finished.

use std::sync::{Arc, PoisonError};

use contract::{Code, Failure};
use formats::probe::{self, Probe};

use super::disk::{self, Disk};
use super::manifest::{MAX_MANIFEST, Manifest};
use super::member::Once;
use super::members::{Entry, Members, beginning};
use super::{Image, Reached, Wanted};
use crate::checksum::{Algorithm, Checksum, Hasher};
use crate::source::{Reader, Source};

/// Digests that a manifest may have, as long as it has not come.
const ALGORITHMS: [Algorithm; 4] = [Algorithm::Md5, Algorithm::Sha1, Algorithm::Sha256, Algorithm::Sha512];

/// An archive and what was seen of it.
pub(super) struct Search {
    members: Box<dyn Members>,
    /// The archive, as messages name it.
    archive: String,
    wanted: Option<String>,
    files: Vec<Disk>,
    disks: Vec<Disk>,
    package: Package,
}

impl Search {
    pub(super) fn new(members: Box<dyn Members>, archive: &str, wanted: Option<&str>) -> Self {
        let (archive, wanted) = (archive.to_owned(), wanted.map(str::to_owned));
        Self { members, archive, wanted, files: Vec::new(), disks: Vec::new(), package: Package::default() }
    }

    /// Walks to the disk and makes it a source. `compression` is around the archive.
    ///
    /// # Errors
    /// There is none, or it cannot be read.
    pub(super) fn find(
        mut self,
        archive: Arc<dyn Source>,
        compression: Option<&str>,
        wanted: &Wanted<'_>,
    ) -> Result<Image, Failure> {
        while let Some((entry, head)) = self.next_candidate()? {
            if self.wanted.as_ref().is_some_and(|name| *name != entry.name) {
                continue;
            }
            if let Some(refusal) = entry.refusal {
                return Err(refusal);
            }
            disk::refuse_chunk(&entry.name, &self.archive)?;
            let around = compression.or(entry.is_deflated.then_some("deflate"));
            if let Some(around) = around.filter(|_| wanted.decompress) {
                refuse_nesting(&head, around, &self.archive)?;
            }
            let known = self.package.digest_of(&entry.name)?;
            // The one that the import itself verifies is hashed there.
            let (checksum, expected) = if wanted.algorithm.is_none() { (known, None) } else { (None, known) };
            let hashers = match (&expected, self.package.is_ova && checksum.is_none()) {
                (Some(expected), _) => vec![Hasher::new(expected.algorithm)],
                (None, true) => ALGORITHMS.map(Hasher::new).to_vec(),
                (None, false) => Vec::new(),
            };
            let reached = Arc::new(Reached::default());
            let is_verified = checksum.is_some();
            let (name, size) = (entry.name, entry.size);
            let flow = Flow { is_verified, hashers, name: name.clone(), reached: Arc::clone(&reached), is_over: false };
            let rest = Rest { search: self, head, used: 0, flow };
            let source = Once::new(archive, &name, size, Box::new(rest), reached);
            return Ok(Image { source: Box::new(source), checksum, others_may_follow: wanted.disk.is_none() });
        }
        Err(disk::none(wanted.disk, &self.disks, &self.files, &self.archive))
    }

    /// The next member that is a disk, or is wanted as one, and its first bytes.
    fn next_candidate(&mut self) -> Result<Option<(Entry, Vec<u8>)>, Failure> {
        while let Some(entry) = self.members.next()? {
            self.package.begin(&entry.name);
            if !entry.is_file {
                continue;
            }
            let (name, size) = (entry.name.clone(), entry.size);
            self.files.push(Disk { name, size });
            let is_wanted = self.wanted.as_ref().is_some_and(|name| *name == entry.name);
            if self.package.is_manifest(&entry.name) && !is_wanted {
                let text = beginning(&mut *self.members, MAX_MANIFEST + 1)?;
                self.package.take(&entry.name, &text, &self.archive)?;
                continue;
            }
            let head = if entry.refusal.is_none() { beginning(&mut *self.members, probe::HEAD)? } else { Vec::new() };
            let is_disk = disk::is_named_like_one(&entry.name) || disk::begins_one(&head);
            if is_disk {
                self.disks.push(Disk { name: entry.name.clone(), size: entry.size });
            }
            if is_disk || is_wanted {
                return Ok(Some((entry, head)));
            }
        }
        Ok(None)
    }
}

/// A compression inside a compression is not undone.
pub(super) fn refuse_nesting(head: &[u8], around: &str, archive: &str) -> Result<(), Failure> {
    let Probe::Compressed(inner) = probe::probe(head) else { return Ok(()) };
    let what = format!("{inner} inside an archive's {around}: only one layer of compression is undone");
    Err(Failure::new(Code::ImageNesting, what).at(archive))
}

/// An OVF package, if an archive is one: its descriptor comes first, and its manifest has the descriptor's name.
#[derive(Default)]
pub(super) struct Package {
    has_begun: bool,
    is_ova: bool,
    manifest: Option<Manifest>,
}

impl Package {
    /// Looks at a member's name; the first decides.
    pub(super) fn begin(&mut self, name: &str) {
        let end = name.rsplit_once('.').map(|(_, end)| end);
        self.is_ova |= !self.has_begun && end.is_some_and(|end| end.eq_ignore_ascii_case("ovf"));
        self.has_begun = true;
    }

    /// Whether a member is the manifest.
    pub(super) fn is_manifest(&self, name: &str) -> bool {
        self.is_ova && name.rsplit_once('.').is_some_and(|(_, end)| end.eq_ignore_ascii_case("mf"))
    }

    /// Reads the manifest.
    pub(super) fn take(&mut self, name: &str, text: &[u8], archive: &str) -> Result<(), Failure> {
        if self.manifest.is_some() {
            return Err(Failure::new(Code::ImageMalformed, "the package has two manifests").at(archive));
        }
        self.manifest = Some(Manifest::parse(&format!("{archive}, member {name}"), text)?);
        Ok(())
    }

    /// The digest of a member, if there is a manifest.
    pub(super) fn digest_of(&self, name: &str) -> Result<Option<Checksum>, Failure> {
        self.manifest.as_ref().map(|manifest| manifest.digest_of(name).cloned()).transpose()
    }
}

/// The disk as it flows.
struct Flow {
    /// The import itself compares the disk with the manifest.
    is_verified: bool,
    hashers: Vec<Hasher>,
    name: String,
    reached: Arc<Reached>,
    is_over: bool,
}

/// The disk's bytes, and then a look at all that follows.
struct Rest {
    search: Search,
    /// First bytes of the disk.
    head: Vec<u8>,
    used: usize,
    flow: Flow,
}

impl Rest {
    /// Looks at what follows the disk.
    fn conclude(&mut self) -> Result<(), Failure> {
        let search = &mut self.search;
        while let Some((entry, _)) = search.next_candidate()? {
            if search.wanted.is_some() && entry.name == self.flow.name {
                return Err(disk::ambiguous(&entry.name, &search.archive));
            }
        }
        if search.wanted.is_none() && search.disks.len() > 1 {
            return Err(disk::several(&search.disks, &search.archive));
        }
        self.verify()?;
        let input = self.search.members.input();
        input.drain()?;
        *self.flow.reached.lock().unwrap_or_else(PoisonError::into_inner) = input.digests();
        Ok(())
    }

    /// Compares the disk with the manifest, which may have come after it.
    fn verify(&self) -> Result<(), Failure> {
        let Some(expected) = self.search.package.digest_of(&self.flow.name)?.filter(|_| !self.flow.is_verified) else {
            return Ok(());
        };
        let of_kind = self.flow.hashers.iter().map(Hasher::hex);
        let digest = of_kind.into_iter().find(|digest| digest.len() == 2 * expected.algorithm.bytes());
        if digest.as_ref().is_some_and(|digest| expected.matches(digest)) {
            return Ok(());
        }
        let what = format!(
            "the manifest says {expected} of {}, and its bytes have {}",
            self.flow.name,
            digest.unwrap_or_default()
        );
        Err(Failure::new(Code::ChecksumMismatch, what).at(self.search.archive.clone()))
    }
}

impl Reader for Rest {
    fn read(&mut self, buf: &mut [u8]) -> Result<usize, Failure> {
        if self.flow.is_over || buf.is_empty() {
            return Ok(0);
        }
        let head = &self.head[self.used..];
        let read = if head.is_empty() {
            self.search.members.read(buf)?
        } else {
            let len = head.len().min(buf.len());
            buf[..len].copy_from_slice(&head[..len]);
            self.used += len;
            len
        };
        self.flow.hashers.iter_mut().for_each(|hasher| hasher.update(&buf[..read]));
        if read == 0 {
            self.conclude()?;
            self.flow.is_over = true;
        }
        Ok(read)
    }

    fn fetched(&mut self, _handed_out: u64) -> u64 {
        self.search.members.input().fetched()
    }
}
