//! What is done with a source: the half of an import that needs no network and no credentials.
//!
//! ```text
//! Work --ready--> Ready                  --run--> Outcome
//!                 everything is opened            reads the source for the first time
//! ```

use std::path::PathBuf;

use contract::{ArchiveReport, Code, Disks, Explanation, Failure, ImportReport, Inspection, Member, Qcow2, SCHEMA};
use formats::probe::{Compression, Format};
use formats::qcow2;
use mover::archive::{Beneath, Unpack};
use mover::cancel::Cancel;
use mover::checksum::Checksum;
use mover::container::{self, Entered, Image};
use mover::inspect::inspect;
use mover::journal;
use mover::look::Look;
use mover::plan::{Facts, Route, plan};
use mover::progress::Progress;
use mover::source::Source;
use mover::target::{self, Kind, Options, Preallocation, Target};
use mover::transfer::{Transfer, conclude};
use serde::{Deserialize, Serialize};

/// What is wanted of the disk.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Wanted {
    /// Where it goes.
    pub(crate) target: Options,
    /// The member of an archive that is the disk; without it the only disk image is.
    pub(crate) disk: Option<String>,
    /// Format to believe instead of the first bytes.
    #[serde(with = "text")]
    pub(crate) format: Option<Format>,
    /// Undo a compression around the image, if there is one.
    pub(crate) decompress: bool,
    /// Digest to verify.
    #[serde(with = "text")]
    pub(crate) checksum: Option<Checksum>,
    /// Accept a source whose end cannot be told from a broken connection.
    pub(crate) accept_unknown_end: bool,
    /// Bytes per second to fetch at most.
    pub(crate) rate: Option<u64>,
    /// Identity of the volume.
    pub(crate) volume: Option<[u8; 32]>,
}

/// What to do.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) enum Work {
    /// Move the disk to the target.
    Import(Wanted),
    /// Say what importing would do.
    Explain(Wanted),
    /// Say what the image is.
    Inspect {
        /// The member of an archive that is the disk; without it several are listed.
        disk: Option<String>,
        /// Format to believe instead of the first bytes.
        #[serde(with = "text")]
        format: Option<Format>,
    },
    /// Unpack a tar file.
    Unpack {
        /// Where its members go.
        #[serde(with = "contract::path")]
        directory: PathBuf,
        /// Unpack into a directory that holds something already.
        force: bool,
        /// Digest to verify.
        #[serde(with = "text")]
        checksum: Option<Checksum>,
    },
}

/// What came of it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) enum Outcome {
    /// Of [`Work::Import`].
    Imported(Box<ImportReport>),
    /// Of [`Work::Explain`].
    Explained(Box<Explanation>),
    /// Of [`Work::Inspect`].
    Inspected(Inspected),
    /// Of [`Work::Unpack`].
    Unpacked(Box<ArchiveReport>),
}

/// What an image is, or which an archive holds.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum Inspected {
    /// One image.
    Image(Box<Inspection>),
    /// Several, of which none was chosen.
    Several(Disks),
}

/// Work for which everything but the source is open.
pub(crate) enum Ready {
    /// [`Work::Import`].
    Import(Wanted, Box<dyn Target>),
    /// [`Work::Explain`], with what the target is and how many bytes it can take.
    Explain(Wanted, Kind, u64),
    /// [`Work::Inspect`].
    Inspect(Option<String>, Option<Format>),
    /// [`Work::Unpack`].
    Unpack(Beneath, Option<Checksum>),
}

/// Finds the source; again, if it was replaced meanwhile.
pub(crate) type Open<'a> = &'a dyn Fn() -> Result<Box<dyn Source>, Failure>;

impl Work {
    /// Opens the target.
    ///
    /// # Errors
    /// It is refused.
    pub(crate) fn ready(self) -> Result<Ready, Failure> {
        Ok(match self {
            Self::Import(wanted) => {
                let target = target::open(wanted.target.clone())?;
                Ready::Import(wanted, target)
            }
            Self::Explain(wanted) => {
                let (kind, room) = target::check(wanted.target.clone())?;
                Ready::Explain(wanted, kind, room)
            }
            Self::Inspect { disk, format } => Ready::Inspect(disk, format),
            Self::Unpack { directory, force, checksum } => Ready::Unpack(Beneath::open(&directory, force)?, checksum),
        })
    }
}

