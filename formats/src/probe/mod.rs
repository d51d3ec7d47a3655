//! What the first bytes of a file say it is, so that nothing the field has a name for is copied as a raw disk by accident.
//!
//! Magics at the front are tried first, then the ISO 9660 and UDF descriptors behind sector 16: a qcow2 file that keeps
//! an ISO in its clusters is a qcow2 file, and a hybrid ISO, which has a partition table in front, is an ISO.

use std::fmt;
use std::str::FromStr;

use crate::{Error, HostOffset, Kind, Map, Open, Opening, Stream, front, qcow2, qed, raw, vdi, vhd, vhdx, vmdk};

/// First bytes [`probe`] wants: the volume recognition area begins at 32 KiB and its descriptors follow each other.
pub const HEAD: usize = 64 * 1024;

/// Last bytes [`probe_tail`] wants.
pub const TAIL: usize = 512;

/// A disk format this version reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Format {
    /// The disk itself.
    Raw,
    /// An ISO 9660 or UDF volume, copied like a raw disk.
    Iso,
    /// QEMU's copy-on-write format, versions 2 and 3.
    Qcow2,
    /// VirtualBox's format, dynamic and static.
    Vdi,
    /// Microsoft's virtual hard disk, fixed and dynamic.
    Vhd,
    /// QEMU's enhanced disk format.
    Qed,
    /// Microsoft's virtual hard disk, version 2.
    Vhdx,
    /// VMware's format, one file: sparse and stream-optimized.
    Vmdk,
}

/// A compression this version undoes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Compression {
    /// gzip (RFC 1952).
    Gzip,
    /// Zstandard (RFC 8878).
    Zstd,
    /// xz, LZMA2 in blocks.
    Xz,
    /// bzip2.
    Bzip2,
    /// LZ4 frames.
    Lz4,
}

/// What a file is, by its first bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Probe {
    /// A disk; [`Format::Raw`] when nothing is recognised.
    Disk(Format),
    /// Compressed; what is inside has to be probed again.
    Compressed(Compression),
    /// Recognised by the field's name for it, and not read by this version.
    Known(&'static str),
}

impl Format {
    /// Every format.
    pub const ALL: [Self; 8] =
        [Self::Raw, Self::Iso, Self::Qcow2, Self::Vdi, Self::Vhd, Self::Qed, Self::Vhdx, Self::Vmdk];

    /// The name users write.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Raw => "raw",
            Self::Iso => "iso",
            Self::Qcow2 => "qcow2",
            Self::Vdi => "vdi",
            Self::Vhd => "vhd",
            Self::Qed => "qed",
            Self::Vhdx => "vhdx",
            Self::Vmdk => "vmdk",
        }
    }

    /// The way to the map of an image of `file_len` bytes that begins with `head` ([`HEAD`] bytes, or the whole file).
    ///
    /// # Errors
    /// A header that is refused.
    pub fn open(self, head: &[u8], file_len: u64) -> Result<Box<dyn Open>, Error> {
        Ok(match self {
            Self::Vhd => Box::new(vhd::Open::new(file_len)),
            Self::Vhdx => Box::new(vhdx::Opener::new(head, file_len)?),
            Self::Raw | Self::Iso | Self::Qcow2 | Self::Vdi | Self::Qed | Self::Vmdk => {
                Box::new(Opened(Some(self.map(head, file_len)?)))
            }
        })
    }

    /// The map of an image of `file_len` bytes that begins with `head` ([`HEAD`] bytes, or the whole file), for the
    /// formats whose first bytes tell enough; [`open`](Self::open) does it for all.
    ///
    /// # Errors
    /// A header that is refused, or a format that needs more than its first bytes.
    pub fn map(self, head: &[u8], file_len: u64) -> Result<Box<dyn Map>, Error> {
        Ok(match self {
            Self::Raw | Self::Iso => Box::new(raw::Map::new(file_len)),
            Self::Qcow2 => Box::new(qcow2::Map::new(&qcow2::Header::decode(head)?, Some(file_len))),
            Self::Vdi => Box::new(vdi::Map::new(&vdi::Header::decode(head)?, Some(file_len))),
            Self::Vhd => return vhd::map(head, file_len),
            Self::Qed => Box::new(qed::Map::new(&qed::Header::decode(head)?, Some(file_len))),
            Self::Vhdx => {
                let what = "the first bytes of a vhdx image do not tell its map";
                return Err(Error::new(Kind::Unsupported, what));
            }
            Self::Vmdk => Box::new(vmdk::Map::new(&vmdk::Header::decode(head)?, Some(file_len))),
        })
    }

    /// The forward decoder of an image that begins with `head`, which is pushed again as its first bytes.
    ///
    /// # Errors
    /// A header that is refused.
    pub fn stream(self, head: &[u8], file_len: Option<u64>) -> Result<Box<dyn Stream>, Error> {
        Ok(match self {
            Self::Raw | Self::Iso => Box::new(raw::Stream::new(file_len)),
            Self::Qcow2 => Box::new(qcow2::Stream::new(&qcow2::Header::decode(head)?)),
            Self::Vdi => Box::new(front::Stream::new(Box::new(vdi::Map::new(&vdi::Header::decode(head)?, None)))),
            Self::Vhd if vhd::begins_dynamic(head) => {
                Box::new(front::Stream::new(Box::new(vhd::Map::new(&vhd::Header::decode(head)?, None))))
            }
            Self::Vhd => Box::new(vhd::FixedStream::new()),
            Self::Qed => Box::new(front::Stream::new(Box::new(qed::Map::new(&qed::Header::decode(head)?, None)))),
            Self::Vhdx => {
                // Where the length is not known, what lies behind it shows when the stream ends.
                let open = vhdx::Opener::new(head, file_len.unwrap_or(1 << 62))?;
                Box::new(front::OpenedStream::new(Box::new(open)))
            }
            Self::Vmdk => return vmdk::stream(&vmdk::Header::decode(head)?),
        })
    }
}

