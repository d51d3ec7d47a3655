//! Looks at the first bytes of a source: compression, format, header; one request at most beyond the source's own.

use std::ops::Range;

use codecs::{Bzip2Decoder, GzipDecoder, Lz4Decoder, StreamDecoder, XzDecoder, ZstdDecoder};
use contract::{Code, Failure};
use formats::probe::{self, Compression, Format, Probe};
use formats::vhd::RawOrFixed;
use formats::{Extent, GuestOffset, HostOffset, Lookup, Opening, Place};

use crate::cores::cores;
use crate::failure::{codec_failure, image_failure};
use crate::source::{Reader, Source};
use crate::xz::SideBySide;

/// Largest zstd window, as a power of two: 128 MiB.
const ZSTD_WINDOW_LOG: u32 = 27;
/// Largest xz dictionary in bytes: that of `xz -9`.
const XZ_DICTIONARY: u64 = 64 << 20;

/// Bytes read at once beyond the first ones of a compressed file.
const MORE: usize = 256 << 10;
/// Bytes of a compressed file after which the first block of every codec is whole: 4 MiB for LZ4, 900 kB for bzip2.
const LONGEST: usize = 5 << 20;

/// A map and the ranges of the file that it was built from, with their digests.
pub struct Mapped {
    /// The map.
    pub map: Box<dyn formats::Map>,
    /// What was seen to build it.
    pub seen: Vec<Seen>,
}

/// A range of the file and the digest of what was seen there.
pub type Seen = (Range<u64>, blake3::Hash);

/// What a source begins with.
pub struct Look {
    /// First bytes of the file.
    head: Vec<u8>,
    /// First bytes of what is inside the compression.
    inner: Option<Vec<u8>>,
    /// Compression around the file.
    pub compression: Option<Compression>,
    /// Disk format.
    pub format: Format,
    /// Whether the format was named and not found.
    is_forced: bool,
    /// Size of the empty disk that the source stands for.
    blank: Option<u64>,
    /// Where the file goes on after `head`, for a source that is opened only once.
    rest: Option<Box<dyn Reader>>,
}

impl Look {
    /// Reads the first bytes of `source` and decides what it is, unless `forced` says so. Without `decompress` the file is
    /// taken as it is, even if it begins like a compressed one.
    ///
    /// # Errors
    /// The source cannot be read, or what it holds is recognised and not read by this version.
    pub fn at(source: &dyn Source, forced: Option<Format>, decompress: bool) -> Result<Self, Failure> {
        if let Some(size) = source.blank() {
            let blank = Some(size);
            return Ok(Self {
                head: Vec::new(),
                inner: None,
                compression: None,
                format: Format::Raw,
                is_forced: true,
                blank,
                rest: None,
            });
        }
        let mut head = vec![0; probe::HEAD.min(source.len().map_or(usize::MAX, |len| len as usize))];
        let end = if source.has_ranges() { head.len() as u64 } else { source.len().unwrap_or(u64::MAX) };
        let mut reader = source.open(0..end)?;
        let read = reader.fill(&mut head)?;
        head.truncate(read);
        if head.is_empty() {
            return Err(Failure::new(Code::ImageTruncated, "the source is empty").at(source.name()));
        }
        let refuse = |name: &str| {
            let what = format!("the source is {name}, which this version does not read");
            let failure = Failure::new(Code::ImageUnsupported, what).at(source.name());
            failure.remedy("convert it to raw or qcow2 first, or use --format raw if it is the disk itself")
        };
        let (compression, inner, format) = match probe::probe(&head) {
            Probe::Compressed(compression) if !decompress => {
                (None, None, forced.ok_or_else(|| refuse(compression.name()))?)
            }
            // A format that was named is looked for inside a compression, and believed.
            Probe::Compressed(compression) => {
                let more = |head: &mut Vec<u8>| read_on(source, &mut *reader, head);
                let inner = first_inside(compression, &mut head, source.name(), more)?;
                let format = match (forced, probe::probe(&inner)) {
                    (Some(format), _) | (None, Probe::Disk(format)) => format,
                    (None, Probe::Compressed(second)) => {
                        let what = format!(
                            "{} inside {}: only one layer of compression is undone",
                            second.name(),
                            compression.name()
                        );
                        return Err(Failure::new(Code::ImageNesting, what).at(source.name()));
                    }
                    (None, Probe::Known(name)) => return Err(refuse(&format!("{name} inside {}", compression.name()))),
                };
                (Some(compression), Some(inner), format)
            }
            Probe::Disk(format) => (None, None, forced.unwrap_or(format)),
            Probe::Known(name) => (None, None, forced.ok_or_else(|| refuse(name))?),
        };
        let rest = (!source.has_ranges()).then_some(reader);
        if rest.is_none() {
            // Read again from its beginning.
            head.truncate(probe::HEAD);
        }
        let mut look = Self { head, inner, compression, format, is_forced: forced.is_some(), blank: None, rest };
        if forced.is_none() && compression.is_none() {
            look.judge_by_tail(source, refuse)?;
        }
        Ok(look)
    }

