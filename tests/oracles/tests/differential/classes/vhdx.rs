//! VHDX: qemu looks at little of the metadata, gives up where it could go on by the second copy or a shorter log, and carries
//! out what a torn entry of the log says if a whole one follows it.

use super::{Case, Classes, Different, Refused, read, refused};
use crate::ours::Seen;
use crate::patch::{self, REGIONS, SECTOR};
use crate::qemu::REPLAYED;

const METADATA: &str = "metadata that the specification does not allow";
const LOG: &str = "a log that is announced and not there, or does not fit the file";
const PAST: &str = "a block or the BAT past the end of the file";
const TORN: &str = "a log whose newest entries are torn";
const TORN_INSIDE: &str = "a log with a torn entry in front of a whole one";

pub(crate) const CLASSES: Classes = Classes {
    refused: &[
        refused("Malformed", "the log holds no complete sequence", LOG),
        refused("Truncated", "the log says the file has", LOG),
        refused("Truncated", "the log reaches to offset", LOG),
        refused("Malformed", "the log says the file needs", LOG),
        refused("Malformed", "the log writes", LOG),
        refused("Malformed", "the log is at", LOG),
        refused("Malformed", "the log has", LOG),
        refused("Malformed", "announce a log, and give it no room", LOG),
        refused("Unsupported", "log version", LOG),
        refused("Truncated", "needs the file up to", PAST),
        refused("Truncated", "the BAT reaches to offset", PAST),
        refused("Malformed", "reserved bits are set", "reserved bits in a table entry"),
        refused("Malformed", "a region", "regions that the specification does not allow"),
        refused("Malformed", "region table", "regions that the specification does not allow"),
        refused("Malformed", "the metadata", METADATA),
        refused("Malformed", "a metadata item", METADATA),
        refused("Malformed", "virtual disk", METADATA),
        refused("Malformed", "sector size", METADATA),
        refused("Malformed", "the file parameters", METADATA),
        refused("Unsupported", "needs metadata item", METADATA),
        refused("Unsupported", "vhdx version", "an unknown version"),
        Refused { name: TORN_INSIDE, kind: "", words: "", holds: is_as_before_torn_entries },
    ],
    read: &[
        read("", "a damaged first region table beside an intact second", |case| {
            with_second_table(case.file).is_some_and(|file| alike(case, &file))
        }),
        read("", TORN, is_as_before_torn_entries),
        read("", TORN, |case| {
            let both = without_torn_entries(case.file).and_then(|file| with_second_table(&file));
            both.is_some_and(|file| alike(case, &file))
        }),
        read("", "a log that makes the file larger than the comparison allows qemu", grows_far),
        read("", "a disk of no bytes", |case| case.ours.as_ref() == Ok(&Seen::Disk(Vec::new()))),
    ],
    different: &[Different { name: TORN_INSIDE, holds: is_as_before_torn_entries }],
};

/// Some entry of the log says that the file has, or is to have, more bytes than a replay may make.
fn grows_far(case: &Case<'_>) -> bool {
    let (start, len) = patch::log(case.file);
    let ring = start.checked_add(len).and_then(|end| case.file.get(start..end)).unwrap_or_default();
    let mut entries = ring.chunks_exact(SECTOR).filter(|sector| sector.starts_with(b"loge"));
    entries.any(|entry| patch::get64(entry, 48).max(patch::get64(entry, 56)) > REPLAYED)
}

/// qemu says of another file what Gantry says of this one.
fn alike(case: &Case<'_>, file: &[u8]) -> bool {
    (case.again)(file).as_ref().ok() == case.ours.as_ref().ok()
}

fn is_as_before_torn_entries(case: &Case<'_>) -> bool {
    without_torn_entries(case.file).is_some_and(|file| alike(case, &file))
}

fn with_second_table(file: &[u8]) -> Option<Vec<u8>> {
    let mut file = file.to_vec();
    if file.len() < REGIONS[1] + (64 << 10) {
        return None;
    }
    file.copy_within(REGIONS[1]..REGIONS[1] + (64 << 10), REGIONS[0]);
    Some(file)
}

/// The file with zeros from the first entry of the log on whose checksum does not hold; `None` if all do.
fn without_torn_entries(file: &[u8]) -> Option<Vec<u8>> {
    let mut file = file.to_vec();
    let (start, len) = patch::log(&file);
    let end = start.checked_add(len).filter(|&end| end <= file.len())?;
    let mut at = start;
    while at + SECTOR <= end && file[at..].starts_with(b"loge") {
        let length = patch::get32(&file, at + 8) as usize;
        if length < SECTOR || at + length > end {
            break;
        }
        let mut entry = file[at..at + length].to_vec();
        patch::sign(&mut entry, 0, length);
        if entry != file[at..at + length] {
            break;
        }
        at += length;
    }
    let torn = &mut file[at..end];
    let is_torn = torn.iter().any(|&byte| byte != 0);
    torn.fill(0);
    is_torn.then_some(file)
}