/// An image whose map was there at once; `None` once it was taken.
struct Opened(Option<Box<dyn Map>>);

impl Open for Opened {
    fn step(&mut self) -> Result<Opening, Error> {
        let opened = || Error::new(Kind::Malformed, "the image has been opened already");
        self.0.take().map(Opening::Ready).ok_or_else(opened)
    }

    fn feed(&mut self, _host: HostOffset, _bytes: &[u8]) -> Result<(), Error> {
        Ok(())
    }
}

impl Compression {
    /// The name users write.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Gzip => "gzip",
            Self::Zstd => "zstd",
            Self::Xz => "xz",
            Self::Bzip2 => "bzip2",
            Self::Lz4 => "lz4",
        }
    }
}

impl Probe {
    /// The field's name for what was recognised.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Disk(format) => format.name(),
            Self::Compressed(compression) => compression.name(),
            Self::Known(name) => name,
        }
    }
}

impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl fmt::Display for Compression {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Format {
    type Err = Error;

    fn from_str(name: &str) -> Result<Self, Error> {
        // qemu's name for it is that of Microsoft's product.
        let name = if name == "vpc" { Self::Vhd.name() } else { name };
        let known = Self::ALL.map(Self::name);
        Self::ALL
            .into_iter()
            .find(|format| format.name() == name)
            .ok_or_else(|| Error::new(Kind::Unsupported, format!("format {name:?} is none of {}", known.join(", "))))
    }
}

/// Says what a file is that begins with `head`: [`HEAD`] bytes, or the whole file where it is shorter.
#[must_use]
pub fn probe(head: &[u8]) -> Probe {
    if let Some(probe) = MAGICS.iter().find(|magic| magic.is_in(head)).map(|magic| magic.means) {
        return probe;
    }
    if let Some(probe) = probe_qcow(head).or_else(|| probe_frames(head)).or_else(|| probe_loose(head)) {
        return probe;
    }
    if is_volume(head) { Probe::Disk(Format::Iso) } else { Probe::Disk(Format::Raw) }
}

/// What a file is that only its last bytes tell from a raw disk; `tail` is the last [`TAIL`] bytes of the file.
///
/// A fixed VHD is a raw disk with a footer of 512 (before 2004: 511) bytes, an Apple disk image has one of 512.
#[must_use]
pub fn probe_tail(tail: &[u8]) -> Option<Probe> {
    let footer = tail.get(tail.len().checked_sub(TAIL)?..)?;
    if footer.starts_with(b"conectix") || footer[1..].starts_with(b"conectix") {
        return Some(Probe::Disk(Format::Vhd));
    }
    footer.starts_with(b"koly").then_some(Probe::Known("dmg"))
}

struct Magic {
    at: usize,
    bytes: &'static [u8],
    means: Probe,
}

impl Magic {
    fn is_in(&self, head: &[u8]) -> bool {
        head.get(self.at..).is_some_and(|rest| rest.starts_with(self.bytes))
    }
}

const fn known(at: usize, bytes: &'static [u8], name: &'static str) -> Magic {
    Magic { at, bytes, means: Probe::Known(name) }
}

const ZSTD_FRAME: &[u8] = b"\x28\xb5\x2f\xfd";
const LZ4_FRAME: &[u8] = b"\x04\x22\x4d\x18";

/// Constant bytes at a constant place. None of them is the beginning of a boot sector or of a partition table.
const MAGICS: &[Magic] = &[
    Magic { at: 0, bytes: b"\x1f\x8b\x08", means: Probe::Compressed(Compression::Gzip) },
    Magic { at: 0, bytes: ZSTD_FRAME, means: Probe::Compressed(Compression::Zstd) },
    Magic { at: 0, bytes: b"QED\0", means: Probe::Disk(Format::Qed) },
    Magic { at: 0, bytes: b"KDMV", means: Probe::Disk(Format::Vmdk) },
    // ESX's two are named, and refused, by the format's own header.
    Magic { at: 0, bytes: b"COWD", means: Probe::Disk(Format::Vmdk) },
    Magic { at: 0, bytes: b"\xbe\xba\xfe\xca\0\0\0\0", means: Probe::Disk(Format::Vmdk) },
    Magic { at: 0x40, bytes: b"\x7f\x10\xda\xbe", means: Probe::Disk(Format::Vdi) },
    Magic { at: 0, bytes: b"conectix", means: Probe::Disk(Format::Vhd) },
    Magic { at: 0, bytes: b"vhdxfile", means: Probe::Disk(Format::Vhdx) },
    known(0, b"WithoutFreeSpace", "parallels"),
    known(0, b"WithouFreSpacExt", "parallels"),
    known(0, b"Bochs Virtual HD Image", "bochs"),
    known(0, b"#!/bin/sh\n#V2.0 Format\n", "cloop"),
    known(0, b"LUKS\xba\xbe", "luks"),
    known(0, b"\x3a\xff\x26\xed", "android sparse image"),
    known(0, b"VMA\0", "vma"),
    Magic { at: 0, bytes: LZ4_FRAME, means: Probe::Compressed(Compression::Lz4) },
    Magic { at: 0, bytes: b"\x02\x21\x4c\x18", means: Probe::Compressed(Compression::Lz4) },
    Magic { at: 0, bytes: b"\xfd7zXZ\0", means: Probe::Compressed(Compression::Xz) },
    known(0, b"LZIP", "lzip"),
    known(0, b"\x89LZO\0\r\n\x1a\n", "lzop"),
    known(0, b"\x1f\x9d", "compress"),
    known(0, b"PK\x03\x04", "zip"),
    known(0, b"PK\x05\x06", "zip"),
    known(0, b"PK\x07\x08", "zip"),
    known(0, b"7z\xbc\xaf\x27\x1c", "7z"),
    known(0, b"Rar!\x1a\x07", "rar"),
    known(0x101, b"ustar", "tar"),
];

/// qcow version 1 shares the magic with qcow2; versions above 3 are left to the header, which names them.
fn probe_qcow(head: &[u8]) -> Option<Probe> {
    let version = head.strip_prefix(b"QFI\xfb")?;
    Some(if version.starts_with(&[0, 0, 0, 1]) { Probe::Known("qcow") } else { Probe::Disk(Format::Qcow2) })
}

/// Skippable frames (RFC 8878 §3.1.2) belong to zstd and lz4 alike, so the frame behind them decides. Only zstd's tools
/// put them first (pzstd does), so what cannot be seen is taken for zstd.
fn probe_frames(head: &[u8]) -> Option<Probe> {
    let mut rest = head;
    while let [0x50..=0x5f, 0x2a, 0x4d, 0x18, a, b, c, d, frame @ ..] = rest {
        let length = crate::offset::saturated(u32::from_le_bytes([*a, *b, *c, *d]).into());
        rest = frame.get(length..).unwrap_or_default();
    }
    if rest.len() == head.len() {
        return None;
    }
    Some(match rest {
        lz4 if lz4.starts_with(LZ4_FRAME) => Probe::Compressed(Compression::Lz4),
        _ => Probe::Compressed(Compression::Zstd),
    })
}

/// Formats whose magic alone is too short or has alternatives.
fn probe_loose(head: &[u8]) -> Option<Probe> {
    const DESCRIPTOR: &[u8] = b"# disk descriptorfile";
    if head.get(..DESCRIPTOR.len()).is_some_and(|text| text.eq_ignore_ascii_case(DESCRIPTOR)) {
        return Some(Probe::Disk(Format::Vmdk));
    }
    match head {
        // Behind the level stands the magic of the first block, or of the end where there is none.
        [b'B', b'Z', b'h', b'1'..=b'9', 0x31, 0x41, 0x59, 0x26, 0x53, 0x59, ..]
        | [b'B', b'Z', b'h', b'1'..=b'9', 0x17, 0x72, 0x45, 0x38, 0x50, 0x90, ..] => {
            Some(Probe::Compressed(Compression::Bzip2))
        }
        // .lzma has no magic: default properties, a dictionary of whole 64 KiB, an unknown length or one below 1 TiB, and
        // the range coder's first byte, which is always 0.
        [0x5d, 0, 0, _, _, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0, ..]
        | [0x5d, 0, 0, _, _, _, _, _, _, _, 0, 0, 0, 0, ..] => Some(Probe::Known("lzma")),
        _ => None,
    }
}

/// Whether an ISO 9660 or UDF descriptor stands in the volume recognition area (ECMA-167 part 2, §8).
fn is_volume(head: &[u8]) -> bool {
    const SECTOR: usize = 2048;
    head.chunks_exact(SECTOR)
        .skip(16)
        .map(|sector| &sector[1..6])
        .take_while(|id| matches!(*id, b"CD001" | b"CDW02" | b"BEA01" | b"BOOT2" | b"NSR02" | b"NSR03" | b"TEA01"))
        .any(|id| matches!(id, b"CD001" | b"NSR02" | b"NSR03"))
}

#[cfg(test)]
mod tests;
