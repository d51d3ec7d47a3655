//! qcow2: qemu reads zeros where a table leads past the end of the file, and passes over bits that are reserved.

use super::{Classes, read, refused};

const PAST: &str = "a cluster or a table past the end of the file";
const HEADER: &str = "header fields that the specification does not allow";
const UNUSED: &str = "damage in what is not needed: header extensions, snapshots";

pub(crate) const CLASSES: Classes = Classes {
    refused: &[
        refused("Malformed", "reserved bits are set", "reserved bits in a table entry"),
        refused("Truncated", "entry", PAST),
        refused("Truncated", "table reaches to offset", PAST),
        refused("Malformed", "lies in the header's cluster", "a table in the header's cluster"),
        refused("Malformed", "header_length is", HEADER),
        refused("Malformed", "offset", HEADER),
        refused("Malformed", "extension", HEADER),
        refused("Malformed", "external data bit", HEADER),
        refused("BackingFile", "backing file \"\"", "a backing file without a name"),
        refused("Corrupt", "cluster decodes to", "a compressed cluster that the end of the file cuts"),
        refused("Corrupt", "zstd cluster", "a zstd cluster that is damaged behind its last byte"),
    ],
    read: &[read("Header extension too large", UNUSED, |_| true), read("snapshot table", UNUSED, |_| true)],
    different: &[],
};