impl Ready {
    /// Does the work.
    ///
    /// # Errors
    /// Whatever stops it; an import run again goes on from what was made durable, where the source allows.
    pub(crate) fn run(&self, open: Open<'_>, cancel: &Cancel, progress: &Progress) -> Result<Outcome, Failure> {
        Ok(match self {
            Self::Import(wanted, target) => {
                let imported = wanted.import(open, &**target, cancel, progress);
                Outcome::Imported(Box::new(imported.map_err(|failure| conclude(&**target, failure))?))
            }
            Self::Explain(wanted, kind, room) => Outcome::Explained(Box::new(wanted.explain(open()?, *kind, *room)?)),
            Self::Inspect(disk, format) => Outcome::Inspected(inspected(open()?, disk.as_deref(), *format)?),
            Self::Unpack(directory, checksum) => {
                let (source, checksum) = (&*open()?, checksum.clone());
                Outcome::Unpacked(Box::new(Unpack { source, directory, checksum, cancel, progress }.run()?))
            }
        })
    }
}

impl Wanted {
    /// Imports; starts over once if the source was replaced meanwhile.
    fn import(
        &self,
        open: Open<'_>,
        target: &dyn Target,
        cancel: &Cancel,
        progress: &Progress,
    ) -> Result<ImportReport, Failure> {
        match self.attempt(open()?, target, cancel, progress) {
            Err(failure) if failure.code() == Code::SourceChanged => {
                progress.troubled(&failure);
                // A source that cannot be had again is the failure that there was.
                let Ok(again) = open() else { return Err(failure) };
                journal::forget(target)?;
                let mut report = self.attempt(again, target, cancel, progress)?;
                report.warnings.push(format!("The source was replaced meanwhile ({failure}); started over."));
                Ok(report)
            }
            outcome => outcome,
        }
    }

    fn attempt(
        &self,
        source: Box<dyn Source>,
        target: &dyn Target,
        cancel: &Cancel,
        progress: &Progress,
    ) -> Result<ImportReport, Failure> {
        let image = self.image(source)?;
        let source = &*image.source;
        let Self { format, decompress, ref checksum, accept_unknown_end, rate, volume, .. } = *self;
        let checksum = checksum.clone().or_else(|| image.checksum.clone());
        Transfer { source, target, format, decompress, checksum, accept_unknown_end, rate, volume, cancel, progress }
            .run()
    }

    /// The source itself, or the disk in the archive that it is.
    fn image(&self, source: Box<dyn Source>) -> Result<Image, Failure> {
        let (disk, format) = (self.disk.as_deref(), self.format);
        let algorithm = self.checksum.as_ref().map(|checksum| checksum.algorithm);
        container::enter(source, &container::Wanted { disk, format, decompress: self.decompress, algorithm })?.one()
    }

    fn explain(&self, source: Box<dyn Source>, kind: Kind, room: u64) -> Result<Explanation, Failure> {
        let image = self.image(source)?;
        let source = &*image.source;
        let has_checksum = self.checksum.is_some() || image.checksum.is_some();
        let look = Look::at(source, self.format, self.decompress)?;
        let plan = plan(&Facts::of(source, &look, has_checksum, self.accept_unknown_end))?;
        let inspection = inspect(source, &look)?;
        if kind == Kind::Device {
            target::refuse_small(&self.target, room, inspection.virtual_size)?;
        }
        let fetch = match (plan.route, inspection.allocation) {
            (Route::Mapped, Some(allocation)) => Some(allocation.host + allocation.tables),
            _ => source.len(),
        };
        let write = match (self.target.preallocation, inspection.allocation) {
            (Preallocation::None, Some(allocation)) => Some(allocation.guest),
            _ => inspection.virtual_size,
        };
        let mut warnings = source.warnings();
        if let Some(write) = write.filter(|write| *write > room) {
            warnings.push(format!("The disk may need {write} bytes, and the target can take {room}."));
        }
        Ok(Explanation {
            schema: SCHEMA.into(),
            source: source.name().to_owned(),
            member: source.member().map(str::to_owned),
            length: source.len(),
            access: source.access(),
            format: look.format.name().into(),
            compression: look.compression.map(|compression| compression.name().into()),
            virtual_size: inspection.virtual_size,
            route: plan.route.name().into(),
            because: plan.because.into(),
            connections: source.parallelism(),
            fetch,
            write,
            target: kind.name().into(),
            room,
            checksum: None,
            resumable: source.identity().is_some(),
            warnings,
        })
    }
}

