//! The file type identifier and the two headers (MS-VHDX §2.2.1, §2.2.2), of which the newer valid one counts.

use std::ops::Range;

use super::geometry::MIB;
use super::guid::Guid;
use crate::field::{bytes, le16, le32, le64};
use crate::{Error, Kind, crc32c};

/// First bytes of the file.
pub(super) const IDENTIFIER: &[u8] = b"vhdxfile";

/// Where the headers are.
pub(super) const PLACES: [u64; 2] = [64 * 1024, 128 * 1024];

/// Bytes of a header; its checksum covers them all.
pub(super) const LENGTH: u64 = 4096;

const SIGNATURE: &[u8] = b"head";

/// The current header.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Header {
    /// Identifier that log entries must have; `None` where there is nothing to replay.
    pub(super) log_guid: Option<Guid>,
    /// Host bytes of the log.
    pub(super) log: Range<u64>,
}

impl Header {
    /// The newer valid one of the headers at [`PLACES`].
    pub(super) fn current(headers: [&[u8]; 2]) -> Result<Self, Error> {
        let [first, second] = headers.map(is_valid);
        let chosen = match (first, second) {
            (true, false) => 0,
            (false, true) => 1,
            (true, true) => newer(headers)?,
            (false, false) => {
                let what = "neither header has its signature and its checksum";
                return Err(Error::new(Kind::Malformed, what).at(PLACES[0]));
            }
        };
        Self::decode(headers[chosen], PLACES[chosen])
    }

    fn decode(header: &[u8], place: u64) -> Result<Self, Error> {
        let (log_version, version) = (le16(header, 64), le16(header, 66));
        if version != 1 {
            let what = format!("vhdx version {version} is not 1");
            return Err(Error::new(Kind::Unsupported, what).at(place + 66));
        }
        if log_version != 0 {
            let what = format!("log version {log_version} is not 0");
            return Err(Error::new(Kind::Unsupported, what).at(place + 64));
        }
        let (len, start) = (u64::from(le32(header, 68)), le64(header, 72));
        if !len.is_multiple_of(MIB) {
            let what = format!("the log has {len} bytes instead of whole MiB");
            return Err(Error::new(Kind::Malformed, what).at(place + 68));
        }
        // File sizes are signed (qemu, off_t).
        if !start.is_multiple_of(MIB) || start < MIB || start > i64::MAX.unsigned_abs() - len {
            let what = format!("the log is at {start:#x} instead of a multiple of 1 MiB behind the headers");
            return Err(Error::new(Kind::Malformed, what).at(place + 72));
        }
        let guid = Guid(bytes(header, 48));
        Ok(Self { log_guid: (guid != Guid::NIL).then_some(guid), log: start..start + len })
    }
}

/// Says whether signature and checksum hold (§2.2.2, SequenceNumber).
fn is_valid(header: &[u8]) -> bool {
    header.starts_with(SIGNATURE) && crc32c::without(header, 4) == le32(header, 4)
}

/// Two valid headers of one age are only accepted where they are the same: some tools write one header twice.
fn newer(headers: [&[u8]; 2]) -> Result<usize, Error> {
    let [first, second] = headers.map(|header| le64(header, 8));
    if first == second && headers[0] != headers[1] {
        let what = format!("both headers have sequence number {first} and differ");
        return Err(Error::new(Kind::Malformed, what).at(PLACES[1] + 8));
    }
    Ok(usize::from(second > first))
}

#[cfg(test)]
mod tests;
