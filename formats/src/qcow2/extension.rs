//! Header extensions: the optional sections between the header's fields and the end of its cluster.
//!
//! ```text
//! | type u32 | length u32 | data | padding to 8 |   ...   | 0 (end) |
//! ```

use super::header::Header;
use crate::field::{be32, be64, quoted};
use crate::{Error, Kind};

const END: u32 = 0;
const BACKING_FORMAT: u32 = 0xe279_2aca;
const FEATURE_NAMES: u32 = 0x6803_f857;
const BITMAPS: u32 = 0x2385_2875;
const CRYPTO: u32 = 0x0537_be77;
const DATA_FILE: u32 = 0x4441_5441;

/// Bytes of an extension's type and length.
const HEAD: usize = 8;

/// qemu's limit for a backing format's name.
const MAX_FORMAT_NAME: usize = 15;

/// qemu's limit of bitmaps in one image.
const MAX_BITMAPS: u32 = 65535;

/// What extensions tell about an image that is read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Extensions {
    /// Bitmaps that the image says are consistent.
    pub(super) bitmaps: u32,
}

/// Where extensions may stand, and what the header says about them.
#[derive(Clone, Copy, Debug)]
pub(super) struct Area<'a> {
    /// First bytes of the image.
    pub(super) head: &'a [u8],
    /// Offset of the first extension: the length of the header.
    pub(super) start: usize,
    /// Offset of the first byte behind them: the cluster size.
    pub(super) end: usize,
    /// Cluster size in bytes.
    pub(super) cluster: u64,
    /// Auto-clear feature bit 0.
    pub(super) bitmaps_consistent: bool,
}

struct Extension<'a> {
    kind: u32,
    at: usize,
    data: &'a [u8],
}

impl<'a> Area<'a> {
    /// Walks all extensions.
    ///
    /// # Errors
    /// An extension that reaches out of the area or is damaged, or says that the data is encrypted or kept elsewhere.
    pub(super) fn decode(&self) -> Result<Extensions, Error> {
        let mut found = Extensions::default();
        let mut at = self.start;
        while let Some(extension) = self.extension(at)? {
            extension.check(self, &mut found)?;
            at += HEAD + extension.data.len().next_multiple_of(8);
        }
        Ok(found)
    }

    /// The image's own name for incompatible feature `bit`, where its feature name table has one.
    pub(super) fn feature_name(&self, bit: u32) -> Option<String> {
        const ENTRY: usize = 48;
        let mut at = self.start;
        while let Some(extension) = self.extension(at).ok()? {
            if extension.kind == FEATURE_NAMES {
                let named = |entry: &&[u8]| entry[0] == 0 && u32::from(entry[1]) == bit;
                let name = extension.data.chunks_exact(ENTRY).find(named)?;
                return name[2..].split(|byte| *byte == 0).next().map(quoted);
            }
            at += HEAD + extension.data.len().next_multiple_of(8);
        }
        None
    }

    /// The extension at `at`; `None` at the end of them.
    fn extension(&self, at: usize) -> Result<Option<Extension<'a>>, Error> {
        if at + HEAD > self.end {
            return Ok(None);
        }
        let kind = be32(self.bytes(at, HEAD)?, 0);
        if kind == END {
            return Ok(None);
        }
        let length = be32(self.head, at + 4) as usize;
        if length > self.end - at - HEAD {
            let what = format!("header extension {kind:#010x} of {length} bytes reaches past the header's cluster");
            return Err(Error::new(Kind::Malformed, what).at(at as u64));
        }
        Ok(Some(Extension { kind, at, data: self.bytes(at + HEAD, length)? }))
    }

    fn bytes(&self, at: usize, length: usize) -> Result<&'a [u8], Error> {
        self.head.get(at..at + length).ok_or_else(|| {
            if self.head.len() < Header::WANTED {
                let what = format!("the header extensions go on at {at}, the file ends at {}", self.head.len());
                Error::new(Kind::Truncated, what).at(at as u64)
            } else {
                let what = format!("the header extensions are longer than {} bytes", Header::WANTED);
                Error::new(Kind::Unsupported, what).at(at as u64)
            }
        })
    }
}

impl Extension<'_> {
    fn check(&self, area: &Area<'_>, found: &mut Extensions) -> Result<(), Error> {
        let length = self.data.len();
        match self.kind {
            BACKING_FORMAT if length > MAX_FORMAT_NAME => {
                Err(self
                    .malformed(format!("the backing format's name has {length} bytes, the limit is {MAX_FORMAT_NAME}")))
            }
            CRYPTO => Err(Error::new(Kind::Encrypted, "the image has an encryption header").at(self.at as u64)),
            DATA_FILE => {
                let what = format!("the image keeps its data in another file, {}", quoted(self.data));
                Err(Error::new(Kind::ExternalData, what).at(self.at as u64))
            }
            BITMAPS => {
                found.bitmaps = self.bitmaps(area)?;
                Ok(())
            }
            _ => Ok(()),
        }
    }

    /// Bitmaps do not change what the guest sees; a damaged directory of them is a sign of a damaged image.
    fn bitmaps(&self, area: &Area<'_>) -> Result<u32, Error> {
        if self.data.len() != 24 {
            return Err(self.malformed(format!("the bitmaps extension has {} bytes instead of 24", self.data.len())));
        }
        if !area.bitmaps_consistent {
            return Ok(0);
        }
        let count = be32(self.data, 0);
        if count == 0 || count > MAX_BITMAPS {
            return Err(
                self.malformed(format!("the bitmaps extension counts {count} bitmaps instead of 1 to {MAX_BITMAPS}"))
            );
        }
        let directory = be64(self.data, 16);
        if !directory.is_multiple_of(area.cluster) {
            return Err(
                self.malformed(format!("bitmap directory offset {directory:#x} is no multiple of the cluster size"))
            );
        }
        Ok(count)
    }

    fn malformed(&self, what: String) -> Error {
        Error::new(Kind::Malformed, what).at(self.at as u64)
    }
}