    /// A fixed VHD is a raw disk with a footer: only its last bytes tell. Where they cannot be had now, the stream looks at
    /// them when they come.
    fn judge_by_tail(&mut self, source: &dyn Source, refuse: impl Fn(&str) -> Failure) -> Result<(), Failure> {
        let (Some(len), true) = (source.len(), self.format == Format::Raw && source.has_ranges()) else {
            return Ok(());
        };
        let mut tail = vec![0; probe::TAIL.min(len as usize)];
        let from = len - tail.len() as u64;
        match self.head.get(from as usize..) {
            Some(known) if len == self.head.len() as u64 => tail.copy_from_slice(known),
            _ => {
                let read = source.open(from..len)?.fill(&mut tail)?;
                tail.truncate(read);
            }
        }
        match probe::probe_tail(&tail) {
            Some(Probe::Disk(format)) => self.format = format,
            Some(other) => return Err(refuse(other.name())),
            None => {}
        }
        Ok(())
    }

    /// First bytes of the image: inside the compression, where there is one.
    #[must_use]
    pub fn image_head(&self) -> &[u8] {
        self.inner.as_deref().unwrap_or(&self.head)
    }

    /// The image's map, for a source that can be read at random, and what it was built from.
    ///
    /// # Errors
    /// The source cannot be read, or the header is refused.
    pub fn map(&self, source: &dyn Source, len: u64) -> Result<Mapped, Failure> {
        if let Some(size) = self.blank {
            return Ok(Mapped { map: Box::new(Zeros(size.next_multiple_of(512))), seen: Vec::new() });
        }
        let head = self.image_head();
        let refused = |error| image_failure(&error, source.name());
        let mut opening = self.format.open(head, len).map_err(refused)?;
        let mut seen = vec![(0..head.len() as u64, blake3::hash(head))];
        loop {
            let wants = match opening.step().map_err(refused)? {
                Opening::Ready(map) => return Ok(Mapped { map, seen }),
                Opening::Wants(wants) => wants,
            };
            for range in wants {
                let bytes = match head.get(range.start as usize..range.end as usize) {
                    Some(known) => known.to_vec(),
                    None => {
                        let mut bytes = vec![0; (range.end - range.start) as usize];
                        let read = source.open(range.clone())?.fill(&mut bytes)?;
                        bytes.truncate(read);
                        seen.push((range.start..range.start + read as u64, blake3::hash(&bytes)));
                        bytes
                    }
                };
                opening.feed(HostOffset(range.start), &bytes).map_err(refused)?;
            }
        }
    }

    /// The image's forward decoder.
    ///
    /// # Errors
    /// The header is refused.
    pub fn stream(&self, source: &dyn Source) -> Result<Box<dyn formats::Stream>, Failure> {
        let len = if self.compression.is_some() { None } else { source.len() };
        if self.format == Format::Raw && !self.is_forced {
            return Ok(Box::new(RawOrFixed::new(len)));
        }
        let stream = self.format.stream(self.image_head(), len);
        stream.map_err(|error| image_failure(&error, source.name()))
    }

    /// A decoder of the compression around the file that is given the file from `offset` on: its beginning, or the end of
    /// a member or frame.
    ///
    /// # Errors
    /// The decoder's memory cannot be had.
    pub fn decoder(&self, source: &dyn Source, offset: u64) -> Result<Option<Box<dyn StreamDecoder>>, Failure> {
        self.compression.map(|compression| quick_decoder(compression, source.name(), offset)).transpose()
    }

