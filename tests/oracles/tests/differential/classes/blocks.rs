//! VDI, VHD and QED.

use super::{Case, Classes, Different, read, refused};
use crate::ours::Seen;

const PARENT: &str = "a difference to another image";

pub(crate) const VDI: Classes = Classes {
    refused: &[
        refused("Malformed", "offset_data is", "a header that misplaces map or data"),
        refused("Malformed", "offset_bmap is", "a header that misplaces map or data"),
        refused("Malformed", "header_size is", "a header that misplaces map or data"),
        refused("Truncated", "the file ends at", "a block or the block map past the end of the file"),
        refused("Malformed", "image_type is", "a type that is neither dynamic nor static"),
        refused("BackingFile", "never opened", PARENT),
        refused("Unsupported", "extra bytes", "blocks with extra bytes"),
    ],
    read: &[read("block size", "blocks of another size than 1 MiB", |case| case.file[0x178..0x17c] != [0, 0, 16, 0])],
    different: &[],
};

const VHD_FIELDS: &str = "sizes or places that the specification does not allow";

pub(crate) const VHD: Classes = Classes {
    refused: &[
        refused("Malformed", "the header's checksum is", "a dynamic header with a wrong checksum"),
        refused("Unsupported", "version", "an unknown version"),
        refused("Malformed", "table_offset is", VHD_FIELDS),
        refused("Malformed", "data_offset is", VHD_FIELDS),
        refused("Malformed", "block_size is", VHD_FIELDS),
        refused("Malformed", "max_table_entries is", VHD_FIELDS),
        refused("Malformed", "the disk has", VHD_FIELDS),
        refused("Malformed", "the footer does not begin with", "a footer that is damaged where qemu does not look"),
        refused("Truncated", "the file holds", "a disk longer than the file"),
        refused("Truncated", "its block reaches to offset", "a last sector that the end of the file cuts"),
        refused("BackingFile", "never opened", PARENT),
        refused("Malformed", "disk type", "a type that is neither dynamic nor fixed"),
    ],
    read: &[read("points after the end of file", "blocks cut where no guest byte lies", |_| true)],
    different: &[Different { name: "the size of a creator that qemu 7.2 does not know", holds: of_unknown_creator }],
};

/// qemu 7.2 takes the geometry of such an image, this and qemu 10 its size; both then read the same bytes.
fn of_unknown_creator(case: &Case<'_>) -> bool {
    const KNOWN: [&[u8; 4]; 7] = [b"vpc ", b"qemu", b"qem2", b"win ", b"d2v ", b"tap\0", b"CTXS"];
    let last = case.file.len().saturating_sub(512);
    let footer = if case.file.starts_with(b"conectix") { case.file } else { &case.file[last..] };
    let is_known = footer.get(28..32).is_none_or(|creator| KNOWN.iter().any(|known| *known == creator));
    let (Ok(ours), Ok(theirs)) = (case.ours, case.theirs) else { return false };
    let same = match (ours, theirs) {
        (Seen::Disk(ours), Seen::Disk(theirs)) => ours.iter().zip(theirs).all(|(left, right)| left == right),
        _ => true,
    };
    !is_known && same
}

pub(crate) const QED: Classes = Classes {
    refused: &[
        refused("Truncated", "the file's clusters end at", "a cluster or a table past the end of the file"),
        refused("BackingFile", "backing file \"\"", "a backing file without a name"),
    ],
    read: &[
        read("", "tables of one cluster", |case| case.file[8..12] == [1, 0, 0, 0]),
        read("", "a disk of no bytes", |case| case.ours.as_ref() == Ok(&Seen::Disk(Vec::new()))),
    ],
    different: &[],
};
