//! VMDK: qemu looks at little of the descriptor, and reads on where an image says two things.

use super::{Case, Classes, read, refused};

const DESCRIPTOR: &str = "a descriptor that is damaged, incomplete or of an unknown kind";
const PAST: &str = "a grain or a table past the end of the file";
const CONTRADICTION: &str = "fields that contradict each other or the specification";
const OTHER: &str = "a parent or another file";

pub(crate) const CLASSES: Classes = Classes {
    refused: &[
        refused("Malformed", "the newline test is", "a file changed as text is"),
        refused("Malformed", "the descriptor does not begin with", DESCRIPTOR),
        refused("Malformed", "is not understood", DESCRIPTOR),
        refused("Malformed", "hexadecimal digits", DESCRIPTOR),
        refused("Malformed", "neither extent nor assignment", DESCRIPTOR),
        refused("Malformed", "the descriptor has", DESCRIPTOR),
        refused("Unsupported", "createType", DESCRIPTOR),
        refused("Unsupported", "descriptor version", DESCRIPTOR),
        refused("Unsupported", "the descriptor reaches to sector", DESCRIPTOR),
        refused("Unsupported", "NOACCESS", DESCRIPTOR),
        refused("Truncated", "the file ends at", PAST),
        refused("Malformed", "larger than a file can be", PAST),
        refused("Malformed", "lies in the header or descriptor", "a grain or a table in the header or the descriptor"),
        refused("Malformed", "there is no footer marker", CONTRADICTION),
        refused("Malformed", "in the footer and", CONTRADICTION),
        refused("Malformed", "the descriptor's extent has", CONTRADICTION),
        refused("Malformed", "compressAlgorithm is", CONTRADICTION),
        refused("Unsupported", "compressAlgorithm", CONTRADICTION),
        refused("Malformed", "grainSize is", CONTRADICTION),
        refused("Malformed", "numGTEsPerGT is", CONTRADICTION),
        refused("Malformed", "capacity is", CONTRADICTION),
        refused("Malformed", "grain tables, the limit is", CONTRADICTION),
        refused("Unsupported", "vmdk version", "a version or a flag that is not known"),
        refused("Unsupported", "flag bit", "a version or a flag that is not known"),
        refused("BackingFile", "a difference to parent", OTHER),
        refused("ExternalData", "never opened", OTHER),
    ],
    read: &[read(
        "",
        "damage in what is not needed: sizes in markers, the second copy of the tables, where grains begin",
        with_spare_parts,
    )],
    different: &[],
};

/// What the map does not need is taken from the intact image: rgdOffset, overHead, the sizes in markers, and its length.
fn with_spare_parts(case: &Case<'_>) -> bool {
    let (mut file, original) = (case.file.to_vec(), case.original);
    file.resize(file.len().max(original.len()), 0);
    for range in spare(original) {
        if range.end <= file.len() {
            file[range.clone()].copy_from_slice(&original[range]);
        }
    }
    (case.again)(&file).as_ref().ok() == case.ours.as_ref().ok()
}

fn spare(original: &[u8]) -> Vec<std::ops::Range<usize>> {
    let mut spare = vec![48..56, 64..72];
    let field = |at: usize| u32::from_le_bytes(original[at..at + 4].try_into().expect("four bytes")) as usize;
    let is_compressed = field(76) >> 8 & 0xffff == 1;
    let mut at = field(64) * 512;
    while is_compressed && at + 16 <= original.len() {
        match (field(at + 8), field(at + 12)) {
            // The end of the stream.
            (0, 0) => break,
            // A table, a directory or a footer behind its marker.
            (0, _) => at += 512 + field(at) * 512,
            (size, _) => {
                spare.push(at + 8..at + 12);
                at = (at + 12 + size).next_multiple_of(512);
            }
        }
    }
    spare
}