    /// Bytes that may wait inside that decoder.
    pub(crate) fn held_by_decoder(&self) -> usize {
        if self.compression == Some(Compression::Xz) && cores() > 1 { SideBySide::HELD } else { 0 }
    }

    /// The file from `offset` on, which is 0 for a source without ranges.
    ///
    /// # Errors
    /// The source cannot be opened.
    pub fn into_reader(self, source: &dyn Source, offset: u64) -> Result<Box<dyn Reader>, Failure> {
        match self.rest {
            Some(rest) => Ok(Box::new(Prefixed::new(self.head, rest))),
            None => source.open(offset..source.len().unwrap_or(u64::MAX)),
        }
    }
}

/// What a source that should be an archive begins with.
pub(crate) struct ArchiveLook {
    head: Vec<u8>,
    /// Compression around the archive.
    pub(crate) compression: Option<Compression>,
    rest: Box<dyn Reader>,
}

impl ArchiveLook {
    /// The file from its first byte on, and what undoes its compression.
    ///
    /// # Errors
    /// The decoder's memory cannot be had.
    pub(crate) fn into_parts(self, source: &dyn Source) -> Result<Opened, Failure> {
        let decoder = self.compression.map(|compression| quick_decoder(compression, source.name(), 0)).transpose()?;
        Ok((Box::new(Prefixed::new(self.head, self.rest)), decoder))
    }
}

/// A file's bytes and the decoder of its compression.
type Opened = (Box<dyn Reader>, Option<Box<dyn StreamDecoder>>);

/// Reads the first bytes of `source`, which must be a tar file or one inside a compression.
///
/// # Errors
/// The source cannot be read, or holds something else.
pub(crate) fn archive_at(source: &dyn Source) -> Result<ArchiveLook, Failure> {
    let mut reader = source.open(0..source.len().unwrap_or(u64::MAX))?;
    let mut head = vec![0; probe::HEAD];
    let read = reader.fill(&mut head)?;
    head.truncate(read);
    let (compression, inner) = match probe::probe(&head) {
        Probe::Compressed(compression) => {
            let more = |head: &mut Vec<u8>| append(&mut *reader, head);
            (Some(compression), first_inside(compression, &mut head, source.name(), more)?)
        }
        _ => (None, head.clone()),
    };
    match probe::probe(&inner) {
        // The oldest tar files have no magic; their headers have a sum that tells.
        Probe::Known("tar") | Probe::Disk(Format::Raw) => Ok(ArchiveLook { head, compression, rest: reader }),
        other => {
            let what = format!("the source is {}, not a tar file", other.name());
            Err(Failure::new(Code::ImageUnsupported, what).at(source.name()).remedy("an archive is a tar file"))
        }
    }
}

/// The map of an empty disk.
struct Zeros(u64);

impl formats::Map for Zeros {
    fn virtual_size(&self) -> u64 {
        self.0
    }

    fn max_encoded(&self) -> u64 {
        0
    }

    fn lookup(&mut self, guest: Range<u64>, out: &mut Vec<Extent>) -> Result<Lookup, formats::Error> {
        out.push(Extent { guest: GuestOffset(guest.start), len: guest.end - guest.start, place: Place::Zero });
        Ok(Lookup::Found)
    }

    fn feed(&mut self, _: HostOffset, _: &[u8]) -> Result<(), formats::Error> {
        Ok(())
    }

    fn release(&mut self, _: GuestOffset) {}

    fn memory(&self) -> usize {
        0
    }
}

