//! Names for what may disagree, by format; docs/formats.md has a row for each.

mod blocks;
mod qcow2;
mod vhdx;
mod vmdk;

use std::fmt;

use formats::probe::Format;

use crate::ours::{Refusal, Seen};

/// What everyone said about an image.
pub(crate) struct Case<'a> {
    pub(crate) format: Format,
    pub(crate) file: &'a [u8],
    /// The image before it was damaged.
    pub(crate) original: &'a [u8],
    pub(crate) ours: &'a Result<Seen, Refusal>,
    pub(crate) stream: &'a Result<Seen, Refusal>,
    pub(crate) theirs: &'a Result<Seen, String>,
    /// Asks qemu about another file.
    pub(crate) again: &'a dyn Fn(&[u8]) -> Result<Seen, String>,
}

/// A name for images that qemu reads and Gantry refuses: the kind of the refusal (any, if empty), words of it, and what must
/// hold beside them.
pub(crate) struct Refused {
    name: &'static str,
    kind: &'static str,
    words: &'static str,
    holds: fn(&Case<'_>) -> bool,
}

/// A name for images that Gantry reads and qemu refuses: words of qemu's, and what must hold beside them.
pub(crate) struct Read {
    name: &'static str,
    words: &'static str,
    holds: fn(&Case<'_>) -> bool,
}

/// A name for images of which qemu and Gantry read different disks.
pub(crate) struct Different {
    name: &'static str,
    holds: fn(&Case<'_>) -> bool,
}

const fn refused(kind: &'static str, words: &'static str, name: &'static str) -> Refused {
    Refused { name, kind, words, holds: |_| true }
}

const fn read(words: &'static str, name: &'static str, holds: fn(&Case<'_>) -> bool) -> Read {
    Read { name, words, holds }
}

/// The names of a format.
#[derive(Clone, Copy)]
pub(crate) struct Classes {
    refused: &'static [Refused],
    read: &'static [Read],
    different: &'static [Different],
}

const fn classes(format: Format) -> Classes {
    match format {
        Format::Qcow2 => qcow2::CLASSES,
        Format::Vmdk => vmdk::CLASSES,
        Format::Vdi => blocks::VDI,
        Format::Vhd => blocks::VHD,
        Format::Qed => blocks::QED,
        Format::Vhdx => vhdx::CLASSES,
        Format::Raw | Format::Iso => Classes { refused: &[], read: &[], different: &[] },
    }
}

/// How an image went.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Verdict {
    Equal,
    RefusedByBoth,
    /// qemu reads it.
    RefusedHere(&'static str),
    /// qemu refuses it.
    ReadHere(&'static str),
    /// Both read it.
    Different(&'static str),
    Unexplained(String),
}

pub(crate) fn verdict(case: &Case<'_>) -> Verdict {
    if let Some(what) = contradiction(case) {
        return Verdict::Unexplained(what);
    }
    let Classes { refused, read, different } = classes(case.format);
    let named = match (case.ours, case.theirs) {
        (Ok(ours), Ok(theirs)) if ours == theirs => Some(Verdict::Equal),
        (Ok(_), Ok(_)) => {
            different.iter().find(|class| (class.holds)(case)).map(|class| Verdict::Different(class.name))
        }
        (Err(_), Err(_)) => Some(Verdict::RefusedByBoth),
        (Err(ours), Ok(_)) => refused
            .iter()
            .find(|class| {
                [ours.kind.as_str(), ""].contains(&class.kind) && ours.what.contains(class.words) && (class.holds)(case)
            })
            .map(|class| Verdict::RefusedHere(class.name)),
        (Ok(_), Err(theirs)) => read
            .iter()
            .find(|class| theirs.contains(class.words) && (class.holds)(case))
            .map(|class| Verdict::ReadHere(class.name)),
    };
    named.unwrap_or_else(|| Verdict::Unexplained(format!("{} / {}", words(case.ours), words(case.theirs))))
}

/// Map and forward decoder disagree. The decoder may say that tables come too late for it; of a VMDK it also looks at the
/// markers, which the map does not need. It knows the file's length last, so it reads what is cut behind the last byte
/// that the disk needs, as long as that is what qemu reads.
fn contradiction(case: &Case<'_>) -> Option<String> {
    const CUT: [&str; 2] = ["the file's clusters end at", "the log says the file has"];
    match (case.ours, case.stream) {
        (Ok(mapped), Ok(streamed)) if mapped == streamed => None,
        (Ok(_), Err(error)) if error.kind == "Unplaced" || case.format == Format::Vmdk => None,
        (Err(_), Err(_)) => None,
        (Err(error), Ok(streamed))
            if CUT.iter().any(|words| error.what.contains(words))
                && case.theirs.as_ref().map_or(true, |theirs| theirs == streamed) =>
        {
            None
        }
        (mapped, streamed) => Some(format!("map: {}, forward decoder: {}", words(mapped), words(streamed))),
    }
}

fn words<E: fmt::Debug>(seen: &Result<Seen, E>) -> String {
    match seen {
        Ok(Seen::Disk(disk)) => format!("a disk of {} bytes", disk.len()),
        Ok(large) => format!("{large:?}"),
        Err(error) => format!("{error:?}"),
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Equal => f.write_str("the same to both"),
            Self::RefusedByBoth => f.write_str("refused by both"),
            Self::RefusedHere(class) => write!(f, "refused here only: {class}"),
            Self::ReadHere(class) => write!(f, "read here only: {class}"),
            Self::Different(class) => write!(f, "different: {class}"),
            Self::Unexplained(what) => write!(f, "without a name: {what}"),
        }
    }
}

#[test]
fn every_name_stands_in_the_documents() {
    let document = include_str!("../../../../../docs/formats.md");
    for format in [Format::Qcow2, Format::Vmdk, Format::Vdi, Format::Vhd, Format::Vhdx, Format::Qed] {
        let Classes { refused, read, different } = classes(format);
        let refused = refused.iter().map(|class| class.name);
        let read = read.iter().map(|class| class.name);
        for name in refused.chain(read).chain(different.iter().map(|class| class.name)) {
            assert!(document.contains(name), "{format}: {name}");
        }
    }
}