fn inspected(source: Box<dyn Source>, disk: Option<&str>, format: Option<Format>) -> Result<Inspected, Failure> {
    let wanted = container::Wanted { disk, format, decompress: true, algorithm: None };
    Ok(match container::enter(source, &wanted)? {
        Entered::Image(image) => Inspected::Image(Box::new(inspection(&image, format)?)),
        Entered::Several { archive, disks } => {
            let disks = disks.into_iter().map(|disk| Member { member: disk.name, file_length: disk.size }).collect();
            Inspected::Several(Disks { schema: SCHEMA.into(), source: archive, disks })
        }
    })
}

fn inspection(image: &Image, format: Option<Format>) -> Result<Inspection, Failure> {
    let source = &*image.source;
    let look = Look::at(source, format, true)?;
    let found = inspect(source, &look)?;
    let mut risks = source.warnings();
    if image.others_may_follow {
        risks.push("The archive was read only as far as this disk; an import refuses it if another follows.".into());
    }
    risks.extend(found.qcow2.iter().flat_map(risks_of));
    Ok(Inspection {
        schema: SCHEMA.into(),
        source: source.name().to_owned(),
        member: source.member().map(str::to_owned),
        format: look.format.name().into(),
        compression: look.compression.map(Compression::name).map(Into::into),
        file_length: source.len(),
        virtual_size: found.virtual_size,
        allocated: found.allocation.map(|allocation| allocation.guest),
        stored: found.allocation.map(|allocation| allocation.host),
        compressed: found.allocation.map(|allocation| allocation.encoded),
        qcow2: found.qcow2.as_ref().map(qcow2_of),
        risks,
    })
}

fn qcow2_of(facts: &qcow2::Facts) -> Qcow2 {
    let compression_type = match facts.compression {
        formats::ClusterCodec::Deflate | formats::ClusterCodec::Zlib { .. } => "zlib",
        formats::ClusterCodec::Zstd => "zstd",
    };
    Qcow2 {
        version: facts.version,
        cluster_size: facts.cluster_size,
        compression_type: compression_type.into(),
        extended_l2: facts.extended_l2,
        lazy_refcounts: facts.lazy_refcounts,
        dirty: facts.dirty,
        corrupt: facts.corrupt,
        refcount_bits: facts.refcount_bits,
        snapshots: facts.snapshots,
        bitmaps: facts.bitmaps,
    }
}

/// What a careful user should know before importing.
fn risks_of(facts: &qcow2::Facts) -> Vec<String> {
    let mut risks = Vec::new();
    if facts.snapshots > 0 {
        risks.push(format!("{} internal snapshots are not imported; the disk's current state is.", facts.snapshots));
    }
    if facts.bitmaps > 0 {
        risks.push(format!("{} dirty bitmaps are not imported.", facts.bitmaps));
    }
    if facts.dirty {
        risks.push("The image was not closed cleanly; its reference counts are not used.".to_owned());
    }
    if facts.corrupt {
        risks.push("The image is marked corrupt; check it with `qemu-img check`.".to_owned());
    }
    risks
}

/// A value that has a text of its own, in a message.
mod text {
    use std::fmt::Display;
    use std::str::FromStr;

    use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

    pub(super) fn serialize<T: Display, S: Serializer>(value: &Option<T>, serializer: S) -> Result<S::Ok, S::Error> {
        value.as_ref().map(ToString::to_string).serialize(serializer)
    }

    pub(super) fn deserialize<'de, T, D>(deserializer: D) -> Result<Option<T>, D::Error>
    where
        T: FromStr<Err: Display>,
        D: Deserializer<'de>,
    {
        let text = Option::<String>::deserialize(deserializer)?;
        text.map(|text| text.parse().map_err(de::Error::custom)).transpose()
    }
}