/// A decoder of a file from `offset` on: its beginning, or the end of a member or frame.
pub(crate) fn decoder(compression: Compression, name: &str, offset: u64) -> Result<Box<dyn StreamDecoder>, Failure> {
    let refused = |error| codec_failure(&error, name, offset);
    Ok(match (compression, offset) {
        (Compression::Gzip, 0) => Box::new(GzipDecoder::new()),
        (Compression::Gzip, _) => Box::new(GzipDecoder::at_boundary()),
        (Compression::Zstd, 0) => Box::new(ZstdDecoder::new(ZSTD_WINDOW_LOG).map_err(refused)?),
        (Compression::Zstd, _) => Box::new(ZstdDecoder::at_boundary(ZSTD_WINDOW_LOG).map_err(refused)?),
        (Compression::Xz, 0) => Box::new(XzDecoder::new(XZ_DICTIONARY)),
        (Compression::Xz, _) => Box::new(XzDecoder::at_boundary(XZ_DICTIONARY)),
        (Compression::Bzip2, 0) => Box::new(Bzip2Decoder::new()),
        (Compression::Bzip2, _) => Box::new(Bzip2Decoder::at_boundary()),
        (Compression::Lz4, 0) => Box::new(Lz4Decoder::new()),
        (Compression::Lz4, _) => Box::new(Lz4Decoder::at_boundary()),
    })
}

/// As [`decoder`], for a whole file: with as many threads as there are cores where the format allows. Where more input may
/// not be wanted one thread is enough, and it takes no more than it needs.
pub(crate) fn quick_decoder(
    compression: Compression,
    name: &str,
    offset: u64,
) -> Result<Box<dyn StreamDecoder>, Failure> {
    let started = match (compression, offset) {
        (Compression::Xz, 0) if cores() > 1 => SideBySide::new(XZ_DICTIONARY),
        (Compression::Xz, _) if cores() > 1 => SideBySide::at_boundary(XZ_DICTIONARY),
        _ => return decoder(compression, name, offset),
    };
    Ok(Box::new(started.map_err(|error| codec_failure(&error, name, offset))?))
}

/// Reads more of a compressed file; false at its end.
pub(crate) fn read_on(source: &dyn Source, reader: &mut dyn Reader, head: &mut Vec<u8>) -> Result<bool, Failure> {
    if !source.has_ranges() {
        return append(reader, head);
    }
    let from = head.len() as u64;
    let to = (from + MORE as u64).min(source.len().unwrap_or(u64::MAX));
    if from < to { append(&mut *source.open(from..to)?, head) } else { Ok(false) }
}

/// Appends what `reader` gives next; false at its end.
fn append(reader: &mut dyn Reader, head: &mut Vec<u8>) -> Result<bool, Failure> {
    let from = head.len();
    head.resize(from + MORE, 0);
    let read = reader.fill(&mut head[from..])?;
    head.truncate(from + read);
    Ok(read > 0)
}

/// Decodes as much as a probe wants, with `more` of the file as the codec needs it: its first block may be long.
pub(crate) fn first_inside(
    compression: Compression,
    head: &mut Vec<u8>,
    name: &str,
    mut more: impl FnMut(&mut Vec<u8>) -> Result<bool, Failure>,
) -> Result<Vec<u8>, Failure> {
    let mut decoder = decoder(compression, name, 0)?;
    let mut inner = vec![0; probe::HEAD];
    let (mut used, mut made) = (0, 0);
    while made < inner.len() {
        let step = decoder.step(&head[used..], &mut inner[made..]);
        let step = step.map_err(|error| codec_failure(&error, name, used as u64))?;
        used += step.consumed;
        made += step.produced;
        let stands = step.consumed == 0 && step.produced == 0;
        if stands && (head.len() > LONGEST || !more(head)?) {
            break;
        }
    }
    inner.truncate(made);
    Ok(inner)
}

/// Bytes that were read already, then the rest.
pub(crate) struct Prefixed {
    head: Vec<u8>,
    used: usize,
    rest: Box<dyn Reader>,
}

impl Prefixed {
    pub(crate) fn new(head: Vec<u8>, rest: Box<dyn Reader>) -> Self {
        Self { head, used: 0, rest }
    }
}

impl Reader for Prefixed {
    fn read(&mut self, buf: &mut [u8]) -> Result<usize, Failure> {
        let left = &self.head[self.used..];
        if left.is_empty() {
            (self.head, self.used) = (Vec::new(), 0);
            return self.rest.read(buf);
        }
        let len = left.len().min(buf.len());
        buf[..len].copy_from_slice(&left[..len]);
        self.used += len;
        Ok(len)
    }

    fn fetched(&mut self, handed_out: u64) -> u64 {
        self.rest.fetched(handed_out)
    }
}
