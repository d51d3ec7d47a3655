//! The data of one zip member, stored or deflated, with its CRC-32 and sizes checked at its end.

use codecs::{DeflateDecoder, StreamDecoder};
use contract::{Code, Failure};
use crc32fast::Hasher;

use super::header::Facts;
use crate::container::input::Input;
use crate::failure::codec_failure;
use crate::route::MAX_DISK;

/// Method number of data that is stored as it is (§4.4.5).
const STORED: u16 = 0;
/// Method number of deflate (§4.4.5).
const DEFLATED: u16 = 8;

/// Names of the other methods that tools write.
const METHODS: &[(u16, &str)] = &[(9, "deflate64"), (12, "bzip2"), (14, "lzma"), (93, "zstd"), (95, "xz"), (99, "AES")];

/// Whether the method is deflate.
pub(super) const fn is_deflated(facts: &Facts) -> bool {
    facts.method == DEFLATED
}

/// Why a member's data cannot be read, if so.
pub(super) fn refusal(facts: &Facts, name: &str, archive: &str) -> Option<Failure> {
    if facts.is_encrypted() {
        let what = format!("the member {name} is encrypted");
        return Some(Failure::new(Code::ImageEncrypted, what).at(archive).remedy("extract it with `unzip` first"));
    }
    if matches!(facts.method, STORED | DEFLATED) {
        return None;
    }
    let known = METHODS.iter().find(|(number, _)| *number == facts.method).map_or("", |(_, name)| name);
    let what = format!("the member {name} is compressed by method {} {known}", facts.method);
    let failure = Failure::new(Code::ImageUnsupported, what.trim_end()).at(archive);
    Some(failure.remedy("make the archive again with deflate or without compression"))
}

/// Data that is being read.
pub(super) struct Body {
    decoder: Option<DeflateDecoder>,
    crc: Hasher,
    /// Bytes handed out.
    made: u64,
    /// Bytes of the file that were used.
    used: u64,
    /// What the header says; without sizes and CRC where they follow the data.
    stated: Option<Facts>,
    name: String,
    is_over: bool,
}

impl Body {
    /// Data at its beginning. `is_stated` says that the header has sizes and CRC.
    pub(super) fn new(facts: Facts, is_stated: bool, name: &str) -> Self {
        let decoder = is_deflated(&facts).then(DeflateDecoder::new);
        let stated = is_stated.then_some(facts);
        Self { decoder, crc: Hasher::new(), made: 0, used: 0, stated, name: name.to_owned(), is_over: false }
    }

    /// Bytes of the file that are left, where the header says it.
    pub(super) fn left(&self) -> Option<u64> {
        self.stated.map(|stated| stated.compressed - self.used)
    }

    /// CRC-32, bytes used and bytes made.
    pub(super) fn sums(&self) -> (u32, u64, u64) {
        (self.crc.clone().finalize(), self.used, self.made)
    }

    /// Reads at least one byte, or 0 at the end of the data, where it was found to be what the header says.
    pub(super) fn read(&mut self, input: &mut Input, buf: &mut [u8]) -> Result<usize, Failure> {
        if self.is_over || buf.is_empty() {
            return Ok(0);
        }
        let read = if self.decoder.is_some() { self.inflate(input, buf)? } else { self.copy(input, buf)? };
        self.crc.update(&buf[..read]);
        self.made += read as u64;
        if self.made > self.stated.map_or(MAX_DISK, |stated| stated.size) {
            return Err(self.corrupt(input, "has more data than the archive says"));
        }
        if read == 0 {
            self.is_over = true;
            self.verify(input)?;
        }
        Ok(read)
    }

    fn copy(&mut self, input: &mut Input, buf: &mut [u8]) -> Result<usize, Failure> {
        let most = self.left().unwrap_or(0).min(buf.len() as u64) as usize;
        if most == 0 {
            return Ok(0);
        }
        let read = input.read(&mut buf[..most])?;
        if read == 0 {
            return Err(input.truncated());
        }
        self.used += read as u64;
        Ok(read)
    }

    fn inflate(&mut self, input: &mut Input, buf: &mut [u8]) -> Result<usize, Failure> {
        let Some(decoder) = &mut self.decoder else { return Ok(0) };
        while !decoder.is_done() {
            let left = self.stated.map_or(u64::MAX, |stated| stated.compressed - self.used);
            let there = if left == 0 { &[] } else { input.available()? };
            let offered = &there[..there.len().min(usize::try_from(left).unwrap_or(usize::MAX))];
            let is_last = offered.is_empty();
            let step = decoder.step(offered, buf);
            let step = step.map_err(|error| codec_failure(&error, &input.name, input.position))?;
            input.consume(step.consumed);
            self.used += step.consumed as u64;
            if step.produced > 0 {
                return Ok(step.produced);
            }
            if is_last {
                decoder.finish().map_err(|error| codec_failure(&error, &input.name, input.position))?;
            }
        }
        Ok(0)
    }

    fn verify(&self, input: &Input) -> Result<(), Failure> {
        let Some(stated) = self.stated else { return Ok(()) };
        let (crc, used, made) = self.sums();
        if (used, made) != (stated.compressed, stated.size) {
            let what =
                format!("has {made} bytes in {used}, and the archive says {} in {}", stated.size, stated.compressed);
            return Err(self.corrupt(input, &what));
        }
        if crc != stated.crc {
            return Err(
                self.corrupt(input, &format!("has the CRC-32 {crc:#010x}, and the archive says {:#010x}", stated.crc))
            );
        }
        Ok(())
    }

    fn corrupt(&self, input: &Input, what: &str) -> Failure {
        input.failure(Code::ImageCorrupt, format!("the member {} {what}", self.name))
    }
}
